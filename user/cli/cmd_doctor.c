// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_doctor.c - `masqbpf doctor`: everything that would make masqbpf do
 * nothing, or harm, on this node. Works before the first attach, too.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/safe.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "config/config.h"
#include "policy/read.h"
#include "policy/ward.h"
#include "report/doctor.h"

/* What would run if somebody attached now without saying more. */
static int default_policy(struct doctor *d)
{
	static struct instance nowhere = { .meta.hz = 1000 };
	struct config *config;
	char err[256];
	int ret = config_preset("ip-masq-agent", &config, err, sizeof(err));

	if (ret) {
		log_error("doctor: %s", err);
		return ret;
	}
	nowhere.meta.max_flows = config->max_flows;
	ret = policy_from_config(&nowhere, config, false, &d->policy);
	config_free(config);
	return ret;
}

static int open_instance(struct doctor *d, const char *pin_dir)
{
	int err = instance_open(pin_dir, INSTANCE_READ, NULL, &d->instance);

	if (err == -ENOENT) {
		doctor_add(d, DOCTOR_NOTE, "instance",
			   "what follows is said of the preset ip-masq-agent",
			   "%s: not attached", pin_dir);
		return default_policy(d);
	}
	if (err) {
		doctor_add(d, DOCTOR_BAD, "instance",
			   "the line on stderr says why",
			   "%s: there are pins that cannot be used", pin_dir);
		return default_policy(d);
	}
	if (instance_is_elsewhere(d->instance)) {
		instance_say_elsewhere(d->instance);
		return -EXDEV;
	}
	ward_end(d->instance);
	err = policy_read(d->instance, &d->policy);
	if (err == -ENODATA) {
		doctor_add(d, DOCTOR_BAD, "instance", "run it again",
			   "no policy: an attach was interrupted");
		return default_policy(d);
	}
	if (!err)
		doctor_add(d, DOCTOR_OK, "instance", NULL, "%s: generation %u",
			   pin_dir, d->policy->head.generation);
	return err;
}

static void print_json(const struct doctor *d, bool bad)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_bool(&j, "ok", !bad);
	json_array(&j, "findings");
	for (size_t i = 0; i < d->count; i++) {
		const struct doctor_finding *f = &d->findings[i];

		json_object(&j, NULL);
		json_string(&j, "level", doctor_level_name(f->level));
		json_string(&j, "check", f->check);
		json_string(&j, "what", f->what);
		if (f->todo)
			json_string(&j, "todo", f->todo);
		else
			json_null(&j, "todo");
		json_object_end(&j);
	}
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
}

static const char *level_color(enum doctor_level level)
{
	return level == DOCTOR_OK	 ? color_green(stdout)
	       : level == DOCTOR_NOTE	 ? ""
	       : level <= DOCTOR_WARNING ? color_yellow(stdout)
					 : color_red(stdout);
}

/* Where the text of a finding begins. */
#define INDENT 23

static void print_finding(const struct doctor_finding *f)
{
	const char *color = level_color(f->level);

	words_print(stdout, INDENT, "%s%-7s%s  %-12s  %s\n", color,
		    doctor_level_name(f->level),
		    *color ? color_off(stdout) : "", f->check, shown(f->what));
	if (f->todo)
		words_print(stdout, INDENT + 2, "%*s> %s\n", INDENT, "",
			    shown(f->todo));
}

/* What is wrong comes last, where a terminal has stopped. */
static void print_text(const struct doctor *d)
{
	size_t counts[DOCTOR_BAD + 1] = {};

	for (int level = DOCTOR_OK; level <= DOCTOR_BAD; level++)
		for (size_t i = 0; i < d->count; i++)
			if ((int)d->findings[i].level == level) {
				print_finding(&d->findings[i]);
				counts[level]++;
			}
	printf("\n%zu ok, %zu note%s, ", counts[DOCTOR_OK], counts[DOCTOR_NOTE],
	       counts[DOCTOR_NOTE] == 1 ? "" : "s");
	if (counts[DOCTOR_UNKNOWN])
		printf("%zu unknown, ", counts[DOCTOR_UNKNOWN]);
	printf("%zu warning%s, %zu bad\n", counts[DOCTOR_WARNING],
	       counts[DOCTOR_WARNING] == 1 ? "" : "s", counts[DOCTOR_BAD]);
}

static int run(const struct cmd_line *line)
{
	const char *report = cmd_value(line, "report");
	bool alone = report && !strcmp(report, "-"); /* on stdout */
	struct doctor d = {};
	int result = CMD_FAILED;
	bool bad = false;

	if (alone && line->json)
		return cmd_usage(line, "--report -: excludes --json");
	if (alone && isatty(STDOUT_FILENO))
		return cmd_usage(
			line,
			"--report -: an archive is nothing for a terminal: redirect it");
	doctor_check_kernel(&d, line->pin_dir);
	if (open_instance(&d, line->pin_dir) || netdev_read(&d.netdev))
		goto out;
	doctor_check_programs(&d);
	doctor_check_node(&d);
	doctor_check_routes(&d);
	doctor_check_foreign(&d);
	doctor_check_policy(&d);
	for (size_t i = 0; i < d.count; i++)
		bad |= d.findings[i].level == DOCTOR_BAD;
	if (line->json)
		print_json(&d, bad);
	else if (!alone)
		print_text(&d);
	result = bad ? CMD_FAILED : CMD_OK;
	if (report) {
		if (doctor_report(&d, line->pin_dir, report))
			result = CMD_FAILED;
	}
out:
	doctor_free(&d);
	return result;
}

static const struct cmd_option options[] = {
	{ "report", "FILE",
	  "write all that helps to help into one tar archive; -: to stdout" },
	{},
};

const struct cmd cmd_doctor = {
	.name = "doctor",
	.args = "",
	.help = "what would make masqbpf useless or harmful here",
	.options = options,
	.examples = "  masqbpf doctor --report report.tar\n",
	.run = run,
};

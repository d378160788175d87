// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_history.c - `masqbpf history` and `masqbpf rollback GENERATION`: the
 * last policies, who made them, and back to one of them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/table.h"
#include "base/words.h"
#include "cli/change.h"
#include "cli/cmd.h"
#include "cli/diff.h"
#include "cli/history_evidence.h"
#include "policy/compare.h"
#include "policy/history.h"
#include "policy/ward.h"

#define NS_PER_SEC 1000000000ULL

static const char *when(uint64_t ns, char *buf, size_t len)
{
	time_t seconds = ns / NS_PER_SEC;
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(buf, len, "%F %T", &tm);
	return buf;
}

static const char *config_text(const struct policy *policy, char *buf,
			       size_t len)
{
	if (*policy->source.config_path)
		snprintf(buf, len, "%s", policy->source.config_path);
	else if (*policy->source.preset)
		snprintf(buf, len, "preset %s", policy->source.preset);
	else
		snprintf(buf, len, "-");
	return buf;
}

static int parse_generation(const struct cmd_line *line, uint32_t *out)
{
	uint64_t number;
	char err[256];

	if (number_parse(line->argv[0], 1, UINT32_MAX, &number, err,
			 sizeof(err)))
		return cmd_usage(line, "%s: not a generation: %s",
				 line->argv[0], err);
	*out = number;
	return CMD_OK;
}

/* CMD_OK, or CMD_FAILED with what is kept instead. */
static int load(const struct instance *instance, const struct cmd_line *line,
		uint32_t generation, uint32_t newest, struct policy **policy,
		struct history_note *note)
{
	char kept[HISTORY_KEPT * 12] = "";
	int err = history_load(instance, generation, policy, note);

	if (!err)
		return CMD_OK;
	if (err != -ENOENT) {
		log_error("%s: generation %u: %s", line->cmd->name, generation,
			  strerror(-err));
		return CMD_FAILED;
	}
	while ((newest = history_newest(instance, newest))) {
		size_t used = strlen(kept);

		snprintf(kept + used, sizeof(kept) - used, "%s%u",
			 used ? ", " : "", newest--);
	}
	log_error("%s: generation %u: not kept; there are: %s", line->cmd->name,
		  generation, *kept ? kept : "none");
	return CMD_FAILED;
}

/* --- history ----------------------------------------------------------- */

static void json_note(struct json *j, const struct policy *policy,
		      const struct history_note *note, bool running)
{
	char text[300];

	json_u64(j, "generation", policy->head.generation);
	json_double(j, "applied", policy->head.applied_ns / 1e9);
	json_bool(j, "running", running);
	json_string(j, "who", note->who);
	json_string(j, "command", note->command);
	json_string(j, "config", config_text(policy, text, sizeof(text)));
	json_u64(j, "added", note->change.added);
	json_u64(j, "removed", note->change.removed);
	json_u64(j, "changed", note->change.changed);
}

static int list(struct instance *instance, const struct cmd_line *line,
		uint32_t running)
{
	static const char *const headers[] = { ">GENERATION", "WHEN",
					       "CHANGE",      "WHO",
					       "COMMAND",     "CONFIG",
					       NULL };
	struct table *t = NULL;
	char text[300];
	struct json j;

	if (line->json) {
		json_begin(&j, stdout);
		json_array(&j, NULL);
	} else {
		t = table_new(headers);
	}
	for (uint32_t g = running; (g = history_newest(instance, g)); g--) {
		struct history_note note;
		struct policy *policy;

		/* a writer may remove the oldest one just now */
		if (history_load(instance, g, &policy, &note))
			continue;
		if (line->json) {
			json_object(&j, NULL);
			json_note(&j, policy, &note, g == running);
			json_object_end(&j);
		} else {
			table_cell(t, "%s%u", g == running ? "* " : "", g);
			if (g == running)
				table_color(t, color_green(stdout));
			table_cell(t, "%s",
				   when(policy->head.applied_ns, text,
					sizeof(text)));
			table_cell(t, "+%zu -%zu ~%zu", note.change.added,
				   note.change.removed, note.change.changed);
			table_cell(t, "%s", note.who);
			table_cell(t, "%s", note.command);
			table_cell(t, "%s",
				   config_text(policy, text, sizeof(text)));
			table_row_end(t);
		}
		policy_free(policy);
	}
	if (line->json) {
		json_array_end(&j);
		json_end(&j);
	} else {
		table_print(t, stdout);
	}
	return CMD_OK;
}

static const char *list_text(const struct policy_entry *entry)
{
	if (entry->list == MASQ_L_POD)
		return "pods";
	if (entry->list == MASQ_L_KEEP_SOURCE)
		return "keep source";
	return action_name(entry->action);
}

/* The nearest generation below that is kept; NULL: none is. */
static struct policy *load_before(const struct instance *instance,
				  uint32_t generation)
{
	uint32_t before = history_newest(instance, generation - 1);
	struct policy *policy;

	if (!before || history_load(instance, before, &policy, NULL))
		return NULL;
	return policy;
}

static void print_prefixes(const struct policy *policy)
{
	char text[320], cidr[CIDR_STRLEN];

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		printf("%-11s %-20s %s\n", list_text(entry),
		       cidr_format(&entry->cidr, cidr, sizeof(cidr)),
		       shown(policy_origin(policy, entry, text, sizeof(text))));
	}
}

static void json_prefixes(struct json *j, const struct policy *policy)
{
	char text[320];

	json_array(j, "prefixes");
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		json_object(j, NULL);
		json_string(j, "prefix",
			    cidr_format(&entry->cidr, text, sizeof(text)));
		json_string(j, "action", list_text(entry));
		json_string(j, "origin",
			    policy_origin(policy, entry, text, sizeof(text)));
		json_object_end(j);
	}
	json_array_end(j);
}

static int show(struct instance *instance, const struct cmd_line *line,
		uint32_t running)
{
	struct policy *policy = NULL, *before = NULL;
	struct history_note note;
	struct plan *plan = NULL;
	struct ward *ward = NULL;
	uint32_t generation;
	char text[320];
	struct json j;
	int result = parse_generation(line, &generation)
			     ?: load(instance, line, generation, running,
				     &policy, &note);

	if (result)
		return result;
	before = load_before(instance, generation);
	if (before && plan_make(instance, before, policy, &plan)) {
		log_error("history: %s", strerror(ENOMEM));
		policy_free(before);
		policy_free(policy);
		return CMD_FAILED;
	}
	if (ward_evidence(instance, generation, &ward))
		ward = NULL;
	if (line->json) {
		json_begin(&j, stdout);
		json_object(&j, NULL);
		json_note(&j, policy, &note, generation == running);
		json_prefixes(&j, policy);
		if (plan) {
			json_u64(&j, "before", before->head.generation);
			diff_json(&j, plan);
		} else {
			json_null(&j, "before");
		}
		evidence_json(&j, ward);
		json_object_end(&j);
		json_end(&j);
	} else {
		words_print(stdout, 4, "generation %u, %s, by %s: %s\n",
			    generation,
			    when(policy->head.applied_ns, text, sizeof(text)),
			    shown(note.who), shown(note.command));
		if (plan)
			printf("%s generation %u:\n\n",
			       plan_is_empty(plan) ? "the same as" : "against",
			       before->head.generation);
		else
			printf("the first one that is kept:\n\n");
		if (plan) {
			struct words words;

			diff_print(words_begin(&words), plan, 0);
			words_end(&words, stdout, 6);
		} else {
			print_prefixes(policy);
		}
		if (ward)
			evidence_print(ward);
	}
	ward_close(ward);
	plan_free(plan);
	policy_free(before);
	policy_free(policy);
	return CMD_OK;
}

static int run_history(const struct cmd_line *line)
{
	struct instance *instance = NULL;
	struct policy *policy = NULL;
	int result = cmd_open_policy(line, INSTANCE_READ, &instance, &policy);

	if (!result)
		result =
			line->argc
				? show(instance, line, policy->head.generation)
				: list(instance, line, policy->head.generation);
	policy_free(policy);
	instance_close(instance);
	return result;
}

const struct cmd cmd_history = {
	.name = "history",
	.args = "[GENERATION]",
	.help = "the last policies, who made them; or what one has changed",
	.max = 1,
	.run = run_history,
};

/* --- rollback ---------------------------------------------------------- */

static int run_rollback(const struct cmd_line *line)
{
	struct policy *running = NULL, *old = NULL;
	struct instance *instance = NULL;
	uint32_t generation = 0, now;
	int result = change_parse(line);

	if (!result && line->argc)
		result = parse_generation(line, &generation);
	if (result)
		return result;
	result = cmd_open_policy(line, INSTANCE_WRITE, &instance, &running);
	if (result)
		goto out;
	now = running->head.generation;
	if (!line->argc) {
		generation = history_newest(instance, now - 1);
		if (!generation) {
			log_error("rollback: nothing is kept before generation "
				  "%u",
				  now);
			result = CMD_FAILED;
			goto out;
		}
		log_info("rollback: to generation %u", generation);
	}
	result = load(instance, line, generation, now, &old, NULL);
	if (result)
		goto out;
	/*
	 * The file's content that was last acted upon stays what it is:
	 * otherwise an agent would take the file for changed, and the
	 * rollback back.
	 */
	old->source.config_hash = running->source.config_hash;
	old->source.options = running->source.options;
	result = change_check(line, instance, running, old);
	if (result)
		goto out;
	result = change_apply(line, instance, running, old);
	if (old->head.generation == now && generation != now)
		log_info(
			"rollback: generation %u is the same policy as %u, which runs: nothing changed",
			generation, now);
	else if (old->head.generation == now)
		log_info(
			"rollback: generation %u is what runs: nothing changed",
			generation);
out:
	policy_free(old);
	policy_free(running);
	instance_close(instance);
	return result == CHANGE_STOP ? CMD_OK : result;
}

static const struct cmd_option rollback_options[] = {
	CHANGE_OPTIONS,
	{},
};

const struct cmd cmd_rollback = {
	.name = "rollback",
	.args = "[GENERATION]",
	.help = "make one of the last policies, or the one before, run again",
	.max = 1,
	.options = rollback_options,
	.run = run_rollback,
};

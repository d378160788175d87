// SPDX-License-Identifier: GPL-2.0-only
/* change.c - before, while and after the policy is changed by hand. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/duration.h"
#include "base/lock.h"
#include "base/log.h"
#include "base/prefix.h"
#include "cli/change.h"
#include "cli/plan_json.h"
#include "kernel/podname.h"
#include "plane/agent_lock.h"
#include "plane/fit.h"
#include "plane/flows.h"
#include "policy/apply.h"
#include "policy/compare.h"
#include "policy/judge.h"
#include "policy/live.h"
#include "policy/saved.h"
#include "policy/ward.h"

#define SECOND_NS    1000000000ULL
#define GUARD_MAX_NS (3600 * SECOND_NS)
#define LOCK_MS	     10000
#define FLIPS_SAID   8

static uint64_t window_ns(const struct cmd_line *line)
{
	const char *text = cmd_value(line, "guard");
	uint64_t ns = VIGIL_WINDOW_MS * 1000000ULL;

	if (text && *text)
		duration_parse(text, &ns, NULL, 0);
	return ns;
}

int change_parse(const struct cmd_line *line)
{
	const char *text = cmd_value(line, "guard");
	char err[128];
	uint64_t ns;

	if (!text || !*text)
		return CMD_OK;
	if (duration_parse(text, &ns, err, sizeof(err)))
		return cmd_usage(line, "--guard=%s: %s", text, err);
	if (ns < 5 * SECOND_NS || ns > GUARD_MAX_NS)
		return cmd_usage(line, "--guard=%s: must be 5s to 1h", text);
	return CMD_OK;
}

/* --- before ------------------------------------------------------------ */

static int add_flow(void *data, const struct flow *flow)
{
	return plan_add_flow(data, flow);
}

static void append(char *text, size_t size, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void append(char *text, size_t size, const char *fmt, ...)
{
	size_t used = strlen(text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text + used, size - used, fmt, ap);
	va_end(ap);
}

/* A range that is in use, and by whom: a line of its own. */
static void say_used(const struct plan_flip *flip, const char *whose)
{
	char from[CIDR_STRLEN + 16], to[CIDR_STRLEN + 16];
	char range[CIDR_STRLEN], pod[PODNAME_STRLEN];
	char pods[3 * PODNAME_STRLEN + 32] = "";

	for (size_t k = 0; k < flip->pod_count && k < 3; k++)
		append(pods, sizeof(pods), "%s%s", k ? ", " : " of ",
		       podname_beside(&flip->pods[k].pod, pod, sizeof(pod)));
	if (flip->pod_count > 3)
		append(pods, sizeof(pods), " and %zu more pods",
		       flip->pod_count - 3);
	log_warn("%s%s: %s becomes %s; in use: %llu live flow%s%s", whose,
		 cidr_format(&flip->range, range, sizeof(range)),
		 plan_treatment_text(&flip->from, from, sizeof(from)),
		 plan_treatment_text(&flip->to, to, sizeof(to)),
		 (unsigned long long)flip->live_flows,
		 flip->live_flows == 1 ? "" : "s", pods);
}

/* The others: one line for each way that they flip. */
static void say_unused(const struct plan_flips *flips, size_t first,
		       const char *whose)
{
	const struct plan_flip *like = &flips->items[first];
	char from[CIDR_STRLEN + 16], to[CIDR_STRLEN + 16], range[CIDR_STRLEN];
	char text[512] = "";
	size_t named = 0, more = 0;

	for (size_t i = 0; i < flips->count; i++) {
		const struct plan_flip *flip = &flips->items[i];

		if (flip->live_flows || cidr_no_effect(&flip->range) ||
		    !treatment_same(&flip->from, &like->from) ||
		    !treatment_same(&flip->to, &like->to))
			continue;
		/* it has been said of an earlier one */
		if (i < first)
			return;
		if (named == FLIPS_SAID) {
			more++;
			continue;
		}
		append(text, sizeof(text), "%s%s", named++ ? ", " : "",
		       cidr_format(&flip->range, range, sizeof(range)));
	}
	if (more)
		append(text, sizeof(text), " and %zu more", more);
	log_info("%s%s: %s becomes %s", whose, text,
		 plan_treatment_text(&like->from, from, sizeof(from)),
		 plan_treatment_text(&like->to, to, sizeof(to)));
}

/* So many ways to flip are told apart: source addresses may be many. */
#define WAYS_SAID 8

static void say_flips(const struct plan_flips *flips, const char *whose)
{
	size_t said = 0, more = 0;

	for (size_t i = 0; i < flips->count; i++) {
		if (!flips->items[i].live_flows)
			continue;
		if (said++ < FLIPS_SAID)
			say_used(&flips->items[i], whose);
		else
			more++;
	}
	if (more)
		log_warn("and %zu more ranges that are in use", more);
	for (size_t i = 0; i < flips->count && i < WAYS_SAID * FLIPS_SAID; i++)
		if (!flips->items[i].live_flows &&
		    !cidr_no_effect(&flips->items[i].range))
			say_unused(flips, i, whose);
}

/* On a terminal; the agent is not held up meanwhile. */
static int ask(const struct cmd_line *line, struct instance *instance,
	       const struct policy *from, const char *why)
{
	struct masq_policy now;
	uint32_t active;
	char answer[8] = "";

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO)) {
		log_error("%s: %s: needs --yes", line->cmd->name, why);
		return CMD_USAGE;
	}
	instance_unlock(instance);
	fprintf(stderr, "%s\nGo on? [y/N] ", why);
	if (!fgets(answer, sizeof(answer), stdin) ||
	    (*answer != 'y' && *answer != 'Y')) {
		log_error("%s: nothing was changed", line->cmd->name);
		return CMD_USAGE;
	}
	/* another table, too, is another one: this was made for ours */
	if (lock_take(instance->lock_fd, LOCK_MS) ||
	    instance_renew(instance, true) ||
	    map_read(instance, MAP_masq_active, 0, &active) ||
	    map_read(instance, MAP_masq_policy, active & 1, &now) ||
	    now.generation != from->head.generation) {
		log_error(
			"%s: somebody has changed the policy meanwhile, or is "
			"at it: run it again",
			line->cmd->name);
		return CMD_FAILED;
	}
	return CMD_OK;
}

static int judge(const struct cmd_line *line, struct instance *instance,
		 struct policy *from, struct policy *to, struct plan **out)
{
	struct plan *plan = NULL;
	int err = plan_make(instance, from, to, &plan);

	if (!err && *instance->pin_dir &&
	    (plan->dests.count || plan->sources.count))
		err = flows_walk_owners(instance, add_flow, plan);
	if (!err) {
		plan->live_said = true;
		err = plan_judge(plan);
	}
	if (err) {
		log_error("%s: %s", line->cmd->name, strerror(-err));
		plan_free(plan);
		return CMD_FAILED;
	}
	for (size_t i = 0; i < plan->setting_count; i++)
		log_info("%s: %s becomes %s", plan->settings[i].name,
			 plan->settings[i].from, plan->settings[i].to);
	say_flips(&plan->dests, "");
	say_flips(&plan->sources, "pods in ");
	for (size_t i = 0; i < plan->warning_count; i++)
		log_warn("%s", plan->warnings[i]);
	*out = plan;
	if (!cmd_flag(line, "dry-run"))
		return CMD_OK;
	if (line->json)
		plan_json(plan, *instance->pin_dir, NULL);
	log_info("dry run: nothing was changed");
	return CHANGE_STOP;
}

int change_say(const struct cmd_line *line, struct instance *instance,
	       struct policy *from, struct policy *to)
{
	struct plan *plan = NULL;
	int result = judge(line, instance, from, to, &plan);

	plan_free(plan);
	return result;
}

int change_check(const struct cmd_line *line, struct instance *instance,
		 struct policy *from, struct policy *to)
{
	struct plan *plan = NULL;
	char wider[256];
	int result = judge(line, instance, from, to, &plan);

	if (!result && plan_wider(plan, wider, sizeof(wider)) &&
	    !cmd_flag(line, "yes"))
		result = ask(line, instance, from, wider);
	plan_free(plan);
	return result;
}

/* --- after ------------------------------------------------------------- */

static volatile sig_atomic_t ending;

static void on_signal(int sig)
{
	(void)sig;
	ending = 1;
}

static int take_back(const struct cmd_line *line, struct ward *ward)
{
	uint32_t back = 0;
	char holder[64];
	int err = lock_take(ward->instance->lock_fd, LOCK_MS);

	if (err == -EBUSY) {
		log_warn("%s: guard: to be taken back, but locked by %s: tried "
			 "again",
			 line->cmd->name,
			 lock_holder(ward->instance->lock_fd, holder,
				     sizeof(holder)));
		return -EAGAIN;
	}
	/* somebody may have given it another size */
	if (!err && instance_renew(ward->instance, true) < 0) {
		instance_unlock(ward->instance);
		return -EAGAIN; /* said why */
	}
	err = err ?: ward_go_back(ward, &back);
	if (!err)
		change_save(ward->instance);
	instance_unlock(ward->instance);
	if (!err)
		log_error("%s: guard: generation %u broke traffic and is taken "
			  "back: generation %u is generation %u again (masqbpf "
			  "history %u)",
			  line->cmd->name, ward->state.generation, back,
			  ward->state.from, ward->state.generation);
	else
		log_error("%s: guard: cannot be taken back: %s",
			  line->cmd->name,
			  err == -ESTALE ? "another change has come since"
					 : strerror(-err));
	return err;
}

static void say_broken(const struct cmd_line *line, const struct ward *ward)
{
	char text[512], todo[128];
	struct vigil_net **nets;
	size_t count = ward_broken(ward, &nets);

	for (size_t i = 0; i < count && i < 4; i++)
		log_error("%s: guard: generation %u broke %s: %s",
			  line->cmd->name, ward->state.generation,
			  ward_text(ward, nets[i], text, sizeof(text)),
			  ward_todo(ward, todo, sizeof(todo)));
	free(nets);
}

/* Until it has judged. Whoever ends it leaves the notes, and so the alarm. */
static int watch(const struct cmd_line *line, struct instance *instance)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct ward *ward;
	bool said = false;
	int err = ward_open(instance, &ward), result = CMD_OK;
	uint32_t pace = 1;

	if (err == -ENOENT) {
		log_info(
			"guard: nothing to watch: all is treated as before this change and those that were watched still");
		return CMD_OK;
	}
	if (err) {
		log_error("%s: guard: %s", line->cmd->name, strerror(-err));
		return CMD_FAILED;
	}
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	log_info("guard: generation %u is watched for %llu s",
		 ward->state.generation,
		 (unsigned long long)window_ns(line) / SECOND_NS);
	while (!err && !ending &&
	       ward_now_ms(instance) <= ward->state.until_ms) {
		const struct timespec t = { pace / 1000,
					    pace % 1000 * 1000000L };

		nanosleep(&t, NULL);
		pace = 2000;
		/* of a table that is not in force nothing is learnt */
		err = instance_renew(instance, false);
		err = err < 0 ? err : ward_look(ward, true);
		ward->state.tended_ms = ward_now_ms(instance);
		ward->news = true;
		if (!err && ward_is_current(ward) <= 0) {
			log_error("%s: guard: another change has come since: "
				  "watched no more",
				  line->cmd->name);
			result = CMD_FAILED;
			goto out;
		}
		if (!err && ward->verdict == VIGIL_PROVEN &&
		    !(ward->state.flags & (WARD_ALARM_ONLY | WARD_FIRST))) {
			err = take_back(line, ward);
			if (err != -EAGAIN) {
				result = CMD_FAILED;
				goto out;
			}
			err = 0;
		} else if (!err && ward->verdict != VIGIL_QUIET && !said) {
			say_broken(line, ward);
			said = true;
		}
		if (!err)
			ward_save(ward);
	}
	ward->news = true;
	ward_save(ward);
	/* a reboot is to know how it has ended; an agent saves that, too */
	if (!lock_take(instance->lock_fd, LOCK_MS)) {
		change_save(instance);
		instance_unlock(instance);
	}
	if (err)
		log_error("%s: guard: %s", line->cmd->name, strerror(-err));
	else if (ending)
		log_warn("guard: ended before its time: the change stays, and "
			 "status tells what comes of it");
	else if (ward->verdict == VIGIL_QUIET)
		log_info("guard: generation %u broke nothing",
			 ward->state.generation);
	result = err || ending || ward->verdict != VIGIL_QUIET ? CMD_FAILED
							       : CMD_OK;
out:
	ward_close(ward);
	return result;
}

void change_save(struct instance *instance)
{
	saved_keep(instance, agent_lock_owner(instance) < 0);
}

int change_apply(const struct cmd_line *line, struct instance *instance,
		 struct policy *from, struct policy *to)
{
	bool guard = cmd_flag(line, "guard");
	struct policy_change change;

	if (policy_apply(instance, to, &change))
		return CMD_FAILED;
	policy_report(&change, line->json);
	ward_begin(instance, from, to, window_ns(line), guard ? WARD_CLI : 0);
	policy_settle(instance, to, &change);
	change_save(instance);
	if (!guard)
		return CMD_OK;
	fflush(stdout);
	instance_unlock(instance);
	return watch(line, instance);
}

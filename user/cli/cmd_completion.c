// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_completion.c - `masqbpf completion SHELL`: a completion script; and
 * `completion values`, which the scripts ask for what there is right now.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "cli/cmd.h"
#include "cli/completion.h"
#include "kernel/podname.h"
#include "plane/inside.h"
#include "policy/history.h"
#include "policy/policy.h"

#define VALUES_MAX 1000
#define PODS_MAX   200

static void print_prefixes(const struct policy *policy, bool built_in)
{
	char text[CIDR_STRLEN];
	size_t count = 0;

	for (size_t i = 0; i < policy->count && count < VALUES_MAX; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list != MASQ_L_DST ||
		    (!built_in && entry->origin == MASQ_O_BUILTIN))
			continue;
		printf("%s\n", cidr_format(&entry->cidr, text, sizeof(text)));
		count++;
	}
}

static void print_generations(const struct instance *instance, uint32_t g)
{
	for (; (g = history_newest(instance, g)); g--)
		printf("%u\n", g);
}

/* Each name once, whatever addresses it has. */
static void print_names(void)
{
	const struct cni *cni = podname_all();

	for (size_t i = 0; cni && i < cni->count && i < VALUES_MAX; i++) {
		const struct cni_pod *pod = &cni->pods[i];
		size_t k = 0;

		while (k < i && (strcmp(cni->pods[k].name, pod->name) ||
				 strcmp(cni->pods[k].space, pod->space)))
			k++;
		if (k == i)
			printf("%s/%s\n", pod->space, pod->name);
	}
}

/* Those that have flows, and no name. */
static void print_pods(struct instance *instance)
{
	char text[CIDR_STRLEN];

	for (uint8_t family = 4; family <= 6; family += 2) {
		struct addr pod = {};

		for (int i = 0;
		     i < PODS_MAX && inside_next_pod(instance, family, &pod);
		     i++)
			if (!podname_of(&pod))
				printf("%s\n",
				       addr_format(&pod, text, sizeof(text)));
	}
}

/* Who presses Tab does not wait for who has the lock. */
static void end_soon(void)
{
	const struct itimerspec soon = { .it_value.tv_sec = 2 };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = SIGTERM };
	timer_t timer;

	if (!timer_create(CLOCK_MONOTONIC, &event, &timer))
		timer_settime(timer, 0, &soon, NULL);
}

static int print_values(const struct cmd_line *line)
{
	const char *what = line->argc > 1 ? line->argv[1] : "";
	bool prefixes = !strcmp(what, "prefixes");
	bool removable = !strcmp(what, "removable");
	bool generations = !strcmp(what, "generations");
	struct instance *instance = NULL;
	struct policy *policy = NULL;
	int result;

	if (!prefixes && !removable && !generations && strcmp(what, "pods"))
		return cmd_usage(
			line,
			"values %s: not prefixes, removable, generations or pods",
			what);
	end_soon();
	if (!strcmp(what, "pods"))
		print_names();
	fflush(stdout);
	result = cmd_open_policy(line, INSTANCE_READ, &instance, &policy);
	if (!result && (prefixes || removable))
		print_prefixes(policy, prefixes);
	else if (!result && generations)
		print_generations(instance, policy->head.generation);
	else if (!result)
		print_pods(instance);
	policy_free(policy);
	instance_close(instance);
	return result;
}

static int run(const struct cmd_line *line)
{
	const char *shell = line->argv[0];

	if (line->json)
		return cmd_usage(line, "--json: a script is text alone");
	if (!strcmp(shell, "values"))
		return print_values(line);
	if (line->argc > 1)
		return cmd_usage(line, "%s: one word is enough", line->argv[1]);
	if (!strcmp(shell, "bash"))
		completion_bash(line->commands);
	else if (!strcmp(shell, "zsh"))
		completion_zsh(line->commands);
	else if (!strcmp(shell, "fish"))
		completion_fish(line->commands);
	else
		return cmd_usage(line, "%s: not bash, zsh or fish", shell);
	return CMD_OK;
}

const struct cmd cmd_completion = {
	.name = "completion",
	.args = "bash|zsh|fish | values WHAT",
	.help = "a completion script for that shell, on stdout",
	.min = 1,
	.max = 2,
	.run = run,
};

// SPDX-License-Identifier: GPL-2.0-only
/* health.c - a line for each thing that is not as it should be. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "agent/health.h"
#include "base/safe.h"
#include "plane/counters.h"
#include "policy/read.h"

static void __attribute__((format(printf, 2, 3)))
add_text(struct agent_health *health, const char *fmt, ...)
{
	char text[sizeof(health->text)], *rest = text, *line;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while ((line = strsep(&rest, "\n"))) {
		size_t used = strlen(health->text);

		snprintf(health->text + used, sizeof(health->text) - used,
			 "%s%s", shown(line), rest ? "\n" : "");
	}
}

/* Whoever asks often gets the same again. */
#define VERDICT_MS    1000
#define VERDICT_REUSE 10
/* "Right now": dropped within so long. */
#define DROPS_MS 60000

static int read_verdict(struct agent *a, struct verdict *v)
{
	struct policy *policy = NULL;
	uint64_t now = follow_now_ms();
	int err = 0;

	if (a->guard_action != GUARD_OFF)
		err = verdict_guard(v, a->ward);
	err = err ?: verdict_traffic(v, a->instance);
	if (!err && !policy_read(a->instance, &policy)) {
		err = verdict_policy(v, a->instance, policy)
			      ?: verdict_drift(v, a->instance, policy);
		policy_free(policy);
	}
	err = err ?: counters_stats(a->instance, a->drops);
	if (!a->drops_ms || now - a->drops_ms >= DROPS_MS) {
		/* the first look cannot tell old drops from new ones */
		memcpy(a->drops_before, a->drops, sizeof(a->drops));
		a->drops_ms = now;
	}
	return err ?: verdict_drops(v, a->drops_before, a->drops);
}

const struct verdict *agent_verdict(struct agent *a)
{
	uint64_t now = follow_now_ms();

	if (a->verdict_known &&
	    now - a->verdict_ms <
		    VERDICT_MS + VERDICT_REUSE * a->verdict_cost_ms)
		return &a->verdict;
	verdict_free(&a->verdict);
	a->verdict_known = !read_verdict(a, &a->verdict);
	if (!a->verdict_known)
		verdict_add(&a->verdict, "maps", VERDICT_DEGRADED, NULL,
			    "the dataplane cannot be read");
	a->verdict_ms = follow_now_ms();
	a->verdict_cost_ms = a->verdict_ms - now;
	return &a->verdict;
}

static void add_verdict(struct agent *a, struct agent_health *out)
{
	const struct verdict *v = agent_verdict(a);

	for (size_t i = 0; i < v->count; i++) {
		const struct verdict_item *item = &v->items[i];

		/* the refused file is the config's problem already */
		if (item->level == VERDICT_OK ||
		    (a->refused_hash && *a->config_problem &&
		     !strcmp(item->what, "guard")))
			continue;
		add_text(out, "%s: %s%s%s\n", item->what, item->text,
			 item->todo ? ": " : "", item->todo ?: "");
	}
}

void agent_health(struct agent *a, struct agent_health *out)
{
	size_t attached = 0, missing = 0;

	*out = (struct agent_health){};
	if (!a->has_policy)
		add_text(out, "no policy is in force\n");
	if (*a->config_problem)
		add_text(out, "%s%s\n", a->config_problem,
			 a->stale ? "; the policy in force is older" : "");
	if (a->has_policy)
		add_verdict(a, out);
	for (size_t i = 0; i < a->link_count; i++) {
		const struct agent_link *link = &a->links[i];

		attached += link->whole;
		missing += link->ifindex && !link->whole;
		if (!link->whole)
			add_text(out, "%s: %s\n", link->name,
				 !link->ifindex ? "no such interface"
				 : link->busy ? "is being attached: live flows "
						"are taken over"
					      : "is not attached");
	}
	if (a->has_policy && !attached)
		add_text(out, "no interface is attached\n");
	for (int kind = 0; kind < MASQ_DUE_MAX; kind++)
		if (*a->due[kind])
			add_text(out, "due: %s\n", a->due[kind]);
	add_text(out, "%s", a->foreign);
	out->ready = a->has_policy && attached && !missing;
}

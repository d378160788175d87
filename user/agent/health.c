// SPDX-License-Identifier: GPL-2.0-only
/* health.c - a line for each thing that is not as it should be. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "agent/health.h"
#include "base/safe.h"

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

void agent_health(const struct agent *a, struct agent_health *out)
{
	size_t attached = 0, missing = 0;

	*out = (struct agent_health){};
	if (!a->has_policy)
		add_text(out, "no policy is in force\n");
	if (*a->config_problem)
		add_text(out, "%s%s\n", a->config_problem,
			 a->stale ? "; the policy in force is older" : "");
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

// SPDX-License-Identifier: GPL-2.0-only
/* plan.c - a plan as data. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include "policy/plan.h"

int plan_warn(struct plan *plan, const char *fmt, ...)
{
	char **grown = reallocarray(plan->warnings, plan->warning_count + 1,
				    sizeof(*grown));
	va_list ap;
	int length;

	if (!grown)
		return -ENOMEM;
	plan->warnings = grown;
	va_start(ap, fmt);
	length = vasprintf(&grown[plan->warning_count], fmt, ap);
	va_end(ap);
	if (length < 0)
		return -ENOMEM;
	plan->warning_count++;
	return 0;
}

bool plan_is_empty(const struct plan *plan)
{
	return !plan->change_count && !plan->setting_count &&
	       !plan->dests.count && !plan->sources.count;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->warning_count; i++)
		free(plan->warnings[i]);
	free(plan->warnings);
	free(plan->changes);
	free(plan->dests.items);
	free(plan->sources.items);
	free(plan->hits);
	free(plan);
}

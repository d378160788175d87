// SPDX-License-Identifier: GPL-2.0-only
/*
 * foreign.c - rules of others that translate pods' packets before our
 * hook. The helper reads the rules, which takes privileges; what they mean is
 * judged here, by the policy and the flows.
 */
#include <errno.h>
#include <string.h>
#include "agent/foreign.h"
#include "base/log.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "report/findings.h"
#include "report/rules.h"

/* Between looks, where no config says its resyncInterval. */
#define INTERVAL_MS 60000

static void describe(const struct doctor *d, char *buf, size_t len)
{
	size_t used = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < d->count && used < len; i++)
		if (d->findings[i].level == DOCTOR_BAD ||
		    d->findings[i].level == DOCTOR_UNKNOWN)
			used += snprintf(buf + used, len - used,
					 "foreign NAT: %s\n",
					 d->findings[i].what);
}

static void look(struct agent *a, char *text, size_t len)
{
	struct doctor d = { .instance = a->instance };
	struct foreign_nat nat;
	int err = helper_foreign(&a->helper, &nat);

	if (err == -EPIPE)
		a->failed = err;
	if (!err)
		err = policy_read(a->instance, &d.policy);
	if (err == -ENODATA) /* not yet: then nobody is known to be a pod */
		err = 0;
	if (err) /* that, too, is said, and not that there are none */
		nat.unreadable = err;
	a->foreign_count = rules_judge(&d, &nat);
	describe(&d, text, len);
	doctor_free_findings(&d);
	policy_free(d.policy);
	foreign_nat_free(&nat);
}

void agent_foreign_update(struct agent *a)
{
	uint64_t start = follow_now_ms(), end, interval;
	char text[sizeof(a->foreign)];

	look(a, text, sizeof(text));
	if (!a->failed && strcmp(text, a->foreign)) {
		if (*text)
			log_warn("%.*s", (int)strcspn(text, "\n"), text);
		else
			log_info("foreign NAT: none any more");
	}
	memcpy(a->foreign, text, sizeof(a->foreign));
	end = follow_now_ms();
	interval = a->has_config ? a->follower.interval_ms : INTERVAL_MS;
	/* thousands of rules take a while: at most a tenth of the time */
	if (interval < 9 * (end - start))
		interval = 9 * (end - start);
	a->foreign_due_ms = end + interval;
}

// SPDX-License-Identifier: GPL-2.0-only
/* policies.c - see policies.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policies.h"

static void add(struct policy *policy, uint8_t list, uint8_t action,
		const char *text)
{
	struct policy_entry entry = { .list = list,
				      .action = action,
				      .origin = MASQ_O_CONFIG,
				      .line = policy->count + 1 };

	assert_int_equal(cidr_parse(text, &entry.cidr, NULL, 0), 0);
	assert_int_equal(policy_append(policy, &entry), 0);
}

void policy_fill(struct policy *policy, const char *text)
{
	char *copy = strdup(text), *save, *word;

	for (word = strtok_r(copy, " ", &save); word;
	     word = strtok_r(NULL, " ", &save)) {
		if (*word == '-')
			add(policy, MASQ_L_DST, MASQ_MASQUERADE, word + 1);
		else if (*word == '@')
			add(policy, MASQ_L_POD, MASQ_MASQUERADE, word + 1);
		else if (*word == '=')
			add(policy, MASQ_L_KEEP_SOURCE, MASQ_KEEP, word + 1);
		else
			add(policy, MASQ_L_DST, MASQ_KEEP, word);
	}
	free(copy);
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
}

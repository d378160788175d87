// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_plan.c - the flips of a plan against brute force: for random pairs of
 * policies every address of a small universe is asked for its treatment before
 * and after, and the ranges have to be exactly those, and as few as can be.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policy/compare.h"
#include "policy/judge.h"
#include "policy/live.h"
#include "policy/plan.h"
#include "policies.h"

/* Prefixes reach down to this length, so that many addresses are one. */
#define DEPTH	 7
#define UNIVERSE (1 << DEPTH)

static const struct instance nowhere = { .meta.hz = 1000 };

/* --- policies ---------------------------------------------------------- */

static struct policy *make_policy(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	assert_non_null(policy);
	policy->head.flags = MASQ_P_IPV6;
	policy->head.max_flows_per_pod = 1000;
	return policy;
}

static struct policy *policy_of(const char *text)
{
	struct policy *policy = make_policy();

	policy_fill(policy, text);
	return policy;
}

static struct policy *random_policy(unsigned int *seed)
{
	struct policy *policy = make_policy();
	int count = rand_r(seed) % 30;

	policy->snat = calloc(2, sizeof(*policy->snat));
	policy->snat_count = 2;
	for (int i = 0; i < 2; i++)
		assert_int_equal(pool_parse(i ? "192.0.2.1"
					      : "192.0.2.1-192.0.2.9",
					    &policy->snat[i], NULL, 0),
				 0);
	if (!(rand_r(seed) % 4))
		policy->head.flags &= ~MASQ_P_IPV6;
	if (rand_r(seed) % 2)
		policy->head.flags |= MASQ_P_DROP_FOREIGN;
	while (count--) {
		uint8_t plen = rand_r(seed) % (DEPTH + 1);
		struct policy_entry entry = {
			.list = 1 + rand_r(seed) % 3,
			.origin = MASQ_O_CONFIG,
			.cidr.plen = plen,
		};
		uint32_t bits = rand_r(seed) % (1 << plen);

		entry.action = entry.list == MASQ_L_DST
				       ? rand_r(seed) % 2
				       : entry.list == MASQ_L_KEEP_SOURCE;
		entry.cidr.addr.family = rand_r(seed) % 3 ? 4 : 6;
		if (plen)
			entry.cidr.addr.a[0] = htonl(bits << (32 - plen));
		if (entry.action == MASQ_MASQUERADE &&
		    entry.list == MASQ_L_DST && entry.cidr.addr.family == 4)
			entry.snat = rand_r(seed) % 3;
		assert_int_equal(policy_append(policy, &entry), 0);
	}
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	return policy;
}

/* --- brute force ------------------------------------------------------- */

/* The n-th piece of a family's universe, by an address somewhere in it. */
static struct addr address(uint8_t family, int n)
{
	uint32_t low = (uint32_t)n * 2654435761U >> DEPTH;

	return (struct addr){ family,
			      { htonl((uint32_t)n << (32 - DEPTH) | low),
				family == 6 ? htonl(low) : 0 } };
}

static bool covers(const struct cidr *cidr, const struct addr *addr)
{
	struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };

	return cidr_covers(cidr, &host);
}

/* Entry by entry, not by tries and not by binary search. */
static struct plan_treatment expect_dest(const struct policy *policy,
					 const struct addr *addr)
{
	const struct policy_entry *best = NULL;
	struct plan_treatment t = { .action = PLAN_MASQUERADE };

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list == MASQ_L_DST && covers(&entry->cidr, addr) &&
		    (!best || entry->cidr.plen > best->cidr.plen))
			best = entry;
	}
	assert_non_null(best); /* a built-in one at least */
	if (best->action == MASQ_KEEP ||
	    (addr->family == 6 && !(policy->head.flags & MASQ_P_IPV6)))
		t.action = PLAN_KEEP;
	else if (best->snat)
		t.snat = &policy->snat[best->snat - 1];
	return t;
}

static struct plan_treatment expect_source(const struct policy *policy,
					   const struct addr *addr)
{
	bool named = false, pod = false, keep = false;
	struct plan_treatment t = { .action = PLAN_POLICY };

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list == MASQ_L_POD) {
			named |= entry->cidr.addr.family == addr->family;
			pod |= covers(&entry->cidr, addr);
		} else if (entry->list == MASQ_L_KEEP_SOURCE) {
			keep |= covers(&entry->cidr, addr);
		}
	}
	if (named && !pod)
		t.action = policy->head.flags & MASQ_P_DROP_FOREIGN
				   ? PLAN_DROPPED
				   : PLAN_UNTOUCHED;
	else if (keep)
		t.action = PLAN_KEEP;
	return t;
}

static bool same(const struct plan_treatment *a, const struct plan_treatment *b)
{
	char x[POOL_STRLEN] = "", y[POOL_STRLEN] = "";

	if (a->snat)
		pool_format(a->snat, x, sizeof(x));
	if (b->snat)
		pool_format(b->snat, y, sizeof(y));
	return a->action == b->action && !strcmp(x, y);
}

/* Ranges that the flips among `size` pieces from `first` on come to. */
static size_t fewest(const struct plan_treatment *from,
		     const struct plan_treatment *to, int first, int size)
{
	bool uniform = true;

	for (int n = first + 1; n < first + size; n++)
		uniform &= same(&from[n], &from[first]) &&
			   same(&to[n], &to[first]);
	if (uniform)
		return !same(&from[first], &to[first]);
	return fewest(from, to, first, size / 2) +
	       fewest(from, to, first + size / 2, size / 2);
}

static const struct plan_flip *flip_of(const struct plan_flips *flips,
				       const struct addr *addr)
{
	const struct plan_flip *found = NULL;

	for (size_t i = 0; i < flips->count; i++) {
		if (!covers(&flips->items[i].range, addr))
			continue;
		assert_null(found); /* the ranges are disjoint */
		found = &flips->items[i];
	}
	return found;
}

static size_t check_family(struct plan *plan, uint8_t family, bool sources)
{
	const struct plan_flips *flips = sources ? &plan->sources
						 : &plan->dests;
	struct plan_treatment from[UNIVERSE], to[UNIVERSE];

	for (int n = 0; n < UNIVERSE; n++) {
		struct addr addr = address(family, n);
		const struct plan_flip *flip = flip_of(flips, &addr);

		from[n] = sources ? expect_source(plan->from, &addr)
				  : expect_dest(plan->from, &addr);
		to[n] = sources ? expect_source(plan->to, &addr)
				: expect_dest(plan->to, &addr);
		assert_int_equal(!flip, same(&from[n], &to[n]));
		if (flip) {
			assert_true(same(&flip->from, &from[n]));
			assert_true(same(&flip->to, &to[n]));
		}
	}
	return fewest(from, to, 0, UNIVERSE);
}

static void check(struct plan *plan)
{
	assert_int_equal(check_family(plan, 4, false) +
				 check_family(plan, 6, false),
			 plan->dests.count);
	assert_int_equal(check_family(plan, 4, true) +
				 check_family(plan, 6, true),
			 plan->sources.count);
}

/* --- rows -------------------------------------------------------------- */

static void random_pairs(void **state)
{
	unsigned int seed = 1, flips = 0;

	(void)state;
	for (int i = 0; i < 400; i++) {
		struct policy *from = random_policy(&seed);
		struct policy *to = random_policy(&seed);
		struct plan *plan;

		assert_int_equal(plan_make(&nowhere, from, to, &plan), 0);
		check(plan);
		flips += plan->dests.count + plan->sources.count;
		plan_free(plan);
		/* to itself: nothing */
		assert_int_equal(plan_make(&nowhere, to, to, &plan), 0);
		assert_true(plan_is_empty(plan));
		plan_free(plan);
		policy_free(from);
		policy_free(to);
	}
	assert_in_range(flips, 1000, UINT32_MAX);
}

/* The flow's two ends through plan_treat, and through the ranges. */
static void random_flows(void **state)
{
	unsigned int seed = 7, counted = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		struct policy *from = random_policy(&seed);
		struct policy *to = random_policy(&seed);
		uint64_t dests = 0, sources = 0, sum = 0;
		struct plan *plan;

		assert_int_equal(plan_make(&nowhere, from, to, &plan), 0);
		for (int k = 0; k < 100; k++) {
			uint8_t family = rand_r(&seed) % 3 ? 4 : 6;
			struct flow flow = {
				.kind = MASQ_K_FWD,
				.in = address(family, rand_r(&seed) % UNIVERSE),
				.rem = address(family,
					       rand_r(&seed) % UNIVERSE),
			};
			struct policy *both[2] = { from, to };
			struct plan_treatment t[2];

			for (int n = 0; n < 2; n++) {
				bool off = family == 6 &&
					   !(both[n]->head.flags & MASQ_P_IPV6);

				t[n] = expect_source(both[n], &flow.in);
				if (t[n].action == PLAN_POLICY || off)
					t[n] = expect_dest(both[n], &flow.rem);
			}
			if (!same(&t[0], &t[1])) {
				dests += !!flip_of(&plan->dests, &flow.rem);
				sources += !!flip_of(&plan->sources, &flow.in);
			}
			assert_int_equal(plan_add_flow(plan, &flow), 0);
		}
		assert_int_equal(plan_judge(plan), 0);
		for (size_t k = 0; k < plan->dests.count; k++)
			sum += plan->dests.items[k].live_flows;
		assert_int_equal(sum, dests);
		for (size_t k = 0; k < plan->sources.count; k++)
			sum += plan->sources.items[k].live_flows;
		assert_int_equal(sum, dests + sources);
		counted += sum;
		plan_free(plan);
		policy_free(from);
		policy_free(to);
	}
	assert_in_range(counted, 1000, UINT32_MAX);
}

/* What `from` -> `to` comes to: "CIDR CIDR ..." of the flips. */
static void expect_flips(const char *from, const char *to, const char *want,
			 size_t changes)
{
	struct policy *a = policy_of(from), *b = policy_of(to);
	char got[1024] = "", text[CIDR_STRLEN];
	struct plan *plan;

	assert_int_equal(plan_make(&nowhere, a, b, &plan), 0);
	for (size_t i = 0; i < plan->dests.count; i++)
		snprintf(got + strlen(got), sizeof(got) - strlen(got), "%s%s",
			 i ? " " : "",
			 cidr_format(&plan->dests.items[i].range, text,
				     sizeof(text)));
	assert_string_equal(got, want);
	assert_int_equal(plan->change_count, changes);
	plan_free(plan);
	policy_free(a);
	policy_free(b);
}

static void known_pairs(void **state)
{
	(void)state;
	expect_flips("10.0.0.0/8", "10.0.0.0/8 172.16.0.0/12", "172.16.0.0/12",
		     1);
	/* an exception stays one */
	expect_flips("10.0.0.0/8 -172.30.0.0/16",
		     "10.0.0.0/8 172.16.0.0/12 -172.30.0.0/16",
		     "172.16.0.0/13 172.24.0.0/14 172.28.0.0/15 172.31.0.0/16",
		     1);
	/* said twice, or in halves: another file, the same treatment */
	expect_flips("10.0.0.0/8", "10.0.0.0/8 10.1.0.0/16", "", 1);
	expect_flips("10.0.0.0/8", "10.0.0.0/9 10.128.0.0/9", "", 3);
	expect_flips("172.16.0.0/12 10.0.0.0/8", "10.0.0.0/8 172.16.0.0/12", "",
		     0);
	/* neighbours that flip alike are one range */
	expect_flips("", "10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8", 2);
	expect_flips("", "0.0.0.0/0", "0.0.0.0/0", 1);
	expect_flips("", "fd00::/8", "fd00::/8", 1);
	expect_flips("255.255.255.255/32", "", "255.255.255.255/32", 1);
	expect_flips("", "::1/128", "::1/128", 1);
}

static bool warned_of(const struct plan *plan, const char *what)
{
	for (size_t i = 0; i < plan->warning_count; i++)
		if (strstr(plan->warnings[i], what))
			return true;
	return false;
}

static struct flow flow_to(const char *pod, const char *dest)
{
	struct flow flow = { .kind = MASQ_K_FWD };

	assert_int_equal(addr_parse(pod, &flow.in, NULL, 0), 0);
	assert_int_equal(addr_parse(dest, &flow.rem, NULL, 0), 0);
	return flow;
}

static void live_flows_and_pods(void **state)
{
	struct policy *from = policy_of("10.0.0.0/8 =10.44.99.0/24");
	struct policy *to =
		policy_of("10.0.0.0/8 172.16.0.0/12 =10.44.99.0/24");
	const struct {
		const char *pod, *dest;
	} flows[] = {
		{ "10.44.14.16", "172.30.12.110" },
		{ "10.44.14.15", "172.30.12.110" },
		{ "10.44.14.15", "172.31.0.1" },
		/* not its prefix; kept whatever the destination */
		{ "10.44.14.17", "198.51.100.7" },
		{ "10.44.99.1", "172.30.12.110" },
	};
	struct flow inbound = flow_to("10.44.14.18", "172.30.12.110");
	char text[CIDR_STRLEN];
	struct plan *plan;

	(void)state;
	assert_int_equal(plan_make(&nowhere, from, to, &plan), 0);
	for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
		struct flow flow = flow_to(flows[i].pod, flows[i].dest);

		assert_int_equal(plan_add_flow(plan, &flow), 0);
	}
	inbound.kind = MASQ_K_INBOUND;
	assert_int_equal(plan_add_flow(plan, &inbound), 0);
	assert_int_equal(plan_judge(plan), 0);
	assert_int_equal(plan->dests.count, 1);
	assert_int_equal(plan->dests.items[0].live_flows, 3);
	assert_int_equal(plan->dests.items[0].pod_count, 2);
	assert_string_equal(addr_format(&plan->dests.items[0].pods[0].pod, text,
					sizeof(text)),
			    "10.44.14.15");
	assert_true(warned_of(plan, "3 live flows of 2 pods"));
	plan_free(plan);
	policy_free(from);
	policy_free(to);
}

static void expect_warning(const char *from, const char *to, const char *want,
			   bool given)
{
	struct policy *a = policy_of(from), *b = policy_of(to);
	struct plan *plan;

	assert_int_equal(plan_make(&nowhere, a, b, &plan), 0);
	assert_int_equal(plan_judge(plan), 0);
	assert_int_equal(warned_of(plan, want), given);
	plan_free(plan);
	policy_free(a);
	policy_free(b);
}

static void warnings(void **state)
{
	(void)state;
	expect_warning("10.0.0.0/8", "10.0.0.0/8 240.0.0.0/4",
		       "240.0.0.0/4: wider", true);
	expect_warning("10.0.0.0/8", "10.0.0.0/8 172.16.0.0/12", "wider",
		       false);
	expect_warning("10.0.0.0/8", "10.0.0.0/8 fd00::/8", "fd00::/8: wider",
		       true);
	expect_warning("10.0.0.0/8 @10.44.0.0/16",
		       "172.16.0.0/12 @10.44.0.0/16",
		       "podCIDRs 10.44.0.0/16: not kept", true);
	expect_warning("@10.44.0.0/16",
		       "10.0.0.0/8 -10.44.3.0/24 @10.44.0.0/16",
		       "(10.44.3.0/24 masquerade)", true);
	expect_warning("@10.44.0.0/16", "10.0.0.0/8 @10.44.0.0/16", "podCIDRs",
		       false);
	/* nothing changes: nothing to warn of */
	expect_warning("@10.44.0.0/16", "@10.44.0.0/16", "podCIDRs", false);
	expect_warning("169.254.0.0/16", "", "169.254.0.0/16: link-local",
		       true);
	expect_warning("", "169.254.0.0/16", "link-local", false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_pairs),
		cmocka_unit_test(random_pairs),
		cmocka_unit_test(random_flows),
		cmocka_unit_test(live_flows_and_pods),
		cmocka_unit_test(warnings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

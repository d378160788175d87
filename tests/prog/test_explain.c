// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_explain.c - what masq_ctl explains is what becomes of a packet: random
 * policies, sources and destinations; each is asked about, then sent, and the
 * answer is compared with the packet that comes out and with what was counted.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "prog.h"

#define POLICIES 60
#define PACKETS	 80
#define PREFIXES 8

static const char *const sources4[] = { POD4, POD4B, "10.99.1.1",
					"192.168.7.7" };
static const char *const sources6[] = { POD6, "fd00:44::16", "fd00:99::1",
					"2001:db8:ffff::1" };

/* Any address at all, and often one that is treated in a way of its own. */
static void random_address(unsigned int *seed, int family, char *text)
{
	static const char *const special4[] = {
		"224.0.0.1",
		"255.255.255.255",
		"169.254.169.254",
		"127.0.0.1",
		NODE4,
		"10.44.14.1",
		"172.16.0.0",
		"172.31.255.255",
		"240.0.0.1",
	};
	static const char *const special6[] = {
		"ff02::1", "fe80::1", "::1", NODE6, "fd00:44::1", "2001:db8::7",
	};
	uint32_t a[4];

	for (int i = 0; i < 4; i++)
		a[i] = (uint32_t)rand_r(seed) << 16 ^ rand_r(seed);
	if (!(rand_r(seed) % 8))
		strcpy(text, family == 4
				     ? special4[rand_r(seed) % ROWS(special4)]
				     : special6[rand_r(seed) % ROWS(special6)]);
	else
		inet_ntop(family == 4 ? AF_INET : AF_INET6, a, text,
			  INET6_ADDRSTRLEN);
}

static void random_prefix(unsigned int *seed, char *text)
{
	int family = rand_r(seed) % 3 ? 4 : 6, plen = rand_r(seed) % 7;
	uint32_t head = plen ? (uint32_t)rand_r(seed) << 4 : 0, a[4] = {};
	char addr[INET6_ADDRSTRLEN];

	/* the short ones overlap often */
	a[0] = plen ? htonl(head & ~0U << (32 - plen)) : 0;
	inet_ntop(family == 4 ? AF_INET : AF_INET6, a, addr, sizeof(addr));
	snprintf(text, INET6_ADDRSTRLEN + 4, "%s/%d", addr, plen);
}

/* podCIDRs and nonMasqueradeSrcCIDRs over some of the sources. */
static void random_source_list(struct prog_lab *lab, unsigned int *seed)
{
	for (int i = 0; i < 4; i++) {
		bool six = i & 1;
		struct masq_lpm_key key = {
			.plen = MASQ_LPM_SET_BITS + 16 + rand_r(seed) % 17,
			.set = six ? MASQ_SET_SRC6 : MASQ_SET_SRC4,
		};
		struct masq_lpm_value value = {
			.prefix = 12,
			.action = MASQ_KEEP,
			.source = rand_r(seed) % 4,
		};

		inet_pton(six ? AF_INET6 : AF_INET,
			  six ? sources6[rand_r(seed) % 4]
			      : sources4[rand_r(seed) % 4],
			  key.addr);
		bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key, &value,
				    BPF_ANY);
	}
}

static uint32_t next_flags;

static void set_flags(struct masq_policy *policy)
{
	policy->flags = next_flags;
}

static void random_policy(struct prog_lab *lab, unsigned int *seed)
{
	char p[PREFIXES][INET6_ADDRSTRLEN + 4];
	int a[PREFIXES];

	for (int i = 0; i < PREFIXES; i++) {
		random_prefix(seed, p[i]);
		a[i] = rand_r(seed) % 2;
	}
	prog_policy(lab, p[0], a[0], p[1], a[1], p[2], a[2], p[3], a[3], p[4],
		    a[4], p[5], a[5], p[6], a[6], p[7], a[7], NULL);
	random_source_list(lab, seed);
	next_flags = rand_r(seed) % 4 ? MASQ_P_IPV6 : 0;
	if (rand_r(seed) % 2)
		next_flags |= MASQ_P_PODS4;
	if (rand_r(seed) % 2)
		next_flags |= MASQ_P_PODS6;
	if (rand_r(seed) % 2)
		next_flags |= MASQ_P_KEEP_SOURCES;
	if (rand_r(seed) % 3 == 0)
		next_flags |= MASQ_P_DROP_FOREIGN;
	prog_policy_edit(lab, set_flags);
}

static struct masq_ctl ask(struct prog_lab *lab, int family, const char *src,
			   const char *dst)
{
	struct masq_ctl ctl = { .op = MASQ_CTL_EXPLAIN,
				.family = family,
				.proto = IPPROTO_UDP,
				.ifindex = lab->up };

	inet_pton(family == 4 ? AF_INET : AF_INET6, src, ctl.in_addr);
	inet_pton(family == 4 ? AF_INET : AF_INET6, dst, ctl.rem_addr);
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	assert_true(ctl.reason < MASQ_R_MAX);
	return ctl;
}

struct seen {
	unsigned int masqueraded, kept, passed, dropped;
};

static bool is_drop(uint32_t reason)
{
	static const bool drops[MASQ_R_MAX] = {
#define R(id, name, verdict, what, todo) \
	[MASQ_R_##id] = MASQ_##verdict == MASQ_DROP,
		MASQ_REASONS(R)
#undef R
	};

	return drops[reason];
}

static void check(struct prog_lab *lab, int family, const char *src,
		  const char *dst, uint16_t sport, struct seen *seen)
{
	const struct packet packet = { .proto = IPPROTO_UDP,
				       .src = src,
				       .sport = sport,
				       .dst = dst,
				       .dport = 53 };
	struct masq_ctl ctl = ask(lab, family, src, dst);
	uint64_t reason_before = ctl.reason ? prog_stat(lab, ctl.reason) : 0;
	struct masq_prefix_count before = {}, after;
	uint8_t out[16] = {}, pod[16] = {};
	bool by_prefix = ctl.prefix != MASQ_NO_PREFIX;

	if (by_prefix)
		before = prog_prefix(lab, ctl.prefix);
	prog_run(lab, EGRESS, &packet);
	if (is_drop(ctl.reason)) {
		assert_int_equal(lab->verdict, DROP);
		assert_int_equal(prog_stat(lab, ctl.reason), reason_before + 1);
		seen->dropped++;
		return;
	}
	assert_int_equal(lab->verdict, NEXT);
	inet_pton(family == 4 ? AF_INET : AF_INET6, src, pod);
	memcpy(out, lab->frame + 14 + (family == 4 ? 12 : 8),
	       family == 4 ? 4 : 16);
	if (ctl.reason) {
		assert_memory_equal(out, pod, 16);
		assert_int_equal(prog_stat(lab, ctl.reason), reason_before + 1);
		seen->passed++;
		return;
	}
	if (ctl.action == MASQ_MASQUERADE) {
		assert_memory_equal(out, ctl.xlat_addr, 16);
		assert_memory_not_equal(out, pod, 16);
		seen->masqueraded++;
	} else {
		assert_memory_equal(out, pod, 16);
		seen->kept++;
	}
	/* by the prefix that was named */
	assert_true(by_prefix);
	after = prog_prefix(lab, ctl.prefix);
	assert_int_equal(after.egress.packets, before.egress.packets + 1);
	assert_int_equal(after.flows, before.flows + 1);
}

static void explained_is_what_happens(void **state)
{
	struct prog_lab *lab = *state;
	unsigned int seed = 1;
	struct seen seen = {};

	for (int i = 0; i < POLICIES; i++) {
		prog_lab_reset(state);
		random_policy(lab, &seed);
		for (int k = 0; k < PACKETS; k++) {
			int family = rand_r(&seed) % 3 ? 4 : 6;
			const char *src = family == 4
						  ? sources4[rand_r(&seed) % 4]
						  : sources6[rand_r(&seed) % 4];
			char dst[INET6_ADDRSTRLEN];

			random_address(&seed, family, dst);
			check(lab, family, src, dst, 20000 + k, &seen);
		}
	}
	/* every kind of answer was given, and often */
	assert_in_range(seen.masqueraded, 300, UINT32_MAX);
	assert_in_range(seen.kept, 300, UINT32_MAX);
	assert_in_range(seen.passed, 300, UINT32_MAX);
	assert_in_range(seen.dropped, 100, UINT32_MAX);
}

/* Nothing is claimed and nothing is counted. */
static void asking_leaves_no_trace(void **state)
{
	struct prog_lab *lab = *state;
	uint64_t before[MASQ_S_MAX];

	prog_lab_reset(state);
	for (uint32_t i = 0; i < MASQ_S_MAX; i++)
		before[i] = prog_stat(lab, i);
	ask(lab, 4, POD4, FAR4);
	ask(lab, 4, POD4, KEPT4);
	ask(lab, 6, POD6, FAR6);
	ask(lab, 4, POD4, "224.0.0.1");
	assert_int_equal(prog_records(lab), 0);
	for (uint32_t i = 0; i < MASQ_S_MAX; i++)
		assert_int_equal(prog_stat(lab, i), before[i]);
	for (uint32_t slot = 0; slot < 4; slot++)
		assert_int_equal(prog_prefix(lab, slot).egress.packets, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explained_is_what_happens),
		cmocka_unit_test(asking_leaves_no_trace),
	};

	return cmocka_run_group_tests(tests, prog_lab_up, prog_lab_down);
}

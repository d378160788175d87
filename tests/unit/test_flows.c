// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_flows.c - walking the flow maps: a pair of records is one flow, however
 * far apart its halves lie; filters; what is expired or alone.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "bare.h"
#include "flows.h"

static void put4(struct instance *instance, const struct masq_key4 *key,
		 const struct masq_flow4 *flow)
{
	assert_int_equal(bpf_map_update_elem(instance->map[MAP_masq_flows4],
					     key, flow, BPF_NOEXIST),
			 0);
}

/* Pod 10.44.0.n:4000 -> 8.8.8.8:443, node 10.142.0.6:20000 + n. */
static void put_pair(struct instance *instance, uint32_t n, bool rev_too)
{
	uint32_t now = instance_now(instance);
	struct masq_key4 fwd_key = { .in_addr = { htonl(0x0a2c0000 + n) },
				     .rem_addr = { htonl(0x08080808) },
				     .in_port = htons(4000),
				     .rem_port = htons(443),
				     .proto = IPPROTO_TCP };
	struct masq_key4 rev_key = fwd_key;
	struct masq_flow4 fwd = { .last_seen = now - 20,
				  .expires = now + 100000,
				  .kind = MASQ_K_FWD,
				  .state = n % 2 ? MASQ_ST_ESTABLISHED
						 : MASQ_ST_NEW,
				  .out_seen = MASQ_SEEN_ONE,
				  .in_seen = n % 2 ? MASQ_SEEN_ONE : 0,
				  .prefix = 0,
				  .created = now - 50,
				  .xlat_port = htons(20000 + n),
				  .xlat_addr = { htonl(0x0a8e0006) },
				  .egress = { n, 100 * n } };
	struct masq_flow4 rev = fwd;

	put4(instance, &fwd_key, &fwd);
	rev_key.in_addr[0] = fwd.xlat_addr[0];
	rev_key.in_port = fwd.xlat_port;
	rev.kind = MASQ_K_REV;
	rev.last_seen = now - 10;
	rev.expires = now - 1; /* a copy that is behind says nothing */
	rev.xlat_addr[0] = fwd_key.in_addr[0];
	rev.xlat_port = fwd_key.in_port;
	rev.egress = (struct masq_count){};
	rev.ingress = (struct masq_count){ 2 * n, 200 * n };
	if (rev_too)
		put4(instance, &rev_key, &rev);
}

/* One that has no other half: 10.44.0.1:5000 <-> 172.30.12.110:80 over UDP. */
static void put_single(struct instance *instance, uint8_t kind, uint16_t port,
		       int32_t left)
{
	uint32_t now = instance_now(instance);
	struct masq_key4 key = { .in_addr = { htonl(0x0a2c0001) },
				 .rem_addr = { htonl(0xac1e0c6e) },
				 .in_port = htons(port),
				 .rem_port = htons(80),
				 .proto = IPPROTO_UDP };
	struct masq_flow4 flow = { .last_seen = now,
				   .created = now,
				   .expires = now + left,
				   .kind = kind,
				   .out_seen = MASQ_SEEN_ONE,
				   .prefix = kind == MASQ_K_KEEP
						     ? 2
						     : MASQ_NO_PREFIX };

	put4(instance, &key, &flow);
}

#define SEEN_MAX 4096

struct seen {
	uint32_t count, complete;
	bool pair[SEEN_MAX];
	struct flow last;
};

static int see(void *data, const struct flow *flow)
{
	struct seen *seen = data;
	uint32_t n = ntohl(flow->in.a[0]) - 0x0a2c0000;

	seen->count++;
	seen->last = *flow;
	if (flow->kind != MASQ_K_FWD)
		return 0;
	assert_true(n < SEEN_MAX && !seen->pair[n]);
	seen->pair[n] = true;
	assert_int_equal(flow->in_port, 4000);
	assert_int_equal(flow->xlat_port, 20000 + n);
	assert_int_equal(flow->xlat.a[0], htonl(0x0a8e0006));
	assert_int_equal(flow->egress.packets, n);
	assert_int_equal(flow->replied, n % 2);
	/* created 50 ticks before it was put here, last seen 20 or 10 */
	assert_true(flow->age >= 50);
	if (flow->ingress.packets == 2 * n) {
		assert_int_equal(flow->age - flow->idle, 50 - 10);
		seen->complete++;
	} else {
		assert_int_equal(flow->age - flow->idle, 50 - 20);
	}
	return 0;
}

static struct seen walk(struct instance *instance,
			const struct flow_filter *filter)
{
	static const struct flow_filter all;
	struct seen seen = {};

	assert_int_equal(flows_walk(instance, filter ?: &all, see, &seen), 0);
	return seen;
}

static void test_pairs(void **state)
{
	struct instance *instance = bare_instance(64);
	struct seen seen;

	(void)state;
	seen = walk(instance, NULL);
	assert_int_equal(seen.count, 0);
	for (uint32_t n = 1; n < SEEN_MAX; n++)
		put_pair(instance, n, n != 7);
	seen = walk(instance, NULL);
	assert_int_equal(seen.count, SEEN_MAX - 1);
	/* 7 is shown without what only its other half would know */
	assert_int_equal(seen.complete, SEEN_MAX - 2);
	bare_free(instance);
}

static void test_expired(void **state)
{
	struct instance *instance = bare_instance(64);
	uint32_t live[64] = {};

	(void)state;
	put_single(instance, MASQ_K_KEEP, 5000, 1000);
	put_single(instance, MASQ_K_KEEP, 5001, 0);
	put_single(instance, MASQ_K_INBOUND, 5002, -1000);
	put_single(instance, MASQ_K_EIM, 5003, 1000);
	assert_int_equal(walk(instance, NULL).count, 1);
	assert_int_equal(flows_count_prefixes(instance, live), 0);
	assert_int_equal(live[2], 1);
	bare_free(instance);
}

/* What is left is never more than the config's timeout, nor much less. */
static void test_what_is_left(void **state)
{
	static const int32_t timeouts[] = { 1, 32, 63, 64, 65, 3750, 116250 };

	(void)state;
	for (size_t i = 0; i < sizeof(timeouts) / sizeof(*timeouts); i++) {
		struct instance *instance = bare_instance(64);
		int32_t timeout = timeouts[i];
		struct seen seen;

		put_single(instance, MASQ_K_KEEP, 5000,
			   timeout + timeout / 64 + 1);
		seen = walk(instance, NULL);
		assert_int_equal(seen.count, 1);
		assert_int_equal(seen.last.left + seen.last.idle, timeout);
		bare_free(instance);
	}
}

static struct cidr cidr(const char *text)
{
	struct cidr out = {};

	assert_int_equal(cidr_or_addr_parse(text, &out, NULL, 0), 0);
	return out;
}

static void test_filters(void **state)
{
	struct instance *instance = bare_instance(64);
	struct masq_prefix *prefixes = instance->prefixes;
	const struct {
		const char *name;
		struct flow_filter filter;
		uint32_t count;
	} rows[] = {
		{ "all", {}, 5 },
		{ "pod", { .pod = cidr("10.44.0.1") }, 3 },
		{ "pod range", { .pod = cidr("10.44.0.0/30") }, 5 },
		{ "pod of no flow", { .pod = cidr("10.44.0.9") }, 0 },
		{ "other family", { .pod = cidr("::/0") }, 0 },
		{ "dest", { .dest = cidr("172.16.0.0/12") }, 1 },
		/* who opened it makes the pod the destination */
		{ "dest of inbound", { .dest = cidr("10.44.0.1") }, 1 },
		{ "port", { .port = 443 }, 3 },
		{ "port of inbound", { .port = 5001 }, 1 },
		{ "source port", { .port = 4000 }, 0 },
		{ "node port", { .node_port = 20002 }, 1 },
		{ "proto", { .proto = IPPROTO_UDP + 1 }, 2 },
		{ "state", { .state = MASQ_ST_ESTABLISHED + 1 }, 2 },
		{ "prefix", { .prefix = cidr("172.16.0.0/12") }, 1 },
		{ "prefix inside", { .prefix = cidr("172.16.0.0/16") }, 0 },
		{ "action", { .kind = MASQ_K_INBOUND }, 1 },
		{ "unreplied", { .unreplied = true }, 2 },
		{ "two at once", { .unreplied = true, .kind = MASQ_K_FWD }, 1 },
	};

	(void)state;
	prefixes[0] = (struct masq_prefix){ .family = 4, .list = MASQ_L_DST };
	prefixes[2] = (struct masq_prefix){ .addr = { htonl(0xac100000) },
					    .family = 4,
					    .plen = 12,
					    .list = MASQ_L_DST,
					    .action = MASQ_KEEP };
	for (uint32_t n = 1; n <= 3; n++)
		put_pair(instance, n, true);
	put_single(instance, MASQ_K_KEEP, 5000, 1000);
	/* sent by the pod: inbound, and so answered */
	put_single(instance, MASQ_K_INBOUND, 5001, 1000);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		uint32_t count = walk(instance, &rows[i].filter).count;

		if (count != rows[i].count)
			fail_msg("%s: %u flows, not %u", rows[i].name, count,
				 rows[i].count);
	}
	bare_free(instance);
}

static void test_ipv6_icmp(void **state)
{
	struct instance *instance = bare_instance(64);
	uint32_t now = instance_now(instance);
	struct flow_filter filter = { .proto = IPPROTO_ICMP + 1 };
	struct masq_key6 key = { .in_addr = { htonl(0xfd000044) },
				 .rem_addr = { htonl(0x20010db8) },
				 .in_port = htons(77),
				 .proto = IPPROTO_ICMPV6,
				 .role = MASQ_ROLE_QUERY };
	struct masq_flow6 flow = { .last_seen = now,
				   .created = now,
				   .expires = now + 100000,
				   .kind = MASQ_K_INBOUND,
				   .prefix = MASQ_NO_PREFIX };
	struct flow_tuple orig;
	struct seen seen;

	(void)state;
	assert_int_equal(bpf_map_update_elem(instance->map[MAP_masq_flows6],
					     &key, &flow, BPF_ANY),
			 0);
	seen = walk(instance, &filter);
	assert_int_equal(seen.count, 1);
	orig = flow_orig(&seen.last);
	assert_ptr_equal(orig.src, &seen.last.rem);
	assert_int_equal(orig.src->a[0], htonl(0x20010db8));
	/* the identifier takes the place of the source port */
	assert_int_equal(orig.sport, 77);
	assert_int_equal(orig.dport, 0);
	assert_int_equal(seen.last.role, MASQ_ROLE_QUERY);
	bare_free(instance);
}

static int stop_at_third(void *data, const struct flow *flow)
{
	(void)flow;
	return ++*(int *)data == 3 ? -ECANCELED : 0;
}

static void test_stop(void **state)
{
	struct instance *instance = bare_instance(64);
	struct flow_filter all = {};
	int calls = 0;

	(void)state;
	for (uint32_t n = 1; n <= 10; n++)
		put_pair(instance, n, n % 2);
	assert_int_equal(flows_walk(instance, &all, stop_at_third, &calls),
			 -ECANCELED);
	assert_int_equal(calls, 3);
	bare_free(instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_ipv6_icmp),
		cmocka_unit_test(test_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

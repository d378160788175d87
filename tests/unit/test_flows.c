// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_flows.c - walking the flow tables: a pair of records is one flow, however
 * far apart its halves lie; filters; what is expired, alone or changing.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>
#include "bare.h"
#include "plane/flows.h"
#include "plane/tally.h"

static uint8_t what(uint8_t kind, uint8_t role)
{
	return MASQ_W_LIVE | kind << MASQ_W_KIND | role;
}

/* Slots of a pair that are nowhere near each other. */
#define FWD_SLOT(n) (n)
#define REV_SLOT(n) (90000 - 3 * (n))

/* Pod 10.44.0.n:4000 -> 8.8.8.8:443, node 10.142.0.6:20000 + n. */
static void put_pair(struct instance *instance, uint32_t n, bool rev_too)
{
	uint32_t now = instance_now(instance);
	uint8_t seen = n % 2 ? MASQ_SEEN_ONE | MASQ_SEEN_ACK : 0;
	struct masq_flow4 fwd = { .in_addr = { htonl(0x0a2c0000 + n) },
				  .rem_addr = { htonl(0x08080808) },
				  .in_port = htons(4000),
				  .rem_port = htons(443),
				  .proto = IPPROTO_TCP,
				  .what = what(MASQ_K_FWD, MASQ_ROLE_FLOW),
				  .seq = n,
				  .last_seen = now - 20,
				  .expires = now + 100000,
				  .out_seen = MASQ_SEEN_ONE | seen,
				  .in_seen = seen,
				  .prefix = 0,
				  .xlat_port = htons(20000 + n),
				  .xlat_addr = { htonl(0x0a8e0006) },
				  .tally = { n, 100 * n, 0 } };
	struct masq_aside fwd_aside = { .created = now - 50,
					.peer = REV_SLOT(n),
					.peer_seq = 3 * n };
	struct masq_aside rev_aside = { .created = now - 50,
					.peer = FWD_SLOT(n),
					.peer_seq = n };
	struct masq_flow4 rev = fwd;

	bare_put(instance, 4, FWD_SLOT(n), &fwd, &fwd_aside);
	rev.in_addr[0] = fwd.xlat_addr[0];
	rev.in_port = fwd.xlat_port;
	rev.what = what(MASQ_K_REV, MASQ_ROLE_FLOW);
	rev.seq = 3 * n;
	rev.last_seen = now - 10;
	rev.expires = now - 1; /* a copy that is behind says nothing */
	rev.xlat_addr[0] = fwd.in_addr[0];
	rev.xlat_port = fwd.in_port;
	rev.tally = (struct masq_tally){ 2 * n, 200 * n, 0 };
	if (rev_too)
		bare_put(instance, 4, REV_SLOT(n), &rev, &rev_aside);
}

/* One that has no other half: 10.44.0.1:5000 <-> 172.30.12.110:80 over UDP. */
static void put_single(struct instance *instance, uint8_t kind, uint16_t port,
		       int32_t left)
{
	uint32_t now = instance_now(instance);
	struct masq_flow4 flow = { .in_addr = { htonl(0x0a2c0001) },
				   .rem_addr = { htonl(0xac1e0c6e) },
				   .in_port = htons(port),
				   .rem_port = htons(80),
				   .proto = IPPROTO_UDP,
				   .what = what(kind, MASQ_ROLE_FLOW),
				   .last_seen = now,
				   .expires = now + left,
				   .out_seen = MASQ_SEEN_ONE,
				   .prefix = kind == MASQ_K_KEEP
						     ? 2
						     : MASQ_NO_PREFIX };
	struct masq_aside aside = { .created = now };

	bare_put(instance, 4, 10 * port, &flow, &aside);
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

/* The slot of the other half has another flow's record by now, or none. */
static void test_lost_half(void **state)
{
	static const struct {
		const char *name;
		uint32_t peer;
		uint16_t peer_seq;
		uint8_t what; /* of what lies there */
	} rows[] = {
		{ "its own", REV_SLOT(1), 3, MASQ_W_LIVE },
		{ "an earlier one's", REV_SLOT(1), 2, MASQ_W_LIVE },
		{ "a later one's", REV_SLOT(1), 4, MASQ_W_LIVE },
		{ "free", REV_SLOT(1), 3, 0 },
		{ "being made", REV_SLOT(1), 3, MASQ_W_MADE },
		{ "an owner's", FWD_SLOT(1), 1, MASQ_W_LIVE },
		{ "no slot", MASQ_NO_SLOT, 3, MASQ_W_LIVE },
		{ "behind the last", 98304 + 98304 / 32, 3, MASQ_W_LIVE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct instance *instance = bare_instance(64);
		struct masq_flow4 fwd, rev;
		struct masq_page4 page;
		struct masq_aside aside = { .peer = rows[i].peer,
					    .peer_seq = rows[i].peer_seq };
		uint32_t n = FWD_SLOT(1) >> MASQ_PAGE_SHIFT;
		struct seen seen = {};

		put_pair(instance, 1, true);
		assert_int_equal(
			bpf_map_lookup_elem(instance->map[MAP_masq_flows4], &n,
					    &page),
			0);
		fwd = page.slot[FWD_SLOT(1) % MASQ_PAGE_SLOTS];
		aside.created =
			fwd.last_seen + 20 - 50; /* as put_pair has it */
		bare_put(instance, 4, FWD_SLOT(1), &fwd, &aside);
		n = REV_SLOT(1) >> MASQ_PAGE_SHIFT;
		assert_int_equal(
			bpf_map_lookup_elem(instance->map[MAP_masq_flows4], &n,
					    &page),
			0);
		rev = page.slot[REV_SLOT(1) % MASQ_PAGE_SLOTS];
		rev.what = (rev.what & ~MASQ_W_LIVE) | rows[i].what;
		bare_put(instance, 4, REV_SLOT(1), &rev, &aside);
		seen = walk(instance, NULL);
		if (seen.count != 1 || seen.last.ingress.packets != (i ? 0 : 2))
			fail_msg("%s: %u flows, %llu packets in", rows[i].name,
				 seen.count, seen.last.ingress.packets);
		bare_free(instance);
	}
}

/* Counts that have outgrown 32 bits; those of one record alone. */
static void test_large_counts(void **state)
{
	struct instance *instance = bare_instance(64);
	uint32_t now = instance_now(instance);
	struct masq_flow4 flow = { .in_addr = { htonl(0x0a2c0001) },
				   .proto = IPPROTO_UDP,
				   .what = what(MASQ_K_KEEP, MASQ_ROLE_FLOW),
				   .last_seen = now,
				   .expires = now + 1000,
				   .tally = { 5, 6, 0xabc00012 },
				   .back = { 7, 8, 0x001fffff } };
	struct masq_aside aside = { .created = now };
	struct seen seen;

	(void)state;
	bare_put(instance, 4, 98304 + 98304 / 32 - 1, &flow, &aside);
	seen = walk(instance, NULL);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.last.egress.packets, 0xabc00000005);
	assert_int_equal(seen.last.egress.bytes, 0x1200000006);
	assert_int_equal(seen.last.ingress.packets, 0x100000007);
	assert_int_equal(seen.last.ingress.bytes, 0xfffff00000008);
	bare_free(instance);
}

/* --- slots that change hands under the reader -------------------------- */

/* IPv6: a record of two cache lines, and what lies aside in a third. */
struct turns {
	struct masq_page6 *page;
	struct masq_aside_page *aside;
	uint32_t now;
	bool stop;
};

static void publish(struct masq_flow6 *slot, uint32_t n, uint8_t how)
{
	struct masq_flow6 own = {
		.in_port = n, .rem_port = n, .what = how, .seq = n
	};
	uint64_t *at = (void *)&slot->in_port, word;

	memcpy(&word, &own.in_port, sizeof(word));
	__atomic_store_n(at, word, __ATOMIC_SEQ_CST);
}

/* Flow after flow in slot after slot: all of flow n says n. */
static void *take_turns(void *data)
{
	struct turns *t = data;

	for (uint32_t n = 1; !__atomic_load_n(&t->stop, __ATOMIC_RELAXED);
	     n++) {
		struct masq_flow6 *f = &t->page->slot[n % MASQ_PAGE_SLOTS];

		publish(f, n, MASQ_W_MADE);
		for (int i = 0; i < 4; i++)
			f->in_addr[i] = f->rem_addr[i] = n;
		f->last_seen = t->now;
		f->expires = t->now + 1000000;
		f->prefix = n;
		f->back = (struct masq_tally){ n, n, 0 };
		f->tally = (struct masq_tally){ n, n, 0 };
		t->aside->slot[n % MASQ_PAGE_SLOTS].created =
			t->now - (n % 256 << 16);
		publish(f, n, what(MASQ_K_KEEP, MASQ_ROLE_FLOW));
	}
	return NULL;
}

struct caught {
	uint32_t flows, mixed;
};

static int look(void *data, const struct flow *flow)
{
	struct caught *caught = data;
	uint32_t n = flow->prefix;
	bool whole = flow->in_port == ntohs(n) && flow->rem_port == ntohs(n) &&
		     flow->egress.packets == n && flow->egress.bytes == n &&
		     flow->ingress.packets == n && flow->ingress.bytes == n &&
		     flow->age >> 16 == n % 256;

	for (int i = 0; i < 4; i++)
		whole = whole && flow->in.a[i] == n && flow->rem.a[i] == n;
	caught->flows++;
	caught->mixed += !whole;
	return 0;
}

static void *map_writable(const struct instance *instance, enum masq_map_id map,
			  size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			instance->map[map], 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}

static void test_changing_slots(void **state)
{
	struct instance *instance = bare_instance(64);
	struct masq_page6 *page =
		map_writable(instance, MAP_masq_flows6, sizeof(*page));
	struct masq_aside_page *aside =
		map_writable(instance, MAP_masq_aside6, sizeof(*aside));
	struct turns turns = { .page = page,
			       .aside = aside,
			       .now = instance_now(instance) };
	struct flow_filter all = {};
	struct caught caught = {};
	pthread_t writer;

	(void)state;
	/* the first pages of the table are all of it: the walks are short */
	instance->meta.shape[0] = instance->meta.shape[1] =
		(struct masq_shape){ 1, 2 };
	page->label.used = ~0ULL;
	assert_int_equal(pthread_create(&writer, NULL, take_turns, &turns), 0);
	for (int i = 0; i < 20000; i++)
		assert_int_equal(flows_walk(instance, &all, look, &caught), 0);
	__atomic_store_n(&turns.stop, true, __ATOMIC_RELAXED);
	pthread_join(writer, NULL);
	assert_true(caught.flows > 0);
	assert_int_equal(caught.mixed, 0);
	munmap(page, sizeof(*page));
	munmap(aside, sizeof(*aside));
	bare_free(instance);
}

static void test_expired(void **state)
{
	struct instance *instance = bare_instance(64);
	uint32_t live[64] = {};

	(void)state;
	put_single(instance, MASQ_K_KEEP, 5000, 1000);
	put_single(instance, MASQ_K_KEEP, 5001, 0);
	put_single(instance, MASQ_K_INBOUND, 4000, -1000);
	put_single(instance, MASQ_K_EIM, 4001, 1000);
	put_single(instance, MASQ_K_RESERVED, 4002, 1000);
	put_single(instance, MASQ_K_REV, 4003, 1000);
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
	struct masq_flow6 flow = { .in_addr = { htonl(0xfd000044) },
				   .rem_addr = { htonl(0x20010db8) },
				   .in_port = htons(77),
				   .proto = IPPROTO_ICMPV6,
				   .what = what(MASQ_K_INBOUND,
						MASQ_ROLE_QUERY),
				   .last_seen = now,
				   .expires = now + 100000,
				   .prefix = MASQ_NO_PREFIX };
	struct masq_aside aside = { .created = now };
	struct flow_tuple orig;
	struct seen seen;

	(void)state;
	bare_put(instance, 6, 12345, &flow, &aside);
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

/* Each family and kind by itself, the node's own flows in none of them. */
static void test_budgets(void **state)
{
	struct instance *instance = bare_instance(64);
	static const struct {
		uint8_t family, kind, role;
		uint32_t times;
	} rows[] = {
		{ 4, MASQ_K_FWD, MASQ_ROLE_FLOW, 1000 },
		{ 4, MASQ_K_KEEP, MASQ_ROLE_FLOW, 900 },
		{ 4, MASQ_K_INBOUND, MASQ_ROLE_QUERY, 800 },
		{ 6, MASQ_K_FWD, MASQ_ROLE_FLOW, 70 },
		{ 6, MASQ_K_KEEP, MASQ_ROLE_FLOW, 768 },
		{ 4, MASQ_K_FWD, MASQ_ROLE_HOST, 5000 },
	};
	struct flow_tally tally = {};
	char text[FLOW_TALLY_LEN];
	uint32_t percent = 7;

	(void)state;
	/* made while IPv6 was not translated */
	instance->meta.shape[1] = masq_shape_for(BARE_MAX_FLOWS / 16);
	assert_int_equal(instance_flows_max(instance, 4), BARE_MAX_FLOWS);
	assert_int_equal(instance_flows_max(instance, 6), BARE_MAX_FLOWS / 16);
	flow_tally_fullest(instance, &tally, &percent);
	assert_int_equal(percent, 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct flow flow = { .kind = rows[i].kind,
				     .role = rows[i].role,
				     .in.family = rows[i].family };

		for (uint32_t n = 0; n < rows[i].times; n++)
			flow_tally_add(&tally, &flow);
	}
	assert_int_equal(tally.all, 8538);
	assert_int_equal(flow_tally_fullest(instance, &tally, &percent), 4);
	assert_int_equal(percent, 75);
	assert_string_equal(
		flow_tally_text(instance, &tally, text, sizeof(text)),
		"1000 masquerade, 900 keep, 800 inbound, of 16384 each; "
		"IPv6: 70, 768, 0, of 1024 each");
	bare_free(instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_lost_half),
		cmocka_unit_test(test_large_counts),
		cmocka_unit_test(test_changing_slots),
		cmocka_unit_test(test_expired),
		cmocka_unit_test(test_what_is_left),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_ipv6_icmp),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_budgets),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

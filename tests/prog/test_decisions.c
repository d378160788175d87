// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_decisions.c - a row for each decision of the dataplane that no other
 * test would miss: tests/mutants/bpf.list takes them out one by one. In three
 * labs: the usual one, one whose table is three pages, so that a row knows
 * where records lie, and one with the fast path.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define TCP		  .proto = IPPROTO_TCP
#define UDP		  .proto = IPPROTO_UDP
#define ECHO_REQUEST	  .proto = IPPROTO_ICMP, .flags = 8
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

#define GATE4		  "10.44.14.1" /* the node's other address */
#define FIXED4		  "203.0.113.9" /* of snat.addresses, no address of the node */

static uint16_t seen_port(struct prog_lab *lab)
{
	return lab->frame[34] << 8 | lab->frame[35];
}

static uint32_t now(struct prog_lab *lab)
{
	struct masq_ctl clock = { .op = MASQ_CTL_CLOCK };

	prog_ctl(lab, &clock);
	return (uint32_t)(clock.jiffies >> MASQ_TICK_SHIFT);
}

/* Has nearly a second gone by? Then a row that counts on less proves nothing. */
static bool took_a_second(struct prog_lab *lab, uint32_t began)
{
	return now(lab) - began >= prog_ticks(lab, 0.8);
}

/* The record itself, in the table. */
static struct masq_flow4 *record(struct prog_lab *lab, const char *in,
				 uint16_t in_port, const char *rem,
				 uint16_t rem_port, uint8_t proto)
{
	uint32_t in_addr, rem_addr;

	inet_pton(AF_INET, in, &in_addr);
	inet_pton(AF_INET, rem, &rem_addr);
	for (unsigned int i = 0; i < lab->pages * MASQ_PAGE_SLOTS; i++) {
		struct masq_flow4 *f = &lab->flows4[i / MASQ_PAGE_SLOTS]
						.slot[i % MASQ_PAGE_SLOTS];

		if (f->what && f->in_addr[0] == in_addr &&
		    f->rem_addr[0] == rem_addr &&
		    f->in_port == htons(in_port) &&
		    f->rem_port == htons(rem_port) && f->proto == proto &&
		    !(f->what & MASQ_W_ROLE))
			return f;
	}
	return NULL;
}

static struct masq_flow4 *must(struct masq_flow4 *f)
{
	assert_non_null(f);
	return f;
}

static struct masq_usage usage_of(struct prog_lab *lab)
{
	struct masq_usage usage;
	uint32_t zero = 0;

	bpf_map_lookup_elem(prog_map(lab, "masq_usage"), &zero, &usage);
	return usage;
}

static struct masq_pod_usage pod_of(struct prog_lab *lab, const char *pod)
{
	struct masq_pod_usage usage = {};
	struct masq_addr addr = {};

	inet_pton(AF_INET, pod, addr.a);
	bpf_map_lookup_elem(prog_map(lab, "masq_pods"), &addr, &usage);
	return usage;
}

static int ctl_flow(struct prog_lab *lab, struct masq_ctl *ctl, const char *in,
		    const char *rem)
{
	ctl->family = strchr(in, ':') ? 6 : 4;
	inet_pton(ctl->family == 6 ? AF_INET6 : AF_INET, in, ctl->in_addr);
	inet_pton(ctl->family == 6 ? AF_INET6 : AF_INET, rem, ctl->rem_addr);
	return prog_ctl(lab, ctl);
}

static void delete_flow(struct prog_lab *lab, const char *in, uint16_t in_port,
			const char *rem, uint16_t rem_port)
{
	assert_int_equal(
		ctl_flow(lab,
			 &(struct masq_ctl){ .op = MASQ_CTL_DELETE,
					     .proto = IPPROTO_UDP,
					     .in_port = htons(in_port),
					     .rem_port = htons(rem_port) },
			 in, rem),
		0);
}

/* Opens every page, as the hand would in time. */
static void reclaim(struct prog_lab *lab)
{
	struct masq_ctl ctl = { .op = MASQ_CTL_RECLAIM, .count = lab->pages };

	for (unsigned int i = 0; i < lab->pages; i++) {
		lab->flows4[i].label.soonest = now(lab) - 1;
		lab->flows6[i].label.soonest = now(lab) - 1;
	}
	assert_int_equal(prog_ctl(lab, &ctl), 0);
}

/* A prefix of any set, in either half. */
static void put_prefix(struct prog_lab *lab, const char *map, uint8_t set,
		       const char *addr, uint32_t plen,
		       struct masq_lpm_value value)
{
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS + plen,
				    .set = set };

	inet_pton(AF_INET, addr, key.addr);
	assert_int_equal(
		bpf_map_update_elem(prog_map(lab, map), &key, &value, 0), 0);
}

/* What goes to `prefix` gets this address. */
static void use_fixed_address(struct prog_lab *lab, const char *addr,
			      const char *prefix)
{
	struct masq_addr fixed = {};
	uint32_t one = 1;

	inet_pton(AF_INET, addr, fixed.a);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_snat"), &one,
					     &fixed, 0),
			 0);
	put_prefix(lab, "masq_trie_a", MASQ_SET_DST4, prefix, 24,
		   (struct masq_lpm_value){
			   .action = MASQ_MASQUERADE, .prefix = 4, .snat = 1 });
}

/* --- flows to play with --------------------------------------------------- */

static void udp_out(struct prog_lab *lab, const char *pod, uint16_t sport,
		    const char *far, uint16_t dport)
{
	SEND(EGRESS, NEXT, PKT(UDP, OUT(pod, sport, far, dport)), NULL);
}

static void udp_in(struct prog_lab *lab, const char *pod, uint16_t sport,
		   const char *far, uint16_t dport)
{
	SEND(INGRESS, NEXT, PKT(UDP, OUT(far, dport, NODE4, sport)),
	     PKT(UDP, OUT(far, dport, pod, sport)));
}

static void tcp(struct prog_lab *lab, enum dir dir, const char *pod,
		uint16_t port, uint8_t flags, uint32_t seq, uint32_t ack)
{
	if (dir == EGRESS)
		SEND(EGRESS, NEXT,
		     PKT(TCP, OUT(pod, port, FAR4, 443), .flags = flags,
			 .seq = seq, .ack = ack),
		     PKT(TCP, OUT(NODE4, port, FAR4, 443), .flags = flags,
			 .seq = seq, .ack = ack));
	else
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = flags,
			 .seq = seq, .ack = ack),
		     PKT(TCP, OUT(FAR4, 443, pod, port), .flags = flags,
			 .seq = seq, .ack = ack));
}

static void tcp_open(struct prog_lab *lab, const char *pod, uint16_t port)
{
	tcp(lab, EGRESS, pod, port, SYN, 1000, 0);
	tcp(lab, INGRESS, pod, port, SYN | ACK, 5000, 1001);
	tcp(lab, EGRESS, pod, port, ACK, 1001, 5001);
}

static void tcp_close(struct prog_lab *lab, const char *pod, uint16_t port)
{
	tcp(lab, EGRESS, pod, port, FIN | ACK, 1001, 5001);
	tcp(lab, INGRESS, pod, port, FIN | ACK, 5001, 1002);
}

/* A flow to FAR4 port 443 in that state, by a letter. */
static void make(struct prog_lab *lab, char state, const char *pod,
		 uint16_t port)
{
	switch (state) {
	case 'u': /* unanswered */
		tcp(lab, EGRESS, pod, port, SYN, 1000, 0);
		break;
	case 'a': /* answered once */
		tcp(lab, EGRESS, pod, port, SYN, 1000, 0);
		tcp(lab, INGRESS, pod, port, SYN | ACK, 5000, 1001);
		break;
	case 'e': /* established */
	case 'h': /* half closed */
	case 'c': /* closed */
		tcp_open(lab, pod, port);
		if (state == 'h')
			tcp(lab, EGRESS, pod, port, FIN | ACK, 1001, 5001);
		if (state == 'c')
			tcp_close(lab, pod, port);
		break;
	}
}

static void kept_open(struct prog_lab *lab, uint16_t port, const char *far)
{
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, port, far, 443), .flags = SYN),
	     NULL);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(far, 443, POD4, port), .flags = SYN | ACK), NULL);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, port, far, 443), .flags = ACK),
	     NULL);
}

static bool there(struct prog_lab *lab, const char *pod, uint16_t port)
{
	return record(lab, pod, port, FAR4, 443, IPPROTO_TCP);
}

/* --- timers ---------------------------------------------------------------- */

/* 2^31 ticks are two years: longer than any node's uptime matters less than
 * that no time is taken for another. */
static void ticks_wrap(void **state)
{
	struct prog_lab *lab = *state;

	udp_out(lab, POD4, 5000, FAR4, 53);
	prog_age(lab, 300000000 / prog_ticks(lab, 1));
	assert_true(
		must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP))->expires >
		now(lab)); /* as plain numbers */
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
	     PKT(UDP, OUT(FAR4, 53, NODE4, 5000)));
	udp_out(lab, POD4, 5000, FAR4, 53);
	assert_int_equal(prog_prefix(lab, 0).flows, 2);
}

/* A packet that follows soon moves nothing on; a flow lives for its timeout
 * after it all the same. */
static void a_64th_of_the_timeout_is_not_refreshed(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;
	uint32_t expires;

	tcp_open(lab, POD4, 40000);
	f = must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
	prog_age(lab, 60);
	expires = f->expires;
	tcp(lab, EGRESS, POD4, 40000, ACK, 1001, 5001);
	tcp(lab, INGRESS, POD4, 40000, ACK, 5001, 1001);
	assert_int_equal(f->expires, expires);
	prog_age(lab, 7400);
	tcp(lab, INGRESS, POD4, 40000, ACK, 5001, 1001);
	assert_int_not_equal(f->expires, expires - prog_ticks(lab, 7400));
	assert_int_equal(prog_prefix(lab, 0).flows, 1);
}

static void what_a_flow_may_be_idle(void **state)
{
	static const struct {
		const char *name;
		uint16_t in_port, rem_port;
		uint8_t proto, type;
		const char *packets; /* o, i: out, in; 3: three seconds */
		double seconds;
	} rows[] = {
		{ "unanswered", 5000, 7000, IPPROTO_UDP, 0, "o", 120 },
		{ "answered", 5000, 7000, IPPROTO_UDP, 0, "oi", 300 },
		{ "DNS, answered", 5000, 53, IPPROTO_UDP, 0, "oi", 30 },
		{ "DNS, unanswered", 5000, 53, IPPROTO_UDP, 0, "o", 120 },
		{ "DNS, goes on", 5000, 53, IPPROTO_UDP, 0, "oi3o", 300 },
		{ "QUIC", 5000, 443, IPPROTO_UDP, 0, "oi", 300 },
		{ "IKE", 500, 500, IPPROTO_UDP, 0, "oi", 300 },
		{ "from a low port", 53, 7000, IPPROTO_UDP, 0, "oi", 300 },
		{ "one way", 5000, 7000, IPPROTO_UDP, 0, "oo3oo", 120 },
		{ "inbound", 7000, 5000, IPPROTO_UDP, 0, "i", 30 },
		{ "inbound, goes on", 7000, 5000, IPPROTO_UDP, 0, "ii3i", 30 },
		{ "inbound, answered", 7000, 5000, IPPROTO_UDP, 0, "io", 300 },
		{ "inbound DNS", 53, 5000, IPPROTO_UDP, 0, "io", 30 },
		{ "inbound from 53", 7000, 53, IPPROTO_UDP, 0, "io", 300 },
		{ "ping", 7, 0, IPPROTO_ICMP, 8, "o", 60 },
		{ "GRE", 0, 0, IPPROTO_GRE, 0, "o", 600 },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		bool inbound = rows[i].packets[0] == 'i';
		uint32_t want = prog_ticks(lab, rows[i].seconds), got, last;
		struct masq_flow4 *f, *rev;

		prog_lab_reset(state);
		for (const char *c = rows[i].packets; *c; c++) {
			if (*c == '3')
				prog_age(lab, 3);
			else if (*c == 'o')
				SEND(EGRESS, NEXT,
				     PKT(.proto = rows[i].proto,
					 .flags = rows[i].type,
					 OUT(POD4, rows[i].in_port, FAR4,
					     rows[i].rem_port)),
				     NULL);
			else
				SEND(INGRESS, NEXT,
				     PKT(UDP, OUT(FAR4, rows[i].rem_port,
						  inbound ? POD4 : NODE4,
						  rows[i].in_port)),
				     NULL);
		}
		f = record(lab, POD4, rows[i].in_port, FAR4, rows[i].rem_port,
			   rows[i].proto);
		row_true(rows[i].name, f);
		last = f->last_seen;
		rev = record(lab, NODE4, rows[i].in_port, FAR4,
			     rows[i].rem_port, rows[i].proto);
		if (rev && (int32_t)(rev->last_seen - last) > 0)
			last = rev->last_seen;
		/* so long after the last packet, and a 64th of it at most */
		got = f->expires - last;
		if (got < want || got > want + want / 64 + 1)
			fail_msg("row \"%s\": %u ticks left, want %u",
				 rows[i].name, got, want);
	}
}

/* As the dataplane itself sees it. */
static int state_of(struct prog_lab *lab, const char *in, uint16_t in_port,
		    const char *rem, uint16_t rem_port)
{
	struct masq_ctl ctl = { .op = MASQ_CTL_FIND,
				.proto = IPPROTO_UDP,
				.in_port = htons(in_port),
				.rem_port = htons(rem_port) };

	assert_int_equal(ctl_flow(lab, &ctl, in, rem), 0);
	assert_int_not_equal(ctl.kind, 0);
	return ctl.state;
}

/* Both sides, and two seconds. */
static void when_udp_is_established(void **state)
{
	static const struct {
		const char *packets;
		int state;
	} rows[] = {
		{ "oioioi", MASQ_ST_NEW },
		{ "oioi1oi", MASQ_ST_NEW },
		{ "oioi3o", MASQ_ST_ESTABLISHED },
		{ "oioi3i", MASQ_ST_ESTABLISHED },
		{ "oi3o", MASQ_ST_ESTABLISHED },
		{ "o3i", MASQ_ST_ESTABLISHED },
		{ "ooo3ooo", MASQ_ST_NEW },
		{ "o3o3o3o", MASQ_ST_NEW },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		uint32_t began = now(lab);
		int got;

		prog_lab_reset(state);
		for (const char *c = rows[i].packets; *c; c++) {
			if (isdigit((unsigned char)*c))
				prog_age(lab, *c - '0');
			else if (*c == 'o')
				udp_out(lab, POD4, 5000, FAR4, 7000);
			else
				udp_in(lab, POD4, 5000, FAR4, 7000);
		}
		/* seconds of our own are seconds as well: once more */
		if (took_a_second(lab, began)) {
			i--;
			continue;
		}
		got = state_of(lab, POD4, 5000, FAR4, 7000);
		if (got != rows[i].state)
			fail_msg("row \"%s\": state %d, want %d",
				 rows[i].packets, got, rows[i].state);
		got = state_of(lab, NODE4, 5000, FAR4, 7000);
		if (got != rows[i].state)
			fail_msg("row \"%s\": the other record's state is %d",
				 rows[i].packets, got);
	}
}

static void a_packet_leaves_its_time(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;

	tcp_open(lab, POD4, 40000);
	f = must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
	prog_age(lab, 5);
	tcp(lab, EGRESS, POD4, 40000, ACK, 1001, 5001);
	assert_true(now(lab) - f->last_seen < prog_ticks(lab, 4));
	f = must(record(lab, NODE4, 40000, FAR4, 443, IPPROTO_TCP));
	prog_age(lab, 5);
	tcp(lab, INGRESS, POD4, 40000, ACK, 5001, 1001);
	assert_true(now(lab) - f->last_seen < prog_ticks(lab, 4));
}

static void a_closed_flow_is_not_refreshed(void **state)
{
	static const uint8_t flags[] = { ACK, FIN | ACK, RST };
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;
	uint32_t expires;

	tcp_open(lab, POD4, 40000);
	tcp_close(lab, POD4, 40000);
	tcp(lab, EGRESS, POD4, 40000, ACK, 1002, 5002);
	f = must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
	for (size_t i = 0; i < ROWS(flags); i++) {
		prog_age(lab, 50);
		expires = f->expires;
		tcp(lab, EGRESS, POD4, 40000, flags[i], 1002, 5002);
		assert_int_equal(f->expires, expires);
		tcp(lab, INGRESS, POD4, 40000, flags[i], 5002, 1002);
		assert_int_equal(f->expires, expires);
		assert_int_equal(prog_state(f), MASQ_ST_CLOSED);
	}
}

/* --- counts ------------------------------------------------------------------ */

static void counts_carry(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;

	udp_out(lab, POD4, 5000, FAR4, 53);
	f = must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP));
	f->tally.packets = 0xffffffff;
	udp_out(lab, POD4, 5000, FAR4, 53);
	assert_int_equal(f->tally.packets, 0);
	assert_int_equal(f->tally.high, 1 << MASQ_TALLY_BYTES_BITS);
	f->tally.bytes = 0xfffffff0;
	udp_out(lab, POD4, 5000, FAR4, 53);
	assert_int_equal(f->tally.bytes, 28 - 16);
	assert_int_equal(f->tally.high, (1 << MASQ_TALLY_BYTES_BITS) + 1);
}

/* The slot's next record begins from nothing. */
static void a_slot_is_new_each_time(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f, *again;
	uint16_t seq;

	for (int i = 0; i < 3; i++)
		udp_out(lab, POD4, 5000, FAR4, 53);
	f = must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP));
	seq = f->seq;
	f->fast = 0x1234;
	delete_flow(lab, POD4, 5000, FAR4, 53);
	assert_int_equal(prog_records(lab), 0);
	udp_out(lab, POD4, 5000, FAR4, 53);
	again = must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP));
	assert_ptr_equal(f, again);
	assert_int_not_equal(again->seq, seq);
	assert_int_equal(again->tally.packets, 1);
	assert_int_equal(again->fast, 0);
}

/*
 * Nobody who does not know the table's keys can choose keys that fall into one
 * place: neither by laying them in a line, nor by what he has seen elsewhere.
 */
static unsigned int laid[4];

static unsigned int slot_of(struct prog_lab *lab, const struct masq_flow4 *f)
{
	return ((const char *)f - (const char *)lab->flows4) / sizeof(*f);
}

static void keys_in_a_line_are_spread(void **state)
{
	struct prog_lab *lab = *state;

	for (uint32_t n = 0; n < 16; n++) {
		const uint32_t step = n / 4, back = 1 + n % 4;
		unsigned int pages = 0;
		bool seen[8192] = {};

		prog_lab_reset(state);
		for (uint32_t i = 0; i < 20; i++) {
			uint16_t port = ntohs(0xf000 - back * i);
			char far[32];

			/* as words of memory: one grows, one shrinks */
			snprintf(far, sizeof(far), "%u.51.100.7",
				 130 + step * i);
			if (130 + step * i == 172 || 130 + step * i == 169 ||
			    130 + step * i > 223)
				continue;
			udp_out(lab, POD4, port, far, 53);
			seen[slot_of(lab, must(record(lab, POD4, port, far, 53,
						      IPPROTO_UDP))) /
			     MASQ_PAGE_SLOTS] = true;
		}
		for (size_t i = 0; i < ROWS(seen); i++)
			pages += seen[i];
		assert_in_range(pages, 8, 20);
	}
}

static void where_flows_lie(struct prog_lab *lab, unsigned int *at)
{
	for (uint32_t i = 0; i < ROWS(laid); i++) {
		udp_out(lab, POD4, 5000 + i, FAR4, 53);
		at[i] = slot_of(lab, must(record(lab, POD4, 5000 + i, FAR4, 53,
						 IPPROTO_UDP)));
	}
}

static void flows_lie_here(void **state)
{
	where_flows_lie(*state, laid);
}

static void flows_lie_elsewhere(void **state)
{
	unsigned int at[ROWS(laid)];

	where_flows_lie(*state, at);
	assert_memory_not_equal(at, laid, sizeof(at));
}

/* --- ports -------------------------------------------------------------------- */

static void one_port(struct masq_policy *policy)
{
	policy->port_min = policy->port_max = 20000;
}

static void two_ports(struct masq_policy *policy)
{
	policy->port_min = 20000;
	policy->port_max = 20001;
}

static void beside_node_ports(struct masq_policy *policy)
{
	policy->port_min = 32767;
	policy->port_max = 32768;
}

static const struct packet searcher = { TCP,
					OUT("10.44.14.99", 30100, FAR4, 443),
					.flags = SYN };

/* 30100 is a NodePort, so each flow has to search. Answers the port. */
static uint16_t searching(struct prog_lab *lab, char state, const char *pod)
{
	uint16_t port;

	SEND(EGRESS, NEXT, PKT(TCP, OUT(pod, 30100, FAR4, 443), .flags = SYN),
	     NULL);
	port = seen_port(lab);
	if (state == 'u')
		return port;
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = SYN | ACK,
		 .ack = 1),
	     NULL);
	if (state == 'a')
		return port;
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(pod, 30100, FAR4, 443), .flags = FIN | ACK), NULL);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = FIN | ACK), NULL);
	return port;
}

/* All ports taken: a closed flow goes first, the one that has rested longest,
 * then one that nobody answered; never one that was answered. */
static void who_gives_up_the_last_port(void **state)
{
	static const struct {
		const char *name, *states;
		int victim;
		bool taken_over;
	} rows[] = {
		{ "closed", "c", 0, false },
		{ "unanswered", "u", 0, true },
		{ "answered", "a", -1, false },
		{ "the older closed one", "cc", 0, false },
		{ "closed before unanswered", "uc", 1, false },
		{ "closed before unanswered, younger", "cu", 0, false },
		{ "the older unanswered one", "uu", 0, true },
		{ "unanswered, not answered", "au", 1, true },
		{ "unanswered, not answered, older", "ua", 0, true },
		{ "all answered", "aa", -1, false },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		size_t n = strlen(rows[i].states);
		uint16_t ports[2];
		char pod[32];

		prog_lab_reset(state);
		prog_policy_edit(lab, n == 1 ? one_port : two_ports);
		for (size_t j = 0; j < n; j++) {
			snprintf(pod, sizeof(pod), "10.44.14.%zu", 50 + j);
			ports[j] = searching(lab, rows[i].states[j], pod);
			prog_age(lab, 10);
		}
		prog_run(lab, EGRESS, &searcher);
		if (rows[i].victim < 0) {
			row_true(rows[i].name, lab->verdict == DROP);
			row_true(rows[i].name, REASON(NO_PORT) == 1);
			continue;
		}
		row_true(rows[i].name, lab->verdict == NEXT);
		row_true(rows[i].name, seen_port(lab) == ports[rows[i].victim]);
		row_true(rows[i].name, prog_stat(lab, MASQ_S_TAKEN_OVER) ==
					       rows[i].taken_over);
		EXPECT_TOTALS();
	}
}

/* One of the node's that had to change its port keeps that, answered or not. */
static void a_flow_of_the_node_gives_no_port_up(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, one_port);
	tcp(lab, EGRESS, POD4, 40000, SYN, 1000, 0);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = SYN),
	     PKT(TCP, OUT(NODE4, 20000, FAR4, 443), .flags = SYN));
	prog_age(lab, 10);
	SEND(EGRESS, DROP, &searcher, NULL);
	assert_int_equal(REASON(NO_PORT), 1);
	assert_int_equal(prog_stat(lab, MASQ_S_TAKEN_OVER), 0);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 20000), .flags = SYN | ACK),
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = SYN | ACK));
	/* what both sides know to be over is as any other */
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 20000), .flags = RST), NULL);
	SEND(EGRESS, NEXT, &searcher, NULL);
	assert_int_equal(seen_port(lab), 20000);
	EXPECT_TOTALS();
}

static void no_flow_gets_a_node_port(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, beside_node_ports);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 30100, FAR4, 53)), NULL);
	assert_int_equal(seen_port(lab), 32768);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 30100, "198.51.100.8", 53)),
	     NULL);
	assert_int_equal(seen_port(lab), 32768);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 32768)), NULL);
	SEND(EGRESS, REDIRECT, PKT(UDP, OUT(POD4B, 30100, FAR4, 53)), NULL);
	assert_int_equal(REASON(NO_PORT), 1);
}

static void sockets_of_the_node_keep_their_ports(void **state)
{
	struct prog_lab *lab = *state;
	struct sockaddr_in at = { .sin_family = AF_INET,
				  .sin_port = htons(5353) };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	uint16_t port;

	inet_pton(AF_INET, NODE4, &at.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	udp_out(lab, POD4, 5353, FAR4, 53);
	port = seen_port(lab);
	close(fd);
	assert_int_not_equal(port, 5353);
}

/* RFC 6888 REQ-15. */
static void chosen_ports_cannot_be_guessed(void **state)
{
	struct prog_lab *lab = *state;
	uint16_t ports[12];
	int same = 0;

	for (int i = 0; i < (int)ROWS(ports); i++) {
		char far[32], pod[32];

		snprintf(far, sizeof(far), "198.51.100.%d", 20 + i);
		snprintf(pod, sizeof(pod), "10.44.14.%d", 20 + i);
		udp_out(lab, POD4, 40000, far, 53);
		udp_out(lab, pod, 40000, far, 53);
		ports[i] = seen_port(lab);
		assert_int_not_equal(ports[i], 40000);
		for (int j = 0; j < i; j++)
			same += ports[i] == ports[j];
	}
	assert_true(same < 6); /* of 66 pairs */
}

static void few_flows(struct masq_policy *policy)
{
	policy->max_flows = policy->max_flows_per_pod = 8;
}

/* One hint in four flows, and a flow without one is none the worse. */
static void hints_have_a_budget(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, few_flows);
	for (int i = 0; i < 4; i++) {
		char pod[32];

		snprintf(pod, sizeof(pod), "10.44.14.%d", 20 + i);
		udp_out(lab, pod, 30100, FAR4, 53);
	}
	assert_int_equal(usage_of(lab).flows[0][MASQ_B_EIM], 2);
	assert_int_equal(usage_of(lab).flows[0][MASQ_B_MASQUERADE], 4);
	EXPECT_TOTALS();
}

/* Another address has other ports. */
static void a_hint_counts_for_its_address(void **state)
{
	struct prog_lab *lab = *state;

	use_fixed_address(lab, FIXED4, "198.51.101.0");
	udp_out(lab, POD4, 40000, FAR4, 53);
	udp_out(lab, POD4B, 40000, FAR4, 53);
	assert_int_not_equal(seen_port(lab), 40000);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4B, 40000, "198.51.101.7", 53)),
	     PKT(UDP, OUT(FIXED4, 40000, "198.51.101.7", 53)));
}

/* Outsiders cannot use up the ports of an address that is ours alone. */
static void a_fixed_address_is_ours(void **state)
{
	struct prog_lab *lab = *state;

	use_fixed_address(lab, FIXED4, "198.51.100.0");
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, FIXED4, 5000)),
	     PKT(UDP, OUT(FAR4, 53, FIXED4, 5000)));
	assert_int_equal(prog_records(lab), 1);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(FIXED4, 5000, FAR4, 53)));
	assert_int_equal(prog_records(lab), 2);
	/* unless somebody there answers: it is forwarded, then */
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, FIXED4, 6000)), NULL);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(FIXED4, 6000, FAR4, 53)),
	     PKT(UDP, OUT(FIXED4, 6000, FAR4, 53)));
	udp_out(lab, POD4, 6000, FAR4, 53);
	assert_int_not_equal(seen_port(lab), 6000);
	/* it need not be an address of the node (E1) */
	prog_age(lab, 100);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(FIXED4, 5000, FAR4, 53)));
	EXPECT_TOTALS();
}

/* A flow of the node that meets a pod's port is the node's all the same. */
static void a_flow_of_the_node_is_no_pods(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t frame[PACKET_MAX];
	size_t length;
	uint32_t want;

	use_fixed_address(lab, GATE4, "198.51.100.0");
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(GATE4, 5000, FAR4, 53)));
	length = packet_build(PKT(UDP, OUT(GATE4, 5000, FAR4, 53)), frame);
	prog_run_raw(lab, "masq_egress", false, frame, length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	assert_int_not_equal(seen_port(lab), 5000);
	inet_pton(AF_INET, GATE4, &want);
	assert_memory_equal(lab->frame + 26, &want, 4); /* its own address */
	assert_int_equal(usage_of(lab).flows[0][MASQ_B_NODE], 1);
	assert_int_equal(usage_of(lab).flows[0][MASQ_B_MASQUERADE], 1);
	assert_int_equal(usage_of(lab).host, 1);
	assert_int_equal(pod_of(lab, GATE4).flows, 0);
	EXPECT_TOTALS();
}

/* --- the packet table --------------------------------------------------------- */

/* Its pod has closed it: a SYN from outside is no new connection of ours. */
static void an_outsiders_syn_ends_nothing(void **state)
{
	struct prog_lab *lab = *state;

	tcp_open(lab, POD4, 40000);
	tcp_close(lab, POD4, 40000);
	tcp(lab, INGRESS, POD4, 40000, SYN, 9000, 0);
	assert_int_equal(prog_records(lab), 2);
}

static void a_blind_fin_is_not_believed(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;

	tcp_open(lab, POD4, 40000);
	f = must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
	tcp(lab, INGRESS, POD4, 40000, FIN | ACK, 5001 + (64 << 20), 1001);
	assert_int_equal(prog_state(f), MASQ_ST_ESTABLISHED);
	tcp(lab, INGRESS, POD4, 40000, FIN | ACK, 5001 - (64 << 20), 1001);
	assert_int_equal(prog_state(f), MASQ_ST_ESTABLISHED);
	tcp(lab, INGRESS, POD4, 40000, FIN | ACK, 5001, 1001);
	assert_int_equal(prog_state(f), MASQ_ST_CLOSING);
}

/* What the pod has had already may come again with a FIN, not with a RST. */
static void a_reset_is_ahead_of_the_acknowledgment(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;

	tcp_open(lab, POD4, 40000);
	f = must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
	tcp(lab, INGRESS, POD4, 40000, RST, 5001 - 1000, 0);
	assert_int_equal(prog_state(f), MASQ_ST_ESTABLISHED);
	tcp(lab, INGRESS, POD4, 40000, FIN | ACK, 5001 - 1000, 1001);
	assert_int_equal(prog_state(f), MASQ_ST_CLOSING);
	tcp(lab, INGRESS, POD4, 40000, RST, 5001 + 1000, 0);
	assert_int_equal(prog_state(f), MASQ_ST_CLOSED);
}

static void addresses_of_the_node_are_no_pods(void **state)
{
	static const struct packet rows[] = {
		{ UDP, OUT(POD4, 5000, GATE4, 53) },
		{ UDP, OUT(GATE4, 5000, FAR4, 53) },
	};
	struct prog_lab *lab = *state;
	struct masq_ctl ctl = { .op = MASQ_CTL_EXPLAIN, .ifindex = lab->up };

	for (size_t i = 0; i < ROWS(rows); i++) {
		SEND(EGRESS, NEXT, &rows[i], &rows[i]);
		ctl.proto = IPPROTO_UDP;
		assert_int_equal(ctl_flow(lab, &ctl, rows[i].src, rows[i].dst),
				 0);
		assert_int_equal(ctl.reason, MASQ_R_HOST);
	}
	/* what netfilter translates to it is the node's, and stays so */
	assert_int_equal(REASON(HOST), 1);
	assert_int_equal(prog_records(lab), 1);
}

/* What came in by no interface is the node's, whatever address it has, as long
 * as no route leads to that address elsewhere (test_node). */
static void the_node_may_have_any_source(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP,
					 OUT("192.0.2.77", 5000, FAR4, 53) };
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(&p, frame);

	prog_run_raw(lab, "masq_egress", false, frame, length, 0, 0);
	prog_expect(lab, NEXT, &p, __FILE__, __LINE__);
	assert_int_equal(REASON(HOST), 1);
	assert_int_equal(prog_records(lab), 0);
}

/* Its error about a translated packet keeps the address that it chose. */
static void an_error_of_the_node_keeps_its_source(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet error = { .proto = IPPROTO_ICMP,
				      .flags = 3,
				      .code = 1,
				      .src = GATE4,
				      .dst = FAR4,
				      .quoted = PKT(UDP, OUT(FAR4, 53, POD4,
							     5000)) };
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(&error, frame);
	struct packet want = error;

	udp_out(lab, POD4, 5000, FAR4, 53);
	prog_run_raw(lab, "masq_egress", false, frame, length, 0, 0);
	want.quoted = PKT(UDP, OUT(FAR4, 53, NODE4, 5000));
	prog_expect(lab, NEXT, &want, __FILE__, __LINE__);
}

static void link_local_sources_stay(void **state)
{
	static const struct packet p = { UDP,
					 OUT("169.254.1.5", 5000, FAR4, 53) };
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(REASON(LINK_LOCAL), 1);
	assert_int_equal(prog_records(lab), 0);
}

/* Where the FIB does not answer, since the device does not forward. */
static void the_list_of_local_addresses(void **state)
{
	static const char path[] = "/proc/sys/net/ipv4/conf/up0/forwarding";
	struct prog_lab *lab = *state;
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct masq_addr addr = {};
	uint32_t one = 1;

	assert_int_equal(pwrite(fd, "0", 1, 0), 1);
	inet_pton(AF_INET, "10.142.0.99", addr.a);
	bpf_map_update_elem(prog_map(lab, "masq_local"), &addr, &one, 0);
	prog_run(lab, INGRESS, PKT(UDP, OUT(FAR4, 53, "10.142.0.99", 5000)));
	prog_run(lab, INGRESS, PKT(UDP, OUT(FAR4, 53, "10.142.0.98", 5000)));
	assert_int_equal(pwrite(fd, "1", 1, 0), 1);
	close(fd);
	bpf_map_delete_elem(prog_map(lab, "masq_local"), &addr);
	assert_int_equal(REASON(HOST), 1);
	assert_int_equal(prog_records(lab), 1);
}

/* Whoever sends to the pod's own address answers no translated flow. */
static void packets_to_the_pods_address_are_no_answers(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP, OUT(FAR4, 53, POD4, 5000) };

	udp_out(lab, POD4, 5000, FAR4, 53);
	SEND(INGRESS, NEXT, &p, &p);
	assert_int_equal(prog_prefix(lab, 0).ingress.packets, 0);
	assert_int_equal(
		must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP))->in_seen,
		0);
}

static void answers_from_outside_begin_nothing(void **state)
{
	static const uint8_t flags[] = { SYN | ACK, RST, FIN | ACK };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(flags); i++)
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = flags[i]),
		     NULL);
	assert_int_equal(REASON(INBOUND), ROWS(flags));
	assert_int_equal(prog_records(lab), 0);
}

/* A redirect names a flow, but belongs to none. */
static void a_redirect_is_no_error(void **state)
{
	struct prog_lab *lab = *state;
	struct packet p = { .proto = IPPROTO_ICMP,
			    .flags = 5,
			    .src = FAR4,
			    .dst = NODE4,
			    .quoted = PKT(UDP, OUT(NODE4, 5000, FAR4, 53)) };

	udp_out(lab, POD4, 5000, FAR4, 53);
	SEND(INGRESS, NEXT, &p, &p);
}

/* What an error quotes has to name a flow, and one that is there. */
static void what_a_quote_names(void **state)
{
	static const uint8_t ports[] = { 5000 >> 8, 5000 & 255, 0, 53,
					 0,	    40,		0, 0 };
	struct prog_lab *lab = *state;
	struct packet later = { UDP,
				.src = NODE4,
				.dst = FAR4,
				.frag_off = 100,
				.payload = ports,
				.length = sizeof(ports) };
	struct packet whole = { UDP, OUT(NODE4, 5000, FAR4, 53) };
	struct packet error = { .proto = IPPROTO_ICMP,
				.flags = 3,
				.code = 1,
				.src = FAR4,
				.dst = NODE4 };
	struct packet ping = { ECHO_REQUEST, OUT(FAR4, 9, POD4, 1) };

	udp_out(lab, POD4, 5000, FAR4, 53);
	/* a later fragment has no ports: these bytes are somebody's data */
	error.quoted = &later;
	SEND(INGRESS, NEXT, &error, &error);
	prog_age(lab, 300);
	error.quoted = &whole;
	SEND(INGRESS, NEXT, &error, &error);
	assert_int_equal(prog_prefix(lab, 0).ingress.packets, 0);
	/* a ping that came in, and what the pod says about it */
	SEND(INGRESS, NEXT, &ping, &ping);
	error.src = POD4;
	error.dst = FAR4;
	error.quoted = &ping;
	SEND(EGRESS, NEXT, &error, &error);
}

/* As a bridge carries them: nobody has routed these. */
static void discovery_on_its_link_passes(void **state)
{
	static const uint8_t types[] = { 130, 131, 132, 133, 134,
					 135, 136, 137, 143 };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(types); i++) {
		struct packet p = { .proto = IPPROTO_ICMPV6,
				    .flags = types[i],
				    .length = 16,
				    .ttl = 255,
				    .src = POD6,
				    .dst = FAR6 };

		SEND(EGRESS, NEXT, &p, &p);
	}
	assert_int_equal(REASON(DISCOVERY), ROWS(types));
}

static void seeded_flows_have_their_time_and_state(void **state)
{
	static const int states[] = { MASQ_ST_NEW, MASQ_ST_ESTABLISHED,
				      MASQ_ST_CLOSED };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(states); i++) {
		struct masq_ctl ctl = { .op = MASQ_CTL_SEED,
					.proto = IPPROTO_TCP,
					.kind = MASQ_K_KEEP,
					.state = states[i],
					.in_port = htons(40000 + i),
					.rem_port = htons(443),
					.timeout = prog_ticks(lab, 500) };
		struct masq_flow4 *f;

		assert_int_equal(ctl_flow(lab, &ctl, POD4, KEPT4), 0);
		f = must(record(lab, POD4, 40000 + i, KEPT4, 443, IPPROTO_TCP));
		assert_in_range(f->expires - now(lab), prog_ticks(lab, 490),
				prog_ticks(lab, 500));
		ctl.op = MASQ_CTL_FIND;
		assert_int_equal(ctl_flow(lab, &ctl, POD4, KEPT4), 0);
		assert_int_equal(ctl.kind, MASQ_K_KEEP);
		assert_int_equal(ctl.state, states[i]);
		prog_age(lab, 510);
		assert_int_equal(ctl_flow(lab, &ctl, POD4, KEPT4), 0);
		assert_int_equal(ctl.kind, 0);
	}
}

/* --- policy ------------------------------------------------------------------- */

static void keep_sources(struct masq_policy *policy)
{
	policy->flags |= MASQ_P_KEEP_SOURCES;
}

static void pod_sources(struct masq_policy *policy)
{
	policy->flags |= MASQ_P_PODS4;
}

static void pod_sources_recorded(struct masq_policy *policy)
{
	policy->flags |= MASQ_P_PODS4 | MASQ_P_RECORD;
}

static void no_foreign_sources(struct masq_policy *policy)
{
	policy->flags |= MASQ_P_PODS4 | MASQ_P_DROP_FOREIGN;
}

/* nonMasqueradeSrcCIDRs. POD4 is in 10.44.14.0/28, POD4B is not. */
static void some_sources_are_kept(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP, OUT(POD4, 5000, FAR4, 53) };

	put_prefix(lab, "masq_trie_a", MASQ_SET_SRC4, "10.44.14.0", 28,
		   (struct masq_lpm_value){ .source = MASQ_SRC_KEEP,
					    .prefix = 9 });
	prog_policy_edit(lab, keep_sources);
	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(prog_prefix(lab, 9).flows, 1);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4B, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
}

/* podCIDRs and dropForeignSources. */
static void only_pods_are_translated(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP, OUT(POD4B, 5000, FAR4, 53) };

	put_prefix(lab, "masq_trie_a", MASQ_SET_SRC4, "10.44.14.0", 28,
		   (struct masq_lpm_value){ .source = MASQ_SRC_POD });
	prog_policy_edit(lab, pod_sources);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(REASON(NOT_POD), 1);
	prog_policy_edit(lab, no_foreign_sources);
	SEND(EGRESS, DROP, &p, NULL);
	assert_int_equal(REASON(FOREIGN_SOURCE), 1);
}

/* While the guard wants to see them, with what they are answered. */
static void who_is_no_pod_may_have_records(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP, OUT(POD4B, 5000, FAR4, 53) };
	static const struct packet answer = { UDP, OUT(FAR4, 53, POD4B, 5000) };
	static const struct packet late = { TCP, OUT(POD4B, 1, FAR4, 2),
					    .flags = ACK };
	struct masq_ctl ctl = { .op = MASQ_CTL_FIND,
				.proto = IPPROTO_UDP,
				.in_port = htons(5000),
				.rem_port = htons(53) };

	put_prefix(lab, "masq_trie_a", MASQ_SET_SRC4, "10.44.14.0", 28,
		   (struct masq_lpm_value){ .source = MASQ_SRC_POD });
	prog_policy_edit(lab, pod_sources_recorded);
	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(prog_records(lab), 1);
	assert_int_equal(ctl_flow(lab, &ctl, POD4B, FAR4), 0);
	assert_int_equal(ctl.kind, MASQ_K_KEEP);
	SEND(INGRESS, NEXT, &answer, &answer);
	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(REASON(NOT_POD), 0);
	/* one that had begun before is none of it */
	SEND(EGRESS, NEXT, &late, &late);
	assert_int_equal(REASON(NOT_POD), 1);
	assert_int_equal(prog_records(lab), 1);
}

static void the_other_half_has_its_own_prefixes(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet p = { UDP, OUT(POD4, 5000, FAR4, 53) };
	struct masq_policy policy;
	uint32_t zero = 0, one = 1;

	bpf_map_lookup_elem(prog_map(lab, "masq_policy"), &zero, &policy);
	policy.generation++;
	bpf_map_update_elem(prog_map(lab, "masq_policy"), &one, &policy, 0);
	put_prefix(lab, "masq_trie_b", MASQ_SET_DST4, "198.51.100.0", 24,
		   (struct masq_lpm_value){ .action = MASQ_KEEP, .prefix = 9 });
	bpf_map_update_elem(prog_map(lab, "masq_active"), &zero, &one, 0);
	SEND(EGRESS, NEXT, &p, &p);
	assert_int_equal(prog_prefix(lab, 9).flows, 1);
}

/* Policy routing: the main table's route leads elsewhere, and its source does
 * not count here. */
static void the_address_is_of_this_uplink(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, "10.44.14.77", 53)),
	     PKT(UDP, OUT(NODE4, 5000, "10.44.14.77", 53)));
}

/* --- shapes of packets --------------------------------------------------------- */

/* Nine headers of eight bytes: more than we follow, so nothing that we could
 * translate. */
static void an_endless_chain_of_headers_never_leaves(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t plain[PACKET_MAX], frame[PACKET_MAX];
	size_t length =
		packet_build(PKT(UDP, OUT(POD6, 5000, FAR6, 53)), plain);

	for (unsigned int n = 1; n <= 9; n += 4) {
		uint16_t payload = htons(length - 54 + n * 8);

		memcpy(frame, plain, 54);
		memcpy(frame + 18, &payload, 2);
		frame[20] = IPPROTO_DSTOPTS;
		for (unsigned int i = 0; i < n; i++) {
			uint8_t *h = frame + 54 + i * 8;

			memset(h, 0, 8);
			h[0] = i == n - 1 ? IPPROTO_UDP : IPPROTO_DSTOPTS;
			h[2] = 1; /* PadN */
			h[3] = 4;
		}
		memcpy(frame + 54 + n * 8, plain + 54, length - 54);
		prog_run_raw(lab, "masq_egress", true, frame, length + n * 8, 0,
			     0);
		assert_int_equal(lab->verdict, n == 9 ? DROP : NEXT);
	}
	assert_int_equal(REASON(MALFORMED), 1);
	assert_int_equal(prog_records(lab), 2);
}

static void two_tags_in_the_payload(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t frame[PACKET_MAX + 4];
	size_t length = packet_build(
		PKT(UDP, OUT(POD4, 5000, FAR4, 53), .vlan = 7), frame);
	uint32_t node;

	memmove(frame + 16, frame + 12, length - 12);
	memcpy(frame + 12, "\x88\xa8\x00\x09", 4);
	prog_run_raw(lab, "masq_egress", true, frame, length + 4, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	inet_pton(AF_INET, NODE4, &node);
	assert_memory_equal(lab->frame + 22 + 12, &node, 4);
}

/* What has gone out translated may come in again and be an answer. */
static void a_seal_counts_for_one_way(void **state)
{
	struct prog_lab *lab = *state;

	udp_out(lab, POD4, 5000, FAR4, 53);
	lab->seal_other = true;
	udp_in(lab, POD4, 5000, FAR4, 53);
}

/* --- fragments -------------------------------------------------------------------- */

/* Moves the time of each fragment's note, or copy, back by a minute. */
static void age_fragments(struct prog_lab *lab, const char *map, size_t expires)
{
	int fd = prog_map(lab, map);
	static uint8_t value[sizeof(struct masq_held)];
	uint8_t key[sizeof(struct masq_held_key)];

	assert_int_equal(bpf_map_get_next_key(fd, NULL, key), 0);
	assert_int_equal(bpf_map_lookup_elem(fd, key, value), 0);
	*(uint32_t *)(value + expires) -= prog_ticks(lab, 60);
	assert_int_equal(bpf_map_update_elem(fd, key, value, BPF_EXIST), 0);
}

#define FIRST .id = 7, .more_fragments = true, .length = 64
#define LATER .id = 7, .frag_off = 9, .length = 64

static void a_note_gets_old(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53), FIRST), NULL);
	SEND(EGRESS, NEXT, PKT(UDP, .src = POD4, .dst = FAR4, LATER),
	     PKT(UDP, .src = NODE4, .dst = FAR4, LATER));
	age_fragments(lab, "masq_frags", offsetof(struct masq_frag, expires));
	SEND(EGRESS, DROP, PKT(UDP, .src = POD4, .dst = FAR4, LATER), NULL);
}

/* RFC 1858, RFC 3128: with its note there, too. */
static void no_fragment_replaces_a_header(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = SYN, FIRST), NULL);
	for (uint16_t off = 1; off <= 3; off++)
		SEND(EGRESS, off * 8 < 20 ? DROP : NEXT,
		     PKT(TCP, .src = POD4, .dst = FAR4, .id = 7,
			 .frag_off = off, .length = 64),
		     NULL);
	assert_int_equal(REASON(FRAGMENT), 2);
}

static void an_early_fragment_gets_old(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, DROP, PKT(UDP, .src = POD4, .dst = FAR4, LATER), NULL);
	assert_int_equal(prog_stat(lab, MASQ_S_FRAG_HELD), 1);
	age_fragments(lab, "masq_held", offsetof(struct masq_held, expires));
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53), FIRST), NULL);
	assert_int_equal(prog_stat(lab, MASQ_S_FRAG_RELEASED), 0);
}

/* An identification is its sender's. */
static void a_note_counts_for_one_way(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, KEPT4, 53), FIRST), NULL);
	SEND(INGRESS, NEXT, PKT(UDP, .src = KEPT4, .dst = POD4, LATER), NULL);
	assert_int_equal(REASON(INBOUND), 1);
	assert_int_equal(prog_prefix(lab, 2).ingress.packets, 0);
}

/* --- refusals ------------------------------------------------------------------- */

static void refusals_have_a_rate(void **state)
{
	struct prog_lab *lab = *state;
	int fd = prog_map(lab, "masq_refusals");
	int cpus = libbpf_num_possible_cpus();
	struct {
		uint32_t tick, tokens;
	} *buckets = calloc(cpus, sizeof(*buckets));
	uint32_t zero = 0, tick;
	bool seen = false;

	prog_policy_edit(lab, one_port);
	udp_out(lab, POD4, 30100, FAR4, 53);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 20000)), NULL);
	/* nothing left in this tick; so often until it is still that tick */
	for (int i = 0; i < 1000 && !seen; i++) {
		tick = now(lab);
		for (int c = 0; c < cpus; c++) {
			buckets[c].tick = tick;
			buckets[c].tokens = 0;
		}
		bpf_map_update_elem(fd, &zero, buckets, 0);
		prog_run(lab, EGRESS, PKT(UDP, OUT(POD4B, 30100, FAR4, 53)));
		seen = now(lab) == tick;
	}
	assert_true(seen);
	assert_int_equal(lab->verdict, DROP);
	for (int c = 0; c < cpus; c++)
		buckets[c].tick = tick - 3;
	bpf_map_update_elem(fd, &zero, buckets, 0);
	SEND(EGRESS, REDIRECT, PKT(UDP, OUT(POD4B, 30100, FAR4, 53)), NULL);
	free(buckets);
}

static void a_v6_refusal_is_exact(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet refused = { UDP, OUT("fd00:44::16", 30100,
							FAR6, 53) };
	uint8_t want[PACKET_MAX], *icmp = want + 54;
	uint32_t sum;
	size_t length;

	prog_policy_edit(lab, one_port);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 30100, FAR6, 53)),
	     PKT(UDP, OUT(NODE6, 20000, FAR6, 53)));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR6, 53, NODE6, 20000)), NULL);
	SEND(EGRESS, REDIRECT, &refused, NULL);
	length = packet_build(PKT(.proto = IPPROTO_ICMPV6, .flags = 1,
				  .code = 1, .src = NODE6, .dst = "fd00:44::16",
				  .quoted = &refused, .quoted_length = 48),
			      want);
	/* what a device may need in the unused bytes (bpf/refuse.h), and the
	 * checksum that comes of it (RFC 1624) */
	memcpy(icmp + 6, lab->frame + 54 + 6, 2);
	sum = (uint16_t) ~(icmp[2] << 8 | icmp[3]);
	sum += icmp[6] << 8 | icmp[7];
	sum = (sum & 0xffff) + (sum >> 16);
	icmp[2] = ~sum >> 8 & 0xff;
	icmp[3] = ~sum & 0xff;
	assert_int_equal(lab->length, length);
	assert_memory_equal(lab->frame, want, length);
}

/* --- events ---------------------------------------------------------------------- */

struct told {
	int n;
	struct masq_event last;
};

static int tell(void *ctx, void *data, size_t size)
{
	struct told *told = ctx;

	told->n++;
	memcpy(&told->last, data,
	       size < sizeof(told->last) ? size : sizeof(told->last));
	return 0;
}

/* Somebody listens until so many seconds from now. */
static void listen_until(struct prog_lab *lab, int seconds)
{
	struct masq_watch watch = {};
	struct timespec t;
	uint32_t zero = 0;

	clock_gettime(CLOCK_MONOTONIC, &t);
	watch.listener[0].until = seconds ? t.tv_sec + seconds : 0;
	bpf_map_update_elem(prog_map(lab, "masq_watch"), &zero, &watch, 0);
}

static void an_end_tells_both_directions(void **state)
{
	struct prog_lab *lab = *state;
	struct told told = {};
	struct ring_buffer *ring = ring_buffer__new(
		prog_map(lab, "masq_events0"), tell, &told, NULL);

	assert_non_null(ring);
	listen_until(lab, 600);
	udp_out(lab, POD4, 5000, FAR4, 53);
	ring_buffer__consume(ring);
	assert_int_equal(told.n, 1);
	assert_int_equal(told.last.type, MASQ_EV_NEW);
	udp_out(lab, POD4, 5000, FAR4, 53);
	for (int i = 0; i < 3; i++)
		udp_in(lab, POD4, 5000, FAR4, 53);
	delete_flow(lab, POD4, 5000, FAR4, 53);
	ring_buffer__consume(ring);
	assert_int_equal(told.n, 2);
	assert_int_equal(told.last.type, MASQ_EV_END);
	assert_int_equal(told.last.egress.packets, 2);
	assert_int_equal(told.last.ingress.packets, 3);
	assert_int_equal(told.last.ingress.bytes, 3 * 28);
	/* its time has come: it was killed */
	listen_until(lab, -5);
	udp_out(lab, POD4, 5000, FAR4, 53);
	ring_buffer__consume(ring);
	assert_int_equal(told.n, 2);
	listen_until(lab, 0);
	ring_buffer__free(ring);
}

static void what_a_listener_misses_is_counted(void **state)
{
	struct prog_lab *lab = *state;
	struct told told = {};
	struct ring_buffer *ring = ring_buffer__new(
		prog_map(lab, "masq_events0"), tell, &told, NULL);
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(
		PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = RST), frame);
	const int sent = 2 * MASQ_EVENT_BYTES / sizeof(struct masq_event);
	struct masq_watch watch;
	uint32_t zero = 0;

	assert_non_null(ring);
	listen_until(lab, 600);
	for (int i = 0; i < sent; i++)
		prog_run_raw(lab, "masq_egress", true, frame, length, 0, 0);
	bpf_map_lookup_elem(prog_map(lab, "masq_watch"), &zero, &watch);
	ring_buffer__consume(ring);
	listen_until(lab, 0);
	ring_buffer__free(ring);
	assert_true(watch.listener[0].lost > 0);
	assert_int_equal(told.n + watch.listener[0].lost, sent);
}

/* --- three pages: where records lie ---------------------------------------------- */

#define SOME 16 /* flows: the budgets of this lab */
#define FEW  6 /* whose records one page holds easily */

struct group {
	char pod[SOME][40], far[SOME][40], kept[SOME][40];
	const char *node;
	bool v6;
};

static void name(struct group *g, int round, bool v6)
{
	g->v6 = v6;
	g->node = v6 ? NODE6 : NODE4;
	for (int i = 0; i < SOME; i++) {
		int n = round * SOME + i;

		snprintf(g->pod[i], 40, v6 ? "fd00:44::%x" : "10.44.14.%d",
			 20 + i);
		snprintf(g->far[i], 40, v6 ? "2001:db8::%x:%x" : "198.18.%d.%d",
			 n / 250, n % 250 + 1);
		snprintf(g->kept[i], 40, v6 ? "fd00:30::%x:%x" : "172.30.%d.%d",
			 n / 250, n % 250 + 1);
	}
}

/* A masqueraded, a kept and an inbound flow for each, with the same ports;
 * or, made already, one more packet of them. */
static void play(struct prog_lab *lab, const struct group *g, int n)
{
	for (int i = 0; i < n; i++) {
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(g->pod[i], 5000, g->far[i], 53)),
		     PKT(UDP, OUT(g->node, 5000, g->far[i], 53)));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(g->far[i], 53, g->node, 5000)),
		     PKT(UDP, OUT(g->far[i], 53, g->pod[i], 5000)));
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(g->pod[i], 5000, g->kept[i], 53)),
		     PKT(UDP, OUT(g->pod[i], 5000, g->kept[i], 53)));
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(g->far[i], 5000, g->pod[i], 53)),
		     PKT(UDP, OUT(g->far[i], 5000, g->pod[i], 53)));
	}
	assert_int_equal(prog_records(lab), 4 * n);
}

static void end(struct prog_lab *lab, const struct group *g, int from, int to)
{
	for (int i = from; i < to; i++) {
		delete_flow(lab, g->pod[i], 5000, g->far[i], 53);
		delete_flow(lab, g->pod[i], 5000, g->kept[i], 53);
		delete_flow(lab, g->pod[i], 53, g->far[i], 5000);
	}
}

/* Many records in few slots, of keys that differ in one address only. */
static void neighbours_are_told_apart(void **state)
{
	struct prog_lab *lab = *state;
	struct group g;

	for (int round = 0; round < 24; round++) {
		name(&g, round, round % 3 == 2);
		play(lab, &g, SOME);
		play(lab, &g, SOME);
		EXPECT_TOTALS();
		end(lab, &g, 0, SOME / 2);
		assert_int_equal(prog_records(lab), 4 * SOME / 2);
		EXPECT_TOTALS();
		end(lab, &g, SOME / 2, SOME);
		assert_int_equal(prog_records(lab), 0);
		EXPECT_TOTALS();
	}
	assert_int_equal(prog_stat(lab, MASQ_S_OVERFLOWED), 0);
}

static void ping_out(struct prog_lab *lab, const char *pod, const char *far)
{
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(pod, 7, far, 1)),
	     PKT(ECHO_REQUEST, OUT(NODE4, 7, far, 1)));
}

/* Who asked is part of the key: the same two hosts ping each other. */
static void pings_of_both_sides_are_told_apart(void **state)
{
	struct prog_lab *lab = *state;
	struct group g;

	for (int round = 0; round < 100; round++) {
		prog_lab_reset(state);
		name(&g, round, false);
		for (int i = 0; i < SOME; i++) {
			struct packet in = { ECHO_REQUEST,
					     OUT(g.far[i], 7, g.pod[i], 1) };

			if (round & 1)
				ping_out(lab, g.pod[i], g.far[i]);
			SEND(INGRESS, NEXT, &in, &in);
			if (!(round & 1))
				ping_out(lab, g.pod[i], g.far[i]);
		}
		assert_int_equal(prog_records(lab), 3 * SOME);
	}
}

static void fill_page(struct prog_lab *lab, unsigned int page, uint64_t used)
{
	lab->flows4[page].label.used = used;
}

static unsigned int elsewhere(struct prog_lab *lab)
{
	return lab->flows4[0].label.elsewhere + lab->flows4[1].label.elsewhere +
	       lab->flows4[2].label.elsewhere;
}

static unsigned int hops(struct prog_lab *lab)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < lab->pages * MASQ_PAGE_SLOTS; i++)
		n += !!lab->flows4[i / MASQ_PAGE_SLOTS]
			       .slot[i % MASQ_PAGE_SLOTS]
			       .hops;
	return n;
}

/* The first page has no place: the second has the records, and is asked. */
static void records_that_lie_in_the_second_page(void **state)
{
	struct prog_lab *lab = *state;
	struct group g;
	unsigned int spilled;

	assert_int_equal(lab->pages, 3);
	name(&g, 0, false);
	fill_page(lab, 0, ~0ULL);
	play(lab, &g, FEW);
	spilled = prog_stat(lab, MASQ_S_SPILLED);
	assert_true(spilled > 0);
	assert_int_equal(elsewhere(lab), spilled);
	assert_int_equal(prog_stat(lab, MASQ_S_OVERFLOWED), 0);
	play(lab, &g, FEW);
	/* the first page is looked through: they are still asked for there */
	reclaim(lab);
	play(lab, &g, FEW);
	end(lab, &g, 0, FEW);
	assert_int_equal(prog_records(lab), 0);
	assert_int_equal(elsewhere(lab), 0);
	/* and no more when none of them is left */
	assert_true(hops(lab) > 0);
	reclaim(lab);
	fill_page(lab, 0, 0);
	assert_int_equal(hops(lab), 0);
}

static void records_that_overflow(void **state)
{
	struct prog_lab *lab = *state;
	struct group g;

	name(&g, 0, false);
	fill_page(lab, 0, ~0ULL);
	fill_page(lab, 1, ~0ULL);
	/* fewer: a third page alone holds them */
	for (int i = 0; i < SOME / 2; i++) {
		SEND(EGRESS, NEXT, PKT(UDP, OUT(g.pod[i], 5000, g.far[i], 53)),
		     PKT(UDP, OUT(NODE4, 5000, g.far[i], 53)));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(g.far[i], 53, NODE4, 5000)),
		     PKT(UDP, OUT(g.far[i], 53, g.pod[i], 5000)));
	}
	assert_int_equal(prog_stat(lab, MASQ_S_OVERFLOWED), SOME);
	assert_int_equal(prog_stat(lab, MASQ_S_SPILLED), SOME);
	assert_int_equal(elsewhere(lab), 2 * SOME);
	reclaim(lab);
	for (int i = 0; i < SOME / 2; i++)
		SEND(INGRESS, NEXT, PKT(UDP, OUT(g.far[i], 53, NODE4, 5000)),
		     PKT(UDP, OUT(g.far[i], 53, g.pod[i], 5000)));
	for (int i = 0; i < SOME / 2; i++)
		delete_flow(lab, g.pod[i], 5000, g.far[i], 53);
	assert_int_equal(elsewhere(lab), 0);
	assert_int_equal(prog_records(lab), 0);
}

static void huge(struct masq_policy *policy)
{
	policy->max_flows = policy->max_flows_per_pod = 100000;
}

/* Another processor is making these very records: nobody else sees them, and
 * nobody makes a second one of that key, wherever the first lies. */
static void a_record_that_is_being_made_is_its_makers(void **state)
{
	struct prog_lab *lab = *state;
	struct group g;

	prog_policy_edit(lab, huge); /* there is room for others */
	name(&g, 0, false);
	fill_page(lab, 0, ~0ULL);
	for (int i = 0; i < SOME; i++)
		udp_out(lab, g.pod[i], 5000, g.kept[i], 53);
	fill_page(lab, 0, 0);
	for (int i = 0; i < SOME; i++) {
		struct masq_flow4 *f = must(record(lab, g.pod[i], 5000,
						   g.kept[i], 53, IPPROTO_UDP));

		f->what = (f->what & ~MASQ_W_LIVE) | MASQ_W_MADE;
	}
	for (int i = 0; i < SOME; i++)
		udp_out(lab, g.pod[i], 5000, g.kept[i], 53);
	assert_int_equal(REASON(KEEP_UNTRACKED), SOME);
	assert_int_equal(prog_records(lab), SOME);
}

/* The port was claimed, and then the flow's own record cannot be made. */
static void a_claim_is_rolled_back(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f;

	udp_out(lab, POD4, 5000, KEPT4, 53);
	f = must(record(lab, POD4, 5000, KEPT4, 53, IPPROTO_UDP));
	f->what = (f->what & ~MASQ_W_LIVE) | MASQ_W_MADE;
	prog_policy(lab, NULL); /* everything masqueraded */
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, DROP, PKT(UDP, OUT(POD4, 5000, KEPT4, 53)), NULL);
	assert_int_equal(REASON(BUSY), 1);
	assert_int_equal(prog_records(lab), 1);
	/* the port is free for whoever asks next */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4B, 5000, KEPT4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, KEPT4, 53)));
}

static void no_quota(struct masq_policy *policy)
{
	policy->max_flows_per_pod = 0;
}

/* A label never says later than its page's next expiry. */
static void expect_labels(struct prog_lab *lab, const char *when)
{
	for (unsigned int i = 0; i < lab->pages * MASQ_PAGE_SLOTS; i++) {
		struct masq_page4 *p = &lab->flows4[i / MASQ_PAGE_SLOTS];
		struct masq_flow4 *f = &p->slot[i % MASQ_PAGE_SLOTS];

		if (f->what && f->what >> MASQ_W_KIND != MASQ_K_REV)
			row_true(when, (int32_t)(p->label.soonest -
						 (f->expires + 1)) <= 0);
	}
}

static void labels_know_what_comes_next(void **state)
{
	static const uint8_t fin = FIN | ACK;
	struct prog_lab *lab = *state;

	for (int closing = 0; closing < 2; closing++) {
		prog_lab_reset(state);
		prog_policy_edit(lab, no_quota);
		/* of one record each, so that no other one's page is told */
		for (int i = 0; i < 8; i++)
			kept_open(lab, 40000 + i, KEPT4);
		reclaim(lab);
		for (unsigned int i = 0; i < 2; i++) {
			int32_t ahead = lab->flows4[i].label.soonest - now(lab);

			if (lab->flows4[i].label.used)
				assert_true(ahead >
					    (int32_t)prog_ticks(lab, 7000));
		}
		expect_labels(lab, "established");
		for (int i = 0; i < 4; i++) {
			if (!closing) {
				make(lab, 'u', POD4B, 41000 + i);
				continue;
			}
			SEND(EGRESS, NEXT,
			     PKT(TCP, OUT(POD4, 40000 + i, KEPT4, 443),
				 .flags = fin),
			     NULL);
			SEND(INGRESS, NEXT,
			     PKT(TCP, OUT(KEPT4, 443, POD4, 40000 + i),
				 .flags = fin),
			     NULL);
		}
		expect_labels(lab, closing ? "closed" : "unanswered");
		reclaim(lab);
		expect_labels(lab, "opened");
	}
}

/* --- three pages: who makes room ---------------------------------------------------- */

static void four(struct masq_policy *policy)
{
	policy->max_flows = 4;
	policy->max_flows_per_pod = 4;
}

static void who_makes_room(void **state)
{
	static const struct {
		const char *name;
		char first, second;
		int age1, age2;
		int victim;
	} rows[] = {
		{ "closed before unanswered", 'c', 'u', 3, 3, 0 },
		{ "closed before unanswered, older", 'u', 'c', 10, 3, 1 },
		{ "unanswered before answered", 'a', 'u', 10, 3, 1 },
		{ "answered before half closed", 'h', 'a', 300, 3, 1 },
		{ "half closed before established", 'h', 'e', 300, 3, 0 },
		{ "not half closed and in use", 'h', 'e', 0, 0, -1 },
		{ "not answered just now", 'a', 'e', 0, 0, -1 },
		{ "not established, however idle", 'e', 'e', 5000, 9, -1 },
		{ "the one idle for longer", 'u', 'u', 20, 3, 0 },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		uint32_t began = now(lab);

		prog_lab_reset(state);
		prog_policy_edit(lab, four);
		make(lab, rows[i].first, POD4, 40000);
		if (rows[i].age1)
			prog_age(lab, rows[i].age1);
		make(lab, rows[i].second, POD4, 40001);
		if (rows[i].age2)
			prog_age(lab, rows[i].age2);
		make(lab, 'e', POD4, 40002);
		make(lab, 'e', POD4, 40003);
		prog_run(lab, EGRESS,
			 PKT(TCP, OUT(POD4B, 50000, FAR4, 443), .flags = SYN));
		if (took_a_second(lab, began)) {
			i--; /* what was just now is not any more */
			continue;
		}
		for (int j = 0; j < 4; j++)
			if (there(lab, POD4, 40000 + j) ==
			    (j == rows[i].victim))
				fail_msg("row \"%s\": flow %d is %s",
					 rows[i].name, j,
					 j == rows[i].victim ? "there"
							     : "gone");
		row_true(rows[i].name,
			 lab->verdict == (rows[i].victim < 0 ? DROP : NEXT));
		row_true(rows[i].name,
			 REASON(TABLE_FULL) == (rows[i].victim < 0));
		EXPECT_TOTALS();
	}
}

/* Of those that nobody answered the older half, at most. */
static void the_younger_stay(void **state)
{
	struct prog_lab *lab = *state;

	/* where they lie is drawn anew each time, and so is who is met first */
	for (int port = 40000; port < 48000; port += 1000) {
		prog_lab_reset(state);
		prog_policy_edit(lab, no_quota);
		for (int i = 0; i < SOME; i++) {
			make(lab, 'u', POD4, port + i);
			if (i == SOME / 2 - 1)
				prog_age(lab, 30);
		}
		prog_age(lab, 3);
		make(lab, 'u', POD4B, 50000);
		assert_false(REASON(TABLE_FULL));
		for (int i = SOME / 2; i < SOME; i++)
			assert_true(there(lab, POD4, port + i));
		EXPECT_TOTALS();
	}
}

/* A kept flow loses nothing with its record, as long as it would be kept
 * again; other budgets are not asked. */
static void kept_flows_make_room_for_kept_ones(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, four);
	for (int i = 0; i < 3; i++)
		make(lab, 'u', POD4, 40000 + i);
	for (int i = 0; i < 5; i++)
		kept_open(lab, 41000 + i, KEPT4);
	assert_int_equal(REASON(KEEP_UNTRACKED), 0);
	assert_in_range(prog_stat(lab, MASQ_S_RECLAIMED), 1, 4);
	assert_non_null(record(lab, POD4, 41004, KEPT4, 443, IPPROTO_TCP));
	for (int i = 0; i < 3; i++)
		assert_true(there(lab, POD4, 40000 + i));
	EXPECT_TOTALS();
}

static void kept_by_an_older_policy(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, four);
	for (int i = 0; i < 4; i++)
		kept_open(lab, 41000 + i, KEPT4);
	prog_policy(lab, "192.0.2.0/24", MASQ_KEEP, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 42000, "192.0.2.7", 443), .flags = SYN), NULL);
	assert_int_equal(REASON(KEEP_UNTRACKED), 1);
	for (int i = 0; i < 4; i++)
		assert_non_null(
			record(lab, POD4, 41000 + i, KEPT4, 443, IPPROTO_TCP));
}

/* A scan from outside makes room for itself. */
static void unanswered_inbound_makes_room(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, four);
	for (int i = 0; i < 12; i++)
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR4, 5000 + i, POD4, 80), .flags = SYN),
		     NULL);
	assert_int_equal(REASON(INBOUND_UNTRACKED), 0);
	assert_non_null(record(lab, POD4, 80, FAR4, 5011, IPPROTO_TCP));
	assert_in_range(prog_records(lab), 1, 4);
	EXPECT_TOTALS();
}

static void three(struct masq_policy *policy)
{
	policy->max_flows_per_pod = 3;
}

/* At its quota a pod's own flows make room, and nobody else's. */
static void a_pod_makes_room_for_itself(void **state)
{
	static const char own[] = "10.44.14.60";
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, three);
	/* pages that have been read, and had none of these pods' */
	for (int i = 0; i < 5; i++) {
		char pod[32];

		snprintf(pod, sizeof(pod), "10.44.14.%d", 50 + i);
		make(lab, 'e', pod, 42000 + i);
	}
	reclaim(lab);
	for (int i = 0; i < 3; i++) {
		make(lab, 'e', POD4, 40000 + i);
		make(lab, 'u', POD4B, 41000 + i);
		make(lab, 'u', own, 43000 + i);
	}
	prog_age(lab, 3);
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4, 40003, FAR4, 443), .flags = SYN),
	     NULL);
	assert_int_equal(REASON(POD_QUOTA), 1);
	assert_int_equal(prog_stat(lab, MASQ_S_RECLAIMED), 0);
	make(lab, 'u', own, 43003);
	assert_true(prog_stat(lab, MASQ_S_RECLAIMED) > 0);
	for (int i = 0; i < 3; i++) {
		assert_true(there(lab, POD4, 40000 + i));
		assert_true(there(lab, POD4B, 41000 + i));
	}
	EXPECT_TOTALS();
}

/* What is closed does not count, and so does not go for it either. */
static void closed_flows_are_not_in_the_quota(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, three);
	for (int i = 0; i < 8; i++)
		make(lab, 'c', POD4, 40000 + i);
	assert_int_equal(pod_of(lab, POD4).flows, 8);
	assert_int_equal(pod_of(lab, POD4).closed, 8);
	make(lab, 'u', POD4, 41000);
	prog_age(lab, 3);
	make(lab, 'e', POD4, 41001);
	make(lab, 'e', POD4, 41002);
	assert_int_equal(prog_stat(lab, MASQ_S_RECLAIMED), 0);
	make(lab, 'e', POD4, 41003);
	assert_false(there(lab, POD4, 41000));
	for (int i = 0; i < 8; i++)
		assert_true(there(lab, POD4, 40000 + i));
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4, 41004, FAR4, 443), .flags = SYN),
	     NULL);
	assert_int_equal(REASON(POD_QUOTA), 1);
	/* a RST that is taken back, and ends, are counted as well */
	tcp(lab, EGRESS, POD4, 41001, RST, 1001, 0);
	assert_int_equal(pod_of(lab, POD4).closed, 9);
	tcp(lab, EGRESS, POD4, 41001, ACK, 1001, 5001);
	assert_int_equal(pod_of(lab, POD4).closed, 8);
	prog_age(lab, 300);
	reclaim(lab);
	assert_int_equal(pod_of(lab, POD4).closed, 0);
	assert_int_equal(pod_of(lab, POD4).flows, 3);
	EXPECT_TOTALS();
}

/* IPv6's table is small where IPv6 is not translated; a budget knows. */
static void no_more_flows_than_the_table_is_for(void **state)
{
	struct prog_lab *lab = *state;
	const int most = 2 * MASQ_PAGE_SLOTS / MASQ_SLOTS_PER_FLOW;

	prog_policy_edit(lab, huge);
	for (int i = 0; i < most; i++)
		make(lab, 'e', POD4, 40000 + i);
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4, 50000, FAR4, 443), .flags = SYN),
	     NULL);
	assert_int_equal(REASON(TABLE_FULL), 1);
	assert_int_equal(usage_of(lab).flows[0][MASQ_B_MASQUERADE], most);
}

/* Flows that come clear away those whose time is over. */
static void the_hand_goes_round(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, no_quota);
	for (int i = 0; i < 8; i++)
		make(lab, 'u', POD4, 40000 + i);
	prog_age(lab, 300);
	/* a draw says which of them moves the hand on; without pressure */
	for (int i = 0; i < 2000 && prog_stat(lab, MASQ_S_EXPIRED) < 8; i++) {
		udp_out(lab, POD4, 5000, KEPT4, 53);
		delete_flow(lab, POD4, 5000, KEPT4, 53);
	}
	assert_int_equal(prog_stat(lab, MASQ_S_EXPIRED), 8);
	assert_int_equal(prog_records(lab), 0);
	EXPECT_TOTALS();
}

/* All the slots have expired records, and the hand is far away: those around
 * the new one's places go at once. */
static void expired_neighbours_give_way(void **state)
{
	struct prog_lab *lab = *state;
	uint32_t t = now(lab);

	for (unsigned int i = 0; i < lab->pages * MASQ_PAGE_SLOTS; i++) {
		struct masq_page4 *p = &lab->flows4[i / MASQ_PAGE_SLOTS];
		struct masq_flow4 *f = &p->slot[i % MASQ_PAGE_SLOTS];

		f->in_addr[0] = htonl(0x0b000000 + i);
		f->rem_addr[0] = htonl(0x0c000000);
		f->proto = IPPROTO_UDP;
		f->what = MASQ_K_KEEP << MASQ_W_KIND | MASQ_W_LIVE;
		f->last_seen = t - prog_ticks(lab, 500);
		f->expires = t - prog_ticks(lab, 100);
		p->label.used = ~0ULL;
		p->label.soonest = f->expires;
	}
	udp_out(lab, POD4, 5000, KEPT4, 53);
	assert_int_equal(REASON(KEEP_UNTRACKED), 0);
	assert_non_null(record(lab, POD4, 5000, KEPT4, 53, IPPROTO_UDP));
	udp_out(lab, POD4, 5000, KEPT4, 53);
}

/* --- the fast path ------------------------------------------------------------------ */

static void fast_policy(struct masq_policy *policy)
{
	policy->fast = 60;
	policy->flags |= MASQ_P_FAST_TCP;
}

static int fast_reset(void **state)
{
	struct prog_lab *lab = *state;
	int ret = prog_lab_reset(state);

	if (lab->modern)
		prog_policy_edit(lab, fast_policy);
	return ret;
}

static void need_fast(const struct prog_lab *lab)
{
	if (!lab->modern)
		skip_because("the fast path is in the other object");
}

static int fast_up(void **state)
{
	int ret;

	setenv("MASQ_TEST_FAST", "1", 1);
	ret = prog_lab_up(state);
	unsetenv("MASQ_TEST_FAST");
	return ret;
}

/* A packet at the pod's own device, from the pod or to it. */
static void at_pod(struct prog_lab *lab, const char *prog,
		   const struct packet *p)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);

	prog_run_raw(lab, prog, true, frame, length, 0, 0);
}

static struct masq_flow4 *fast_flow(struct prog_lab *lab)
{
	need_fast(lab);
	tcp_open(lab, POD4, 40000);
	tcp(lab, INGRESS, POD4, 40000, ACK, 5001, 1001);
	tcp(lab, EGRESS, POD4, 40000, ACK, 1001, 5001);
	return must(record(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP));
}

#define FAST_PACKET TCP, OUT(POD4, 40000, FAR4, 443), .flags = ACK
#define FAST_ANSWER TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK
#define WAY_SLOT    9

/* The stack has let such a packet through: what the hooks behind it write. */
static struct masq_way consent(struct prog_lab *lab, const struct packet *p,
			       uint8_t pod, uint16_t *fast)
{
	uint32_t index = (pod & (MASQ_WAY_GROUPS - 1)) << 8 | WAY_SLOT;
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);
	struct masq_way way = { .used = now(lab),
				.from = lab->up, /* where test runs come in */
				.to = lab->pod,
				.mark = 5,
				.goes = { 2, 0, 0, 0, 7, 7, 2, 0, 0, 0, 8, 8 },
				.ttl = frame[12] == 8 ? frame[22] : frame[21] };

	way.size = length - 14;
	memcpy(way.came, frame, sizeof(way.came));
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_ways"), &index,
					     &way, 0),
			 0);
	*fast = MASQ_FAST(WAY_SLOT, now(lab) + 60);
	return way;
}

static void expect_slow(struct prog_lab *lab, const char *row,
			const struct packet *p)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);

	at_pod(lab, "masq_pod_in", p);
	row_true(row, lab->verdict == NEXT);
	row_true(row,
		 lab->length == length && !memcmp(lab->frame, frame, length));
}

static void expect_fast(struct prog_lab *lab)
{
	uint32_t node;

	at_pod(lab, "masq_pod_in", PKT(FAST_PACKET));
	assert_int_equal(lab->verdict, REDIRECT);
	inet_pton(AF_INET, NODE4, &node);
	assert_memory_equal(lab->frame + 26, &node, 4);
	assert_int_equal(lab->frame[22], 63);
	assert_memory_equal(lab->frame, "\2\0\0\0\7\7\2\0\0\0\10\10", 12);
}

/* Who has the stack's consent: nobody whom the hook before it has not seen. */
static void consent_needs_a_note(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f = fast_flow(lab);

	for (int i = 0; i < 3; i++) {
		tcp(lab, INGRESS, POD4, 40000, ACK, 5001, 1001);
		at_pod(lab, "masq_pod_out",
		       PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK));
		at_pod(lab, "masq_pod_in", PKT(FAST_PACKET));
		assert_int_equal(lab->verdict, NEXT);
		tcp(lab, EGRESS, POD4, 40000, ACK, 1001, 5001);
	}
	assert_int_equal(f->fast, 0);
	assert_int_equal(
		must(record(lab, NODE4, 40000, FAR4, 443, IPPROTO_TCP))->fast,
		0);
}

static void set_way(struct prog_lab *lab, const struct masq_way *way)
{
	uint32_t index = (15 & (MASQ_WAY_GROUPS - 1)) << 8 | WAY_SLOT;

	bpf_map_update_elem(prog_map(lab, "masq_ways"), &index, way, 0);
}

static void what_takes_the_stack_all_the_same(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f = fast_flow(lab);
	struct masq_way way = consent(lab, PKT(FAST_PACKET), 15, &f->fast),
			other;

	expect_fast(lab);
	expect_slow(lab, "another TTL", PKT(FAST_PACKET, .ttl = 63));
	expect_slow(lab, "another TOS", PKT(FAST_PACKET, .tos = 0x20));
	expect_slow(lab, "a SYN",
		    PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = SYN));
	expect_slow(lab, "a FIN",
		    PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = FIN | ACK));
	expect_slow(lab, "larger than what went through",
		    PKT(FAST_PACKET, .length = 100));
	other = way;
	other.from = lab->pod;
	set_way(lab, &other);
	expect_slow(lab, "from another interface", PKT(FAST_PACKET));
	other = way;
	other.came[3] ^= 1;
	set_way(lab, &other);
	expect_slow(lab, "to another Ethernet address", PKT(FAST_PACKET));
	other = way;
	other.came[8] ^= 1;
	set_way(lab, &other);
	expect_slow(lab, "from another Ethernet address", PKT(FAST_PACKET));
	set_way(lab, &way);
	lab->mark = 1;
	expect_slow(lab, "with a mark", PKT(FAST_PACKET));
	lab->mark = 0;
	expect_fast(lab);
	other = way;
	other.ttl = 1;
	set_way(lab, &other);
	expect_slow(lab, "its last hop", PKT(FAST_PACKET, .ttl = 1));
	set_way(lab, &way);
	f->fast = MASQ_FAST(WAY_SLOT, now(lab) - 1);
	expect_slow(lab, "its consent has ended", PKT(FAST_PACKET));
	assert_int_equal(f->fast, 0);
}

/* What the stack finds out by looking at each packet, so does the fast path. */
static void what_is_not_sound_takes_the_stack(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f = fast_flow(lab);
	uint8_t frame[PACKET_MAX];
	size_t length;

	consent(lab, PKT(FAST_PACKET), 15, &f->fast);
	expect_fast(lab);
	expect_slow(lab, "a TCP header longer than the packet",
		    PKT(FAST_PACKET, .doff = 15));
	length = packet_build(PKT(FAST_PACKET), frame);
	frame[24] ^= 1;
	prog_run_raw(lab, "masq_pod_in", true, frame, length, 0, 0);
	row_true("a wrong checksum of the IP header", lab->verdict == NEXT);
	expect_fast(lab);
	for (int i = 0; i < 2; i++) {
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 8), NULL);
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(FAR4, 53, NODE4, 5000), .length = 8), NULL);
	}
	f = must(record(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP));
	consent(lab, PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 8), 15,
		&f->fast);
	at_pod(lab, "masq_pod_in",
	       PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 8));
	assert_int_equal(lab->verdict, REDIRECT);
	expect_slow(lab, "UDP longer than the packet",
		    PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 8,
			.udp_len = 17));
}

/* It has asked for conntrack to be liberal with it, and has no way meanwhile. */
static void who_asks_takes_the_stack(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f = fast_flow(lab);

	consent(lab, PKT(FAST_PACKET), 15, &f->fast);
	expect_fast(lab);
	f->fast = MASQ_FAST(0, now(lab) + 60);
	expect_slow(lab, "asking", PKT(FAST_PACKET));
	assert_int_not_equal(f->fast, 0);
	f->fast = MASQ_FAST(0, now(lab) - 1);
	expect_slow(lab, "it may ask again", PKT(FAST_PACKET));
	assert_int_equal(f->fast, 0);
}

/* ECN is written by queues on the way, and is no other packet. */
static void congestion_may_be_experienced(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *f = fast_flow(lab);

	consent(lab, PKT(FAST_PACKET), 15, &f->fast);
	at_pod(lab, "masq_pod_in", PKT(FAST_PACKET, .tos = 3));
	assert_int_equal(lab->verdict, REDIRECT);
	assert_int_equal(lab->frame[15], 3);
}

static void answers_go_into_the_pod(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 *rev;
	uint8_t want[PACKET_MAX];

	need_fast(lab);
	fast_flow(lab);
	rev = must(record(lab, NODE4, 40000, FAR4, 443, IPPROTO_TCP));
	consent(lab, PKT(FAST_ANSWER), 15, &rev->fast);
	prog_run(lab, INGRESS, PKT(FAST_ANSWER));
	assert_memory_equal(lab->frame, "\2\0\0\0\7\7", 6);
	/* but for the Ethernet addresses: */
	packet_build(PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK,
			 .ttl = 63),
		     want);
	memcpy(lab->frame, want, 12);
	prog_expect(lab, REDIRECT,
		    PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK,
			.ttl = 63),
		    __FILE__, __LINE__);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK,
		 .length = 100),
	     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK,
		 .length = 100));
}

/* With CHECKSUM_COMPLETE the sum of an answer stays that of its bytes. */
static void the_hop_limit_is_in_the_sum(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow6 *rev = NULL;

	need_fast(lab);
	for (int i = 0; i < 2; i++) {
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(POD6, 5000, FAR6, 53), .length = 31), NULL);
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(FAR6, 53, NODE6, 5000), .length = 31), NULL);
	}
	for (unsigned int p = 0; p < lab->pages && !rev; p++)
		for (int i = 0; i < MASQ_PAGE_SLOTS && !rev; i++)
			if (lab->flows6[p].slot[i].what >> MASQ_W_KIND ==
			    MASQ_K_REV)
				rev = &lab->flows6[p].slot[i];
	assert_non_null(rev);
	consent(lab, PKT(UDP, OUT(FAR6, 53, NODE6, 5000), .length = 31), 0x15,
		&rev->fast);
	lab->checksum_complete = true;
	prog_run(lab, INGRESS,
		 PKT(UDP, OUT(FAR6, 53, NODE6, 5000), .length = 31));
	lab->checksum_complete = false;
	assert_int_equal(lab->verdict, REDIRECT);
	assert_int_equal(lab->frame[21], 63);
}

#define ROW(f)	cmocka_unit_test_setup(f, prog_lab_reset)
#define FAST(f) cmocka_unit_test_setup(f, fast_reset)

int main(void)
{
	const struct CMUnitTest usual[] = {
		ROW(ticks_wrap),
		ROW(a_64th_of_the_timeout_is_not_refreshed),
		ROW(what_a_flow_may_be_idle),
		ROW(when_udp_is_established),
		ROW(a_packet_leaves_its_time),
		ROW(a_closed_flow_is_not_refreshed),
		ROW(counts_carry),
		ROW(a_slot_is_new_each_time),
		ROW(keys_in_a_line_are_spread),
		ROW(flows_lie_here),
		ROW(who_gives_up_the_last_port),
		ROW(a_flow_of_the_node_gives_no_port_up),
		ROW(no_flow_gets_a_node_port),
		ROW(sockets_of_the_node_keep_their_ports),
		ROW(chosen_ports_cannot_be_guessed),
		ROW(hints_have_a_budget),
		ROW(a_hint_counts_for_its_address),
		ROW(a_fixed_address_is_ours),
		ROW(a_flow_of_the_node_is_no_pods),
		ROW(an_outsiders_syn_ends_nothing),
		ROW(a_blind_fin_is_not_believed),
		ROW(a_reset_is_ahead_of_the_acknowledgment),
		ROW(addresses_of_the_node_are_no_pods),
		ROW(the_node_may_have_any_source),
		ROW(an_error_of_the_node_keeps_its_source),
		ROW(link_local_sources_stay),
		ROW(the_list_of_local_addresses),
		ROW(packets_to_the_pods_address_are_no_answers),
		ROW(answers_from_outside_begin_nothing),
		ROW(a_redirect_is_no_error),
		ROW(what_a_quote_names),
		ROW(discovery_on_its_link_passes),
		ROW(seeded_flows_have_their_time_and_state),
		ROW(some_sources_are_kept),
		ROW(only_pods_are_translated),
		ROW(who_is_no_pod_may_have_records),
		ROW(the_other_half_has_its_own_prefixes),
		ROW(the_address_is_of_this_uplink),
		ROW(an_endless_chain_of_headers_never_leaves),
		ROW(two_tags_in_the_payload),
		ROW(a_seal_counts_for_one_way),
		ROW(a_note_gets_old),
		ROW(no_fragment_replaces_a_header),
		ROW(an_early_fragment_gets_old),
		ROW(a_note_counts_for_one_way),
		ROW(refusals_have_a_rate),
		ROW(a_v6_refusal_is_exact),
		ROW(an_end_tells_both_directions),
		ROW(what_a_listener_misses_is_counted),
		ROW(expired_neighbours_give_way),
	};
	const struct CMUnitTest small[] = {
		ROW(a_claim_is_rolled_back),
		ROW(a_record_that_is_being_made_is_its_makers),
		ROW(neighbours_are_told_apart),
		ROW(pings_of_both_sides_are_told_apart),
		ROW(records_that_lie_in_the_second_page),
		ROW(records_that_overflow),
		ROW(labels_know_what_comes_next),
		ROW(who_makes_room),
		ROW(the_younger_stay),
		ROW(kept_flows_make_room_for_kept_ones),
		ROW(kept_by_an_older_policy),
		ROW(unanswered_inbound_makes_room),
		ROW(a_pod_makes_room_for_itself),
		ROW(closed_flows_are_not_in_the_quota),
		ROW(no_more_flows_than_the_table_is_for),
		ROW(the_hand_goes_round),
	};
	const struct CMUnitTest fast[] = {
		ROW(flows_lie_elsewhere), /* another lab, as large */
		FAST(consent_needs_a_note),
		FAST(what_takes_the_stack_all_the_same),
		FAST(what_is_not_sound_takes_the_stack),
		FAST(who_asks_takes_the_stack),
		FAST(congestion_may_be_experienced),
		FAST(answers_go_into_the_pod),
		FAST(the_hop_limit_is_in_the_sum),
	};
	const char *only = getenv("MASQ_TEST_LAB");
	int failed = 0;

	if (!only || !strcmp(only, "usual"))
		failed += cmocka_run_group_tests_name(
			"usual", usual, prog_lab_up, prog_lab_down);
	if (!only || !strcmp(only, "fast"))
		failed += cmocka_run_group_tests_name("fast path", fast,
						      fast_up, prog_lab_down);
	prog_max_flows = SOME;
	if (!only || !strcmp(only, "small"))
		failed += cmocka_run_group_tests_name(
			"three pages", small, prog_lab_up, prog_lab_down);
	return failed;
}

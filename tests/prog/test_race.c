// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_race.c - two processors on a few keys of a small table. What leaves is
 * looked at packet by packet: translated to its own flow's address and port, or
 * dropped as `busy`, never anything else. What is left is walked: whole pairs
 * only, every total as the walk has it, and nothing when all has expired.
 *
 * MASQ_RACE_SECONDS says how long each race lasts; scripts/torture.sh asks for
 * more than the test command does.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "storm.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define TCP		  .proto = IPPROTO_TCP
#define UDP		  .proto = IPPROTO_UDP
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

#define POD6B		  "fd00:44::16"

#define VICTIM_PORT	  5000

static struct prog_lab *lab;

/* Addresses of a family, and where a frame has them. */
struct family {
	const char *pod, *other, *node, *far, *kept;
	unsigned int src, dst, size, port;
};

static const struct family families[] = {
	{ POD4, POD4B, NODE4, FAR4, KEPT4, 26, 30, 4, 34 },
	{ POD6, POD6B, NODE6, FAR6, KEPT6, 22, 38, 16, 54 },
};

static bool has_address(const struct family *fam, const uint8_t *at,
			const char *text)
{
	uint8_t want[16];

	inet_pton(fam->size == 4 ? AF_INET : AF_INET6, text, want);
	return !memcmp(at, want, fam->size);
}

static uint16_t port_at(const uint8_t *at)
{
	return at[0] << 8 | at[1];
}

/* --- a slot that is freed and used again under whoever reads it ----------- */

/* A flow, and which of its records it is about. */
struct flow {
	unsigned int kind; /* enum masq_kind */
	const struct family *fam;
	const char *pod;
	uint16_t port, far_port;
};

/* What a side saw of its packets. */
struct seen {
	unsigned long sent, dropped, untranslated, strange;
};

static bool is_translated(const struct flow *f)
{
	return f->kind == MASQ_K_FWD || f->kind == MASQ_K_REV;
}

/* Who is not translated is kept without a record as well. */
static const char *far_side(const struct flow *f)
{
	return f->kind == MASQ_K_KEEP || f->kind == MASQ_K_INBOUND
		       ? f->fam->kept
		       : f->fam->far;
}

static size_t frame_out(const struct flow *f, uint8_t *frame)
{
	return packet_build(PKT(UDP,
				OUT(f->pod, f->port, far_side(f), f->far_port)),
			    frame);
}

static size_t frame_in(const struct flow *f, uint8_t *frame)
{
	return packet_build(PKT(UDP,
				OUT(far_side(f), f->far_port,
				    is_translated(f) ? f->fam->node : f->pod,
				    f->port)),
			    frame);
}

static void flow_make(const struct flow *f)
{
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t length;

	if (f->kind == MASQ_K_RESERVED) {
		struct masq_ctl seed =
			storm_request(MASQ_CTL_SEED, f->fam->node, f->port,
				      f->fam->far, f->far_port, IPPROTO_UDP);

		seed.kind = MASQ_K_RESERVED;
		seed.timeout = prog_ticks(lab, 600);
		storm_ctl(lab, &seed);
	} else if (f->kind == MASQ_K_INBOUND) {
		length = frame_in(f, frame);
		storm_send(lab, STORM_INGRESS, frame, length, out);
	} else {
		length = frame_out(f, frame);
		storm_send(lab, STORM_EGRESS, frame, length, out);
	}
}

static void flow_end(const struct flow *f)
{
	struct masq_ctl del = storm_request(
		MASQ_CTL_DELETE,
		f->kind == MASQ_K_RESERVED ? f->fam->node : f->pod, f->port,
		far_side(f), f->far_port, IPPROTO_UDP);

	storm_ctl(lab, &del);
}

static long flow_slot(const struct flow *f)
{
	bool outside = f->kind == MASQ_K_REV || f->kind == MASQ_K_RESERVED;

	return storm_slot(lab, outside ? f->fam->node : f->pod, f->port,
			  far_side(f), f->far_port, IPPROTO_UDP);
}

/*
 * A flow whose port is not quite free yet gets one of these, and no other flow
 * does: while one ends, its REV record is the last to go.
 */
#define MOVED_MIN 40000
#define MOVED_MAX 40099

static void moved_ports(struct masq_policy *p)
{
	p->port_min = MOVED_MIN;
	p->port_max = MOVED_MAX;
}

static bool own_port(const struct flow *f, uint16_t port)
{
	return port == f->port || (f->port == VICTIM_PORT &&
				   port >= MOVED_MIN && port <= MOVED_MAX);
}

/* The pod's packet: from a port of its own, whoever else comes and goes. */
static void send_out(const struct flow *f, struct seen *seen)
{
	const struct family *fam = f->fam;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t length = frame_out(f, frame);

	seen->sent++;
	if (storm_send(lab, STORM_EGRESS, frame, length, out) != NEXT)
		seen->dropped++;
	else if (!is_translated(f))
		seen->strange += memcmp(frame, out, length) != 0;
	else if (has_address(fam, out + fam->src, f->pod))
		seen->untranslated++;
	else if (!has_address(fam, out + fam->src, fam->node) ||
		 !own_port(f, port_at(out + fam->port)))
		seen->strange++;
}

/* The far side's: to the pod, or as it came where the flow has just ended. */
static void send_in(const struct flow *f, bool there, struct seen *seen)
{
	const struct family *fam = f->fam;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t length = frame_in(f, frame);

	seen->sent++;
	if (storm_send(lab, STORM_INGRESS, frame, length, out) != NEXT)
		seen->dropped++;
	else if (!memcmp(frame, out, length))
		seen->strange += is_translated(f) && there;
	else if (!is_translated(f) ||
		 !has_address(fam, out + fam->dst, f->pod) ||
		 port_at(out + fam->port + 2) != f->port)
		seen->strange++;
}

struct reuse {
	struct flow victim, other;
	bool out; /* which way the reader's packets go */
	struct seen reader, user;
};

static void reader(void *arg)
{
	struct reuse *r = arg;

	while (!storm_over) {
		if (r->out)
			send_out(&r->victim, &r->reader);
		else
			send_in(&r->victim, false, &r->reader);
	}
}

static void user(void *arg)
{
	struct reuse *r = arg;

	while (!storm_over) {
		flow_end(&r->victim);
		flow_make(&r->other);
		if (r->other.kind != MASQ_K_RESERVED) {
			send_out(&r->other, &r->user);
			send_in(&r->other, true, &r->user);
		}
		flow_end(&r->other);
		flow_make(&r->victim);
	}
}

/* A port with which the other's record gets the very slot of the victim's. */
static bool aim(struct reuse *r)
{
	long slot;

	flow_make(&r->victim);
	slot = flow_slot(&r->victim);
	assert_true(slot >= 0);
	flow_end(&r->victim);
	for (r->other.port = 10240; r->other.port < 28000; r->other.port++) {
		bool hit;

		flow_make(&r->other);
		hit = flow_slot(&r->other) == slot;
		flow_end(&r->other);
		if (hit)
			return true;
	}
	return false;
}

static void expect_clean(const struct reuse *r, const char *row)
{
	const struct seen *a = &r->reader, *b = &r->user;
	uint64_t busy = REASON(BUSY);

	if (a->untranslated || a->strange || b->untranslated || b->strange ||
	    a->dropped + b->dropped > busy)
		fail_msg("row \"%s\": of %lu and %lu packets %lu and %lu left "
			 "untranslated, %lu and %lu with what is another "
			 "flow's or nobody's, %lu and %lu were dropped, %lu "
			 "as busy",
			 row, a->sent, b->sent, a->untranslated,
			 b->untranslated, a->strange, b->strange, a->dropped,
			 b->dropped, (unsigned long)busy);
}

static void a_slot_is_used_again_under_a_reader(void **state)
{
	static const struct {
		const char *what;
		unsigned int kind;
		bool out;
	} victims[] = {
		{ "FWD read on egress", MASQ_K_FWD, true },
		{ "REV read on ingress", MASQ_K_REV, false },
		{ "KEEP read on egress", MASQ_K_KEEP, true },
		{ "KEEP read on ingress", MASQ_K_KEEP, false },
		{ "INBOUND read on egress", MASQ_K_INBOUND, true },
		{ "INBOUND read on ingress", MASQ_K_INBOUND, false },
	};
	static const struct {
		const char *what;
		unsigned int kind;
	} others[] = {
		{ "FWD", MASQ_K_FWD },		 { "REV", MASQ_K_REV },
		{ "KEEP", MASQ_K_KEEP },	 { "INBOUND", MASQ_K_INBOUND },
		{ "RESERVED", MASQ_K_RESERVED },
	};
	double seconds = storm_seconds(0.06);
	unsigned int rows = 0;

	for (size_t i = 0; i < 2 * ROWS(victims) * ROWS(others); i++) {
		const struct family *fam = &families[i & 1];
		size_t v = i / 2 / ROWS(others), o = i / 2 % ROWS(others);
		struct reuse r = {
			.victim = { victims[v].kind, fam, fam->pod, VICTIM_PORT,
				    53 },
			.other = { others[o].kind, fam, fam->other, 0, 54 },
			.out = victims[v].out,
		};
		char row[80];

		prog_lab_reset(state);
		prog_policy_edit(lab, moved_ports);
		snprintf(row, sizeof(row), "IPv%d: %s, used again as %s",
			 fam->size == 4 ? 4 : 6, victims[v].what,
			 others[o].what);
		row_true(row, aim(&r));
		storm_both(seconds, reader, user, &r);
		expect_clean(&r, row);
		EXPECT_TOTALS();
		EXPECT_CALM();
		/* RESERVED is made by request, not by a packet */
		rows += r.reader.sent > 0 &&
			(r.user.sent > 0 || others[o].kind == MASQ_K_RESERVED);
	}
	assert_int_equal(rows, 2 * ROWS(victims) * ROWS(others));
}

/* --- the same under pressure: each new flow ends others ------------------- */

static void four(struct masq_policy *p)
{
	p->max_flows = 4;
	p->max_flows_per_pod = 0;
	moved_ports(p);
}

struct pressure {
	struct flow victim;
	struct seen reader;
	bool keep;
};

static void pressed(void *arg)
{
	struct pressure *p = arg;

	while (!storm_over) {
		send_out(&p->victim, &p->reader);
		send_in(&p->victim, false, &p->reader);
	}
}

static void pressing(void *arg)
{
	struct pressure *p = arg;
	const struct family *fam = p->victim.fam;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	uint32_t seed = 4711;
	size_t length =
		packet_build(PKT(UDP, OUT(fam->other, 1,
					  p->keep ? fam->kept : fam->far, 54)),
			     frame);

	while (!storm_over) {
		uint32_t port = 10240 + storm_draw(&seed) % 15000;

		frame[fam->port] = port >> 8;
		frame[fam->port + 1] = port & 0xff;
		storm_send(lab, STORM_EGRESS, frame, length, out);
	}
}

static void new_flows_take_the_slots_of_unanswered_ones(void **state)
{
	for (unsigned int i = 0; i < 8; i++) {
		const struct family *fam = &families[i & 1];
		struct pressure p = {
			.victim = { i & 2 ? MASQ_K_FWD : MASQ_K_KEEP, fam,
				    fam->pod, VICTIM_PORT, 53 },
			.keep = i & 4,
		};
		struct seen *s = &p.reader;

		prog_lab_reset(state);
		prog_policy_edit(lab, four);
		storm_both(storm_seconds(0.1), pressed, pressing, &p);
		/* refusals are the table's right: it is full of the others */
		if (s->untranslated || s->strange)
			fail_msg(
				"row %u: of %lu packets %lu left untranslated, "
				"%lu as nobody's",
				i, s->sent, s->untranslated, s->strange);
		EXPECT_TOTALS();
		EXPECT_CALM();
	}
}

/* --- one port, opened again and again ------------------------------------- */

struct reopen {
	const struct family *fam;
	uint8_t late_flags; /* of the far side's packets of the old flow */
	unsigned long opened, halves;
};

static void opener(void *arg)
{
	struct reopen *r = arg;
	const struct family *fam = r->fam;
	uint8_t syn[PACKET_MAX], rst[PACKET_MAX], out[PACKET_MAX];
	size_t n = packet_build(
		PKT(TCP, OUT(fam->pod, 5000, fam->far, 53), .flags = SYN), syn);

	packet_build(PKT(TCP, OUT(fam->pod, 5000, fam->far, 53), .flags = RST),
		     rst);
	while (!storm_over) {
		struct masq_ctl find;

		storm_send(lab, STORM_EGRESS, rst, n, out);
		if (storm_send(lab, STORM_EGRESS, syn, n, out) != NEXT)
			continue;
		r->opened++;
		find = storm_request(MASQ_CTL_FIND, fam->node,
				     port_at(out + fam->port), fam->far, 53,
				     IPPROTO_TCP);
		storm_ctl(lab, &find);
		r->halves += find.kind != MASQ_K_REV;
	}
}

static void latecomer(void *arg)
{
	struct reopen *r = arg;
	const struct family *fam = r->fam;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t n = packet_build(PKT(TCP, OUT(fam->far, 53, fam->node, 5000),
				    .flags = r->late_flags),
				frame);

	while (!storm_over)
		storm_send(lab, STORM_INGRESS, frame, n, out);
}

static void a_port_opened_again_has_both_records(void **state)
{
	static const uint8_t late[] = { FIN | ACK, RST, ACK, SYN | ACK };

	for (size_t i = 0; i < 2 * ROWS(late); i++) {
		struct reopen r = { &families[i & 1], late[i / 2], 0, 0 };

		prog_lab_reset(state);
		storm_both(storm_seconds(0.15), opener, latecomer, &r);
		if (r.halves || !r.opened)
			fail_msg("IPv%d, late packets with flags %#x: of %lu "
				 "connections %lu had no REV record",
				 i & 1 ? 6 : 4, r.late_flags, r.opened,
				 r.halves);
		EXPECT_TOTALS();
		EXPECT_CALM();
	}
}

/* --- both sides of a flow at once ------------------------------------------ */

/* What each side sends at the very moment that the other does. */
struct meeting {
	const struct family *fam;
	uint8_t proto, out_flags, in_flags;
	unsigned long rounds, differ;
	volatile unsigned long begun, done; /* rounds, of each side */
};

static void meet_inside(void *arg)
{
	struct meeting *m = arg;
	const struct family *fam = m->fam;
	uint8_t open[PACKET_MAX], frame[PACKET_MAX], out[PACKET_MAX];
	size_t n = packet_build(PKT(.proto = m->proto,
				    OUT(fam->pod, 5000, fam->far, 53),
				    .flags = SYN),
				open);
	struct masq_ctl gone = storm_request(MASQ_CTL_DELETE, fam->pod, 5000,
					     fam->far, 53, m->proto);

	packet_build(PKT(.proto = m->proto, OUT(fam->pod, 5000, fam->far, 53),
			 .flags = m->out_flags),
		     frame);
	while (!storm_over) {
		struct masq_ctl del = gone;

		storm_ctl(lab, &del);
		storm_send(lab, STORM_EGRESS, open, n, out);
		m->begun++;
		storm_send(lab, STORM_EGRESS, frame, n, out);
		while (m->done != m->begun && !storm_over)
			;
		m->rounds++;
		m->differ += prog_walk(lab).copies;
	}
}

static void meet_outside(void *arg)
{
	struct meeting *m = arg;
	const struct family *fam = m->fam;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t n = packet_build(PKT(.proto = m->proto,
				    OUT(fam->far, 53, fam->node, 5000),
				    .flags = m->in_flags),
				frame);

	while (!storm_over) {
		if (m->done == m->begun)
			continue;
		storm_send(lab, STORM_INGRESS, frame, n, out);
		m->done = m->begun;
	}
}

static void both_records_know_what_both_sides_sent(void **state)
{
	static const struct {
		uint8_t proto, out, in;
	} rows[] = {
		{ IPPROTO_TCP, ACK, SYN | ACK },
		{ IPPROTO_TCP, FIN | ACK, FIN | ACK },
		{ IPPROTO_TCP, RST, ACK },
		{ IPPROTO_UDP, 0, 0 },
	};

	for (size_t i = 0; i < 2 * ROWS(rows); i++) {
		struct meeting m = { .fam = &families[i & 1],
				     .proto = rows[i / 2].proto,
				     .out_flags = rows[i / 2].out,
				     .in_flags = rows[i / 2].in };

		prog_lab_reset(state);
		storm_both(storm_seconds(0.2), meet_inside, meet_outside, &m);
		if (m.differ || !m.rounds)
			fail_msg("row %zu, IPv%d: of %lu meetings %lu left two "
				 "records that do not agree",
				 i / 2, i & 1 ? 6 : 4, m.rounds, m.differ);
		EXPECT_CALM();
	}
}

/* --- a storm on few keys -------------------------------------------------- */

struct storm {
	uint32_t seed[2];
	bool deletes;
};

/* One packet or request of the storm. */
static void gust(uint32_t *seed, bool deletes)
{
	uint32_t r = storm_draw(seed);
	const struct family *fam = &families[r & 1];
	const char *pod = r & 2 ? fam->pod : fam->other;
	const char *far = r & 4 ? fam->far : fam->kept;
	uint8_t proto = r & 8 ? IPPROTO_TCP : IPPROTO_UDP;
	uint16_t port = 5000 + (r >> 4 & 3);
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	enum storm_hook hook = STORM_EGRESS;
	struct packet p = { .proto = proto, OUT(pod, port, far, 53) };
	static const uint8_t flags[] = { SYN, SYN, RST, ACK, FIN | ACK, SYN };

	switch ((r >> 8) % 12) {
	case 0 ... 5:
		p.flags = flags[(r >> 8) % 12];
		break;
	case 6: /* the far side, to a flow that is translated */
	case 7:
		p = (struct packet){ .proto = proto,
				     OUT(far, 53, fam->node, port),
				     .flags = r & 1U << 16 ? RST : SYN | ACK };
		hook = STORM_INGRESS;
		break;
	case 8: /* or to one that is not */
	case 9:
		p = (struct packet){ .proto = proto,
				     OUT(far, 53, pod, port),
				     .flags = r & 1U << 16 ? SYN : FIN | ACK };
		hook = STORM_INGRESS;
		break;
	case 10: /* the node's own */
		p.src = fam->node;
		p.flags = SYN;
		hook = STORM_NODE;
		break;
	default:
		if (deletes) {
			struct masq_ctl ctl = storm_request(
				MASQ_CTL_DELETE, pod, port, far, 53, proto);

			storm_ctl(lab, &ctl);
			return;
		}
		p.flags = ACK;
	}
	storm_send(lab, hook, frame, packet_build(&p, frame), out);
}

static void storm_one(void *arg)
{
	struct storm *s = arg;

	while (!storm_over)
		gust(&s->seed[0], s->deletes);
}

static void storm_two(void *arg)
{
	struct storm *s = arg;

	while (!storm_over)
		gust(&s->seed[1], s->deletes);
}

/* Expiry is part of it: a tick. */
static void brief(struct masq_policy *p)
{
	for (int i = 0; i < MASQ_T_MAX; i++)
		p->timeout[i] = 1;
}

/* So is a budget that is always full, and a quota. */
static void brief_and_few(struct masq_policy *p)
{
	brief(p);
	p->max_flows = 5;
	p->max_flows_per_pod = 2;
}

static void few(struct masq_policy *p)
{
	p->max_flows = 5;
	p->max_flows_per_pod = 2;
}

static void a_storm_leaves_whole_pairs_and_true_totals(void **state)
{
	static const struct {
		const char *what;
		void (*policy)(struct masq_policy *);
	} rows[] = {
		{ "room for all", NULL },
		{ "all expire after a tick", brief },
		{ "five flows in each budget", few },
		{ "five flows, and a tick", brief_and_few },
	};

	for (size_t i = 0; i < 2 * ROWS(rows); i++) {
		struct storm s = { { 77, 78 }, i & 1 };

		prog_lab_reset(state);
		prog_policy_edit(lab, rows[i / 2].policy);
		/* many short ones: what is wrong may heal later */
		for (int k = 0; k < 6; k++) {
			storm_both(storm_seconds(0.3) / 6, storm_one, storm_two,
				   &s);
			EXPECT_TOTALS();
		}
		EXPECT_CALM();
	}
}

static int up(void **state)
{
	int ret;

	/* two pages and one more: whoever comes next takes the freed slot */
	prog_max_flows = 20;
	ret = prog_lab_up(state);
	lab = *state;
	return ret;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_slot_is_used_again_under_a_reader),
		cmocka_unit_test(new_flows_take_the_slots_of_unanswered_ones),
		cmocka_unit_test(a_port_opened_again_has_both_records),
		cmocka_unit_test(both_records_know_what_both_sides_sent),
		cmocka_unit_test(a_storm_leaves_whole_pairs_and_true_totals),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, up, prog_lab_down);
}

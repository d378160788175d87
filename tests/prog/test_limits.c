// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_limits.c - the contract's "Limits are met by floods, never by ordinary
 * load", a test a promise, for both families: who makes room for whom, who never
 * does, what counts for what; and what an outsider can do to any of it. Each
 * comes with inputs that look alike and are not the case.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "storm.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

#define FLOWS		  16 /* maxFlows here; a pod's share is a quarter */
#define SHARE		  4

/* Addresses of a family; the tests below run once for each. */
static const struct family {
	const char *pod, *other, *node, *far, *kept, *fixed;
	unsigned int src, port;
} families[] = {
	{ POD4, POD4B, NODE4, FAR4, KEPT4, "203.0.113.77", 26, 34 },
	{ POD6, "fd00:44::16", NODE6, FAR6, KEPT6, "2001:db8:77::1", 22, 54 },
};
static const struct family *fam;

static int family4(void **state)
{
	fam = &families[0];
	return prog_lab_reset(state);
}

static int family6(void **state)
{
	fam = &families[1];
	return prog_lab_reset(state);
}

static void put16(uint8_t *at, uint16_t v)
{
	at[0] = v >> 8;
	at[1] = v & 0xff;
}

/* --- flows, as far as they get ---------------------------------------------- */

enum stage {
	UNANSWERED,
	ANSWERED, /* UDP: one packet each way */
	ESTABLISHED, /* TCP: the handshake; UDP: later than two seconds */
	HALF_CLOSED, /* TCP: the pod's FIN */
	CLOSED, /* TCP: both FINs */
	RESET, /* TCP: a RST from whoever was asked */
};

/* Whose flow, as the pod has it. */
struct flow {
	unsigned int kind; /* enum masq_kind: FWD, KEEP, INBOUND */
	const char *pod;
	uint16_t port, far_port;
	uint8_t proto;
};

static const char *far_side(const struct flow *f)
{
	return f->kind == MASQ_K_KEEP ? fam->kept : fam->far;
}

static void out(struct prog_lab *lab, const struct flow *f, uint8_t flags,
		uint32_t seq, uint32_t ack)
{
	prog_run(lab, EGRESS,
		 PKT(.proto = f->proto,
		     OUT(f->pod, f->port, far_side(f), f->far_port),
		     .flags = flags, .seq = seq, .ack = ack));
}

static void in(struct prog_lab *lab, const struct flow *f, uint8_t flags,
	       uint32_t seq, uint32_t ack)
{
	prog_run(lab, INGRESS,
		 PKT(.proto = f->proto,
		     OUT(far_side(f), f->far_port,
			 f->kind == MASQ_K_FWD ? fam->node : f->pod, f->port),
		     .flags = flags, .seq = seq, .ack = ack));
}

/* The flow's first packet; true: it went on. */
static bool begin(struct prog_lab *lab, const struct flow *f)
{
	if (f->kind == MASQ_K_INBOUND)
		in(lab, f, SYN, 500, 0);
	else
		out(lab, f, SYN, 100, 0);
	return lab->verdict == NEXT;
}

static unsigned int kind_of(struct prog_lab *lab, const struct flow *f)
{
	struct masq_ctl find = storm_request(MASQ_CTL_FIND, f->pod, f->port,
					     far_side(f), f->far_port,
					     f->proto);

	prog_ctl(lab, &find);
	return find.kind;
}

static bool has_record(struct prog_lab *lab, const struct flow *f)
{
	return kind_of(lab, f) == f->kind;
}

/* True: all of it went through, and there is a record at the end. */
static bool flow(struct prog_lab *lab, const struct flow *f, enum stage stage)
{
	bool inbound = f->kind == MASQ_K_INBOUND;

	if (!begin(lab, f))
		return false;
	if (stage == UNANSWERED)
		return has_record(lab, f);
	if (stage == RESET) {
		if (inbound)
			out(lab, f, RST | ACK, 0, 501);
		else
			in(lab, f, RST | ACK, 0, 101);
		return lab->verdict == NEXT;
	}
	if (inbound)
		out(lab, f, SYN | ACK, 100, 501);
	else
		in(lab, f, SYN | ACK, 500, 101);
	if (lab->verdict != NEXT)
		return false;
	if (stage == ANSWERED)
		return has_record(lab, f);
	if (f->proto == IPPROTO_UDP)
		prog_age(lab, 3);
	if (inbound)
		in(lab, f, ACK, 501, 101);
	else
		out(lab, f, ACK, 101, 501);
	if (stage == ESTABLISHED)
		return has_record(lab, f);
	out(lab, f, FIN | ACK, 101, 501);
	if (stage == HALF_CLOSED)
		return has_record(lab, f);
	in(lab, f, FIN | ACK, 501, 102);
	out(lab, f, ACK, 102, 502);
	return lab->verdict == NEXT;
}

/* Flow i of a pod: no tuple is another pod's or another kind's. */
static struct flow nth(unsigned int kind, uint8_t proto, const char *pod,
		       unsigned int i)
{
	return (struct flow){ kind, pod, (pod == fam->pod ? 40000 : 50000) + i,
			      kind == MASQ_K_INBOUND ? 54 : 53, proto };
}

/* So many flows of one kind. */
static void fill(struct prog_lab *lab, unsigned int kind, uint8_t proto,
		 const char *pod, unsigned int n, enum stage stage)
{
	for (unsigned int i = 0; i < n; i++) {
		struct flow f = nth(kind, proto, pod, i);

		if (!flow(lab, &f, stage))
			fail_msg("flow %u of kind %u, stage %u: refused", i,
				 kind, stage);
	}
}

static unsigned int alive(struct prog_lab *lab, unsigned int kind,
			  uint8_t proto, const char *pod, unsigned int n)
{
	unsigned int found = 0;

	for (unsigned int i = 0; i < n; i++) {
		struct flow f = nth(kind, proto, pod, i);

		found += has_record(lab, &f);
	}
	return found;
}

static void apart(struct masq_policy *p)
{
	p->max_flows = FLOWS;
	p->max_flows_per_pod = SHARE;
}

static void no_quota(struct masq_policy *p)
{
	p->max_flows = FLOWS;
	p->max_flows_per_pod = 0;
}

/* What is in a full budget or quota, for how long, and whether it makes room. */
struct full {
	const char *what;
	uint8_t proto;
	enum stage stage;
	unsigned int seconds;
	bool room;
};

/* --- a pod's quota ---------------------------------------------------------- */

static void quota_counts_what_is_neither_closed_nor_expired(void **state)
{
	static const struct full rows[] = {
		{ "closed by both", IPPROTO_TCP, CLOSED, 0, true },
		{ "refused by the far side", IPPROTO_TCP, RESET, 0, true },
		{ "never answered", IPPROTO_TCP, UNANSWERED, 0, true },
		{ "never answered", IPPROTO_UDP, UNANSWERED, 0, true },
		{ "expired", IPPROTO_UDP, UNANSWERED, 125, true },
		{ "expired", IPPROTO_TCP, ESTABLISHED, 7600, true },
		{ "answered once, idle", IPPROTO_UDP, ANSWERED, 3, true },
		{ "half closed, idle", IPPROTO_TCP, HALF_CLOSED, 300, true },
		{ "answered just now", IPPROTO_UDP, ANSWERED, 0, false },
		{ "half closed just now", IPPROTO_TCP, HALF_CLOSED, 0, false },
		{ "half closed", IPPROTO_TCP, HALF_CLOSED, 200, false },
		{ "established", IPPROTO_UDP, ESTABLISHED, 250, false },
		{ "established", IPPROTO_TCP, ESTABLISHED, 0, false },
		{ "established", IPPROTO_TCP, ESTABLISHED, 7000, false },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct full *r = &rows[i];

		prog_lab_reset(state);
		prog_policy_edit(lab, apart);
		/* another pod's, of which none may go */
		fill(lab, MASQ_K_FWD, IPPROTO_UDP, fam->other, SHARE,
		     UNANSWERED);
		fill(lab, MASQ_K_FWD, r->proto, fam->pod, SHARE, r->stage);
		prog_age(lab, r->seconds);
		if (begin(lab, &(struct flow){ MASQ_K_FWD, fam->pod, 41000, 443,
					       IPPROTO_TCP }) != r->room)
			fail_msg("row %zu, \"%s\" for %u s: a further flow was "
				 "%s",
				 i, r->what, r->seconds,
				 r->room ? "refused" : "let in");
		assert_int_equal(REASON(POD_QUOTA), !r->room);
		if (r->seconds < 100)
			assert_int_equal(alive(lab, MASQ_K_FWD, IPPROTO_UDP,
					       fam->other, SHARE),
					 SHARE);
		EXPECT_TOTALS();
	}
}

static void quota_is_of_masquerade_flows_alone(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, apart);
	fill(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod, 2 * SHARE, ESTABLISHED);
	fill(lab, MASQ_K_INBOUND, IPPROTO_TCP, fam->pod, 2 * SHARE,
	     ESTABLISHED);
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, SHARE, ESTABLISHED);
	assert_false(begin(lab, &(struct flow){ MASQ_K_FWD, fam->pod, 41000,
						443, IPPROTO_TCP }));
	/* nor does it stop them */
	assert_true(flow(lab,
			 &(struct flow){ MASQ_K_KEEP, fam->pod, 41000, 443,
					 IPPROTO_TCP },
			 ESTABLISHED));
	EXPECT_TOTALS();
}

/* A flow that closes, and then goes on after all (RFC 7857). */
static void quota_counts_a_flow_that_is_open_again(void **state)
{
	struct prog_lab *lab = *state;
	const struct flow first = { MASQ_K_FWD, fam->pod, 40000, 53,
				    IPPROTO_TCP };

	prog_policy_edit(lab, apart);
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, SHARE, ESTABLISHED);
	in(lab, &first, RST | ACK, 501, 101);
	EXPECT_TOTALS();
	out(lab, &first, ACK, 101, 501);
	EXPECT_TOTALS();
	assert_false(begin(lab, &(struct flow){ MASQ_K_FWD, fam->pod, 41000,
						443, IPPROTO_TCP }));
	in(lab, &first, RST | ACK, 501, 101);
	assert_true(begin(lab, &(struct flow){ MASQ_K_FWD, fam->pod, 41000, 443,
					       IPPROTO_TCP }));
	EXPECT_TOTALS();
}

/* --- budgets ---------------------------------------------------------------- */

static void budgets_make_room_among_their_own(void **state)
{
	static const struct full rows[] = {
		{ "closed by both", IPPROTO_TCP, CLOSED, 0, true },
		{ "a scan of closed ports", IPPROTO_TCP, RESET, 0, true },
		{ "never answered", IPPROTO_UDP, UNANSWERED, 0, true },
		{ "answered once, idle", IPPROTO_UDP, ANSWERED, 3, true },
		{ "half closed, idle", IPPROTO_TCP, HALF_CLOSED, 300, true },
		{ "expired", IPPROTO_TCP, ESTABLISHED, 7600, true },
		{ "answered just now", IPPROTO_UDP, ANSWERED, 0, false },
		{ "established", IPPROTO_UDP, ESTABLISHED, 0, false },
		{ "established", IPPROTO_TCP, ESTABLISHED, 7000, false },
	};
	static const unsigned int kinds[] = { MASQ_K_FWD, MASQ_K_KEEP,
					      MASQ_K_INBOUND };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows) * ROWS(kinds); i++) {
		const struct full *r = &rows[i / ROWS(kinds)];
		unsigned int kind = kinds[i % ROWS(kinds)];
		/* today's policy keeps them as well */
		bool room = r->room ||
			    (kind == MASQ_K_KEEP && r->stage == ESTABLISHED);
		struct flow one = { kind, fam->other, 41000, 443, IPPROTO_TCP };
		bool went;

		prog_lab_reset(state);
		prog_policy_edit(lab, no_quota);
		fill(lab, kind, r->proto, fam->pod, FLOWS, r->stage);
		prog_age(lab, r->seconds);
		went = begin(lab, &one);
		if (has_record(lab, &one) != room)
			fail_msg("kind %u, full of \"%s\" for %u s: a further "
				 "one has %s record",
				 kind, r->what, r->seconds, room ? "no" : "a");
		/* only a masquerade is refused */
		assert_int_equal(went, room || kind != MASQ_K_FWD);
		assert_int_equal(REASON(TABLE_FULL),
				 kind == MASQ_K_FWD && !room);
		assert_int_equal(REASON(KEEP_UNTRACKED),
				 kind == MASQ_K_KEEP && !room);
		assert_int_equal(REASON(INBOUND_UNTRACKED),
				 kind == MASQ_K_INBOUND && !room);
		/* and the others' budgets know nothing of it */
		for (size_t k = 0; k < ROWS(kinds); k++) {
			struct flow apart_from =
				nth(kinds[k], IPPROTO_TCP, fam->pod, 2000);

			if (kinds[k] != kind)
				assert_true(
					flow(lab, &apart_from, ESTABLISHED));
		}
		EXPECT_TOTALS();
	}
}

/* One of each, and each further flow ends the one whose turn it is. */
static void room_is_made_in_the_order_of_the_contract(void **state)
{
	static const struct {
		const char *what;
		uint8_t proto;
		enum stage stage;
	} turns[] = {
		{ "closed", IPPROTO_TCP, CLOSED },
		{ "never answered", IPPROTO_TCP, UNANSWERED },
		{ "answered once and idle", IPPROTO_UDP, ANSWERED },
		{ "half closed and idle", IPPROTO_TCP, HALF_CLOSED },
	};
	struct prog_lab *lab = *state;
	struct flow f[ROWS(turns)],
		next = { MASQ_K_FWD, fam->other, 41000, 443, IPPROTO_TCP };

	prog_policy_edit(lab, no_quota);
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->other, FLOWS - ROWS(turns) - 1,
	     ESTABLISHED);
	/* the half closed one has to rest; meanwhile the first ones would end */
	for (int i = ROWS(turns) - 1; i >= 0; i--) {
		f[i] = (struct flow){ MASQ_K_FWD, fam->pod, 40000 + i, 443,
				      turns[i].proto };
		assert_true(flow(lab, &f[i], turns[i].stage));
		if (turns[i].stage == HALF_CLOSED)
			prog_age(lab, 250);
	}
	prog_age(lab, 3);
	/* the last one: now the budget is full */
	assert_true(flow(lab,
			 &(struct flow){ MASQ_K_FWD, fam->other, 42000, 443,
					 IPPROTO_TCP },
			 ESTABLISHED));
	for (size_t i = 0; i < ROWS(turns); i++) {
		next.port++;
		if (!flow(lab, &next, ESTABLISHED))
			fail_msg("no room where somebody is %s", turns[i].what);
		for (size_t k = 0; k < ROWS(turns); k++)
			if (has_record(lab, &f[k]) != (k > i))
				fail_msg("turn of \"%s\": \"%s\" is %s",
					 turns[i].what, turns[k].what,
					 k > i ? "gone" : "still there");
		EXPECT_TOTALS();
	}
	next.port++;
	assert_false(begin(lab, &next));
	assert_int_equal(REASON(TABLE_FULL), 1);
	assert_int_equal(alive(lab, MASQ_K_FWD, IPPROTO_TCP, fam->other,
			       FLOWS - ROWS(turns) - 1),
			 FLOWS - ROWS(turns) - 1);
}

/* Established kept flows go only while today's policy keeps them as well. */
static void a_kept_flow_of_an_older_policy_stays(void **state)
{
	struct prog_lab *lab = *state;
	struct flow next = { MASQ_K_KEEP, fam->other, 41000, 443, IPPROTO_TCP };

	prog_policy_edit(lab, no_quota);
	fill(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod, FLOWS, ESTABLISHED);
	/* all but one network is masqueraded now; that one has no flow yet */
	prog_policy(lab, "172.30.99.0/24", MASQ_KEEP, "fd00:30:99::/48",
		    MASQ_KEEP, NULL);
	prog_policy_edit(lab, NULL);
	prog_run(lab, EGRESS,
		 PKT(.proto = IPPROTO_TCP,
		     OUT(fam->other, 41000,
			 fam == families ? "172.30.99.1" : "fd00:30:99::1",
			 443),
		     .flags = SYN));
	assert_int_equal(lab->verdict, NEXT);
	assert_int_equal(REASON(KEEP_UNTRACKED), 1);
	assert_int_equal(alive(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod, FLOWS),
			 FLOWS);
	/* back: now they may, the longest idle first */
	prog_policy(lab, "172.16.0.0/12", MASQ_KEEP, "fd00:30::/32", MASQ_KEEP,
		    NULL);
	prog_policy_edit(lab, NULL);
	prog_age(lab, 100);
	for (unsigned int i = 0; i < FLOWS; i++) /* all but one are busy */
		if (i != 7)
			out(lab,
			    &(struct flow){ MASQ_K_KEEP, fam->pod, 40000 + i,
					    53, IPPROTO_TCP },
			    ACK, 101, 501);
	assert_true(flow(lab, &next, ESTABLISHED));
	assert_false(has_record(lab, &(struct flow){ MASQ_K_KEEP, fam->pod,
						     40007, 53, IPPROTO_TCP }));
	assert_int_equal(alive(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod, FLOWS),
			 FLOWS - 1);
	EXPECT_TOTALS();
}

/*
 * Of kept flows those go that today's policy keeps as well, however much longer
 * the others have been idle; and where there are none, looks are in vain.
 */
static void room_is_made_by_what_is_kept_today(void **state)
{
	const char *today = fam == families ? "172.30.99.1" : "fd00:30:99::1";
	struct prog_lab *lab = *state;
	struct masq_usage usage;
	uint32_t zero = 0;
	struct masq_ctl find;

	for (unsigned int n = 0; n < 2; n++) {
		prog_lab_reset(state);
		prog_policy_edit(lab, no_quota);
		fill(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod, FLOWS - n,
		     ESTABLISHED);
		prog_age(lab, 1000);
		if (n) {
			const uint8_t flags[] = { SYN, SYN | ACK, ACK };

			for (size_t i = 0; i < ROWS(flags); i++)
				prog_run(lab, i == 1 ? INGRESS : EGRESS,
					 i == 1 ? PKT(.proto = IPPROTO_TCP,
						      OUT(today, 443, fam->pod,
							  43000),
						      .flags = flags[i])
						: PKT(.proto = IPPROTO_TCP,
						      OUT(fam->pod, 43000,
							  today, 443),
						      .flags = flags[i]));
		}
		prog_policy(lab, "172.30.99.0/24", MASQ_KEEP, "fd00:30:99::/48",
			    MASQ_KEEP, NULL);
		prog_policy_edit(lab, NULL);
		prog_run(lab, EGRESS,
			 PKT(.proto = IPPROTO_TCP,
			     OUT(fam->other, 41000, today, 443), .flags = SYN));
		find = storm_request(MASQ_CTL_FIND, fam->other, 41000, today,
				     443, IPPROTO_TCP);
		prog_ctl(lab, &find);
		assert_int_equal(find.kind, n ? MASQ_K_KEEP : 0);
		assert_int_equal(REASON(KEEP_UNTRACKED), !n);
		assert_int_equal(alive(lab, MASQ_K_KEEP, IPPROTO_TCP, fam->pod,
				       FLOWS - n),
				 FLOWS - n);
		bpf_map_lookup_elem(prog_map(lab, "masq_usage"), &zero, &usage);
		assert_int_equal(
			usage.barren[fam != families][MASQ_B_KEEP].count, !n);
		EXPECT_TOTALS();
	}
}

/* --- ports ------------------------------------------------------------------ */

static void four_ports(struct masq_policy *p)
{
	p->max_flows_per_pod = 0;
	p->port_min = 40000;
	p->port_max = 40003;
}

static void a_pod_takes_no_destination_from_others(void **state)
{
	static const struct full rows[] = {
		{ "never answered", IPPROTO_UDP, UNANSWERED, 0, true },
		{ "never answered", IPPROTO_TCP, UNANSWERED, 0, true },
		{ "closed", IPPROTO_TCP, CLOSED, 0, true },
		{ "expired", IPPROTO_TCP, ESTABLISHED, 7600, true },
		{ "answered", IPPROTO_UDP, ANSWERED, 3, false },
		{ "established", IPPROTO_TCP, ESTABLISHED, 0, false },
		{ "half closed", IPPROTO_TCP, HALF_CLOSED, 300, false },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct full *r = &rows[i];
		struct flow other = { MASQ_K_FWD, fam->other, 40002, 53,
				      r->proto };

		prog_lab_reset(state);
		prog_policy_edit(lab, four_ports);
		fill(lab, MASQ_K_FWD, r->proto, fam->pod, 4, r->stage);
		prog_age(lab, r->seconds);
		if (begin(lab, &other) != r->room)
			fail_msg("row %zu, all ports held by flows that are "
				 "\"%s\": another pod's was %s",
				 i, r->what, r->room ? "refused" : "let in");
		assert_int_equal(REASON(NO_PORT), !r->room);
		assert_int_equal(prog_stat(lab, MASQ_S_TAKEN_OVER),
				 r->room && r->stage == UNANSWERED);
		/* three or four of the first pod's are left, never less */
		assert_true(alive(lab, MASQ_K_FWD, r->proto, fam->pod, 4) >=
			    3 - 3 * (r->seconds > 7000));
		EXPECT_TOTALS();
	}
}

/* --- timers ----------------------------------------------------------------- */

static void an_answer_of_a_known_service_ends_its_flow_soon(void **state)
{
	static const struct {
		uint16_t port;
		enum stage stage;
		unsigned int there, gone; /* seconds */
	} rows[] = {
		{ 53, ANSWERED, 25, 35 },     { 123, ANSWERED, 25, 35 },
		{ 1023, ANSWERED, 25, 35 },   { 443, ANSWERED, 290, 320 },
		{ 500, ANSWERED, 290, 320 },  { 1024, ANSWERED, 290, 320 },
		{ 4500, ANSWERED, 290, 320 }, { 53, ESTABLISHED, 290, 320 },
		{ 53, UNANSWERED, 110, 130 },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < 2 * ROWS(rows); i++) {
		struct flow f = { i & 1 ? MASQ_K_KEEP : MASQ_K_FWD, fam->pod,
				  40000, rows[i / 2].port, IPPROTO_UDP };

		prog_lab_reset(state);
		assert_true(flow(lab, &f, rows[i / 2].stage));
		prog_age(lab, rows[i / 2].there);
		if (!has_record(lab, &f))
			fail_msg("port %u: gone after %u s", f.far_port,
				 rows[i / 2].there);
		prog_age(lab, rows[i / 2].gone - rows[i / 2].there);
		if (has_record(lab, &f))
			fail_msg("port %u: still there after %u s", f.far_port,
				 rows[i / 2].gone);
	}
	EXPECT_TOTALS();
}

/* --- outsiders -------------------------------------------------------------- */

/* Whatever comes to the pod's own address, its own SYN is translated. */
static void no_packet_from_outside_opens_a_way_out(void **state)
{
	static const struct {
		uint8_t flags;
		bool answered; /* by the pod, before its own SYN */
	} rows[] = { { SYN, false }, { ACK, false }, { SYN, true } };
	struct prog_lab *lab = *state;
	struct flow f = { MASQ_K_INBOUND, fam->pod, 40000, 443, IPPROTO_TCP };

	for (size_t i = 0; i < ROWS(rows); i++) {
		prog_lab_reset(state);
		in(lab, &f, rows[i].flags, 500, 1);
		if (rows[i].answered) {
			out(lab, &f, SYN | ACK, 100, 501);
			assert_int_equal(kind_of(lab, &f), MASQ_K_INBOUND);
		} else {
			out(lab, &f, SYN, 100, 0);
			assert_int_equal(kind_of(lab, &f), MASQ_K_FWD);
			assert_int_equal(lab->frame[fam->port] << 8 |
						 lab->frame[fam->port + 1],
					 40000);
		}
		assert_int_equal(lab->verdict, NEXT);
		EXPECT_TOTALS();
	}
	/* an answer and a new flow are one and the same in UDP */
	prog_lab_reset(state);
	f.proto = IPPROTO_UDP;
	in(lab, &f, 0, 0, 0);
	out(lab, &f, 0, 0, 0);
	assert_int_equal(kind_of(lab, &f), MASQ_K_INBOUND);
}

/* A FIN, or a RST, that the pod would not take for one. */
static void a_blind_end_is_believed_by_nobody(void **state)
{
	static const struct {
		uint8_t flags;
		uint32_t seq;
		bool believed;
	} rows[] = {
		{ FIN | ACK, 0x77777777, false },
		{ FIN | ACK, 5000001u - (1 << 21), false },
		{ RST, 0x77777777, false },
		{ FIN | ACK, 5000001, true },
		{ FIN | ACK, 5000001 + 1000, true },
		{ RST, 5000001, true },
	};
	static const unsigned int kinds[] = { MASQ_K_FWD, MASQ_K_KEEP,
					      MASQ_K_INBOUND };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows) * ROWS(kinds); i++) {
		struct flow f = { kinds[i % ROWS(kinds)], fam->pod, 40000, 443,
				  IPPROTO_TCP };
		size_t r = i / ROWS(kinds);

		prog_lab_reset(state);
		if (f.kind == MASQ_K_INBOUND) {
			in(lab, &f, SYN, 5000000, 0);
			out(lab, &f, SYN | ACK, 100, 5000001);
			in(lab, &f, ACK, 5000001, 101);
		} else {
			out(lab, &f, SYN, 100, 0);
			in(lab, &f, SYN | ACK, 5000000, 101);
			out(lab, &f, ACK, 101, 5000001);
		}
		in(lab, &f, rows[r].flags, rows[r].seq, 101);
		assert_int_equal(lab->verdict, NEXT);
		/* the pod has nothing more to send, and goes on receiving */
		out(lab, &f, FIN | ACK, 101, 5000001);
		EXPECT_TOTALS();
		prog_age(lab, 300);
		if (rows[r].flags & RST)
			continue; /* its next packet took it back */
		if (has_record(lab, &f) == rows[r].believed)
			fail_msg("row %zu, kind %u: the flow is %s", r, f.kind,
				 rows[r].believed ? "still there" : "gone");
	}
}

/* The address of a configured NAT is nobody's but the flows' that leave by it. */
static void fixed_address(struct prog_lab *lab)
{
	bool v6 = fam != families;
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS,
				    .set = v6 ? MASQ_SET_DST6 : MASQ_SET_DST4 };
	struct masq_lpm_value value = { .prefix = v6,
					.action = MASQ_MASQUERADE,
					.snat = 1 };
	struct masq_addr address = {};
	uint32_t one = 1;

	inet_pton(v6 ? AF_INET6 : AF_INET, fam->fixed, address.a);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_snat"), &one,
					     &address, 0),
			 0);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key,
					     &value, 0),
			 0);
}

static void outsiders_do_not_eat_up_a_configured_address(void **state)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(protos); i++) {
		struct flow f = { MASQ_K_FWD, fam->pod, 40001, 53, protos[i] };

		prog_lab_reset(state);
		prog_policy_edit(lab, four_ports);
		fixed_address(lab);
		for (int port = 40000; port < 40004; port++)
			prog_run(lab, INGRESS,
				 PKT(.proto = protos[i],
				     OUT(fam->far, 53, fam->fixed, port),
				     .flags = SYN));
		/* its own port, the one after it, and all of them */
		for (int k = 0; k < 4; k++) {
			f.port = 40001 + k % 2;
			f.pod = k < 2 ? fam->pod : fam->other;
			if (!begin(lab, &f))
				fail_msg("flow %d is refused: no_port %lu", k,
					 (unsigned long)REASON(NO_PORT));
		}
		/* who answered holds its port against outsiders and pods */
		EXPECT_TOTALS();
	}
}

/* --- a packet that meets two hooks ------------------------------------------ */

/* Once more through a hook, as it came out of the first. */
static void again(struct prog_lab *lab, const char *program)
{
	uint8_t frame[PACKET_MAX];
	size_t length = lab->length;

	memcpy(frame, lab->frame, length);
	lab->seal_next = lab->sealed;
	prog_run_raw(lab, program, true, frame, length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	assert_memory_equal(frame, lab->frame, length);
}

static void two_hooks_count_a_packet_once(void **state)
{
	struct prog_lab *lab = *state;
	unsigned int slot = fam == families ? 0 : 1;
	struct flow f = { MASQ_K_FWD, fam->pod, 5000, 53, IPPROTO_UDP };
	struct flow kept = { MASQ_K_KEEP, fam->pod, 5000, 53, IPPROTO_UDP };

	out(lab, &f, 0, 0, 0);
	again(lab, "masq_egress");
	assert_int_equal(prog_prefix(lab, slot).egress.packets, 1);
	in(lab, &f, 0, 0, 0);
	again(lab, "masq_ingress");
	assert_int_equal(prog_prefix(lab, slot).ingress.packets, 1);
	out(lab, &kept, 0, 0, 0);
	again(lab, "masq_egress");
	assert_int_equal(prog_prefix(lab, 2 + slot).egress.packets, 1);
	in(lab, &kept, 0, 0, 0);
	again(lab, "masq_ingress");
	assert_int_equal(prog_prefix(lab, 2 + slot).ingress.packets, 1);
	/* two packets are two */
	out(lab, &f, 0, 0, 0);
	assert_int_equal(prog_prefix(lab, slot).egress.packets, 2);
	EXPECT_TOTALS();
}

static void
what_comes_to_the_pods_own_address_leaves_its_flow_alone(void **state)
{
	struct prog_lab *lab = *state;
	struct flow f = { MASQ_K_FWD, fam->pod, 40000, 443, IPPROTO_TCP };
	static const uint8_t flags[] = { ACK, RST, FIN | ACK, SYN };
	struct masq_page4 *before4 = malloc(lab->pages * sizeof(*before4));
	struct masq_page6 *before6 = malloc(lab->pages * sizeof(*before6));

	assert_true(flow(lab, &f, ESTABLISHED));
	memcpy(before4, lab->flows4, lab->pages * sizeof(*before4));
	memcpy(before6, lab->flows6, lab->pages * sizeof(*before6));
	for (size_t i = 0; i < ROWS(flags); i++) {
		prog_run(lab, INGRESS,
			 PKT(.proto = IPPROTO_TCP,
			     OUT(fam->far, 443, fam->pod, 40000),
			     .flags = flags[i], .seq = 501, .ack = 101,
			     .length = 100));
		assert_int_equal(lab->verdict, NEXT);
	}
	assert_memory_equal(before4, lab->flows4,
			    lab->pages * sizeof(*before4));
	assert_memory_equal(before6, lab->flows6,
			    lab->pages * sizeof(*before6));
	free(before4);
	free(before6);
	EXPECT_TOTALS();
}

/* Later fragments and errors carry the seal as their flow's packets do. */
static void what_is_translated_is_sealed(void **state)
{
	struct prog_lab *lab = *state;
	bool v4 = fam == families;
	struct flow f = { MASQ_K_FWD, fam->pod, 5000, 53, IPPROTO_UDP };

	for (int fixed = 0; fixed < 2; fixed++) {
		prog_lab_reset(state);
		if (fixed) /* no second hook takes it for the node's own */
			fixed_address(lab);
		prog_run(lab, EGRESS,
			 PKT(.proto = IPPROTO_UDP,
			     OUT(fam->pod, 5000, fam->far, 53), .id = 9,
			     .more_fragments = true, .length = 64,
			     .udp_len = 136));
		assert_true(lab->sealed);
		again(lab, "masq_egress");
		SEND(EGRESS, NEXT,
		     PKT(.proto = IPPROTO_UDP, .src = fam->pod, .dst = fam->far,
			 .id = 9, .frag_off = 9, .length = 64),
		     PKT(.proto = IPPROTO_UDP,
			 .src = fixed ? fam->fixed : fam->node, .dst = fam->far,
			 .id = 9, .frag_off = 9, .length = 64));
		assert_true(lab->sealed);
		again(lab, "masq_egress");
		prog_run(lab, EGRESS,
			 PKT(.proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
			     .flags = v4 ? 3 : 1, .code = v4 ? 3 : 4,
			     .src = fam->pod, .dst = fam->far,
			     .quoted = PKT(.proto = IPPROTO_UDP,
					   OUT(fam->far, 53, fam->pod, 5000))));
		assert_true(lab->sealed);
		again(lab, "masq_egress");
	}
	/* what is not ours is not: the node's own, and what comes in */
	prog_run(lab, EGRESS,
		 PKT(.proto = IPPROTO_UDP, OUT(fam->node, 6000, fam->far, 53)));
	assert_false(lab->sealed);
	in(lab, &f, 0, 0, 0);
	EXPECT_TOTALS();
}

/*
 * The refused packet's sender left its UDP checksum to a device. Whoever does
 * that work at last sums up what begins where UDP began, and writes the result
 * where UDP has it: the ICMP message must be right then, and without it.
 */
static void a_refusal_bears_a_checksum_left_to_a_device(void **state)
{
	struct prog_lab *lab = *state;
	size_t l3 = 14, header = fam == families ? 20 : 40, n;
	uint32_t pseudo = 0;
	uint8_t *icmp;
	uint16_t sum;

	prog_policy_edit(lab, apart);
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, SHARE, ESTABLISHED);
	for (uint16_t payload = 0; payload < 3; payload++) {
		prog_run(lab, EGRESS,
			 PKT(.proto = IPPROTO_UDP,
			     OUT(fam->pod, 41000 + payload, fam->far, 53),
			     .length = 40 + payload));
		assert_int_equal(lab->verdict, REDIRECT);
		icmp = lab->frame + l3 + header;
		n = lab->length - l3 - header;
		if (fam != families)
			pseudo = (uint16_t)~packet_checksum(
				lab->frame + l3 + 8, 32,
				(uint32_t)n + IPPROTO_ICMPV6);
		assert_int_equal(packet_checksum(icmp, n, pseudo), 0);
		sum = packet_checksum(icmp, n, 0);
		put16(icmp + 6, sum ? sum : 0xffff);
		assert_int_equal(packet_checksum(icmp, n, pseudo), 0);
	}
}

/*
 * Looks for room that find nothing are not made for ever, but that one family's
 * were in vain says nothing of the other's table.
 */
static void looks_in_vain_are_a_familys_own(void **state)
{
	const struct family *mine = fam;
	struct prog_lab *lab = *state;
	struct flow f;

	prog_policy_edit(lab, no_quota);
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, FLOWS - 1, ESTABLISHED);
	f = nth(MASQ_K_FWD, IPPROTO_TCP, fam->pod, FLOWS - 1);
	assert_true(flow(lab, &f, UNANSWERED));
	fam = &families[mine == families];
	fill(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, FLOWS, ESTABLISHED);
	for (unsigned int i = 0; i < 4 * FLOWS; i++) {
		f = nth(MASQ_K_FWD, IPPROTO_TCP, fam->other, i);
		assert_false(begin(lab, &f));
	}
	fam = mine;
	f = nth(MASQ_K_FWD, IPPROTO_TCP, fam->other, 0);
	assert_true(flow(lab, &f, UNANSWERED));
	assert_int_equal(alive(lab, MASQ_K_FWD, IPPROTO_TCP, fam->pod, FLOWS),
			 FLOWS - 1);
	EXPECT_TOTALS();
}

static int up(void **state)
{
	/* the table has the size that the budgets ask for */
	prog_max_flows = FLOWS;
	return prog_lab_up(state);
}

#define BOTH(f)                                     \
	{ "IPv4: " #f, f, family4, NULL, NULL },    \
	{                                           \
		"IPv6: " #f, f, family6, NULL, NULL \
	}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BOTH(quota_counts_what_is_neither_closed_nor_expired),
		BOTH(quota_is_of_masquerade_flows_alone),
		BOTH(quota_counts_a_flow_that_is_open_again),
		BOTH(budgets_make_room_among_their_own),
		BOTH(room_is_made_in_the_order_of_the_contract),
		BOTH(looks_in_vain_are_a_familys_own),
		BOTH(a_kept_flow_of_an_older_policy_stays),
		BOTH(room_is_made_by_what_is_kept_today),
		BOTH(a_pod_takes_no_destination_from_others),
		BOTH(an_answer_of_a_known_service_ends_its_flow_soon),
		BOTH(no_packet_from_outside_opens_a_way_out),
		BOTH(a_blind_end_is_believed_by_nobody),
		BOTH(outsiders_do_not_eat_up_a_configured_address),
		BOTH(two_hooks_count_a_packet_once),
		BOTH(what_comes_to_the_pods_own_address_leaves_its_flow_alone),
		BOTH(what_is_translated_is_sealed),
		BOTH(a_refusal_bears_a_checksum_left_to_a_device),
	};

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return cmocka_run_group_tests(tests, up, prog_lab_down);
}

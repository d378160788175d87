// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_nat.c - what the packet table leaves to the NAT: IPv6, TCP state and
 * timers, VLAN and devices without Ethernet header, protocols without ports,
 * checksum states, seeded flows, addresses that go.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define TCP		  .proto = IPPROTO_TCP
#define UDP		  .proto = IPPROTO_UDP
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

/* --- IPv6 ---------------------------------------------------------------- */

static void v6_tcp_udp_ping_both_ways(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD6, 40000, FAR6, 443), .flags = SYN),
	     PKT(TCP, OUT(NODE6, 40000, FAR6, 443), .flags = SYN));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR6, 443, NODE6, 40000), .flags = SYN | ACK),
	     PKT(TCP, OUT(FAR6, 443, POD6, 40000), .flags = SYN | ACK));
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, FAR6, 53), .length = 31),
	     PKT(UDP, OUT(NODE6, 5000, FAR6, 53), .length = 31));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR6, 53, NODE6, 5000), .length = 31),
	     PKT(UDP, OUT(FAR6, 53, POD6, 5000), .length = 31));
	SEND(EGRESS, NEXT,
	     PKT(.proto = IPPROTO_ICMPV6, .flags = 128, .length = 8,
		 OUT(POD6, 7, FAR6, 1)),
	     PKT(.proto = IPPROTO_ICMPV6, .flags = 128, .length = 8,
		 OUT(NODE6, 7, FAR6, 1)));
	SEND(INGRESS, NEXT,
	     PKT(.proto = IPPROTO_ICMPV6, .flags = 129, .length = 8,
		 OUT(FAR6, 7, NODE6, 1)),
	     PKT(.proto = IPPROTO_ICMPV6, .flags = 129, .length = 8,
		 OUT(FAR6, 7, POD6, 1)));
	/* extension headers */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, FAR6, 53), .ip_options = 8),
	     PKT(UDP, OUT(NODE6, 5000, FAR6, 53), .ip_options = 8));
	/* keep */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, KEPT6, 53)),
	     PKT(UDP, OUT(POD6, 5000, KEPT6, 53)));
	assert_int_equal(prog_prefix(lab, 1).flows, 3);
	assert_int_equal(prog_prefix(lab, 3).flows, 1);
}

static void no_ipv6(struct masq_policy *policy)
{
	policy->flags &= ~MASQ_P_IPV6;
}

static void v6_is_off_until_the_policy_asks_for_it(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, no_ipv6);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, FAR6, 53)),
	     PKT(UDP, OUT(POD6, 5000, FAR6, 53)));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR6, 53, POD6, 5000)),
	     PKT(UDP, OUT(FAR6, 53, POD6, 5000)));
	assert_int_equal(REASON(FAMILY_OFF), 2);
	assert_int_equal(prog_records(lab), 0);
}

static void v6_discovery_multicast_and_link_local_pass(void **state)
{
	static const struct packet rows[] = {
		{ .proto = IPPROTO_ICMPV6,
		  .flags = 135,
		  .length = 16,
		  .ttl = 255,
		  .src = POD6,
		  .dst = FAR6 },
		{ .proto = IPPROTO_ICMPV6,
		  .flags = 136,
		  .length = 16,
		  .ttl = 255,
		  .src = POD6,
		  .dst = FAR6 },
		{ .proto = IPPROTO_ICMPV6,
		  .flags = 133,
		  .src = POD6,
		  .dst = "ff02::2" },
		{ UDP, OUT(POD6, 5353, "ff02::fb", 5353) },
		{ UDP, OUT("fe80::1", 5000, FAR6, 53) },
		{ UDP, OUT(POD6, 5000, "fe80::2", 53) },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++)
		SEND(EGRESS, NEXT, &rows[i], &rows[i]);
	assert_int_equal(REASON(DISCOVERY), 2);
	assert_int_equal(REASON(MULTICAST), 2);
	assert_int_equal(REASON(LINK_LOCAL), 2);
	assert_int_equal(prog_records(lab), 0);
}

/* A router has forwarded them: they are nobody's discovery any more. */
static void v6_forwarded_discovery_never_leaves(void **state)
{
	static const uint8_t types[] = { 130, 131, 132, 133, 134,
					 135, 136, 137, 143 };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(types); i++)
		SEND(EGRESS, DROP,
		     PKT(.proto = IPPROTO_ICMPV6, .flags = types[i],
			 .length = 16, .ttl = 254, .src = POD6, .dst = FAR6),
		     NULL);
	assert_int_equal(REASON(NO_FLOW), ROWS(types));
}

/* --- TCP state ----------------------------------------------------------- */

static struct masq_flow4 flow_of(struct prog_lab *lab)
{
	struct masq_flow4 flow = {};

	assert_true(
		prog_flow4(lab, POD4, 40000, FAR4, 443, IPPROTO_TCP, &flow));
	return flow;
}

static unsigned int state_of(struct prog_lab *lab)
{
	struct masq_flow4 flow = flow_of(lab);

	return prog_state(&flow);
}

static double left(struct prog_lab *lab)
{
	struct masq_flow4 flow = flow_of(lab);

	return (double)(flow.expires - flow.last_seen) / prog_ticks(lab, 1000) *
	       1000;
}

static void out(struct prog_lab *lab, uint8_t flags, uint32_t seq, uint32_t ack)
{
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = flags, .seq = seq,
		 .ack = ack),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = flags, .seq = seq,
		 .ack = ack));
}

static void in(struct prog_lab *lab, uint8_t flags, uint32_t seq, uint32_t ack)
{
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = flags, .seq = seq,
		 .ack = ack),
	     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = flags, .seq = seq,
		 .ack = ack));
}

static void handshake(struct prog_lab *lab)
{
	out(lab, SYN, 1000, 0);
	in(lab, SYN | ACK, 5000, 1001);
	out(lab, ACK, 1001, 5001);
}

/* RFC 5382 REQ-5: 2 h 4 min established, 4 min otherwise. */
static void tcp_timers(void **state)
{
	struct prog_lab *lab = *state;

	out(lab, SYN, 1000, 0);
	assert_int_equal(state_of(lab), MASQ_ST_NEW);
	assert_in_range(left(lab), 240, 244);
	in(lab, SYN | ACK, 5000, 1001);
	assert_in_range(left(lab), 240, 244);
	out(lab, ACK, 1001, 5001);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
	assert_in_range(left(lab), 7440, 7557);
	out(lab, FIN | ACK, 1001, 5001);
	assert_int_equal(state_of(lab), MASQ_ST_CLOSING);
	assert_in_range(left(lab), 7440, 7557); /* half closed: in use */
	in(lab, FIN | ACK, 5001, 1002);
	assert_int_equal(state_of(lab), MASQ_ST_CLOSED);
	assert_in_range(left(lab), 240, 244);
	out(lab, ACK, 1002, 5002);
	assert_int_equal(state_of(lab), MASQ_ST_CLOSED);
}

static void tcp_simultaneous_open(void **state)
{
	struct prog_lab *lab = *state;

	out(lab, SYN, 1000, 0);
	in(lab, SYN, 5000, 0);
	out(lab, SYN | ACK, 1000, 5001);
	in(lab, SYN | ACK, 5000, 1001);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
}

static void tcp_blind_reset_is_not_believed(void **state)
{
	struct prog_lab *lab = *state;

	handshake(lab);
	in(lab, RST, 5001 + (64 << 20), 0);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
	in(lab, RST, 5001 - (64 << 20), 0);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
	in(lab, RST, 5001, 0);
	assert_int_equal(state_of(lab), MASQ_ST_CLOSED);
	assert_in_range(left(lab), 240, 244);
	/* RFC 7857 section 2.2: life goes on, so the flow does */
	out(lab, ACK, 1001, 5001);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
	assert_in_range(left(lab), 7440, 7557);
	out(lab, RST, 1001, 0);
	assert_int_equal(state_of(lab), MASQ_ST_CLOSED);
}

static void tcp_new_syn_reuses_a_closed_tuple(void **state)
{
	struct prog_lab *lab = *state;

	handshake(lab);
	out(lab, FIN | ACK, 1001, 5001);
	in(lab, FIN | ACK, 5001, 1002);
	handshake(lab);
	assert_int_equal(state_of(lab), MASQ_ST_ESTABLISHED);
	assert_int_equal(prog_prefix(lab, 0).flows, 2);
	assert_int_equal(prog_records(lab), 2);
}

static void tcp_half_open_lasts(void **state)
{
	struct prog_lab *lab = *state;

	handshake(lab);
	prog_age(lab, 3600);
	in(lab, ACK, 5001, 1001);
	prog_age(lab, 3600);
	out(lab, ACK, 1001, 5001);
	prog_age(lab, 7300);
	out(lab, ACK, 1001, 5001);
	prog_age(lab, 8000);
	/* after that it is adopted again (E6) */
	out(lab, ACK, 1001, 5001);
	assert_int_equal(prog_prefix(lab, 0).flows, 2);
}

/* RFC 4787 REQ-6: packets of either direction keep both records alive. */
static void one_direction_keeps_the_flow(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	for (int i = 0; i < 10; i++) {
		prog_age(lab, i ? 200 : 100);
		SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
		     PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	}
	prog_age(lab, 250);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	assert_int_equal(prog_prefix(lab, 0).flows, 1);
	for (int i = 0; i < 10; i++) {
		prog_age(lab, 200);
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	}
	prog_age(lab, 250);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
	     PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	assert_int_equal(prog_prefix(lab, 0).flows, 1);
}

/* --- other protocols ----------------------------------------------------- */

/* RFC 768, RFC 3828: 0 says that there is none (or is not allowed). */
static void checksum_that_becomes_zero_is_all_ones(void **state)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_UDPLITE };
	struct prog_lab *lab = *state;
	uint8_t frame[256];

	for (size_t i = 0; i < ROWS(protos); i++) {
		uint16_t port = 0;
		struct packet want;

		do {
			want = *PKT(.proto = protos[i],
				    OUT(NODE4, 5000, FAR4, ++port),
				    .length = 16);
			packet_build(&want, frame);
		} while (port < 65535 && (frame[40] & frame[41]) != 0xff);
		assert_int_equal(frame[40] & frame[41], 0xff);
		SEND(EGRESS, NEXT,
		     PKT(.proto = protos[i], OUT(POD4, 5000, FAR4, port),
			 .length = 16),
		     &want);
	}
}

static void protocols_with_ports_keep_them(void **state)
{
	static const uint8_t protos[] = { IPPROTO_SCTP, IPPROTO_DCCP,
					  IPPROTO_UDPLITE };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(protos); i++) {
		uint8_t p = protos[i];

		SEND(EGRESS, NEXT,
		     PKT(.proto = p, OUT(POD4, 5000, FAR4, 80), .length = 16),
		     PKT(.proto = p, OUT(NODE4, 5000, FAR4, 80), .length = 16));
		SEND(INGRESS, NEXT,
		     PKT(.proto = p, OUT(FAR4, 80, NODE4, 5000), .length = 16),
		     PKT(.proto = p, OUT(FAR4, 80, POD4, 5000), .length = 16));
		SEND(EGRESS, NEXT,
		     PKT(.proto = p, OUT(POD6, 5000, FAR6, 80), .length = 16),
		     PKT(.proto = p, OUT(NODE6, 5000, FAR6, 80), .length = 16));
		/* the port is taken and ours to keep: no leak, but a drop */
		SEND(EGRESS, DROP,
		     PKT(.proto = p, OUT(POD4B, 5000, FAR4, 80), .length = 16),
		     NULL);
		assert_int_equal(REASON(PROTOCOL), i + 1);
	}
}

static void protocols_without_ports_have_one_mapping(void **state)
{
	static const uint8_t protos[] = { 47, 50, 51, 4, 89, 132 + 100 };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(protos); i++) {
		uint8_t p = protos[i];

		SEND(EGRESS, NEXT,
		     PKT(.proto = p, .src = POD4, .dst = FAR4, .length = 40),
		     PKT(.proto = p, .src = NODE4, .dst = FAR4, .length = 40));
		SEND(INGRESS, NEXT,
		     PKT(.proto = p, .src = FAR4, .dst = NODE4, .length = 40),
		     PKT(.proto = p, .src = FAR4, .dst = POD4, .length = 40));
		SEND(EGRESS, DROP,
		     PKT(.proto = p, .src = POD4B, .dst = FAR4, .length = 40),
		     NULL);
		assert_int_equal(REASON(PROTOCOL), i + 1);
	}
}

/* What nobody has answered for two seconds gives it up: no pod keeps others from
 * a destination. Until then, and once it is answered, it stays whose it is. */
static void one_mapping_is_not_kept_from_others(void **state)
{
	static const uint8_t protos[] = { 47, IPPROTO_SCTP };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(protos); i++) {
		uint16_t port = protos[i] == IPPROTO_SCTP ? 5000 : 0;
		struct packet a = *PKT(.proto = protos[i],
				       OUT(POD4, port, FAR4, port),
				       .length = 40),
			      b = *PKT(.proto = protos[i],
				       OUT(POD4B, port, FAR4, port),
				       .length = 40),
			      in = *PKT(.proto = protos[i],
					OUT(FAR4, port, NODE4, port),
					.length = 40);

		prog_lab_reset(state);
		SEND(EGRESS, NEXT, &a, NULL);
		SEND(EGRESS, DROP, &b, NULL);
		assert_int_equal(REASON(PROTOCOL), 1);
		/* it goes on sending */
		for (int s = 0; s < 3; s++) {
			prog_age(lab, 1);
			SEND(EGRESS, NEXT, &a, NULL);
		}
		SEND(EGRESS, NEXT, &b, NULL);
		assert_int_equal(prog_stat(lab, MASQ_S_TAKEN_OVER), 1);
		SEND(EGRESS, DROP, &a, NULL);
		SEND(INGRESS, NEXT, &in,
		     PKT(.proto = protos[i], OUT(FAR4, port, POD4B, port),
			 .length = 40));
		prog_age(lab, 10);
		SEND(EGRESS, DROP, &a, NULL);
		SEND(EGRESS, NEXT, &b, NULL);
		EXPECT_TOTALS();
	}
}

/* --- frames and checksums ------------------------------------------------ */

static void vlan_tag_in_the_payload(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(UDP, OUT(POD4, 5000, FAR4, 53), .vlan = 7, .length = 8),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53), .vlan = 7, .length = 8));
	SEND(INGRESS, NEXT, PKT(TCP, OUT(FAR4, 53, NODE4, 5000), .vlan = 7),
	     PKT(TCP, OUT(FAR4, 53, NODE4, 5000), .vlan = 7));
}

/* As a route pushes them (`ip route add ... encap mpls 100`). */
static void labels_of_mpls(void **state)
{
	struct prog_lab *lab = *state;

	for (int labels = 1; labels <= 8; labels++) {
		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(POD4, 5000, FAR4, 53), .mpls = labels,
			 .length = 8),
		     PKT(UDP, OUT(NODE4, 5000, FAR4, 53), .mpls = labels,
			 .length = 8));
		SEND(EGRESS, NEXT,
		     PKT(TCP, OUT(POD6, 5000, FAR6, 443), .flags = SYN,
			 .mpls = labels),
		     PKT(TCP, OUT(NODE6, 5000, FAR6, 443), .flags = SYN,
			 .mpls = labels));
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(FAR4, 53, NODE4, 5000), .mpls = labels),
		     PKT(UDP, OUT(FAR4, 53, POD4, 5000), .mpls = labels));
		/* the answer's have been popped on the way */
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR6, 443, NODE6, 5000), .flags = SYN | ACK),
		     PKT(TCP, OUT(FAR6, 443, POD6, 5000), .flags = SYN | ACK));
	}
}

static void ip_options_are_carried(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 5000, FAR4, 53), .flags = SYN,
		 .ip_options = 12),
	     PKT(TCP, OUT(NODE4, 5000, FAR4, 53), .flags = SYN,
		 .ip_options = 12));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 53, NODE4, 5000), .flags = SYN | ACK,
		 .ip_options = 4),
	     PKT(TCP, OUT(FAR4, 53, POD4, 5000), .flags = SYN | ACK,
		 .ip_options = 4));
}

static void a_wrong_checksum_stays_wrong(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(UDP, OUT(POD4, 5000, FAR4, 53), .bad_checksum = true), NULL);
	prog_run_raw(lab, "masq_egress", true, lab->frame, lab->length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
}

static void malformed_never_leaves_untranslated(void **state)
{
	static const struct packet rows[] = {
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .ihl = 4 },
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .ihl = 15 },
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .doff = 4 },
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .tot_len = 30 },
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .tot_len = 1400 },
		{ TCP, OUT(POD4, 1, FAR4, 2), .flags = SYN, .tot_len = 0xffff },
		{ UDP, OUT(POD4, 1, FAR4, 2), .udp_len = 7 },
		{ UDP, OUT(POD4, 1, FAR4, 2), .tot_len = 24 },
		{ .proto = IPPROTO_ICMP,
		  .flags = 8,
		  .src = POD4,
		  .dst = FAR4,
		  .tot_len = 24 },
		{ TCP, OUT(POD6, 1, FAR6, 2), .flags = SYN, .tot_len = 10 },
		{ TCP, OUT(POD6, 1, FAR6, 2), .flags = SYN, .tot_len = 1400 },
	};
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(rows); i++) {
		SEND(EGRESS, DROP, &rows[i], NULL);
		assert_int_equal(REASON(MALFORMED), i + 1);
	}
	assert_int_equal(prog_records(lab), 0);
	/* towards a kept destination they are nobody's business */
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 1, KEPT4, 2), .flags = SYN, .doff = 4), NULL);
}

/* As GRE without a fixed peer shows a packet: what is around it, here the
 * Ethernet header of every test run, names GRE as what follows. */
static void run_inside(struct prog_lab *lab, const char *program,
		       const struct packet *in, const struct packet *want)
{
	uint8_t frame[PACKET_MAX], was;
	size_t length = packet_build(in, frame);

	was = frame[9];
	frame[9] = IPPROTO_GRE;
	prog_run_raw(lab, program, true, frame, length, 0, 0);
	assert_int_equal(lab->frame[9], IPPROTO_GRE);
	lab->frame[9] = was;
	prog_expect(lab, NEXT, want, __FILE__, __LINE__);
}

static void device_without_ethernet_header(void **state)
{
	struct prog_lab *lab = *state;

	run_inside(lab, "masq_egress_l3", PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		   PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	run_inside(lab, "masq_ingress_l3", PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
		   PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	run_inside(lab, "masq_egress_l3",
		   PKT(TCP, OUT(POD6, 5000, FAR6, 443), .flags = SYN),
		   PKT(TCP, OUT(NODE6, 5000, FAR6, 443), .flags = SYN));
}

/* --- seeding and addresses ----------------------------------------------- */

static void seeded_flows_keep_their_treatment(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_ctl ctl = { .op = MASQ_CTL_SEED,
				.family = 4,
				.proto = IPPROTO_TCP,
				.kind = MASQ_K_INBOUND,
				.state = MASQ_ST_ESTABLISHED,
				.prefix = MASQ_NO_PREFIX,
				.timeout = prog_ticks(lab, 100),
				.in_port = htons(80),
				.rem_port = htons(5000) };

	inet_pton(AF_INET, POD4, ctl.in_addr);
	inet_pton(AF_INET, FAR4, ctl.rem_addr);
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	assert_int_equal(prog_ctl(lab, &ctl), -17);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 80, FAR4, 5000), .flags = ACK),
	     PKT(TCP, OUT(POD4, 80, FAR4, 5000), .flags = ACK));
	/* a port that netfilter's NAT uses is not given away */
	ctl.kind = MASQ_K_RESERVED;
	ctl.in_port = htons(40000);
	ctl.rem_port = htons(443);
	inet_pton(AF_INET, NODE4, ctl.in_addr);
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = SYN),
	     NULL);
	assert_int_not_equal(lab->frame[34] << 8 | lab->frame[35], 40000);
	/* and its packets pass both ways, untouched */
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = ACK),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = ACK));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK),
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK));
}

static void E1_flow_of_a_dead_address_ends(void **state)
{
	struct prog_lab *lab = *state;
	uint32_t up = lab->up;
	struct masq_iface iface = {};

	if (getenv("MASQ_TEST_FIB_SRC"))
		skip_because("the route decides, not masq_ifaces");
	inet_pton(AF_INET, "10.142.0.77", &iface.addr4); /* not (any more) */
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
	for (int i = 0; i < 2; i++) {
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(FAR4, 53, "10.142.0.77", 5000)), NULL);
	}
	prog_age(lab, 20);
	SEND(EGRESS, DROP, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	assert_int_equal(REASON(NO_ADDRESS), 1);
	assert_int_equal(prog_records(lab), 0);
	inet_pton(AF_INET, NODE4, &iface.addr4);
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
}

/* Nobody answers a syslog sender: its flow is never routine. */
static void E1_one_way_flow_of_a_dead_address_ends(void **state)
{
	struct prog_lab *lab = *state;
	uint32_t up = lab->up;
	struct masq_iface iface = {};

	if (getenv("MASQ_TEST_FIB_SRC"))
		skip_because("the route decides, not masq_ifaces");
	inet_pton(AF_INET, "10.142.0.77", &iface.addr4); /* not (any more) */
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
	for (int i = 0; i < 3; i++)
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 514)), NULL);
	prog_age(lab, 20);
	SEND(EGRESS, DROP, PKT(UDP, OUT(POD4, 5000, FAR4, 514)), NULL);
	assert_int_equal(REASON(NO_ADDRESS), 1);
	assert_int_equal(prog_records(lab), 0);
}

static void host_flow_outlives_the_pods(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_ctl ctl = { .op = MASQ_CTL_DELETE,
				.family = 4,
				.proto = IPPROTO_UDP,
				.in_port = htons(5000),
				.rem_port = htons(53) };
	uint16_t port;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(NODE4, 5000, FAR4, 53)), NULL);
	port = lab->frame[34] << 8 | lab->frame[35];
	assert_int_not_equal(port, 5000);
	inet_pton(AF_INET, POD4, ctl.in_addr);
	inet_pton(AF_INET, FAR4, ctl.rem_addr);
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(NODE4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, port, FAR4, 53)));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, port)),
	     PKT(UDP, OUT(FAR4, 53, NODE4, 5000)));
}

/*
 * Two of our egress hooks in one packet's way (a switch from tc to tcx, a VLAN
 * and its parent): the second must not take what the first has translated for
 * a flow of the node.
 */
static void a_second_hook_leaves_it_alone(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t frame[PACKET_MAX];
	size_t length;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	assert_true(lab->sealed);
	length = lab->length;
	memcpy(frame, lab->frame, length);
	lab->seal_next = true;
	prog_run_raw(lab, "masq_egress", true, frame, length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	assert_memory_equal(lab->frame, frame, length);
	assert_int_equal(prog_records(lab), 2);
	/* what passes by its record is sealed, or it would be counted twice */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, KEPT4, 53)), NULL);
	assert_true(lab->sealed);
	/* what is not a flow's is not */
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 22, FAR4, 53), .flags = ACK),
	     NULL);
	assert_false(lab->sealed);
}

/*
 * CHECKSUM_COMPLETE: the device summed the packet, and every change has to
 * leave skb->csum what it says. Both families, both ways, port kept and
 * changed, ICMP, errors and fragments; the kernel itself compares.
 */
static void checksum_complete_stays_complete(void **state)
{
	static const struct {
		const char *pod, *other, *node, *far;
		uint8_t icmp, request, reply, unreachable;
	} rows[] = {
		{ POD4, POD4B, NODE4, FAR4, IPPROTO_ICMP, 8, 0, 3 },
		{ POD6, "fd00:44::16", NODE6, FAR6, IPPROTO_ICMPV6, 128, 129,
		  1 },
	};
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct prog_lab *lab = *state;
	int sport;

	lab->checksum_complete = true;
	for (size_t i = 0; i < ROWS(rows) * ROWS(protos); i++) {
		uint8_t proto = protos[i / 2];
		const char *pod = rows[i % 2].pod, *node = rows[i % 2].node,
			   *far = rows[i % 2].far;

		SEND(EGRESS, NEXT,
		     PKT(.proto = proto, .flags = SYN, .length = 33,
			 OUT(rows[i % 2].other, 5000, far, 53)),
		     NULL);
		SEND(EGRESS, NEXT,
		     PKT(.proto = proto, .flags = SYN, .length = 33,
			 OUT(pod, 5000, far, 53)),
		     NULL);
		sport = i % 2 ? 54 : 34;
		sport = lab->frame[sport] << 8 | lab->frame[sport + 1];
		assert_int_not_equal(sport, 5000);
		SEND(INGRESS, NEXT,
		     PKT(.proto = proto, .flags = SYN | ACK, .length = 33,
			 OUT(far, 53, node, sport)),
		     PKT(.proto = proto, .flags = SYN | ACK, .length = 33,
			 OUT(far, 53, pod, 5000)));
		SEND(INGRESS, NEXT,
		     PKT(.proto = rows[i % 2].icmp,
			 .flags = rows[i % 2].unreachable, .code = 3,
			 .src = far, .dst = node,
			 .quoted = PKT(.proto = proto, .length = 12,
				       OUT(node, sport, far, 53))),
		     PKT(.proto = rows[i % 2].icmp,
			 .flags = rows[i % 2].unreachable, .code = 3,
			 .src = far, .dst = pod,
			 .quoted = PKT(.proto = proto, .length = 12,
				       OUT(pod, 5000, far, 53))));
	}
	for (size_t i = 0; i < ROWS(rows); i++) {
		SEND(EGRESS, NEXT,
		     PKT(.proto = IPPROTO_SCTP, .length = 16,
			 OUT(rows[i].pod, 5000, rows[i].far, 80)),
		     NULL);
		SEND(EGRESS, NEXT,
		     PKT(.proto = rows[i].icmp, .flags = rows[i].request,
			 .length = 9, OUT(rows[i].pod, 7, rows[i].far, 1)),
		     NULL);
		SEND(INGRESS, NEXT,
		     PKT(.proto = rows[i].icmp, .flags = rows[i].reply,
			 .length = 9, OUT(rows[i].far, 7, rows[i].node, 1)),
		     NULL);
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(rows[i].pod, 6000, rows[i].far, 53), .id = 7,
			 .length = 16, .more_fragments = true, .udp_len = 72),
		     NULL);
		SEND(EGRESS, NEXT,
		     PKT(UDP, .src = rows[i].pod, .dst = rows[i].far, .id = 7,
			 .frag_off = 3, .length = 24),
		     NULL);
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(rows[i].pod, 6001, rows[i].far, 53),
			 .ip_options = 8, .length = 16),
		     NULL);
	}
}

#define ROW(f) cmocka_unit_test_setup(f, prog_lab_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(v6_tcp_udp_ping_both_ways),
		ROW(v6_is_off_until_the_policy_asks_for_it),
		ROW(v6_discovery_multicast_and_link_local_pass),
		ROW(v6_forwarded_discovery_never_leaves),
		ROW(tcp_timers),
		ROW(tcp_simultaneous_open),
		ROW(tcp_blind_reset_is_not_believed),
		ROW(tcp_new_syn_reuses_a_closed_tuple),
		ROW(tcp_half_open_lasts),
		ROW(one_direction_keeps_the_flow),
		ROW(checksum_that_becomes_zero_is_all_ones),
		ROW(protocols_with_ports_keep_them),
		ROW(protocols_without_ports_have_one_mapping),
		ROW(one_mapping_is_not_kept_from_others),
		ROW(vlan_tag_in_the_payload),
		ROW(labels_of_mpls),
		ROW(ip_options_are_carried),
		ROW(a_wrong_checksum_stays_wrong),
		ROW(malformed_never_leaves_untranslated),
		ROW(device_without_ethernet_header),
		ROW(seeded_flows_keep_their_treatment),
		ROW(E1_flow_of_a_dead_address_ends),
		ROW(E1_one_way_flow_of_a_dead_address_ends),
		ROW(host_flow_outlives_the_pods),
		ROW(a_second_hook_leaves_it_alone),
		ROW(checksum_complete_stays_complete),
	};

	return cmocka_run_group_tests(tests, prog_lab_up, prog_lab_down);
}

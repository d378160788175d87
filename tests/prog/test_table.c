// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_table.c - the contract's packet table, a test a row, for IPv4 TCP, UDP
 * and ICMP echo: packet in, verdict, exact packet out, records, reason.
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
#define ECHO_REQUEST	  .proto = IPPROTO_ICMP, .flags = 8
#define ECHO_REPLY	  .proto = IPPROTO_ICMP, .flags = 0
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

/* Opens a TCP connection through the programs, handshake and all. */
static void tcp_open(struct prog_lab *lab, const char *pod, uint16_t sport,
		     const char *far, const char *seen)
{
	SEND(EGRESS, NEXT, PKT(TCP, OUT(pod, sport, far, 443), .flags = SYN),
	     PKT(TCP, OUT(seen, sport, far, 443), .flags = SYN));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(far, 443, seen, sport), .flags = SYN | ACK),
	     PKT(TCP, OUT(far, 443, pod, sport), .flags = SYN | ACK));
	SEND(EGRESS, NEXT, PKT(TCP, OUT(pod, sport, far, 443), .flags = ACK),
	     PKT(TCP, OUT(seen, sport, far, 443), .flags = ACK));
}

static void E1_masquerade_record_is_translated_whatever_the_policy(void **state)
{
	struct prog_lab *lab = *state;

	tcp_open(lab, POD4, 40000, FAR4, NODE4);
	prog_policy(lab, "198.51.100.0/24", MASQ_KEEP, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = ACK | PSH,
		 .length = 100),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = ACK | PSH,
		 .length = 100));
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = FIN | ACK),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = FIN | ACK));
	assert_int_equal(prog_records(lab), 2);
}

static void E2_answered_keep_and_inbound_records_pass(void **state)
{
	struct prog_lab *lab = *state;

	tcp_open(lab, POD4, 40000, KEPT4, POD4);
	prog_policy(lab, NULL); /* everything masqueraded from now on */
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 40000, KEPT4, 443), .flags = ACK),
	     PKT(TCP, OUT(POD4, 40000, KEPT4, 443), .flags = ACK));

	SEND(INGRESS, NEXT, PKT(TCP, OUT(FAR4, 5000, POD4, 80), .flags = SYN),
	     PKT(TCP, OUT(FAR4, 5000, POD4, 80), .flags = SYN));
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 80, FAR4, 5000), .flags = SYN | ACK),
	     PKT(TCP, OUT(POD4, 80, FAR4, 5000), .flags = SYN | ACK));
}

static void E2_own_opener_on_closed_record_is_new(void **state)
{
	struct prog_lab *lab = *state;

	tcp_open(lab, POD4, 40000, KEPT4, POD4);
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, KEPT4, 443), .flags = FIN | ACK), NULL);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(KEPT4, 443, POD4, 40000), .flags = FIN | ACK), NULL);
	prog_policy(lab, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, /* the last ACK belongs to the old one */
	     PKT(TCP, OUT(POD4, 40000, KEPT4, 443), .flags = ACK),
	     PKT(TCP, OUT(POD4, 40000, KEPT4, 443), .flags = ACK));
	tcp_open(lab, POD4, 40000, KEPT4, NODE4);
}

static void E2_a_lone_ack_from_outside_is_no_answer(void **state)
{
	struct prog_lab *lab = *state;

	SEND(INGRESS, NEXT, PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK),
	     NULL);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = SYN),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = SYN));
}

static void E3_unanswered_opener_heals_after_a_flip(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet syn = { TCP, OUT(POD4, 40000, KEPT4, 443),
					   .flags = SYN };

	SEND(EGRESS, NEXT, &syn, &syn);
	SEND(EGRESS, NEXT, &syn, &syn);
	prog_policy(lab, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, &syn,
	     PKT(TCP, OUT(NODE4, 40000, KEPT4, 443), .flags = SYN));
	/* and back */
	prog_policy(lab, "172.16.0.0/12", MASQ_KEEP, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, &syn, &syn);
	assert_int_equal(prog_records(lab), 1);
	/* UDP and ping heal the same way */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 53, KEPT4, 53)),
	     PKT(UDP, OUT(POD4, 53, KEPT4, 53)));
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(POD4, 7, KEPT4, 1)),
	     PKT(ECHO_REQUEST, OUT(POD4, 7, KEPT4, 1)));
	prog_policy(lab, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 53, KEPT4, 53)),
	     PKT(UDP, OUT(NODE4, 53, KEPT4, 53)));
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(POD4, 7, KEPT4, 1)),
	     PKT(ECHO_REQUEST, OUT(NODE4, 7, KEPT4, 1)));
}

static void E3_answered_flow_stays_after_a_flip(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, KEPT4, 53)), NULL);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(KEPT4, 53, POD4, 5000)), NULL);
	prog_policy(lab, NULL);
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, KEPT4, 53)),
	     PKT(UDP, OUT(POD4, 5000, KEPT4, 53)));
}

static void E3_new_generation_without_a_flip_keeps_the_record(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 flow;
	uint32_t created;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	assert_true(prog_flow4(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP, &flow));
	created = lab->aside.created;
	prog_policy_edit(lab, NULL);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	assert_true(prog_flow4(lab, POD4, 5000, FAR4, 53, IPPROTO_UDP, &flow));
	assert_int_equal(created, lab->aside.created);
	assert_int_equal(prog_prefix(lab, 0).flows, 1);
}

static void E4_opener_is_claimed_and_translated(void **state)
{
	struct prog_lab *lab = *state;

	tcp_open(lab, POD4, 40000, FAR4, NODE4);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 33),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53), .length = 33));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000), .length = 7),
	     PKT(UDP, OUT(FAR4, 53, POD4, 5000), .length = 7));
	SEND(EGRESS, NEXT,
	     PKT(UDP, OUT(POD4, 5001, FAR4, 53), .length = 4,
		 .udp_no_checksum = true),
	     PKT(UDP, OUT(NODE4, 5001, FAR4, 53), .length = 4,
		 .udp_no_checksum = true));
	SEND(EGRESS, NEXT,
	     PKT(ECHO_REQUEST, OUT(POD4, 77, FAR4, 1), .length = 56),
	     PKT(ECHO_REQUEST, OUT(NODE4, 77, FAR4, 1), .length = 56));
	SEND(INGRESS, NEXT,
	     PKT(ECHO_REPLY, OUT(FAR4, 77, NODE4, 1), .length = 56),
	     PKT(ECHO_REPLY, OUT(FAR4, 77, POD4, 1), .length = 56));
	assert_int_equal(prog_records(lab), 8);
	assert_int_equal(prog_prefix(lab, 0).flows, 4);
	assert_int_equal(prog_prefix(lab, 0).egress.packets, 5);
	assert_int_equal(prog_prefix(lab, 0).ingress.packets, 3);
	assert_int_equal(prog_prefix(lab, 0).ingress.bytes, 40 + 35 + 84);
}

/* What the far side sees as source port of the last packet. */
static uint16_t seen_port(struct prog_lab *lab)
{
	return lab->frame[34] << 8 | lab->frame[35];
}

static uint16_t seen_id(struct prog_lab *lab)
{
	return lab->frame[38] << 8 | lab->frame[39];
}

static void E4_two_pods_with_one_port_never_clash(void **state)
{
	struct prog_lab *lab = *state;
	uint16_t port, again, id;

	tcp_open(lab, POD4, 40000, FAR4, NODE4);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4B, 40000, FAR4, 443), .flags = SYN),
	     NULL);
	port = seen_port(lab);
	assert_int_not_equal(port, 40000);
	assert_in_range(port, 10240, 65535);
	assert_false(port >= 30000 && port <= 32767);
	prog_expect(lab, NEXT,
		    PKT(TCP, OUT(NODE4, port, FAR4, 443), .flags = SYN),
		    __FILE__, __LINE__);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = SYN | ACK),
	     PKT(TCP, OUT(FAR4, 443, POD4B, 40000), .flags = SYN | ACK));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK),
	     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK));
	/* the same socket keeps its external port towards others: EIM */
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4B, 40000, "198.51.100.8", 443), .flags = SYN),
	     NULL);
	again = seen_port(lab);
	assert_int_equal(again, port);
	/* ICMP identifiers likewise */
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(POD4, 77, FAR4, 1)),
	     PKT(ECHO_REQUEST, OUT(NODE4, 77, FAR4, 1)));
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(POD4B, 77, FAR4, 1)), NULL);
	id = seen_id(lab);
	assert_int_not_equal(id, 77);
	prog_expect(lab, NEXT, PKT(ECHO_REQUEST, OUT(NODE4, id, FAR4, 1)),
		    __FILE__, __LINE__);
	SEND(INGRESS, NEXT, PKT(ECHO_REPLY, OUT(FAR4, id, NODE4, 1)),
	     PKT(ECHO_REPLY, OUT(FAR4, 77, POD4B, 1)));
}

static void ports(struct masq_policy *policy)
{
	policy->port_min = 20000;
	policy->port_max = 20009;
}

static void E4_the_last_free_port_is_found_then_dropped(void **state)
{
	struct prog_lab *lab = *state;
	struct packet refused;
	bool seen[10] = {};
	char pod[32];

	prog_policy_edit(lab, ports);
	/* 30100 is a NodePort: never kept, so each has to search */
	for (int i = 0; i < 10; i++) {
		snprintf(pod, sizeof(pod), "10.44.14.%d", 20 + i);
		SEND(EGRESS, NEXT, PKT(UDP, OUT(pod, 30100, FAR4, 53)), NULL);
		assert_in_range(seen_port(lab), 20000, 20009);
		assert_false(seen[seen_port(lab) - 20000]);
		seen[seen_port(lab) - 20000] = true;
		/* answered: a port that nobody answers could be taken over */
		SEND(INGRESS, NEXT,
		     PKT(UDP, OUT(FAR4, 53, NODE4, seen_port(lab))), NULL);
	}
	refused = *PKT(UDP, OUT("10.44.14.99", 30100, FAR4, 53));
	SEND(EGRESS, REDIRECT, &refused,
	     PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 13, .src = NODE4,
		 .dst = "10.44.14.99", .quoted = &refused,
		 .quoted_length = 28));
	assert_int_equal(REASON(NO_PORT), 1);
	assert_int_equal(prog_stat(lab, MASQ_S_PORT_FAIL), 1);
	/* another destination has all of them */
	SEND(EGRESS, NEXT,
	     PKT(UDP, OUT("10.44.14.99", 30100, "198.51.100.9", 53)), NULL);
	/* and expiry gives them back */
	prog_age(lab, 200);
	SEND(EGRESS, NEXT, PKT(UDP, OUT("10.44.14.98", 30100, FAR4, 53)), NULL);
}

static void E4_no_address_is_dropped(void **state)
{
	struct prog_lab *lab = *state;
	uint32_t up = lab->up;
	struct masq_iface none = {};

	if (getenv("MASQ_TEST_FIB_SRC"))
		skip_because("the route decides, not masq_ifaces");
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &none, 0);
	SEND(EGRESS, DROP, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	assert_int_equal(REASON(NO_ADDRESS), 1);
	assert_int_equal(prog_records(lab), 0);
}

static void few_flows(struct masq_policy *policy)
{
	policy->max_flows = 4;
	policy->max_flows_per_pod = 4;
}

static void E4_full_table_never_evicts_established(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, few_flows);
	for (int i = 0; i < 4; i++)
		tcp_open(lab, POD4, 40000 + i, FAR4, NODE4);
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4B, 50000, FAR4, 443), .flags = SYN),
	     NULL);
	assert_int_equal(REASON(TABLE_FULL), 1);
	for (int i = 0; i < 4; i++)
		SEND(EGRESS, NEXT,
		     PKT(TCP, OUT(POD4, 40000 + i, FAR4, 443), .flags = ACK),
		     PKT(TCP, OUT(NODE4, 40000 + i, FAR4, 443), .flags = ACK));
	/* E5 at the same time: kept flows have a budget of their own */
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4B, 50000, KEPT4, 443), .flags = SYN),
	     PKT(TCP, OUT(POD4B, 50000, KEPT4, 443), .flags = SYN));
	assert_int_equal(REASON(KEEP_UNTRACKED), 0);
	assert_int_equal(prog_records(lab), 9);
}

static void E4_full_table_reclaims_unanswered(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, few_flows);
	for (int i = 0; i < 3; i++)
		tcp_open(lab, POD4, 40000 + i, FAR4, NODE4);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 41000, FAR4, 443), .flags = SYN),
	     NULL);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4B, 50000, FAR4, 443), .flags = SYN),
	     PKT(TCP, OUT(NODE4, 50000, FAR4, 443), .flags = SYN));
	assert_int_equal(prog_stat(lab, MASQ_S_RECLAIMED), 1);
	assert_int_equal(prog_records(lab), 8);
}

/* Packets both ways, more than two seconds apart. */
static void udp_established(struct prog_lab *lab, const char *pod,
			    uint16_t port)
{
	for (int i = 0; i < 2; i++) {
		SEND(EGRESS, NEXT, PKT(UDP, OUT(pod, port, FAR4, 53)),
		     PKT(UDP, OUT(NODE4, port, FAR4, 53)));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, port)), NULL);
		prog_age(lab, i ? 0 : 3);
	}
}

static void one_pod(struct masq_policy *policy)
{
	policy->max_flows_per_pod = 3;
}

static void E4_a_pod_has_its_quota(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, one_pod);
	for (int i = 0; i < 3; i++)
		udp_established(lab, POD4, 5000 + i);
	SEND(EGRESS, REDIRECT, PKT(UDP, OUT(POD4, 5003, FAR4, 53)), NULL);
	assert_int_equal(REASON(POD_QUOTA), 1);
	/* TCP is not answered: the SYN that is sent again may find room */
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4, 5003, FAR4, 53), .flags = SYN),
	     NULL);
	assert_int_equal(REASON(POD_QUOTA), 2);
	assert_int_equal(prog_stat(lab, MASQ_S_REFUSED), 1);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4B, 5003, FAR4, 53)), NULL);
	prog_age(lab, 310);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5003, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5003, FAR4, 53)));
}

/* As many addresses as there is room for, all quiet by now: one more still
 * has a quota. */
static void E4_a_quota_after_65536_addresses(void **state)
{
	struct prog_lab *lab = *state;
	int pods = prog_map(lab, "masq_pods");
	struct masq_pod_usage none = {};
	struct masq_addr addr = {};

	prog_policy_edit(lab, one_pod);
	for (uint32_t i = 0; i < MASQ_MAX_PODS; i++) {
		addr.a[0] = htonl(0x0b000000 + i);
		bpf_map_update_elem(pods, &addr, &none, BPF_ANY);
	}
	for (int i = 0; i < 3; i++)
		udp_established(lab, POD4, 5000 + i);
	SEND(EGRESS, REDIRECT, PKT(UDP, OUT(POD4, 5003, FAR4, 53)), NULL);
	assert_int_equal(REASON(POD_QUOTA), 1);
}

/* An entry that was forgotten while its flows lived comes back at zero: their
 * ends do not give the pod more than its quota later. */
static void E4_a_forgotten_pod_owes_nothing(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_pod_usage usage = {};
	struct masq_addr addr = {};

	prog_policy_edit(lab, one_pod);
	for (int i = 0; i < 3; i++)
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000 + i, FAR4, 53)),
		     NULL);
	inet_pton(AF_INET, POD4, addr.a);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_pods"), &addr,
					     &usage, BPF_EXIST),
			 0);
	prog_age(lab, 200);
	/* the hand ends them */
	assert_int_equal(prog_ctl(lab,
				  &(struct masq_ctl){ .op = MASQ_CTL_RECLAIM,
						      .count = lab->pages }),
			 0);
	assert_int_equal(prog_stat(lab, MASQ_S_EXPIRED), 3);
	for (int i = 0; i < 3; i++)
		udp_established(lab, POD4, 7000 + i);
	SEND(EGRESS, REDIRECT, PKT(UDP, OUT(POD4, 7003, FAR4, 53)), NULL);
	assert_int_equal(REASON(POD_QUOTA), 1);
}

static void E5_keep_passes_with_a_record(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 flow;

	tcp_open(lab, POD4, 40000, KEPT4, POD4);
	assert_true(
		prog_flow4(lab, POD4, 40000, KEPT4, 443, IPPROTO_TCP, &flow));
	assert_int_equal(prog_kind(&flow), MASQ_K_KEEP);
	assert_int_equal(prog_state(&flow), MASQ_ST_ESTABLISHED);
	assert_int_equal(flow.tally.packets, 2);
	assert_int_equal(flow.back.packets, 1);
	/* TCP ACK makes a record, others pass without */
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 40001, KEPT4, 443), .flags = ACK),
	     PKT(TCP, OUT(POD4, 40001, KEPT4, 443), .flags = ACK));
	assert_int_equal(prog_records(lab), 2);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 40002, KEPT4, 443), .flags = RST),
	     PKT(TCP, OUT(POD4, 40002, KEPT4, 443), .flags = RST));
	assert_int_equal(prog_records(lab), 2);
	assert_int_equal(REASON(KEPT), 1);
	assert_int_equal(prog_prefix(lab, 2).egress.packets, 4);
	assert_int_equal(prog_prefix(lab, 2).flows, 2);
}

static void E6_mid_stream_is_adopted_with_its_port(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = ACK | PSH,
		 .length = 10),
	     PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = ACK | PSH,
		 .length = 10));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK),
	     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK));
	SEND(EGRESS, DROP, PKT(TCP, OUT(POD4B, 40000, FAR4, 443), .flags = ACK),
	     NULL);
	assert_int_equal(REASON(NO_FLOW), 1);
}

static void E7_what_belongs_to_no_flow_is_dropped(void **state)
{
	static const uint8_t flags[] = { SYN | ACK, RST,
					 RST | ACK, FIN,
					 FIN | ACK, 0,
					 SYN | FIN, FIN | PSH | URG };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(flags); i++)
		SEND(EGRESS, DROP,
		     PKT(TCP, OUT(POD4, 40000, FAR4, 443), .flags = flags[i]),
		     NULL);
	SEND(EGRESS, DROP, PKT(ECHO_REPLY, OUT(POD4, 1, FAR4, 1)), NULL);
	assert_int_equal(REASON(NO_FLOW), ROWS(flags) + 1);
	/* an error about a flow that nobody knows */
	SEND(EGRESS, DROP,
	     PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 3, .src = POD4,
		 .dst = FAR4, .quoted = PKT(UDP, OUT(FAR4, 53, POD4, 999))),
	     NULL);
	SEND(EGRESS, DROP,
	     PKT(UDP, .src = POD4, .dst = FAR4, .frag_off = 100, .length = 64),
	     NULL);
	assert_int_equal(prog_records(lab), 0);
}

static void I1_exact_reverse_tuple_is_translated(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet other = { UDP, OUT("198.51.100.99", 53,
						      NODE4, 5000) };
	static const struct packet port = { UDP, OUT(FAR4, 54, NODE4, 5000) };

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
	     PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	SEND(INGRESS, NEXT, &other, &other);
	SEND(INGRESS, NEXT, &port, &port);
	assert_int_equal(REASON(HOST), 2);
}

static void I2_node_traffic_is_untouched(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet in = { TCP, OUT(FAR4, 5000, NODE4, 22),
					  .flags = SYN };
	static const struct packet out = { TCP, OUT(NODE4, 22, FAR4, 5000),
					   .flags = SYN | ACK };

	SEND(INGRESS, NEXT, &in, &in);
	SEND(EGRESS, NEXT, &out, &out);
	assert_int_equal(prog_records(lab), 0);
	assert_int_equal(REASON(HOST), 2);
}

static void I3_record_of_a_forwarded_address_is_touched(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 flow;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, KEPT4, 53)), NULL);
	SEND(INGRESS, NEXT, PKT(UDP, OUT(KEPT4, 53, POD4, 5000)),
	     PKT(UDP, OUT(KEPT4, 53, POD4, 5000)));
	assert_true(prog_flow4(lab, POD4, 5000, KEPT4, 53, IPPROTO_UDP, &flow));
	assert_true(flow.in_seen);
	assert_int_equal(flow.back.packets, 1);
}

static void I4_inbound_makes_a_record_and_its_replies_pass(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 flow;

	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 5000, POD4, 53)),
	     PKT(UDP, OUT(FAR4, 5000, POD4, 53)));
	assert_true(prog_flow4(lab, POD4, 53, FAR4, 5000, IPPROTO_UDP, &flow));
	assert_int_equal(prog_kind(&flow), MASQ_K_INBOUND);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 53, FAR4, 5000)),
	     PKT(UDP, OUT(POD4, 53, FAR4, 5000)));
	/* ping from outside, and the pod's own ping with that identifier */
	SEND(INGRESS, NEXT, PKT(ECHO_REQUEST, OUT(FAR4, 9, POD4, 1)),
	     PKT(ECHO_REQUEST, OUT(FAR4, 9, POD4, 1)));
	SEND(EGRESS, NEXT, PKT(ECHO_REPLY, OUT(POD4, 9, FAR4, 1)),
	     PKT(ECHO_REPLY, OUT(POD4, 9, FAR4, 1)));
	SEND(EGRESS, NEXT, PKT(ECHO_REQUEST, OUT(POD4, 9, FAR4, 1)),
	     PKT(ECHO_REQUEST, OUT(NODE4, 9, FAR4, 1)));
	/* the pod's own new connection to the same peer is masqueraded */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 1053, FAR4, 5000)),
	     PKT(UDP, OUT(NODE4, 1053, FAR4, 5000)));
	/* nobody answered: gone after half a minute */
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 5001, POD4, 53)), NULL);
	prog_age(lab, 60);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 53, FAR4, 5001)),
	     PKT(UDP, OUT(NODE4, 53, FAR4, 5001)));
}

/* Inbound flows that are answered fill their budget, and no other. */
static void I4_has_a_budget_of_its_own(void **state)
{
	struct prog_lab *lab = *state;

	prog_policy_edit(lab, few_flows);
	for (int i = 0; i < 5; i++) {
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR4, 5000 + i, POD4, 80), .flags = SYN),
		     NULL);
		if (i == 4)
			break;
		SEND(EGRESS, NEXT,
		     PKT(TCP, OUT(POD4, 80, FAR4, 5000 + i),
			 .flags = SYN | ACK),
		     PKT(TCP, OUT(POD4, 80, FAR4, 5000 + i),
			 .flags = SYN | ACK));
		SEND(INGRESS, NEXT,
		     PKT(TCP, OUT(FAR4, 5000 + i, POD4, 80), .flags = ACK),
		     NULL);
	}
	assert_int_equal(prog_records(lab), 4);
	assert_int_equal(REASON(INBOUND_UNTRACKED), 1);
	for (int i = 0; i < 4; i++)
		tcp_open(lab, POD4, 40000 + i, FAR4, NODE4);
	assert_int_equal(prog_records(lab), 12);
}

static void expired_is_absent_and_its_memory_comes_back(void **state)
{
	struct prog_lab *lab = *state;

	for (int i = 0; i < 100; i++)
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000 + i, FAR4, 53)),
		     NULL);
	assert_int_equal(prog_records(lab), 200);
	prog_age(lab, 200);
	/* a reply to an expired flow is the node's business */
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
	     PKT(UDP, OUT(FAR4, 53, NODE4, 5000)));
	/* new flows move the hand on, one page with every fourth by chance */
	for (unsigned int i = 0; i < 8 * lab->pages; i++)
		SEND(EGRESS, NEXT,
		     PKT(UDP, OUT(POD4B, 6000 + i % 1000, FAR4, 53 + i / 1000)),
		     NULL);
	for (int i = 0; i < 100; i++) {
		struct masq_flow4 flow;

		assert_false(prog_flow4(lab, POD4, 5000 + i, FAR4, 53,
					IPPROTO_UDP, &flow));
	}
	EXPECT_TOTALS();
}

static void host_flow_that_meets_a_pods_port_gets_another(void **state)
{
	struct prog_lab *lab = *state;
	uint16_t port;

	tcp_open(lab, POD4, 40000, FAR4, NODE4);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = SYN),
	     NULL);
	port = seen_port(lab);
	assert_int_not_equal(port, 40000);
	prog_expect(lab, NEXT,
		    PKT(TCP, OUT(NODE4, port, FAR4, 443), .flags = SYN),
		    __FILE__, __LINE__);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = SYN | ACK),
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = SYN | ACK));
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 40000, FAR4, 443), .flags = ACK),
	     PKT(TCP, OUT(NODE4, port, FAR4, 443), .flags = ACK));
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 40000), .flags = ACK),
	     PKT(TCP, OUT(FAR4, 443, POD4, 40000), .flags = ACK));
}

static void passes_what_is_not_ours(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet multicast = {
		UDP, OUT(POD4, 5353, "224.0.0.251", 5353)
	};
	static const struct packet broadcast = {
		UDP, OUT(POD4, 68, "255.255.255.255", 67)
	};
	uint8_t arp[60] = { [12] = 0x08, [13] = 0x06 };

	SEND(EGRESS, NEXT, &multicast, &multicast);
	SEND(EGRESS, NEXT, &broadcast, &broadcast);
	assert_int_equal(REASON(MULTICAST), 2);
	prog_run_raw(lab, "masq_egress", true, arp, sizeof(arp), 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	assert_int_equal(REASON(NOT_IP), 1);
	assert_int_equal(prog_records(lab), 0);
}

/* Wake-on-LAN from a pod, into the network of the uplink. */
static void a_broadcast_to_another_network_is_translated(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, "10.142.0.255", 9)),
	     PKT(UDP, OUT(NODE4, 5000, "10.142.0.255", 9)));
}

static void gso_counts_the_packets_that_it_becomes(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t frame[PACKET_MAX];
	size_t length;

	tcp_open(lab, POD4, 40000, FAR4, NODE4);
	length = packet_build(PKT(TCP, OUT(POD4, 40000, FAR4, 443),
				  .flags = ACK, .length = 1000),
			      frame);
	prog_run_raw(lab, "masq_egress", true, frame, length, 100, 10);
	assert_int_equal(lab->verdict, NEXT);
	/* SYN, ACK, then ten segments with a header each */
	assert_int_equal(prog_prefix(lab, 0).egress.packets, 12);
	assert_int_equal(prog_prefix(lab, 0).egress.bytes,
			 40 + 40 + 10 * (40 + 100));
}

#define ROW(f) cmocka_unit_test_setup(f, prog_lab_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(E1_masquerade_record_is_translated_whatever_the_policy),
		ROW(E2_answered_keep_and_inbound_records_pass),
		ROW(E2_own_opener_on_closed_record_is_new),
		ROW(E2_a_lone_ack_from_outside_is_no_answer),
		ROW(E3_unanswered_opener_heals_after_a_flip),
		ROW(E3_answered_flow_stays_after_a_flip),
		ROW(E3_new_generation_without_a_flip_keeps_the_record),
		ROW(E4_opener_is_claimed_and_translated),
		ROW(E4_two_pods_with_one_port_never_clash),
		ROW(E4_the_last_free_port_is_found_then_dropped),
		ROW(E4_no_address_is_dropped),
		ROW(E4_full_table_never_evicts_established),
		ROW(E4_full_table_reclaims_unanswered),
		ROW(E4_a_pod_has_its_quota),
		ROW(E4_a_quota_after_65536_addresses),
		ROW(E4_a_forgotten_pod_owes_nothing),
		ROW(E5_keep_passes_with_a_record),
		ROW(E6_mid_stream_is_adopted_with_its_port),
		ROW(E7_what_belongs_to_no_flow_is_dropped),
		ROW(I1_exact_reverse_tuple_is_translated),
		ROW(I2_node_traffic_is_untouched),
		ROW(I3_record_of_a_forwarded_address_is_touched),
		ROW(I4_inbound_makes_a_record_and_its_replies_pass),
		ROW(I4_has_a_budget_of_its_own),
		ROW(expired_is_absent_and_its_memory_comes_back),
		ROW(host_flow_that_meets_a_pods_port_gets_another),
		ROW(passes_what_is_not_ours),
		ROW(a_broadcast_to_another_network_is_translated),
		ROW(gso_counts_the_packets_that_it_becomes),
	};

	return cmocka_run_group_tests(tests, prog_lab_up, prog_lab_down);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_inherit.c - a flow of the instance before, met by a packet: from a table
 * of this layout, whose lab made it by packets of its own, and from one of
 * layout 3, whose records are written here.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "layout3.h"
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define TCP		  .proto = IPPROTO_TCP
#define UDP		  .proto = IPPROTO_UDP
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

#define OTHER4		  "10.44.14.16" /* a pod that wants the same port */

#define SEND_NEW(dir, in, want)                                   \
	do {                                                      \
		prog_run(new, dir, in);                           \
		prog_expect(new, NEXT, want, __FILE__, __LINE__); \
	} while (0)

/* The lab that is taken over from, and the one that does. */
static struct prog_lab *old, *new;

static unsigned int inherited(void)
{
	return prog_stat(new, MASQ_S_INHERITED);
}

/* The port that a UDP packet of this pod leaves with. */
static uint16_t port_of(struct prog_lab *lab, const char *pod, uint16_t port)
{
	struct masq_flow4 flow;

	prog_run(lab, EGRESS, PKT(UDP, OUT(pod, port, FAR4, 53)));
	if (!prog_flow4(lab, pod, port, FAR4, 53, IPPROTO_UDP, &flow))
		fail_msg("%s has no record", pod);
	return ntohs(flow.xlat_port);
}

/* Out: the same port, though here its own would be free. */
static void its_port_stays(void **state)
{
	uint16_t moved;

	(void)state;
	assert_int_equal(port_of(old, POD4, 5000), 5000);
	moved = port_of(old, OTHER4, 5000);
	assert_int_not_equal(moved, 5000);
	SEND_NEW(EGRESS, PKT(UDP, OUT(OTHER4, 5000, FAR4, 53)),
		 PKT(UDP, OUT(NODE4, moved, FAR4, 53)));
	assert_int_equal(inherited(), 1);
	prog_expect_totals(new, __FILE__, __LINE__);
	/* and back, and no second time */
	SEND_NEW(INGRESS, PKT(UDP, OUT(FAR4, 53, NODE4, moved)),
		 PKT(UDP, OUT(FAR4, 53, OTHER4, 5000)));
	assert_int_equal(inherited(), 1);
}

/* An answer may be the first that is met. */
static void an_answer_finds_its_pod(void **state)
{
	(void)state;
	port_of(old, POD4, 5000);
	SEND_NEW(INGRESS, PKT(UDP, OUT(FAR4, 53, NODE4, 5000)),
		 PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	assert_int_equal(inherited(), 1);
	prog_expect_totals(new, __FILE__, __LINE__);
}

static void what_was_counted_goes_on(void **state)
{
	struct masq_flow4 flow;

	(void)state;
	for (int i = 0; i < 3; i++)
		port_of(old, POD4, 5000);
	assert_int_equal(port_of(new, POD4, 5000), 5000);
	assert_true(prog_flow4(new, POD4, 5000, FAR4, 53, IPPROTO_UDP, &flow));
	assert_int_equal(flow.tally.packets, 4);
	assert_int_equal(flow.out_seen & MASQ_SEEN_TWO, MASQ_SEEN_TWO);
}

/* Its time was over. */
static void an_expired_one_is_absent(void **state)
{
	(void)state;
	port_of(old, POD4, 5000);
	prog_age(old, 600);
	assert_int_equal(port_of(new, POD4, 5000), 5000);
	assert_int_equal(inherited(), 0);
}

/* A port of a flow that has not been met yet is taken. */
static void a_port_is_not_given_twice(void **state)
{
	(void)state;
	port_of(old, POD4, 5000);
	assert_int_not_equal(port_of(new, OTHER4, 5000), 5000);
	assert_int_equal(inherited(), 0);
}

/* The port that a TCP packet of the node itself leaves with. */
static uint16_t node_port(struct prog_lab *lab, uint8_t flags)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(
		PKT(TCP, OUT(NODE4, 5000, FAR4, 443), .flags = flags), frame);

	prog_run_raw(lab, "masq_egress", false, frame, length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	return lab->frame[34] << 8 | lab->frame[35];
}

/* A pod has the tuple, so the node's flow has another port: before its record
 * has been met here as after, whether the pod's has been or not. */
static void the_nodes_own_keeps_its_port(bool pod_first)
{
	uint16_t port;

	prog_run(old, EGRESS,
		 PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = SYN));
	port = node_port(old, SYN);
	assert_int_not_equal(port, 5000);
	if (pod_first)
		prog_run(new, EGRESS,
			 PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = ACK));
	assert_int_equal(node_port(new, ACK), port);
	assert_int_equal(inherited(), pod_first + 1);
	assert_int_equal(node_port(new, ACK), port);
	SEND_NEW(EGRESS, PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = ACK),
		 PKT(TCP, OUT(NODE4, 5000, FAR4, 443), .flags = ACK));
	assert_int_equal(inherited(), 2);
	prog_expect_totals(new, __FILE__, __LINE__);
}

static void the_nodes_own_is_met_first(void **state)
{
	(void)state;
	the_nodes_own_keeps_its_port(false);
}

static void the_nodes_own_is_met_behind_the_pods(void **state)
{
	(void)state;
	the_nodes_own_keeps_its_port(true);
}

/* What comes back for it, met first: the pod's way back has the node's tuple. */
static void an_answer_to_the_nodes_own(void **state)
{
	uint16_t port;

	(void)state;
	prog_run(old, EGRESS,
		 PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = SYN));
	port = node_port(old, SYN);
	assert_int_not_equal(port, 5000);
	SEND_NEW(INGRESS, PKT(TCP, OUT(FAR4, 443, NODE4, port), .flags = ACK),
		 PKT(TCP, OUT(FAR4, 443, NODE4, 5000), .flags = ACK));
	SEND_NEW(INGRESS, PKT(TCP, OUT(FAR4, 443, NODE4, 5000), .flags = ACK),
		 PKT(TCP, OUT(FAR4, 443, POD4, 5000), .flags = ACK));
	assert_int_equal(inherited(), 2);
	prog_expect_totals(new, __FILE__, __LINE__);
}

static int ctl_inherit(uint8_t proto, uint16_t port, uint16_t rem_port)
{
	struct masq_ctl ctl = { .op = MASQ_CTL_INHERIT,
				.family = 4,
				.proto = proto,
				.in_port = htons(port),
				.rem_port = htons(rem_port) };

	inet_pton(AF_INET, POD4, ctl.in_addr);
	inet_pton(AF_INET, FAR4, ctl.rem_addr);
	return prog_ctl(new, &ctl);
}

/* User space asks for every flow; what the old hooks saw last is not lost. */
static void the_walk_brings_what_was_seen(void **state)
{
	struct masq_flow4 flow;

	(void)state;
	assert_int_equal(ctl_inherit(IPPROTO_TCP, 5000, 443), -2);
	prog_run(old, EGRESS,
		 PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = SYN));
	assert_int_equal(ctl_inherit(IPPROTO_TCP, 5000, 443), 0);
	prog_run(old, EGRESS,
		 PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = FIN | ACK));
	assert_int_equal(ctl_inherit(IPPROTO_TCP, 5000, 443), -17);
	assert_true(prog_flow4(new, POD4, 5000, FAR4, 443, IPPROTO_TCP, &flow));
	assert_int_equal(flow.out_seen & MASQ_SEEN_FIN, MASQ_SEEN_FIN);
	prog_expect_totals(new, __FILE__, __LINE__);
}

/* --- layout 3 --------------------------------------------------------------- */

static void put3(const char *in, uint16_t port, uint8_t kind, const char *xlat,
		 uint16_t xlat_port, uint32_t left)
{
	struct masq_ctl clock = { .op = MASQ_CTL_CLOCK };
	struct masq_key4 key = { .in_port = htons(port),
				 .rem_port = htons(53),
				 .proto = IPPROTO_UDP };
	struct masq_before3_flow4 flow = { .kind = kind,
					   .state = MASQ_ST_ESTABLISHED,
					   .out_seen = MASQ_SEEN_ONE,
					   .in_seen = MASQ_SEEN_ONE,
					   .xlat_port = htons(xlat_port),
					   .prefix = 1 };
	uint32_t now;

	assert_int_equal(prog_ctl(new, &clock), 0);
	now = clock.jiffies >> MASQ_TICK_SHIFT;
	flow.last_seen = flow.created = now;
	flow.expires = now + left;
	inet_pton(AF_INET, in, key.in_addr);
	inet_pton(AF_INET, FAR4, key.rem_addr);
	inet_pton(AF_INET, xlat, flow.xlat_addr);
	if (kind == MASQ_K_FWD)
		flow.egress.packets = 7;
	else
		flow.ingress.packets = 5;
	assert_int_equal(bpf_map_update_elem(prog_map(new, "masq_before3_4"),
					     &key, &flow, BPF_ANY),
			 0);
}

static void pair3(uint32_t left)
{
	put3(POD4, 5000, MASQ_K_FWD, NODE4, 6000, left);
	put3(NODE4, 6000, MASQ_K_REV, POD4, 5000, left);
}

static void layout_3_its_port_stays(void **state)
{
	struct masq_flow4 flow;

	(void)state;
	pair3(1000);
	SEND_NEW(EGRESS, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		 PKT(UDP, OUT(NODE4, 6000, FAR4, 53)));
	assert_true(prog_flow4(new, POD4, 5000, FAR4, 53, IPPROTO_UDP, &flow));
	assert_int_equal(flow.tally.packets, 8);
	assert_int_equal(prog_state(&flow), MASQ_ST_ESTABLISHED);
	assert_int_equal(inherited(), 1);
	prog_expect_totals(new, __FILE__, __LINE__);
}

static void layout_3_an_answer_finds_its_pod(void **state)
{
	(void)state;
	pair3(1000);
	SEND_NEW(INGRESS, PKT(UDP, OUT(FAR4, 53, NODE4, 6000)),
		 PKT(UDP, OUT(FAR4, 53, POD4, 5000)));
	assert_int_equal(inherited(), 1);
}

static void layout_3_an_expired_one_is_absent(void **state)
{
	(void)state;
	pair3(0);
	assert_int_equal(ctl_inherit(IPPROTO_UDP, 5000, 53), -2);
	SEND_NEW(EGRESS, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		 PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	assert_int_equal(inherited(), 0);
}

static void layout_3_a_port_is_not_given_twice(void **state)
{
	(void)state;
	pair3(1000);
	assert_int_not_equal(port_of(new, OTHER4, 6000), 6000);
}

/* --- labs ------------------------------------------------------------------- */

static int reset(void **state)
{
	void *each[] = { old, new };

	(void)state;
	for (size_t i = 0; i < ROWS(each); i++)
		if (each[i] && prog_lab_reset(&each[i]))
			return -1;
	if (!old) {
		int fd = prog_map(new, "masq_before3_4");
		struct masq_key4 key;

		while (!bpf_map_get_next_key(fd, NULL, &key))
			bpf_map_delete_elem(fd, &key);
	}
	return 0;
}

static int up4(void **state)
{
	void *lab;

	prog_before = NULL;
	prog_before_layout = 0;
	prog_max_flows = 512;
	if (prog_lab_up(&lab))
		return -1;
	old = prog_before = lab;
	/* of another size */
	prog_max_flows = 4096;
	if (prog_lab_up(&lab))
		return -1;
	*state = new = lab;
	return 0;
}

static int up3(void **state)
{
	void *lab;

	old = prog_before = NULL;
	prog_before_layout = 3;
	if (prog_lab_up(&lab))
		return -1;
	*state = new = lab;
	return 0;
}

static int down(void **state)
{
	void *lab = old;

	(void)state;
	if (lab && prog_lab_down(&lab))
		return -1;
	lab = new;
	return prog_lab_down(&lab);
}

#define SET(test) cmocka_unit_test_setup(test, reset)

int main(void)
{
	static const struct CMUnitTest four[] = {
		SET(its_port_stays),
		SET(an_answer_finds_its_pod),
		SET(what_was_counted_goes_on),
		SET(an_expired_one_is_absent),
		SET(a_port_is_not_given_twice),
		SET(the_walk_brings_what_was_seen),
		SET(the_nodes_own_is_met_first),
		SET(the_nodes_own_is_met_behind_the_pods),
		SET(an_answer_to_the_nodes_own),
	};
	static const struct CMUnitTest three[] = {
		SET(layout_3_its_port_stays),
		SET(layout_3_an_answer_finds_its_pod),
		SET(layout_3_an_expired_one_is_absent),
		SET(layout_3_a_port_is_not_given_twice),
	};
	static const char *const objects[] = { "modern", "legacy" };
	const char *only = getenv("MASQ_TEST_OBJECT");
	int failed = 0;

	only = only ? strdup(only) : NULL;
	for (size_t i = 0; i < ROWS(objects); i++) {
		if (only && strcmp(only, objects[i]))
			continue;
		if (!prog_loads(objects[i], four, ROWS(four)) ||
		    !prog_loads(objects[i], three, ROWS(three)))
			continue;
		setenv("MASQ_TEST_OBJECT", objects[i], 1);
		failed += cmocka_run_group_tests_name("this layout", four, up4,
						      down);
		failed += cmocka_run_group_tests_name("layout 3", three, up3,
						      down);
	}
	return failed;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_icmp.c - ICMP errors about translated flows, both ways, both families:
 * exact packets, outer and quoted, whatever the quote looks like.
 */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

struct family {
	const char *pod, *node, *far, *router;
	uint8_t icmp, unreachable, too_big_type, too_big_code, time_exceeded;
	uint8_t request, reply;
};

static const struct family families[] = {
	{ POD4, NODE4, FAR4, "192.0.2.1", IPPROTO_ICMP, 3, 3, 4, 11, 8, 0 },
	{ POD6, NODE6, FAR6, "2001:db8:1::1", IPPROTO_ICMPV6, 1, 2, 0, 3, 128,
	  129 },
};

static uint16_t port_at(struct prog_lab *lab, const struct family *f, int off)
{
	int at = 14 + (f->icmp == IPPROTO_ICMP ? 20 : 40) + off;

	return lab->frame[at] << 8 | lab->frame[at + 1];
}

/* Two pods' worth of flows: port 40000 kept, and one that had to change. */
static uint16_t open_flows(struct prog_lab *lab, const struct family *f,
			   uint8_t proto)
{
	static char other[64];

	snprintf(other, sizeof(other), "%s",
		 f->icmp == IPPROTO_ICMP ? POD4B : "fd00:44::16");
	SEND(EGRESS, NEXT,
	     PKT(.proto = proto, .flags = SYN, OUT(other, 40000, f->far, 443)),
	     NULL);
	SEND(EGRESS, NEXT,
	     PKT(.proto = proto, .flags = SYN, OUT(f->pod, 40000, f->far, 443)),
	     NULL);
	return port_at(lab, f, 0);
}

/* Errors from the path: to the node, quoting what the node sent. */
static void inbound_errors_reach_the_pod(void **state)
{
	static const uint8_t protos[] = { IPPROTO_UDP, IPPROTO_TCP };
	static const uint16_t quoted[] = { 0, 8, 28 }; /* bytes of L4 */
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families) * ROWS(protos) * ROWS(quoted);
	     i++) {
		const struct family *f = &families[i % 2];
		uint8_t proto = protos[i / 2 % 2];
		uint16_t l4 = quoted[i / 4], hlen, port;
		struct packet sent, orig;

		prog_lab_reset(state);
		port = open_flows(lab, f, proto);
		assert_int_not_equal(port, 40000);
		hlen = f->icmp == IPPROTO_ICMP ? 20 : 40;
		sent = *PKT(.proto = proto, .flags = SYN, .length = 24,
			    OUT(f->node, port, f->far, 443));
		orig = *PKT(.proto = proto, .flags = SYN, .length = 24,
			    OUT(f->pod, 40000, f->far, 443));
		SEND(INGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->too_big_type,
			 .code = f->too_big_code, .rest = 1400,
			 .src = f->router, .dst = f->node, .quoted = &sent,
			 .quoted_length = l4 ? hlen + l4 : 0),
		     PKT(.proto = f->icmp, .flags = f->too_big_type,
			 .code = f->too_big_code, .rest = 1400,
			 .src = f->router, .dst = f->pod, .quoted = &orig,
			 .quoted_length = l4 ? hlen + l4 : 0));
	}
}

static void inbound_error_about_a_ping_reaches_the_pod(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];

		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->request,
			 OUT(f->pod, 77, f->far, 1)),
		     NULL);
		SEND(INGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->time_exceeded,
			 .src = f->router, .dst = f->node,
			 .quoted = PKT(.proto = f->icmp, .flags = f->request,
				       OUT(f->node, 77, f->far, 1))),
		     PKT(.proto = f->icmp, .flags = f->time_exceeded,
			 .src = f->router, .dst = f->pod,
			 .quoted = PKT(.proto = f->icmp, .flags = f->request,
				       OUT(f->pod, 77, f->far, 1))));
	}
}

static void quotes_with_options_and_without_udp_checksum(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		bool v4 = f->icmp == IPPROTO_ICMP;
		uint16_t port;

		prog_lab_reset(state);
		port = open_flows(lab, f, IPPROTO_UDP);
		SEND(INGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->far, .dst = f->node,
			 .ip_options = v4 ? 8 : 0,
			 .quoted = PKT(.proto = IPPROTO_UDP, .ip_options = 8,
				       .udp_no_checksum = v4, .length = 16,
				       OUT(f->node, port, f->far, 443))),
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->far, .dst = f->pod, .ip_options = v4 ? 8 : 0,
			 .quoted = PKT(.proto = IPPROTO_UDP, .ip_options = 8,
				       .udp_no_checksum = v4, .length = 16,
				       OUT(f->pod, 40000, f->far, 443))));
	}
}

/* Errors from the pod about replies it got. */
static void outbound_errors_carry_the_nodes_address(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		uint16_t port;

		prog_lab_reset(state);
		port = open_flows(lab, f, IPPROTO_UDP);
		SEND(EGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->pod, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP, .length = 40,
				       OUT(f->far, 443, f->pod, 40000))),
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->node, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP, .length = 40,
				       OUT(f->far, 443, f->node, port))));
	}
}

/* The node says "TTL exceeded" about a reply it has already translated. */
static void errors_of_the_node_quote_what_the_far_side_knows(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		uint16_t port;

		prog_lab_reset(state);
		port = open_flows(lab, f, IPPROTO_TCP);
		SEND(EGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = f->time_exceeded,
			 .src = f->node, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_TCP, .flags = SYN | ACK,
				       OUT(f->far, 443, f->pod, 40000))),
		     PKT(.proto = f->icmp, .flags = f->time_exceeded,
			 .src = f->node, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_TCP, .flags = SYN | ACK,
				       OUT(f->far, 443, f->node, port))));
	}
}

/* The node's own flow had to change its port, and its error is no pod's. */
static void errors_of_the_node_about_its_own_flow(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		struct packet error =
			*PKT(.proto = f->icmp, .flags = f->unreachable,
			     .code = i ? 4 : 3, .src = f->node, .dst = f->far,
			     .quoted = PKT(.proto = IPPROTO_UDP, .length = 8,
					   OUT(f->far, 443, f->node, 40000)));
		uint16_t port;

		prog_lab_reset(state);
		open_flows(lab, f, IPPROTO_UDP);
		/* nobody's but the node's, who knows what it is about */
		SEND(EGRESS, NEXT, &error, &error);
		SEND(EGRESS, NEXT,
		     PKT(.proto = IPPROTO_UDP,
			 OUT(f->node, 40000, f->far, 443)),
		     NULL);
		port = port_at(lab, f, 0);
		assert_int_not_equal(port, 40000);
		SEND(EGRESS, NEXT, &error,
		     PKT(.proto = f->icmp, .flags = f->unreachable,
			 .code = i ? 4 : 3, .src = f->node, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP, .length = 8,
				       OUT(f->far, 443, f->node, port))));
		/* a pod has nothing to say about it */
		error.src = f->pod;
		SEND(EGRESS, DROP, &error, NULL);
	}
}

static void errors_without_a_flow_go_nowhere(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		struct packet error =
			*PKT(.proto = f->icmp, .flags = f->unreachable,
			     .code = 3, .src = f->router, .dst = f->node,
			     .quoted = PKT(.proto = IPPROTO_UDP, .length = 8,
					   OUT(f->node, 1234, f->far, 53)));

		prog_lab_reset(state);
		/* unknown flow: the node's business, untouched */
		SEND(INGRESS, NEXT, &error, &error);
		/* a known flow, but the error came to another address */
		open_flows(lab, f, IPPROTO_UDP);
		error = *PKT(.proto = f->icmp, .flags = f->unreachable,
			     .code = 3, .src = f->router, .dst = f->pod,
			     .quoted = PKT(.proto = IPPROTO_UDP, .length = 8,
					   OUT(f->node, 40000, f->far, 443)));
		SEND(INGRESS, NEXT, &error, &error);
		SEND(EGRESS, DROP,
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->pod, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP,
				       OUT(f->far, 53, f->pod, 999))),
		     NULL);
		assert_int_equal(REASON(NO_FLOW), 1);
	}
}

/* A redirect has no identifier, and is no part of the ping with number 0. */
static void messages_without_identifier_belong_to_no_flow(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		struct packet message = { .proto = f->icmp,
					  .flags = i ? 139 : 31,
					  .src = f->far,
					  .dst = f->node };

		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(.proto = f->icmp, .flags = i ? 128 : 8, .src = f->pod,
			 .dst = f->far),
		     NULL);
		SEND(INGRESS, NEXT, &message, &message);
		message.src = f->pod;
		message.dst = f->far;
		SEND(EGRESS, DROP, &message, NULL);
		assert_int_equal(REASON(NO_FLOW), 1);
	}
}

/* The quote names a flow that is not the outer header's. */
static void errors_that_borrow_a_flow_never_leave(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		const char *kept = i ? KEPT6 : KEPT4;

		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(.proto = IPPROTO_UDP, OUT(f->pod, 40000, kept, 53)),
		     NULL);
		SEND(EGRESS, DROP,
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->pod, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP,
				       OUT(kept, 53, f->pod, 40000))),
		     NULL);
		assert_int_equal(REASON(NO_FLOW), 1);
		/* or the node's side of a translated one */
		open_flows(lab, f, IPPROTO_UDP);
		SEND(EGRESS, DROP,
		     PKT(.proto = f->icmp, .flags = f->unreachable, .code = 3,
			 .src = f->pod, .dst = f->far,
			 .quoted = PKT(.proto = IPPROTO_UDP,
				       OUT(f->far, 443, f->node, 40000))),
		     NULL);
		assert_int_equal(REASON(NO_FLOW), 2);
	}
}

/* RFC 5508 REQ-6, RFC 5382 REQ-10: it neither refreshes nor ends the flow. */
static void errors_leave_the_flow_alone(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_flow4 before, after;

	SEND(EGRESS, NEXT,
	     PKT(.proto = IPPROTO_UDP, OUT(POD4, 40000, FAR4, 53)), NULL);
	prog_age(lab, 60);
	assert_true(
		prog_flow4(lab, POD4, 40000, FAR4, 53, IPPROTO_UDP, &before));
	SEND(INGRESS, NEXT,
	     PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 3, .src = FAR4,
		 .dst = NODE4,
		 .quoted = PKT(.proto = IPPROTO_UDP,
			       OUT(NODE4, 40000, FAR4, 53))),
	     PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 3, .src = FAR4,
		 .dst = POD4,
		 .quoted = PKT(.proto = IPPROTO_UDP,
			       OUT(POD4, 40000, FAR4, 53))));
	assert_true(
		prog_flow4(lab, POD4, 40000, FAR4, 53, IPPROTO_UDP, &after));
	assert_memory_equal(&before, &after, sizeof(before));
}

static void errors_about_kept_flows_pass_as_they_are(void **state)
{
	struct prog_lab *lab = *state;
	static const struct packet inner = { .proto = IPPROTO_UDP,
					     OUT(POD4, 40000, KEPT4, 53) };
	static const struct packet error = { .proto = IPPROTO_ICMP,
					     .flags = 3,
					     .src = KEPT4,
					     .dst = POD4,
					     .quoted = &inner };

	SEND(EGRESS, NEXT, &inner, &inner);
	SEND(INGRESS, NEXT, &error, &error);
}

#define ROW(f) cmocka_unit_test_setup(f, prog_lab_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(inbound_errors_reach_the_pod),
		ROW(inbound_error_about_a_ping_reaches_the_pod),
		ROW(quotes_with_options_and_without_udp_checksum),
		ROW(outbound_errors_carry_the_nodes_address),
		ROW(errors_of_the_node_quote_what_the_far_side_knows),
		ROW(errors_of_the_node_about_its_own_flow),
		ROW(errors_without_a_flow_go_nowhere),
		ROW(errors_that_borrow_a_flow_never_leave),
		ROW(messages_without_identifier_belong_to_no_flow),
		ROW(errors_leave_the_flow_alone),
		ROW(errors_about_kept_flows_pass_as_they_are),
	};

	return cmocka_run_group_tests(tests, prog_lab_up, prog_lab_down);
}

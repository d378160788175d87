// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_node.c - the node around the uplink: which routes lead where, who hands
 * a packet over, what is the node's own and its neighbours'. Rows change the
 * test's network namespace and put it back.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define TCP		  .proto = IPPROTO_TCP
#define UDP		  .proto = IPPROTO_UDP
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

#define MOVED4		  "10.143.0.6" /* the node's on up1 */
#define SECOND4		  "10.142.0.66" /* its second one on up0 */
#define LINK4		  "169.254.172.5" /* a pod's that has no other */

static void sh(const char *command)
{
	if (system(command))
		fail_msg("%s", command);
}

/* As prog_run, forwarded or not whatever the source. */
static void run(struct prog_lab *lab, enum dir dir, bool forwarded,
		const struct packet *p)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);

	prog_run_raw(lab, dir == EGRESS ? "masq_egress" : "masq_ingress",
		     forwarded, frame, length, 0, 0);
}
#define SEND_AS(forwarded, in, want)                              \
	do {                                                      \
		run(lab, EGRESS, forwarded, in);                  \
		prog_expect(lab, NEXT, want, __FILE__, __LINE__); \
	} while (0)

/* podCIDRs names this. */
static void name_pods(struct prog_lab *lab, const char *text)
{
	struct masq_lpm_key key = {};
	struct masq_lpm_value value = { .source = MASQ_SRC_POD };
	struct cidr_text {
		uint8_t family, plen;
	} c = { .plen = atoi(strchr(text, '/') + 1) };
	char addr[64];

	snprintf(addr, sizeof(addr), "%.*s", (int)(strchr(text, '/') - text),
		 text);
	c.family = strchr(addr, ':') ? 6 : 4;
	inet_pton(c.family == 6 ? AF_INET6 : AF_INET, addr, key.addr);
	key.plen = MASQ_LPM_SET_BITS + c.plen;
	key.set = c.family == 6 ? MASQ_SET_SRC6 : MASQ_SET_SRC4;
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key,
					     &value, 0),
			 0);
}

static void with_pods(struct masq_policy *p)
{
	p->flags |= MASQ_P_PODS4 | MASQ_P_PODS6;
}

/* --- routes ---------------------------------------------------------------- */

/* "No route in that table" is never "local". */
static void the_way_out_may_be_in_any_table(void **state)
{
	static const struct {
		const char *begin, *end;
	} rows[] = {
		{ "ip rule add from 10.44.14.0/24 lookup 100;"
		  "ip -6 rule add from fd00:44::/64 lookup 100",
		  "ip rule del lookup 100; ip -6 rule del lookup 100" },
		{ "ip rule add iif pod0 lookup 100; ip -6 rule add iif pod0 lookup 100",
		  "ip rule del lookup 100; ip -6 rule del lookup 100" },
		{ "ip rule add fwmark 7 lookup 100; ip -6 rule add fwmark 7 lookup 100",
		  "ip rule del lookup 100; ip -6 rule del lookup 100" },
		{ "true", "true" }, /* no route at all: translated or dropped */
	};
	struct prog_lab *lab = *state;

	prog_needs_forwarding(lab);
	sh("ip route add default via 10.142.0.1 dev up0 table 100;"
	   "ip -6 route add default via fd00:142::1 dev up0 table 100;"
	   "ip route del default; ip -6 route del default");
	for (size_t i = 0; i < ROWS(rows); i++) {
		prog_lab_reset(state);
		sh(rows[i].begin);
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, FAR6, 53)),
		     PKT(UDP, OUT(NODE6, 5000, FAR6, 53)));
		sh(rows[i].end);
	}
	sh("ip route flush table 100; ip -6 route flush table 100;"
	   "ip route add default via 10.142.0.1 dev up0;"
	   "ip -6 route add default via fd00:142::1 dev up0");
}

static void an_ipv6_route_may_be_for_one_source(void **state)
{
	struct prog_lab *lab = *state;

	prog_needs_forwarding(lab);
	sh("ip -6 route del default;"
	   "ip -6 route add default from fd00:44::/64 via fd00:142::1 dev up0");
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD6, 5000, FAR6, 53)),
	     PKT(UDP, OUT(NODE6, 5000, FAR6, 53)));
	sh("ip -6 route del default from fd00:44::/64;"
	   "ip -6 route add default via fd00:142::1 dev up0");
}

/* `src` of the route that the packet takes, in whatever table. */
static void the_routes_source_is_the_source(void **state)
{
	static const char *const rules[] = {
		"from 10.44.14.0/24",
		"iif pod0",
		"fwmark 0",
		"to 198.51.100.0/24",
	};
	struct prog_lab *lab = *state;
	char command[128];

	sh("ip addr add " SECOND4 "/32 dev up0;"
	   "ip route add default via 10.142.0.1 src " SECOND4 " table 100");
	for (size_t i = 0; i < ROWS(rules); i++) {
		prog_lab_reset(state);
		snprintf(command, sizeof(command), "ip rule add %s lookup 100",
			 rules[i]);
		sh(command);
		SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		     PKT(UDP, OUT(SECOND4, 5000, FAR4, 53)));
		sh("ip rule del lookup 100");
	}
	sh("ip route flush table 100; ip addr del " SECOND4 "/32 dev up0");
}

static void the_routes_source_goes_by_the_mark(void **state)
{
	struct prog_lab *lab = *state;

	sh("ip addr add " SECOND4 "/32 dev up0;"
	   "ip route add default via 10.142.0.1 src " SECOND4 " table 100;"
	   "ip rule add fwmark 7 lookup 100");
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	lab->mark = 7;
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5001, FAR4, 53)),
	     PKT(UDP, OUT(SECOND4, 5001, FAR4, 53)));
	lab->mark = 0;
	sh("ip rule del lookup 100; ip route flush table 100;"
	   "ip addr del " SECOND4 "/32 dev up0");
}

static void what_a_route_alone_makes_local_is_local(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS + 24, .set = 4 };
	const struct packet own = { UDP, OUT("192.0.2.77", 5000, FAR4, 53) };
	uint32_t one = 1;

	prog_needs_forwarding(lab);
	sh("ip route add local 192.0.2.0/24 dev lo");
	inet_pton(AF_INET, "192.0.2.0", key.addr);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_nets"), &key,
					     &one, 0),
			 0);
	SEND_AS(false, &own, &own);
	SEND_AS(true, &own, &own); /* netfilter's */
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, "192.0.2.9", 9)), NULL);
	assert_int_equal(REASON(HOST), 2);
	bpf_map_delete_elem(prog_map(lab, "masq_nets"), &key);
	sh("ip route del local 192.0.2.0/24 dev lo");
}

/* An attach without an agent: the set is as old as the attach. */
static void an_old_set_makes_no_pod_the_nodes(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_addr addr = {};
	uint32_t one = 1;

	inet_pton(AF_INET, POD4, addr.a); /* was the node's once */
	bpf_map_update_elem(prog_map(lab, "masq_local"), &addr, &one, 0);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
	     PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
}

/* --- who handed it over ------------------------------------------------------ */

static void a_pod_is_one_without_an_interface_too(void **state)
{
	struct prog_lab *lab = *state;

	SEND_AS(false, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	SEND_AS(false, PKT(TCP, OUT(POD6, 5000, FAR6, 443), .flags = SYN),
		PKT(TCP, OUT(NODE6, 5000, FAR6, 443), .flags = SYN));
}

/* As an IPv6 uplink with less room fragments what conntrack put together. */
static void fragments_made_here_are_the_pods(void **state)
{
	struct prog_lab *lab = *state;

	for (int forwarded = 0; forwarded < 2; forwarded++) {
		prog_lab_reset(state);
		SEND_AS(forwarded,
			PKT(UDP, OUT(POD6, 5000, FAR6, 53), .id = 7,
			    .length = 16, .more_fragments = true,
			    .udp_len = 48),
			PKT(UDP, OUT(NODE6, 5000, FAR6, 53), .id = 7,
			    .length = 16, .more_fragments = true,
			    .udp_len = 48));
		SEND_AS(false,
			PKT(UDP, .src = POD6, .dst = FAR6, .id = 7,
			    .frag_off = 3, .length = 24),
			PKT(UDP, .src = NODE6, .dst = FAR6, .id = 7,
			    .frag_off = 3, .length = 24));
	}
}

/* Neither has a route that leads elsewhere; the second has none at all. */
static void an_address_that_is_not_there_is_the_nodes(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet own = { UDP, OUT("192.0.2.77", 5000, FAR4, 53) };

	SEND_AS(false, &own, &own);
	sh("ip route del default; ip route add 198.51.100.0/24 dev up0");
	SEND_AS(false, &own, &own);
	sh("ip route del 198.51.100.0/24;"
	   "ip route add default via 10.142.0.1 dev up0");
	assert_int_equal(REASON(HOST), 2);
}

/* What its own way out goes by does not hide a pod: its mark, an uplink that does
 * not forward. A default route by an interface that is no uplink leads nobody
 * there. */
static void a_route_to_a_pod_is_found(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet own = { UDP, OUT("192.0.2.77", 5000, FAR4, 53) };
	const struct packet own6 = { UDP,
				     OUT("2001:db8:77::1", 5000, FAR6, 53) };

	lab->mark = 7;
	sh("ip rule add fwmark 7 lookup 77;"
	   "ip route add default via 10.142.0.1 dev up0 table 77");
	SEND_AS(false, PKT(UDP, OUT(POD4, 5000, FAR4, 53)),
		PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	sh("ip rule del fwmark 7; ip route flush table 77");
	lab->mark = 0;
	prog_lab_reset(state);
	sh("ip link set pod0 mtu 1280"); /* less than there is out */
	SEND_AS(false, PKT(UDP, OUT(POD4, 5000, FAR4, 53), .length = 1400),
		PKT(UDP, OUT(NODE4, 5000, FAR4, 53), .length = 1400));
	sh("ip link set pod0 mtu 1500");
	prog_lab_reset(state);
	sh("sysctl -qw net.ipv6.conf.up0.forwarding=0");
	SEND_AS(false, PKT(UDP, OUT(POD6, 5000, FAR6, 53)),
		PKT(UDP, OUT(NODE6, 5000, FAR6, 53)));
	sh("sysctl -qw net.ipv6.conf.up0.forwarding=1");
	sh("ip route add default dev pod0 metric 1;"
	   "ip -6 route add default dev pod0 metric 1");
	SEND_AS(false, &own, &own);
	SEND_AS(false, &own6, &own6);
	sh("ip route del default dev pod0; ip -6 route del default dev pod0");
	/* a route that wraps does not say by which interface */
	if (system("ip -6 route add fd00:44:7::/64 encap seg6 mode encap "
		   "segs fd00:44::9 dev pod0 2>/dev/null"))
		return;
	SEND_AS(false, PKT(UDP, OUT("fd00:44:7::5", 5001, FAR6, 53)),
		PKT(UDP, OUT(NODE6, 5001, FAR6, 53)));
	sh("ip -6 route del fd00:44:7::/64");
}

static void podCIDRs_name_pods_without_a_route(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet own = { UDP, OUT("192.0.2.78", 5000, FAR4, 53) };

	prog_policy_edit(lab, with_pods);
	name_pods(lab, "192.0.2.77/32");
	SEND_AS(false, PKT(UDP, OUT("192.0.2.77", 5000, FAR4, 53)),
		PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	SEND_AS(false, &own, &own);
	assert_int_equal(REASON(HOST), 1);
}

static void link_local_pods_are_named(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet pod = { UDP, OUT(LINK4, 5000, FAR4, 53) };
	struct masq_ctl ctl = { .op = MASQ_CTL_EXPLAIN,
				.family = 4,
				.proto = IPPROTO_UDP,
				.ifindex = lab->up };

	inet_pton(AF_INET, LINK4, ctl.in_addr);
	inet_pton(AF_INET, FAR4, ctl.rem_addr);
	SEND(EGRESS, NEXT, &pod, &pod);
	assert_int_equal(REASON(LINK_LOCAL), 1);
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	assert_int_equal(ctl.reason, MASQ_R_LINK_LOCAL);
	prog_policy_edit(lab, with_pods);
	name_pods(lab, "169.254.172.0/22");
	SEND(EGRESS, NEXT, &pod, PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	assert_int_equal(prog_ctl(lab, &ctl), 0);
	assert_int_equal(ctl.reason, MASQ_R_NONE);
	assert_int_equal(ctl.action, MASQ_MASQUERADE);
}

/* A proxy hands on the ICMP error of the pod that it stands before. */
static void an_error_of_a_pod_without_an_interface(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet in = { UDP, OUT(FAR4, 53, NODE4, 5000) };
	const struct packet quoted = { UDP, OUT(FAR4, 53, POD4, 5000) };

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), NULL);
	SEND_AS(false,
		PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 3, .src = POD4,
		    .dst = FAR4, .quoted = &quoted),
		PKT(.proto = IPPROTO_ICMP, .flags = 3, .code = 3, .src = NODE4,
		    .dst = FAR4, .quoted = &in));
}

/* --- the node's own ---------------------------------------------------------- */

static const uint8_t portless[] = { 4, 41, 47, 50, 51, 89, 112 };

static void a_protocol_without_ports_is_the_nodes(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(portless); i++) {
		uint8_t proto = portless[i];
		const struct packet out = {
			.proto = proto, .src = NODE4, .dst = FAR4, .length = 64
		};
		const struct packet in = {
			.proto = proto, .src = FAR4, .dst = NODE4, .length = 64
		};

		/* the node was first */
		prog_lab_reset(state);
		SEND(EGRESS, NEXT, &out, &out);
		SEND(EGRESS, DROP,
		     PKT(.proto = proto, .src = POD4, .dst = FAR4, .length = 9),
		     NULL);
		assert_int_equal(REASON(PROTOCOL), 1);
		SEND(INGRESS, NEXT, &in, &in);
		/* the pod was */
		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(.proto = proto, .src = POD4, .dst = FAR4, .length = 9),
		     PKT(.proto = proto, .src = NODE4, .dst = FAR4,
			 .length = 9));
		SEND(EGRESS, NEXT, &out, &out);
		SEND(INGRESS, NEXT, &in, &in);
		/* which is nobody's business towards another peer */
		SEND(EGRESS, NEXT,
		     PKT(.proto = proto, .src = POD4, .dst = "198.51.100.8"),
		     NULL);
		EXPECT_TOTALS();
	}
}

static void what_comes_in_alone_keeps_no_tunnel(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet in = {
		.proto = 47, .src = FAR4, .dst = NODE4, .length = 64
	};
	const struct packet to_pod = {
		.proto = 47, .src = FAR4, .dst = POD4, .length = 64
	};

	SEND(EGRESS, NEXT, PKT(.proto = 47, .src = POD4, .dst = FAR4), NULL);
	SEND(INGRESS, NEXT, &in, &to_pod);
	SEND(INGRESS, NEXT, &in, &to_pod);
	for (int i = 0; i < 3; i++) {
		prog_age(lab, 250);
		run(lab, INGRESS, false, &in);
	}
	prog_expect(lab, NEXT, &in, __FILE__, __LINE__);
	/* the pod's own packets do */
	SEND(EGRESS, NEXT, PKT(.proto = 47, .src = POD4, .dst = FAR4), NULL);
	for (int i = 0; i < 3; i++) {
		prog_age(lab, 250);
		SEND(EGRESS, NEXT, PKT(.proto = 47, .src = POD4, .dst = FAR4),
		     NULL);
	}
	SEND(INGRESS, NEXT, &in, &to_pod);
}

/* docker0, portmap, kube-proxy to a backend elsewhere: netfilter's. */
static void a_port_of_netfilter_is_no_pods(void **state)
{
	static const uint8_t protos[] = { IPPROTO_TCP, IPPROTO_UDP };
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(protos); i++) {
		uint8_t p = protos[i];
		const struct packet out = { .proto = p,
					    OUT(NODE4, 5060, FAR4, 5060),
					    .flags = p == IPPROTO_TCP ? SYN
								      : 0 };
		const struct packet in = { .proto = p,
					   OUT(FAR4, 5060, NODE4, 5060),
					   .flags = p == IPPROTO_TCP ? SYN | ACK
								     : 0 };

		/* the neighbour was first: the pod's port changes */
		prog_lab_reset(state);
		SEND_AS(true, &out, &out);
		SEND(EGRESS, NEXT,
		     PKT(.proto = p, OUT(POD4, 5060, FAR4, 5060),
			 .flags = out.flags),
		     NULL);
		assert_int_not_equal(lab->frame[34] << 8 | lab->frame[35],
				     5060);
		SEND(INGRESS, NEXT, &in, &in);
		/* the pod was: the neighbour's changes, and back */
		prog_lab_reset(state);
		SEND(EGRESS, NEXT,
		     PKT(.proto = p, OUT(POD4, 5060, FAR4, 5060),
			 .flags = out.flags),
		     PKT(.proto = p, OUT(NODE4, 5060, FAR4, 5060),
			 .flags = out.flags));
		for (int again = 0; again < 2; again++) {
			uint16_t port;

			SEND_AS(true, &out, NULL);
			port = lab->frame[34] << 8 | lab->frame[35];
			assert_int_not_equal(port, 5060);
			SEND(INGRESS, NEXT,
			     PKT(.proto = p, OUT(FAR4, 5060, NODE4, port),
				 .flags = in.flags),
			     &in);
			/* also when the pod's flow has ended */
			struct masq_ctl ctl = { .op = MASQ_CTL_DELETE,
						.family = 4,
						.proto = p,
						.in_port = htons(5060),
						.rem_port = htons(5060) };

			inet_pton(AF_INET, POD4, ctl.in_addr);
			inet_pton(AF_INET, FAR4, ctl.rem_addr);
			assert_int_equal(prog_ctl(lab, &ctl), again ? -2 : 0);
		}
		EXPECT_TOTALS();
	}
}

static void a_ping_of_the_node_keeps_its_answer(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet ask = { .proto = IPPROTO_ICMP,
				    .flags = 8,
				    OUT(NODE4, 77, FAR4, 1) };
	const struct packet answer = { .proto = IPPROTO_ICMP,
				       .flags = 0,
				       OUT(FAR4, 77, NODE4, 1) };

	SEND(EGRESS, NEXT, &ask, &ask);
	SEND(EGRESS, NEXT,
	     PKT(.proto = IPPROTO_ICMP, .flags = 8, OUT(POD4, 77, FAR4, 1)),
	     NULL);
	assert_int_not_equal(lab->frame[38] << 8 | lab->frame[39], 77);
	SEND(INGRESS, NEXT, &answer, &answer);
}

static void an_association_of_the_node_is_no_pods(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet out = { .proto = IPPROTO_SCTP,
				    OUT(NODE4, 3868, FAR4, 3868) };
	const struct packet in = { .proto = IPPROTO_SCTP,
				   OUT(FAR4, 3868, NODE4, 3868) };
	const struct packet pod = { .proto = IPPROTO_SCTP,
				    OUT(POD4, 3868, FAR4, 3868) };

	SEND(EGRESS, NEXT, &out, &out);
	SEND(EGRESS, DROP, &pod, NULL);
	SEND(INGRESS, NEXT, &in, &in);
	prog_lab_reset(state);
	SEND(EGRESS, NEXT, &pod, NULL);
	SEND(EGRESS, NEXT, &out, &out);
	SEND(INGRESS, NEXT, &in, &in);
}

/* Its own TCP and UDP have sockets, and no record each. */
static void sockets_need_no_reservation(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet own = { UDP, OUT(NODE4, 5000, FAR4, 53) };

	SEND(EGRESS, NEXT, &own, &own);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(NODE4, 5000, FAR4, 80), .flags = SYN),
	     NULL);
	assert_int_equal(prog_records(lab), 0);
	assert_int_equal(REASON(HOST), 2);
}

/* --- fail-over ---------------------------------------------------------------- */

static void second_uplink(struct prog_lab *lab, const char *addr)
{
	struct masq_iface iface = {};
	struct masq_addr local = {};
	uint32_t one = 1, up;

	prog_needs_forwarding(lab); /* a row that ends half-way leaves it */
	sh("ip link add up1 type veth peer name far1;"
	   "ip link set up1 address 02:00:00:00:00:01;"
	   "ip link set up1 up; ip link set far1 up;"
	   "ip addr add " MOVED4 "/24 dev up1");
	up = if_nametoindex("up1");
	inet_pton(AF_INET, addr, &iface.addr4);
	inet_pton(AF_INET, MOVED4, local.a);
	bpf_map_update_elem(prog_map(lab, "masq_local"), &local, &one, 0);
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
}

/* prog_lab_reset forgets it. */
static void second_card_known(struct prog_lab *lab)
{
	static const char *const addrs[] = { MOVED4, "fd00:143::6" };
	uint32_t one = 1;

	for (size_t i = 0; i < ROWS(addrs); i++) {
		struct masq_addr addr = {};

		inet_pton(i ? AF_INET6 : AF_INET, addrs[i], addr.a);
		bpf_map_update_elem(prog_map(lab, "masq_local"), &addr, &one,
				    0);
	}
}

static void no_second_uplink(struct prog_lab *lab)
{
	uint32_t up = if_nametoindex("up1");

	bpf_map_delete_elem(prog_map(lab, "masq_ifaces"), &up);
	sh("ip link del up1");
}

/* E1b: a new flow would get another address there. */
static void E1b_a_flow_goes_where_its_route_goes(void **state)
{
	struct prog_lab *lab = *state;
	int up0 = lab->up;
	const struct packet out = { UDP, OUT(POD4, 5000, FAR4, 4444) };

	second_uplink(lab, MOVED4);
	/* long established */
	for (int i = 0; i < 3; i++) {
		SEND(EGRESS, NEXT, &out,
		     PKT(UDP, OUT(NODE4, 5000, FAR4, 4444)));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 4444, NODE4, 5000)),
		     PKT(UDP, OUT(FAR4, 4444, POD4, 5000)));
		prog_age(lab, 3);
	}
	sh("ip route replace default via 10.143.0.1 dev up1");
	lab->up = if_nametoindex("up1");
	for (int i = 0; i < 2; i++) {
		SEND(EGRESS, NEXT, &out,
		     PKT(UDP, OUT(MOVED4, 5000, FAR4, 4444)));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 4444, MOVED4, 5000)),
		     PKT(UDP, OUT(FAR4, 4444, POD4, 5000)));
	}
	/* and back */
	sh("ip route replace default via 10.142.0.1 dev up0");
	lab->up = up0;
	SEND(EGRESS, NEXT, &out, PKT(UDP, OUT(NODE4, 5000, FAR4, 4444)));
	assert_int_equal(prog_records(lab), 2);
	EXPECT_TOTALS();
	no_second_uplink(lab);
}

/* Two unnumbered uplinks, or an address that moves with the route. */
static void E1b_a_flow_that_keeps_its_address_goes_on(void **state)
{
	struct prog_lab *lab = *state;
	int up0 = lab->up;
	const struct packet out = { TCP, OUT(POD4, 5000, FAR4, 443),
				    .flags = ACK, .ack = 1 };
	struct masq_flow4 f;

	prog_needs_forwarding(lab);
	if (getenv("MASQ_TEST_FIB_SRC"))
		sh("ip route replace default via 10.142.0.1 dev up0 src " NODE4);
	second_uplink(lab, NODE4);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 5000, FAR4, 443), .flags = SYN),
	     NULL);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 443, NODE4, 5000), .flags = SYN | ACK), NULL);
	SEND(EGRESS, NEXT, &out, NULL);
	sh("ip route replace default via 10.143.0.1 dev up1 src " NODE4);
	lab->up = if_nametoindex("up1");
	SEND(EGRESS, NEXT, &out,
	     PKT(TCP, OUT(NODE4, 5000, FAR4, 443), .flags = ACK, .ack = 1));
	assert_true(prog_flow4(lab, POD4, 5000, FAR4, 443, IPPROTO_TCP, &f));
	assert_int_equal(f.device, lab->up);
	assert_int_equal(prog_state(&f), MASQ_ST_ESTABLISHED);
	sh("ip route replace default via 10.142.0.1 dev up0");
	lab->up = up0;
	no_second_uplink(lab);
}

/* An address that `snat` names is nobody's to lose. */
static void E1b_a_fixed_address_stays(void **state)
{
	struct prog_lab *lab = *state;
	int up0 = lab->up;
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS,
				    .set = MASQ_SET_DST4 };
	struct masq_lpm_value value = { .action = MASQ_MASQUERADE, .snat = 1 };
	struct masq_addr fixed = {};
	uint32_t one = 1;
	const struct packet want = { UDP, OUT("203.0.113.77", 5000, FAR4, 53) };

	inet_pton(AF_INET, "203.0.113.77", fixed.a);
	bpf_map_update_elem(prog_map(lab, "masq_snat"), &one, &fixed, 0);
	bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key, &value, 0);
	second_uplink(lab, MOVED4);
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), &want);
	lab->up = if_nametoindex("up1");
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 5000, FAR4, 53)), &want);
	lab->up = up0;
	no_second_uplink(lab);
}

/* --- several addresses for a destination (snat.addresses) --------------------- */

struct range {
	const char *first;
	uint32_t size;
};

/* All destinations of the family have this pool from now on, in these slots. */
static void use_pool(struct prog_lab *lab, uint32_t slot,
		     const struct range *ranges, uint32_t count)
{
	int fd = prog_map(lab, "masq_snat");
	bool six = strchr(ranges->first, ':');
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS,
				    .set = six ? MASQ_SET_DST6
					       : MASQ_SET_DST4 };
	struct masq_lpm_value value = { .action = MASQ_MASQUERADE,
					.prefix = six,
					.snat = MASQ_SNAT(slot, count) };
	uint32_t size = 0;

	for (uint32_t i = 0; i < count; i++) {
		struct masq_addr first = {}, until = {};
		uint32_t at = slot + 2 * i, next = at + 1;

		inet_pton(six ? AF_INET6 : AF_INET, ranges[i].first, first.a);
		until.a[0] = size += ranges[i].size;
		assert_int_equal(bpf_map_update_elem(fd, &at, &first, 0), 0);
		assert_int_equal(bpf_map_update_elem(fd, &next, &until, 0), 0);
	}
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key,
					     &value, 0),
			 0);
}

/* The source that a pod's datagram leaves with, as text. */
static const char *source_of(struct prog_lab *lab, const char *pod,
			     uint16_t port, const char *far)
{
	static char text[64];
	bool six = strchr(pod, ':');

	SEND(EGRESS, NEXT, PKT(UDP, OUT(pod, port, far, 53)), NULL);
	inet_ntop(six ? AF_INET6 : AF_INET, lab->frame + 14 + (six ? 8 : 12),
		  text, sizeof(text));
	return text;
}

static const struct range small_pool[] = { { "203.0.113.8", 1 },
					   { "203.0.113.254", 16 } };

/* Which of them it is: 0 to 16; fails for any other. */
static unsigned int number_in_pool(const char *source)
{
	struct in_addr addr;
	uint32_t bits;

	inet_pton(AF_INET, source, &addr);
	bits = ntohl(addr.s_addr);
	if (bits == 0xcb007108)
		return 0;
	if (bits < 0xcb0071fe || bits > 0xcb00720d)
		fail_msg("%s is not in the pool", source);
	return bits - 0xcb0071fe + 1;
}

/* RFC 4787 REQ-2, "paired": all that a pod does has one address. */
static void a_pod_has_one_of_several_addresses(void **state)
{
	struct prog_lab *lab = *state;
	unsigned int pods[17] = {}, used = 0;

	use_pool(lab, 10, small_pool, 2);
	for (int i = 0; i < 100; i++) {
		char pod[64], source[64];
		int port = 5000 + 2 * i;

		snprintf(pod, sizeof(pod), "10.44.20.%d", i + 1);
		strcpy(source, source_of(lab, pod, port, FAR4));
		pods[number_in_pool(source)]++;
		assert_string_equal(source_of(lab, pod, port + 1, FAR4),
				    source);
		assert_string_equal(source_of(lab, pod, port, "198.51.100.8"),
				    source);
		SEND(EGRESS, NEXT,
		     PKT(TCP, OUT(pod, port, FAR4, 443), .flags = SYN),
		     PKT(TCP, OUT(source, port, FAR4, 443), .flags = SYN));
		SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, source, port)),
		     PKT(UDP, OUT(FAR4, 53, pod, port)));
	}
	/* 100 over 17: none is left out or has a fifth of them but by a bug */
	for (int i = 0; i < 17; i++) {
		used += pods[i] > 0;
		assert_in_range(pods[i], 0, 20);
	}
	assert_in_range(used, 15, 17);
	EXPECT_TOTALS();
}

/* Others come and go: what a pod has been given stays while it is there. */
static void a_pod_keeps_its_address(void **state)
{
	static const struct range more[] = { { "192.0.2.0", 1024 },
					     { "203.0.113.8", 1 },
					     { "203.0.113.254", 16 } };
	static const struct range others[] = { { "192.0.2.64", 2 } };
	struct prog_lab *lab = *state;
	char was[40][64], pod[64];

	use_pool(lab, 10, small_pool, 2);
	for (int i = 0; i < 40; i++) {
		snprintf(pod, sizeof(pod), "10.44.21.%d", i + 1);
		strcpy(was[i], source_of(lab, pod, 5000, FAR4));
	}
	use_pool(lab, 20, more, 3);
	for (int i = 0; i < 40; i++) {
		snprintf(pod, sizeof(pod), "10.44.21.%d", i + 1);
		assert_string_equal(source_of(lab, pod, 5001, FAR4), was[i]);
	}
	use_pool(lab, 30, others, 1);
	for (int i = 0; i < 40; i++) {
		const char *now;

		snprintf(pod, sizeof(pod), "10.44.21.%d", i + 1);
		/* what lives keeps its own (promise 2) */
		assert_string_equal(source_of(lab, pod, 5001, FAR4), was[i]);
		now = source_of(lab, pod, 5002, FAR4);
		if (strcmp(now, "192.0.2.64") && strcmp(now, "192.0.2.65"))
			fail_msg("%s", now);
	}
	/* back again: no matter what it had meanwhile */
	use_pool(lab, 10, small_pool, 2);
	for (int i = 0; i < 40; i++) {
		snprintf(pod, sizeof(pod), "10.44.21.%d", i + 1);
		assert_string_equal(source_of(lab, pod, 5003, FAR4), was[i]);
	}
}

static void a_pool_of_ipv6(void **state)
{
	static const struct range pool[] = {
		{ "2001:db8:0:1:ffff:ffff:ffff:fff8", 16 }, /* over the edge */
		{ "2001:db8:9::1", 1 },
	};
	struct prog_lab *lab = *state;
	bool low = false, high = false, other = false;

	use_pool(lab, 40, pool, 2);
	for (int i = 0; i < 100; i++) {
		char pod[64], source[64];

		snprintf(pod, sizeof(pod), "fd00:44::%x", i + 0x100);
		strcpy(source, source_of(lab, pod, 5000, FAR6));
		low |= !strncmp(source, "2001:db8:0:1:ffff:ffff:ffff:fff", 31);
		high |= !strncmp(source, "2001:db8:0:2::", 14);
		other |= !strcmp(source, "2001:db8:9::1");
		assert_string_equal(source_of(lab, pod, 5001, FAR6), source);
	}
	assert_true(low && high && other);
}

/* What explain says is what the next flow gets; it notes nothing itself. */
static void explain_knows_which_of_several(void **state)
{
	struct prog_lab *lab = *state;

	use_pool(lab, 10, small_pool, 2);
	for (int i = 0; i < 20; i++) {
		struct masq_ctl ask = { .op = MASQ_CTL_EXPLAIN,
					.family = 4,
					.proto = IPPROTO_UDP,
					.ifindex = lab->up };
		char pod[64], said[64];

		snprintf(pod, sizeof(pod), "10.44.22.%d", i + 1);
		inet_pton(AF_INET, pod, ask.in_addr);
		inet_pton(AF_INET, FAR4, ask.rem_addr);
		assert_int_equal(prog_ctl(lab, &ask), 0);
		inet_ntop(AF_INET, ask.xlat_addr, said, sizeof(said));
		assert_string_equal(source_of(lab, pod, 5000, FAR4), said);
	}
}

static void set_snat_flag(struct masq_policy *policy)
{
	policy->flags |= MASQ_P_SNAT;
}

/* No interface has them: what comes in for them is no flow of a pod's, and
 * does not go round between the node and its router either. */
static void nobody_elsewhere_has_the_addresses(void **state)
{
	static const struct range pool[] = { { "203.0.113.64", 8 } };
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS + 29, .set = 4 };
	struct prog_lab *lab = *state;
	const struct packet *const in[] = {
		PKT(UDP, OUT(FAR4, 53, "203.0.113.66", 6000)),
		PKT(TCP, OUT(FAR4, 443, "203.0.113.66", 6000), .flags = SYN),
		PKT(TCP, OUT(FAR4, 443, "203.0.113.66", 6001), .flags = ACK),
	};
	uint32_t snat = MASQ_NET_SNAT;
	int pod = lab->pod;
	char source[64];

	use_pool(lab, 10, pool, 1);
	prog_policy_edit(lab, set_snat_flag);
	inet_pton(AF_INET, "203.0.113.64", key.addr);
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_nets"), &key,
					     &snat, 0),
			 0);
	for (size_t i = 0; i < ROWS(in); i++) {
		SEND(INGRESS, NEXT, in[i], in[i]);
		assert_int_equal(prog_records(lab), 0);
		lab->pod =
			lab->up; /* the stack sends it back where it came from */
		run(lab, EGRESS, true, in[i]);
		prog_expect(lab, DROP, NULL, __FILE__, __LINE__);
		lab->pod = pod;
		assert_int_equal(prog_records(lab), 0);
	}
	assert_int_equal(REASON(NO_FLOW), ROWS(in));
	/* a flow's own answer comes back all the same */
	strcpy(source, source_of(lab, "10.44.23.1", 6000, FAR4));
	SEND(INGRESS, NEXT, PKT(UDP, OUT(FAR4, 53, source, 6000)),
	     PKT(UDP, OUT(FAR4, 53, "10.44.23.1", 6000)));
	/* netfilter's answer from one of them (a DNAT there) is netfilter's */
	SEND_AS(true,
		PKT(TCP, OUT("203.0.113.66", 80, FAR4, 999),
		    .flags = SYN | ACK),
		PKT(TCP, OUT("203.0.113.66", 80, FAR4, 999),
		    .flags = SYN | ACK));
	/* a pod may speak to them: they may be another node's by now */
	SEND(EGRESS, NEXT, PKT(UDP, OUT("10.44.23.1", 7000, "203.0.113.70", 9)),
	     PKT(UDP, OUT(source, 7000, "203.0.113.70", 9)));
	bpf_map_delete_elem(prog_map(lab, "masq_nets"), &key);
}

/* Slots that say nothing, or more than there is: refused, nothing leaks. */
static void a_pool_that_is_damaged(void **state)
{
	static const struct range none[] = { { "203.0.113.64", 0 } };
	struct prog_lab *lab = *state;

	use_pool(lab, 10, none, 1);
	SEND(EGRESS, DROP, PKT(UDP, OUT("10.44.24.1", 1, FAR4, 53)), NULL);
	use_pool(lab, 253, small_pool, 1);
	for (int ranges = 2; ranges < 256; ranges += 127) {
		struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS,
					    .set = MASQ_SET_DST4 };
		struct masq_lpm_value value = { .action = MASQ_MASQUERADE,
						.snat = MASQ_SNAT(253,
								  ranges) };

		bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key, &value,
				    0);
		SEND(EGRESS, DROP, PKT(UDP, OUT("10.44.24.1", 1, FAR4, 53)),
		     NULL);
	}
	assert_int_equal(REASON(NO_ADDRESS), 3);
}

/* E1, where no route says that the address is elsewhere. */
static void E1_an_address_goes_without_a_route(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_addr addr = {};
	struct masq_iface iface = {};
	uint32_t one = 1, up = lab->up;
	const struct packet out = { UDP, OUT(POD4, 5000, FAR4, 53) };

	prog_needs_forwarding(lab);
	sh("ip route del default; ip route add 198.51.100.0/24 dev up0");
	if (getenv("MASQ_TEST_FIB_SRC"))
		sh("ip addr add 10.150.0.1/32 dev up0;"
		   "ip route change 198.51.100.0/24 dev up0 src 10.150.0.1");
	inet_pton(AF_INET, "10.150.0.1", addr.a);
	iface.addr4 = addr.a[0];
	bpf_map_update_elem(prog_map(lab, "masq_local"), &addr, &one, 0);
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
	SEND(EGRESS, NEXT, &out, PKT(UDP, OUT("10.150.0.1", 5000, FAR4, 53)));
	prog_age(lab, 20);
	SEND(EGRESS, NEXT, &out, PKT(UDP, OUT("10.150.0.1", 5000, FAR4, 53)));
	/* it goes, and user space says so */
	if (getenv("MASQ_TEST_FIB_SRC"))
		sh("ip route change 198.51.100.0/24 dev up0;"
		   "ip addr del 10.150.0.1/32 dev up0");
	bpf_map_delete_elem(prog_map(lab, "masq_local"), &addr);
	inet_pton(AF_INET, NODE4, &iface.addr4);
	bpf_map_update_elem(prog_map(lab, "masq_ifaces"), &up, &iface, 0);
	prog_age(lab, 20);
	SEND(EGRESS, DROP, &out, NULL);
	assert_int_equal(REASON(NO_ADDRESS), 1);
	SEND(EGRESS, NEXT, &out, PKT(UDP, OUT(NODE4, 5000, FAR4, 53)));
	/* (198.51.100.0/24 goes with the address that it named, or here) */
	sh("ip route del 198.51.100.0/24 2>/dev/null; ip route add default via 10.142.0.1 dev up0");
}

/* --- inbound ------------------------------------------------------------------ */

static void inbound(struct prog_lab *lab)
{
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 7000, POD4, 5432), .flags = SYN, .seq = 1),
	     NULL);
	SEND(EGRESS, NEXT,
	     PKT(TCP, OUT(POD4, 5432, FAR4, 7000), .flags = SYN | ACK,
		 .ack = 2),
	     NULL);
	SEND(INGRESS, NEXT,
	     PKT(TCP, OUT(FAR4, 7000, POD4, 5432), .flags = ACK, .ack = 1),
	     NULL);
}

/* A database that speaks first after a quiet night. */
static void an_idle_connection_from_outside_goes_on(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet notify = { TCP, OUT(POD4, 5432, FAR4, 7000),
				       .flags = ACK | PSH, .ack = 2,
				       .length = 6 };

	inbound(lab);
	prog_age(lab, 20000); /* tcpEstablished is 7440 s */
	for (int i = 0; i < 2; i++)
		SEND(EGRESS, NEXT, &notify, &notify);
	prog_age(lab, 7000); /* it counts as live again */
	SEND(EGRESS, NEXT, &notify, &notify);
	assert_int_equal(prog_records(lab), 1);
	/* but a closed one, or one that nobody answered, does not */
	prog_lab_reset(state);
	inbound(lab);
	SEND(EGRESS, NEXT, PKT(TCP, OUT(POD4, 5432, FAR4, 7000), .flags = RST),
	     NULL);
	prog_age(lab, 20000);
	SEND(EGRESS, NEXT, &notify, NULL); /* E6 */
	assert_int_equal(lab->frame[27], 142);
	assert_int_equal(prog_records(lab), 2);
	EXPECT_TOTALS();
}

/* What comes in by an interface that is not attached. */
static void other_becomes(struct prog_lab *lab, const struct packet *p,
			  const struct packet *want)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);
	int up = lab->up;

	lab->up = if_nametoindex("up1");
	prog_run_raw(lab, "masq_beside", false, frame, length, 0, 0);
	lab->up = up;
	prog_expect(lab, NEXT, want, __FILE__, __LINE__);
}

/* Not touched. */
static void other(struct prog_lab *lab, const struct packet *p)
{
	other_becomes(lab, p, p);
}

static void second_card(struct prog_lab *lab)
{
	uint32_t up;

	second_uplink(lab, MOVED4);
	up = if_nametoindex("up1");
	bpf_map_delete_elem(prog_map(lab, "masq_ifaces"), &up);
	sh("sysctl -qw net.ipv6.conf.up1.forwarding=1;"
	   "ip -6 addr add fd00:143::6/64 dev up1 nodad");
}

/* I4, by another card: the answer keeps its address, E2. */
static void what_comes_in_elsewhere_is_answered_as_it_asked(void **state)
{
	static const struct {
		const char *far, *in, *near; /* near: behind the other card */
	} rows[] = {
		{ FAR4, POD4, "10.143.0.99" },
		{ FAR4, "203.0.113.80", "10.143.0.99" }, /* VIP */
		{ FAR6, POD6, "fd00:143::99" },
	};
	struct prog_lab *lab = *state;

	second_card(lab);
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct packet udp = { UDP, OUT(rows[i].in, 80,
						     rows[i].far, 7000) };
		const struct packet tcp = {
			TCP, OUT(rows[i].in, 80, rows[i].far, 7000),
			.flags = SYN | ACK
		};

		prog_lab_reset(state);
		second_card_known(lab);
		other(lab, PKT(UDP, OUT(rows[i].far, 7000, rows[i].in, 80)));
		SEND(EGRESS, NEXT, &udp, &udp);
		other(lab, PKT(TCP, OUT(rows[i].far, 7000, rows[i].in, 80),
			       .flags = SYN));
		SEND(EGRESS, NEXT, &tcp, &tcp);
		assert_int_equal(prog_records(lab), 2);
		/* whoever lives there is answered there */
		other(lab, PKT(UDP, OUT(rows[i].near, 7000, rows[i].in, 81)));
		other(lab, PKT(UDP, OUT(rows[i].near, 7000, rows[i].in, 82)));
		assert_int_equal(prog_records(lab), 2);
	}
	no_second_uplink(lab);
}

/* One client within a second, and pods and ports whose answers have other ways. */
static void what_comes_in_elsewhere_has_a_way_of_its_own(void **state)
{
	struct prog_lab *lab = *state;
	const struct packet udp = { UDP, OUT(POD4, 80, FAR4, 7000) };

	second_card(lab);
	prog_lab_reset(state);
	second_card_known(lab);
	sh("ip route add default via 10.143.0.99 dev up1 table 78;"
	   "ip rule add from 10.44.14.77 lookup 78;"
	   "ip rule add ipproto udp sport 81 lookup 78");
	for (int i = 0; i < 2; i++) {
		other(lab, PKT(UDP, OUT(FAR4, 7000, "10.44.14.77", 80)));
		other(lab, PKT(UDP, OUT(FAR4, 7000, POD4, 81)));
		assert_int_equal(prog_records(lab), i);
		other(lab, PKT(UDP, OUT(FAR4, 7000, POD4, 80)));
		assert_int_equal(prog_records(lab), 1);
	}
	SEND(EGRESS, NEXT, &udp, &udp);
	sh("ip rule del lookup 78; ip rule del lookup 78;"
	   "ip route flush table 78");
	no_second_uplink(lab);
}

/* I1, by another card than the flow left by. */
static void what_answers_a_pod_elsewhere_reaches_it(void **state)
{
	static const struct {
		const char *pod, *node, *far;
		uint8_t icmp, unreachable;
	} rows[] = { { POD4, NODE4, FAR4, IPPROTO_ICMP, 3 },
		     { POD6, NODE6, FAR6, IPPROTO_ICMPV6, 1 } };
	struct prog_lab *lab = *state;

	second_card(lab);
	for (size_t i = 0; i < ROWS(rows); i++) {
		const struct packet out = { UDP, OUT(rows[i].pod, 5000,
						     rows[i].far, 53) };
		const struct packet seen = { UDP, OUT(rows[i].node, 5000,
						      rows[i].far, 53) };

		prog_lab_reset(state);
		second_card_known(lab);
		SEND(EGRESS, NEXT, &out, &seen);
		other_becomes(
			lab, PKT(UDP, OUT(rows[i].far, 53, rows[i].node, 5000)),
			PKT(UDP, OUT(rows[i].far, 53, rows[i].pod, 5000)));
		/* an error on the way back, about what left */
		other_becomes(
			lab,
			PKT(.proto = rows[i].icmp, .flags = rows[i].unreachable,
			    .code = 3, .src = rows[i].far, .dst = rows[i].node,
			    .quoted = &seen),
			PKT(.proto = rows[i].icmp, .flags = rows[i].unreachable,
			    .code = 3, .src = rows[i].far, .dst = rows[i].pod,
			    .quoted = &out));
		/* a VLAN's, whose own hook it meets */
		other(lab, PKT(UDP, OUT(rows[i].far, 53, rows[i].node, 5000),
			       .vlan = 5));
		/* of another port, or by somebody else: the node's */
		other(lab, PKT(UDP, OUT(rows[i].far, 53, rows[i].node, 5001)));
		other(lab, PKT(UDP, OUT(rows[i].far, 54, rows[i].node, 5000)));
		assert_int_equal(prog_records(lab), 2);
	}
	no_second_uplink(lab);
}

/* It makes no record of the node's traffic or a pod's, nor by an address that
 * it would have to be sent back to. */
static void a_watch_is_not_fooled(void **state)
{
	struct prog_lab *lab = *state;

	second_card(lab);
	prog_lab_reset(state);
	second_card_known(lab);
	other(lab, PKT(UDP, OUT(FAR4, 7000, NODE4, 80)));
	other(lab, PKT(UDP, OUT(FAR4, 7000, "224.0.0.9", 80)));
	/* a neighbour there pretends to be asked from outside */
	other(lab, PKT(UDP, OUT(FAR4, 7000, "10.143.0.99", 80)));
	other(lab, PKT(TCP, OUT(FAR4, 7000, POD4, 80), .flags = SYN | ACK));
	assert_int_equal(prog_records(lab), 0);
	/* a pod's flow stays what it is */
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 80, FAR4, 7000)),
	     PKT(UDP, OUT(NODE4, 80, FAR4, 7000)));
	other(lab, PKT(UDP, OUT(FAR4, 7000, POD4, 80)));
	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 80, FAR4, 7000)),
	     PKT(UDP, OUT(NODE4, 80, FAR4, 7000)));
	other(lab, PKT(UDP, OUT(POD4, 9, KEPT4, 7000)));
	assert_int_equal(prog_records(lab), 2);
	no_second_uplink(lab);
}

#define SOURCE_ROWS 2
#define ROW(f)	    cmocka_unit_test_setup(f, prog_lab_reset)

static bool kernel_is(int major, int minor)
{
	struct utsname name;
	int x = 0, y = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &x, &y);
	return x > major || (x == major && y >= minor);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name, *object;
		bool source; /* the FIB tells it */
	} labs[] = {
		{ "modern, source from the FIB", "modern", true },
		{ "modern", "modern", false },
		{ "legacy", "legacy", false },
	};
	const struct CMUnitTest tests[] = {
		ROW(the_way_out_may_be_in_any_table),
		ROW(an_ipv6_route_may_be_for_one_source),
		ROW(what_a_route_alone_makes_local_is_local),
		ROW(an_old_set_makes_no_pod_the_nodes),
		ROW(a_pod_is_one_without_an_interface_too),
		ROW(fragments_made_here_are_the_pods),
		ROW(an_address_that_is_not_there_is_the_nodes),
		ROW(a_route_to_a_pod_is_found),
		ROW(podCIDRs_name_pods_without_a_route),
		ROW(link_local_pods_are_named),
		ROW(an_error_of_a_pod_without_an_interface),
		ROW(a_protocol_without_ports_is_the_nodes),
		ROW(what_comes_in_alone_keeps_no_tunnel),
		ROW(a_port_of_netfilter_is_no_pods),
		ROW(a_ping_of_the_node_keeps_its_answer),
		ROW(an_association_of_the_node_is_no_pods),
		ROW(sockets_need_no_reservation),
		ROW(E1b_a_flow_goes_where_its_route_goes),
		ROW(E1b_a_flow_that_keeps_its_address_goes_on),
		ROW(E1b_a_fixed_address_stays),
		ROW(a_pod_has_one_of_several_addresses),
		ROW(a_pod_keeps_its_address),
		ROW(a_pool_of_ipv6),
		ROW(explain_knows_which_of_several),
		ROW(nobody_elsewhere_has_the_addresses),
		ROW(a_pool_that_is_damaged),
		ROW(E1_an_address_goes_without_a_route),
		ROW(an_idle_connection_from_outside_goes_on),
		ROW(what_comes_in_elsewhere_is_answered_as_it_asked),
		ROW(what_comes_in_elsewhere_has_a_way_of_its_own),
		ROW(what_answers_a_pod_elsewhere_reaches_it),
		ROW(a_watch_is_not_fooled),
		/* where the FIB tells; SOURCE_ROWS */
		ROW(the_routes_source_is_the_source),
		ROW(the_routes_source_goes_by_the_mark),
	};
	const size_t usual = ROWS(tests) - SOURCE_ROWS;

	const char *only = getenv("MASQ_TEST_OBJECT");
	int failed = 0;

	only = only ? strdup(only) : NULL;
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < ROWS(labs); i++) {
		size_t n = usual + (labs[i].source ? SOURCE_ROWS : 0);

		if (only && strcmp(only, labs[i].object))
			continue;
		if (!prog_loads(labs[i].object, tests, n))
			continue;
		if (labs[i].source && !kernel_is(6, 10)) {
			printf("# %s: this kernel's FIB does not tell\n",
			       labs[i].name);
			continue;
		}
		setenv("MASQ_TEST_OBJECT", labs[i].object, 1);
		unsetenv("MASQ_TEST_FIB_SRC");
		unsetenv("MASQ_TEST_FIB_MARK");
		if (labs[i].source) {
			setenv("MASQ_TEST_FIB_SRC", "1", 1);
			setenv("MASQ_TEST_FIB_MARK", "1", 1);
		}
		failed += _cmocka_run_group_tests(labs[i].name, tests, n,
						  prog_lab_up, prog_lab_down);
	}
	return failed;
}

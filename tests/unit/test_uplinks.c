// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_uplinks.c - which interfaces `auto` takes: a node's links and routes,
 * and the names that come out. Bonds and VLANs as any kernel has them.
 */
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rows.h"
#include "base/cidr.h"
#include "kernel/netdev.h"
#include "policy/policy.h"
#include "policy/uplinks.h"

struct link {
	const char *name, *kind, *master, *lower;
	uint16_t type; /* 0: Ethernet */
};

struct route {
	const char *dst, *dev, *via; /* via NULL: on the link */
};

struct node {
	const char *title;
	struct link links[8];
	struct route routes[8];
	const char *pods; /* podCIDRs; NULL: none */
	bool ipv6;
	const char *want;
};

/* Kept are 10.0.0.0/8 and 192.168.0.0/16; all else is masqueraded. */
static const struct node nodes[] = {
	{
		.title = "one uplink, its pods' veths and routes",
		.links = { { "eth0" }, { "veth1", "veth" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "10.142.0.0/20", "eth0" },
			    { "172.20.0.5/32", "veth1" } },
		.want = "eth0",
	},
	{
		.title = "a VPN beside it, where the incident went out",
		.links = { { "eth0" }, { "wg0", "wireguard" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.30.0.0/16", "wg0" } },
		.want = "eth0 wg0",
	},
	{
		.title = "a second network that is kept",
		.links = { { "eth0" }, { "eth1" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "10.9.0.0/16", "eth1" } },
		.want = "eth0",
	},
	{
		.title = "a bond, and never its parts",
		.links = { { "eth0", "", "bond0" },
			   { "eth1", "", "bond0" },
			   { "bond0", "bond" } },
		.routes = { { "0.0.0.0/0", "bond0", "10.142.0.1" },
			    { "172.30.0.0/16", "eth0", "10.142.0.9" } },
		.want = "bond0",
	},
	{
		.title = "a VLAN whose parent leads nowhere",
		.links = { { "eth0" }, { "eth0.7", "vlan", NULL, "eth0" } },
		.routes = { { "0.0.0.0/0", "eth0.7", "10.142.0.1" },
			    { "10.1.0.0/24", "eth0" } },
		.want = "eth0.7",
	},
	{
		.title = "a VLAN and its parent: the parent sees both",
		.links = { { "eth0" }, { "eth0.7", "vlan", NULL, "eth0" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.30.0.0/16", "eth0.7", "10.7.0.1" } },
		.want = "eth0",
	},
	{
		.title = "a macvlan and its parent: each has its own address",
		.links = { { "eth0" },
			   { "mac0", "macvlan", NULL, "eth0" },
			   { "ipv0", "ipvlan", NULL, "eth0" },
			   { "mac0.7", "vlan", NULL, "mac0" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.30.0.0/16", "mac0", "10.142.0.1" },
			    { "172.31.0.0/16", "ipv0", "10.142.0.1" },
			    { "172.29.0.0/16", "mac0.7", "10.7.0.1" } },
		.want = "eth0 mac0 ipv0",
	},
	{
		.title = "a VLAN on a bond",
		.links = { { "eth0", "", "bond0" },
			   { "bond0", "bond" },
			   { "bond0.7", "vlan", NULL, "bond0" } },
		.routes = { { "0.0.0.0/0", "bond0.7", "10.142.0.1" } },
		.want = "bond0.7",
	},
	{
		.title = "a VLAN in a VLAN, the outermost parent an uplink",
		.links = { { "eth0" },
			   { "eth0.7", "vlan", NULL, "eth0" },
			   { "eth0.7.8", "vlan", NULL, "eth0.7" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.30.0.0/16", "eth0.7.8", "10.7.0.1" } },
		.want = "eth0",
	},
	{
		.title = "a bridge of pods in masqueraded space",
		.links = { { "eth0" },
			   { "cni0", "bridge" },
			   { "veth1", "veth", "cni0" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.20.0.0/24", "cni0" } },
		.want = "eth0",
	},
	{
		.title = "a VPN's peers, one host each, and a pod's tap",
		.links = { { "eth0" },
			   { "wg0", "wireguard", NULL, NULL, ARPHRD_NONE },
			   { "gre1", "gre", NULL, NULL, ARPHRD_IPGRE },
			   { "tap1", "tun" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "203.0.113.9/32", "wg0" },
			    { "203.0.113.10/32", "gre1" },
			    { "203.0.113.11/32", "tap1" } },
		.want = "eth0 wg0 gre1",
	},
	{
		.title = "a VPN's peer that is kept",
		.links = { { "eth0" },
			   { "wg0", "wireguard", NULL, NULL, ARPHRD_NONE } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "10.9.0.1/32", "wg0" } },
		.want = "eth0",
	},
	{
		.title = "a bridge with a card in it, and its network",
		.links = { { "eth0" },
			   { "br1", "bridge" },
			   { "eth1", "", "br1" },
			   { "veth1", "veth", "br1" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "203.0.113.0/24", "br1" } },
		.want = "eth0 br1",
	},
	{
		.title = "a bridge of pods with a card in it, by podCIDRs",
		.links = { { "eth0" },
			   { "br1", "bridge" },
			   { "eth1", "", "br1" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "203.0.113.0/24", "br1" } },
		.pods = "203.0.113.0/24",
		.want = "eth0",
	},
	{
		.title = "a bridge of machines, and what holds its address",
		.links = { { "eth0" },
			   { "virbr0", "bridge" },
			   { "virbr0-nic", "dummy", "virbr0" },
			   { "vnet0", "tun", "virbr0" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "203.0.113.0/24", "virbr0" } },
		.want = "eth0",
	},
	{
		.title = "a bridge that is the uplink",
		.links = { { "eth0", "", "br0" }, { "br0", "bridge" } },
		.routes = { { "0.0.0.0/0", "br0", "10.142.0.1" } },
		.want = "br0",
	},
	{
		.title =
			"a bridge that is the uplink, by way of IPv6 (RFC 8950)",
		.links = { { "eth0", "", "br0" }, { "br0", "bridge" } },
		.routes = { { "0.0.0.0/0", "br0", "fe80::1" } },
		.want = "br0",
	},
	{
		.title = "a bridge that all the world lies on",
		.links = { { "eth0", "", "br0" }, { "br0", "bridge" } },
		.routes = { { "0.0.0.0/0", "br0" } },
		.want = "br0",
	},
	{
		.title = "an uplink in a VRF",
		.links = { { "eth0", "", "red" }, { "red", "vrf" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" } },
		.want = "eth0",
	},
	{
		.title = "an overlay to other nodes' pods",
		.links = { { "eth0" }, { "flannel.1", "vxlan" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "172.20.1.0/24", "flannel.1", "172.20.1.0" } },
		.pods = "172.20.0.0/16",
		.want = "eth0",
	},
	{
		.title = "IPv6 alone, while it is not translated",
		.links = { { "eth0" }, { "eth1" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "::/0", "eth1", "fe80::1" },
			    { "fe80::/64", "eth1" } },
		.want = "eth0",
	},
	{
		.title = "IPv6 alone, translated",
		.links = { { "eth0" }, { "eth1" }, { "veth1", "veth" } },
		.routes = { { "0.0.0.0/0", "eth0", "10.142.0.1" },
			    { "::/0", "eth1", "fe80::1" },
			    { "ff00::/8", "veth1" },
			    { "fe80::/64", "veth1" },
			    { "fd00::5/128", "veth1" } },
		.ipv6 = true,
		.want = "eth0 eth1",
	},
	{
		.title = "nothing leads out",
		.links = { { "eth0" } },
		.routes = { { "10.0.0.0/8", "eth0" } },
		.want = "",
	},
};

static void add(struct policy *policy, uint8_t list, uint8_t action,
		const char *text)
{
	struct policy_entry entry = { .list = list,
				      .action = action,
				      .slot = UINT32_MAX };

	assert_int_equal(cidr_parse(text, &entry.cidr, NULL, 0), 0);
	assert_int_equal(policy_append(policy, &entry), 0);
}

static uint32_t index_of(const struct node *node, const char *name)
{
	for (uint32_t i = 0; name && i < 8 && node->links[i].name; i++)
		if (!strcmp(node->links[i].name, name))
			return i + 2; /* 1 is lo */
	assert_null(name);
	return 0;
}

static void check(void **state)
{
	const struct node *node = *state;
	struct netdev_link links[9] = {
		{ .ifindex = 1, .name = "lo", .type = ARPHRD_LOOPBACK }
	};
	struct netdev_route routes[9] = { { .ifindex = 1 } };
	struct netdev netdev = { .links = links,
				 .link_count = 1,
				 .routes = routes,
				 .route_count = 1 };
	struct policy *policy = calloc(1, sizeof(*policy));
	char got[128] = "";

	assert_non_null(policy);
	add(policy, MASQ_L_DST, MASQ_KEEP, "10.0.0.0/8");
	add(policy, MASQ_L_DST, MASQ_KEEP, "192.168.0.0/16");
	if (node->pods)
		add(policy, MASQ_L_POD, MASQ_MASQUERADE, node->pods);
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	policy->head.flags = node->ipv6 ? MASQ_P_IPV6 : 0;

	/* lo has a route into masqueraded space, and is no uplink */
	assert_int_equal(cidr_parse("127.0.0.0/8", &routes[0].dst, NULL, 0), 0);
	for (int i = 0; i < 8 && node->links[i].name; i++) {
		const struct link *link = &node->links[i];
		struct netdev_link *l = &links[netdev.link_count++];

		l->ifindex = i + 2;
		l->type = link->type ?: ARPHRD_ETHER;
		l->up = true;
		snprintf(l->name, sizeof(l->name), "%s", link->name);
		snprintf(l->kind, sizeof(l->kind), "%s", link->kind ?: "");
		l->master = index_of(node, link->master);
		l->lower = index_of(node, link->lower);
	}
	for (int i = 0; i < 8 && node->routes[i].dst; i++) {
		const struct route *route = &node->routes[i];
		struct netdev_route *r = &routes[netdev.route_count++];

		assert_int_equal(cidr_parse(route->dst, &r->dst, NULL, 0), 0);
		r->ifindex = index_of(node, route->dev);
		if (route->via)
			assert_int_equal(addr_parse(route->via, &r->gateway,
						    NULL, 0),
					 0);
	}
	for (size_t i = 0; i < netdev.link_count; i++)
		if (uplink_wanted(&netdev, policy, &links[i]))
			snprintf(got + strlen(got), sizeof(got) - strlen(got),
				 "%s%s", *got ? " " : "", links[i].name);
	policy_free(policy);
	assert_string_equal(got, node->want);
}

int main(void)
{
	struct CMUnitTest tests[sizeof(nodes) / sizeof(nodes[0])];

	for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++)
		tests[i] = (struct CMUnitTest){
			.name = nodes[i].title,
			.test_func = check,
			.initial_state = (void *)&nodes[i],
		};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_netdev.c - which address would the kernel masquerade to? Nodes as
 * tables; link 1 is lo, 2 the uplink, 3 another link.
 */
#include "rows.h"
#include <arpa/inet.h>
#include <net/if_arp.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include "kernel/netdev.h"

#define UPLINK 2

struct test_addr {
	uint32_t ifindex;
	const char *text;
	uint8_t plen, scope;
	uint32_t flags;
};

struct test_route {
	uint32_t ifindex;
	uint8_t family, plen;
	const char *gateway, *prefsrc;
	uint32_t table, metric;
};

static const struct {
	const char *name;
	uint8_t family;
	struct test_addr addrs[6];
	struct test_route routes[4];
	const char *want; /* NULL: none */
} rows[] = {
	{ "the first address",
	  4,
	  { { 1, "127.0.0.1", 8, RT_SCOPE_HOST, 0 },
	    { 3, "10.9.0.1", 24, 0, 0 },
	    { 2, "10.1.0.6", 24, 0, 0 },
	    { 2, "10.2.0.6", 24, 0, 0 } },
	  {},
	  "10.1.0.6" },
	{ "never a secondary one",
	  4,
	  { { 2, "10.1.0.7", 24, 0, IFA_F_SECONDARY },
	    { 2, "10.1.0.6", 24, 0, 0 } },
	  {},
	  "10.1.0.6" },
	{ "the subnet of the gateway",
	  4,
	  { { 2, "10.1.0.6", 24, 0, 0 }, { 2, "10.2.0.6", 24, 0, 0 } },
	  { { 2, 4, 0, "10.2.0.1", NULL, RT_TABLE_MAIN, 0 } },
	  "10.2.0.6" },
	{ "a gateway in nobody's subnet",
	  4,
	  { { 2, "10.1.0.6", 32, 0, 0 }, { 2, "10.2.0.6", 32, 0, 0 } },
	  { { 2, 4, 0, "169.254.1.1", NULL, RT_TABLE_MAIN, 0 } },
	  "10.1.0.6" },
	{ "the route's preferred source",
	  4,
	  { { 2, "10.1.0.6", 24, 0, 0 } },
	  { { 2, 4, 0, "10.1.0.1", "10.7.7.7", RT_TABLE_MAIN, 0 } },
	  "10.7.7.7" },
	{ "of the cheapest default route",
	  4,
	  { { 2, "10.1.0.6", 24, 0, 0 } },
	  { { 2, 4, 0, "10.1.0.1", "10.7.7.1", RT_TABLE_MAIN, 100 },
	    { 2, 4, 0, "10.1.0.1", "10.7.7.2", RT_TABLE_MAIN, 50 },
	    { 2, 4, 0, "10.1.0.1", "10.7.7.3", 77, 0 },
	    { 3, 4, 0, "10.1.0.1", "10.7.7.4", RT_TABLE_MAIN, 0 } },
	  "10.7.7.2" },
	{ "not of a route to elsewhere",
	  4,
	  { { 2, "10.1.0.6", 24, 0, 0 } },
	  { { 2, 4, 8, NULL, "10.7.7.7", RT_TABLE_MAIN, 0 } },
	  "10.1.0.6" },
	{ "an uplink without address: lo first",
	  4,
	  { { 3, "10.9.0.1", 24, 0, 0 },
	    { 1, "127.0.0.1", 8, RT_SCOPE_HOST, 0 },
	    { 1, "10.8.0.1", 32, 0, 0 } },
	  {},
	  "10.8.0.1" },
	{ "an uplink without address: another link",
	  4,
	  { { 1, "127.0.0.1", 8, RT_SCOPE_HOST, 0 },
	    { 3, "10.9.0.1", 24, 0, 0 } },
	  {},
	  "10.9.0.1" },
	{ "link scope does not do",
	  4,
	  { { 2, "169.254.0.6", 16, RT_SCOPE_LINK, 0 } },
	  {},
	  NULL },
	{ "the other family does not do",
	  4,
	  { { 2, "2001:db8::6", 64, 0, 0 } },
	  {},
	  NULL },
	{ "v6: global before unique local",
	  6,
	  { { 2, "fe80::6", 64, RT_SCOPE_LINK, 0 },
	    { 2, "fd00::6", 64, 0, 0 },
	    { 2, "2001:db8::6", 64, 0, 0 } },
	  {},
	  "2001:db8::6" },
	{ "v6: unique local when there is no other",
	  6,
	  { { 2, "fe80::6", 64, RT_SCOPE_LINK, 0 },
	    { 2, "fd00::6", 64, 0, 0 } },
	  {},
	  "fd00::6" },
	{ "v6: not deprecated, not tentative",
	  6,
	  { { 2, "2001:db8::1", 64, 0, IFA_F_DEPRECATED },
	    { 2, "2001:db8::2", 64, 0, IFA_F_TENTATIVE },
	    { 2, "2001:db8::3", 64, 0, IFA_F_DADFAILED },
	    { 2, "2001:db8::4", 64, 0, 0 } },
	  {},
	  "2001:db8::4" },
	{ "v6: optimistic is good enough",
	  6,
	  { { 2, "2001:db8::2", 64, 0, IFA_F_TENTATIVE | IFA_F_OPTIMISTIC } },
	  {},
	  "2001:db8::2" },
	{ "v6: public before temporary",
	  6,
	  { { 2, "2001:db8::7", 64, 0, IFA_F_TEMPORARY },
	    { 2, "2001:db8::6", 64, 0, 0 } },
	  {},
	  "2001:db8::6" },
	{ "v6: deprecated rather than none",
	  6,
	  { { 2, "2001:db8::1", 64, 0, IFA_F_DEPRECATED } },
	  {},
	  "2001:db8::1" },
};

static struct addr to_addr(const char *text)
{
	struct addr addr = {};

	if (text)
		assert_int_equal(addr_parse(text, &addr, NULL, 0), 0);
	return addr;
}

static void source(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		struct netdev_link links[] = {
			{ .ifindex = 1,
			  .name = "lo",
			  .type = ARPHRD_LOOPBACK,
			  .up = true },
			{ .ifindex = 2,
			  .name = "eth0",
			  .type = ARPHRD_ETHER,
			  .up = true },
			{ .ifindex = 3,
			  .name = "eth1",
			  .type = ARPHRD_ETHER,
			  .up = true },
		};
		struct netdev_addr addrs[6];
		struct netdev_route routes[4];
		struct netdev node = { .links = links,
				       .link_count = 3,
				       .addrs = addrs,
				       .routes = routes };
		struct addr got = {};
		char text[CIDR_STRLEN] = "";
		bool found;

		for (size_t a = 0; a < 6 && rows[i].addrs[a].text; a++)
			addrs[node.addr_count++] = (struct netdev_addr){
				.ifindex = rows[i].addrs[a].ifindex,
				.addr = to_addr(rows[i].addrs[a].text),
				.plen = rows[i].addrs[a].plen,
				.scope = rows[i].addrs[a].scope,
				.flags = rows[i].addrs[a].flags,
			};
		for (size_t r = 0; r < 4 && rows[i].routes[r].family; r++)
			routes[node.route_count++] = (struct netdev_route){
				.ifindex = rows[i].routes[r].ifindex,
				.dst = { { .family = rows[i].routes[r].family },
					 rows[i].routes[r].plen },
				.gateway = to_addr(rows[i].routes[r].gateway),
				.prefsrc = to_addr(rows[i].routes[r].prefsrc),
				.table = rows[i].routes[r].table,
				.metric = rows[i].routes[r].metric,
			};
		found = netdev_source(&node, UPLINK, rows[i].family, &got);
		row_true(rows[i].name, found == !!rows[i].want);
		if (found)
			row_text(rows[i].name,
				 addr_format(&got, text, sizeof(text)),
				 rows[i].want);
	}
}

static void ethernet(void **state)
{
	static const struct {
		uint16_t type;
		bool want;
	} types[] = {
		{ ARPHRD_ETHER, true },	  { ARPHRD_LOOPBACK, true },
		{ ARPHRD_NONE, false },	  { ARPHRD_PPP, false },
		{ ARPHRD_TUNNEL, false }, { ARPHRD_SIT, false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(types); i++) {
		struct netdev_link link = { .type = types[i].type };

		assert_int_equal(netdev_is_ethernet(&link), types[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(source),
		cmocka_unit_test(ethernet),
	};

	return cmocka_run_group_tests_name("netdev", tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_config.c - the config file: what is accepted and how it is understood,
 * what is refused and in which words. Rows marked [ima] are ip-masq-agent's
 * own cases or behaviour.
 */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "rows.h"
#include "base/duration.h"
#include "config/config.h"
#include "config/preset.h"

#define SECOND 1000000000ULL
/* time limits are for a plain build: sanitizers and valgrind take longer;
 * gcc defines the one, clang has the other */
#ifndef __has_feature
#define __has_feature(feature) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || __has_feature(address_sanitizer)
#define SLOWNESS 10
#else
#define SLOWNESS                                                  \
	(getenv("MASQBPF_SLOW_TESTS") ? 100                       \
	 : getenv("TEST_SLOW")	      ? atoi(getenv("TEST_SLOW")) \
				      : 1)
#endif
#define THREE "10.0.0.0/8 172.16.0.0/12 192.168.0.0/16"

static const struct config_options strict = { .strict = true };

/* --- how a config is understood, in one line --------------------------- */

static void dump_list(FILE *f, const char *name,
		      const struct config_cidrs *list)
{
	char text[CIDR_STRLEN];

	if (!list->count)
		return;
	fprintf(f, "%s ", name);
	for (size_t i = 0; i < list->count; i++)
		fprintf(f, "%s%s", i ? " " : "",
			cidr_format(&list->items[i].cidr, text, sizeof(text)));
	fprintf(f, "; ");
}

static void dump_seconds(FILE *f, const char *name, uint64_t ns, uint64_t usual)
{
	if (ns != usual)
		fprintf(f, "%s %gs; ", name, (double)ns / SECOND);
}

/* The keep list, then what differs from the defaults: "10.0.0.0/8; ll; ". */
static const char *dump(const struct config *c)
{
	static const uint64_t usual[MASQ_T_MAX] = {
		7440, 240, 300, 120, 60, 600
	};
	static char buf[4096];
	FILE *f = fmemopen(buf, sizeof(buf), "w");
	char a[CIDR_STRLEN], b[POOL_STRLEN];

	buf[0] = '\0';
	if (c->preset)
		fprintf(f, "(%s) ", c->preset);
	dump_list(f, "keep", &c->keep);
	dump_list(f, "masq", &c->masquerade);
	dump_list(f, "pods", &c->pods);
	dump_list(f, "src", &c->keep_sources);
	if (c->cidr_limit != 64)
		fprintf(f, "limit %u; ", c->cidr_limit);
	fprintf(f, "%s%s%s%s%s%s%s", c->masq_link_local ? "ll; " : "",
		c->masq_link_local_ipv6 ? "ll6; " : "", c->ipv6 ? "ipv6; " : "",
		c->drop_foreign_sources ? "foreign; " : "",
		c->reject_tcp ? "reject; " : "",
		c->strict_ports ? "strict; " : "",
		c->flow_counters ? "" : "nocount; ");
	dump_seconds(f, "resync", c->resync_interval_ns, 60 * SECOND);
	if (c->port_min != 10240 || c->port_max != 65535)
		fprintf(f, "ports %u-%u; ", c->port_min, c->port_max);
	if (c->node_port_min != 30000 || c->node_port_max != 32767)
		fprintf(f, "nodeports %u-%u; ", c->node_port_min,
			c->node_port_max);
	for (size_t i = 0; i < c->snat_count; i++)
		fprintf(f, "snat %s %s; ",
			cidr_format(&c->snat[i].dest, a, sizeof(a)),
			pool_format(&c->snat[i].pool, b, sizeof(b)));
	for (int i = 0; i < MASQ_T_MAX; i++) {
		snprintf(a, sizeof(a), "t%d", i);
		dump_seconds(f, a, c->timeout_ns[i], usual[i] * SECOND);
	}
	if (c->max_flows != 262144)
		fprintf(f, "flows %u; ", c->max_flows);
	if (c->max_flows_per_pod != 65536)
		fprintf(f, "perpod %u; ", c->max_flows_per_pod);
	fclose(f);
	return buf;
}

/* --- accepted ---------------------------------------------------------- */

#define DEFAULTS "(ip-masq-agent) keep " THREE "; "

/* text, how it is understood, a part of each warning in order */
static const struct {
	const char *text, *means;
	const char *warns[4];
} good[] = {
	/* [ima] without the list: the defaults */
	{ "masqLinkLocal: true\n", DEFAULTS "ll; ", { "preset" } },
	{ "resyncInterval: 5m\n", DEFAULTS "resync 300s; ", { "preset" } },

	/* [ima] the list replaces the defaults, empty or not */
	{ "nonMasqueradeCIDRs: [172.16.0.0/12, 10.0.0.0/8]\ncidrLimit: 64\n"
	  "masqLinkLocal: true\nresyncInterval: 5s\n",
	  "keep 172.16.0.0/12 10.0.0.0/8; ll; resync 5s; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs:\n  - 192.168.0.0/16\n",
	  "keep 192.168.0.0/16; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs:\n",
	  "",
	  { ":1:1: nonMasqueradeCIDRs is empty" } },
	{ "nonMasqueradeCIDRs: []\n", "", { "nonMasqueradeCIDRs is empty" } },
	{ "nonMasqueradeCIDRs: ~\n", "", { "nonMasqueradeCIDRs is empty" } },
	{ "nonMasqueradeCIDRs: null\n", "", { "is empty" } },
	{ "cidrLimit: 0\nnonMasqueradeCIDRs: []\n", "limit 0; ", { "empty" } },

	/* [ima] the same as JSON */
	{ "{\"nonMasqueradeCIDRs\":[\"172.16.0.0/12\",\"10.0.0.0/8\"],"
	  "\"cidrLimit\":64,\"masqLinkLocal\":true,\"resyncInterval\":\"5s\"}",
	  "keep 172.16.0.0/12 10.0.0.0/8; ll; resync 5s; ",
	  { NULL } },
	{ "{\"nonMasqueradeCIDRs\":[]}", "", { "is empty" } },
	{ "{\"nonMasqueradeCIDRs\":null}", "", { "is empty" } },
	{ "{\"masqLinkLocal\":true}", DEFAULTS "ll; ", { "preset" } },
	{ "{\"resyncInterval\":\"\\u0035\\u006d\"}",
	  DEFAULTS "resync 300s; ",
	  { "preset" } },
	{ "{\"nonMasqueradeCIDRs\": [\"fc00::/7\",\"10.0.0.0/8\"]}",
	  "keep fc00::/7 10.0.0.0/8; ipv6; ",
	  { NULL } },

	/* JSON that libyaml alone would read differently or not at all */
	{ "{\"nonMasqueradeCIDRs\"\n:\n[\"10.0.0.0\\/8\"\t,\r\n"
	  "\"172.16.0.0/12\"]}\n",
	  "keep 10.0.0.0/8 172.16.0.0/12; ",
	  { NULL } },
	{ "\t{\"nonMasqueradeCIDRs\":\t[\"10.0.0.0/8\"],\t\"cidrLimit\":1}",
	  "keep 10.0.0.0/8; limit 1; ",
	  { NULL } },
	{ "{\"nonMasqueradeCIDRs\":[\"10.0.0.0/8\"],"
	  "\"x\":\"\\ud83d\\ude00 \\u007f \x7f \xe2\x80\xa8 \xc2\x85\"}",
	  "keep 10.0.0.0/8; ",
	  { ":1:38: unknown key \"x\" is ignored" } },
	/* columns are of characters, however many bytes these have */
	{ "{\"nonMasqueradeCIDRs\":[\"10.0.0.0/8\"],"
	  "\"\xc3\xa9\xe2\x82\xac\":1,\"x\":1}",
	  "keep 10.0.0.0/8; ",
	  { ":1:38: unknown key", ":1:45: unknown key \"x\"" } },
	{ "{\"nonMasqueradeCIDRs\":[\"10.0.0.0/8\"],\"cidrLimit\":3,"
	  "\"cidrLimit\":2}",
	  "keep 10.0.0.0/8; limit 2; ",
	  { ":1:52: cidrLimit is given again: the one in line 1" } },
	{ "{\"nonMasqueradeCIDRs\":[\"10.0.0.0/8\"],"
	  "\"\\u006dasqLinkLocal\":true,\"a\":{\"b\":[{},[],1.5e3,\"]}\"]}}",
	  "keep 10.0.0.0/8; ll; ",
	  { ":1:64: unknown key \"a\"" } },
	{ "\xef\xbb\xbf{\"nonMasqueradeCIDRs\":[\"10.0.0.0/8\"]}",
	  "keep 10.0.0.0/8; ",
	  { NULL } },

	/* [ima] keys in any case; TKE writes them so */
	{ "{\"NonMasqueradeCIDRs\":[\"10.0.0.0/8\"],"
	  "\"NonMasqueradeSrcCIDRs\":[\"10.44.1.0/24\"],"
	  "\"MasqLinkLocal\":true,\"MasqLinkLocalIPv6\":true,"
	  "\"ResyncInterval\":\"1m30s\"}",
	  "keep 10.0.0.0/8; src 10.44.1.0/24; ll; ll6; resync 90s; ",
	  { NULL } },
	{ "NONMASQUERADECIDRS: [10.0.0.0/8]\nmasqlinklocal: true\n",
	  "keep 10.0.0.0/8; ll; ",
	  { NULL } },

	/* [ima] YAML 1.1 */
	{ "nonMasqueradeCIDRs: []\nmasqLinkLocal: yes\n", "ll; ", { "empty" } },
	{ "nonMasqueradeCIDRs: []\nmasqLinkLocal: On\n", "ll; ", { "empty" } },
	{ "nonMasqueradeCIDRs: []\nmasqLinkLocal: y\n", "ll; ", { "empty" } },
	{ "nonMasqueradeCIDRs: []\nmasqLinkLocal: NO\n", "", { "empty" } },
	{ "nonMasqueradeCIDRs: []\nmasqLinkLocal: off\n", "", { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: 0x20\n",
	  "limit 32; ",
	  { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: 0100\n", "", { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: 0o20\n",
	  "limit 16; ",
	  { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: 0b11\n",
	  "limit 3; ",
	  { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: +1_000\n",
	  "limit 1000; ",
	  { "empty" } },
	{ "nonMasqueradeCIDRs: []\ncidrLimit: -0\n", "limit 0; ", { "empty" } },
	{ "a: &list [10.0.0.0/8]\nnonMasqueradeCIDRs: *list\npodCIDRs: *list\n",
	  "keep 10.0.0.0/8; pods 10.0.0.0/8; ",
	  { "unknown key \"a\"" } },
	{ "nonMasqueradeCIDRs: [&p 10.0.0.0/8, &p 10.0.0.0/16]\n"
	  "podCIDRs: [*p]\n",
	  "keep 10.0.0.0/8 10.0.0.0/16; pods 10.0.0.0/16; ",
	  { NULL } },
	{ "a: &base {masqLinkLocal: true, cidrLimit: 9}\n<<: *base\n"
	  "nonMasqueradeCIDRs: [10.0.0.0/8]\ncidrLimit: 8\n",
	  "keep 10.0.0.0/8; limit 8; ll; ",
	  { "unknown key \"a\"" } },
	{ "a: &a {cidrLimit: 9}\nb: &b {cidrLimit: 7, masqLinkLocal: on}\n"
	  "<<: [*a, *b]\nnonMasqueradeCIDRs: [10.0.0.0/8]\n",
	  "keep 10.0.0.0/8; limit 9; ll; ",
	  { "\"a\"", "\"b\"" } },
	{ "nonMasqueradeCIDRs: !!seq [!!str 10.0.0.0/8]\n"
	  "resyncInterval: !!str 5m\n",
	  "keep 10.0.0.0/8; resync 300s; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs:\n- '10.0.0.0/8'\n- \"172.16.0.0/12\"\n",
	  "keep 10.0.0.0/8 172.16.0.0/12; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8, # inline\n  172.16.0.0/12]\n",
	  "keep 10.0.0.0/8 172.16.0.0/12; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs:\r\n  - 10.0.0.0/8\r\nmasqLinkLocal: true\r\n",
	  "keep 10.0.0.0/8; ll; ",
	  { NULL } },
	{ "\xef\xbb\xbfnonMasqueradeCIDRs: [10.0.0.0/8]\n",
	  "keep 10.0.0.0/8; ",
	  { NULL } },
	{ "%YAML 1.1\n---\nnonMasqueradeCIDRs: [10.0.0.0/8]\n...\n",
	  "keep 10.0.0.0/8; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\n---\ncidrLimit: junk\n",
	  "keep 10.0.0.0/8; ",
	  { ":2:1: only the first document is read" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true\n"
	  "masqLinkLocal: false\n",
	  "keep 10.0.0.0/8; ",
	  { ":3:1: masqLinkLocal is given again: the one in line 2" } },
	{ "nonMasqueradeCIDRs: [10.0.0.1/8]\nNonmasqueradeCIDRs: [10.0.0.0/8]\n",
	  "keep 10.0.0.0/8; ",
	  { ":2:1: nonMasqueradeCIDRs is given again" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal:\ncidrLimit: ~\n",
	  "keep 10.0.0.0/8; ",
	  { ":2:1: masqLinkLocal has no value: the default stays",
	    ":3:1: cidrLimit has no value" } },

	/* accepted with a warning */
	{ "nonMasqueradeCIDRs: [0.0.0.0/0]\n",
	  "keep 0.0.0.0/0; ",
	  { ":1:22: nonMasqueradeCIDRs: \"0.0.0.0/0\": nothing of" } },
	{ "nonMasqueradeCIDRs: ['::/0']\n",
	  "keep ::/0; ipv6; ",
	  { "\"::/0\": nothing of this family is masqueraded" } },
	{ "nonMasqueradeCIDRs: [224.0.0.0/4, 239.1.0.0/16, ff02::/16]\n",
	  "keep 224.0.0.0/4 239.1.0.0/16 ff02::/16; ipv6; ",
	  { "\"224.0.0.0/4\" has no effect", "\"239.1.0.0/16\" has no",
	    "\"ff02::/16\" has no effect" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8, 10.0.0.0/8]\n",
	  "keep 10.0.0.0/8 10.0.0.0/8; ",
	  { ":1:34: nonMasqueradeCIDRs: \"10.0.0.0/8\" is there already" } },
	{ "nonMasqueradeCIDR: [1.0.0.0/8]\nnonMasqueradeCIDRs: []\n",
	  "",
	  { "did you mean nonMasqueradeCIDRs?", "empty" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmaskLinkLocal: true\n"
	  "portRange: 1-2\nxyzzy: 1\n\"\": 1\n",
	  "keep 10.0.0.0/8; ",
	  { ":2:1: unknown key \"maskLinkLocal\" is ignored: did you mean"
	    " masqLinkLocal?",
	    ":3:1: unknown key \"portRange\" is ignored: did you mean"
	    " snat.portRange?",
	    ":4:1: unknown key \"xyzzy\" is ignored",
	    ":5:1: unknown key \"\" is ignored" } },

	/* ours */
	{ "nonMasqueradeCIDRs: [10.0.0.0/8, 172.16.0.0/12]\n"
	  "masqueradeCIDRs: [172.30.0.0/16]\n",
	  "keep 10.0.0.0/8 172.16.0.0/12; masq 172.30.0.0/16; ",
	  { NULL } },
	{ "masqueradeCIDRs: [172.30.0.0/16]\n",
	  DEFAULTS "masq 172.30.0.0/16; ",
	  { "preset" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.0/16]\n"
	  "dropForeignSources: true\n",
	  "keep 10.0.0.0/8; pods 10.44.0.0/16; foreign; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\n"
	  "podCIDRs: [10.44.0.0/16, 100.64.0.0/10, 'fd00::/64']\n"
	  "enableIPv6: false\n",
	  "keep 10.0.0.0/8; pods 10.44.0.0/16 100.64.0.0/10 fd00::/64; ",
	  { ":2:26: podCIDRs: \"100.64.0.0/10\" is masqueraded as a",
	    "enableIPv6 is false: IPv6 passes untouched" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.44.0.0/16]\n"
	  "podCIDRs: [10.44.3.0/24]\n",
	  "keep 10.0.0.0/8; masq 10.44.0.0/16; pods 10.44.3.0/24; ",
	  { "\"10.44.3.0/24\" is masqueraded as a destination" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\ndropForeignSources: true\n",
	  "keep 10.0.0.0/8; foreign; ",
	  { ":2:21: dropForeignSources has no effect without podCIDRs" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nenableIPv6: true\n",
	  "keep 10.0.0.0/8; ipv6; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  portRange: 20000-29999\n"
	  "  nodePortRange: 31000-31999\n  rejectTCP: true\n",
	  "keep 10.0.0.0/8; reject; ports 20000-29999; nodeports 31000-31999; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {strictPorts: true}\n",
	  "keep 10.0.0.0/8; strict; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {nodePortRange: \"\"}\n",
	  "keep 10.0.0.0/8; nodeports 0-0; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {nodePortRange: none}\n",
	  "keep 10.0.0.0/8; nodeports 0-0; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {nodePortRange: }\n",
	  "keep 10.0.0.0/8; ",
	  { "snat.nodePortRange has no value" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat: {portRange: 512-65535}\n",
	  "keep 10.0.0.0/8; ports 512-65535; ",
	  { "\"512-65535\" contains system ports" } },
	/* kept: nothing leaves with them */
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - {destination: 10.1.0.0/16, address: 192.0.2.8}\n"
	  "  - {destination: 172.30.0.0/16, address: 192.0.2.9}\n",
	  "keep 10.0.0.0/8; snat 10.1.0.0/16 192.0.2.8; "
	  "snat 172.30.0.0/16 192.0.2.9; ",
	  { ":4:5: snat.addresses: \"10.1.0.0/16\" is kept (\"10.0.0.0/8\", "
	    "in line 1)" } },
	{ "snat: {addresses: [{destination: 172.30.0.0/16, "
	  "address: 192.0.2.8}]}\n",
	  DEFAULTS "snat 172.30.0.0/16 192.0.2.8; ",
	  { "preset ip-masq-agent applies",
	    "is kept (\"172.16.0.0/12\", in the preset ip-masq-agent" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqueradeCIDRs: [10.1.2.0/24]\n"
	  "snat: {addresses: [{destination: 10.1.0.0/16, "
	  "address: 192.0.2.8}]}\n",
	  "keep 10.0.0.0/8; masq 10.1.2.0/24; snat 10.1.0.0/16 192.0.2.8; ",
	  { NULL } },
	/* pods' own: all of them, the first, the last, some in the middle */
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.0/16]\n"
	  "snat: {addresses: [10.44.14.0/24]}\n",
	  "keep 10.0.0.0/8; pods 10.44.0.0/16; snat 0.0.0.0/0 10.44.14.0/24; ",
	  { "\"10.44.14.0/24\" lies in podCIDRs (10.44.0.0/16)" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.0/28]\n"
	  "snat: {addresses: [10.43.255.250-10.44.0.0]}\n",
	  "keep 10.0.0.0/8; pods 10.44.0.0/28; "
	  "snat 0.0.0.0/0 10.43.255.250-10.44.0.0; ",
	  { "lies in podCIDRs (10.44.0.0/28)" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.0/28]\n"
	  "snat: {addresses: [10.44.0.15-10.44.0.20]}\n",
	  "keep 10.0.0.0/8; pods 10.44.0.0/28; "
	  "snat 0.0.0.0/0 10.44.0.15-10.44.0.20; ",
	  { "lies in podCIDRs (10.44.0.0/28)" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.16/30]\n"
	  "snat: {addresses: [10.44.0.0/24]}\n",
	  "keep 10.0.0.0/8; pods 10.44.0.16/30; snat 0.0.0.0/0 10.44.0.0/24; ",
	  { "lies in podCIDRs (10.44.0.16/30)" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\npodCIDRs: [10.44.0.16/30]\n"
	  "snat: {addresses: [10.44.0.20-10.44.0.30, 10.44.0.0/28]}\n",
	  "keep 10.0.0.0/8; pods 10.44.0.16/30; "
	  "snat 0.0.0.0/0 10.44.0.0/28, 10.44.0.20-10.44.0.30; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - 10.142.0.100\n"
	  "  - destination: 172.30.0.0/16\n    address: 10.142.0.101\n"
	  "  - {Address: fd00::1}\n",
	  "keep 10.0.0.0/8; ipv6; snat 0.0.0.0/0 10.142.0.100; "
	  "snat 172.30.0.0/16 10.142.0.101; snat ::/0 fd00::1; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\n"
	  "snat: {addresses: [10.1.1.1, 10.1.1.1]}\n",
	  "keep 10.0.0.0/8; snat 0.0.0.0/0 10.1.1.1; ",
	  { "snat.addresses: \"10.1.1.1\" is there already" } },
	/* several for one destination: in one item, or in as many as wanted */
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - 192.0.2.8\n  - 192.0.2.16/30\n  - 192.0.2.20-192.0.2.27\n",
	  "keep 10.0.0.0/8; snat 0.0.0.0/0 192.0.2.8, 192.0.2.16-192.0.2.27; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - destination: 172.30.0.0/16\n"
	  "    address: [192.0.2.9, 192.0.2.8, 192.0.2.64/26]\n"
	  "  - {address: ['2001:db8::10/124', 2001:db8::1-2001:db8::3]}\n",
	  "keep 10.0.0.0/8; ipv6; "
	  "snat 172.30.0.0/16 192.0.2.8/31, 192.0.2.64/26; "
	  "snat ::/0 2001:db8::1-2001:db8::3, 2001:db8::10/124; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - {destination: 172.30.0.0/16, address: 192.0.2.9}\n"
	  "  - 192.0.2.1\n"
	  "  - {destination: 172.30.0.0/16, address: [192.0.2.8/31]}\n"
	  "  - {destination: 172.30.0.0/16, address: 192.0.2.11}\n",
	  "keep 10.0.0.0/8; snat 172.30.0.0/16 192.0.2.8/31, 192.0.2.11; "
	  "snat 0.0.0.0/0 192.0.2.1; ",
	  { "snat.addresses: \"192.0.2.8/31\" is there already" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\n  addresses:\n"
	  "  - {address: [10.1.1.1, 10.1.1.0/31]}\n  - 10.9.0.0/17\n",
	  "keep 10.0.0.0/8; snat 0.0.0.0/0 10.1.1.0/31, 10.9.0.0/17; ",
	  { "snat.addresses.address: \"10.1.1.0/31\" is there already" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nsnat:\ntimeouts: {}\n",
	  "keep 10.0.0.0/8; ",
	  { ":2:1: snat has no value" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\ntimeouts: {tcpEstablished: 5h, "
	  "tcpTransitory: 30s, udp: 2s, UDPUnreplied: 1.5s, icmp: 1m1s, "
	  "other: 500ms}\n",
	  "keep 10.0.0.0/8; t0 18000s; t1 30s; t2 2s; t3 1.5s; t4 61s; "
	  "t5 0.5s; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\ntimeouts: {udp: 720h}\n",
	  "keep 10.0.0.0/8; t2 2.592e+06s; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmaxFlows: 65536\n",
	  "keep 10.0.0.0/8; flows 65536; perpod 16384; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmaxFlows: 3\n",
	  "keep 10.0.0.0/8; flows 3; perpod 1; ",
	  { NULL } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmaxFlows: 100\n"
	  "maxFlowsPerPod: 200\nflowCounters: off\n",
	  "keep 10.0.0.0/8; nocount; flows 100; perpod 200; ",
	  { ":3:17: maxFlowsPerPod 200 is above maxFlows 100" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmaxFlowsPerPod: 200\n"
	  "maxFlows: 100\n",
	  "keep 10.0.0.0/8; flows 100; perpod 200; ",
	  { ":3:11: maxFlowsPerPod 200 is above maxFlows 100" } },
	/* what is typed by accident */
	{ "nonMasqueradeCIDRs: [127.0.0.0/8, 127.1.0.0/16, 'fe00::/7', "
	  "224.0.0.0/3]\n",
	  "keep 127.0.0.0/8 127.1.0.0/16 fe00::/7 224.0.0.0/3; ipv6; ",
	  { "\"127.0.0.0/8\" has no effect: loopback", "\"127.1.0.0/16\"" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nresyncInterval: 1ns\n"
	  "timeouts: {udp: 1ms}\n",
	  "keep 10.0.0.0/8; resync 1e-09s; t2 0.001s; ",
	  { ":2:17: resyncInterval: \"1ns\" is less than 100ms",
	    ":3:17: timeouts.udp: \"1ms\" is less than" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\n"
	  "timeouts: {udp: 2s, udpUnreplied: 3s}\n",
	  "keep 10.0.0.0/8; t2 2s; t3 3s; ",
	  { ":2:35: timeouts.udp is shorter than timeouts.udpUnreplied" } },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8]\nmasqLinkLocal: true\n"
	  "masqueradeCIDRs: [169.254.0.0/16]\n",
	  "keep 10.0.0.0/8; masq 169.254.0.0/16; ll; ",
	  { NULL } },

	/* other ConfigMaps around it, whatever their order */
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {theme: dark}\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n"
	  "    nonMasqueradeCIDRs: [10.0.0.0/8]\n    x: 1\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\ndata: {a: b, c: d}\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\n",
	  "keep 10.0.0.0/8; ",
	  { ":10:5: unknown key \"x\"" } },
	/* what kubectl get prints of several objects */
	{ "apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n"
	  "- kind: ConfigMap\n  data:\n    ip-masq-agent-reconciled: |\n"
	  "      nonMasqueradeCIDRs: [10.0.0.0/8]\n      x: 1\n",
	  "keep 10.0.0.0/8; ",
	  { ":9:7: unknown key \"x\"" } },

	/* a ConfigMap's manifest */
	{ "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: ip-masq-agent}\n"
	  "data:\n  config: |\n    nonMasqueradeCIDRs:\n      - 10.0.0.0/8\n"
	  "    maskLinkLocal: true\n",
	  "keep 10.0.0.0/8; ",
	  { ":8:5: unknown key \"maskLinkLocal\"" } },
	{ "kind: ConfigMap\napiVersion: v1\ndata:\n  ip-masq-agent: |-\n\n"
	  "      cidrLimit: 3\n\n      nonMasqueradeCIDRs: [10.0.0.0/8]\n"
	  "      x: 1\n",
	  "keep 10.0.0.0/8; limit 3; ",
	  { ":9:7: unknown key \"x\"" } },
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n"
	  "  whatever: '{\"NonMasqueradeCIDRs\":[\"10.0.0.0/8\"],\"x\":1}'\n",
	  "keep 10.0.0.0/8; ",
	  { ":4:13: unknown key \"x\"" } },
	{ "apiVersion: apps/v1\nkind: DaemonSet\nspec: {}\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n"
	  "    nonMasqueradeCIDRs: [10.0.0.0/8]\n    x: 1\n"
	  "---\nkind: Service\n",
	  "keep 10.0.0.0/8; ",
	  { ":10:5: unknown key \"x\"" } },
	{ "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"data\":"
	  "{\"config\":\"nonMasqueradeCIDRs: [10.0.0.0/8]\\n\"}}",
	  "keep 10.0.0.0/8; ",
	  { NULL } },
};

static void accepts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(good); i++) {
		const char *row = good[i].text;
		struct config *config;
		char err[1024];
		size_t n = 0;

		if (config_parse(row, strlen(row), "f", NULL, &config, err,
				 sizeof(err)))
			fail_msg("row \"%s\": %s", row, err);
		row_text(row, dump(config), good[i].means);
		for (; n < 4 && good[i].warns[n]; n++) {
			row_true(row, n < config->warning_count);
			row_says(row, config->warnings[n], good[i].warns[n]);
			row_true(row, !strncmp(config->warnings[n], "f:", 2));
		}
		if (n != config->warning_count)
			fail_msg("row \"%s\": a warning too many: %s", row,
				 config->warnings[n]);
		row_text(row, config->path, "f");
		config_free(config);
	}
}

/* --- refused ----------------------------------------------------------- */

static const struct {
	const char *text, *says;
} bad[] = {
	/* nothing is set: ip-masq-agent takes its defaults, we take nothing */
	{ "", "f:1:1: is empty: nothing is set; ip-masq-agent's defaults are" },
	{ " \n\n", "f:1:1: is empty" },
	{ "\xef\xbb\xbf", "f:1:1: is empty" },
	{ "\xef\xbb\xbf# words\r\n", "f:1:1: is empty" },
	{ "# only words\n# nonMasqueradeCIDRs: [10.0.0.0/8]\n", "is empty" },
	{ "---\n", "is empty" },
	{ "---\n# words\n...\n", "is empty" },
	{ "%YAML 1.1\n---\n", "is empty" },
	{ "null\n", "f:1:1: is empty" },
	{ "# words\nNull", "f:2:1: is empty" },
	{ "~", "is empty" },
	{ "--- ~\n", "is empty" },
	{ "!!map {}\n", "is empty" },
	{ "{}", "is empty" },
	{ " \t{ }\n", "is empty" },
	{ "# words\n{}\n", "f:2:1: is empty" },
	{ "---\n---\nnonMasqueradeCIDRs: [10.0.0.0/8]\n",
	  "f:2:1: is empty: nothing is set in the first document, the only one"
	  " that is read" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {config: ''}\n",
	  "f:3:16: is empty" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n"
	  "    # from a template\n",
	  "is empty" },
	/* [ima] not a document */
	{ "*", "f:1:2: not valid YAML: did not find expected alphabetic or" },
	{ "{*", "f:1:2: not valid JSON: string or '}' expected near '*'" },
	{ "[]", "f:1:1: the config: a list where" },
	{ "hello", "f:1:1: the config: \"hello\" where" },
	{ "5", "the config: \"5\" where" },
	{ "\"\"", "the config: \"\" where" },
	{ "{\"a\":1,}", "f:1:8: not valid JSON" },
	{ "{\"a\":1} x", "f:1:9: not valid JSON: end of file expected" },
	{ "{\"a\":\n 1, nonMasqueradeCIDRs: []}", "f:2:5: not valid JSON" },
	{ "{nonMasqueradeCIDRs: []}", "f:1:2: not valid JSON" },
	{ "{\"a\":\"\\ud800\"}", "not valid JSON: invalid Unicode" },
	{ "{\"a\":\"\\u0000\"}", "not valid JSON: \\u0000 is not allowed" },
	{ "{\"a\":\"\xff\"}", "not valid JSON: unable to decode byte 0xff" },
	{ "{\"a\":\"x\ty\"}", "not valid JSON: control character 0x9" },
	{ "{'a': 1}", "f:1:2: not valid JSON" },
	{ "{\"cidrLimit\": 010}", "f:1:15: not valid JSON" },
	{ "{\"masqLinkLocal\": yes}", "f:1:19: not valid JSON: invalid token" },
	{ "a: [1,\n2\n",
	  "f:3:1: not valid YAML: did not find expected ',' or ']',"
	  " while parsing a flow sequence that begins in line"
	  " 1" },
	{ "a:\n\t- x\n", "f:2:1: not valid YAML: found character that cannot" },
	{ "a:\n\t- x\n", "(a tab: indent with spaces)" },
	{ "a: b: c\n", "f:1:5: not valid YAML: mapping values" },
	{ "a: `x`\n", "quotes around text that begins with a special" },
	{ "nonMasqueradeCIDRs: [::/0]\n", "f:1:22: not valid YAML" },
	{ "nonMasqueradeCIDRs: [::/0]\n", "quotes around" },
	{ "a: 1\n}\n", "f:2:1: not valid YAML" },
	{ "{}\n}\n", "f:2:1: not valid JSON" },
	{ "--- {}\n}\n", "f:2:1: not valid YAML" },
	{ "a: \xff\n", "f:1:4: not valid YAML: invalid leading UTF-8" },
	{ "a: 1\nb: \xc3(\n", "f:2:5: not valid YAML: invalid trailing UTF-8" },
	{ "a: \x01\n", "not valid YAML: control characters" },
	{ "a: \"10.0.0.0\\0/8\"\n", "f:1:4: contains a NUL" },
	{ "\xff\xfe"
	  "a",
	  "UTF-16 text: save the file as UTF-8" },
	{ "\xfe\xff"
	  "a",
	  "UTF-16 text: save the file as UTF-8" },
	{ "? [a, b]\n: 1\n", "f:1:3: a key must be a word" },
	{ "a: *b\n", "f:1:4: alias *b: no such anchor" },
	{ "a: &a [*a]\n", "f:1:8: alias *a: no such anchor" },
	{ "a: &a [1]\nb: &b [*a]\nc: *b\n", "f:3:4: alias *b: what it stands" },
	{ "cidrLimit: !!int \"5\"\n", "f:1:12: the tag tag:yaml.org,2002:int" },
	{ "a: !x 5\n", "the tag !x is not supported" },
	{ "<<: 5\n", "f:1:5: <<: only mappings can be merged" },
	{ "<<: [{}, 5]\n", "f:1:5: <<: only mappings can be merged" },

	/* [ima] prefixes */
	{ "nonMasqueradeCIDRs: [abcdefg]\n",
	  "f:1:22: nonMasqueradeCIDRs: \"abcdefg\": not an IP address" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8, abcdefg]\n", "f:1:34: " },
	{ "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  - 10.256.0.0/16\n",
	  "f:3:5: nonMasqueradeCIDRs: \"10.256.0.0/16\": not an IPv4 address:"
	  " 256 is above 255" },
	{ "nonMasqueradeCIDRs: [10.0.0.1/8]\n",
	  "\"10.0.0.1/8\": has bits set beyond the prefix length: did you mean"
	  " 10.0.0.0/8?" },
	{ "nonMasqueradeCIDRs: [2.2.2.2/16]\n", "did you mean 2.2.0.0/16?" },
	{ "nonMasqueradeCIDRs: [010.0.0.0/8]\n", "did you mean 10.0.0.0/8?" },
	{ "nonMasqueradeCIDRs: [1.2.3/24]\n", "did you mean 1.2.3.0/24?" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/33]\n", "must be 0 to 32" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/-1]\n", "must be 0 to 32" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/08]\n", "leading zero" },
	{ "nonMasqueradeCIDRs: ['::ffff:10.0.0.0/104']\n",
	  "did you mean 10.0.0.0/8?" },
	{ "nonMasqueradeCIDRs: ['fe80::%eth0/64']\n", "zone" },
	{ "nonMasqueradeCIDRs: [10]\n", "\"10\": an IPv4 address has 4 parts" },
	{ "nonMasqueradeCIDRs: ['']\n", "\"\": no address" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8,]\nmasqueradeCIDRs: ['null']\n",
	  "f:2:19: masqueradeCIDRs: \"null\": not an IP address" },
	{ "nonMasqueradeCIDRs: [~]\n", "f:1:22: nonMasqueradeCIDRs: an item" },
	{ "nonMasqueradeCIDRs:\n  - 10.0.0.0/8\n  -\n", "f:3:4: nonMasq" },
	{ "nonMasqueradeCIDRs: [10.0.0.0/8, null]\n", "without a value" },
	{ "{\"nonMasqueradeCIDRs\":[null]}", "f:1:24: nonMasqueradeCIDRs: an" },
	{ "nonMasqueradeCIDRs: [[10.0.0.0/8]]\n", "a list where a prefix is" },
	{ "nonMasqueradeCIDRs: [{a: b}]\n", "a mapping where a prefix is" },
	{ "nonMasqueradeCIDRs: 10.0.0.0/8\n",
	  "f:1:21: nonMasqueradeCIDRs: \"10.0.0.0/8\" is not a list: write"
	  " [\"10.0.0.0/8\"]" },
	{ "nonMasqueradeCIDRs: {a: b}\n",
	  "a mapping where a list is expected" },
	{ "nonMasqueradeCIDRs: \"\"\n", "\"\" is not a list" },
	{ "nonMasqueradeCIDRs: [\"\x1b[31m\"]\n", "control characters" },
	{ "{\"nonMasqueradeCIDRs\": [\"\\u001b[31m\"]}", "\"\\x1b[31m\": not" },

	/* [ima] scalars */
	{ "masqLinkLocal: maybe\n",
	  "f:1:16: masqLinkLocal: \"maybe\" is neither" },
	{ "masqLinkLocal: 1\n", "\"1\" is neither true nor false" },
	{ "masqLinkLocal: \"true\"\n", "\"true\" is text: write true without" },
	{ "masqLinkLocal: 'no'\n", "\"no\" is text: write false without" },
	{ "masqLinkLocal: []\n", "a list where true or false is expected" },
	{ "{\"masqLinkLocal\": \"true\"}",
	  "f:1:19: masqLinkLocal: \"true\" is" },
	{ "{\"masqLinkLocal\": 1}", "neither true nor false" },
	{ "cidrLimit: \"64\"\n", "f:1:12: cidrLimit: \"64\" is text" },
	{ "cidrLimit: many\n", "\"many\" is not a whole number" },
	{ "cidrLimit: 6.4\n", "\"6.4\" is not a whole number" },
	{ "cidrLimit: 1e3\n", "\"1e3\" is not a whole number" },
	{ "cidrLimit: 0x\n", "\"0x\" is not a whole number" },
	{ "cidrLimit: 09\n", "\"09\" is not a whole number" },
	{ "cidrLimit: 0b2\n", "\"0b2\" is not a whole number" },
	{ "cidrLimit: --1\n", "\"--1\" is not a whole number" },
	{ "cidrLimit: -1\n", "\"-1\": must be 0 to 4294967295" },
	{ "cidrLimit: 4294967296\n", "must be 0 to 4294967295" },
	{ "cidrLimit: 99999999999999999999\n", "must be 0 to 4294967295" },
	{ "cidrLimit: 111111111111111111111111111111111111111111111111111\n",
	  "must be 0 to 4294967295" },
	{ "cidrLimit: {}\n", "a mapping where a number is expected" },
	{ "resyncInterval: 60\n",
	  "f:1:17: resyncInterval: \"60\": a duration needs"
	  " a unit: did you mean 60s?" },
	{ "{\"resyncInterval\": 60}", "did you mean 60s?" },
	{ "resyncInterval: \"60\"\n", "did you mean 60s?" },
	{ "resyncInterval: 1d\n", "did you mean 24h?" },
	{ "resyncInterval: 0\n", "\"0\": must be above 0" },
	{ "resyncInterval: 0s\n", "\"0s\": must be above 0" },
	{ "resyncInterval: -5s\n", "\"-5s\": must not be negative" },
	{ "resyncInterval: 1 m\n", "\"1 m\": not a duration" },
	{ "resyncInterval: true\n", "\"true\": not a duration" },
	{ "resyncInterval:\n", "resyncInterval: no value" },
	{ "resyncInterval: [5s]\n", "a list where a duration" },

	/* [ima] the limit counts the defaults too */
	{ "cidrLimit: 2\n",
	  "f:1:12: nonMasqueradeCIDRs: 3 prefixes, cidrLimit is 2" },
	{ "cidrLimit: 1\nnonMasqueradeCIDRs: [10.0.0.0/8,\n 10.0.0.0/8]\n",
	  "f:3:2: nonMasqueradeCIDRs: 2 prefixes, cidrLimit is 1" },

	/* ours */
	{ "nonMasqueradeCIDRs:\n- 10.0.0.0/8\nmasqueradeCIDRs:\n- 10.0.0.0/8\n",
	  "f:4:3: masqueradeCIDRs: \"10.0.0.0/8\" is in nonMasqueradeCIDRs too"
	  " (in line 2)" },
	{ "masqueradeCIDRs:\n- 'fc00::/7'\nnonMasqueradeCIDRs:\n- 'FC00::/7'\n",
	  "f:4:3: nonMasqueradeCIDRs: \"fc00::/7\" is in masqueradeCIDRs too"
	  " (in line 2)" },
	{ "nonMasqueradeCIDRs: [1.0.0.0/8, 2.0.0.0/8]\n"
	  "masqueradeCIDRs: [2.0.0.0/8, 1.0.0.0/8]\n",
	  "f:2:19: masqueradeCIDRs: \"2.0.0.0/8\" is in" },
	{ "masqueradeCIDRs: [10.0.0.0/8]\n", "in the preset ip-masq-agent" },
	{ "masqueradeCIDRs: [169.254.0.0/16]\n",
	  "\"169.254.0.0/16\" is kept as long as masqLinkLocal is false" },
	{ "masqueradeCIDRs: ['fe80::/10']\nmasqLinkLocal: true\n",
	  "\"fe80::/10\" is kept as long as masqLinkLocalIPv6 is false" },
	{ "snat: [1]\n", "f:1:7: snat: a list where lines of KEY: VALUE" },
	{ "snat: 1-2\n", "snat: \"1-2\" where lines of KEY: VALUE" },
	{ "snat: {portRange: 4000}\n", "snat.portRange: \"4000\": not a port" },
	{ "snat: {portRange: 0-100}\n", "1 to 65535" },
	{ "snat: {portRange: 1024-65536}\n", "1 to 65535" },
	{ "snat: {portRange: 5000-4000}\n", "did you mean 4000-5000?" },
	{ "snat: {portRange: none}\n", "not a port range" },
	{ "snat: {portRange: [1, 2]}\n", "a list where a port range" },
	{ "snat: {nodePortRange: off}\n",
	  "snat.nodePortRange: \"off\": not a" },
	{ "snat: {portRange: 30100-30200}\n",
	  "f:1:19: snat.portRange: 30100-30200 lies within" },
	{ "snat: {addresses: 10.0.0.1}\n", "is not a list" },
	{ "snat: {addresses: [10.0.0.1/24]}\n", "did you mean 10.0.0.0/24?" },
	{ "snat: {addresses: [10.0.0.9-10.0.0.8]}\n",
	  "the last address is below the first" },
	{ "snat: {addresses: [10.0.0.9-fd00::1]}\n", "one end is IPv4" },
	{ "snat: {addresses: [10.0.0.1-9]}\n", "an IPv4 address has 4 parts" },
	{ "snat: {addresses: [10.0.0.1-10.0.0.2/31]}\n",
	  "a prefix, where one" },
	{ "snat: {addresses: [10.0.0.0/15]}\n", "more than 65536 addresses" },
	{ "snat: {addresses: ['2001:db8::/64']}\n",
	  "more than 65536 addresses" },
	{ "snat: {addresses: ['::/0']}\n", "more than 65536 addresses" },
	{ "snat: {addresses: ['1::0-2::0']}\n", "more than 65536 addresses" },
	{ "snat: {addresses: [10.8.0.0/16, 10.7.255.255]}\n",
	  "more than 65536 addresses for one destination" },
	{ "snat: {addresses: [{address: [10.1.1.1, 'fd00::1']}]}\n",
	  "snat.addresses.address: IPv4 and IPv6 in one list" },
	{ "snat: {addresses: [{address: [10.1.1.1, ~]}]}\n", "no value" },
	{ "snat: {addresses: [{address: []}]}\n", "an item without address" },
	{ "snat: {addresses: [{address: [[10.1.1.1]]}]}\n",
	  "a list where an address" },
	{ "snat: {addresses: [223.255.255.250-224.0.0.5]}\n",
	  "contains a multicast address" },
	{ "snat: {addresses: [{address: [10.0.0.1, 10.0.0.3, 10.0.0.5, 10.0.0.7,"
	  " 10.0.0.9, 10.0.0.11, 10.0.0.13, 10.0.0.15, 10.0.0.17, 10.0.0.19,"
	  " 10.0.0.21, 10.0.0.23, 10.0.0.25, 10.0.0.27, 10.0.0.29, 10.0.0.31,"
	  " 10.0.0.33]}]}\n",
	  "more than 16 separate ranges for one destination" },
	{ "snat: {addresses: [eth0]}\n", "not an IP address" },
	{ "snat: {addresses: [{}]}\n", "an item without address" },
	{ "snat: {addresses: [{destination: 1.0.0.0/8}]}\n",
	  "f:1:20: snat.addresses: an item without address" },
	{ "snat: {addresses: [{destination: 1.0.0.1/8, address: 1.1.1.1}]}\n",
	  "snat.addresses.destination: \"1.0.0.1/8\": has bits" },
	{ "snat: {addresses: [{destination: 'fd00::/8', address: 1.1.1.1}]}\n",
	  "different families" },
	{ "snat: {addresses: [127.0.0.1]}\n", "a loopback address" },
	{ "snat: {addresses: [0.0.0.0]}\n", "not an address of a host" },
	{ "snat: {addresses: [224.0.0.1]}\n", "a multicast address" },
	{ "snat: {addresses: [255.255.255.255]}\n", "a reserved address" },
	{ "snat: {addresses: [169.254.1.1]}\n", "a link-local address" },
	{ "snat: {addresses: ['fe80::1']}\n", "a link-local address" },
	{ "snat: {addresses: ['::1']}\n", "not an address of a host" },
	{ "snat: {addresses: ['ff02::1']}\n", "a multicast address" },
	{ "snat: {addresses: [~]}\n",
	  "f:1:20: snat.addresses: no value: write an address" },
	{ "snat: {addresses: [[10.1.1.1]]}\n", "a list where lines" },
	{ "timeouts: {udp: 5}\n",
	  "timeouts.udp: \"5\": a duration needs a unit" },
	{ "timeouts: {udp: 0s}\n", "timeouts.udp: \"0s\": must be above 0" },
	{ "timeouts: {udp: -1s}\n", "must not be negative" },
	{ "timeouts: {udp: 721h}\n",
	  "timeouts.udp: \"721h\": must be 720h at" },
	{ "timeouts: {udp: }\n", "timeouts.udp: no value" },
	{ "timeouts: 5s\n", "timeouts: \"5s\" where lines of" },
	{ "maxFlows: 0\n", "maxFlows: \"0\": must be 1 to 16777216" },
	{ "maxFlows: 16777217\n", "must be 1 to 16777216" },
	{ "maxFlowsPerPod: 0\n", "must be 1 to" },

	/* manifests */
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    a: 1\n"
	  "    nonMasqueradeCIDRs:\n    - 10.0.0.1/8\n",
	  "f:7:7: nonMasqueradeCIDRs: \"10.0.0.1/8\"" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |\n    a: b: c\n",
	  "f:5:9: not valid YAML" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n  config: |2\n"
	  "      a: b: c\n",
	  "f:5:11: not valid YAML" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata:\n"
	  "  config: \"masqLinkLocal: 5\"\n",
	  "f:4:11: masqLinkLocal: \"5\" is neither" },
	{ "apiVersion: v1\nkind: ConfigMap\n", "a ConfigMap without data" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {}\n", "without data" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {a: '', b: ''}\n",
	  "f:3:7: a ConfigMap with several data keys" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {config: {a: b}}\n",
	  "f:3:16: the config in a ConfigMap is text" },
	{ "apiVersion: v1\nkind: Pod\n", "without a ConfigMap" },
	{ "apiVersion: v1\nkind: Pod\n---\napiVersion: v1\nkind: Pod\n",
	  "without a ConfigMap" },
	{ "apiVersion: v1\nkind: Pod\n---\na: b: c\n",
	  "f:4:5: not valid YAML" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {config: 'a: b'}\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\ndata: {ip-masq-agent: ''}\n",
	  "f:7:23: a second ConfigMap with a config, the first is in line 3" },
	{ "apiVersion: v1\nkind: ConfigMap\ndata: {a: 'x'}\n---\n"
	  "apiVersion: v1\nkind: ConfigMap\ndata: {b: 'x'}\n",
	  "f:7:11: a second ConfigMap" },
	{ "apiVersion: v1\nkind: List\nitems: [{kind: Pod}]\n",
	  "without a ConfigMap" },
};

static void rejects(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(bad); i++) {
		const char *row = bad[i].text;
		struct config *config = (void *)1;
		char err[1024] = "", cut[8];
		int ret = config_parse(row, strlen(row), "f", NULL, &config,
				       err, sizeof(err));

		row_true(row, ret == -EINVAL && config == (void *)1);
		row_says(row, err, bad[i].says);
		for (const char *line = err; line; line = strchr(line, '\n'))
			row_true(row, !strncmp(line += *line == '\n', "f:", 2));
		row_true(row, config_parse(row, strlen(row), "f", NULL, &config,
					   cut, sizeof(cut)) == -EINVAL);
		row_true(row, strlen(cut) == sizeof(cut) - 1);
	}
}

/* All that is wrong, in the order of the file, and nothing that is not. */
static void all_errors(void **state)
{
	static const struct {
		const char *text, *says, *brief;
	} rows[] = {
		{ "masqLinkLocal: 5\ncidrLimit: x\n"
		  "nonMasqueradeCIDRs: [10.0.0.1/8, 10.0.0.0/8, ~]\n"
		  "masqueradeCIDRs:\n- 169.254.0.0/16\n- 10.0.0.0/8\n- a\n",
		  /* not that 169.254.0.0/16 is kept: nobody knows */
		  "f:1:16|f:2:12|f:3:22|f:3:46|f:6:3|f:7:3",
		  "and 5 more errors" },
		{ "timeouts: {udp: 1, icmp: 2s, other: 0s}\n"
		  "snat: {portRange: x, addresses: [127.0.0.1, {address: [1, 2]}]}\n",
		  "f:1:17|f:1:37|f:2:19|f:2:34|f:2:56|f:2:59",
		  "and 5 more errors" },
		{ "masqueradeCIDRs: [169.254.0.0/16, fe80::/10]\n"
		  "cidrLimit: 1\nnonMasqueradeCIDRs: [1.0.0.0/8, 2.0.0.0/8]\n",
		  "f:1:19|f:1:35|f:3:33", "and 2 more errors" },
		{ "masqLinkLocal: 1\nmasqLinkLocalIPv6: 1\n", "f:1:16|f:2:20",
		  "; and 1 more error" },
		{ "masqLinkLocal: 1\n", "f:1:16", "" },
		/* words of the file are no words of ours */
		{ "masqLinkLocal: 1\ncidrLimit: \"9: and 7 more errors\"\n",
		  "f:1:16|f:2:12", "; and 1 more error" },
		/* what cannot be read as a whole is one error */
		{ "masqLinkLocal: 1\ncidrLimit: \"\n", "f:3:1", "" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		char err[CONFIG_ERRLEN] = "", brief[512], got[512] = "";
		const char *row = rows[i].text, *line = err;
		struct config *config;
		size_t errors;

		row_true(row, config_parse_counted(row, strlen(row), "f", NULL,
						   &config, err, sizeof(err),
						   &errors) == -EINVAL);
		config_brief(err, errors, brief, sizeof(brief));
		row_true(row, strstr(brief, rows[i].brief) &&
				      !strchr(brief, '\n') &&
				      !strncmp(brief, err, strcspn(err, "\n")));
		for (; line; line = strchr(line, '\n')) {
			int place = 0;

			line += *line == '\n';
			sscanf(line, "f:%*d:%*d%n", &place);
			snprintf(got + strlen(got), sizeof(got) - strlen(got),
				 "%s%.*s", *got ? "|" : "", place, line);
		}
		row_text(row, got, rows[i].says);
	}
}

/* The first ones of many, and how many more, whatever room there is. */
static void many_errors(void **state)
{
	char text[4096] = "masqueradeCIDRs:\n", err[CONFIG_ERRLEN], few[300];
	char brief[512];
	struct config *config;
	size_t lines = 1, errors;

	(void)state;
	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), "- %d.0.0.1/8\n", i);
	/* later in the table of keys, last in the file, first of all */
	memmove(text + 15, text, strlen(text) + 1);
	memcpy(text, "cidrLimit: xyz\n", 15);
	assert_int_equal(config_parse_counted(text, strlen(text), "f", NULL,
					      &config, err, sizeof(err),
					      &errors),
			 -EINVAL);
	for (const char *c = err; *c; c++)
		lines += *c == '\n';
	assert_int_equal(errors, 101);
	assert_int_equal(lines, CONFIG_ERRORS + 1);
	assert_int_equal(strncmp(err, "f:1:12: cidrLimit", 17), 0);
	assert_non_null(strstr(err, "\nf:21:3: masqueradeCIDRs"));
	assert_string_equal(strrchr(err, '\n'), "\nf: and 81 more errors");
	config_brief(err, errors, brief, sizeof(brief));
	assert_non_null(strstr(brief, "; and 100 more errors"));
	for (size_t room = 60; room <= sizeof(few); room++) {
		size_t named = 0;
		unsigned int more = 0;

		assert_int_equal(config_parse(text, strlen(text), "f", NULL,
					      &config, few, room),
				 -EINVAL);
		assert_true(strlen(few) < room);
		for (const char *c = few; *c; c++)
			named += *c == '\n';
		if (named && sscanf(strrchr(few, '\n'), "\nf: and %u", &more))
			assert_int_equal(named + more, 101);
	}
}

/* Keys, and none of them does anything: no policy gives way to that. */
static void sets_nothing(void **state)
{
	static const struct {
		const char *text;
		bool nothing;
	} rows[] = {
		{ "nonMasqueradeCIDR: [10.0.0.0/8]\n", true },
		{ "x: 1\ny: {masqLinkLocal: true}\n", true },
		{ "masqLinkLocal:\n", true },
		{ "timeouts: {}\n", true },
		{ "timeouts: {upd: 5s}\nsnat: ~\n", true },
		{ "{\"config\": {\"nonMasqueradeCIDRs\": []}}", true },
		{ "config:\n  nonMasqueradeCIDRs: [10.0.0.0/8]\n", true },
		{ "masqueradeCIDRs:\npodCIDRs: []\n", true },
		{ "nonMasqueradeSrcCIDRs: ~\nsnat: {addresses: []}\n", true },
		{ "{\"podCIDRs\": null}", true },
		{ "nonMasqueradeCIDRs:\n", false },
		{ "nonMasqueradeCIDRs: []\npodCIDRs: []\n", false },
		{ "podCIDRs: [10.44.0.0/16]\n", false },
		{ "x: 1\nmasqLinkLocal: false\n", false },
		{ "timeouts: {udp: 5s}\n", false },
		{ "snat: {addresses: [192.0.2.1]}\n", false },
		{ "<<: {masqLinkLocal: true}\n", false },
		{ "resyncInterval: 60s\n", false },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(rows); i++) {
		const char *row = rows[i].text;
		struct config *config;
		char err[256] = "";

		row_true(row, !config_parse(row, strlen(row), "f", NULL,
					    &config, err, sizeof(err)));
		row_true(row, config->sets_nothing == rows[i].nothing);
		row_true(row, !config_may_replace(config, err, sizeof(err)) ==
				      !rows[i].nothing);
		row_true(row,
			 !rows[i].nothing || !strncmp(err, "f: no key", 9));
		config_free(config);
	}
}

/* Warnings of a file are errors only where --strict says so. */
static void strictness(void **state)
{
	static const char text[] = "nonMasqueradeCIDRs: []\n"
				   "timeouts:\n  upd: 5s\n";
	struct config *config;
	char err[256];

	(void)state;
	assert_int_equal(config_parse(text, strlen(text), "f", &strict, &config,
				      err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "f:3:3: unknown key \"upd\": did you mean"
				 " udp?");
	assert_int_equal(config_parse(text, strlen(text), "f", NULL, &config,
				      err, sizeof(err)),
			 0);
	assert_int_equal(config->warning_count, 2);
	config_free(config);
}

/* --- durations --------------------------------------------------------- */

static const struct {
	const char *text;
	uint64_t ns;
	const char *says; /* NULL: accepted */
} durations[] = {
	{ "1h30m", 5400 * SECOND, NULL },
	{ "1.5h", 5400 * SECOND, NULL },
	{ ".5s", SECOND / 2, NULL },
	{ "5.s", 5 * SECOND, NULL },
	{ "+5s", 5 * SECOND, NULL },
	{ "500ms", SECOND / 2, NULL },
	{ "1h1m1s1ms1us1ns", 3661001001001, NULL },
	{ "3\xc2\xb5s", 3000, NULL },
	{ "3\xce\xbcs", 3000, NULL },
	{ "1s1h", 3601 * SECOND, NULL },
	{ "0", 0, NULL },
	{ "0s", 0, NULL },
	{ "-0", 0, NULL },
	{ "010s", 10 * SECOND, NULL },
	{ "2562047h", 2562047ULL * 3600 * SECOND, NULL },
	{ "9223372036854775807ns", INT64_MAX, NULL },
	{ "0.100000000000000000000000000001s", SECOND / 10, NULL },
	{ "", 0, "not a duration" },
	{ "s", 0, "not a duration" },
	{ ".s", 0, "not a duration" },
	{ "+", 0, "not a duration" },
	{ "--5s", 0, "not a duration" },
	{ "-5s", 0, "must not be negative" },
	{ "60", 0, "did you mean 60s?" },
	{ "1.5", 0, "did you mean 1.5s?" },
	{ "1h30", 0, "a duration needs a unit" },
	{ "1d", 0, "did you mean 24h?" },
	{ "7d", 0, "did you mean 168h?" },
	{ "1w", 0, "the units are" },
	{ "1 s", 0, "the units are" },
	{ "1s ", 0, "the units are" },
	{ " 1s", 0, "not a duration" },
	{ "1S", 0, "the units are" },
	{ "1e3s", 0, "the units are" },
	{ "5s5", 0, "a duration needs a unit" },
	{ "2562048h", 0, "longer than" },
	{ "9223372036854775808ns", 0, "longer than" },
	{ "18446744073709551615ns", 0, "longer than" },
	{ "99999999999999999999s", 0, "longer than" },
	{ "18446744073709551615.9h", 0, "longer than" },
	{ "9223372036854775807ns1ns", 0, "longer than" },
};

static void duration_table(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(durations); i++) {
		const char *row = durations[i].text;
		uint64_t ns = 77;
		char err[256] = "";
		int ret = duration_parse(row, &ns, err, sizeof(err));

		if (durations[i].says) {
			row_true(row, ret == -EINVAL && ns == 77);
			row_says(row, err, durations[i].says);
		} else {
			row_true(row, !ret && ns == durations[i].ns);
		}
	}
}

/* --- presets ----------------------------------------------------------- */

static const struct {
	const char *name, *means;
} presets[] = {
	{ "ip-masq-agent", DEFAULTS },
	{ "reserved",
	  "(reserved) keep " THREE " 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24"
	  " 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24"
	  " 240.0.0.0/4; " },
	{ "gke-before-1.14", "(gke-before-1.14) keep 10.0.0.0/8; " },
};

static void preset_table(void **state)
{
	static const char text[] = "masqLinkLocal: true\n";
	struct config *config;
	char err[256];

	(void)state;
	for (size_t i = 0; i < ROWS(presets); i++) {
		const char *row = presets[i].name;
		struct config_options options = { .base_preset = row };
		char with_flag[512];

		row_true(row, !config_preset(row, &config, err, sizeof(err)));
		row_text(row, dump(config), presets[i].means);
		row_true(row, !config->path && !config->warning_count);
		config_free(config);
		row_true(row, strstr(config_preset_names(), row) != NULL);

		/* named by the caller or not, it is said */
		row_true(row, !config_parse(text, strlen(text), "f", &options,
					    &config, err, sizeof(err)));
		snprintf(with_flag, sizeof(with_flag), "%sll; ",
			 presets[i].means);
		row_text(row, dump(config), with_flag);
		row_true(row,
			 config->warning_count == 1 && !config->keep_given);
		snprintf(with_flag, sizeof(with_flag),
			 "nonMasqueradeCIDRs is not given: the preset %s", row);
		row_true(row, strstr(config->warnings[0], with_flag) != NULL);
		config_free(config);
	}
	assert_int_equal(config_preset("Reserved", &config, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(
		strstr(err, "ip-masq-agent, reserved, gke-before-1.14"));
	assert_int_equal(
		config_parse("", 0, "f",
			     &(struct config_options){ .base_preset = "x" },
			     &config, err, sizeof(err)),
		-EINVAL);
	assert_non_null(strstr(err, "there is no such preset"));
}

/* --- big and hostile texts --------------------------------------------- */

/* n times a piece, between a head and a tail; free it. */
static char *repeat(const char *head, const char *piece, size_t n,
		    const char *tail)
{
	size_t one = strlen(piece), h = strlen(head);
	char *text = malloc(h + n * one + strlen(tail) + 1);

	assert_non_null(text);
	memcpy(text, head, h);
	for (size_t i = 0; i < n; i++)
		memcpy(text + h + i * one, piece, one);
	strcpy(text + h + n * one, tail);
	return text;
}

/* Milliseconds of processor time: other jobs of the machine do not count. */
static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void limit_of_64(void **state)
{
	char *text, err[256];
	struct config *config;

	(void)state;
	text = repeat("nonMasqueradeCIDRs:\n", "- 10.0.0.0/8\n", 64, "");
	assert_int_equal(config_parse(text, strlen(text), "f", NULL, &config,
				      err, sizeof(err)),
			 0);
	assert_int_equal(config->keep.count, 64);
	assert_int_equal(config->keep.items[63].line, 65);
	assert_int_equal(config->warning_count, 63);
	config_free(config);
	free(text);

	/* [ima] duplicates count */
	text = repeat("nonMasqueradeCIDRs:\n", "- 10.0.0.0/8\n", 65, "");
	assert_int_equal(config_parse(text, strlen(text), "f", NULL, &config,
				      err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err, "f:66:3: nonMasqueradeCIDRs: 65 prefixes,"
				 " cidrLimit is 64");
	free(text);

	/* the other lists have no limit */
	text = repeat("nonMasqueradeCIDRs: [1.0.0.0/8]\nmasqueradeCIDRs:\n",
		      "- 10.0.0.0/8\n", 200, "");
	assert_int_equal(config_parse(text, strlen(text), "f", NULL, &config,
				      err, sizeof(err)),
			 0);
	assert_int_equal(config->warning_count, 101);
	assert_string_equal(config->warnings[100], "f: and 99 more warnings");
	config_free(config);
	free(text);
}

/* 100,000 prefixes: linear, both formats, far below a second. */
/* One slot of the dataplane's is its own. */
static void limit_of_addresses(void **state)
{
	struct config *config;
	char err[256];

	(void)state;
	for (int many = MASQ_MAX_SNAT - 1; many <= MASQ_MAX_SNAT; many++) {
		char *text = NULL;
		size_t length;
		FILE *f = open_memstream(&text, &length);
		int ret;

		fputs("nonMasqueradeCIDRs: [10.0.0.0/8]\n"
		      "snat:\n  addresses:\n",
		      f);
		/* each of them twice: different ones count */
		for (int i = 0; i < 2 * many; i++)
			fprintf(f,
				"  - {destination: 198.%d.%d.0/24,"
				" address: 192.0.%d.7}\n",
				18 + i / 256, i % 256, i / 2);
		fclose(f);
		ret = config_parse(text, length, "f", NULL, &config, err,
				   sizeof(err));
		free(text);
		assert_int_equal(ret, many < MASQ_MAX_SNAT ? 0 : -EINVAL);
		if (!ret)
			config_free(config);
		else
			assert_string_equal(err,
					    "f:4:3: snat.addresses: 256"
					    " different addresses and ends of"
					    " ranges, at most 255 are"
					    " possible");
	}
}

static void many_prefixes(void **state)
{
	static const char *const shapes[][4] = {
		{ "cidrLimit: 100000\nnonMasqueradeCIDRs:\n",
		  "- 10.%d.%d.%d/32\n", "podCIDRs: [10.0.0.0/28]\n", "yaml" },
		{ "{\"cidrLimit\":100000,\"x\":1,\"nonMasqueradeCIDRs\":[\"1.0.0.0/8\"",
		  ",\"10.%d.%d.%d/32\"", "]}", "json" },
	};

	(void)state;
	for (size_t i = 0; i < ROWS(shapes); i++) {
		size_t room = 8 << 20, n = i ? 99999 : 100000;
		char *text = malloc(room), *p = text, err[256];
		struct config *config;
		double start;

		p += sprintf(p, "%s", shapes[i][0]);
		for (unsigned int k = 0; k < n; k++)
			p += sprintf(p, shapes[i][1], k >> 16, k >> 8 & 255,
				     k & 255);
		strcpy(p, shapes[i][2]);
		start = cpu_ms();
		if (config_parse(text, strlen(text), "f",
				 &(struct config_options){ 0 }, &config, err,
				 sizeof(err)))
			fail_msg("%s: %s", shapes[i][3], err);
		start = cpu_ms() - start;
		assert_int_equal(config->keep.count, 100000);
		print_message("  %s: 100,000 prefixes in %.0f ms\n",
			      shapes[i][3], start);
		assert_true(start < 1000 * SLOWNESS);
		config_free(config);
		free(text);
	}
}

/* What was made to keep a parser busy or to exhaust memory. */
static const struct {
	const char *name, *head, *piece;
	size_t n;
	const char *tail, *says; /* says NULL: accepted */
} hostile[] = {
	{ "brackets", "a: ", "[", 1 << 20, "", "f:1:19: nested more than 16" },
	{ "braces", "a: ", "{", 1 << 20, "", "a key must be a word" },
	{ "JSON brackets", "{\"a\":", "[", 1 << 18, "", "parsing depth" },
	{ "JSON 17", "{\"a\":", "[", 16, "1]]]]]]]]]]]]]]]]}",
	  "f:1:21: nested more than 16" },
	{ "JSON 16", "{\"a\":", "[", 15, "1]]]]]]]]]]]]]]]}", NULL },
	{ "YAML 16", "a: ", "[", 15, "1]]]]]]]]]]]]]]]", NULL },
	{ "dashes", "a:\n", "- ", 1 << 20, "", "nested more than 16" },
	{ "questions", "a:\n", "? ", 1 << 20, "", "" },
	{ "closing", "a: ", "]", 1 << 20, "", "not valid YAML" },
	{ "colons", "a", ":", 1 << 20, "", "" },
	{ "commas", "a: [", ",", 1 << 20, "]", "not valid YAML" },
	{ "stars", "a: [", "*a,", 1 << 20, "]", "no such anchor" },
	{ "anchors", "a: [", "&a 1,", 1 << 18, "]", "more than 100 anchors" },
	{ "aliases", "a: [&a 1,", "*a,", 1 << 18, "]",
	  "more than 100 aliases" },
	{ "tags", "a: [", "!a 1,", 1 << 18, "]", "the tag !a" },
	{ "one long word", "a: ", "x", 8 << 20, "", NULL },
	{ "one long key", "", "x", 8 << 20, ": 1", "" },
	{ "one long string", "a: '", "x", 8 << 20, "'", NULL },
	{ "one long prefix", "podCIDRs: [", "1", 8 << 20, "]", "too long" },
	{ "long comment", "#", "#", 8 << 20, "", "is empty" },
	{ "blank lines", "", "\n", 8 << 20, "", "is empty" },
	{ "blanks", "", " ", 8 << 20, "", "is empty" },
	{ "many keys", "", "a: 1\n", 1 << 17, "", NULL },
	{ "many equal keys", "", "cidrLimit: 5\n", 1 << 17, "", NULL },
	{ "many lists", "", "nonMasqueradeCIDRs: [10.0.0.0/8]\n", 1 << 17, "",
	  NULL },
	{ "many values", "a: [", "1,", 1 << 20, "]",
	  "f:1:1048575: more than 524288 values" },
	{ "many empty lists", "a: [", "[],", 1 << 20, "]",
	  "more than 524288 values" },
	{ "many empty mappings", "a: [", "{},", 1 << 20, "]",
	  "more than 524288 values" },
	{ "lists and values by turns", "a: [", "[],[],b,", 1 << 20, "]",
	  "more than 524288 values" },
	{ "lists of lists", "a: [", "[[[b]]],", 1 << 18, "]",
	  "more than 524288 values" },
	{ "many JSON values", "{\"a\":[1", ",1", 1 << 20, "]}",
	  "f:1:1: more than 524288 values" },
	{ "many documents", "", "---\n", 1 << 20, "", "is empty" },
	{ "many objects", "", "apiVersion: v1\nkind: Pod\n---\n", 1 << 17, "",
	  "without a ConfigMap" },
	{ "many nulls", "nonMasqueradeCIDRs: [10.0.0.0/8", ", ~", 1 << 18, "]",
	  "f:1:34: nonMasqueradeCIDRs: an item" },
	{ "percent", "", "%a b\n", 1 << 18, "", "" },
};

static void hostile_texts(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(hostile); i++) {
		const char *row = hostile[i].name;
		char *text = repeat(hostile[i].head, hostile[i].piece,
				    hostile[i].n, hostile[i].tail);
		struct config *config;
		char err[512] = "";
		double start = cpu_ms();
		int ret = config_parse(text, strlen(text), "f", NULL, &config,
				       err, sizeof(err));

		start = cpu_ms() - start;
		if (start > 2000 * SLOWNESS)
			fail_msg("row \"%s\": took %.0f ms", row, start);
		if (hostile[i].says) {
			row_true(row, ret == -EINVAL);
			row_says(row, err, hostile[i].says);
		} else {
			if (ret)
				fail_msg("row \"%s\": %s", row, err);
			config_free(config);
		}
		free(text);
	}
}

/* Nested aliases that would stand for 10^9 words; they are never unfolded. */
static void alias_bomb(void **state)
{
	char text[4096], *p = text, err[256];
	struct config *config;

	(void)state;
	p += sprintf(p, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 9; i++) {
		p += sprintf(p, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			p += sprintf(p, "*a%d,", i - 1);
		p += sprintf(p, "]\n");
	}
	assert_int_equal(config_parse(text, strlen(text), "f", NULL, &config,
				      err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "f:3:10: alias *a1: what it stands for"));
}

static void embedded_nul(void **state)
{
	static const char text[] = "a: 1\nb: \xc3\xa9\0x\n";
	struct config *config;
	char err[256];

	(void)state;
	assert_int_equal(config_parse(text, sizeof(text) - 1, "f", NULL,
				      &config, err, sizeof(err)),
			 -EINVAL);
	assert_string_equal(err,
			    "f:2:5: contains a NUL: not a text file in UTF-8");
}

/* --- files ------------------------------------------------------------- */

static void load_fails(const char *path, int error, const char *says)
{
	struct config *config = (void *)1;
	char err[512] = "";
	double start = cpu_ms();

	row_true(path,
		 config_load(path, NULL, &config, err, sizeof(err)) == error);
	row_true(path, config == (void *)1);
	row_says(path, err, says);
	row_true(path, cpu_ms() - start < 100 * SLOWNESS);
}

static void file_kinds(void **state)
{
	char dir[] = "/tmp/masqbpf-test.XXXXXX", path[64];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	load_fails(dir, -EISDIR, "is a directory, not a file");
	load_fails("/dev/zero", -EINVAL, "/dev/zero: is a device");
	load_fails("", -EINVAL, "the file name is empty");

	snprintf(path, sizeof(path), "%s/none", dir);
	load_fails(path, -ENOENT, "No such file or directory");
	snprintf(path, sizeof(path), "%s/none/none", dir);
	load_fails(path, -ENOENT, "No such file or directory");

	snprintf(path, sizeof(path), "%s/fifo", dir);
	assert_int_equal(mkfifo(path, 0600), 0);
	load_fails(path, -EINVAL, "is a pipe, not a file (- reads standard");
	unlink(path);

	/* a sparse file: no matter how large, it is given up early */
	snprintf(path, sizeof(path), "%s/large", dir);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, 1LL << 40), 0);
	close(fd);
	load_fails(path, -EFBIG, "is larger than 16 MiB");
	unlink(path);
	rmdir(dir);
}

static void standard_input(void **state)
{
	static const char text[] = "nonMasqueradeCIDRs: [10.0.0.0/8]\nx: 1\n";
	int saved = dup(STDIN_FILENO), pipe_fd[2];
	struct config *config;
	char err[256];

	(void)state;
	assert_int_equal(pipe(pipe_fd), 0);
	assert_int_equal(write(pipe_fd[1], text, strlen(text)), strlen(text));
	close(pipe_fd[1]);
	assert_true(dup2(pipe_fd[0], STDIN_FILENO) >= 0);
	close(pipe_fd[0]);
	if (config_load("-", NULL, &config, err, sizeof(err)))
		fail_msg("%s", err);
	if (saved >= 0) {
		dup2(saved, STDIN_FILENO);
		close(saved);
	}
	assert_string_equal(dump(config), "keep 10.0.0.0/8; ");
	assert_string_equal(config->path, "-");
	assert_int_equal(config->keep.items[0].line, 1);
	assert_string_equal(config->warnings[0],
			    "stdin:2:1: unknown key \"x\" is ignored");
	config_free(config);
}

/* The sample says what the defaults are: it must change nothing. */
static void sample(void **state)
{
	struct config *config, *preset;
	char err[512], line[4096];

	(void)state;
	if (config_load("deploy/masqbpf.yaml", &strict, &config, err,
			sizeof(err)))
		fail_msg("%s", err);
	assert_int_equal(config->warning_count, 0);
	assert_int_equal(
		config_preset("ip-masq-agent", &preset, err, sizeof(err)), 0);
	snprintf(line, sizeof(line), "(ip-masq-agent) %s", dump(config));
	assert_string_equal(line, dump(preset));
	config_free(config);
	config_free(preset);
}

/* Every example that the sample has in comments is good as well. */
static void sample_examples(void **state)
{
	FILE *f = fopen("deploy/masqbpf.yaml", "r");
	char line[256], text[32768] = "", *p = text, err[512];
	struct config *config;
	bool example = false;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *hash = line + strspn(line, " ");

		/* "#key:" begins an example, "#  more" goes on with it */
		example = *hash == '#' &&
			  (islower((unsigned char)hash[1]) ||
			   (example && !strncmp(hash, "#  ", 3)));
		if (example)
			memmove(hash, hash + 1, strlen(hash));
		p = stpcpy(p, line);
	}
	fclose(f);
	if (config_parse(text, p - text, "f", &strict, &config, err,
			 sizeof(err)))
		fail_msg("%s", err);
	assert_string_equal(
		dump(config),
		"keep " THREE "; masq 172.30.0.0/16; pods 10.44.0.0/16; "
		"src 10.44.200.0/24; ipv6; snat 0.0.0.0/0 10.142.0.100; "
		"snat 172.30.0.0/16 10.142.0.101, 10.142.0.104/30, "
		"10.142.0.110-10.142.0.119; ");
	assert_int_equal(config->warning_count, 0);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(rejects),
		cmocka_unit_test(all_errors),
		cmocka_unit_test(many_errors),
		cmocka_unit_test(sets_nothing),
		cmocka_unit_test(strictness),
		cmocka_unit_test(duration_table),
		cmocka_unit_test(preset_table),
		cmocka_unit_test(limit_of_64),
		cmocka_unit_test(limit_of_addresses),
		cmocka_unit_test(many_prefixes),
		cmocka_unit_test(hostile_texts),
		cmocka_unit_test(alias_bomb),
		cmocka_unit_test(embedded_nul),
		cmocka_unit_test(file_kinds),
		cmocka_unit_test(standard_input),
		cmocka_unit_test(sample),
		cmocka_unit_test(sample_examples),
	};

	return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

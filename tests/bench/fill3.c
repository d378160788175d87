// SPDX-License-Identifier: GPL-2.0-only
/*
 * fill3.c - more flows in the hash maps of layout 3, which by packets take an
 * hour to get to millions. For scripts/bench.sh:
 *
 *   fill3 PIN_DIR FLOWS
 *
 * Takes a flow that is there, of whom the node translates, for a pattern, and
 * writes FLOWS of them, to other addresses and ports of the far side, that last.
 * IPv4 only.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "layout3.h"

#define BATCH	4096
#define PORTS	60000
#define LASTING 1000000 /* ticks */

static struct masq_key4 keys[BATCH];
static struct masq_before3_flow4 flows[BATCH];
static __u32 filled;

static void __attribute__((noreturn)) die(const char *what)
{
	fprintf(stderr, "fill3: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void flush(int map)
{
	for (__u32 at = 0, done; at < filled; at += done) {
		done = filled - at;
		if (bpf_map_update_batch(map, keys + at, flows + at, &done,
					 NULL))
			die("masq_flows4: update");
	}
	filled = 0;
}

static void add(int map, const struct masq_key4 *key,
		const struct masq_before3_flow4 *flow)
{
	keys[filled] = *key;
	flows[filled] = *flow;
	flows[filled].expires += LASTING;
	if (++filled == BATCH)
		flush(map);
}

int main(int argc, char **argv)
{
	struct masq_before3_flow4 fwd, rev;
	struct masq_key4 owner, back;
	__u32 flow = 0, count;
	char path[512];
	int map;

	if (argc != 3)
		return 2;
	count = strtoul(argv[2], NULL, 10);
	snprintf(path, sizeof(path), "%s/masq_flows4", argv[1]);
	map = bpf_obj_get(path);
	if (map < 0)
		die(path);
	if (bpf_map_get_next_key(map, NULL, &owner))
		die("no flow");
	while (bpf_map_lookup_elem(map, &owner, &fwd) || fwd.kind != MASQ_K_FWD)
		if (bpf_map_get_next_key(map, &owner, &owner))
			die("no flow of a pod's");
	back = owner;
	back.in_addr[0] = fwd.xlat_addr[0];
	back.in_port = fwd.xlat_port;
	if (bpf_map_lookup_elem(map, &back, &rev))
		die("no way back");
	for (; flow + 1 < count; flow++) {
		owner.rem_addr[0] = htonl(0x0b800000 + flow / PORTS);
		owner.rem_port = htons(1 + flow % PORTS);
		back.rem_addr[0] = owner.rem_addr[0];
		back.rem_port = owner.rem_port;
		add(map, &owner, &fwd);
		add(map, &back, &rev);
	}
	flush(map);
	return 0;
}

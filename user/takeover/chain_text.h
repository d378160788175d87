/* SPDX-License-Identifier: GPL-2.0-only */
/* chain_text.h - what a chain comes to, as the text of a config. */
#ifndef MASQ_TAKEOVER_CHAIN_TEXT_H
#define MASQ_TAKEOVER_CHAIN_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/cidr.h"
#include "takeover/chain.h"

#define MAX_PORTS 16

struct import_dest {
	struct cidr cidr;
	bool keep;
};

struct cidrs {
	struct cidr *items;
	size_t count;
};

/* What the config will say of one family. */
struct import_family {
	struct import_dest *dests;
	size_t dest_count;
	struct cidrs keep_sources, pods;
};

struct import {
	struct import_family of[2]; /* IPv4, IPv6 */
	bool has6;
	struct {
		uint16_t lo, hi;
	} ports[MAX_PORTS];
	size_t port_count;
	bool all_ports; /* a MASQUERADE without --to-ports */
};

/* Does the longest prefix keep it? Nothing is masqueraded by default. */
bool import_keeps(const struct import_family *family, const struct cidr *dst);
/* Into file; sorts the ports. */
void import_write(FILE *file, const struct masq_chains *chains,
		  struct import *import);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * chain.h - the programs of one link and direction, whoever has put them there:
 * TCX links (kernel 6.6) and clsact filters; which of them are ours?
 */
#ifndef MASQ_PLANE_CHAIN_H
#define MASQ_PLANE_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/maps.h"

/*
 * Ingress is made first and removed last: an ingress without its egress has
 * no records to undo and is harmless, the reverse sends replies astray.
 */
enum hook_dir {
	HOOK_INGRESS,
	HOOK_EGRESS,
	HOOK_DIRS
};

enum hook_kind {
	HOOK_TCX,
	HOOK_TC,
	HOOK_KINDS,
	HOOK_AUTO = HOOK_KINDS
};

const char *hook_kind_name(enum hook_kind kind); /* "tcx", "tc", "auto" */
const char *hook_dir_name(enum hook_dir dir); /* "ingress", "egress" */

/* A program on a link. */
struct hook_prog {
	enum hook_kind kind;
	uint32_t id; /* 0: a tc filter that is no BPF program */
	uint32_t handle; /* tc */
	uint32_t priority; /* tc */
	char type[16]; /* tc: kind of filter */
	char name[64]; /* "": the kernel does not let us know */
	bool ours; /* of this instance */
	bool masqbpf; /* of whatever instance */
};

/* All programs of one direction, in the order that packets meet them. */
struct hook_chain {
	struct hook_prog *progs;
	size_t count;
};

/* Room for one more, zeroed; NULL: no memory. */
struct hook_prog *chain_add(struct hook_chain *chain);
/* Fills in name, ours and masqbpf by the id. 0 or -errno. */
int chain_judge(const struct instance *instance, struct hook_prog *prog);
/*
 * Is it a program of this instance? Then its name, too. 0 or -errno: who cannot
 * tell must not take ours for another's, nor for gone.
 */
int chain_is_ours(const struct instance *instance, uint32_t id, char *name,
		  size_t len, bool *ours);
/* The descriptor of the program for this link. */
int chain_prog_for(const struct instance *instance,
		   const struct netdev_link *link, enum hook_dir dir);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * clsact.h - clsact: a direct-action filter per direction with a handle and a
 * priority of our own; it is ours when its program is one of the instance's.
 * A qdisc that we made is noted by a pin, and goes with us when nobody uses it.
 */
#ifndef MASQ_PLANE_CLSACT_H
#define MASQ_PLANE_CLSACT_H

#include <stdbool.h>
#include <stdint.h>
#include "plane/chain.h"

uint32_t clsact_priority(enum hook_dir dir);
/* Adds what is there to the chain. 0 or -errno. */
int clsact_chain(const struct instance *instance, uint32_t ifindex,
		 enum hook_dir dir, struct hook_chain *chain);
/* Is our filter in it? */
bool clsact_is_there(const struct hook_chain *chain, enum hook_dir dir);
/*
 * Is there an "ingress" qdisc in the place of clsact? It has only the one
 * chain, and takes what is meant for the egress one of clsact into it. (To
 * ask for one qdisc would notify everybody who listens for changes.)
 */
int clsact_is_ingress(uint32_t ifindex, bool *has);
/* 0 or -errno. */
int clsact_attach(const struct instance *instance,
		  const struct netdev_link *link, enum hook_dir dir);
/* Our filter that is there gets another program, in one step. */
int clsact_replace(uint32_t ifindex, enum hook_dir dir, int prog);
int clsact_detach(const struct netdev_link *link, enum hook_dir dir);
/* Removes the clsact qdisc if we made it and nobody has a filter there. */
void clsact_drop(const struct instance *instance, uint32_t ifindex);

#endif

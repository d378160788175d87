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
/* A filter that is there gets another program, in one step. */
int clsact_replace(uint32_t ifindex, enum hook_dir dir,
		   const struct hook_prog *old, int prog);
int clsact_detach(const struct netdev_link *link, enum hook_dir dir);
/* Removes the clsact qdisc if we made it and nobody has a filter there. */
void clsact_drop(const struct instance *instance, uint32_t ifindex);
/* That we made it stays known, and no program of before with it. */
void clsact_note_again(const struct instance *instance, uint32_t ifindex);

/*
 * A watch's filter at the ingress (beside.h): ours in the chain, or NULL; at a
 * priority that is free (-EOPNOTSUPP: none of ours is), removed again. 0 or
 * -errno.
 */
const struct hook_prog *clsact_beside(const struct instance *instance,
				      const struct hook_chain *chain);
int clsact_attach_beside(const struct instance *instance, uint32_t ifindex,
			 int prog);
int clsact_detach_beside(uint32_t ifindex, const struct hook_prog *beside);

#endif

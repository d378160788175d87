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
 * What is in the place of clsact. (To ask for one qdisc would notify everybody
 * who listens for changes, so all of them are asked for.) 0 or -errno.
 */
struct clsact_qdisc {
	bool exists;
	/* an "ingress" qdisc: it has only the one chain, and takes what is
	 * meant for the egress one of clsact into it */
	bool ingress;
	bool shared; /* of its filters' blocks one may be others', too */
};
int clsact_qdisc(uint32_t ifindex, struct clsact_qdisc *qdisc);
int clsact_is_ingress(uint32_t ifindex, bool *has);
/* The links that have such a qdisc; the caller frees. 0 or -errno. */
int clsact_links(uint32_t **ifindexes, size_t *count);
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

/*
 * The fast path's filter on a pod's interface (podhook.h), in each direction,
 * behind those of others. 0 or -errno.
 */
bool clsact_pod(const struct instance *instance,
		const struct hook_chain *chain);
int clsact_attach_pod(const struct instance *instance, uint32_t ifindex,
		      enum hook_dir dir, int prog);
int clsact_detach_pod(uint32_t ifindex, enum hook_dir dir);

#endif

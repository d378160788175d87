/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hook.h - our programs on the links: TCX links (kernel 6.6) or clsact
 * filters. A guest among others: finds, adds and removes its own ones and
 * touches nothing else; of qdiscs only a clsact that it made itself.
 */
#ifndef MASQ_HOOK_H
#define MASQ_HOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "kernel/netdev.h"
#include "plane/chain.h"
#include "plane/instance.h"

/* 0 or -errno, printed. The caller frees chain->progs. */
int hook_chain(const struct instance *instance, const struct netdev_link *link,
	       enum hook_dir dir, struct hook_chain *chain);
/* The same of a link that may go any time, as pods' do: -ENODEV is not printed. */
int hook_look(const struct instance *instance, const struct netdev_link *link,
	      enum hook_dir dir, struct hook_chain *chain);

/* What is there of ours on one link, and what an attach changed. */
struct hook_set {
	bool has[HOOK_KINDS][HOOK_DIRS];
};
int hook_find(const struct instance *instance, const struct netdev_link *link,
	      struct hook_set *set);
/* The kind that has both directions, else one, else HOOK_AUTO. */
enum hook_kind hook_set_kind(const struct hook_set *set);
static inline bool hook_set_whole(const struct hook_set *set)
{
	return (set->has[HOOK_TCX][HOOK_INGRESS] ||
		set->has[HOOK_TC][HOOK_INGRESS]) &&
	       (set->has[HOOK_TCX][HOOK_EGRESS] ||
		set->has[HOOK_TC][HOOK_EGRESS]);
}

/*
 * Could hook_attach succeed? Changes nothing. *kind: what was asked for; what
 * it comes to on return. 0 or -errno, printed.
 */
int hook_check(const struct instance *instance, const struct netdev_link *link,
	       enum hook_kind *kind);
/*
 * From hook_check to hook_attach: two instances that attach at once would both
 * find an interface free, so they take turns in their network namespace. Who
 * has had it for TURN_MS is not waited for: anybody may lock its file, and by
 * then the other's first hook is there to be seen. A descriptor to close, -1:
 * none.
 */
int hook_turn(void);
/*
 * Adds what is missing of `kind`, then removes ours of the other kind, and
 * puts TCX links back to their end of the chain. What was added is in *added,
 * also on failure. `between` (NULL: nothing) is called when ingress is there
 * and egress not yet; its -errno, which it has printed, ends the attach. 0 or
 * -errno, printed.
 */
int hook_attach(const struct instance *instance, const struct netdev_link *link,
		enum hook_kind kind, struct hook_set *added,
		int (*between)(void *data), void *data);
/* Removes ours that are in *set, egress first. 0 or -errno, printed. */
int hook_detach(const struct instance *instance, const struct netdev_link *link,
		const struct hook_set *set);
/* Removes the pins of links and the notes of filters whose device is gone. */
int hook_prune(const struct instance *instance);
/*
 * Removes everything of the instance: every pinned link, wherever it is, and
 * our filters on the links of this network namespace.
 */
int hook_detach_all(struct instance *instance, const struct netdev *netdev);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * helper.h - the one part of the agent that keeps privileges: a process
 * that does a few things when it is asked by number, and reads nothing that
 * comes from a user's file or a network.
 */
#ifndef MASQ_AGENT_HELPER_H
#define MASQ_AGENT_HELPER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "kernel/cni.h"
#include "kernel/foreign.h"
#include "kernel/netdev.h"
#include "plane/fastpath.h"
#include "plane/hook.h"
#include "plane/instance.h"
#include "plane/seed.h"

struct helper {
	int fd;
	pid_t pid;
	/*
	 * Called when it was asked; returns when fd is readable, be it minutes,
	 * with 0, or with -errno, which is what the asker gets then and from
	 * then on. NULL: nobody has anything else to do meanwhile.
	 */
	int (*wait)(void *data, int fd);
	void *data;
};

/* Forks it; it ends when the descriptor is closed. 0 or -errno, printed. */
int helper_start(struct instance *instance, struct helper *out);

/* What is hooked on a link. 0 or -errno. */
int helper_look(const struct helper *helper, const struct netdev_link *link,
		enum hook_kind *kind, bool *whole);
/*
 * Hooks what is missing; *kind: what was asked for, then what it is. `seed`:
 * which flows it takes over from conntrack, however long that takes; *seeded:
 * it has.
 */
int helper_attach(const struct helper *helper, const struct netdev_link *link,
		  enum hook_kind *kind, enum seed_keep seed, bool *seeded);
/*
 * Rules of others that write sources, as foreign_nat_find, but for those that
 * no packet gets to. Free it in either case.
 */
int helper_foreign(const struct helper *helper, struct foreign_nat *out);
/*
 * As instance_fit, by the helper; what *instance has open is then what the
 * helper has. 0 or -errno, printed there. `helper`: a struct helper.
 */
int helper_fit(struct instance *instance, const struct instance_options *want,
	       void *helper);
/* As saved_keep has it done: instance->save. `helper`: a struct helper. */
int helper_save(struct instance *instance, void *helper);
/* Takes away what is hooked on a link; 0 or -errno. */
int helper_detach(const struct helper *helper, const struct netdev_link *link);
/* As instance_renew: has another process put another one in its place? */
int helper_renew(const struct helper *helper, struct instance *instance,
		 bool locked);
/*
 * The fast path: looks at the node, hooks the pods' interfaces where nothing
 * stands against it, and lets it be on for `lease_ns`; 0: takes it off. *out:
 * where it is and where not. 0 or -errno, printed there.
 */
int helper_fast(const struct helper *helper, uint64_t lease_ns,
		struct fastpath_sum *out);
/*
 * Who has which address, as cni_read: the helper opens the files, which are
 * root's, and does not look into them. 0, and cni_free it; or -errno.
 */
int helper_names(const struct helper *helper, struct cni **out);
/* beside_attach, beside_detach. */
int helper_watch(void *helper, const struct netdev_link *link);
int helper_unwatch(void *helper, const struct netdev_link *link);
int helper_prune(const struct helper *helper);
/* As putback(): 1: the pins are back. */
int helper_putback(const struct helper *helper);

#endif

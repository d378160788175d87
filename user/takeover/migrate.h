/* SPDX-License-Identifier: GPL-2.0-only */
/* migrate.h - what a migration looks at, and its steps. */
#ifndef MASQ_TAKEOVER_MIGRATE_H
#define MASQ_TAKEOVER_MIGRATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "config/config.h"
#include "kernel/netdev.h"
#include "policy/policy.h"
#include "takeover/chain.h"

struct migration {
	/* what was asked for */
	const char *pin_dir;
	const char *file; /* of --config; NULL: none */
	const char *chain; /* NULL: the one that is used */
	char **ifaces; /* none: those with a route to what is masqueraded */
	int iface_count;
	bool dry_run, no_wait;

	struct masq_chains chains;
	struct config *imported; /* what the chain says; NULL: cannot be said */
	char *text; /* of `imported` */
	char *given; /* of --config -, which can be read but once */
	struct policy *policy; /* that will be in force */
	bool runs; /* it is already, and stays */
	struct netdev *netdev;
	char **names; /* uplinks; ours to free only as an array */
	uint32_t *ifindexes;
	size_t count;
	size_t removed; /* jumps */
	bool was_attached, held, attached;
};

/*
 * Finds out everything that can be refused. 0; -EINVAL: the config is broken;
 * -EIO: all else. Printed.
 */
int migrate_look(struct migration *m);
/* The same attach as everybody's, by its command line. 0 or -errno, printed. */
int migrate_attach(struct migration *m);
/* What netfilter took on between attach and the jump's end. */
int migrate_seed_again(const struct migration *m);
/* Takes back what was done. */
void migrate_undo(struct migration *m);
void migrate_free(struct migration *m);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * foreign.h - netfilter rules of others that write sources. What they
 * translate in POSTROUTING comes to our hook with the node's address and
 * passes as the node's own: masqbpf looks healthy and does nothing.
 *
 * Read from the kernel itself (nf_tables over netlink, legacy iptables by
 * getsockopt): no tool is needed that an image may not have, and no module is
 * loaded by looking. Needs CAP_NET_ADMIN.
 */
#ifndef MASQ_FOREIGN_H
#define MASQ_FOREIGN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

struct foreign_rule {
	char where[96]; /* "nft ip nat", "iptables-legacy nat" */
	char chain[64];
	char what[32]; /* "MASQUERADE", "snat" */
	struct cidr source; /* that it is limited to; family 0: not seen */
	uint8_t family; /* of its table; 0: of both */
	bool reached; /* a hook or a rule leads to its chain */
};

struct foreign_nat {
	struct foreign_rule *rules;
	size_t count;
	/* why not all could be read, -errno; what is there is so all the same */
	int unreadable;
};

/* 0 or -errno, not printed; free it in either case. */
int foreign_nat_find(struct foreign_nat *out);
void foreign_nat_free(struct foreign_nat *nat);

/* Is there such a table of nf_tables, family inet? 1, 0 or -errno. */
int foreign_nft_table(const char *name);

#endif

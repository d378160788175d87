/* SPDX-License-Identifier: GPL-2.0-only */
/* chain_others.h - rules in other tables than the chain's. */
#ifndef MASQ_MASQCHAIN_OTHERS_H
#define MASQ_MASQCHAIN_OTHERS_H

#include <stdbool.h>
#include "base/cidr.h"
#include "takeover/chain.h"

/*
 * Of a packet's translations the first one counts: what another table would
 * make of it comes to life without the jump, and has another address than ours.
 * `takes`: does the chain translate anything from this range (family 0: from
 * anywhere)? 0; -EINVAL: such a rule is there; or -errno. Printed.
 */
int chain_others(const struct masq_chain *chain,
		 bool (*takes)(const void *data, const struct cidr *from),
		 const void *data);

#endif

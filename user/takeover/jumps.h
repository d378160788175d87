/* SPDX-License-Identifier: GPL-2.0-only */
/* jumps.h - the jumps to ip-masq-agent's chain: taken out, put back. */
#ifndef MASQ_TAKEOVER_JUMPS_H
#define MASQ_TAKEOVER_JUMPS_H

#include <stddef.h>
#include "takeover/chain.h"

size_t jumps_count(const struct masq_chains *chains);
/* *removed: how many, one that failed among them. 0 or not, printed. */
int jumps_remove(const struct masq_chains *chains, size_t *removed);
/* Those that were removed, in reverse; not where an agent was faster. */
void jumps_put_back(const struct masq_chains *chains, size_t removed);
/* Are they gone? 0; -EEXIST: an agent has put them back; -errno. Printed. */
int jumps_verify(const struct masq_chains *chains);

#endif

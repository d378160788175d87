/* SPDX-License-Identifier: GPL-2.0-only */
/* share.h - how much of the traffic takes the fast path. */
#ifndef MASQ_REPORT_SHARE_H
#define MASQ_REPORT_SHARE_H

#include <stddef.h>
#include <stdint.h>
#include "masqbpf.h"

/* Of packets out and in (enum masq_skip); < 0: there were none. */
struct fast_share {
	double of[MASQ_SKIP_MAX];
};

/* skips: packets that took it, all: of all prefixes. */
struct fast_share fast_share(const uint64_t skips[MASQ_SKIP_MAX],
			     const uint64_t all[MASQ_SKIP_MAX]);
/* "97 % of the packets out, 96 % in"; returns buf; NULL: not both are known. */
const char *fast_share_text(const struct fast_share *share, char *buf,
			    size_t len);

#endif

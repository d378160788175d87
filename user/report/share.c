// SPDX-License-Identifier: GPL-2.0-only
/* share.c - status and the page say the same. */
#include <stdio.h>
#include "report/share.h"

struct fast_share fast_share(const uint64_t skips[MASQ_SKIP_MAX],
			     const uint64_t all[MASQ_SKIP_MAX])
{
	struct fast_share share;

	for (int i = 0; i < MASQ_SKIP_MAX; i++)
		share.of[i] = all[i] ? (double)skips[i] / all[i] : -1;
	return share;
}

const char *fast_share_text(const struct fast_share *share, char *buf,
			    size_t len)
{
	if (share->of[MASQ_SKIP_OUT] < 0 || share->of[MASQ_SKIP_IN] < 0)
		return NULL;
	snprintf(buf, len, "%.0f %% of the packets out, %.0f %% in",
		 100 * share->of[MASQ_SKIP_OUT], 100 * share->of[MASQ_SKIP_IN]);
	return buf;
}

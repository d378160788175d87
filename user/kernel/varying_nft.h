/* SPDX-License-Identifier: GPL-2.0-only */
/* varying_nft.h - rules of nf_tables that vary; see varying.h. */
#ifndef MASQ_VARYING_NFT_H
#define MASQ_VARYING_NFT_H

#include <stdbool.h>
#include <stddef.h>

/* As varying_find, of nf_tables alone. *tracked stays or becomes true. */
int varying_nft(char *text, size_t len, bool *tracked);

#endif

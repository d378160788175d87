/* SPDX-License-Identifier: GPL-2.0-only */
/* nft.h - what nf_tables answers, as far as all who read it have it alike. */
#ifndef MASQ_NFT_H
#define MASQ_NFT_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/netlink.h"

/* "ip", "inet" ... by NFPROTO_*; NULL: another one. */
const char *nft_family(uint8_t family);

/* All of a kind (NFT_MSG_GET*) of a family. 0 or -errno, as netlink_all. */
int nft_dump(uint16_t type, uint8_t family, mnl_cb_t each, void *data);

/* All elements of a set; -ENOENT: it is not there (any more). */
int nft_dump_set(uint8_t family, const char *table, const char *set,
		 mnl_cb_t each, void *data);

/* Is this error that the kernel has no nf_tables, so nothing of it? */
bool nft_is_absent(int err);

/* An expression's name, or NULL, and its attributes by type. */
const char *nft_expression(const struct nlattr *element,
			   const struct nlattr *attrs[NETLINK_ATTRS]);

/* The verdict in NFTA_IMMEDIATE_DATA (NULL: none), by type; false: is none. */
bool nft_verdict(const struct nlattr *data,
		 const struct nlattr *verdict[NETLINK_ATTRS]);

#endif

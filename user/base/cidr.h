/* SPDX-License-Identifier: GPL-2.0-only */
/* cidr.h - addresses, prefixes, port ranges: text to binary and back. */
#ifndef MASQ_CIDR_H
#define MASQ_CIDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <linux/types.h>

/* An address of either family. IPv4 lies in a[0], the rest is 0. */
struct addr {
	uint8_t family; /* 4 or 6; 0: unset */
	__be32 a[4];
};

/* A prefix; bits beyond plen are 0. */
struct cidr {
	struct addr addr;
	uint8_t plen; /* 0..32 or 0..128 */
};

#define CIDR_STRLEN 64

/*
 * Each parser takes the whole string, returns 0 or -EINVAL, leaves *out alone
 * on failure and then puts one clause about what is wrong (and, where one
 * can be made, a suggestion) into err (err may be NULL).
 */
int addr_parse(const char *text, struct addr *out, char *err, size_t errlen);
int cidr_parse(const char *text, struct cidr *out, char *err, size_t errlen);
/* As cidr_parse, but a bare address stands for its /32 or /128. */
int cidr_or_addr_parse(const char *text, struct cidr *out, char *err,
		       size_t errlen);
/* "10240-65535", host order, lo <= hi, 1..65535. */
int port_range_parse(const char *text, uint16_t *lo, uint16_t *hi, char *err,
		     size_t errlen);
/* Decimal, whole string, min <= value <= max. */
int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		 char *err, size_t errlen);

/* Canonical text (RFC 5952 for IPv6); returns buf. */
const char *addr_format(const struct addr *addr, char *buf, size_t len);
const char *cidr_format(const struct cidr *cidr, char *buf, size_t len);

static inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->family == b->family && a->a[0] == b->a[0] &&
	       a->a[1] == b->a[1] && a->a[2] == b->a[2] && a->a[3] == b->a[3];
}

/* Total orders: family, address, then the wider first. */
int addr_cmp(const struct addr *a, const struct addr *b);
int cidr_cmp(const struct cidr *a, const struct cidr *b);
/*
 * For a prefix that did not come through cidr_parse: is it one that does? A
 * known family, no bits beyond the length, no IPv4 prefix in IPv6 form.
 */
bool cidr_is_sound(const struct cidr *cidr);
/* The prefix of this length that holds addr. */
struct cidr cidr_of(const struct addr *addr, uint8_t plen);
/* Does outer cover all of inner? */
bool cidr_covers(const struct cidr *outer, const struct cidr *inner);
/* Why what a policy says of these destinations has no effect; NULL: it has. */
const char *cidr_no_effect(const struct cidr *cidr);

#endif

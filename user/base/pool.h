/* SPDX-License-Identifier: GPL-2.0-only */
/* pool.h - a set of addresses of one family, to choose a source from. */
#ifndef MASQ_POOL_H
#define MASQ_POOL_H

#include "base/cidr.h"
#include "masqbpf.h"

#define POOL_ADDRESSES 65536 /* at most */

/* Both ends belong to it; in the order of addresses, with gaps between them. */
struct pool_range {
	struct addr first, last;
};

struct pool {
	uint8_t family; /* 4 or 6; 0: unset */
	uint8_t count;
	struct pool_range range[MASQ_POOL_RANGES];
};

/* The longest text: each range as FIRST-LAST. */
#define POOL_STRLEN (MASQ_POOL_RANGES * (2 * CIDR_STRLEN + 2))

/*
 * "192.0.2.8", "192.0.2.16/30" (all four), "192.0.2.20-192.0.2.27". 0 or
 * -EINVAL with a clause in err, as cidr.h has it.
 */
int pool_parse(const char *text, struct pool *out, char *err, size_t errlen);
struct pool pool_of(const struct addr *addr);
/*
 * Adds what the other has. 0; -EAFNOSUPPORT: of another family; -E2BIG: more
 * ranges than MASQ_POOL_RANGES; -EFBIG: more than POOL_ADDRESSES. On failure
 * *pool is as it was.
 */
int pool_add(struct pool *pool, const struct pool *other);
bool pool_overlaps(const struct pool *a, const struct pool *b);
uint32_t pool_size(const struct pool *pool);
/* How many slots of masq_snat it takes. */
static inline uint32_t pool_slots(const struct pool *pool)
{
	return pool_size(pool) == 1 ? 1 : 2 * pool->count;
}
uint32_t pool_range_size(const struct pool_range *range);
int pool_cmp(const struct pool *a, const struct pool *b);
/* For one that did not come through pool_parse: is it as those are? */
bool pool_is_sound(const struct pool *pool);

/* All of it, "A, B/30, C-D"; returns buf. */
const char *pool_format(const struct pool *pool, char *buf, size_t len);
/* In a few words where it does not fit: "A and 19 more"; returns buf. */
const char *pool_short(const struct pool *pool, char *buf, size_t len);
/* A range as a prefix, a single address or FIRST-LAST; returns buf. */
const char *pool_range_format(const struct pool_range *range, char *buf,
			      size_t len);

/*
 * The prefixes that make up a range, one after the other: *at is where the
 * next one begins, first range->first. False: that was the last.
 */
bool pool_next_cidr(const struct pool_range *range, struct addr *at,
		    struct cidr *out);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/* pool.c - ranges of addresses, sorted and joined. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/pool.h"
#include "base/reject.h"

__extension__ typedef unsigned __int128 number;

static int width(uint8_t family)
{
	return family == 4 ? 32 : 128;
}

static number to_number(const struct addr *addr)
{
	number n = 0;

	for (int i = 0; i < width(addr->family) / 32; i++)
		n = n << 32 | ntohl(addr->a[i]);
	return n;
}

static struct addr from_number(number n, uint8_t family)
{
	struct addr addr = { .family = family };

	for (int i = width(family) / 32; i--; n >>= 32)
		addr.a[i] = htonl((uint32_t)n);
	return addr;
}

/* Without what would be 2^128: that is far too many as well. */
static number span(const struct pool_range *range)
{
	return to_number(&range->last) - to_number(&range->first);
}

uint32_t pool_range_size(const struct pool_range *range)
{
	return span(range) + 1;
}

uint32_t pool_size(const struct pool *pool)
{
	uint32_t size = 0;

	for (int i = 0; i < pool->count; i++)
		size += pool_range_size(&pool->range[i]);
	return size;
}

struct pool pool_of(const struct addr *addr)
{
	return (struct pool){ .family = addr->family,
			      .count = 1,
			      .range = { { *addr, *addr } } };
}

static struct addr last_of(const struct cidr *cidr)
{
	int host = width(cidr->addr.family) - cidr->plen;
	number ones = host == 128 ? ~(number)0 : ((number)1 << host) - 1;

	return from_number(to_number(&cidr->addr) | ones, cidr->addr.family);
}

int pool_parse(const char *text, struct pool *out, char *err, size_t errlen)
{
	const char *dash = strchr(text, '-');
	struct pool_range range;
	struct cidr cidr;
	int ret;

	if (dash) {
		char first[CIDR_STRLEN];

		if ((size_t)(dash - text) >= sizeof(first))
			return reject(err, errlen, "too long for an address");
		snprintf(first, sizeof(first), "%.*s", (int)(dash - text),
			 text);
		ret = addr_parse(first, &range.first, err, errlen)
			      ?: addr_parse(dash + 1, &range.last, err, errlen);
	} else if (strchr(text, '/')) {
		ret = cidr_parse(text, &cidr, err, errlen);
		if (!ret)
			range = (struct pool_range){ cidr.addr,
						     last_of(&cidr) };
	} else {
		ret = addr_parse(text, &range.first, err, errlen);
		range.last = range.first;
	}
	if (ret)
		return ret;
	if (range.first.family != range.last.family)
		return reject(err, errlen,
			      "one end is IPv4, the other one IPv6");
	if (addr_cmp(&range.first, &range.last) > 0)
		return reject(err, errlen,
			      "the last address is below the first");
	if (span(&range) >= POOL_ADDRESSES)
		return reject(err, errlen,
			      "more than %d addresses, which is the most that"
			      " can be chosen from",
			      POOL_ADDRESSES);
	*out = (struct pool){ .family = range.first.family,
			      .count = 1,
			      .range = { range } };
	return 0;
}

/* Does b begin within a or right behind it, in the order of addresses? */
static bool joins(const struct pool_range *a, const struct pool_range *b)
{
	return addr_cmp(&b->first, &a->last) <= 0 ||
	       to_number(&b->first) - to_number(&a->last) == 1;
}

int pool_add(struct pool *pool, const struct pool *other)
{
	struct pool_range all[2 * MASQ_POOL_RANGES];
	int count = 0, kept = 0, i = 0, k = 0;
	number size = 0;

	if (!pool->family) {
		*pool = *other;
		return 0;
	}
	if (pool->family != other->family)
		return -EAFNOSUPPORT;
	while (i < pool->count || k < other->count) {
		bool ours = k == other->count ||
			    (i < pool->count &&
			     addr_cmp(&pool->range[i].first,
				      &other->range[k].first) <= 0);

		all[count++] = ours ? pool->range[i++] : other->range[k++];
	}
	for (i = 1; i < count; i++) {
		if (!joins(&all[kept], &all[i]))
			all[++kept] = all[i];
		else if (addr_cmp(&all[i].last, &all[kept].last) > 0)
			all[kept].last = all[i].last;
	}
	count = kept + 1;
	if (count > MASQ_POOL_RANGES)
		return -E2BIG;
	for (i = 0; i < count; i++)
		size += span(&all[i]) + 1;
	if (size > POOL_ADDRESSES)
		return -EFBIG;
	memcpy(pool->range, all, count * sizeof(*all));
	pool->count = count;
	return 0;
}

bool pool_overlaps(const struct pool *a, const struct pool *b)
{
	for (int i = 0; i < a->count; i++)
		for (int k = 0; k < b->count; k++)
			if (addr_cmp(&a->range[i].first, &b->range[k].last) <=
				    0 &&
			    addr_cmp(&b->range[k].first, &a->range[i].last) <=
				    0)
				return true;
	return false;
}

int pool_cmp(const struct pool *a, const struct pool *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	for (int i = 0; i < a->count && i < b->count; i++) {
		int order = addr_cmp(&a->range[i].first, &b->range[i].first)
				    ?: addr_cmp(&a->range[i].last,
						&b->range[i].last);

		if (order)
			return order;
	}
	return a->count - b->count;
}

bool pool_is_sound(const struct pool *pool)
{
	number size = 0;

	if ((pool->family != 4 && pool->family != 6) || !pool->count ||
	    pool->count > MASQ_POOL_RANGES)
		return false;
	for (int i = 0; i < pool->count; i++) {
		const struct pool_range *range = &pool->range[i];

		if (range->first.family != pool->family ||
		    range->last.family != pool->family ||
		    addr_cmp(&range->first, &range->last) > 0 ||
		    span(range) >= POOL_ADDRESSES ||
		    (i && (addr_cmp(&range->first, &range[-1].last) <= 0 ||
			   joins(&range[-1], range))))
			return false;
		size += span(range) + 1;
	}
	return size <= POOL_ADDRESSES;
}

bool pool_next_cidr(const struct pool_range *range, struct addr *at,
		    struct cidr *out)
{
	number first = to_number(at), last = to_number(&range->last);
	uint8_t family = range->first.family;
	number size = 1;

	if (at->family != family || first > last)
		return false;
	while (!(first & (2 * size - 1)) && 2 * size - 1 <= last - first)
		size *= 2;
	*out = (struct cidr){ .addr = *at, .plen = width(family) };
	for (; size > 1; size /= 2) {
		out->plen--;
		first += size / 2;
	}
	/* first has moved on by all but one */
	if (first == last)
		at->family = 0;
	else
		*at = from_number(first + 1, family);
	return true;
}

const char *pool_range_format(const struct pool_range *range, char *buf,
			      size_t len)
{
	char first[CIDR_STRLEN], last[CIDR_STRLEN];
	struct addr at = range->first;
	struct cidr cidr;

	if (!addr_cmp(&range->first, &range->last))
		return addr_format(&range->first, buf, len);
	if (pool_next_cidr(range, &at, &cidr) && !at.family)
		return cidr_format(&cidr, buf, len);
	snprintf(buf, len, "%s-%s",
		 addr_format(&range->first, first, sizeof(first)),
		 addr_format(&range->last, last, sizeof(last)));
	return buf;
}

const char *pool_format(const struct pool *pool, char *buf, size_t len)
{
	char text[2 * CIDR_STRLEN];
	size_t at = 0;

	buf[0] = '\0';
	for (int i = 0; i < pool->count && at < len; i++)
		at += snprintf(buf + at, len - at, "%s%s", i ? ", " : "",
			       pool_range_format(&pool->range[i], text,
						 sizeof(text)));
	return buf;
}

const char *pool_short(const struct pool *pool, char *buf, size_t len)
{
	char whole[POOL_STRLEN], text[CIDR_STRLEN];

	pool_format(pool, whole, sizeof(whole));
	if (strlen(whole) < 48 && strlen(whole) < len)
		snprintf(buf, len, "%s", whole);
	else
		snprintf(buf, len, "%s and %u more",
			 addr_format(&pool->range[0].first, text, sizeof(text)),
			 pool_size(pool) - 1);
	return buf;
}

// SPDX-License-Identifier: GPL-2.0-only
/* entry_code.c - numbers of seven bits a byte, addresses by what is new. */
#include <pwd.h>
#include <string.h>
#include "policy/entry_code.h"

/* What an entry does not share with the one before it. */
enum {
	OTHER_SORT = 1, /* family, list, action or origin */
	OTHER_SNAT = 2,
	OTHER_SINCE = 4,
};

/* Seven bits a byte, least significant first. */
static uint8_t *put_number(uint8_t *at, uint32_t number)
{
	for (; number > 0x7f; number >>= 7)
		*at++ = number | 0x80;
	*at++ = number;
	return at;
}

/* The bytes between those of the address before and the zeros at the end. */
static uint8_t *put_address(uint8_t *at, const struct addr *addr,
			    const struct addr *before)
{
	const uint8_t *bytes = (const uint8_t *)addr->a;
	const uint8_t *old = (const uint8_t *)before->a;
	int length = addr->family == 4 ? 4 : 16, same = 0, zeros = 0;

	while (same < length && same < 15 && bytes[same] == old[same])
		same++;
	while (same + zeros < length && zeros < 15 &&
	       !bytes[length - 1 - zeros])
		zeros++;
	*at++ = same << 4 | zeros;
	length -= same + zeros;
	memcpy(at, bytes + same, length);
	return at + length;
}

uint8_t *put_entry(uint8_t *at, const struct policy_entry *entry,
		   const struct policy_entry *before)
{
	/* lines of neighbours are near each other, before or behind */
	int32_t lines = entry->line - before->line;
	uint8_t *flags = at;

	*at++ = 0;
	*at++ = entry->cidr.plen;
	if (entry->cidr.addr.family != before->cidr.addr.family ||
	    entry->list != before->list || entry->action != before->action ||
	    entry->origin != before->origin) {
		*flags |= OTHER_SORT;
		*at++ = entry->cidr.addr.family;
		*at++ = entry->list;
		*at++ = entry->action;
		*at++ = entry->origin;
	}
	if (entry->snat != before->snat) {
		*flags |= OTHER_SNAT;
		at = put_number(at, entry->snat);
	}
	if (entry->since != before->since) {
		*flags |= OTHER_SINCE;
		at = put_number(at, entry->since);
	}
	at = put_address(at, &entry->cidr.addr, &before->cidr.addr);
	return put_number(at, (uint32_t)lines << 1 ^ lines >> 31);
}

static uint8_t get_byte(struct reader *r)
{
	r->bad |= r->at == r->end;
	return r->bad ? 0 : *r->at++;
}

static uint32_t get_number(struct reader *r)
{
	uint32_t number = 0;
	uint8_t byte;
	int shift = 0;

	do {
		byte = get_byte(r);
		number |= (uint32_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && shift < 35);
	return number;
}

static void get_address(struct reader *r, struct addr *addr)
{
	uint8_t *bytes = (uint8_t *)addr->a, shape = get_byte(r);
	int length = addr->family == 4 ? 4 : 16;
	int same = shape >> 4, zeros = shape & 15;

	r->bad |= same + zeros > length;
	for (int i = same; i < length - zeros; i++)
		bytes[i] = get_byte(r);
	if (!r->bad)
		memset(bytes + length - zeros, 0, zeros);
}

void get_entry(struct reader *r, struct policy_entry *entry)
{
	uint8_t flags = get_byte(r), family = entry->cidr.addr.family;
	uint32_t lines;

	entry->cidr.plen = get_byte(r);
	if (flags & OTHER_SORT) {
		entry->cidr.addr.family = get_byte(r);
		entry->list = get_byte(r);
		entry->action = get_byte(r);
		entry->origin = get_byte(r);
	}
	if (flags & OTHER_SNAT)
		entry->snat = get_number(r);
	if (flags & OTHER_SINCE)
		entry->since = get_number(r);
	if (family == 6 && entry->cidr.addr.family == 4)
		memset(&entry->cidr.addr.a[1], 0, 12);
	get_address(r, &entry->cidr.addr);
	lines = get_number(r);
	entry->line += lines >> 1 ^ -(lines & 1);
}

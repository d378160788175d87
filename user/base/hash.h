/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * hash.h - FNV-1a, 64 bits: tells texts and bytes apart that nobody has made
 * to collide; no seal against who wants to.
 */
#ifndef MASQ_HASH_H
#define MASQ_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_BEGIN 0xcbf29ce484222325ULL

/* Of what came before (HASH_BEGIN: nothing) and these bytes. */
static inline uint64_t hash_more(uint64_t hash, const void *bytes,
				 size_t length)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	return hash;
}

static inline uint64_t hash_of(const void *bytes, size_t length)
{
	return hash_more(HASH_BEGIN, bytes, length);
}

#endif

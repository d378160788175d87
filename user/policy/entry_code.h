/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * entry_code.h - the entries of a policy as bytes: what differs from the one
 * before, 8 bytes or so instead of 36.
 */
#ifndef MASQ_POLICY_ENTRY_CODE_H
#define MASQ_POLICY_ENTRY_CODE_H

#include <stdbool.h>
#include <stdint.h>
#include "policy/policy.h"

/* flags, plen, 4 of sort, snat, since, shape, address, line */
#define ENTRY_MAX (1 + 1 + 4 + 3 + 5 + 1 + 16 + 5)
#define ENTRY_MIN 4

/* The bytes of an entry, ENTRY_MAX at the most; returns their end. */
uint8_t *put_entry(uint8_t *at, const struct policy_entry *entry,
		   const struct policy_entry *before);

struct reader {
	const uint8_t *at, *end;
	bool bad; /* the text ended too early, or cannot be right */
};

/* *entry: the one before; becomes the next one. */
void get_entry(struct reader *r, struct policy_entry *entry);

#endif

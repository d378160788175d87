/* SPDX-License-Identifier: GPL-2.0-only */
/* units.h - numbers as digits, and as people read them. */
#ifndef MASQ_BASE_UNITS_H
#define MASQ_BASE_UNITS_H

#include <stddef.h>
#include <stdint.h>

/* Decimal digits to `at`, no NUL; returns their end. printf is too slow for
 * the numbers of a quarter of a million rows. */
char *put_u64(char *at, uint64_t n);

/* "1.5K" / "3.2 GiB" style numbers into buf; returns buf. */
const char *human_count(uint64_t n, char *buf, size_t len);
const char *human_bytes(uint64_t n, char *buf, size_t len);
const char *human_age(uint64_t seconds, char *buf, size_t len);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/* units.c - "1.5K", "3.2 GiB", "2h05m". */
#include <string.h>
#include "base/units.h"

char *put_u64(char *at, uint64_t n)
{
	char digits[20], *c = digits + sizeof(digits);

	do {
		*--c = '0' + n % 10;
		n /= 10;
	} while (n);
	return mempcpy(at, c, digits + sizeof(digits) - c);
}

static const char *copy(char *buf, size_t len, const char *text)
{
	size_t length = strnlen(text, len - 1);

	memcpy(buf, text, length);
	buf[length] = '\0';
	return buf;
}

/* In whole numbers: what this leaves out is no part of three digits. */
static const char *human(uint64_t n, unsigned int base,
			 const char *const *units, char *buf, size_t len)
{
	uint64_t rest = 0, tenths;
	char text[32], *c = text;
	int unit = 0;

	/* 999.5 would be printed as 1000: it belongs to the next unit */
	while (units[unit + 1] && n + (unit && 2 * rest >= base) >= base) {
		rest = n % base;
		n /= base;
		unit++;
	}
	tenths = 10 * n + (10 * rest + base / 2) / base;
	if (unit && tenths < 1000) {
		c = put_u64(c, tenths / 10);
		*c++ = '.';
		c = put_u64(c, tenths % 10);
	} else {
		c = put_u64(c, n + (unit && 2 * rest >= base));
	}
	strcpy(c, units[unit]);
	return copy(buf, len, text);
}

const char *human_count(uint64_t n, char *buf, size_t len)
{
	static const char *const units[] = { "",  "K", "M", "G",
					     "T", "P", "E", NULL };

	return human(n, 1000, units, buf, len);
}

const char *human_bytes(uint64_t n, char *buf, size_t len)
{
	static const char *const units[] = { " B",   " KiB", " MiB", " GiB",
					     " TiB", " PiB", " EiB", NULL };

	return human(n, 1024, units, buf, len);
}

static char *put_two(char *c, unsigned int n, char unit)
{
	*c++ = '0' + n / 10;
	*c++ = '0' + n % 10;
	*c++ = unit;
	return c;
}

/* The two largest units: "45s", "3m20s", "2h05m", "11d04h". */
const char *human_age(uint64_t s, char *buf, size_t len)
{
	unsigned int h = s / 3600 % 24, m = s / 60 % 60;
	char text[32], *c = text;

	if (s >= 86400) {
		c = put_u64(c, s / 86400);
		*c++ = 'd';
		c = put_two(c, h, 'h');
	} else if (h) {
		c = put_u64(c, h);
		*c++ = 'h';
		c = put_two(c, m, 'm');
	} else {
		if (m) {
			c = put_u64(c, m);
			*c++ = 'm';
		}
		c = m ? put_two(c, s % 60, 's') : put_u64(c, s);
		if (!m)
			*c++ = 's';
	}
	*c = '\0';
	return copy(buf, len, text);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * duration.c - durations as Go's time.ParseDuration reads them, because that
 * is what ip-masq-agent's files hold.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/duration.h"
#include "base/reject.h"

#define MAX_NS ((uint64_t)INT64_MAX)

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{ "ns", 1 },
	{ "us", 1000 },
	{ "\xc2\xb5s", 1000 }, /* U+00B5, the micro sign */
	{ "\xce\xbcs", 1000 }, /* U+03BC, the Greek letter */
	{ "ms", 1000000 },
	{ "s", 1000000000 },
	{ "m", 60 * 1000000000ULL },
	{ "h", 3600 * 1000000000ULL },
};

static int too_long(char *err, size_t errlen)
{
	return reject(err, errlen, "longer than 2562047 hours");
}

static uint64_t unit_ns(const char *name, size_t length)
{
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == length &&
		    !memcmp(units[i].name, name, length))
			return units[i].ns;
	return 0;
}

/* One "1.5h" at *text, which is moved behind it. */
static int parse_part(const char **text, uint64_t *ns, char *err, size_t errlen)
{
	const char *p = *text, *start = p, *unit;
	uint64_t whole = 0, unit_size;
	double fraction = 0, scale = 1;
	int digits = 0;
	size_t length;

	for (; isdigit((unsigned char)*p); p++, digits++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, *p - '0', &whole))
			return too_long(err, errlen);
	if (*p == '.')
		for (p++; isdigit((unsigned char)*p); p++, digits++) {
			/* further digits are finer than a nanosecond */
			if (scale > 1e18)
				continue;
			fraction = fraction * 10 + (*p - '0');
			scale *= 10;
		}
	if (!digits)
		return reject(err, errlen,
			      "not a duration: write it as 90s, 1h30m or"
			      " 500ms");

	unit = p;
	length = strcspn(unit, ".0123456789");
	if (!length)
		return reject(err, errlen,
			      "a duration needs a unit: did you mean %.*ss?",
			      (int)(p - start > 20 ? 20 : p - start), start);
	unit_size = unit_ns(unit, length);
	if (!unit_size && length == 1 && *unit == 'd' && whole < 100000)
		return reject(err, errlen,
			      "there is no unit for days: did you mean %lluh?",
			      (unsigned long long)whole * 24);
	if (!unit_size)
		return reject(err, errlen,
			      "not a duration: the units are h, m, s, ms, us,"
			      " ns");
	if (__builtin_mul_overflow(whole, unit_size, &whole) || whole > MAX_NS)
		return too_long(err, errlen);
	whole += (uint64_t)(fraction * ((double)unit_size / scale));
	if (__builtin_add_overflow(*ns, whole, ns) || *ns > MAX_NS)
		return too_long(err, errlen);
	*text = unit + length;
	return 0;
}

int duration_parse(const char *text, uint64_t *ns, char *err, size_t errlen)
{
	const char *p = text;
	uint64_t sum = 0;
	int ret;

	if (*p == '+' || *p == '-')
		p++;
	/* the one number that needs no unit */
	if (strcmp(p, "0")) {
		do {
			ret = parse_part(&p, &sum, err, errlen);
			if (ret)
				return ret;
		} while (*p);
	}
	if (*text == '-' && sum)
		return reject(err, errlen, "must not be negative");
	*ns = sum;
	return 0;
}

const char *duration_format(uint64_t ns, char buf[static DURATION_STRLEN])
{
	uint64_t s = ns / 1000000000, part = ns % 1000000000;
	char *c = buf;

	if (!s && part) {
		double unit = part < 1000 ? 1 : part < 1000000 ? 1e3 : 1e6;

		snprintf(buf, DURATION_STRLEN, "%.7g%s", part / unit,
			 part < 1000	  ? "ns"
			 : part < 1000000 ? "us"
					  : "ms");
		return buf;
	}
	if (s >= 3600)
		c += sprintf(c, "%lluh", (unsigned long long)s / 3600);
	if (s / 60 % 60)
		c += sprintf(c, "%llum", (unsigned long long)s / 60 % 60);
	if (part)
		snprintf(c, buf + DURATION_STRLEN - c, "%.11gs",
			 s % 60 + part / 1e9);
	else if (s % 60 || c == buf)
		snprintf(c, buf + DURATION_STRLEN - c, "%llus",
			 (unsigned long long)s % 60);
	return buf;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_cidr.c - libFuzzer on the parsers of single values. What is accepted
 * comes back from its own text; what is refused says why, and whatever is
 * suggested instead is accepted.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cidr.h"
#include "base/duration.h"
#include "config/config.h"
#include "fuzz.h"

/* The X of "did you mean X?" in *out; false: nothing is suggested. */
static int suggestion(const char *err, char *out, size_t len)
{
	const char *start = strstr(err, "did you mean ");

	require(*err);
	if (!start)
		return 0;
	snprintf(out, len, "%s", start + strlen("did you mean "));
	require(strchr(out, '?'));
	*strchr(out, '?') = '\0';
	return 1;
}

static void check_cidr(const char *text)
{
	char err[256] = "", meant[256];
	struct cidr cidr, again;

	if (!cidr_parse(text, &cidr, err, sizeof(err))) {
		cidr_format(&cidr, meant, sizeof(meant));
		require(!cidr_parse(meant, &again, NULL, 0));
		require(!cidr_cmp(&cidr, &again));
		require(cidr_covers(&cidr, &again));
	} else if (suggestion(err, meant, sizeof(meant))) {
		require(!cidr_parse(meant, &again, NULL, 0));
	}
}

static void check_addr(const char *text)
{
	char err[256] = "", meant[256];
	struct addr addr, again;

	if (!addr_parse(text, &addr, err, sizeof(err))) {
		addr_format(&addr, meant, sizeof(meant));
		require(!addr_parse(meant, &again, NULL, 0));
		require(!memcmp(&addr, &again, sizeof(addr)));
	} else if (suggestion(err, meant, sizeof(meant))) {
		require(!addr_parse(meant, &again, NULL, 0));
	}
}

static void check_values(const char *text)
{
	char err[256] = "", meant[256];
	uint16_t lo = 0, hi = 0;
	uint64_t value;

	if (!port_range_parse(text, &lo, &hi, err, sizeof(err)))
		require(lo && lo <= hi);
	else if (suggestion(err, meant, sizeof(meant)))
		require(!port_range_parse(meant, &lo, &hi, NULL, 0));

	err[0] = '\0';
	if (!duration_parse(text, &value, err, sizeof(err)))
		require(value <= INT64_MAX);
	else
		suggestion(err, meant, sizeof(meant));

	if (!number_parse(text, 3, 70000, &value, NULL, 0))
		require(value >= 3 && value <= 70000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);

	check_cidr(text);
	check_addr(text);
	check_values(text);
	free(text);
	return 0;
}

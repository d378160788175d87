// SPDX-License-Identifier: GPL-2.0-only
/* test_cidr.c - accept and reject tables for addresses, prefixes, ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include "rows.h"
#include "base/cidr.h"

/* text, canonical form (NULL: the same) */
static const struct {
	const char *text, *canonical;
} cidr_good[] = {
	{ "0.0.0.0/0", NULL },
	{ "10.0.0.0/8", NULL },
	{ "172.16.0.0/12", NULL },
	{ "100.64.0.0/10", NULL },
	{ "192.88.99.0/24", NULL },
	{ "240.0.0.0/4", NULL },
	{ "128.0.0.0/1", NULL },
	{ "1.2.3.4/31", NULL },
	{ "1.2.3.4/32", NULL },
	{ "255.255.255.255/32", NULL },
	{ "::/0", NULL },
	{ "fc00::/7", NULL },
	{ "FC00::/7", "fc00::/7" },
	{ "fe80::/10", NULL },
	{ "ff00::/8", NULL },
	{ "2001:db8::/32", NULL },
	{ "2001:0db8:0000:0000::/64", "2001:db8::/64" },
	{ "2001:db8:0:1:0:0:0:0/64", "2001:db8:0:1::/64" },
	{ "2001:db8:1:2:3:4:5:0/127", "2001:db8:1:2:3:4:5:0/127" },
	{ "::1/128", NULL },
	{ "::1:0/112", NULL },
	{ "::1:2/128", NULL },
	{ "64:ff9b::/96", NULL },
	{ "64:ff9b::1.2.3.4/128", "64:ff9b::102:304/128" },
	{ "1:0:0:2:0:0:0:3/128", "1:0:0:2::3/128" },
};

/* text, what the clause must say */
static const struct {
	const char *text, *says;
} cidr_bad[] = {
	{ "", "no address" },
	{ "/", "no address" },
	{ "/8", "no address" },
	{ "abcdefg", "not an IP address" },
	{ "10", "4 parts, not 1" },
	{ "10.0.0.0", "no prefix length: did you mean 10.0.0.0/32?" },
	{ "fd00::", "no prefix length: did you mean fd00::/128?" },
	{ "10.0.0.0/", "must be 0 to 32" },
	{ "10.0.0.1/8", "beyond the prefix length: did you mean 10.0.0.0/8?" },
	{ "64.255.255.255/8", "did you mean 64.0.0.0/8?" },
	{ "2.2.2.2/16", "did you mean 2.2.0.0/16?" },
	{ "1.2.3.4/0", "did you mean 0.0.0.0/0?" },
	{ "10.0.0.0/33", "must be 0 to 32" },
	{ "10.0.0.0/99999999999999999999", "must be 0 to 32" },
	{ "10.0.0.0/-1", "must be 0 to 32" },
	{ "10.0.0.0/+8", "must be 0 to 32" },
	{ "10.0.0.0/ 8", "must be 0 to 32" },
	{ "10.0.0.0/8x", "must be 0 to 32" },
	{ "10.0.0.0/0x8", "must be 0 to 32" },
	{ "10.0.0.0/08", "prefix length has a leading zero" },
	{ "10.0.0.0/00", "prefix length has a leading zero" },
	{ "10.0.0.0/8/8", "must be 0 to 32" },
	{ "10.0.0.0/255.0.0.0", "netmask" },
	{ "10.1.0.0/255.0.0.0", "did you mean 10.0.0.0/8?" },
	{ "10.0.0.0/255.0.255.0", "must be 0 to 32" },
	{ "010.0.0.0/8", "leading zero: did you mean 10.0.0.0/8?" },
	{ "10.00.0.0/8", "leading zero: did you mean 10.0.0.0/8?" },
	{ "010.0.0.1/8", "leading zero: did you mean 10.0.0.0/8?" },
	{ "010.0.0.0/33", "leading zero" },
	{ "1.2.3/24", "4 parts, not 3: did you mean 1.2.3.0/24?" },
	{ "10.1/8", "4 parts, not 2: did you mean 10.0.0.0/8?" },
	{ "10/8", "4 parts, not 1" },
	{ "1.2.3.4.5/24", "more than 4 parts" },
	{ "1.2.3.4./24", "not an IP address" },
	{ "1..3.4/24", "not an IP address" },
	{ ".1.2.3/24", "not an IP address" },
	{ "10.256.0.0/16", "256 is above 255" },
	{ "10.0.0.-1/8", "not an IP address" },
	{ "10.0.0.99999999999999999999/8", "above 255" },
	{ "0x0a.0.0.0/8", "not an IP address" },
	{ "a.b.c.d/8", "not an IP address" },
	{ "10.0.0.0 /8", "white space" },
	{ " 10.0.0.0/8", "white space" },
	{ "10.0.0.0\n/8", "white space" },
	{ "10.0.0.0/8 ", "must be 0 to 32" },
	{ "10.0.0.0/8,172.16.0.0/12", "contains a comma" },
	{ "10.0.0.0,172.16.0.0/12", "comma" },
	{ "fc00::1/7", "did you mean fc00::/7?" },
	{ "fc00::/129", "must be 0 to 128" },
	{ "fc00::/-1", "must be 0 to 128" },
	{ "fc00::/08", "leading zero" },
	{ "fc00::/255.0.0.0", "must be 0 to 128" },
	{ "fc00:::/7", "not an IPv6 address" },
	{ "fc00::1::/7", "not an IPv6 address" },
	{ "1:2:3:4:5:6:7/64", "not an IPv6 address" },
	{ "12345::/16", "not an IPv6 address" },
	{ "fe80::%eth0/64", "zone" },
	{ "fe80::%1/64", "zone" },
	{ "[fc00::]/7", "not an IPv6 address" },
	{ "::ffff:10.0.0.0/104", "IPv6 form: did you mean 10.0.0.0/8?" },
	{ "::ffff:10.0.0.1/104", "did you mean 10.0.0.0/8?" },
	{ "::ffff:1.2.3.4", "no prefix length: did you mean 1.2.3.4/32?" },
	{ "::ffff:0:0/95", "did you mean ::fffe:0:0/95?" },
	{ "::ffff:0:0/96", "did you mean 0.0.0.0/0?" },
	{ "::ffff:1.2.3.4/128", "did you mean 1.2.3.4/32?" },
	{ "1111111111111111111111111111111111111111111111111111/8",
	  "too long" },
	{ "1111:1111:1111:1111:1111:1111:1111:1111:1111:1111:1111/8",
	  "too long" },
};

static void cidr_accepts(void **state)
{
	char buf[CIDR_STRLEN], err[256] = "";

	(void)state;
	for (size_t i = 0; i < ROWS(cidr_good); i++) {
		const char *row = cidr_good[i].text;
		struct cidr cidr, again;

		if (cidr_parse(row, &cidr, err, sizeof(err)))
			fail_msg("row \"%s\": %s", row, err);
		row_text(row, cidr_format(&cidr, buf, sizeof(buf)),
			 cidr_good[i].canonical ?: row);
		row_true(row, !cidr_parse(buf, &again, NULL, 0));
		row_true(row, !cidr_cmp(&cidr, &again));
		row_true(row, !cidr_or_addr_parse(row, &again, NULL, 0));
		row_true(row, !cidr_cmp(&cidr, &again));
	}
}

static void cidr_rejects(void **state)
{
	char err[256], cut[4];

	(void)state;
	for (size_t i = 0; i < ROWS(cidr_bad); i++) {
		const char *row = cidr_bad[i].text;
		struct cidr cidr, before;

		memset(&cidr, 0xa5, sizeof(cidr));
		before = cidr;
		row_true(row,
			 cidr_parse(row, &cidr, err, sizeof(err)) == -EINVAL);
		row_true(row, !memcmp(&cidr, &before, sizeof(cidr)));
		row_says(row, err, cidr_bad[i].says);
		row_true(row, cidr_parse(row, &cidr, NULL, 0) == -EINVAL);
		row_true(row,
			 cidr_parse(row, &cidr, cut, sizeof(cut)) == -EINVAL);
		row_true(row, strlen(cut) == 3);
	}
}

static const struct {
	const char *text, *canonical, *says;
} addr_rows[] = {
	{ "10.142.0.6", "10.142.0.6", NULL },
	{ "0.0.0.0", "0.0.0.0", NULL },
	{ "fd00::6", "fd00::6", NULL },
	{ "FD00:0::0:6", "fd00::6", NULL },
	{ "::", "::", NULL },
	{ "", NULL, "no address" },
	{ "10.142.0.6/32", NULL, "a prefix, where one address is expected" },
	{ "10.142.0", NULL, "did you mean 10.142.0.0?" },
	{ "10.142.0.06", NULL, "leading zero: did you mean 10.142.0.6?" },
	{ "::ffff:10.142.0.6", NULL, "did you mean 10.142.0.6?" },
	{ "fe80::1%eth0", NULL, "zone" },
	{ "eth0", NULL, "not an IP address" },
	{ "10.142.0.6\n", NULL, "white space" },
};

static void addr_table(void **state)
{
	char buf[CIDR_STRLEN], err[256] = "";

	(void)state;
	for (size_t i = 0; i < ROWS(addr_rows); i++) {
		const char *row = addr_rows[i].text;
		struct addr addr;
		int ret = addr_parse(row, &addr, err, sizeof(err));

		if (!addr_rows[i].canonical) {
			row_true(row, ret == -EINVAL);
			row_says(row, err, addr_rows[i].says);
			continue;
		}
		row_true(row, !ret);
		row_text(row, addr_format(&addr, buf, sizeof(buf)),
			 addr_rows[i].canonical);
	}
}

static void bare_addresses(void **state)
{
	char buf[CIDR_STRLEN], err[256];
	struct cidr cidr;

	(void)state;
	assert_int_equal(cidr_or_addr_parse("10.44.14.15", &cidr, NULL, 0), 0);
	assert_string_equal(cidr_format(&cidr, buf, sizeof(buf)),
			    "10.44.14.15/32");
	assert_int_equal(cidr_or_addr_parse("fd00::1", &cidr, NULL, 0), 0);
	assert_string_equal(cidr_format(&cidr, buf, sizeof(buf)),
			    "fd00::1/128");
	assert_int_equal(cidr_or_addr_parse("10.1.1", &cidr, err, sizeof(err)),
			 -EINVAL);
	assert_non_null(strstr(err, "did you mean 10.1.1.0?"));
}

static const struct {
	const char *text;
	uint16_t lo, hi;
	const char *says;
} port_rows[] = {
	{ "10240-65535", 10240, 65535, NULL },
	{ "1-65535", 1, 65535, NULL },
	{ "42-42", 42, 42, NULL },
	{ "42", 0, 0, "not a port range" },
	{ "", 0, 0, "not a port range" },
	{ "-", 0, 0, "not a port range" },
	{ "-44", 0, 0, "not a port range" },
	{ "42-", 0, 0, "not a port range" },
	{ "42-41", 0, 0, "did you mean 41-42?" },
	{ "42 - 44", 0, 0, "not a port range" },
	{ "42-43-44", 0, 0, "not a port range" },
	{ "42-44,80", 0, 0, "not a port range" },
	{ "4x-44", 0, 0, "not a port range" },
	{ "42-4x", 0, 0, "not a port range" },
	{ "0-100", 0, 0, "1 to 65535" },
	{ "1-65536", 0, 0, "1 to 65535" },
	{ "010-20", 0, 0, "not a port range" },
	{ "1000000000-2", 0, 0, "not a port range" },
};

static void port_ranges(void **state)
{
	char err[256] = "";

	(void)state;
	for (size_t i = 0; i < ROWS(port_rows); i++) {
		const char *row = port_rows[i].text;
		uint16_t lo = 7, hi = 7;
		int ret = port_range_parse(row, &lo, &hi, err, sizeof(err));

		if (port_rows[i].says) {
			row_true(row, ret == -EINVAL && lo == 7 && hi == 7);
			row_says(row, err, port_rows[i].says);
			continue;
		}
		row_true(row, !ret);
		row_true(row, lo == port_rows[i].lo && hi == port_rows[i].hi);
	}
}

static const struct {
	const char *text;
	uint64_t min, max;
	const char *says; /* NULL: accepted */
} number_rows[] = {
	{ "0", 0, 10, NULL },
	{ "10", 0, 10, NULL },
	{ "18446744073709551615", 0, UINT64_MAX, NULL },
	{ "18446744073709551616", 0, UINT64_MAX, "must be 0 to" },
	{ "11", 0, 10, "must be 0 to 10" },
	{ "4", 5, 10, "must be 5 to 10" },
	{ "", 0, 10, "not a whole number" },
	{ "-1", 0, 10, "not a whole number" },
	{ "+1", 0, 10, "not a whole number" },
	{ " 1", 0, 10, "not a whole number" },
	{ "1 ", 0, 10, "not a whole number" },
	{ "12x", 0, 100, "not a whole number" },
	{ "1.5", 0, 10, "not a whole number" },
	{ "0x5", 0, 10, "leading zero" },
	{ "05", 0, 10, "leading zero" },
};

static void numbers(void **state)
{
	char err[256] = "";

	(void)state;
	for (size_t i = 0; i < ROWS(number_rows); i++) {
		const char *row = number_rows[i].text;
		uint64_t value = 7777;
		int ret = number_parse(row, number_rows[i].min,
				       number_rows[i].max, &value, err,
				       sizeof(err));

		if (number_rows[i].says) {
			row_true(row, ret == -EINVAL && value == 7777);
			row_says(row, err, number_rows[i].says);
			continue;
		}
		row_true(row, !ret && value == strtoull(row, NULL, 10));
	}
}

static struct cidr of(const char *text)
{
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr, NULL, 0), 0);
	return cidr;
}

static const struct {
	const char *outer, *inner;
	bool covers;
} cover_rows[] = {
	{ "10.0.0.0/8", "10.0.0.0/8", true },
	{ "10.0.0.0/8", "10.44.0.0/16", true },
	{ "10.44.0.0/16", "10.0.0.0/8", false },
	{ "10.0.0.0/16", "10.0.0.0/8", false },
	{ "2001:db8::/48", "2001:db8::/32", false },
	{ "172.16.0.0/12", "172.30.12.110/32", true },
	{ "172.16.0.0/12", "172.32.0.0/16", false },
	{ "0.0.0.0/0", "1.2.3.4/32", true },
	{ "0.0.0.0/0", "::/0", false },
	{ "::/0", "10.0.0.0/8", false },
	{ "::/0", "fc00::/7", true },
	{ "2001:db8::/33", "2001:db8:8000::/34", false },
	{ "2001:db8::/33", "2001:db8:7fff::/48", true },
	{ "::/127", "::1/128", true },
	{ "::/128", "::1/128", false },
};

static void covering(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(cover_rows); i++) {
		struct cidr outer = of(cover_rows[i].outer);
		struct cidr inner = of(cover_rows[i].inner);

		row_true(cover_rows[i].inner,
			 cidr_covers(&outer, &inner) == cover_rows[i].covers);
	}
}

/* The order of this table is the order of cidr_cmp. */
static const char *const ordered[] = {
	"0.0.0.0/0",	"0.0.0.0/8",	  "10.0.0.0/8",	   "10.0.0.0/9",
	"10.128.0.0/9", "192.168.0.0/16", "::/0",	   "::/128",
	"::1/128",	"2001:db8::/32",  "2001:db8::/64", "fc00::/7",
};

static void order(void **state)
{
	(void)state;
	for (size_t i = 0; i < ROWS(ordered); i++)
		for (size_t k = 0; k < ROWS(ordered); k++) {
			struct cidr a = of(ordered[i]), b = of(ordered[k]);
			int cmp = cidr_cmp(&a, &b);

			row_true(ordered[i], (cmp < 0) == (i < k));
			row_true(ordered[i], (cmp > 0) == (i > k));
		}
}

/* What cidr_parse takes, and nothing else. */
static void sound(void **state)
{
	struct cidr cidr = of("10.0.0.0/8");

	(void)state;
	for (size_t i = 0; i < ROWS(ordered); i++) {
		cidr = of(ordered[i]);
		row_true(ordered[i], cidr_is_sound(&cidr));
	}
	cidr = of("10.0.0.0/8");
	cidr.plen = 33;
	assert_false(cidr_is_sound(&cidr));
	cidr.plen = 6;
	assert_false(cidr_is_sound(&cidr));
	cidr.plen = 8;
	cidr.addr.family = 5;
	assert_false(cidr_is_sound(&cidr));
	cidr = (struct cidr){ { 6, { 0, 0, htonl(0xffff), 0 } }, 96 };
	assert_false(cidr_is_sound(&cidr));
	cidr.plen = 95;
	cidr.addr.a[2] = htonl(0xfffe);
	assert_true(cidr_is_sound(&cidr));
}

/* The bytes between family and address are whatever they were. */
static void order_of_addresses(void **state)
{
	struct addr a, b;

	(void)state;
	memset(&a, 0xff, sizeof(a));
	memset(&b, 0, sizeof(b));
	a.family = b.family = 4;
	memset(a.a, 1, sizeof(a.a));
	memset(b.a, 1, sizeof(b.a));
	assert_int_equal(addr_cmp(&a, &b), 0);
	assert_true(addr_equal(&a, &b));
	b.a[3] = htonl(1);
	assert_true(addr_cmp(&a, &b) > 0 && addr_cmp(&b, &a) < 0);
	a.family = 6;
	b.a[0] = htonl(0xffffffff);
	assert_true(addr_cmp(&a, &b) > 0 && addr_cmp(&b, &a) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cidr_accepts),
		cmocka_unit_test(cidr_rejects),
		cmocka_unit_test(addr_table),
		cmocka_unit_test(bare_addresses),
		cmocka_unit_test(port_ranges),
		cmocka_unit_test(numbers),
		cmocka_unit_test(covering),
		cmocka_unit_test(order),
		cmocka_unit_test(order_of_addresses),
		cmocka_unit_test(sound),
	};

	return cmocka_run_group_tests_name("cidr", tests, NULL, NULL);
}

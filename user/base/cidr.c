// SPDX-License-Identifier: GPL-2.0-only
/*
 * cidr.c - addresses, prefixes, port ranges: text to binary and back. Only
 * what is unmistakable is taken: no short forms, no leading zeros (octal to
 * some, decimal to others), no host bits that would have to be masked away.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cidr.h"
#include "base/reject.h"

#define ADDR_TEXT_MAX 48 /* longer is no address */

static int width(const struct addr *addr)
{
	return addr->family == 6 ? 128 : 32;
}

struct cidr cidr_of(const struct addr *addr, uint8_t plen)
{
	struct cidr cidr = { .addr = *addr, .plen = plen };

	for (int i = 0; i < 4; i++) {
		int bits = plen - 32 * i;

		if (bits <= 0)
			cidr.addr.a[i] = 0;
		else if (bits < 32)
			cidr.addr.a[i] &= htonl(~0U << (32 - bits));
	}
	return cidr;
}

static bool is_mapped(const struct addr *addr)
{
	return addr->family == 6 && !addr->a[0] && !addr->a[1] &&
	       addr->a[2] == htonl(0xffff);
}

/* ": did you mean GUESS?"; plen 0xff: an address. Never what is refused. */
static void suggest(char *err, size_t errlen, struct cidr guess)
{
	char text[CIDR_STRLEN];
	size_t length;

	if (!err || !errlen || !guess.addr.family)
		return;
	if (is_mapped(&guess.addr) && guess.plen >= 96) {
		guess.addr =
			(struct addr){ .family = 4, .a = { guess.addr.a[3] } };
		if (guess.plen != 0xff)
			guess.plen -= 96;
	}
	if (guess.plen == 0xff)
		addr_format(&guess.addr, text, sizeof(text));
	else
		cidr_format(&guess, text, sizeof(text));
	length = strlen(err);
	snprintf(err + length, errlen - length, ": did you mean %s?", text);
}

/* What is wrong with an IPv4 address that inet_pton refused. */
static int explain4(const char *text, struct addr *guess, char *err,
		    size_t errlen)
{
	unsigned int part[4] = { 0 };
	bool zero = false;
	int count = 0;

	for (const char *p = text;;) {
		char *end;
		unsigned long value;

		if (!isdigit((unsigned char)*p))
			return reject(err, errlen, "not an IP address");
		value = strtoul(p, &end, 10);
		if (value > 255)
			return reject(err, errlen,
				      "not an IPv4 address: %.*s is above 255",
				      (int)(end - p), p);
		if (*end && *end != '.')
			return reject(err, errlen, "not an IP address");
		if (count == 4)
			return reject(err, errlen,
				      "not an IPv4 address: more than 4 parts");
		zero |= *p == '0' && end - p > 1;
		part[count++] = value;
		if (!*end)
			break;
		p = end + 1;
	}
	/* a lone number is as likely a typing error of another kind */
	if (count > 1) {
		guess->family = 4;
		guess->a[0] = htonl(part[0] << 24 | part[1] << 16 |
				    part[2] << 8 | part[3]);
	}
	if (zero)
		return reject(err, errlen,
			      "an address part has a leading zero");
	return reject(err, errlen, "an IPv4 address has 4 parts, not %d",
		      count);
}

/* As addr_parse, but leaves the suggestion in *guess to the caller. */
static int parse_addr(const char *text, struct addr *out, struct addr *guess,
		      char *err, size_t errlen)
{
	struct addr addr = { 0 };

	*guess = (struct addr){ 0 };
	if (!*text)
		return reject(err, errlen, "no address");
	for (const char *p = text; *p; p++)
		if (isspace((unsigned char)*p))
			return reject(err, errlen, "contains white space");
	if (strchr(text, ','))
		return reject(err, errlen, "contains a comma: one at a time");
	if (strlen(text) >= ADDR_TEXT_MAX)
		return reject(err, errlen, "too long for an address");

	if (!strchr(text, ':')) {
		if (inet_pton(AF_INET, text, addr.a) != 1)
			return explain4(text, guess, err, errlen);
		addr.family = 4;
	} else {
		if (strchr(text, '%'))
			return reject(err, errlen,
				      "a zone (%%...) is not allowed here");
		if (inet_pton(AF_INET6, text, addr.a) != 1)
			return reject(err, errlen, "not an IPv6 address");
		addr.family = 6;
	}
	*out = addr;
	return 0;
}

int addr_parse(const char *text, struct addr *out, char *err, size_t errlen)
{
	struct cidr guess = { .plen = 0xff };
	struct addr addr;
	int ret;

	if (strchr(text, '/'))
		return reject(err, errlen,
			      "a prefix, where one address is expected");
	ret = parse_addr(text, &addr, &guess.addr, err, errlen);
	if (ret) {
		suggest(err, errlen, guess);
		return ret;
	}
	if (is_mapped(&addr)) {
		guess.addr = addr;
		reject(err, errlen, "an IPv4 address in IPv6 form");
		suggest(err, errlen, guess);
		return -EINVAL;
	}
	*out = addr;
	return 0;
}

/* Length of a netmask as text ("255.240.0.0"), or -1. */
static int netmask_length(const char *text)
{
	uint32_t bits;

	if (inet_pton(AF_INET, text, &bits) != 1)
		return -1;
	bits = ntohl(bits);
	if (bits & (~bits >> 1))
		return -1;
	return __builtin_popcount(bits);
}

static int parse_plen(const char *text, const struct addr *addr,
		      struct cidr *guess, uint8_t *out, char *err,
		      size_t errlen)
{
	uint64_t plen;
	int netmask = netmask_length(text);

	if (strchr(text, ','))
		return reject(err, errlen, "contains a comma: one at a time");
	if (netmask >= 0 && addr->family == 4) {
		*guess = cidr_of(addr, netmask);
		return reject(err, errlen,
			      "a netmask, where a prefix length is expected");
	}
	if (text[0] == '0' && isdigit((unsigned char)text[1]))
		return reject(err, errlen,
			      "the prefix length has a leading zero");
	if (number_parse(text, 0, width(addr), &plen, NULL, 0))
		return reject(err, errlen, "the prefix length must be 0 to %d",
			      width(addr));
	*out = plen;
	return 0;
}

/* The number at *text, which moves on; above 999: not as we print it. */
static unsigned int canonical(const char **text)
{
	const char *p = *text;
	unsigned int value = 0;

	while (isdigit((unsigned char)*p) && p - *text < 3)
		value = 10 * value + (*p++ - '0');
	if (p == *text || (**text == '0' && p - *text > 1))
		return UINT32_MAX;
	*text = p;
	return value;
}

/* What nearly all are: 198.51.100.0/24 and nothing to say about it. */
static bool parse_plain4(const char *text, struct cidr *out)
{
	uint32_t bits = 0;
	unsigned int plen;

	for (int part = 0; part < 4; part++) {
		unsigned int value = canonical(&text);

		if (value > 255 || *text++ != (part < 3 ? '.' : '/'))
			return false;
		bits = bits << 8 | value;
	}
	plen = canonical(&text);
	if (plen > 32 || *text || (plen < 32 && bits << plen))
		return false;
	*out = (struct cidr){ .addr = { 4, { htonl(bits) } }, .plen = plen };
	return true;
}

int cidr_parse(const char *text, struct cidr *out, char *err, size_t errlen)
{
	const char *slash = strchr(text, '/');
	char head[ADDR_TEXT_MAX + 1];
	struct cidr cidr, guess = { 0 };
	struct addr near;
	int ret;

	if (parse_plain4(text, out))
		return 0;
	/* what is cut off here is still too long for parse_addr */
	snprintf(head, sizeof(head), "%s", text);
	head[strcspn(head, "/")] = '\0';
	ret = parse_addr(head, &cidr.addr, &near, err, errlen);
	if (ret) {
		/* 010.1/8: the length still has to fit the guess */
		if (near.family && slash &&
		    !parse_plen(slash + 1, &near, &guess, &cidr.plen, NULL,
				0)) {
			guess = cidr_of(&near, cidr.plen);
			suggest(err, errlen, guess);
		}
		return ret;
	}
	if (!slash) {
		guess = cidr_of(&cidr.addr, width(&cidr.addr));
		reject(err, errlen, "no prefix length");
		suggest(err, errlen, guess);
		return -EINVAL;
	}
	ret = parse_plen(slash + 1, &cidr.addr, &guess, &cidr.plen, err,
			 errlen);
	if (ret) {
		suggest(err, errlen, guess);
		return ret;
	}

	guess = cidr_of(&cidr.addr, cidr.plen);
	if (is_mapped(&cidr.addr) && cidr.plen >= 96) {
		guess.addr =
			(struct addr){ .family = 4, .a = { guess.addr.a[3] } };
		guess.plen -= 96;
		reject(err, errlen, "an IPv4 prefix in IPv6 form");
		suggest(err, errlen, guess);
		return -EINVAL;
	}
	if (memcmp(guess.addr.a, cidr.addr.a, sizeof(cidr.addr.a))) {
		reject(err, errlen, "has bits set beyond the prefix length");
		suggest(err, errlen, guess);
		return -EINVAL;
	}
	*out = guess;
	return 0;
}

int cidr_or_addr_parse(const char *text, struct cidr *out, char *err,
		       size_t errlen)
{
	struct addr addr;

	if (strchr(text, '/'))
		return cidr_parse(text, out, err, errlen);
	if (addr_parse(text, &addr, err, errlen))
		return -EINVAL;
	*out = cidr_of(&addr, width(&addr));
	return 0;
}

int port_range_parse(const char *text, uint16_t *lo, uint16_t *hi, char *err,
		     size_t errlen)
{
	const char *dash = strchr(text, '-');
	char head[8];
	uint64_t first, last;

	if (!dash || dash == text || dash - text >= (int)sizeof(head))
		return reject(err, errlen,
			      "not a port range: write it as 10240-65535");
	snprintf(head, sizeof(head), "%.*s", (int)(dash - text), text);
	if (number_parse(head, 1, UINT16_MAX, &first, NULL, 0) ||
	    number_parse(dash + 1, 1, UINT16_MAX, &last, NULL, 0))
		return reject(err, errlen,
			      "not a port range: two numbers of 1 to 65535 with"
			      " a dash between, as in 10240-65535");
	if (first > last)
		return reject(err, errlen,
			      "begins above its end: did you mean %u-%u?",
			      (unsigned int)last, (unsigned int)first);
	*lo = first;
	*hi = last;
	return 0;
}

int number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *out,
		 char *err, size_t errlen)
{
	unsigned long long value;
	char *end;

	/* strtoull alone takes blanks and signs, and wraps "-1" around */
	if (!isdigit((unsigned char)*text))
		return reject(err, errlen, "not a whole number");
	if (text[0] == '0' && text[1])
		return reject(err, errlen,
			      "not a decimal number: leading zero");
	errno = 0;
	value = strtoull(text, &end, 10);
	if (*end)
		return reject(err, errlen, "not a whole number");
	if (errno || value < min || value > max)
		return reject(err, errlen, "must be %llu to %llu",
			      (unsigned long long)min, (unsigned long long)max);
	*out = value;
	return 0;
}

/* printf and inet_ntop, which uses it, are too slow for all flows of a node. */
static char *put_number(char *buf, unsigned int n) /* 0 to 255 */
{
	if (n >= 100)
		*buf++ = '0' + n / 100;
	if (n >= 10)
		*buf++ = '0' + n / 10 % 10;
	*buf++ = '0' + n % 10;
	*buf = '\0';
	return buf;
}

static void format4(const unsigned char octets[4], char *buf)
{
	for (int i = 0; i < 4; i++) {
		if (i)
			*buf++ = '.';
		buf = put_number(buf, octets[i]);
	}
}

const char *addr_format(const struct addr *addr, char *buf, size_t len)
{
	if (addr->family == 4 && len >= INET_ADDRSTRLEN) {
		format4((const unsigned char *)addr->a, buf);
		return buf;
	}
	/*
	 * inet_ntop prints ::1:2 as ::0.1.0.2. RFC 5952 wants that form only
	 * where the prefix is known to embed IPv4, and ::/96 no longer is.
	 */
	if (addr->family == 6 && !addr->a[0] && !addr->a[1] && !addr->a[2]) {
		uint32_t low = ntohl(addr->a[3]);

		if (low >> 16)
			snprintf(buf, len, "::%x:%x", low >> 16, low & 0xffff);
		else if (low)
			snprintf(buf, len, "::%x", low);
		else
			snprintf(buf, len, "::");
		return buf;
	}
	if (!addr->family || !inet_ntop(addr->family == 6 ? AF_INET6 : AF_INET,
					addr->a, buf, len))
		snprintf(buf, len, "-");
	return buf;
}

const char *cidr_format(const struct cidr *cidr, char *buf, size_t len)
{
	char text[INET6_ADDRSTRLEN];
	unsigned int n = cidr->plen;

	if (len < CIDR_STRLEN) {
		snprintf(buf, len, "%s/%u",
			 addr_format(&cidr->addr, text, sizeof(text)), n);
		return buf;
	}
	addr_format(&cidr->addr, buf, len);
	put_number(strcpy(buf + strlen(buf), "/") + 1, n);
	return buf;
}

/* Not memcmp of the whole: there is padding in it. */
int addr_cmp(const struct addr *a, const struct addr *b)
{
	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	return memcmp(a->a, b->a, sizeof(a->a));
}

int cidr_cmp(const struct cidr *a, const struct cidr *b)
{
	int order = addr_cmp(&a->addr, &b->addr);

	return order ? order : (a->plen > b->plen) - (a->plen < b->plen);
}

bool cidr_is_sound(const struct cidr *cidr)
{
	const struct addr *addr = &cidr->addr;
	struct cidr again;

	if ((addr->family != 4 && addr->family != 6) ||
	    cidr->plen > width(addr))
		return false;
	again = cidr_of(addr, cidr->plen);
	return addr_equal(addr, &again.addr) &&
	       !(is_mapped(addr) && cidr->plen >= 96);
}

bool cidr_covers(const struct cidr *outer, const struct cidr *inner)
{
	struct cidr head = cidr_of(&inner->addr, outer->plen);

	return outer->plen <= inner->plen && !cidr_cmp(&head, outer);
}

const char *cidr_no_effect(const struct cidr *cidr)
{
	uint32_t first = ntohl(cidr->addr.a[0]);
	bool six = cidr->addr.family == 6;

	if (six ? cidr->plen >= 8 && first >> 24 == 0xff
		: cidr->plen >= 4 && first >> 28 == 0xe)
		return "multicast is never masqueraded";
	if (six ? cidr->plen == 128 && !first && !cidr->addr.a[1] &&
			    !cidr->addr.a[2] && ntohl(cidr->addr.a[3]) == 1
		: cidr->plen >= 8 && first >> 24 == 127)
		return "loopback never leaves the node";
	return NULL;
}

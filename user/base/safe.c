// SPDX-License-Identifier: GPL-2.0-only
/* safe.c - one place for what terminals, JSON and metrics can bear. */
#include <stdio.h>
#include <string.h>
#include "base/safe.h"

int safe_utf8(const char *s, unsigned int *out)
{
	static const unsigned int least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char c = *s;
	int length = c < 0x80	? 1
		     : c < 0xc0 ? 0
		     : c < 0xe0 ? 2
		     : c < 0xf0 ? 3
		     : c < 0xf8 ? 4
				: 0;
	unsigned int code = length > 1 ? c & (0x7f >> length) : c;

	for (int i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	/* longer than need be, half of a pair, beyond the last */
	if (!length || code < least[length] || code > 0x10ffff ||
	    (code >= 0xd800 && code < 0xe000))
		return 0;
	*out = code;
	return length;
}

/* Moves the cursor, breaks the line or turns what follows around. */
static int is_control(unsigned int code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x61c ||
	       code == 0x200e || code == 0x200f ||
	       (code >= 0x2028 && code <= 0x202e) ||
	       (code >= 0x2066 && code <= 0x2069) || code == 0xfeff;
}

int safe_length(const char *s)
{
	unsigned int code;
	int length = safe_utf8(s, &code);

	return length && !is_control(code) ? length : 0;
}

const char *safe_text(const char *text, char *buf, size_t len)
{
	size_t used = 0;

	while (*text) {
		int length = safe_length(text);
		char piece[8];

		if (length) {
			memcpy(piece, text, length);
			text += length;
		} else {
			length = snprintf(piece, sizeof(piece), "\\x%02x",
					  (unsigned char)*text++);
		}
		if (used + length >= len)
			break;
		memcpy(buf + used, piece, length);
		used += length;
	}
	buf[used] = '\0';
	return buf;
}

const char *shown(const char *text)
{
	static char bufs[SAFE_SHOWN][4 * 1024];
	static unsigned int next;

	return safe_text(text, bufs[next++ % SAFE_SHOWN], sizeof(bufs[0]));
}

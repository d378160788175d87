// SPDX-License-Identifier: GPL-2.0-only
/* show.c - an end of a flow, a list of prefixes. */
#include <string.h>
#include "base/json.h"
#include "base/units.h"
#include "cli/show.h"

const char *end_text(const struct addr *addr, uint16_t port, char *buf,
		     size_t len)
{
	char *c = buf;

	if (addr->family == 6)
		*c++ = '[';
	c += strlen(addr_format(addr, c, len - 9));
	if (addr->family == 6)
		*c++ = ']';
	*c++ = ':';
	*put_u64(c, port) = '\0';
	return buf;
}

void json_cidrs(struct json *j, const char *key,
		const struct config_cidrs *list)
{
	char text[CIDR_STRLEN];

	json_array(j, key);
	for (size_t i = 0; i < list->count; i++)
		json_string(j, NULL,
			    cidr_format(&list->items[i].cidr, text,
					sizeof(text)));
	json_array_end(j);
}

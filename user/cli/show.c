// SPDX-License-Identifier: GPL-2.0-only
/* show.c - an end of a flow, a list of prefixes. */
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "base/safe.h"
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

/*
 * 2001:db8::1:443 is an address. Where it would be one without its last part,
 * too, and that is a number, it may be meant for a port.
 */
static void hint_brackets(const char *command, const char *text)
{
	const char *last = strrchr(text, ':');
	char before[CIDR_STRLEN];
	struct addr addr;

	if (!last || strlen(last) < 3 ||
	    last[1 + strspn(last + 1, "0123456789")] ||
	    (size_t)(last - text) >= sizeof(before))
		return;
	snprintf(before, sizeof(before), "%.*s", (int)(last - text), text);
	if (!addr_parse(before, &addr, NULL, 0))
		log_info("%s: %s: an address, without a port; with one: [%s]%s",
			 command, text, before, last);
}

int end_read(const struct cmd_line *line, const char *text, struct addr *addr,
	     uint16_t *port)
{
	const char *command = line->cmd->name, *digits = NULL, *end = NULL;
	char only[CIDR_STRLEN], err[256];
	uint64_t number = 0;

	if (*text == '[') {
		end = strchr(text++, ']');
		digits = end && end[1] == ':' ? end + 2 : NULL;
		if (!end || (end[1] && !digits)) {
			log_error("%s: %s: not [ADDRESS]:PORT", command,
				  shown(text - 1));
			return CMD_USAGE;
		}
	} else if (strchr(text, ':') == strrchr(text, ':')) {
		end = strchr(text, ':');
		digits = end ? end + 1 : NULL;
	}
	if (!end)
		end = text + strlen(text);
	/* what is longer than any address stays whole in the message */
	snprintf(only, sizeof(only), "%.*s", (int)(end - text), text);
	if (addr_parse((size_t)(end - text) < sizeof(only) ? only : text, addr,
		       err, sizeof(err))) {
		log_error("%s: %s: %s%s", command, shown(text), err,
			  strpbrk(only, "ghijklmnopqrstuvwxyz")
				  ? " (of a name, getent ahosts tells them)"
				  : "");
		return CMD_USAGE;
	}
	if (digits &&
	    number_parse(digits, 1, 65535, &number, err, sizeof(err))) {
		log_error("%s: port %s: %s", command, shown(digits), err);
		return CMD_USAGE;
	}
	if (!digits && *end != ']')
		hint_brackets(command, text);
	*port = number;
	return CMD_OK;
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

// SPDX-License-Identifier: GPL-2.0-only
/* podname.c - pods as JSON has them, and as operands name them. */
#include "base/log.h"
#include "base/safe.h"
#include "cli/podname.h"

void podname_json(struct json *j, const char *key, const struct addr *addr)
{
	const struct cni_pod *pod = podname_of(addr);

	if (!pod) {
		json_null(j, key);
		return;
	}
	json_object(j, key);
	json_string(j, "namespace", pod->space);
	json_string(j, "name", pod->name);
	json_object_end(j);
}

int podname_read(const struct cmd_line *line, const char *what,
		 const char *text, uint8_t family, struct addr *out)
{
	char err[256];

	if (podname_is_name(text)) {
		if (podname_find(text, family, out))
			return CMD_OK;
		log_error(
			"%s: %s%s: no pod of this name is known on this node (%s)",
			line->cmd->name, what, shown(text),
			podname_known() ? "its address will do"
					: "no names are: its address will do");
		return CMD_USAGE;
	}
	if (addr_parse(text, out, err, sizeof(err))) {
		log_error("%s: %s%s: %s", line->cmd->name, what, shown(text),
			  err);
		return CMD_USAGE;
	}
	return CMD_OK;
}

// SPDX-License-Identifier: GPL-2.0-only
/* podname.c - pods as JSON has them, and as operands name them. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/meant.h"
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

/* ": did you mean NAMESPACE/NAME?" of a pod that is here, or nothing. */
static const char *meant(const char *text, char *buf, size_t len)
{
	const struct cni *all = podname_all();
	const char *name = strrchr(text, '/') ? strrchr(text, '/') + 1 : text;
	unsigned int least = UINT_MAX;

	*buf = '\0';
	for (size_t i = 0; all && i < all->count && least; i++) {
		const struct cni_pod *pod = &all->pods[i];
		char whole[CNI_STRLEN];

		snprintf(whole, sizeof(whole), "%s/%s", pod->space, pod->name);
		/* without its namespace, or in another one; else a slip */
		if (!strcmp(pod->name, name))
			least = 0;
		else if (!meant_nearer(text, whole, &least) &&
			 !meant_nearer(name, pod->name, &least))
			continue;
		snprintf(buf, len, ": did you mean %s?", whole);
	}
	return buf;
}

/* Letters, and nothing that addresses have: a name without its namespace. */
static bool is_half_a_name(const char *text)
{
	return isalpha((unsigned char)*text) && !strpbrk(text, ":/");
}

int podname_none(const struct cmd_line *line, const char *what,
		 const char *text, const char *why)
{
	char guess[CNI_STRLEN + 32];
	struct addr other;

	if (podname_is_name(text) && podname_find(text, 0, &other)) {
		log_error("%s: %s%s: this pod has no IPv%d address",
			  line->cmd->name, what, shown(text),
			  other.family == 4 ? 6 : 4);
	} else if (podname_is_name(text)) {
		meant(text, guess, sizeof(guess));
		log_error(
			"%s: %s%s: no pod of this name is known on this node%s",
			line->cmd->name, what, shown(text),
			*guess ? guess
			: podname_known()
				? " (its address will do)"
				: " (no names are: its address will do)");
	} else if (is_half_a_name(text)) {
		log_error("%s: %s%s: neither an address nor namespace/name%s",
			  line->cmd->name, what, shown(text),
			  meant(text, guess, sizeof(guess)));
	} else {
		log_error("%s: %s%s: %s", line->cmd->name, what, shown(text),
			  why);
	}
	return CMD_USAGE;
}

int podname_read(const struct cmd_line *line, const char *what,
		 const char *text, uint8_t family, struct addr *out)
{
	char err[256] = "";

	if (podname_is_name(text) ? podname_find(text, family, out)
				  : !addr_parse(text, out, err, sizeof(err)))
		return CMD_OK;
	return podname_none(line, what, text, err);
}

// SPDX-License-Identifier: GPL-2.0-only
/* podname.c - what kernel/cni has read, for as long as it is fresh. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "base/log.h"
#include "base/safe.h"
#include "cli/podname.h"

#define FRESH_SECONDS 5

static struct cni *known;
static struct timespec read_at;

static const struct cni *names(void)
{
	struct timespec now;
	struct cni *fresh;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (known && now.tv_sec - read_at.tv_sec < FRESH_SECONDS)
		return known;
	/* without memory the old ones have to do, or none */
	if (!cni_read(cni_dir(), &fresh)) {
		cni_free(known);
		known = fresh;
	}
	read_at = now;
	return known;
}

bool podname_known(void)
{
	const struct cni *cni = names();

	return cni && cni->count;
}

const char *podname_beside(const struct addr *addr, char *buf, size_t len)
{
	const struct cni_pod *pod = cni_pod(names(), addr);
	size_t used;

	addr_format(addr, buf, len);
	used = strlen(buf);
	if (pod)
		snprintf(buf + used, len - used, " %s/%s", pod->space,
			 pod->name);
	return buf;
}

const char *podname_only(const struct addr *addr, char *buf, size_t len)
{
	const struct cni_pod *pod = cni_pod(names(), addr);

	if (pod)
		snprintf(buf, len, "%s/%s", pod->space, pod->name);
	else
		snprintf(buf, len, "-");
	return buf;
}

void podname_json(struct json *j, const char *key, const struct addr *addr)
{
	const struct cni_pod *pod = addr->family ? cni_pod(names(), addr)
						 : NULL;

	if (!pod) {
		json_null(j, key);
		return;
	}
	json_object(j, key);
	json_string(j, "namespace", pod->space);
	json_string(j, "name", pod->name);
	json_object_end(j);
}

bool podname_find(const char *text, uint8_t family, struct addr *out)
{
	return cni_find(names(), text, family, out);
}

bool podname_is_name(const char *text)
{
	const char *slash = strchr(text, '/');

	/* behind the slash of a prefix there are digits, and before it dots or
	 * colons; a namespace has neither */
	return slash && slash != text && !memchr(text, '.', slash - text) &&
	       !memchr(text, ':', slash - text);
}

int podname_read(const struct cmd_line *line, const char *what,
		 const char *text, uint8_t family, struct addr *out)
{
	char err[256];

	if (podname_is_name(text)) {
		if (cni_find(names(), text, family, out))
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

// SPDX-License-Identifier: GPL-2.0-only
/* names.c - arguments cut into names, patterns held against links. */
#include <fnmatch.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include "kernel/names.h"

static bool is_pattern(const char *name)
{
	return strpbrk(name, "*?") || (*name && name[strlen(name) - 1] == '+');
}

static int one(const struct netdev *netdev, const char *name, size_t length,
	       int (*each)(void *data, const struct names_part *part),
	       void *data)
{
	struct names_part part = {};

	snprintf(part.name, sizeof(part.name), "%.*s", (int)length, name);
	part.link = netdev_by_name(netdev, part.name);
	part.pattern = !part.link && is_pattern(part.name);
	return each(data, &part);
}

int names_each(const struct netdev *netdev, const char *text,
	       int (*each)(void *data, const struct names_part *part),
	       void *data)
{
	int err = 0;

	if (netdev_by_name(netdev, text))
		return one(netdev, text, strlen(text), each, data);
	for (;; text++) {
		size_t length = strcspn(text, ",");

		err = one(netdev, text, length, each, data);
		text += length;
		if (err || !*text)
			return err;
	}
}

bool names_match(const struct netdev *netdev, const char *pattern,
		 const struct netdev_link *link)
{
	char glob[NAMES_MAX + 1];
	size_t length = strlen(pattern);

	if (link->type == ARPHRD_LOOPBACK)
		return false;
	snprintf(glob, sizeof(glob), "%s", pattern);
	if (length && length < sizeof(glob) && glob[length - 1] == '+')
		glob[length - 1] = '*';
	if (!fnmatch(glob, link->name, FNM_NOESCAPE))
		return true;
	for (size_t i = 0; i < netdev->altname_count; i++)
		if (netdev->altnames[i].ifindex == link->ifindex &&
		    !fnmatch(glob, netdev->altnames[i].name, FNM_NOESCAPE))
			return true;
	return false;
}

static bool possible(const char *name, size_t length)
{
	return length && length < NETDEV_ALTNAMSIZ &&
	       strcspn(name, "/: \t\n\v\f\r") >= length &&
	       !(length == 1 && *name == '.') &&
	       !(length == 2 && !strncmp(name, "..", 2));
}

bool names_possible(const char *text)
{
	for (;; text++) {
		size_t length = strcspn(text, ",");

		if (!possible(text, length))
			return false;
		text += length;
		if (!*text)
			return true;
	}
}

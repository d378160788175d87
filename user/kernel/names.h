/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * names.h - interfaces as a command line names them: by name or alternative
 * name, several with commas between, or by a pattern: `*` and `?` as in a
 * shell, `+` at the end as iptables has it. What is called so literally is
 * meant itself.
 */
#ifndef MASQ_KERNEL_NAMES_H
#define MASQ_KERNEL_NAMES_H

#include "kernel/links.h"

/* One part of an argument: its name (cut at NAMES_MAX) and what is called so. */
#define NAMES_MAX 128
struct names_part {
	char name[NAMES_MAX];
	const struct netdev_link *link; /* NULL: none, or it is a pattern */
	bool pattern;
};

/* Calls `each` for every part of `text`, in order. 0 or what it said. */
int names_each(const struct netdev *netdev, const char *text,
	       int (*each)(void *data, const struct names_part *part),
	       void *data);

/* Does the link match, by any of its names? lo matches no pattern. */
bool names_match(const struct netdev *netdev, const char *pattern,
		 const struct netdev_link *link);

#define NAMES_IMPOSSIBLE "\"%s\": no interface can have this name"
/* Can an interface be called so, or some by this list or pattern? */
bool names_possible(const char *text);

#endif

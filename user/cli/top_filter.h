/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * top_filter.h - of the rows of `top` those that somebody looks for: an address
 * or a prefix, else a part of what is shown (a pod's name, say).
 */
#ifndef MASQ_CLI_TOP_FILTER_H
#define MASQ_CLI_TOP_FILTER_H

#include "cli/top.h"

/* Of `text`, cut where it has no room; "": everything. */
void top_filter_set(struct top *top, const char *text);
/* Drops are the node's, and always match. */
bool top_filter_matches(const struct top *top, enum top_section section,
			const struct top_row *row);
/* Takes the other rows out of a list. */
void top_filter_list(struct top *top, enum top_section section);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/* top_filter.c - a range as a range, everything else as text. */
#include <stdio.h>
#include <string.h>
#include "base/prefix.h"
#include "cli/top_filter.h"
#include "kernel/podname.h"

void top_filter_set(struct top *top, const char *text)
{
	struct top_filter *filter = &top->filter;

	snprintf(filter->text, sizeof(filter->text), "%s", text);
	filter->is_range =
		!cidr_or_addr_parse(filter->text, &filter->range, NULL, 0);
}

static bool has_addr(const struct top_filter *filter, const struct addr *addr)
{
	struct cidr host = cidr_of(addr, addr->family == 4 ? 32 : 128);

	return cidr_covers(&filter->range, &host);
}

static bool has_text(const struct top *top, enum top_section section,
		     const struct top_row *row)
{
	char text[PODNAME_STRLEN];

	if (strstr(top_label(top, section, row, text, sizeof(text)),
		   top->filter.text))
		return true;
	/* a flow is its pod's */
	return section == TOP_FLOWS &&
	       strstr(podname_only(&row->flow.in, text, sizeof(text)),
		      top->filter.text);
}

bool top_filter_matches(const struct top *top, enum top_section section,
			const struct top_row *row)
{
	const struct top_filter *filter = &top->filter;
	struct flow_tuple orig;
	struct cidr cidr;

	if (!*filter->text || section == TOP_DROPS)
		return true;
	if (!filter->is_range)
		return has_text(top, section, row);
	switch (section) {
	case TOP_PREFIXES: /* those that have a say about it */
		cidr = prefix_cidr(&top->instance->prefixes[row->slot]);
		return cidr_covers(&filter->range, &cidr) ||
		       cidr_covers(&cidr, &filter->range);
	case TOP_PODS:
		return has_addr(filter, &row->pod);
	default:
		orig = flow_orig(&row->flow);
		return has_addr(filter, orig.src) ||
		       has_addr(filter, orig.dst) ||
		       (row->flow.kind == MASQ_K_FWD &&
			has_addr(filter, &row->flow.xlat));
	}
}

void top_filter_list(struct top *top, enum top_section section)
{
	struct top_list *list = &top->lists[section];
	size_t kept = 0;

	for (size_t i = 0; i < list->count && *top->filter.text; i++)
		if (top_filter_matches(top, section, &list->rows[i]))
			list->rows[kept++] = list->rows[i];
	if (*top->filter.text)
		list->count = kept;
}

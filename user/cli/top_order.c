// SPDX-License-Identifier: GPL-2.0-only
/* top_order.c - which rows of top are shown, in which order, and their names. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prefix.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "cli/top.h"
#include "plane/counters.h"

/* --- keys -------------------------------------------------------------- */

static const char *const key_names[TOP_KEYS] = {
	[TOP_BY_RATE] = "rate",	  [TOP_BY_PACKETS] = "packets",
	[TOP_BY_FLOWS] = "flows", [TOP_BY_UNREPLIED] = "unreplied",
	[TOP_BY_NAME] = "name",
};

const char *top_key_name(enum top_key key)
{
	return key_names[key];
}

int top_key_parse(const char *text, enum top_key *out)
{
	for (enum top_key key = 0; key < TOP_KEYS; key++) {
		if (!strcmp(key_names[key], text)) {
			*out = key;
			return 0;
		}
	}
	return -EINVAL;
}

double top_weight(const struct top *top, enum top_section section,
		  const struct top_row *row)
{
	switch (top->key) {
	case TOP_BY_PACKETS:
		return row->rate.packets;
	case TOP_BY_FLOWS:
		return section == TOP_FLOWS   ? row->flow.age
		       : section == TOP_DROPS ? row->total
					      : row->live;
	case TOP_BY_UNREPLIED:
		return row->unreplied;
	default:
		return section == TOP_DROPS
			       ? row->rate.packets
			       : row->rate.out_bytes + row->rate.in_bytes;
	}
}

/* By what was asked for, then by what is there, then by name. */
int top_compare(const struct top *top, enum top_section section,
		const struct top_row *a, const struct top_row *b)
{
	double x = top_weight(top, section, a), y = top_weight(top, section, b);
	char p[160], q[160];

	if (top->key != TOP_BY_NAME) {
		if (x != y)
			return x > y ? -1 : 1;
		if (a->live != b->live)
			return a->live > b->live ? -1 : 1;
		if (a->total != b->total)
			return a->total > b->total ? -1 : 1;
	}
	return strcmp(top_name(top, section, a, p, sizeof(p)),
		      top_name(top, section, b, q, sizeof(q)));
}

/* qsort has no room for what the order depends on. */
static const struct top *sorting;
static enum top_section sorting_section;

static int compare_sorting(const void *a, const void *b)
{
	int order = top_compare(sorting, sorting_section, a, b);

	return sorting->reverse ? -order : order;
}

void top_sort(struct top *top)
{
	sorting = top;
	for (enum top_section s = 0; s < TOP_SECTIONS; s++) {
		sorting_section = s;
		if (top->lists[s].count)
			qsort(top->lists[s].rows, top->lists[s].count,
			      sizeof(struct top_row), compare_sorting);
	}
}

const char *top_name(const struct top *top, enum top_section section,
		     const struct top_row *row, char *buf, size_t len)
{
	char src[END_STRLEN], dst[END_STRLEN], proto[8];
	struct flow_tuple orig;
	struct cidr cidr;

	switch (section) {
	case TOP_PREFIXES:
		cidr = prefix_cidr(&top->instance->prefixes[row->slot]);
		return cidr_format(&cidr, buf, len);
	case TOP_PODS:
		return addr_format(&row->pod, buf, len);
	case TOP_DROPS:
		snprintf(buf, len, "%s", reasons[row->reason].name);
		return buf;
	default:
		orig = flow_orig(&row->flow);
		snprintf(buf, len, "%s %s > %s",
			 proto_name(row->flow.proto, proto, sizeof(proto)),
			 end_text(orig.src, orig.sport, src, sizeof(src)),
			 end_text(orig.dst, orig.dport, dst, sizeof(dst)));
		return buf;
	}
}

const char *top_label(const struct top *top, enum top_section section,
		      const struct top_row *row, char *buf, size_t len)
{
	return section == TOP_PODS ? podname_beside(&row->pod, buf, len)
				   : top_name(top, section, row, buf, len);
}

/* --- the filter -------------------------------------------------------- */

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

bool top_is_wanted(const struct top *top, enum top_section section,
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
		if (top_is_wanted(top, section, &list->rows[i]))
			list->rows[kept++] = list->rows[i];
	if (*top->filter.text)
		list->count = kept;
}

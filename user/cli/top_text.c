// SPDX-License-Identifier: GPL-2.0-only
/* top_text.c - a dash where nothing is counted. */
#include <locale.h>
#include <ncurses.h>
#include <stdio.h>
#include "base/prefix.h"
#include "base/units.h"
#include "cli/top.h"
#include "cli/top_text.h"

const char *top_bytes_text(const struct top *top, double rate, char *buf,
			   size_t len)
{
	if (!top->flow_counts && rate <= 0)
		snprintf(buf, len, "-");
	else
		human_bytes(rate + 0.5, buf, len);
	return buf;
}

const char *top_count_text(double rate, char *buf, size_t len)
{
	if (rate > 0 && rate < 9.95)
		snprintf(buf, len, "%.1f", rate);
	else
		human_count(rate + 0.5, buf, len);
	return buf;
}

const char *top_row_action(const struct top *top, enum top_section section,
			   const struct top_row *row)
{
	if (section == TOP_PREFIXES)
		return action_name(top->instance->prefixes[row->slot].action);
	return section == TOP_FLOWS ? flow_action(&row->flow) : "";
}

const char *const top_titles[TOP_SECTIONS] = {
	[TOP_PREFIXES] = "PREFIXES",
	[TOP_PODS] = "PODS",
	[TOP_FLOWS] = "FLOWS",
	[TOP_DROPS] = "DROPS",
};

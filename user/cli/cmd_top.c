// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_top.c - `masqbpf top`: a live screen of prefixes, pods, flows and drops
 * by rate; with --once a single picture for scripts. It is laid out for 80 x
 * 24; a larger terminal shows longer names and more rows.
 */
#include <locale.h>
#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/json.h"
#include "base/log.h"
#include "base/table.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/top.h"
#include "cli/top_screen.h"
#include "cli/top_text.h"
#include "plane/counters.h"
#include "plane/tally.h"

#define ONCE_ROWS 10

/* --- once -------------------------------------------------------------- */

static void print_section(const struct top *top, enum top_section section,
			  size_t rows)
{
	const char *const drops[] = { top_titles[section], ">PKT/s", ">TOTAL",
				      "WHAT TO DO", NULL };
	const char *const others[] = { top_titles[section],
				       "ACTION",
				       ">OUT/s",
				       ">IN/s",
				       ">PKT/s",
				       ">LIVE",
				       ">UNREPLIED",
				       NULL };
	const struct top_list *list = &top->lists[section];
	struct table *t = table_new(section == TOP_DROPS ? drops : others);
	char text[PODNAME_STRLEN];

	for (size_t i = 0; i < list->count && i < rows; i++) {
		const struct top_row *row = &list->rows[i];

		table_cell(t, "%s",
			   top_label(top, section, row, text, sizeof(text)));
		if (section == TOP_DROPS) {
			table_cell(t, "%s",
				   top_count_text(row->rate.packets, text,
						  sizeof(text)));
			table_cell(t, "%llu", (unsigned long long)row->total);
			table_cell(t, "%s", reasons[row->reason].todo);
			table_row_end(t);
			continue;
		}
		table_cell(t, "%s", top_row_action(top, section, row));
		table_cell(t, "%s",
			   top_bytes_text(top, row->rate.out_bytes, text,
					  sizeof(text)));
		table_cell(t, "%s",
			   top_bytes_text(top, row->rate.in_bytes, text,
					  sizeof(text)));
		table_cell(t, "%s",
			   top_count_text(row->rate.packets, text,
					  sizeof(text)));
		table_cell(t, "%llu", (unsigned long long)row->live);
		table_cell(t, "%llu", (unsigned long long)row->unreplied);
		table_row_end(t);
	}
	putchar('\n');
	table_print(t, stdout);
}

static void print_once(const struct top *top, size_t rows)
{
	char out[32], in[32], packets[32], flows[32], drops[32];
	uint32_t percent;

	flow_tally_fullest(top->instance, &top->flows, &percent);
	printf("generation %u, flows %llu, table %u %%, unreplied %llu\n"
	       "out %s/s, in %s/s, packets %s/s, new flows %s/s, drops %s/s\n",
	       top->generation, (unsigned long long)top->flows.all, percent,
	       (unsigned long long)top->unreplied,
	       human_bytes(top->sum.out_bytes + 0.5, out, sizeof(out)),
	       human_bytes(top->sum.in_bytes + 0.5, in, sizeof(in)),
	       top_count_text(top->sum.packets, packets, sizeof(packets)),
	       top_count_text(top->sum.flows, flows, sizeof(flows)),
	       top_count_text(top->drops, drops, sizeof(drops)));
	for (enum top_section s = 0; s < TOP_SECTIONS; s++)
		if (top->lists[s].count)
			print_section(top, s, rows);
}

static void json_rate(struct json *j, const struct top_rate *rate)
{
	json_double(j, "out_bytes_per_s", rate->out_bytes);
	json_double(j, "in_bytes_per_s", rate->in_bytes);
	json_double(j, "packets_per_s", rate->packets);
}

static void json_section(struct json *j, const struct top *top,
			 enum top_section section, size_t rows)
{
	static const char *const keys[TOP_SECTIONS][2] = {
		[TOP_PREFIXES] = { "prefixes", "prefix" },
		[TOP_PODS] = { "pods", "pod" },
		[TOP_FLOWS] = { "flows", "flow" },
		[TOP_DROPS] = { "drops", "reason" },
	};
	const struct top_list *list = &top->lists[section];
	char text[160];

	json_array(j, keys[section][0]);
	for (size_t i = 0; i < list->count && i < rows; i++) {
		const struct top_row *row = &list->rows[i];

		json_object(j, NULL);
		json_string(j, keys[section][1],
			    top_name(top, section, row, text, sizeof(text)));
		if (section == TOP_PODS)
			podname_json(j, "pod_name", &row->pod);
		if (section == TOP_DROPS) {
			json_double(j, "packets_per_s", row->rate.packets);
			json_u64(j, "total", row->total);
			json_object_end(j);
			continue;
		}
		if (section != TOP_PODS)
			json_string(j, "action",
				    top_row_action(top, section, row));
		json_rate(j, &row->rate);
		json_u64(j, "live", row->live);
		json_u64(j, "unreplied", row->unreplied);
		json_object_end(j);
	}
	json_array_end(j);
}

static void print_json(const struct top *top, size_t rows)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", top->generation);
	json_double(&j, "seconds", top->seconds);
	json_u64(&j, "live_flows", top->flows.all);
	json_u64(&j, "unreplied_flows", top->unreplied);
	json_rate(&j, &top->sum);
	json_double(&j, "new_flows_per_s", top->sum.flows);
	json_double(&j, "drops_per_s", top->drops);
	for (enum top_section s = 0; s < TOP_SECTIONS; s++)
		json_section(&j, top, s, rows);
	json_object_end(&j);
	json_end(&j);
}

static int run_once(struct top *top, const struct cmd_line *line,
		    double interval, size_t rows)
{
	struct timespec pause = {
		.tv_sec = interval,
		.tv_nsec = (interval - (time_t)interval) * 1e9,
	};
	int err = top_look(top);

	if (!err) {
		nanosleep(&pause, NULL);
		err = top_look(top);
	}
	if (err) {
		log_error("top: %s", strerror(-err));
		return CMD_FAILED;
	}
	if (line->json)
		print_json(top, rows);
	else
		print_once(top, rows);
	return CMD_OK;
}

/* --- the command ------------------------------------------------------- */

static int parse_interval(const struct cmd_line *line, double *out)
{
	const char *text = cmd_value(line, "interval");
	char *end;

	*out = 1;
	if (!text)
		return CMD_OK;
	*out = strtod(text, &end);
	if (*end || !(*out >= 0.1 && *out <= 3600))
		return cmd_usage(line, "--interval %s: 0.1 to 3600 seconds",
				 text);
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	const char *sort = cmd_value(line, "sort");
	const char *rows_text = cmd_value(line, "rows");
	const char *filter = cmd_value(line, "filter");
	bool once = cmd_flag(line, "once") || line->json;
	struct instance *instance = NULL;
	uint64_t rows = ONCE_ROWS;
	struct top top = {};
	double interval;
	char err[256];
	int result = parse_interval(line, &interval);

	if (result)
		return result;
	if (sort && top_key_parse(sort, &top.key))
		return cmd_usage(
			line,
			"--sort %s: not rate, packets, flows, unreplied or name",
			sort);
	if (rows_text &&
	    number_parse(rows_text, 1, 100000, &rows, err, sizeof(err)))
		return cmd_usage(line, "--rows %s: %s", rows_text, err);
	if (filter)
		top_filter_set(&top, filter);
	if (!once && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return cmd_usage(line, "no terminal; --once needs none");

	result = cmd_open(line, INSTANCE_READ, &instance);
	if (result)
		goto out;
	if (top_open(&top, instance)) {
		log_error("top: out of memory");
		result = CMD_FAILED;
	} else if (once) {
		result = run_once(&top, line, interval, rows);
	} else {
		result = run_screen(&top, interval);
	}
out:
	top_close(&top);
	instance_close(instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "once", NULL, "one picture as text (with --json: as JSON)" },
	{ "interval", "SECONDS", "between two looks (default: 1)" },
	{ "sort", "KEY", "rate (default), packets, flows, unreplied or name" },
	{ "filter", "TEXT",
	  "an address, a prefix, or a part of a pod's name or of a row" },
	{ "rows", "N", "--once: of each list (default: 10)" },
	{},
};

const struct cmd cmd_top = {
	.name = "top",
	.args = "",
	.help = "a live screen: prefixes, pods, flows, drops by rate",
	.options = options,
	.examples = "  masqbpf top --sort unreplied\n"
		    "  masqbpf top --filter shop/cart-0\n"
		    "  masqbpf top --once --rows 5\n",
	.run = run,
};

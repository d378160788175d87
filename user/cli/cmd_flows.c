// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_flows.c - `masqbpf flows`: one line a flow. Rows are printed as the walk
 * meets them, with fixed columns: a full table would have to wait in memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/term.h"
#include "base/units.h"
#include "cli/filter.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "plane/counters.h"
#include "policy/policy.h"

/* What comes first. */
enum order {
	ORDER_NONE, /* as they are met */
	ORDER_AGE, /* the youngest */
	ORDER_IDLE, /* what had a packet last */
	ORDER_BYTES, /* the most, both ways */
	ORDER_POD,
	ORDER_DEST,
};

struct printer {
	struct instance *instance;
	struct json json;
	bool counted; /* per-flow counts are switched on */
	bool named; /* names of pods are known */
	bool wide; /* all columns */
	int room; /* columns of the screen; 0: no end of them */
	const char *red, *color; /* "": none; of this row's state */
	uint64_t rows;
	uint64_t limit; /* rows at most; 0: all */
	bool count_only;
	enum order order;
	struct flow *flows; /* where they are sorted */
	size_t flow_count;
};

/* The prefix that decided; NULL: none did. */
static const char *prefix_text(const struct printer *printer,
			       const struct flow *flow, char *buf, size_t len)
{
	struct cidr cidr;

	if (flow->prefix >= printer->instance->meta.max_prefixes)
		return NULL;
	cidr = prefix_cidr(&printer->instance->prefixes[flow->prefix]);
	return cidr_format(&cidr, buf, len);
}

static int print_json(void *data, const struct flow *flow)
{
	struct printer *printer = data;
	struct flow_tuple orig = flow_orig(flow);
	struct json *j = &printer->json;
	char text[CIDR_STRLEN];
	const char *prefix;

	if (printer->limit && printer->rows >= printer->limit)
		return -ECANCELED;
	printer->rows++;
	json_object_line(j, NULL);
	json_string(j, "proto", proto_name(flow->proto, text, sizeof(text)));
	json_string(j, "action", flow_action(flow));
	json_object(j, "orig");
	json_string(j, "src", addr_format(orig.src, text, sizeof(text)));
	json_u64(j, "sport", orig.sport);
	json_string(j, "dst", addr_format(orig.dst, text, sizeof(text)));
	json_u64(j, "dport", orig.dport);
	json_object_end(j);
	podname_json(j, "pod", &flow->in);
	if (flow->kind == MASQ_K_FWD) {
		json_object(j, "xlat");
		json_string(j, "src",
			    addr_format(&flow->xlat, text, sizeof(text)));
		json_u64(j, "sport", flow->xlat_port);
		json_object_end(j);
	} else {
		json_null(j, "xlat");
	}
	json_string(j, "state", flow_state(flow));
	json_bool(j, "replied", flow->replied);
	json_double(j, "age_s", ticks_to_seconds(printer->instance, flow->age));
	json_double(j, "idle_s",
		    ticks_to_seconds(printer->instance, flow->idle));
	json_double(j, "expires_s",
		    ticks_to_seconds(printer->instance, flow->left));
	prefix = prefix_text(printer, flow, text, sizeof(text));
	if (prefix)
		json_string(j, "prefix", prefix);
	else
		json_null(j, "prefix");
	json_count(j, "egress", printer->counted ? &flow->egress : NULL);
	json_count(j, "ingress", printer->counted ? &flow->ingress : NULL);
	json_object_end(j);
	/* nobody reads any more: do not walk a quarter of a million flows */
	return ferror(stdout) ? -EPIPE : 0;
}

static const char *age_text(const struct printer *printer, uint32_t ticks,
			    char *buf, size_t len)
{
	return human_age(ticks_to_seconds(printer->instance, ticks), buf, len);
}

struct column {
	const char *name;
	int width; /* below 0: right-aligned; 0: the last */
	bool always; /* not only where there is room for all */
};

enum {
	PROTO,
	SOURCE,
	DESTINATION,
	AS,
	ACTION,
	STATE,
	AGE,
	IDLE,
	LEFT,
	OUT,
	IN,
	PREFIX,
	POD,
	COLUMN_COUNT
};

static const struct column columns[COLUMN_COUNT] = {
	[PROTO] = { "PROTO", 5, true },
	[SOURCE] = { "SOURCE", 21, true },
	[DESTINATION] = { "DESTINATION", 21, true },
	[AS] = { "AS", 21, false },
	[ACTION] = { "ACTION", 10, true },
	[STATE] = { "STATE", 11, true },
	[AGE] = { "AGE", -8, false },
	[IDLE] = { "IDLE", -8, true },
	[LEFT] = { "LEFT", -8, false },
	[OUT] = { "OUT", -9, false },
	[IN] = { "IN", -9, false },
	[PREFIX] = { "PREFIX", 18, false },
	[POD] = { "POD", 0, true },
};
/*
 * What they take, with a name of some length; what those but the addresses do;
 * and what a row goes on in the next line with.
 */
#define ROOM_FOR_ALL  180
#define ROOM_FOR_REST 120
#define INDENT	      6

/* Columns that a cell takes, one with all of its text; below 0: to the right. */
static int cell_width(const struct printer *printer, int i, int last)
{
	/* seven are enough where there is little room */
	if (i == IDLE && !printer->wide)
		return -7;
	return i == last && columns[i].width > 0 ? 0 : columns[i].width;
}

/* Columns that those of few columns take which are in from..to. */
static int columns_width(const struct printer *printer, int from, int to,
			 int last)
{
	int width = 0;

	for (int i = from; i <= to && i <= last; i++)
		if (columns[i].always)
			width += abs(cell_width(printer, i, last)) + 1;
	return width;
}

/*
 * Does this one begin a line, and where? 0: only where its cell has no room.
 * Rows are broken at the same places, whatever is in them, so that a column is
 * one below the other.
 */
static int begins_line(const struct printer *printer, int i, int at, int last)
{
	int rest, place;

	if (!printer->room)
		return 0;
	if (printer->wide)
		return (i == ACTION && printer->room < ROOM_FOR_ALL) ||
				       (i == PREFIX &&
					printer->room < ROOM_FOR_REST)
			       ? INDENT
			       : 0;
	if (i != ACTION)
		return 0;
	rest = columns_width(printer, ACTION, IDLE, last) - 1;
	place = columns_width(printer, PROTO, ACTION - 1, last);
	if (at + rest <= printer->room)
		return 0;
	return place + rest <= printer->room ? place : INDENT;
}

/*
 * In columns as long as the cells fit them; what has no room at all begins a
 * line. The last one has no width: the prefix where no names are known.
 */
static void print_cells(const struct printer *printer,
			const char *const cells[COLUMN_COUNT])
{
	char line[COLUMN_COUNT * (80 + 2 * INDENT) + PODNAME_STRLEN + 160];
	char *c = line;
	int last = printer->named ? POD : printer->wide ? PREFIX : IDLE;
	int at = 0;

	for (int i = 0; i <= last; i++) {
		int length = strnlen(cells[i], i == POD ? PODNAME_STRLEN : 63);
		int width = cell_width(printer, i, last);
		int pad = abs(width) > length ? abs(width) - length : 0;
		const char *color = i == STATE ? printer->color : "";
		int begins = begins_line(printer, i, at, last);

		if (!printer->wide && !columns[i].always)
			continue;
		if (printer->room && at > INDENT &&
		    (begins ||
		     at + length + (width < 0 ? pad : 0) > printer->room)) {
			/* no blanks at the end of the one before */
			while (c > line && c[-1] == ' ')
				c--;
			*c++ = '\n';
			at = begins ?: INDENT;
			c = (char *)memset(c, ' ', at) + at;
		}
		at += length + pad + 1;
		if (width < 0)
			c = (char *)memset(c, ' ', pad) + pad;
		c = stpcpy(c, color);
		c = mempcpy(c, cells[i], length);
		if (*color)
			c = stpcpy(c, color_off(stdout));
		if (width > 0)
			c = (char *)memset(c, ' ', pad) + pad;
		*c++ = i == last ? '\n' : ' ';
	}
	fwrite_unlocked(line, 1, c - line, stdout);
}

/* "answered": by so little that the flow may still be one packet each way. */
static const char *state_text(const struct flow *flow)
{
	const char *state = flow_state(flow);

	return !flow->replied	       ? "unreplied"
	       : !strcmp(state, "new") ? "answered"
				       : state;
}

static int print_row(void *data, const struct flow *flow)
{
	struct printer *printer = data;
	struct flow_tuple orig = flow_orig(flow);
	char src[END_STRLEN], dst[END_STRLEN],
		as[END_STRLEN] = "-", proto[8], age[16], idle[16], left[16],
		prefix[CIDR_STRLEN], out[16] = "-", in[16] = "-";
	char pod[PODNAME_STRLEN] = "";
	const char *cells[COLUMN_COUNT];

	if (printer->limit && printer->rows >= printer->limit)
		return -ECANCELED;
	if (!printer->rows++) {
		for (size_t i = 0; i < COLUMN_COUNT; i++)
			cells[i] = columns[i].name;
		printer->color = "";
		print_cells(printer, cells);
	}
	if (flow->kind == MASQ_K_FWD)
		end_text(&flow->xlat, flow->xlat_port, as, sizeof(as));
	if (printer->counted) {
		human_bytes(flow->egress.bytes, out, sizeof(out));
		human_bytes(flow->ingress.bytes, in, sizeof(in));
	}
	if (printer->named)
		podname_only(&flow->in, pod, sizeof(pod));
	printer->color = flow->replied ? "" : printer->red;
	print_cells(printer,
		    (const char *const[COLUMN_COUNT]){
			    proto_name(flow->proto, proto, sizeof(proto)),
			    end_text(orig.src, orig.sport, src, sizeof(src)),
			    end_text(orig.dst, orig.dport, dst, sizeof(dst)),
			    as, flow_action(flow), state_text(flow),
			    age_text(printer, flow->age, age, sizeof(age)),
			    age_text(printer, flow->idle, idle, sizeof(idle)),
			    age_text(printer, flow->left, left, sizeof(left)),
			    out, in,
			    prefix_text(printer, flow, prefix, sizeof(prefix))
				    ?: "-",
			    pod });
	return ferror(stdout) ? -EPIPE : 0;
}

/* --- sorted, counted ------------------------------------------------------ */

static int count_row(void *data, const struct flow *flow)
{
	(void)flow;
	((struct printer *)data)->rows++;
	return 0;
}

static int keep_row(void *data, const struct flow *flow)
{
	struct printer *printer = data;
	size_t n = printer->flow_count;

	if (!(n & (n - 1))) {
		void *flows = reallocarray(printer->flows, n ? 2 * n : 1,
					   sizeof(*flow));

		if (!flows)
			return -ENOMEM;
		printer->flows = flows;
	}
	printer->flows[printer->flow_count++] = *flow;
	return 0;
}

static int compare_flows(const void *a, const void *b, void *data)
{
	const struct flow *x = a, *y = b;
	enum order order = *(const enum order *)data;
	uint64_t m = x->egress.bytes + x->ingress.bytes;
	uint64_t n = y->egress.bytes + y->ingress.bytes;
	int by_age = x->age < y->age ? -1 : x->age > y->age;
	int result = 0;

	switch (order) {
	case ORDER_IDLE:
		result = x->idle < y->idle ? -1 : x->idle > y->idle;
		break;
	case ORDER_BYTES:
		result = m > n ? -1 : m < n;
		break;
	case ORDER_POD:
		result = addr_cmp(&x->in, &y->in);
		break;
	case ORDER_DEST:
		result = addr_cmp(flow_orig(x).dst, flow_orig(y).dst);
		break;
	default:
		break;
	}
	return result ?: by_age;
}

static int print_sorted(struct printer *printer,
			const struct flow_filter *filter, flow_fn print)
{
	int err = flows_walk(printer->instance, filter, keep_row, printer);

	if (printer->flow_count)
		qsort_r(printer->flows, printer->flow_count,
			sizeof(*printer->flows), compare_flows,
			&printer->order);
	for (size_t i = 0; i < printer->flow_count && !err; i++)
		err = print(printer, &printer->flows[i]);
	free(printer->flows);
	return err;
}

static int read_shape(const struct cmd_line *line, struct printer *printer)
{
	static const char *const names[] = {
		[ORDER_AGE] = "age",	 [ORDER_IDLE] = "idle",
		[ORDER_BYTES] = "bytes", [ORDER_POD] = "pod",
		[ORDER_DEST] = "dest",
	};
	const char *sort = cmd_value(line, "sort");
	const char *limit = cmd_value(line, "limit");
	const char *output = cmd_value(line, "output");
	char err[256];

	if (output && strcmp(output, "wide"))
		return cmd_usage(line, "--output %s: not wide", output);
	printer->room = term_width(stdout);
	printer->wide = output || !printer->room ||
			printer->room >= ROOM_FOR_ALL;
	printer->red = color_red(stdout);

	printer->count_only = cmd_flag(line, "count");
	if (limit && number_parse(limit, 1, UINT32_MAX, &printer->limit, err,
				  sizeof(err))) {
		log_error("flows: --limit %s: %s", limit, err);
		return CMD_USAGE;
	}
	if (printer->count_only && (sort || limit))
		return cmd_usage(line, "--count: goes with filters alone");
	for (size_t i = ORDER_AGE; sort && i <= ORDER_DEST; i++)
		if (!strcmp(sort, names[i]))
			printer->order = i;
	if (sort && !printer->order)
		return cmd_usage(line,
				 "--sort %s: not age, idle, bytes, pod or dest",
				 sort);
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	flow_fn print = line->json ? print_json : print_row;
	struct printer printer = {};
	struct policy *policy = NULL;
	struct flow_filter filter;
	static char buffer[1 << 18];
	int result = read_shape(line, &printer)
			     ?: flow_filter_read(line, &filter),
	    err;

	if (result)
		return result;
	result = cmd_open_policy(line, INSTANCE_READ, &printer.instance,
				 &policy);
	if (result)
		goto out;
	printer.counted =
		!(printer.instance->meta.features & MASQ_FEAT_NO_FLOW_COUNT);
	printer.named = podname_known();
	setvbuf(stdout, buffer, _IOFBF, sizeof(buffer));

	if (printer.count_only) {
		err = flows_walk(printer.instance, &filter, count_row,
				 &printer);
		if (!err && line->json) {
			json_begin(&printer.json, stdout);
			json_object(&printer.json, NULL);
			json_u64(&printer.json, "count", printer.rows);
			json_object_end(&printer.json);
			json_end(&printer.json);
		} else if (!err) {
			printf("%llu\n", (unsigned long long)printer.rows);
		}
		goto done;
	}
	if (line->json) {
		json_begin(&printer.json, stdout);
		json_array(&printer.json, NULL);
	}
	err = printer.order
		      ? print_sorted(&printer, &filter, print)
		      : flows_walk(printer.instance, &filter, print, &printer);
	if (err == -ECANCELED) /* so many were wanted */
		err = 0;
	if (line->json) {
		json_array_end(&printer.json);
		json_end(&printer.json);
	}
	if (!err && !printer.rows && !line->json)
		log_info("flows: none%s",
			 flow_filter_is_empty(&filter) ? "" : " that match");
done:
	if (err && err != -EPIPE) {
		log_error("flows: %s", strerror(-err));
		result = CMD_FAILED;
	}
out:
	policy_free(policy);
	instance_close(printer.instance);
	return result;
}

static const struct cmd_option options[] = {
	FLOW_FILTER_OPTIONS,
	{ "sort", "ORDER", "age, idle, bytes, pod or dest; default: as met" },
	{ "limit", "N", "so many rows at most" },
	{ "output", "wide",
	  "-o wide: all columns, in several lines where they have no room" },
	{ "count", NULL, "print how many there are, and no rows" },
	{},
};

const struct cmd cmd_flows = {
	.name = "flows",
	.args = "",
	.help = "one line for each flow",
	.options = options,
	.examples = "  masqbpf flows --dest 172.30.0.0/16 --unreplied\n"
		    "  masqbpf flows --node-port 40123     who is behind it?\n"
		    "  masqbpf flows --pod shop/cart-0 --json\n"
		    "  masqbpf flows --sort bytes --limit 10\n"
		    "  masqbpf flows --unreplied --count\n",
	.run = run,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_flows.c - `masqbpf flows`: one line a flow. Rows are printed as the walk
 * meets them, with fixed columns: a full table would have to wait in memory.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
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
};

static const struct column columns[] = {
	{ "PROTO", 5 }, { "SOURCE", 21 }, { "DESTINATION", 21 },
	{ "AS", 21 },	{ "ACTION", 10 }, { "STATE", 11 },
	{ "AGE", -8 },	{ "IDLE", -8 },	  { "LEFT", -8 },
	{ "OUT", -9 },	{ "IN", -9 },	  { "PREFIX", 18 },
	{ "POD", 0 },
};
#define COLUMNS (sizeof(columns) / sizeof(*columns))

/* The last column has no width: it is the prefix where no names are known. */
static void print_cells(const char *const cells[COLUMNS], size_t count)
{
	char line[COLUMNS * 64 + PODNAME_STRLEN], *c = line;

	for (size_t i = 0; i < count; i++) {
		bool last = i + 1 == count;
		int length = strnlen(cells[i], last ? PODNAME_STRLEN : 63);
		int width = last ? 0 : columns[i].width;
		int pad = abs(width) > length ? abs(width) - length : 0;

		if (width < 0)
			c = (char *)memset(c, ' ', pad) + pad;
		c = mempcpy(c, cells[i], length);
		if (width > 0)
			c = (char *)memset(c, ' ', pad) + pad;
		*c++ = last ? '\n' : ' ';
	}
	fwrite_unlocked(line, 1, c - line, stdout);
}

static int print_row(void *data, const struct flow *flow)
{
	struct printer *printer = data;
	struct flow_tuple orig = flow_orig(flow);
	char src[END_STRLEN], dst[END_STRLEN],
		as[END_STRLEN] = "-", proto[8], age[16], idle[16], left[16],
		prefix[CIDR_STRLEN], out[16] = "-", in[16] = "-";
	size_t shown_columns = COLUMNS - !printer->named;
	char pod[PODNAME_STRLEN] = "";
	const char *cells[COLUMNS];

	if (printer->limit && printer->rows >= printer->limit)
		return -ECANCELED;
	if (!printer->rows++) {
		for (size_t i = 0; i < COLUMNS; i++)
			cells[i] = columns[i].name;
		print_cells(cells, shown_columns);
	}
	if (flow->kind == MASQ_K_FWD)
		end_text(&flow->xlat, flow->xlat_port, as, sizeof(as));
	if (printer->counted) {
		human_bytes(flow->egress.bytes, out, sizeof(out));
		human_bytes(flow->ingress.bytes, in, sizeof(in));
	}
	if (printer->named)
		podname_only(&flow->in, pod, sizeof(pod));
	print_cells(
		(const char *const[COLUMNS]){
			proto_name(flow->proto, proto, sizeof(proto)),
			end_text(orig.src, orig.sport, src, sizeof(src)),
			end_text(orig.dst, orig.dport, dst, sizeof(dst)), as,
			flow_action(flow),
			flow->replied ? flow_state(flow) : "unreplied",
			age_text(printer, flow->age, age, sizeof(age)),
			age_text(printer, flow->idle, idle, sizeof(idle)),
			age_text(printer, flow->left, left, sizeof(left)), out,
			in,
			prefix_text(printer, flow, prefix, sizeof(prefix))
				?: "-",
			pod },
		shown_columns);
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
	char err[256];

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

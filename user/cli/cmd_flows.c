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

struct printer {
	struct instance *instance;
	struct json json;
	bool counted; /* per-flow counts are switched on */
	bool named; /* names of pods are known */
	uint64_t rows;
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

static int run(const struct cmd_line *line)
{
	struct printer printer = {};
	struct policy *policy = NULL;
	struct flow_filter filter;
	static char buffer[1 << 18];
	int result = flow_filter_read(line, &filter), err;

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

	if (line->json) {
		json_begin(&printer.json, stdout);
		json_array(&printer.json, NULL);
	}
	err = flows_walk(printer.instance, &filter,
			 line->json ? print_json : print_row, &printer);
	if (line->json) {
		json_array_end(&printer.json);
		json_end(&printer.json);
	}
	if (err && err != -EPIPE) {
		log_error("flows: %s", strerror(-err));
		result = CMD_FAILED;
	}
out:
	policy_free(policy);
	instance_close(printer.instance);
	return result;
}

const struct cmd cmd_flows = {
	.name = "flows",
	.args = "",
	.help = "one line for each flow",
	.options = flow_filter_options,
	.examples = "  masqbpf flows --dest 172.30.0.0/16 --unreplied\n"
		    "  masqbpf flows --node-port 40123     who is behind it?\n"
		    "  masqbpf flows --pod shop/cart-0 --json\n",
	.run = run,
};

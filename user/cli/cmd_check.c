// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_check.c - `masqbpf check FILE`: is the config good, and how is it
 * understood? Touches nothing, needs no privileges.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/duration.h"
#include "base/json.h"
#include "base/log.h"
#include "base/safe.h"
#include "base/table.h"
#include "cli/cmd.h"
#include "cli/show.h"
#include "config/config.h"

#define SECOND 1000000000ULL

/* Whole seconds as they are; what is finer with its fraction. */
static void json_seconds(struct json *j, const char *key, uint64_t ns)
{
	if (ns % SECOND)
		json_double(j, key, (double)ns / SECOND);
	else
		json_u64(j, key, ns / SECOND);
}

static const char *ports(uint16_t min, uint16_t max, char buf[16])
{
	if (min)
		snprintf(buf, 16, "%u-%u", min, max);
	else
		snprintf(buf, 16, "none");
	return buf;
}

static const char *const timeout_names[MASQ_T_MAX] = {
	[MASQ_T_TCP_ESTABLISHED] = "tcpEstablished",
	[MASQ_T_TCP_TRANSITORY] = "tcpTransitory",
	[MASQ_T_UDP] = "udp",
	[MASQ_T_UDP_UNREPLIED] = "udpUnreplied",
	[MASQ_T_ICMP] = "icmp",
	[MASQ_T_OTHER] = "other",
};

/* "address" is there for one that reads no lists. */
static void json_pool(struct json *j, const struct pool *pool)
{
	char text[2 * CIDR_STRLEN];

	if (pool_size(pool) == 1)
		json_string(j, "address",
			    pool_range_format(&pool->range[0], text,
					      sizeof(text)));
	else
		json_null(j, "address");
	json_array(j, "addresses");
	for (int i = 0; i < pool->count; i++)
		json_string(j, NULL,
			    pool_range_format(&pool->range[i], text,
					      sizeof(text)));
	json_array_end(j);
	json_u64(j, "count", pool_size(pool));
}

static void print_json(const struct config *config)
{
	char text[CIDR_STRLEN];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_cidrs(&j, "nonMasqueradeCIDRs", &config->keep);
	json_cidrs(&j, "masqueradeCIDRs", &config->masquerade);
	json_bool(&j, "masqLinkLocal", config->masq_link_local);
	json_bool(&j, "masqLinkLocalIPv6", config->masq_link_local_ipv6);
	json_u64(&j, "cidrLimit", config->cidr_limit);
	json_seconds(&j, "resyncInterval_s", config->resync_interval_ns);
	json_cidrs(&j, "podCIDRs", &config->pods);
	json_cidrs(&j, "nonMasqueradeSrcCIDRs", &config->keep_sources);
	json_bool(&j, "enableIPv6", config->ipv6);
	json_bool(&j, "dropForeignSources", config->drop_foreign_sources);

	json_object(&j, "snat");
	json_string(&j, "portRange",
		    ports(config->port_min, config->port_max, text));
	json_bool(&j, "strictPorts", config->strict_ports);
	json_string(&j, "nodePortRange",
		    ports(config->node_port_min, config->node_port_max, text));
	json_array(&j, "addresses");
	for (size_t i = 0; i < config->snat_count; i++) {
		json_object(&j, NULL);
		json_string(&j, "destination",
			    cidr_format(&config->snat[i].dest, text,
					sizeof(text)));
		json_pool(&j, &config->snat[i].pool);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_bool(&j, "rejectTCP", config->reject_tcp);
	json_object_end(&j);

	json_object(&j, "timeouts_s");
	for (int i = 0; i < MASQ_T_MAX; i++)
		json_seconds(&j, timeout_names[i], config->timeout_ns[i]);
	json_object_end(&j);
	json_u64(&j, "maxFlows", config->max_flows);
	json_u64(&j, "maxFlowsPerPod", config->max_flows_per_pod);
	json_bool(&j, "flowCounters", config->flow_counters);
	json_object(&j, "guard");
	json_string(&j, "action", config_guards[config->guard_action]);
	json_seconds(&j, "window_s", config->guard_window_ns);
	json_object_end(&j);

	json_array(&j, "warnings");
	for (size_t i = 0; i < config->warning_count; i++)
		json_string(&j, NULL, config->warnings[i]);
	json_array_end(&j);
	json_object_end(&j);
	json_end(&j);
}

static void add_rows(struct table *t, const struct config *config,
		     const struct config_cidrs *list, const char *what)
{
	char text[CIDR_STRLEN];

	for (size_t i = 0; i < list->count; i++) {
		table_cell(t, "%s", what);
		table_cell(t, "%s",
			   cidr_format(&list->items[i].cidr, text,
				       sizeof(text)));
		if (list->items[i].line)
			table_cell(t, "line %u", list->items[i].line);
		else
			table_cell(t, "preset %s", config->preset);
		table_row_end(t);
	}
}

static bool listed(const struct config_cidrs *list, const struct cidr *cidr)
{
	for (size_t i = 0; i < list->count; i++)
		if (!cidr_cmp(&list->items[i].cidr, cidr))
			return true;
	return false;
}

/* What holds without being listed; a list that names it has said it above. */
static void add_implied(struct table *t, const struct config *config,
			bool masquerade, const char *text, const char *from)
{
	struct cidr cidr;

	if (cidr_parse(text, &cidr, NULL, 0) ||
	    (cidr.addr.family == 6 && !config->ipv6) ||
	    listed(&config->keep, &cidr) || listed(&config->masquerade, &cidr))
		return;
	table_cell(t, "%s", masquerade ? "masquerade" : "keep");
	table_cell(t, "%s", text);
	table_cell(t, "%s", from);
	table_row_end(t);
}

static void print_duration(const char *name, uint64_t ns)
{
	char text[DURATION_STRLEN];

	printf("  %-16s %s\n", name, duration_format(ns, text));
}

static void print_guard(const struct config *config)
{
	char text[DURATION_STRLEN];

	if (config->guard_action == GUARD_OFF)
		printf("  %-16s off\n", "guard");
	else
		printf("  %-16s %s, for %s\n", "guard",
		       config_guards[config->guard_action],
		       duration_format(config->guard_window_ns, text));
}

static void print_table(const struct config *config)
{
	static const char *const headers[] = { "ACTION", "PREFIX", "FROM",
					       NULL };
	char text[CIDR_STRLEN], more[CIDR_STRLEN], pool[POOL_STRLEN];
	struct table *t = table_new(headers);

	printf("%s: valid\n\n",
	       strcmp(config->path, "-") ? shown(config->path) : "stdin");
	add_rows(t, config, &config->keep, "keep");
	add_rows(t, config, &config->masquerade, "masquerade");
	add_implied(t, config, config->masq_link_local, "169.254.0.0/16",
		    "masqLinkLocal");
	add_implied(t, config, config->masq_link_local_ipv6, "fe80::/10",
		    "masqLinkLocalIPv6");
	add_implied(t, config, true, "0.0.0.0/0", "built-in");
	add_implied(t, config, true, "::/0", "built-in");
	add_rows(t, config, &config->pods, "pods");
	add_rows(t, config, &config->keep_sources, "keep source");
	table_print(t, stdout);

	printf("\n  %-16s %s\n", "IPv6",
	       config->ipv6 ? "translated" : "untouched");
	if (config->drop_foreign_sources && config->pods.count)
		printf("  %-16s dropped\n", "foreign sources");
	printf("  %-16s %s%s%s%s\n", "ports",
	       ports(config->port_min, config->port_max, text),
	       config->strict_ports ? ", kept ones too" : "",
	       config->node_port_min ? ", but not the node ports " : "",
	       config->node_port_min ? ports(config->node_port_min,
					     config->node_port_max, more)
				     : "");
	for (size_t i = 0; i < config->snat_count; i++)
		printf("  %-16s %s to %s\n", "source address",
		       pool_format(&config->snat[i].pool, pool, sizeof(pool)),
		       cidr_format(&config->snat[i].dest, more, sizeof(more)));
	printf("  %-16s %s\n", "refused TCP",
	       config->reject_tcp ? "answered with ICMP" : "dropped silently");
	printf("  %-16s %u, of one pod %u\n", "flows at most",
	       config->max_flows, config->max_flows_per_pod);
	printf("  %-16s %s\n", "flow counters",
	       config->flow_counters ? "on" : "off");
	printf("  %-16s %u prefixes to keep, at most %u\n", "cidrLimit",
	       (unsigned int)config->keep.count, config->cidr_limit);
	print_guard(config);
	print_duration("resyncInterval", config->resync_interval_ns);
	for (int i = 0; i < MASQ_T_MAX; i++)
		print_duration(timeout_names[i], config->timeout_ns[i]);
}

static int run(const struct cmd_line *line)
{
	const struct config_options options = {
		.strict = cmd_flag(line, "strict"),
	};
	struct config *config;
	char err[CONFIG_ERRLEN];
	int ret;

	ret = config_load(line->argv[0], &options, &config, err, sizeof(err));
	if (ret) {
		log_errors(err);
		return ret == -ENOMEM ? CMD_FAILED : CMD_USAGE;
	}
	if (line->json) {
		print_json(config);
	} else {
		for (size_t i = 0; i < config->warning_count; i++)
			log_warn("%s", config->warnings[i]);
		print_table(config);
	}
	config_free(config);
	return CMD_OK;
}

static const struct cmd_option options[] = {
	{ "strict", NULL, "an unknown key is an error" },
	{},
};

const struct cmd cmd_check = {
	.name = "check",
	.args = "FILE",
	.help = "is this config good, and how is it understood?",
	.min = 1,
	.max = 1,
	.options = options,
	.examples = "  masqbpf check /etc/masqbpf.yaml --strict\n",
	.run = run,
};

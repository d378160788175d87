// SPDX-License-Identifier: GPL-2.0-only
/*
 * metrics.c - the names, types and texts of all metrics, written as Prometheus
 * has them.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/prefix.h"
#include "base/safe.h"
#include "plane/counters.h"
#include "plane/flows.h"
#include "plane/tally.h"
#include "report/due.h"
#include "report/metrics.h"

static const char *metrics_prefix_label(const struct metrics_prefix *prefix,
					char buf[static METRICS_LABEL_LEN])
{
	size_t used = 0;

	if (!prefix->cidr.addr.family)
		return "other";
	/* one prefix may be a destination and a source */
	if (prefix->list == MASQ_L_KEEP_SOURCE)
		used = snprintf(buf, METRICS_LABEL_LEN, "source ");
	cidr_format(&prefix->cidr, buf + used, METRICS_LABEL_LEN - used);
	return buf;
}

static void help(FILE *f, const char *name, const char *type, const char *text)
{
	fprintf(f, "# HELP masqbpf_%s %s\n# TYPE masqbpf_%s %s\n", name, text,
		name, type);
}

/*
 * A label's value, where backslash and quote have an escape. The format wants
 * UTF-8, and no two series with the same labels: so what is written as \xed is
 * not what has been that already.
 */
static void put_label(FILE *f, const char *value)
{
	while (*value) {
		int length = safe_length(value);

		if (!length || !strncmp(value, "\\x", 2))
			fprintf(f, "\\\\x%02x", (unsigned char)*value++);
		else if (*value == '\\' || *value == '"')
			fprintf(f, "\\%c", *value++);
		else
			while (length--)
				fputc(*value++, f);
	}
}

static void prefix_sample(FILE *f, const char *name,
			  const struct metrics_prefix *prefix,
			  const char *direction, uint64_t value)
{
	char label[METRICS_LABEL_LEN];

	fprintf(f, "masqbpf_%s{prefix=\"%s\",action=\"%s\"", name,
		metrics_prefix_label(prefix, label),
		action_name(prefix->action));
	if (direction)
		fprintf(f, ",direction=\"%s\"", direction);
	fprintf(f, "} %" PRIu64 "\n", value);
}

static void write_prefixes(FILE *f, const struct metrics *m)
{
	help(f, "prefix_packets_total", "counter",
	     "Packets on the wire of flows that a prefix decided about.");
	for (size_t i = 0; i < m->prefix_count; i++) {
		const struct metrics_prefix *p = &m->prefixes[i];

		prefix_sample(f, "prefix_packets_total", p, "egress",
			      p->count.egress.packets);
		prefix_sample(f, "prefix_packets_total", p, "ingress",
			      p->count.ingress.packets);
	}
	help(f, "prefix_bytes_total", "counter",
	     "Bytes, from the IP header on, of flows that a prefix decided "
	     "about.");
	for (size_t i = 0; i < m->prefix_count; i++) {
		const struct metrics_prefix *p = &m->prefixes[i];

		prefix_sample(f, "prefix_bytes_total", p, "egress",
			      p->count.egress.bytes);
		prefix_sample(f, "prefix_bytes_total", p, "ingress",
			      p->count.ingress.bytes);
	}
	help(f, "prefix_flows_total", "counter",
	     "Flows begun that a prefix decided about.");
	for (size_t i = 0; i < m->prefix_count; i++)
		prefix_sample(f, "prefix_flows_total", &m->prefixes[i], NULL,
			      m->prefixes[i].count.flows);
	help(f, "unreplied_flows", "gauge",
	     "Live flows that nobody has answered, by the prefix that decided "
	     "about them. Many for a kept prefix: the far side does not know "
	     "the way back to pods.");
	for (size_t i = 0; i < m->prefix_count; i++)
		prefix_sample(f, "unreplied_flows", &m->prefixes[i], NULL,
			      m->prefixes[i].unreplied);
}

static void write_reasons(FILE *f, const struct metrics *m, bool drop,
			  const char *name, const char *text)
{
	help(f, name, "counter", text);
	for (int i = MASQ_R_NONE + 1; i < MASQ_R_MAX; i++)
		if (reasons[i].drop == drop)
			fprintf(f, "masqbpf_%s{reason=\"%s\"} %" PRIu64 "\n",
				name, reasons[i].name, m->stats[i]);
}

static void write_port_search(FILE *f, const struct metrics *m)
{
	static const char *const bounds[] = { "1",  "2",  "4",	"8",
					      "16", "32", "64", "+Inf" };
	uint64_t sum = 0;

	help(f, "port_search_failures_total", "counter",
	     "Searches for a source port that found none.");
	fprintf(f, "masqbpf_port_search_failures_total %" PRIu64 "\n",
		m->stats[MASQ_S_PORT_FAIL]);
	help(f, "port_search_tries", "histogram",
	     "Ports tried for a flow whose own port was taken.");
	for (int i = 0; i <= MASQ_S_TRIES_INF - MASQ_S_TRIES_1; i++) {
		sum += m->stats[MASQ_S_TRIES_1 + i];
		fprintf(f,
			"masqbpf_port_search_tries_bucket{le=\"%s\"} %" PRIu64
			"\n",
			bounds[i], sum);
	}
	fprintf(f,
		"masqbpf_port_search_tries_sum %" PRIu64 "\n"
		"masqbpf_port_search_tries_count %" PRIu64 "\n",
		m->stats[MASQ_S_TRIES_SUM], sum);
}

static void write_gauge(FILE *f, const char *name, const char *text,
			double value)
{
	help(f, name, "gauge", text);
	fprintf(f, "masqbpf_%s %.15g\n", name, value);
}

static void budget_samples(FILE *f, const char *name, const char *text,
			   const struct metrics *m, bool limit)
{
	help(f, name, "gauge", text);
	for (int i = 0; i < FLOW_BUDGETS; i++)
		fprintf(f,
			"masqbpf_%s{family=\"ipv%d\",action=\"%s\"} %" PRIu64
			"\n",
			name, flow_budgets[i].family, flow_budgets[i].name,
			limit ? m->budget_limit[i] : m->flows.flows[i]);
}

static void write_budgets(FILE *f, const struct metrics *m)
{
	budget_samples(f, "budget_flows",
		       "Live flows of what has a budget of its own.", m, false);
	budget_samples(f, "budget_limit",
		       "Flows that there may be in each budget.", m, true);
}

static void write_uplinks(FILE *f, const struct metrics_state *state)
{
	help(f, "attached", "gauge",
	     "Are both hooks of an interface in place?");
	for (size_t i = 0; i < state->uplink_count; i++) {
		const struct metrics_uplink *u = &state->uplinks[i];

		fputs("masqbpf_attached{interface=\"", f);
		put_label(f, u->name);
		fprintf(f, "\",hook=\"%s\"} %d\n", u->hook, u->attached);
	}
}

static void write_fast(FILE *f, const struct metrics *m,
		       const struct metrics_state *state)
{
	const struct fastpath_sum *fast = state->fast;

	help(f, "fast_path_packets_total", "counter",
	     "Packets that took the fast path.");
	fprintf(f,
		"masqbpf_fast_path_packets_total{direction=\"egress\"} %" PRIu64
		"\nmasqbpf_fast_path_packets_total{direction=\"ingress\"} "
		"%" PRIu64 "\n",
		m->skips[MASQ_SKIP_OUT], m->skips[MASQ_SKIP_IN]);
	if (!fast)
		return;
	write_gauge(f, "fast_path_pods", "Pods' interfaces with the fast path.",
		    fast->pods_on);
	write_gauge(f, "fast_path_pods_off",
		    "Pods' interfaces without it; status says why.",
		    fast->pods - fast->pods_on);
	help(f, "fast_path", "gauge", "Has this uplink the fast path?");
	for (size_t i = 0; i < state->uplink_count; i++) {
		bool on = fast->uplinks_on;

		for (uint32_t k = 0; k < fast->named; k++)
			on &= strcmp(fast->off[k].name,
				     state->uplinks[i].name) != 0;
		fputs("masqbpf_fast_path{interface=\"", f);
		put_label(f, state->uplinks[i].name);
		fprintf(f, "\"} %d\n", on);
	}
}

static bool is_broken(const struct verdict *v, const struct cidr *prefix)
{
	for (size_t i = 0; v && i < v->broken_count; i++)
		if (!cidr_cmp(&v->broken[i].prefix, prefix))
			return true;
	return false;
}

static void write_verdict(FILE *f, const struct metrics *m,
			  const struct verdict *v)
{
	char text[CIDR_STRLEN];

	help(f, "guard_broken", "gauge",
	     "Has the last change broken a network that this prefix decides "
	     "about: do pods hang there that were answered before?");
	for (size_t i = 0; i < m->prefix_count; i++) {
		const struct metrics_prefix *p = &m->prefixes[i];

		/* of a prefix that has changed its action there are two */
		if (p->list == MASQ_L_DST && p->cidr.addr.family &&
		    p->in_policy)
			fprintf(f, "masqbpf_guard_broken{prefix=\"%s\"} %d\n",
				cidr_format(&p->cidr, text, sizeof(text)),
				is_broken(v, &p->cidr));
	}
	if (v)
		write_gauge(f, "verdict",
			    "What status, the page and /readyz say: 0 ok, 1 "
			    "degraded, 2 bad.",
			    v->level);
}

void metrics_write(FILE *f, const struct metrics *m,
		   const struct metrics_state *state)
{
	write_prefixes(f, m);
	write_gauge(f, "flows", "Live flows.", m->flows.all);
	write_gauge(f, "flows_limit",
		    "maxFlows: flows of each budget that there may be.",
		    m->flows_limit);
	write_budgets(f, m);
	write_reasons(f, m, true, "drops_total",
		      "Packets dropped because they could not be translated.");
	write_reasons(f, m, false, "passes_total",
		      "Packets passed without a record, by reason.");
	write_port_search(f, m);
	write_gauge(f, "snat_port_utilization_ratio",
		    "Ports in use towards the destination with the most, of "
		    "those to choose from.",
		    m->port_utilization);
	write_gauge(f, "config_generation",
		    "Generation of the policy in force; 0: none.",
		    m->generation);
	write_gauge(f, "config_last_reload_successful",
		    "Did the last attempt to read the config succeed?",
		    state->reload_ok);
	write_gauge(f, "config_last_reload_success_timestamp_seconds",
		    "When the config was last read with success; 0: never.",
		    state->reload_time);
	write_gauge(f, "config_stale",
		    "Is a policy in force that its file does not say, because "
		    "the file is broken or gone?",
		    state->stale);
	help(f, "agent_due", "gauge",
	     "Has the agent something to do that has failed and is tried "
	     "again? config: a policy to be put into force, interfaces: hooks "
	     "or addresses, listen: to serve this, follow, netlink: to be "
	     "told of changes.");
	for (int kind = 0; kind < MASQ_DUE_MAX; kind++)
		fprintf(f, "masqbpf_agent_due{reason=\"%s\"} %d\n",
			due_name(kind), state->due >> kind & 1);
	write_uplinks(f, state);
	write_fast(f, m, state);
	help(f, "foreign_nat_detected", "gauge",
	     "Rules of others that translate pod traffic as well; NaN: they "
	     "could not be read.");
	if (state->foreign_nat < 0)
		fputs("masqbpf_foreign_nat_detected NaN\n", f);
	else
		fprintf(f, "masqbpf_foreign_nat_detected %d\n",
			state->foreign_nat);
	write_verdict(f, m, state->verdict);
	help(f, "build_info", "gauge", "The version that tells this.");
	fputs("masqbpf_build_info{version=\"" MASQ_VERSION "\"} 1\n", f);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * page.c - the page for people: is it well, what is the policy, what
 * does it do. No script, nothing from elsewhere; every value is escaped.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "agent/health.h"
#include "agent/page.h"
#include "agent/scrape.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/units.h"
#include "plane/counters.h"
#include "plane/tally.h"
#include "policy/policy.h"
#include "policy/read.h"
#include "report/share.h"

/* Rows beyond it help nobody on a phone; /metrics has them. */
#define ROWS_MAX 200
/* It is asked for again by itself, which needs no script. */
#define REFRESH_SECONDS 10

static const char style[] =
	"body{margin:0 auto;max-width:60rem;padding:1rem;"
	"font:16px/1.45 system-ui,sans-serif;color:#1b1f24;background:#fff}"
	"h1{font-size:1.4rem;margin:.2rem 0;overflow-wrap:anywhere}"
	"h2{font-size:1.1rem;margin:1.6rem 0 .4rem}"
	"p{margin:.3rem 0}"
	".state{display:inline-block;padding:.1rem .6rem;border-radius:1rem;"
	"color:#fff;font-size:1rem;vertical-align:middle}"
	".ok{background:#1a7f37}.warn{background:#9a6700}.bad{background:#cf222e}"
	"ul.problems{padding:.6rem 1rem .6rem 2rem;background:#fff1e5;"
	"border-left:4px solid #bc4c00;overflow-wrap:anywhere}"
	"dl{display:grid;grid-template-columns:max-content 1fr;"
	"gap:.15rem 1rem;margin:.6rem 0}"
	"dt{color:#57606a}dd{margin:0;overflow-wrap:anywhere}"
	".scroll{overflow-x:auto}"
	"table{border-collapse:collapse;width:100%}"
	"th,td{padding:.3rem .5rem;text-align:left;white-space:nowrap;"
	"border-bottom:1px solid #d0d7de}"
	"th{color:#57606a;font-weight:600;font-size:.85rem;"
	"vertical-align:bottom}td{vertical-align:top}"
	".n{text-align:right;font-variant-numeric:tabular-nums}"
	".masquerade{color:#0550ae}.keep{color:#6e4a00}"
	".hot{color:#cf222e;font-weight:600}"
	"small{color:#57606a}"
	"td.wide{white-space:normal;overflow-wrap:anywhere;min-width:8rem}"
	/* on a phone the prefix has a line of its own above its numbers */
	"@media(max-width:36rem){body{padding:.7rem}dl{gap:.15rem .7rem}"
	".policy,.policy tbody{display:block}.policy tr{display:grid;"
	"grid-template-columns:repeat(4,1fr);padding:.3rem 0;"
	"border-bottom:1px solid #d0d7de}"
	".policy th,.policy td{border:0;padding:.1rem .2rem}"
	".policy th:first-child,.policy td.wide{grid-column:1/-1}}"
	"@media(prefers-color-scheme:dark){body{background:#0d1117;"
	"color:#e6edf3}dt,th,small{color:#9198a1}"
	"th,td,.policy tr{border-color:#30363d!important}"
	"ul.problems{background:#2d1c10}.masquerade{color:#79c0ff}"
	".keep{color:#e3b341}a{color:#79c0ff}.hot{color:#ff7b72}}";

static void put(FILE *f, const char *text)
{
	for (text = shown(text); *text; text++) {
		switch (*text) {
		case '&':
			fputs("&amp;", f);
			break;
		case '<':
			fputs("&lt;", f);
			break;
		case '>':
			fputs("&gt;", f);
			break;
		case '"':
			fputs("&quot;", f);
			break;
		case '\'':
			fputs("&#39;", f);
			break;
		default:
			fputc(*text, f);
		}
	}
}

static void item(FILE *f, const char *name, const char *value)
{
	fprintf(f, "<dt>%s<dd>", name);
	put(f, value);
}

static void number(FILE *f, uint64_t value, bool hot)
{
	char text[32];

	fprintf(f, "<td class=%s>%s", hot ? "\"n hot\"" : "n",
		human_count(value, text, sizeof(text)));
}

static void traffic(FILE *f, const struct masq_count *count)
{
	char bytes[32], packets[32];

	fprintf(f, "<td class=n>%s<br><small>%s</small>",
		human_bytes(count->bytes, bytes, sizeof(bytes)),
		human_count(count->packets, packets, sizeof(packets)));
}

static void write_problems(FILE *f, char *lines)
{
	char *line;

	if (!*lines)
		return;
	fputs("<ul class=problems>", f);
	while ((line = strsep(&lines, "\n"))) {
		if (!*line)
			continue;
		fputs("<li>", f);
		put(f, line);
	}
	fputs("</ul>", f);
}

/* As Kubernetes calls it, else as it calls itself. */
static const char *node_name(char *buf, size_t len)
{
	const char *name = getenv("NODE_NAME");

	if (name && *name)
		snprintf(buf, len, "%s", name);
	else if (gethostname(buf, len))
		snprintf(buf, len, "unknown");
	buf[len - 1] = '\0';
	return buf;
}

/* Packets of all prefixes; of them those that took the fast path. */
static void write_share(FILE *f, const struct metrics *m)
{
	uint64_t all[MASQ_SKIP_MAX] = {};
	struct fast_share share;
	char text[96];

	for (size_t i = 0; i < m->prefix_count; i++) {
		all[MASQ_SKIP_OUT] += m->prefixes[i].count.egress.packets;
		all[MASQ_SKIP_IN] += m->prefixes[i].count.ingress.packets;
	}
	share = fast_share(m->skips, all);
	if (fast_share_text(&share, text, sizeof(text)))
		item(f, "", text);
}

static void write_fast(FILE *f, const struct agent *a)
{
	char text[FASTPATH_WHY + IFNAMSIZ + 64];

	if (a->fast_known)
		fastpath_sum_text(&a->fast, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "off%s%s",
			 *a->fast.node ? ": " : "", a->fast.node);
	item(f, "fast path", text);
	if (a->fast_known && !*a->fast.node)
		write_share(f, &a->metrics);
	for (uint32_t i = 0; i < a->fast.named && !*a->fast.node; i++) {
		snprintf(text, sizeof(text), "%s: off: %s", a->fast.off[i].name,
			 a->fast.off[i].why);
		item(f, "", text);
	}
}

static void write_facts(FILE *f, const struct agent *a,
			const struct policy *policy)
{
	char text[384];
	time_t seconds = time(NULL);
	struct tm tm;

	fputs("<dl>", f);
	item(f, "node", node_name(text, sizeof(text)));
	if (gmtime_r(&seconds, &tm)) {
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm);
		item(f, "looked at", text);
	}
	seconds = policy ? policy->head.applied_ns / 1000000000ULL : 0;
	snprintf(text, sizeof(text), "%u",
		 policy ? policy->head.generation : 0);
	if (policy && gmtime_r(&seconds, &tm))
		strftime(text + strlen(text), sizeof(text) - strlen(text),
			 ", in force since %Y-%m-%d %H:%M:%S UTC", &tm);
	item(f, "generation", text);
	if (policy && *policy->source.config_path)
		item(f, "config", policy->source.config_path);
	else if (policy && *policy->source.preset) {
		snprintf(text, sizeof(text), "preset %s",
			 policy->source.preset);
		item(f, "config", text);
	}
	item(f, "live flows",
	     flow_tally_text(a->instance, &a->metrics.flows, text,
			     sizeof(text)));
	snprintf(text, sizeof(text), "%.1f %% towards the busiest destination",
		 a->metrics.port_utilization * 100);
	item(f, "ports in use", text);
	for (size_t i = 0; i < a->link_count; i++) {
		const struct agent_link *link = &a->links[i];

		snprintf(text, sizeof(text), "%s: %s", link->name,
			 link->whole	 ? hook_kind_name(link->kind)
			 : link->ifindex ? "not attached"
					 : "no such interface");
		item(f, i ? "" : "interfaces", text);
	}
	write_fast(f, a);
	fputs("</dl>", f);
}

static const struct metrics_prefix *
find_counters(const struct metrics *metrics, const struct policy_entry *entry)
{
	for (size_t i = 0; i < metrics->prefix_count; i++) {
		const struct metrics_prefix *p = &metrics->prefixes[i];

		if (p->cidr.addr.family && p->list == entry->list &&
		    p->action == entry->action &&
		    !cidr_cmp(&p->cidr, &entry->cidr))
			return p;
	}
	return NULL;
}

static void write_entry(FILE *f, const struct metrics *metrics,
			const struct policy *policy,
			const struct policy_entry *entry)
{
	static const struct metrics_prefix none;
	const struct metrics_prefix *p = find_counters(metrics, entry) ?: &none;
	char text[384];

	fprintf(f, "<tr><td class=wide>%s%s<br><small><b class=%s>%s</b> ",
		cidr_format(&entry->cidr, text, sizeof(text)),
		entry->list == MASQ_L_KEEP_SOURCE ? " (source)" : "",
		action_name(entry->action), action_name(entry->action));
	/* the file's name stands above */
	if (entry->origin == MASQ_O_CONFIG)
		fprintf(f, "config, line %u", entry->line);
	else
		put(f, policy_origin(policy, entry, text, sizeof(text)));
	fputs("</small>", f);
	number(f, p->count.flows, false);
	number(f, p->unreplied, p->unreplied);
	traffic(f, &p->count.egress);
	traffic(f, &p->count.ingress);
}

static void write_policy(FILE *f, const struct metrics *metrics,
			 const struct policy *policy)
{
	size_t rows = 0, more = 0;

	fputs("<h2>Policy</h2><p>The longest prefix that matches a "
	      "destination decides. <b>keep</b>: it sees the pod's address; "
	      "<b>masquerade</b>: the node's."
	      "<div class=scroll><table class=policy><tr><th>prefix"
	      "<th class=n>flows<th class=n>no answer"
	      "<th class=n>out<br><small>packets</small>"
	      "<th class=n>in<br><small>packets</small>",
	      f);
	for (size_t i = 0; i < policy->count; i++) {
		if (policy->entries[i].list == MASQ_L_POD)
			continue;
		if (rows < ROWS_MAX) {
			write_entry(f, metrics, policy, &policy->entries[i]);
			rows++;
		} else {
			more++;
		}
	}
	fputs("</table></div>", f);
	if (more)
		fprintf(f, "<p>and %zu more: masqbpf counters", more);
}

static void write_drops(FILE *f, const struct metrics *metrics)
{
	bool any = false;

	fputs("<h2>Dropped packets</h2>", f);
	for (int i = MASQ_R_NONE + 1; i < MASQ_R_MAX; i++) {
		if (!reasons[i].drop || !metrics->stats[i])
			continue;
		if (!any)
			fputs("<div class=scroll><table><tr><th>reason"
			      "<th class=n>packets<th>what it means",
			      f);
		any = true;
		fputs("<tr><td>", f);
		put(f, reasons[i].name);
		number(f, metrics->stats[i], false);
		fputs("<td class=wide>", f);
		put(f, reasons[i].what);
		if (*reasons[i].todo) {
			fputs(": ", f);
			put(f, reasons[i].todo);
		}
	}
	fputs(any ? "</table></div>" : "<p>None.", f);
}

int agent_page(struct agent *a, FILE *f)
{
	struct policy *policy = NULL;
	struct agent_health health;
	const char *state, *class;
	int err = agent_metrics(a);
	char node[256];

	if (!err && a->has_policy)
		err = policy_read(a->instance, &policy);
	if (err)
		return err;
	agent_health(a, &health);
	state = !health.ready ? "not ready" : *health.text ? "degraded" : "ok";
	class = !health.ready ? "bad" : *health.text ? "warn" : "ok";
	fprintf(f,
		"<!DOCTYPE html><html lang=en><meta charset=utf-8>"
		"<meta http-equiv=refresh content=%d>"
		"<meta name=viewport content=\"width=device-width,"
		"initial-scale=1\"><title>",
		REFRESH_SECONDS);
	/* of several tabs each says first which one it is */
	put(f, node_name(node, sizeof(node)));
	fprintf(f,
		": %s - masqbpf</title><style>%s</style><h1>masqbpf "
		"<span class=\"state %s\">%s</span></h1>",
		state, style, class, state);
	write_problems(f, health.text);
	write_facts(f, a, policy);
	if (policy)
		write_policy(f, &a->metrics, policy);
	write_drops(f, &a->metrics);
	fputs("<p><a href=metrics>metrics</a> &middot; "
	      "<a href=readyz>readiness</a> &middot; version " MASQ_VERSION
	      "</html>\n",
	      f);
	policy_free(policy);
	return 0;
}

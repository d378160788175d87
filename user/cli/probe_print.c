// SPDX-License-Identifier: GPL-2.0-only
/* probe_print.c - side by side, and what that means. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "base/color.h"
#include "base/json.h"
#include "base/prefix.h"
#include "base/safe.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/probe_print.h"
#include "cli/show.h"
#include "plane/counters.h"

static const char *proto_text(const struct probe *p)
{
	return p->proto == IPPROTO_TCP	 ? "tcp"
	       : p->proto == IPPROTO_UDP ? "udp"
					 : "icmp";
}

static const char *action_now(const struct probe *p)
{
	if (!p->now.op)
		return NULL;
	if (p->now.reason && p->now.prefix == MASQ_NO_PREFIX)
		return reasons[p->now.reason].drop ? "drop" : "pass";
	return p->attached ? action_name(p->now.action) : "pass";
}

static void json_trial(struct json *j, const char *key, const struct trial *t)
{
	char text[REACH_STRLEN];
	bool unknown;

	if (!t) {
		json_null(j, key);
		return;
	}
	unknown = t->reply.answer == TRIAL_BUSY ||
		  t->reply.answer == TRIAL_NOT_TRIED;
	json_object(j, key);
	if (t->source.family)
		json_string(j, "source",
			    addr_format(&t->source, text, sizeof(text)));
	else
		json_null(j, "source");
	podname_json(j, "pod", &t->source);
	if (unknown)
		json_null(j, "answered");
	else
		json_bool(j, "answered", reach_is_answer(t));
	json_string(j, "answer", reach_answer(t, text, sizeof(text)));
	if (t->reply.from.family)
		json_string(j, "from",
			    addr_format(&t->reply.from, text, sizeof(text)));
	else
		json_null(j, "from");
	if (t->reply.from.family)
		json_double(j, "rtt_ms", t->rtt_ms);
	else
		json_null(j, "rtt_ms");
	json_object_end(j);
}

void probe_print_json(const struct probe *p)
{
	const char *now = action_now(p);
	char text[320];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_string(&j, "destination",
		    addr_format(&p->dest, text, sizeof(text)));
	if (p->port)
		json_u64(&j, "port", p->port);
	else
		json_null(&j, "port");
	json_string(&j, "proto", proto_text(p));
	json_trial(&j, "as_node", &p->trials[0]);
	json_trial(&j, "as_pod", p->device ? &p->trials[1] : NULL);
	json_string(&j, "verdict", reach_text(p->reach, p->proto));
	json_string(&j, "cause", reach_name(p->reach));
	if (*p->trials[0].way.name)
		json_string(&j, "uplink", p->trials[0].way.name);
	else
		json_null(&j, "uplink");
	json_bool(&j, "uplink_attached", p->attached);
	if (now)
		json_string(&j, "action", now);
	else
		json_null(&j, "action");
	if (p->entry)
		json_string(&j, "prefix",
			    cidr_format(&p->entry->cidr, text, sizeof(text)));
	else
		json_null(&j, "prefix");
	json_object_end(&j);
	json_end(&j);
}

static void print_trial(FILE *out, const char *name, const struct trial *t)
{
	char text[REACH_STRLEN], pod[PODNAME_STRLEN];
	const char *color = t->reply.answer == TRIAL_OPEN ? color_green(stdout)
			    : reach_is_answer(t)	  ? color_yellow(stdout)
							  : color_red(stdout);

	fprintf(out, "  %-13s %s\n", name,
		t->source.family ? podname_beside(&t->source, pod, sizeof(pod))
				 : "-");
	fprintf(out, "  %-13s %s%s%s", "", color,
		reach_answer(t, text, sizeof(text)), color_off(stdout));
	if (t->reply.from.family)
		fprintf(out, " after %.*f ms", t->rtt_ms < 10 ? 2 : 0,
			t->rtt_ms);
	fputc('\n', out);
}

static void print_policy(FILE *out, const struct probe *p)
{
	const char *now = action_now(p);
	char text[320], dest[CIDR_STRLEN];
	int plen = p->dest.family == 4 ? 32 : 128;

	if (!now)
		return;
	fprintf(out, "  %-13s %s", "policy now", now);
	if (!p->attached)
		fprintf(out, ": %s is not attached",
			shown(p->trials[0].way.name));
	else if (p->entry)
		fprintf(out, " by %s",
			cidr_format(&p->entry->cidr, text, sizeof(text)));
	else if (p->now.reason)
		fprintf(out, ": %s", reasons[p->now.reason].what);
	fputc('\n', out);
	if (p->attached && p->entry)
		fprintf(out, "  %-13s %s\n", "origin",
			shown(policy_origin(p->policy, p->entry, text,
					    sizeof(text))));
	addr_format(&p->dest, dest, sizeof(dest));
	if (p->reach == REACH_ONLY_NODE && p->device && !strcmp(now, "keep"))
		fprintf(out,
			"  %-13s masqbpf cidr add %s/%d --masquerade\n"
			"  %-13s (or the whole range there)\n",
			"to do", dest, plen, "");
	if (p->reach == REACH_ONLY_POD && !strcmp(now, "masquerade"))
		fprintf(out,
			"  %-13s masqbpf cidr add %s/%d --keep\n"
			"  %-13s (or the whole range there)\n",
			"to do", dest, plen, "");
}

void probe_print_text(const struct probe *p)
{
	char text[CIDR_STRLEN];
	struct words words;
	FILE *out = words_begin(&words);

	fprintf(out, "%s%s%s  %s", color_bold(stdout),
		addr_format(&p->dest, text, sizeof(text)), color_off(stdout),
		proto_text(p));
	if (p->port)
		fprintf(out, " port %u", p->port);
	if (*p->trials[0].way.name)
		fprintf(out, "  by %s", shown(p->trials[0].way.name));
	fputc('\n', out);
	print_trial(out, "as the node", &p->trials[0]);
	if (p->device)
		print_trial(out, "as a pod", &p->trials[1]);
	fprintf(out, "  %-13s %s\n", "verdict", reach_text(p->reach, p->proto));
	print_policy(out, p);
	words_end(&words, stdout, 16);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * status.c - prints the state of an instance. This is the place that shows the
 * chains: tools of Debian 12 do not know TCX.
 */
#include <stdio.h>
#include <string.h>
#include "base/color.h"
#include "base/json.h"
#include "base/safe.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/status.h"
#include "plane/instance.h"
#include "plane/tally.h"
#include "report/health.h"

static void chain_json(struct json *j, enum hook_dir dir,
		       const struct hook_chain *chain)
{
	json_array(j, hook_dir_name(dir));
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		json_object(j, NULL);
		json_string(j, "hook", hook_kind_name(p->kind));
		if (p->kind == HOOK_TC) {
			json_string(j, "type", p->type);
			json_u64(j, "priority", p->priority);
			json_u64(j, "handle", p->handle);
		}
		if (p->id)
			json_u64(j, "id", p->id);
		else
			json_null(j, "id");
		if (*p->name)
			json_string(j, "name", p->name);
		else
			json_null(j, "name");
		json_bool(j, "ours", p->ours);
		json_object_end(j);
	}
	json_array_end(j);
}

static void entries_json(struct json *j, const char *key,
			 const struct policy_entry *entries, size_t count)
{
	char text[CIDR_STRLEN];

	json_array(j, key);
	for (size_t i = 0; i < count; i++)
		json_string(j, NULL,
			    cidr_format(&entries[i].cidr, text, sizeof(text)));
	json_array_end(j);
}

static void verdict_json(struct json *j, const struct health *s)
{
	const struct verdict *v = &s->verdict;
	char text[CIDR_STRLEN], share[64];

	json_array(j, "verdict");
	for (size_t i = 0; i < v->count; i++) {
		const struct verdict_item *item = &v->items[i];

		json_object(j, NULL);
		json_string(j, "what", item->what);
		json_string(j, "level", verdict_level_name(item->level));
		json_string(j, "text", item->text);
		if (item->todo)
			json_string(j, "todo", item->todo);
		else
			json_null(j, "todo");
		json_object_end(j);
	}
	json_array_end(j);
	json_array(j, "fast_path");
	for (size_t i = 0; i < s->fast.count; i++) {
		const struct fastpath_link *link = &s->fast.links[i];

		json_object(j, NULL);
		json_string(j, "interface", link->name);
		json_bool(j, "on", !*link->why);
		if (*link->why)
			json_string(j, "why", link->why);
		else
			json_null(j, "why");
		json_object_end(j);
	}
	json_array_end(j);
	if (fast_share_text(&s->fast_share, share, sizeof(share))) {
		json_object(j, "fast_path_share");
		json_double(j, "egress", s->fast_share.of[MASQ_SKIP_OUT]);
		json_double(j, "ingress", s->fast_share.of[MASQ_SKIP_IN]);
		json_object_end(j);
	} else {
		json_null(j, "fast_path_share");
	}
	if (v->guarded) {
		json_object(j, "guard");
		json_u64(j, "generation", v->guard_generation);
		if (v->guard_until)
			json_double(j, "until", v->guard_until);
		else
			json_null(j, "until");
		json_array(j, "broken");
		for (size_t i = 0; i < v->broken_count; i++)
			json_string(j, NULL,
				    cidr_format(&v->broken[i].net, text,
						sizeof(text)));
		json_array_end(j);
		json_object_end(j);
	} else {
		json_null(j, "guard");
	}
	json_object(j, "drift");
	entries_json(j, "added", v->added, v->added_count);
	entries_json(j, "missing", v->missing, v->missing_count);
	json_object_end(j);
}

static void print_json(const struct health *s)
{
	char text[CIDR_STRLEN];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", s->generation);
	if (*s->config)
		json_string(&j, "config", s->config);
	else
		json_null(&j, "config");
	json_array(&j, "interfaces");
	for (size_t i = 0; i < s->uplink_count; i++) {
		const struct health_uplink *u = &s->uplinks[i];

		json_object(&j, NULL);
		json_string(&j, "name", u->name);
		json_u64(&j, "ifindex", u->ifindex);
		if (u->kind == HOOK_AUTO)
			json_null(&j, "hook");
		else
			json_string(&j, "hook", hook_kind_name(u->kind));
		json_bool(&j, "attached", u->whole);
		json_array(&j, "addresses");
		for (int a = 0; a < 2; a++)
			if (u->addrs[a].family)
				json_string(&j, NULL,
					    addr_format(&u->addrs[a], text,
							sizeof(text)));
		json_array_end(&j);
		for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
			chain_json(&j, dir, &u->chains[dir]);
		json_object_end(&j);
	}
	json_array_end(&j);
	json_u64(&j, "flows", s->flows.all);
	json_u64(&j, "flows_max", s->instance->meta.max_flows);
	json_array(&j, "budgets");
	for (int i = 0; i < FLOW_BUDGETS; i++) {
		const struct flow_budget *b = &flow_budgets[i];

		json_object(&j, NULL);
		json_u64(&j, "family", b->family);
		json_string(&j, "action", b->name);
		json_u64(&j, "flows", s->flows.flows[i]);
		json_u64(&j, "max", instance_flows_max(s->instance, b->family));
		json_object_end(&j);
	}
	json_array_end(&j);
	json_string(&j, "health", health_level_name(s->level));
	json_array(&j, "problems");
	for (size_t i = 0; i < s->problem_count; i++)
		json_string(&j, NULL, s->problems[i]);
	json_array_end(&j);
	verdict_json(&j, s);
	json_string(&j, "pin_dir", s->instance->pin_dir);
	json_string(&j, "version", s->instance->meta.version);
	json_object_end(&j);
	json_end(&j);
}

static void print_chain(enum hook_dir dir, const struct hook_chain *chain)
{
	printf("  %-9s", hook_dir_name(dir));
	if (!chain->count)
		printf(" nothing");
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		printf("%s%s %s", i ? " -> " : " ", hook_kind_name(p->kind),
		       p->ours ? color_bold(stdout) : "");
		if (*p->name)
			printf("%s", shown(p->name));
		else
			printf("%s", p->id ? "program" : p->type);
		if (p->id)
			printf("[%u]", p->id);
		printf("%s", p->ours ? color_off(stdout) : "");
	}
	printf("\n");
}

static void print_uplink(const struct health_uplink *u)
{
	char text[CIDR_STRLEN];
	bool any = false;

	printf("\n%s%s%s (%u): %s\n", color_bold(stdout), shown(u->name),
	       color_off(stdout), u->ifindex,
	       u->gone	  ? "gone"
	       : u->whole ? hook_kind_name(u->kind)
			  : "not attached");
	if (u->gone)
		return;
	printf("  %-9s", "address");
	for (int a = 0; a < 2; a++) {
		if (!u->addrs[a].family)
			continue;
		printf("%s%s", any ? ", " : " ",
		       addr_format(&u->addrs[a], text, sizeof(text)));
		any = true;
	}
	printf("%s\n", any ? "" : " none");
	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++)
		print_chain(dir, &u->chains[dir]);
}

/* Where the values begin. */
#define INDENT 12

static void print_item(const struct verdict *v, size_t i)
{
	const struct verdict_item *item = &v->items[i], *next = item + 1;
	bool ok = item->level == VERDICT_OK;
	/* once: what is below it is for it, too; and the guard knows the way
	 * back from what it has seen */
	bool is_below = item->todo && i + 1 < v->count && next->todo &&
			!strcmp(next->what, item->what) &&
			!strcmp(next->todo, item->todo);
	bool is_above = v->broken_count && !strcmp(item->what, "unreplied");

	words_print(stdout, INDENT, "%s%-11s %s%s\n",
		    ok				 ? ""
		    : item->level == VERDICT_BAD ? color_red(stdout)
						 : color_yellow(stdout),
		    item->what, shown(item->text), ok ? "" : color_off(stdout));
	if (item->todo && !ok && !is_below && !is_above)
		words_print(stdout, INDENT + 2, "%*s> %s\n", INDENT, "",
			    shown(item->todo));
}

/* One line for where it is on, and one for each reason why it is not. */
static void print_fast(const struct health *s)
{
	size_t on = 0;
	const char *share;
	char text[64];

	for (size_t i = 0; i < s->fast.count; i++)
		on += !*s->fast.links[i].why;
	share = fast_share_text(&s->fast_share, text, sizeof(text));
	printf("fast path   on for %zu of %zu interfaces%s%s\n", on,
	       s->fast.count, share ? "; " : "", share ?: "");
	for (size_t i = 0; i < s->fast.count; i++)
		if (*s->fast.links[i].why)
			words_print(stdout, INDENT + 2, "%*s%s: %s\n", INDENT,
				    "", shown(s->fast.links[i].name),
				    shown(s->fast.links[i].why));
	if (on && !fastpath_tcp_allowed() && !fastpath_tcp_by_flow(s->instance))
		printf("            not for TCP: conntrack would call its "
		       "packets out of window\n");
}

static void print_text(const struct health *s)
{
	const char *color = s->level == HEALTH_OK	? color_green(stdout)
			    : s->level == HEALTH_FAILED ? color_red(stdout)
							: color_yellow(stdout);
	char flows[FLOW_TALLY_LEN];

	printf("health      %s%s%s\n", color, health_level_name(s->level),
	       color_off(stdout));
	for (size_t i = 0; i < s->verdict.count; i++)
		print_item(&s->verdict, i);
	printf("generation  %u\n", s->generation);
	words_print(stdout, INDENT, "config      %s\n",
		    !*s->config		      ? "none"
		    : !strcmp(s->config, "-") ? "standard input"
					      : shown(s->config));
	words_print(stdout, INDENT, "flows       %s\n",
		    flow_tally_text(s->instance, &s->flows, flows,
				    sizeof(flows)));
	words_print(stdout, INDENT, "pins        %s (masqbpf %s)\n",
		    shown(s->instance->pin_dir), s->instance->meta.version);
	if (fastpath_is_on(s->instance))
		print_fast(s);
	else if (s->fast.count)
		words_print(stdout, INDENT, "fast path   %s\n",
			    shown(s->fast.links[0].why));
	for (size_t i = 0; i < s->uplink_count; i++)
		print_uplink(&s->uplinks[i]);
}

int status_print(struct health *health, bool json)
{
	int err = health_read(health);

	if (!err && json)
		print_json(health);
	else if (!err)
		print_text(health);
	health_free(health);
	return err ? CMD_FAILED : CMD_OK;
}

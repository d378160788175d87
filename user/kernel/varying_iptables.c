// SPDX-License-Identifier: GPL-2.0-only
/* varying_iptables.c - walks the tables of legacy iptables for varying.c. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "kernel/iptables.h"
#include "kernel/varying_iptables.h"
#include "kernel/varying_xt.h"

/* One table, and which of its entries are reached. */
struct walk {
	uint8_t family;
	struct iptables table;
	const char *name;
	bool *reached; /* by offset / 8, a rule's beginning */
	uint8_t *kept; /* the same of chains, see keeps() */
	uint32_t *todo;
	size_t todo_count;
	bool tracked; /* rules go by conntrack's states */
	uint8_t marks; /* VARYING_SAVES, _RESTORES, _TURNS */
	bool late; /* conntrack has seen what comes here */
	char *text;
	size_t len;
};

static bool is_zero(const char *data, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (data[i])
			return false;
	return true;
}

/* `marked`: the rule goes by a connection's mark. */
static bool is_harmless(const struct xt_entry_target *t, size_t size,
			bool marked)
{
	const char *name = t->u.user.name;
	size_t own = t->u.target_size - sizeof(*t);

	return t->u.target_size >= sizeof(*t) && t->u.target_size <= size &&
	       varying_xt_target(name, t->data, own, t->u.user.revision) &&
	       !(marked &&
		 varying_xt_marks(name, t->data, own, t->u.user.revision));
}

static int say(const struct walk *w, const char *what)
{
	snprintf(w->text, w->len, "netfilter: %s %s: %s",
		 w->family == 4 ? "iptables-legacy" : "ip6tables-legacy",
		 w->name, what);
	return 1;
}

/* Connections that are given a helper: whichever packet it is that does it. */
static int find_helpers(const struct walk *w)
{
	uint32_t at = 0;

	while (at + w->table.matches < w->table.size) {
		struct iptables_entry e = iptables_entry(&w->table, at);
		const struct xt_entry_target *t =
			(const void *)(e.at + e.target);

		if (!e.next || e.next > w->table.size - at ||
		    e.target + sizeof(*t) > e.next ||
		    t->u.target_size < sizeof(*t) ||
		    t->u.target_size > e.next - e.target)
			return -EPROTO;
		if (varying_xt_helps(t->u.user.name, t->data,
				     t->u.target_size - sizeof(*t)))
			return say(w, t->u.user.name);
		at += e.next;
	}
	return 0;
}

/* Of which protocol the rule is, which of those on the fast path none has. */
static bool is_for_others(const struct walk *w, const char *head)
{
	const struct ipt_ip *ip = (const void *)head;
	const struct ip6t_ip6 *ip6 = (const void *)head;
	uint16_t proto = w->family == 4 ? ip->proto : ip6->proto;
	uint8_t not = w->family == 4 ? ip->invflags & IPT_INV_PROTO
				     : ip6->invflags & IP6T_INV_PROTO;

	return proto && !not &&proto != IPPROTO_TCP && proto != IPPROTO_UDP;
}

/* How a rule treats packets of an established flow, as far as `late` says. */
struct met {
	bool never; /* none gets past what it asks */
	bool all; /* all of them do */
	bool marked; /* it goes by a mark of the connection's */
	const char *varies; /* what it asks that varies */
	int verdict; /* -1: another target than iptables' own */
};

/* 0 or -EPROTO. */
static int read_entry(struct walk *w, const struct iptables_entry *e,
		      struct met *met)
{
	const struct xt_entry_target *t = (const void *)(e->at + e->target);

	*met = (struct met){
		.never = is_for_others(w, e->at),
		.all = is_zero(e->at, w->table.head),
		.verdict = *t->u.user.name
				   ? -1
				   : ((const struct xt_standard_target *)t)
					     ->verdict,
	};
	for (uint32_t m = w->table.matches; m < e->target && !met->never;) {
		const struct xt_entry_match *match = (const void *)(e->at + m);
		size_t size = match->u.match_size - sizeof(*match);
		const char *name = match->u.user.name;
		unsigned int rev = match->u.user.revision;

		if (match->u.match_size < sizeof(*match) ||
		    match->u.match_size > e->target - m)
			return -EPROTO;
		w->tracked |= varying_xt_by_state(name);
		met->marked |= varying_xt_by_mark(name, match->data, size);
		switch (varying_xt_match(name, match->data, size, rev)) {
		case VARYING_NEVER:
			met->never = true;
			break;
		case VARYING_UNKNOWN:
			met->never = w->late;
			break;
		case VARYING_VARIES:
			met->varies = met->varies ?: name;
			break;
		case VARYING_SAME:
			break;
		}
		met->all &= varying_xt_lets_all(name, match->data, size, rev);
		m += match->u.match_size;
	}
	met->all &= !met->never;
	return 0;
}

/* -EPROTO: there is none. */
static int entry_at(const struct walk *w, uint32_t at, struct iptables_entry *e)
{
	if (at + w->table.matches >= w->table.size)
		return -EPROTO;
	*e = iptables_entry(&w->table, at);
	return !e->next || e->next > w->table.size - at || e->target >= e->next
		       ? -EPROTO
		       : 0;
}

/* Has the rule `iptables -g`, in place of -j? */
static bool is_goto(const struct walk *w, const char *head)
{
	return w->family == 4
		       ? ((const struct ipt_ip *)head)->flags & IPT_F_GOTO
		       : ((const struct ip6t_ip6 *)head)->flags & IP6T_F_GOTO;
}

/* Chains in which is looked for what keeps all, each in the one before. */
#define DEEP 8

/*
 * Does no packet of an established flow come back from the chain that begins
 * here? What is asked varies has been said by the walk, before this.
 */
static bool keeps(struct walk *w, uint32_t at, int deep);

static bool looks_kept(struct walk *w, uint32_t at, int deep)
{
	struct iptables_entry e;
	struct met met;

	for (; !entry_at(w, at, &e); at += e.next) {
		const struct xt_entry_target *t =
			(const void *)(e.at + e.target);

		if (!strcmp(t->u.user.name, "ERROR") || read_entry(w, &e, &met))
			return false;
		if (met.never)
			continue;
		if (met.verdict == XT_RETURN ||
		    (met.verdict >= 0 && is_goto(w, e.at)))
			return false;
		if (!met.all || *t->u.user.name)
			continue;
		if (met.verdict < 0 ||
		    (deep < DEEP && keeps(w, met.verdict, deep + 1)))
			return true;
	}
	return false;
}

static bool keeps(struct walk *w, uint32_t at, int deep)
{
	enum {
		UNKNOWN,
		YES,
		NO
	};

	if (at >= w->table.size)
		return false;
	if (w->kept[at / 8] == UNKNOWN)
		w->kept[at / 8] = looks_kept(w, at, deep) ? YES : NO;
	return w->kept[at / 8] == YES;
}

/* The rules from `at` on to the chain's end; 1: one varies. */
static int walk(struct walk *w, uint32_t at)
{
	while (at + w->table.matches < w->table.size && !w->reached[at / 8]) {
		const struct xt_entry_target *t;
		struct iptables_entry e;
		struct met met;
		int err = entry_at(w, at, &e) ?: read_entry(w, &e, &met);

		if (err)
			return err;
		t = (const void *)(e.at + e.target);
		w->reached[at / 8] = true;
		if (!met.never && !met.varies && met.verdict == -NF_QUEUE - 1)
			met.varies = "QUEUE";
		if (!met.never && !met.varies &&
		    !is_harmless(t, e.next - e.target, met.marked))
			met.varies = t->u.user.name;
		/* what was asked first is met, whatever is asked then */
		if (met.varies)
			return say(w, met.varies);
		if (!met.never)
			w->marks |=
				varying_xt_mark(t->u.user.name, t->data,
						t->u.target_size - sizeof(*t),
						t->u.user.revision);
		/* a new chain's head is the end of the one before */
		if (!strcmp(t->u.user.name, "ERROR"))
			return 0;
		if (met.verdict >= 0 && !met.never)
			w->todo[w->todo_count++] = met.verdict;
		/* nothing that is established gets past it */
		if (w->late && met.all && !*t->u.user.name &&
		    (met.verdict < 0 || keeps(w, met.verdict, 0)))
			return 0;
		/* behind a policy another built-in chain begins */
		for (int hook = 0; hook < NF_INET_NUMHOOKS; hook++)
			if (at == w->table.ends[hook])
				return 0;
		at += e.next;
	}
	return 0;
}

static const uint8_t walks[] = { NF_INET_PRE_ROUTING, NF_INET_FORWARD,
				 NF_INET_POST_ROUTING };

static int walk_all(struct walk *w)
{
	int err = 0;

	w->reached = calloc(w->table.size / 8 + 1, sizeof(*w->reached));
	w->kept = calloc(w->table.size / 8 + 1, sizeof(*w->kept));
	w->todo = calloc(w->table.count + 8, sizeof(*w->todo));
	if (!w->reached || !w->kept || !w->todo)
		return -ENOMEM;
	/* what is met early first: it goes further */
	for (size_t i = 0; i < sizeof(walks) / sizeof(*walks); i++) {
		if (!(w->table.hooks & 1U << walks[i]))
			continue;
		w->late = walks[i] != NF_INET_PRE_ROUTING ||
			  strcmp(w->name, "raw") != 0;
		w->todo[w->todo_count++] = w->table.begins[walks[i]];
		while (w->todo_count && !err)
			err = walk(w, w->todo[--w->todo_count]);
	}
	return err;
}

static int look_at_table(void *data, const char *name)
{
	struct walk *of = data, w = *of;
	int err;

	/* nat is asked about first packets alone */
	if (!strcmp(name, "nat"))
		return 0;
	w.name = name;
	err = iptables_read(w.family, name, &w.table)
		      ?: find_helpers(&w) ?: walk_all(&w);
	of->tracked |= w.tracked;
	of->marks |= w.marks;
	free(w.reached);
	free(w.kept);
	free(w.todo);
	iptables_free(&w.table);
	return err;
}

int varying_iptables(uint8_t family, char *text, size_t len, bool *tracked)
{
	struct walk w = {
		.family = family, .text = text, .len = len, .name = "MARK"
	};
	int err = iptables_each(family, look_at_table, &w);

	if (!err && w.marks == (VARYING_AGAIN | VARYING_TURNS))
		err = say(&w, VARYING_TURNED);

	*tracked |= w.tracked;
	return err;
}

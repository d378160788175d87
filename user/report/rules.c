// SPDX-License-Identifier: GPL-2.0-only
/*
 * rules.c - others that translate. Whoever does it in POSTROUTING does it
 * before our hook: packets then come to us with the node's address, pass as the
 * node's own, and masqbpf looks healthy while it does nothing.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include "kernel/foreign.h"
#include "report/pods.h"
#include "report/rules.h"

static bool begins(const char *text, const char *head)
{
	return !strncmp(text, head, strlen(head));
}

static void judge(struct doctor *d, const struct foreign_rule *rule)
{
	enum doctor_level level = DOCTOR_BAD;
	char source[CIDR_STRLEN] = "any source", todo[256];

	if (rule->source.addr.family)
		cidr_format(&rule->source, source, sizeof(source));
	if (!rule->reached) {
		doctor_add(
			d, DOCTOR_NOTE, "foreign-nat", NULL,
			"%s, chain %s: %s, but no rule leads there: left over",
			rule->where, rule->chain, rule->what);
		return;
	}
	if (begins(rule->chain, "KUBE-")) {
		doctor_add(
			d, DOCTOR_NOTE, "foreign-nat", NULL,
			"%s, chain %s: %s of what kube-proxy marked: that is services' business",
			rule->where, rule->chain, rule->what);
		return;
	}
	if (begins(rule->chain, "IP-MASQ"))
		snprintf(
			todo, sizeof(todo),
			"ip-masq-agent: stop it, then masqbpf migrate takes over without losing a connection");
	else if (begins(rule->chain, "CNI-"))
		snprintf(
			todo, sizeof(todo),
			"a CNI plugin's: set ipMasq to false in /etc/cni/net.d");
	else
		snprintf(
			todo, sizeof(todo),
			"remove it or limit it to sources that are no pods; %s",
			begins(rule->where, "nft")
				? "nft -a list ruleset"
				: "iptables-legacy -t nat -S");
	if (rule->source.addr.family)
		level = doctor_level_of(doctor_pods_in(d, &rule->source));
	doctor_add(
		d, level, "foreign-nat", level == DOCTOR_NOTE ? NULL : todo,
		"%s, chain %s: %s for %s%s", rule->where, rule->chain,
		rule->what, source,
		level == DOCTOR_NOTE
			? ", no pods'"
			: ": what it translates before us we take for the node's own");
}

static int judge_all(struct doctor *d, const struct foreign_nat *nat)
{
	size_t before = d->count;
	int bad = 0;

	for (size_t i = 0; i < nat->count; i++)
		judge(d, &nat->rules[i]);
	for (size_t k = before; k < d->count; k++)
		bad += d->findings[k].level == DOCTOR_BAD;
	if (nat->unreadable)
		doctor_add(
			d, DOCTOR_UNKNOWN, "foreign-nat",
			nat->unreadable == -EINTR
				? "look again; nft list ruleset"
				: "run it as root; nft list ruleset",
			"not all rules could be read (%s): whether others translate%s is not known",
			nat->unreadable == -EINTR ? "they change all the time"
						  : strerror(-nat->unreadable),
			bad ? ", beside what is found," : "");
	else if (!nat->count)
		doctor_add(
			d, DOCTOR_OK, "foreign-nat", NULL,
			"no rule of nft, iptables or iptables-legacy writes sources");
	return !bad && nat->unreadable ? -1 : bad;
}

int rules_judge(struct doctor *d, const struct foreign_nat *nat)
{
	struct foreign_nat found;
	int bad, err;

	if (nat)
		return judge_all(d, nat);
	err = foreign_nat_find(&found);
	if (err)
		found.unreadable = err;
	bad = judge_all(d, &found);
	foreign_nat_free(&found);
	return bad;
}

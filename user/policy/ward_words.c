// SPDX-License-Identifier: GPL-2.0-only
/* ward_words.c - what it has found, and what to type. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prefix.h"
#include "kernel/podname.h"
#include "policy/ward_notes.h"
#include "policy/ward_words.h"

size_t ward_broken(const struct ward *w, struct vigil_net ***out)
{
	struct vigil_net **nets;
	size_t count, kept = 0;

	*out = NULL;
	if (!w->vigil || !w->vigil->broken)
		return 0;
	nets = ward_nets(w, &count);
	for (size_t i = 0; nets && i < count; i++)
		if (nets[i]->broken)
			nets[kept++] = nets[i];
	*out = nets;
	return nets ? kept : 0;
}

static int compare_pods(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

/* What is in force for those who hang there. */
static const char *treatment_text(const struct ward *w,
				  const struct vigil_net *net, char *buf,
				  size_t len)
{
	const struct policy_entry *match = policy_match(w->to, &net->net);
	char by[CIDR_STRLEN];

	if (net->try_count &&
	    treat_source(w->to, &net->tries[0].pod).action == PLAN_UNTOUCHED)
		return "untouched: outside podCIDRs";
	if (net->net.addr.family == 6 && !(w->to->head.flags & MASQ_P_IPV6))
		return "untouched: enableIPv6 is false";
	if (!match)
		return "?";
	snprintf(buf, len, "%s by %s", action_name(match->action),
		 cidr_format(&match->cidr, by, sizeof(by)));
	return buf;
}

const char *ward_text(const struct ward *w, const struct vigil_net *net,
		      char *buf, size_t len)
{
	char cidr[CIDR_STRLEN], how[2 * CIDR_STRLEN], pods[400] = "";
	char pod[PODNAME_STRLEN];
	struct addr found[VIGIL_TRIES];
	size_t count = 0;

	for (uint16_t i = 0; i < net->try_count; i++) {
		bool known = false;

		for (size_t k = 0; k < count; k++)
			known |= addr_equal(&net->tries[i].pod, &found[k]);
		if (!known)
			found[count++] = net->tries[i].pod;
	}
	if (count) /* else there is nothing to sort, which qsort may not get */
		qsort(found, count, sizeof(*found), compare_pods);
	for (size_t i = 0; i < count && i < 3; i++) {
		size_t used = strlen(pods);

		/* a very long name does not push out what is said */
		if (strlen(podname_beside(&found[i], pod, sizeof(pod))) > 120)
			addr_format(&found[i], pod, sizeof(pod));
		snprintf(pods + used, sizeof(pods) - used, "%s%s",
			 i ? ", " : "", pod);
	}
	if (count > 3)
		snprintf(pods + strlen(pods), sizeof(pods) - strlen(pods),
			 " and %zu more", count - 3);
	snprintf(buf, len, "%s (%s): new connections of %s hang, %s",
		 cidr_format(&net->net, cidr, sizeof(cidr)),
		 treatment_text(w, net, how, sizeof(how)),
		 *pods ? pods : "pods",
		 w->state.flags & WARD_FIRST
			 ? "the node itself is answered there"
			 : "answered before the change");
	return buf;
}

static void add_text(char *buf, size_t len, const char *text)
{
	size_t used = strlen(buf);

	snprintf(buf + used, len - used, "%s%s", used ? "; " : "", text);
}

const char *ward_unseen(const struct ward *w, char *buf, size_t len)
{
	const struct plan_flips *sources = w->plan ? &w->plan->sources : NULL;
	char ranges[2 * CIDR_STRLEN] = "", text[256], cidr[CIDR_STRLEN];
	size_t count = 0;

	*buf = '\0';
	if (ward_now_ms(w->instance) > w->state.until_ms || !sources)
		return NULL;
	for (size_t i = 0; i < sources->count; i++) {
		const struct plan_flip *flip = &sources->items[i];

		if (flip->to.action == PLAN_DROPPED &&
		    flip->from.action != PLAN_UNTOUCHED && count++ == 0)
			snprintf(ranges, sizeof(ranges), "%s",
				 cidr_format(&flip->range, cidr, sizeof(cidr)));
	}
	if (count > 1)
		snprintf(ranges + strlen(ranges),
			 sizeof(ranges) - strlen(ranges), " and %zu more",
			 count - 1);
	if (w->state.flags & WARD_DROPS && w->state.dropped) {
		snprintf(text, sizeof(text),
			 "sources %s%s%swith %u answered flow%s are no pods: "
			 "their new connections are dropped "
			 "(dropForeignSources)",
			 *ranges ? "in " : "", ranges, *ranges ? ", " : "",
			 w->state.dropped, w->state.dropped == 1 ? "" : "s");
		add_text(buf, len, text);
	}
	if (w->state.flags & WARD_BLIND)
		add_text(buf, len,
			 "IPv6 was not translated before and left no records: "
			 "what was answered is not known, and so not what "
			 "breaks");
	return *buf ? buf : NULL;
}

const char *ward_todo(const struct ward *w, char *buf, size_t len)
{
	if (w->state.flags & WARD_FIRST)
		snprintf(buf, len,
			 "masqbpf cidr add RANGE --masquerade, and the same "
			 "under masqueradeCIDRs in the file");
	else
		snprintf(buf, len, "masqbpf rollback %u", w->state.from);
	return buf;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * plan.c - two policies side by side. The entries of both cut the address
 * space into pieces in which nothing changes any more; walking the pieces in
 * ascending order and joining halves that flip alike gives the shortest list.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/prefix.h"
#include "policy/plan.h"

enum side {
	FROM,
	TO,
	SIDES
};

/* Flips that a warning is given for, each; the rest in one line. */
#define WARNED_FLIPS 8

/* --- treatments -------------------------------------------------------- */

const char *plan_action_name(uint8_t action)
{
	static const char *const names[] = {
		[PLAN_MASQUERADE] = "masquerade",
		[PLAN_KEEP] = "keep",
		[PLAN_POLICY] = "policy",
		[PLAN_UNTOUCHED] = "untouched",
		[PLAN_DROPPED] = "dropped",
	};

	return names[action];
}

const char *plan_treatment_text(const struct plan_treatment *treatment,
				char *buf, size_t len)
{
	char text[CIDR_STRLEN];

	if (treatment->snat.family)
		snprintf(buf, len, "masquerade as %s",
			 addr_format(&treatment->snat, text, sizeof(text)));
	else
		snprintf(buf, len, "%s", plan_action_name(treatment->action));
	return buf;
}

static bool same(const struct plan_treatment *a, const struct plan_treatment *b)
{
	return a->action == b->action && addr_equal(&a->snat, &b->snat);
}

/* What the entries that cover an address come to. */
struct state {
	const struct policy_entry *dest; /* the longest; NULL: none */
	bool pod, keep; /* covered by an entry of the source lists */
};

static void state_add(struct state *state, const struct policy_entry *entry)
{
	if (entry->list == MASQ_L_POD)
		state->pod = true;
	else if (entry->list == MASQ_L_KEEP_SOURCE)
		state->keep = true;
	else
		state->dest = entry;
}

static struct plan_treatment dest_treatment(const struct policy *policy,
					    const struct policy_entry *dest,
					    uint8_t family)
{
	struct plan_treatment t = { .action = PLAN_MASQUERADE };

	if ((family == 6 && !(policy->head.flags & MASQ_P_IPV6)) ||
	    (dest && dest->action == MASQ_KEEP))
		t.action = PLAN_KEEP;
	else if (dest && dest->snat)
		t.snat = policy->snat[dest->snat - 1];
	return t;
}

static int compare_place(const struct policy_entry *a,
			 const struct policy_entry *b)
{
	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	return cidr_cmp(&a->cidr, &b->cidr);
}

/* Entries are in the order of compare_place. */
static bool names_pods(const struct policy *policy, uint8_t family)
{
	const struct policy_entry first = { .list = MASQ_L_POD,
					    .cidr.addr.family = family };
	size_t low = 0, high = policy->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_place(&policy->entries[middle], &first) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low < policy->count && policy->entries[low].list == MASQ_L_POD &&
	       policy->entries[low].cidr.addr.family == family;
}

static struct plan_treatment source_treatment(const struct policy *policy,
					      const struct state *state,
					      bool pods_named)
{
	bool drop = policy->head.flags & MASQ_P_DROP_FOREIGN;
	struct plan_treatment t = { .action = PLAN_POLICY };

	if (pods_named && !state->pod)
		t.action = drop ? PLAN_DROPPED : PLAN_UNTOUCHED;
	else if (state->keep)
		t.action = PLAN_KEEP;
	return t;
}

static struct plan_treatment treat_source(struct policy *policy,
					  const struct addr *src)
{
	struct state state = {};

	for (int plen = src->family == 4 ? 32 : 128; plen >= 0; plen--) {
		struct cidr cidr = cidr_of(src, plen);

		state.pod |= !!policy_find(policy, MASQ_L_POD, &cidr);
		state.keep |= !!policy_find(policy, MASQ_L_KEEP_SOURCE, &cidr);
	}
	return source_treatment(policy, &state,
				names_pods(policy, src->family));
}

/* What both ends say together. */
static struct plan_treatment treat_both(const struct policy *policy,
					const struct plan_treatment *source,
					const struct plan_treatment *dest,
					uint8_t family)
{
	/* IPv6 that is not translated is not looked at any closer */
	if ((family == 6 && !(policy->head.flags & MASQ_P_IPV6)) ||
	    source->action == PLAN_POLICY)
		return *dest;
	return *source;
}

struct plan_treatment plan_treat(struct policy *policy, const struct addr *src,
				 const struct addr *dst)
{
	struct cidr cidr = { *dst, dst->family == 4 ? 32 : 128 };
	struct plan_treatment source, dest;

	dest = dest_treatment(policy, policy_match(policy, &cidr), dst->family);
	if (!src->family)
		return dest;
	source = treat_source(policy, src);
	return treat_both(policy, &source, &dest, dst->family);
}

/* --- changes ----------------------------------------------------------- */

/* An entry by itself, whatever the other settings make of it. */
static struct plan_treatment entry_treatment(const struct policy *policy,
					     const struct policy_entry *entry)
{
	struct plan_treatment t = { .action = PLAN_POLICY };

	if (entry->list == MASQ_L_DST)
		t = dest_treatment(policy, entry, 0);
	else if (entry->list == MASQ_L_KEEP_SOURCE)
		t.action = PLAN_KEEP;
	return t;
}

static int find_changes(struct plan *plan)
{
	const struct policy *from = plan->from, *to = plan->to;
	size_t i = 0, k = 0;

	plan->changes =
		calloc(from->count + to->count + 1, sizeof(*plan->changes));
	if (!plan->changes)
		return -ENOMEM;
	while (i < from->count || k < to->count) {
		int order = i == from->count ? 1
			    : k == to->count ? -1
					     : compare_place(&from->entries[i],
							     &to->entries[k]);
		struct plan_change *change = &plan->changes[plan->change_count];

		*change = (struct plan_change){};
		if (order <= 0) {
			change->from = &from->entries[i++];
			change->was = entry_treatment(from, change->from);
		}
		if (order >= 0) {
			change->to = &to->entries[k++];
			change->becomes = entry_treatment(to, change->to);
		}
		if (order || !same(&change->was, &change->becomes))
			plan->change_count++;
	}
	return 0;
}

/* --- flips ------------------------------------------------------------- */

struct step {
	const struct policy_entry *entry;
	enum side side;
};

struct walk {
	struct policy *policy[SIDES];
	bool sources;
	bool pods_named[SIDES];
	struct step *steps; /* by prefix, the wider first */
	struct plan_flips *out;
};

struct states {
	struct state of[SIDES];
};

static int compare_steps(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return cidr_cmp(&x->entry->cidr, &y->entry->cidr);
}

/* Do the two make up the prefix that is one bit wider? */
static bool are_halves(const struct cidr *a, const struct cidr *b)
{
	struct cidr whole;

	if (a->plen != b->plen || !a->plen)
		return false;
	whole = cidr_of(&a->addr, a->plen - 1);
	return cidr_covers(&whole, b) && cidr_cmp(a, b);
}

static int emit(struct walk *w, const struct cidr *range,
		const struct plan_treatment *from,
		const struct plan_treatment *to)
{
	struct plan_flips *out = w->out;

	/* room is the next power of two */
	if (!(out->count & (out->count - 1))) {
		size_t room = out->count ? 2 * out->count : 1;
		void *items =
			reallocarray(out->items, room, sizeof(*out->items));

		if (!items)
			return -ENOMEM;
		out->items = items;
	}
	out->items[out->count++] =
		(struct plan_flip){ .range = *range, .from = *from, .to = *to };
	while (out->count > 1) {
		struct plan_flip *b = &out->items[out->count - 1], *a = b - 1;

		if (!same(&a->from, &b->from) || !same(&a->to, &b->to) ||
		    !are_halves(&a->range, &b->range))
			break;
		a->range.plen--;
		out->count--;
	}
	return 0;
}

static struct plan_treatment treatment(const struct walk *w, enum side side,
				       const struct state *state,
				       uint8_t family)
{
	if (w->sources)
		return source_treatment(w->policy[side], state,
					w->pods_named[side]);
	return dest_treatment(w->policy[side], state->dest, family);
}

/* The pieces of `range`, which the steps from low to high lie in. */
static int walk_range(struct walk *w, struct cidr range, struct states states,
		      size_t low, size_t high)
{
	struct cidr right;
	size_t first, last;

	for (; low < high && !cidr_cmp(&w->steps[low].entry->cidr, &range);
	     low++)
		state_add(&states.of[w->steps[low].side], w->steps[low].entry);
	if (low == high) {
		struct plan_treatment from =
			treatment(w, FROM, &states.of[FROM], range.addr.family);
		struct plan_treatment to =
			treatment(w, TO, &states.of[TO], range.addr.family);

		return same(&from, &to) ? 0 : emit(w, &range, &from, &to);
	}
	right = range;
	right.addr.a[range.plen / 32] |= htonl(0x80000000U >> range.plen % 32);
	right.plen = ++range.plen;
	for (first = low, last = high; first < last;) {
		size_t middle = first + (last - first) / 2;

		if (cidr_covers(&right, &w->steps[middle].entry->cidr))
			last = middle;
		else
			first = middle + 1;
	}
	return walk_range(w, range, states, low, first)
		       ?: walk_range(w, right, states, first, high);
}

static int find_flips(struct plan *plan, bool sources)
{
	struct walk w = {
		.policy = { plan->from, plan->to },
		.sources = sources,
		.out = sources ? &plan->sources : &plan->dests,
	};
	int err = 0;

	w.steps = calloc(plan->from->count + plan->to->count + 1,
			 sizeof(*w.steps));
	if (!w.steps)
		return -ENOMEM;
	for (uint8_t family = 4; family <= 6 && !err; family += 2) {
		struct cidr all = { .addr.family = family };
		size_t count = 0;

		for (enum side side = FROM; side < SIDES; side++) {
			const struct policy *policy = w.policy[side];

			w.pods_named[side] = names_pods(policy, family);
			for (size_t i = 0; i < policy->count; i++) {
				const struct policy_entry *entry =
					&policy->entries[i];

				if (entry->cidr.addr.family == family &&
				    (entry->list != MASQ_L_DST) == sources)
					w.steps[count++] =
						(struct step){ entry, side };
			}
		}
		qsort(w.steps, count, sizeof(*w.steps), compare_steps);
		err = walk_range(&w, all, (struct states){}, 0, count);
	}
	free(w.steps);
	return err;
}

/* --- settings ---------------------------------------------------------- */

static void add_setting(struct plan *plan, const char *name, const char *from,
			const char *to)
{
	struct plan_setting *setting = &plan->settings[plan->setting_count];

	if (!strcmp(from, to) || plan->setting_count == PLAN_MAX_SETTINGS)
		return;
	setting->name = name;
	snprintf(setting->from, sizeof(setting->from), "%s", from);
	snprintf(setting->to, sizeof(setting->to), "%s", to);
	plan->setting_count++;
}

static const char *range_text(uint16_t min, uint16_t max, char buf[32])
{
	snprintf(buf, 32, min ? "%u-%u" : "none", min, max);
	return buf;
}

/*
 * A timeout is a whole number of ticks, rounded up (a tick is up to 0.16 s):
 * whole seconds within the last of them are what the config says.
 */
static void timeout_text(const struct instance *instance, uint32_t ticks,
			 char buf[32])
{
	double seconds = ticks_to_seconds(instance, ticks);
	double below = ticks_to_seconds(instance, ticks - 1);

	if ((uint64_t)seconds > below)
		snprintf(buf, 32, "%llus", (unsigned long long)seconds);
	else
		snprintf(buf, 32, "%.1fs", seconds);
}

static void find_settings(struct plan *plan, const struct instance *instance)
{
	static const struct {
		const char *name;
		uint32_t flag;
	} flags[] = {
		{ "enableIPv6", MASQ_P_IPV6 },
		{ "dropForeignSources", MASQ_P_DROP_FOREIGN },
		{ "snat.rejectTCP", MASQ_P_REJECT_TCP },
	};
	static const char *const timeouts[MASQ_T_MAX] = {
		[MASQ_T_TCP_ESTABLISHED] = "timeouts.tcpEstablished",
		[MASQ_T_TCP_TRANSITORY] = "timeouts.tcpTransitory",
		[MASQ_T_UDP] = "timeouts.udp",
		[MASQ_T_UDP_UNREPLIED] = "timeouts.udpUnreplied",
		[MASQ_T_ICMP] = "timeouts.icmp",
		[MASQ_T_OTHER] = "timeouts.other",
	};
	const struct masq_policy *a = &plan->from->head, *b = &plan->to->head;
	char from[32], to[32];

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		add_setting(plan, flags[i].name,
			    a->flags & flags[i].flag ? "true" : "false",
			    b->flags & flags[i].flag ? "true" : "false");
	add_setting(plan, "snat.portRange",
		    range_text(a->port_min, a->port_max, from),
		    range_text(b->port_min, b->port_max, to));
	add_setting(plan, "snat.nodePortRange",
		    range_text(a->node_port_min, a->node_port_max, from),
		    range_text(b->node_port_min, b->node_port_max, to));
	for (int i = 0; i < MASQ_T_MAX; i++) {
		if (a->timeout[i] == b->timeout[i])
			continue;
		timeout_text(instance, a->timeout[i], from);
		timeout_text(instance, b->timeout[i], to);
		add_setting(plan, timeouts[i], from, to);
	}
	snprintf(from, sizeof(from), "%u", a->max_flows_per_pod);
	snprintf(to, sizeof(to), "%u", b->max_flows_per_pod);
	add_setting(plan, "maxFlowsPerPod", from, to);
}

/* --- live flows -------------------------------------------------------- */

/* The flip that an address lies in; -1: none. */
static ssize_t find_flip(const struct plan_flips *flips,
			 const struct addr *addr)
{
	struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };
	size_t low = 0, high = flips->count;

	/* the last one that does not begin behind the address */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cidr_cmp(&flips->items[middle].range, &host) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || !cidr_covers(&flips->items[low - 1].range, &host))
		return -1;
	return low - 1;
}

static int add_hit(struct plan *plan, uint32_t flip, const struct addr *pod)
{
	const struct plan_hit *last =
		plan->hit_count ? &plan->hits[plan->hit_count - 1] : NULL;

	/* most of what is many comes from one pod to one range */
	if (last && last->flip == flip && addr_equal(&last->pod, pod))
		return 0;
	if (!(plan->hit_count & (plan->hit_count - 1))) {
		size_t room = plan->hit_count ? 2 * plan->hit_count : 1;
		void *hits =
			reallocarray(plan->hits, room, sizeof(*plan->hits));

		if (!hits)
			return -ENOMEM;
		plan->hits = hits;
	}
	plan->hits[plan->hit_count++] = (struct plan_hit){ flip, *pod };
	return 0;
}

static const struct addr no_addr;

/* A node has few pods and many flows, and to ask for a source is slow. */
static const struct plan_source *source_of(struct plan *plan,
					   const struct addr *pod)
{
	uint32_t hash = (pod->a[0] ^ pod->a[2] ^ pod->a[3]) * 0x9e3779b1;
	struct plan_source *s = &plan->asked[hash >> (32 - PLAN_ASKED_BITS)];

	if (addr_equal(&s->pod, pod))
		return s;
	*s = (struct plan_source){ *pod, treat_source(plan->from, pod),
				   treat_source(plan->to, pod) };
	return s;
}

int plan_add_flow(struct plan *plan, const struct flow *flow)
{
	struct plan_treatment from, to;
	const struct plan_source *pod;
	uint8_t family = flow->rem.family;
	ssize_t dest, source;
	int err = 0;

	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return 0;
	dest = find_flip(&plan->dests, &flow->rem);
	source = find_flip(&plan->sources, &flow->in);
	if (dest < 0 && source < 0)
		return 0;
	if (dest >= 0) {
		from = plan->dests.items[dest].from;
		to = plan->dests.items[dest].to;
	} else {
		from = plan_treat(plan->from, &no_addr, &flow->rem);
		to = plan_treat(plan->to, &no_addr, &flow->rem);
	}
	pod = source_of(plan, &flow->in);
	from = treat_both(plan->from, &pod->from, &from, family);
	to = treat_both(plan->to, &pod->to, &to, family);
	if (same(&from, &to))
		return 0;
	if (dest >= 0) {
		plan->dests.items[dest].live_flows++;
		err = add_hit(plan, dest, &flow->in);
	}
	if (!err && source >= 0) {
		plan->sources.items[source].live_flows++;
		/* numbered behind the destinations' */
		err = add_hit(plan, plan->dests.count + source, &flow->in);
	}
	return err;
}

static int compare_hits(const void *a, const void *b)
{
	const struct plan_hit *x = a, *y = b;

	if (x->flip != y->flip)
		return x->flip < y->flip ? -1 : 1;
	return addr_cmp(&x->pod, &y->pod);
}

static void collect_pods(struct plan *plan)
{
	size_t kept = 0;

	if (plan->hit_count) /* else hits is NULL, which qsort may not get */
		qsort(plan->hits, plan->hit_count, sizeof(*plan->hits),
		      compare_hits);
	for (size_t i = 0; i < plan->hit_count; i++)
		if (!kept ||
		    compare_hits(&plan->hits[kept - 1], &plan->hits[i]))
			plan->hits[kept++] = plan->hits[i];
	plan->hit_count = kept;
	for (size_t i = 0; i < kept; i++) {
		size_t n = plan->hits[i].flip;
		struct plan_flip *flip =
			n < plan->dests.count
				? &plan->dests.items[n]
				: &plan->sources.items[n - plan->dests.count];

		if (!flip->pod_count++)
			flip->pods = &plan->hits[i];
	}
}

/* --- warnings ---------------------------------------------------------- */

int plan_warn(struct plan *plan, const char *fmt, ...)
{
	char **grown = reallocarray(plan->warnings, plan->warning_count + 1,
				    sizeof(*grown));
	va_list ap;
	int length;

	if (!grown)
		return -ENOMEM;
	plan->warnings = grown;
	va_start(ap, fmt);
	length = vasprintf(&grown[plan->warning_count], fmt, ap);
	va_end(ap);
	if (length < 0)
		return -ENOMEM;
	plan->warning_count++;
	return 0;
}

static bool is_keep(const struct policy_entry *entry)
{
	return entry->list == MASQ_L_DST && entry->action == MASQ_KEEP;
}

static int warn_wider(struct plan *plan)
{
	const struct policy_entry *widest[2] = {};
	char text[CIDR_STRLEN], other[CIDR_STRLEN];
	int err = 0;

	for (size_t i = 0; i < plan->from->count; i++) {
		const struct policy_entry *entry = &plan->from->entries[i];
		bool six = entry->cidr.addr.family == 6;

		if (is_keep(entry) &&
		    (!widest[six] || entry->cidr.plen < widest[six]->cidr.plen))
			widest[six] = entry;
	}
	for (size_t i = 0; i < plan->change_count && !err; i++) {
		const struct policy_entry *entry = plan->changes[i].to;
		const struct policy_entry *before;

		if (!entry || !is_keep(entry))
			continue;
		before = widest[entry->cidr.addr.family == 6];
		if (before && before->cidr.plen <= entry->cidr.plen)
			continue;
		err = plan_warn(plan,
				"%s: wider than any prefix kept before (%s%s)",
				cidr_format(&entry->cidr, text, sizeof(text)),
				before ? "the widest is " : "none is",
				before ? cidr_format(&before->cidr, other,
						     sizeof(other))
				       : "");
	}
	return err;
}

static int warn_live(struct plan *plan, const struct plan_flips *flips,
		     const char *what)
{
	char text[CIDR_STRLEN], becomes[CIDR_STRLEN + 16];
	size_t more = 0, warned = 0;
	int err = 0;

	for (size_t i = 0; i < flips->count && !err; i++) {
		const struct plan_flip *flip = &flips->items[i];

		if (!flip->live_flows)
			continue;
		if (warned == WARNED_FLIPS) {
			more++;
			continue;
		}
		warned++;
		err = plan_warn(
			plan,
			"%s: %s: %llu live flow%s of %zu pod%s; their next connections: %s",
			cidr_format(&flip->range, text, sizeof(text)), what,
			(unsigned long long)flip->live_flows,
			flip->live_flows == 1 ? "" : "s", flip->pod_count,
			flip->pod_count == 1 ? "" : "s",
			plan_treatment_text(&flip->to, becomes,
					    sizeof(becomes)));
	}
	if (more && !err)
		err = plan_warn(plan, "and %zu more ranges that are in use",
				more);
	return err;
}

/* Pods on other nodes should see pods, not this node. */
static int warn_pods(struct plan *plan)
{
	struct policy *to = plan->to;
	char text[CIDR_STRLEN], inner[CIDR_STRLEN];
	int err = 0;

	for (size_t i = 0; i < to->count && !err; i++) {
		const struct policy_entry *pods = &to->entries[i];
		const struct policy_entry *bad;

		if (pods->list != MASQ_L_POD ||
		    (pods->cidr.addr.family == 6 &&
		     !(to->head.flags & MASQ_P_IPV6)))
			continue;
		bad = policy_match(to, &pods->cidr);
		if (bad && bad->action == MASQ_KEEP) {
			bad = NULL;
			for (size_t k = 0; k < to->count && !bad; k++) {
				const struct policy_entry *e = &to->entries[k];

				if (e->list == MASQ_L_DST && !is_keep(e) &&
				    cidr_covers(&pods->cidr, &e->cidr))
					bad = e;
			}
		}
		if (bad)
			err = plan_warn(
				plan,
				"podCIDRs %s: not kept as a destination (%s masquerade): pods on other nodes will see this node instead of its pods",
				cidr_format(&pods->cidr, text, sizeof(text)),
				cidr_format(&bad->cidr, inner, sizeof(inner)));
	}
	return err;
}

static int warn_link_local(struct plan *plan)
{
	const struct cidr ranges[] = {
		{ { 4, { htonl(0xa9fe0000) } }, 16 },
		{ { 6, { htonl(0xfe800000) } }, 10 },
	};
	char text[CIDR_STRLEN];
	int err = 0;

	for (size_t i = 0; i < plan->dests.count && !err; i++) {
		const struct plan_flip *flip = &plan->dests.items[i];

		for (size_t k = 0; k < 2 && !err; k++)
			if (flip->to.action == PLAN_MASQUERADE &&
			    (cidr_covers(&ranges[k], &flip->range) ||
			     cidr_covers(&flip->range, &ranges[k])))
				err = plan_warn(
					plan, "%s: link-local%s: masqueraded",
					cidr_format(&flip->range, text,
						    sizeof(text)),
					k ? ""
					  : ", with the cloud's metadata service");
	}
	return err;
}

int plan_judge(struct plan *plan)
{
	collect_pods(plan);
	if (plan_is_empty(plan))
		return 0;
	return warn_wider(plan) ?: warn_live(plan, &plan->dests,
					     "pods talk to it right now") ?:
	       warn_live(plan, &plan->sources, "pods there are talking right now") ?:
	       warn_pods(plan) ?: warn_link_local(plan);
}

/* --- all of it --------------------------------------------------------- */

bool plan_is_empty(const struct plan *plan)
{
	return !plan->change_count && !plan->setting_count &&
	       !plan->dests.count && !plan->sources.count;
}

int plan_make(const struct instance *instance, struct policy *from,
	      struct policy *to, struct plan **out)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	int err;

	if (!plan)
		return -ENOMEM;
	plan->from = from;
	plan->to = to;
	err = find_changes(plan) ?: find_flips(plan, false) ?:
	      find_flips(plan, true);
	if (err) {
		plan_free(plan);
		return err;
	}
	find_settings(plan, instance);
	*out = plan;
	return 0;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->warning_count; i++)
		free(plan->warnings[i]);
	free(plan->warnings);
	free(plan->changes);
	free(plan->dests.items);
	free(plan->sources.items);
	free(plan->hits);
	free(plan);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * flips.c - the entries of both policies cut the address space into pieces in
 * which nothing changes any more; walking the pieces in ascending order and
 * joining halves that flip alike gives the shortest list.
 */
#include <errno.h>
#include <stdlib.h>
#include <arpa/inet.h>
#include "policy/flips.h"

enum side {
	FROM,
	TO,
	SIDES
};

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

		if (!treatment_same(&a->from, &b->from) ||
		    !treatment_same(&a->to, &b->to) ||
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
		return treat_state(w->policy[side], state, w->pods_named[side]);
	return treat_dest(w->policy[side], state->dest, family);
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

		return treatment_same(&from, &to) ? 0
						  : emit(w, &range, &from, &to);
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

int flips_find(struct plan *plan, bool sources)
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

			w.pods_named[side] = policy_names_pods(policy, family);
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

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * room.h - room for new flows: budgets, quotas, and the clock hand that walks
 * the table's pages. No process is involved: a new flow moves the hand on, and
 * one that finds its budget full looks further. What a look may cost stands in
 * common.h (MASQ_LOOK_*); a page's label says whether it is worth opening.
 * Included once per family by family.h.
 */

/*
 * Which turn a flow has to make room (enum masq_rank), by its owner's record;
 * the scratch slot's `idle` gets for how long it has been idle.
 */
MASQ_GLOBAL __u32 FN(rank)(__u32 record, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 kind, timeout, renewed, answered, state;
	struct masq_policy *pol;
	FLOW *f = FN(slot)(record);
	KEY key;

	if (!s || !f)
		return MASQ_RANK_NEVER;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_RANK_NEVER;
	FN(key_at)(&key, f);
	kind = f->what >> MASQ_W_KIND;
	s->idle = s->now - f->last_seen;
	state = masq_flow_state(key.proto, f->out_seen, f->in_seen);
	/* expired or not, it has not counted for the quota */
	if (s->of_pod && state == MASQ_ST_CLOSED)
		return MASQ_RANK_NEVER;
	if (masq_passed(s->now, f->expires))
		return MASQ_RANK_EXPIRED;
	if (kind == MASQ_K_EIM)
		return MASQ_RANK_BRIEF;
	if (state == MASQ_ST_CLOSED)
		return MASQ_RANK_CLOSED;
	answered = kind == MASQ_K_INBOUND ? f->out_seen : f->in_seen;
	if (!answered)
		return MASQ_RANK_UNANSWERED;
	/* packets of the other direction refresh the expiry of both records */
	timeout = FN(flow_timeout)(pol, &key, kind, f->out_seen, f->in_seen);
	renewed = s->now - (f->expires - masq_lasting(timeout));
	if ((__s32)renewed >= 0 && renewed < s->idle)
		s->idle = renewed;
	if (state == MASQ_ST_NEW)
		return s->idle >= masq_two_seconds(pol) ? MASQ_RANK_BRIEF
							: MASQ_RANK_NEVER;
	if (state == MASQ_ST_CLOSING)
		return s->idle >= pol->timeout[MASQ_T_TCP_TRANSITORY]
			       ? MASQ_RANK_HALF
			       : MASQ_RANK_NEVER;
	return kind == MASQ_K_KEEP ? MASQ_RANK_KEPT : MASQ_RANK_NEVER;
}

/* Is this flow of those among which room is looked for? */
MASQ_INLINE bool FN(is_wanted)(const struct masq_scratch *s, const FLOW *f,
			       __u32 kind)
{
	if (masq_budget_of(kind, f->what & MASQ_W_ROLE) != s->budget)
		return false;
	return !s->of_pod ||
	       FN(addr_equal)(f->in_addr, ((KEY *)&s->owner)->in_addr);
}

/* A kept flow may go only as long as today's policy keeps it, or lets it pass,
 * as well. */
MASQ_GLOBAL int FN(still_kept)(__u32 slot)
{
	FLOW *f = FN(slot)(slot);
	struct masq_decision d;
	KEY key;
	int r;

	if (!f)
		return 0;
	FN(key_at)(&key, f);
	r = FN(decide)(key.in_addr, key.rem_addr, &d);
	return r == MASQ_R_NOT_POD || r == MASQ_R_FAMILY_OFF ||
	       (!r && d.action == MASQ_KEEP);
}

/* After a page was read from end to end: its label as it is now. */
MASQ_GLOBAL int FN(write_label)(__u32 page, __u32 changes, __u32 soonest,
				__u64 pods, __u32 flagged)
{
	struct masq_lock *lock = FN(page_lock)(page);
	PAGE *p = FN(page)(page);

	if (!lock || !p)
		return 0;
	bpf_spin_lock(&lock->lock);
	if (p->label.changes == changes) {
		p->label.soonest = soonest;
		p->label.pods = pods;
	}
	if (flagged && !p->label.elsewhere) {
		/* nothing of this page lies elsewhere any more */
		p->label.flagged = 0;
		for (__u32 i = 0; i < MASQ_PAGE_SLOTS; i++)
			p->slot[i].hops &= MASQ_HOP_ELSEWHERE - 1;
	}
	bpf_spin_unlock(&lock->lock);
	return 0;
}

/* The record in a slot of the page that is open; NULL: the slot is free. */
MASQ_INLINE FLOW *FN(opened)(const struct masq_scratch *s, __u32 record)
{
	return s->used >> (record & (MASQ_PAGE_SLOTS - 1)) & 1
		       ? FN(slot)(record)
		       : NULL;
}

/* One record of a page that is being read; see open_page. */
MASQ_GLOBAL int FN(open_slot)(__u32 record, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 kind, rank, seq;
	bool wanted;
	__u8 what;
	FLOW *f;

	if (!s)
		return 0;
	f = FN(opened)(s, record);
	if (!f)
		return 0;
	seq = f->seq;
	what = *(volatile __u8 *)&f->what;
	if (!(what & MASQ_W_LIVE)) {
		if (what) /* being made: look again */
			s->soonest = s->now;
		return 0;
	}
	kind = what >> MASQ_W_KIND;
	if (kind == MASQ_K_REV)
		return 0;
	wanted = FN(is_wanted)(s, f, kind);
	/* a tick of grace: nobody may still be using it */
	if (masq_passed(s->now, f->expires + 1)) {
		/* a closed one has not counted for the quota */
		if (s->of_pod && masq_flow_state(f->proto, f->out_seen,
						 f->in_seen) == MASQ_ST_CLOSED)
			wanted = false;
		if (FN(flow_end)(record, seq)) {
			if (kind != MASQ_K_EIM)
				masq_stat(MASQ_S_EXPIRED, 1);
			s->ended++;
			if (wanted)
				s->freed++;
		}
		return 0;
	}
	if ((__s32)(s->soonest - (f->expires + 1)) > 0)
		s->soonest = f->expires + 1;
	if (kind == MASQ_K_FWD)
		s->pods |= FN(pod_bit)(f->in_addr);
	if (!s->pressure)
		return 0;
	s->records++;
	if (!wanted)
		return 0;
	rank = FN(rank)(record, slot);
	if (rank < s->best_rank ||
	    (rank == s->best_rank && s->idle > s->best_idle)) {
		/* or what stays would hide what may go */
		if (rank == MASQ_RANK_KEPT && !FN(still_kept)(record))
			return 0;
		s->best_rank = rank;
		s->best_idle = s->idle;
		s->best_page = record >> MASQ_PAGE_SHIFT;
	}
	return 0;
}

/*
 * Reads a page: ends what has expired, counts in the scratch slot's `freed`
 * those that were wanted, and notes there which of the wanted would have to go
 * first.
 */
MASQ_GLOBAL int FN(open_page)(__u32 page, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	PAGE *p = FN(page)(page);
	__u32 changes;

	if (!s || !p)
		return 0;
	changes = *(volatile __u32 *)&p->label.changes;
	s->soonest = s->now + MASQ_FAR_AHEAD;
	s->pods = 0;
	s->flagged = p->label.flagged;
	s->used = *(volatile __u64 *)&p->label.used;
	/* what a loop skips by itself is a loop that 5.10 refuses */
	for (__u32 i = 0; i < MASQ_PAGE_SLOTS; i++)
		MASQ_DO(FN(open_slot)(page << MASQ_PAGE_SHIFT | i, slot));
	return FN(write_label)(page, changes, s->soonest, s->pods, s->flagged);
}

/* One record of the page in which some have to go; see make_way. */
MASQ_GLOBAL int FN(way_slot)(__u32 record, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 kind, rank, seq;
	__u8 what;
	FLOW *f;

	if (!s)
		return 0;
	f = FN(opened)(s, record);
	if (!f)
		return 0;
	seq = f->seq;
	what = *(volatile __u8 *)&f->what;
	kind = what >> MASQ_W_KIND;
	if (!(what & MASQ_W_LIVE) || s->freed >= MASQ_LOOK_ENDS ||
	    kind == MASQ_K_REV || !FN(is_wanted)(s, f, kind))
		return 0;
	rank = FN(rank)(record, slot);
	/* of those that are in use now and then, the older half */
	if (rank > s->best_rank || 2 * s->idle < s->best_idle ||
	    (rank == MASQ_RANK_KEPT && !FN(still_kept)(record)))
		return 0;
	if (FN(flow_end)(record, seq)) {
		masq_stat(MASQ_S_RECLAIMED, 1);
		s->freed++;
	}
	return 0;
}

/*
 * Ends some flows of the best rank that was found, in the page where the one
 * lies that has been idle for longest. Returns how many.
 */
MASQ_GLOBAL __u32 FN(make_way)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 page;
	PAGE *p;

	if (!s || s->best_rank >= MASQ_RANK_NEVER)
		return 0;
	page = s->best_page;
	p = FN(page)(page);
	if (!p)
		return 0;
	s->used = *(volatile __u64 *)&p->label.used;
	for (__u32 i = 0; i < MASQ_PAGE_SLOTS; i++)
		MASQ_DO(FN(way_slot)(page << MASQ_PAGE_SHIFT | i, slot));
	return s->freed;
}

/* One label; true: its page is worth opening. */
MASQ_INLINE bool FN(pass_label)(struct masq_scratch *s)
{
	/* who has to go is not looked for in overflow pages, which are empty as
	 * good as always: a look would spend all its labels on them */
	const __u32 ways = MASQ_SHAPE.ways + !s->pressure;
	const __u32 pages = MASQ_SHAPE.stripes * ways;
	__u32 page = s->at_page < pages ? s->at_page : 0;
	PAGE *p = FN(page)(page);

	s->labels--;
	s->at_page = page + 1;
	if (!p || !p->label.used)
		return false;
	if (!s->pressure) {
		if (!masq_passed(s->now, p->label.soonest))
			return false;
	} else if (s->of_pod && !(p->label.pods & s->pod_bit)) {
		return false;
	}
	s->page = page;
	return true;
}

#ifdef MASQ_MODERN
static long FN(pass_step)(__u32 i, __u32 *slot)
{
	struct masq_scratch *s = masq_scratch_get(*slot & 1);

	return !s || FN(pass_label)(s);
}
#endif

#ifndef MASQ_MODERN
/* MASQ_LOOK_STEP labels of next_page: a bounded loop is verified step by step,
 * but a function as often as it stands in the program. */
MASQ_GLOBAL int FN(pass_some)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);

	if (!s)
		return 1;
	for (__u32 i = 0; i < MASQ_LOOK_STEP; i++) {
		if (!s->labels || FN(pass_label)(s))
			return 1;
	}
	return 0;
}
#endif

/*
 * Walks the labels on from scratch->at_page, `labels` of them at most, to the
 * next page worth opening: in scratch->page, and 1; or 0.
 */
MASQ_GLOBAL int FN(next_page)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);

	if (!s)
		return 0;
	s->page = MASQ_NO_SLOT;
#ifdef MASQ_MODERN
	bpf_loop(s->labels, FN(pass_step), &slot, 0);
#else
	for (__u32 i = 0; i < MASQ_LOOK_LABELS / MASQ_LOOK_STEP; i++) {
		if (FN(pass_some)(slot))
			break;
	}
#endif
	return s->page != MASQ_NO_SLOT;
}

/* Sets the hand out for so many labels. */
MASQ_INLINE void FN(hand_start)(struct masq_scratch *s,
				const struct masq_usage *u, __u32 labels)
{
	const __u32 pages = MASQ_SHAPE.stripes * (MASQ_SHAPE.ways + 1);

	s->at_page = u->hand[FAM == 6];
	s->labels = labels < pages ? labels : pages;
}

/*
 * Looks for room in a budget, or in a pod's quota: for what has expired first,
 * then for what has to go before others. How many flows have gone.
 */
MASQ_INLINE __u32 FN(look)(struct masq_scratch *s, struct masq_usage *u,
			   __u32 slot, __u32 budget, __u32 of_pod)
{
	s->budget = budget;
	s->of_pod = of_pod;
	s->pod_bit = FN(pod_bit)(((KEY *)&s->owner)->in_addr);
	s->freed = 0;
	s->pressure = 0;
	s->best_rank = MASQ_RANK_NEVER;
	if (!masq_no_more_looks(&u->dry[FAM == 6], s->now)) {
		int i;

		FN(hand_start)(s, u, MASQ_LOOK_LABELS);
		for (i = 0; i < MASQ_LOOK_DUE && !s->freed; i++) {
			if (!FN(next_page)(slot))
				break;
			MASQ_DO(FN(open_page)(s->page, slot));
		}
		u->hand[FAM == 6] = s->at_page;
		if (s->freed)
			return s->freed;
		if (!i)
			masq_in_vain(&u->dry[FAM == 6], s->now);
	}
	s->pressure = 1;
	s->best_rank = MASQ_RANK_NEVER;
	s->best_idle = 0;
	s->records = 0;
	/* a hand of its own: after the first one's strides of hundreds it would
	 * come by the same few pages again and again */
	FN(hand_start)(s, u, MASQ_LOOK_LABELS);
	s->at_page = u->reader[FAM == 6];
	for (int i = 0; i < MASQ_LOOK_PAGES && !s->freed; i++) {
		if (s->records >= MASQ_LOOK_RECORDS ||
		    (i >= MASQ_LOOK_ENOUGH &&
		     s->best_rank <= MASQ_RANK_UNANSWERED) ||
		    !FN(next_page)(slot))
			break;
		MASQ_DO(FN(open_page)(s->page, slot));
	}
	u->reader[FAM == 6] = s->at_page;
	return s->freed ?: FN(make_way)(slot);
}

/*
 * A budget is each family's own, and so is its table: IPv6's may be smaller, as
 * long as IPv6 is not translated.
 */
MASQ_INLINE bool FN(has_room)(const struct masq_usage *u,
			      const struct masq_policy *pol, __u32 budget)
{
	const __u64 slots =
		(__u64)MASQ_SHAPE.stripes * MASQ_SHAPE.ways * MASQ_PAGE_SLOTS;
	__s64 max = masq_budget_max(pol, budget);

	if (max > (__s64)(slots / MASQ_SLOTS_PER_FLOW))
		max = slots / MASQ_SLOTS_PER_FLOW;
	return u->flows[FAM == 6][budget] < max;
}

/*
 * Room for one more flow of this kind, making it where that is allowed; moves
 * the hand in any case. The flow's key and the time are those of the scratch
 * slot. MASQ_R_NONE or the reason for refusal.
 */
MASQ_GLOBAL int FN(make_room)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_usage *u = masq_usage_get();
	struct masq_pod_usage *p;
	struct masq_policy *pol;
	__u32 budget;
	KEY *owner;

	if (!s || !u)
		return MASQ_R_TABLE_FULL;
	pol = masq_policy_of(s->half);
	owner = (KEY *)&s->owner;
	budget = masq_budget_of(s->kind, owner->role);
	if (!pol || budget >= MASQ_B_MAX)
		return MASQ_R_TABLE_FULL;
	s->budget = MASQ_B_MAX;
	s->of_pod = 0;
	s->pressure = 0;
	/* a label is a cache line and a page of its own: not with each flow */
	if (!(bpf_get_prandom_u32() % MASQ_HAND_FLOWS)) {
		FN(hand_start)(s, u, 1);
		if (FN(next_page)(slot))
			MASQ_DO(FN(open_page)(s->page, slot));
		u->hand[FAM == 6] = s->at_page;
	}
	if (unlikely(!FN(has_room)(u, pol, budget))) {
		struct masq_looks *barren = &u->barren[FAM == 6][budget];

		if (masq_no_more_looks(barren, s->now))
			return MASQ_R_TABLE_FULL;
		if (!FN(look)(s, u, slot, budget, 0) &&
		    s->best_rank >= MASQ_RANK_NEVER)
			masq_in_vain(barren, s->now);
		if (!FN(has_room)(u, pol, budget))
			return MASQ_R_TABLE_FULL;
	}
	if (!pol->max_flows_per_pod || !FN(has_quota)(s->kind, owner->role))
		return MASQ_R_NONE;
	p = FN(pod_find)(owner->in_addr, &s->pod);
	if (likely(!p || masq_open_flows(p) < (__s32)pol->max_flows_per_pod))
		return MASQ_R_NONE;
	if (masq_no_more_looks(&p->barren, s->now))
		return MASQ_R_POD_QUOTA;
	if (!FN(look)(s, u, slot, budget, 1) && s->best_rank >= MASQ_RANK_NEVER)
		masq_in_vain(&p->barren, s->now);
	return masq_open_flows(p) < (__s32)pol->max_flows_per_pod
		       ? MASQ_R_NONE
		       : MASQ_R_POD_QUOTA;
}

/* Frees what has expired around the places of a record that has none. */
MASQ_GLOBAL int FN(open_around)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct FN(place) at;

	if (!s)
		return 0;
	FN(place)
	(s->full == MASQ_OWNER ? (KEY *)&s->owner : (KEY *)&s->rev, &at);
	s->budget = MASQ_B_MAX;
	s->of_pod = 0;
	s->pressure = 0;
	MASQ_DO(FN(open_page)(at.first, slot));
	return FN(open_page)(at.second, slot);
}

/* Walks the labels of so many pages, and frees what has expired. */
MASQ_GLOBAL int FN(reclaim)(__u32 slot, __u32 labels)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_usage *u = masq_usage_get();

	if (!s || !u)
		return 0;
	s->budget = MASQ_B_MAX;
	s->of_pod = 0;
	s->pressure = 0;
	FN(hand_start)(s, u, labels);
	for (int i = 0; i < MASQ_RECLAIM_PAGES; i++) {
		if (!FN(next_page)(slot))
			break;
		MASQ_DO(FN(open_page)(s->page, slot));
	}
	u->hand[FAM == 6] = s->at_page;
	return 0;
}

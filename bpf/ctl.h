/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ctl.h - the requests of masq_ctl (struct masq_ctl): the same decisions for
 * people, by the same code. Included once per family by family.h.
 */

MASQ_INLINE void FN(ctl_key)(KEY *key, const struct masq_ctl *ctl)
{
	__builtin_memset(key, 0, sizeof(*key));
	FN(addr_copy)(key->in_addr, ctl->in_addr);
	FN(addr_copy)(key->rem_addr, ctl->rem_addr);
	key->in_port = ctl->in_port;
	key->rem_port = ctl->rem_port;
	key->proto = ctl->proto;
	key->role = ctl->role;
}

/* What would happen to a new flow. Claims and counts nothing. */
MASQ_GLOBAL int FN(ctl_explain)(struct __sk_buff *skb)
{
	struct masq_scratch *s = masq_scratch_get(1);
	struct masq_decision d = {};
	struct masq_ctl *ctl;
	KEY key;

	if (!s)
		return -22;
	ctl = &s->ctl;
	FN(ctl_key)(&key, ctl);
	*(KEY *)&s->owner = key;
	/* any pod: the way of one of them */
	if (FN(addr_is_zero)(key.in_addr))
		FN(addr_copy)(((KEY *)&s->owner)->in_addr, ctl->xlat_addr);
	s->ifindex = ctl->ifindex;
	s->snat = 0;
	ctl->reason = MASQ_R_NONE;
	if (FN(is_multicast)(key.rem_addr))
		ctl->reason = MASQ_R_MULTICAST;
	else if (FN(addr_is_zero)(key.in_addr)) /* any pod */
		ctl->reason = FAM == 6 && FN(is_link_local)(key.rem_addr)
				      ? MASQ_R_LINK_LOCAL
				      : MASQ_R_NONE;
	else
		ctl->reason = FN(whose)(skb, key.in_addr, key.rem_addr,
					ctl->ifindex, 1);
	if (ctl->reason == MASQ_OWN_ADDRESS ||
	    (!ctl->reason && FN(goes_to_node)(skb, s, (KEY *)&s->owner,
					      ctl->device, ctl->ifindex)))
		ctl->reason = MASQ_R_HOST;
	if (!ctl->reason)
		ctl->reason = FN(decide)(key.in_addr, key.rem_addr, &d);
	if (!d.policy) {
		d.half = masq_half();
		d.policy = masq_policy_of(d.half);
	}
	ctl->generation = d.policy ? d.policy->generation : 0;
	ctl->prefix = d.prefix;
	ctl->action = d.action;
	if (ctl->reason) {
		ctl->action = MASQ_KEEP;
		ctl->prefix = MASQ_NO_PREFIX;
	}
	__builtin_memset(ctl->xlat_addr, 0, sizeof(ctl->xlat_addr));
	if (ctl->reason || d.action != MASQ_MASQUERADE)
		return 0;
	s->snat = d.snat;
	if (MASQ_SNAT_RANGES(d.snat) ? FN(from_pool)(1, 0)
				     : FN(node_address)(skb, s))
		FN(addr_copy)(ctl->xlat_addr, s->node);
	else
		ctl->reason = MASQ_R_NO_ADDRESS;
	return 0;
}

/* Has scratch->owner a live record? An expired one ends here. */
MASQ_GLOBAL int FN(ctl_there)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	VIEW v;

	if (!s || !FN(see)((KEY *)&s->owner, &v))
		return 0;
	if (FN(live)(&v, s->now))
		return 1;
	MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
	return 0;
}

/*
 * Makes a record as the kernel's conntrack table has the flow: KEEP, INBOUND
 * or RESERVED. -EEXIST (17) when the key has one, -ENOSPC (28) without room.
 */
MASQ_GLOBAL int FN(ctl_seed)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	struct masq_ctl *ctl;
	FLOW *flow;
	KEY *key;
	int ret;

	if (!s)
		return -22;
	ctl = &s->ctl;
	if (ctl->kind != MASQ_K_KEEP && ctl->kind != MASQ_K_INBOUND &&
	    ctl->kind != MASQ_K_RESERVED)
		return -22;
	key = (KEY *)&s->owner;
	FN(ctl_key)(key, ctl);
	s->now = masq_now();
	s->half = masq_half();
	s->kind = ctl->kind;
	pol = masq_policy_of(s->half);
	if (!pol || FN(ctl_there)(slot))
		return -17;
	if (FN(make_room)(slot))
		return -28;
	s->prefix = ctl->prefix;
	s->seen = 0;
	s->pod_ifindex = 0;
	FN(flow_init)(s, pol, ctl->kind);
	s->aside.flags = MASQ_F_SEEDED;
	flow = (FLOW *)&s->flow;
	flow->expires = s->now + ctl->timeout;
	/* what state means in terms of what was seen */
	flow->out_seen = MASQ_SEEN_ONE;
	flow->in_seen = 0;
	if (ctl->state != MASQ_ST_NEW) {
		flow->out_seen |= MASQ_SEEN_TWO | MASQ_SEEN_ACK |
				  MASQ_SEEN_LATE;
		flow->in_seen = flow->out_seen;
	} else if (ctl->kind == MASQ_K_INBOUND) {
		flow->in_seen = MASQ_SEEN_ONE;
		flow->out_seen = 0;
	}
	if (ctl->state == MASQ_ST_CLOSED) {
		flow->out_seen |= MASQ_SEEN_FIN;
		flow->in_seen |= MASQ_SEEN_FIN;
	}
	ret = FN(make_owner)(slot);
	return ret == MASQ_THERE ? -17 : ret ? -28 : 0;
}

/* Ends the flow whose owner has this key; -ENOENT (2). */
MASQ_GLOBAL int FN(ctl_delete)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY key;
	VIEW v;

	if (!s)
		return -22;
	FN(ctl_key)(&key, &s->ctl);
	if (!FN(see)(&key, &v))
		return -2;
	MASQ_DO(FN(flow_end_any)(v.slot, v.seq, v.kind));
	return 0;
}

/* As inherit(), for the flow whose owner has this key. */
MASQ_GLOBAL int FN(ctl_inherit)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	int ret;

	if (!s || !masq_before)
		return -22;
	FN(ctl_key)((KEY *)&s->owner, &s->ctl);
	s->now = masq_now();
	ret = FN(inherit)(slot);
	if (ret == -17)
		MASQ_DO(FN(inherit_seen)(slot));
	return ret;
}

/* What the table has under this key; kind 0: nothing, or what has expired. */
MASQ_GLOBAL int FN(ctl_find)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY key;
	VIEW v;

	if (!s)
		return -22;
	FN(ctl_key)(&key, &s->ctl);
	s->ctl.kind = 0;
	if (!FN(see)(&key, &v) || !FN(live)(&v, masq_now()))
		return 0;
	s->ctl.kind = v.kind;
	s->ctl.state = masq_flow_state(key.proto, v.out_seen, v.in_seen);
	return 0;
}

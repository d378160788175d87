/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.h - makes flows: the pair of records of a masqueraded one, the single
 * record of a kept or inbound one. Included once per family by family.h.
 *
 * A port is claimed by making its REV record (port.h). The FWD record
 * follows; when that fails the REV record is taken back. Then both are
 * published, REV first: before the FWD record is there nothing goes out under
 * that port, so nothing comes in that would not find its owner.
 */

/* What every new record starts with. */
MASQ_INLINE void FN(flow_init)(struct masq_scratch *s,
			       const struct masq_policy *pol, __u8 kind)
{
	FLOW *flow = (FLOW *)&s->flow;
	bool inbound = kind == MASQ_K_INBOUND;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->what = kind << MASQ_W_KIND;
	flow->last_seen = s->now;
	flow->in_seen = inbound ? s->seen : 0;
	flow->out_seen = inbound ? 0 : s->seen;
	flow->prefix = s->prefix;
	flow->pod_device = s->pod_ifindex;
	flow->expires =
		s->now +
		masq_lasting(FN(flow_timeout)(pol, (KEY *)&s->owner, kind,
					      flow->out_seen, flow->in_seen));
	s->aside.created = s->now;
	s->aside.generation = pol->generation;
	s->aside.peer = MASQ_NO_SLOT;
	s->aside.peer_seq = 0;
	s->aside.flags = 0;
}

/* The scratch slot has the FWD record that has just been made. */
MASQ_GLOBAL int FN(eim_remember)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_usage *u = masq_usage_get();
	struct masq_policy *pol;
	FLOW *flow;
	KEY *key;
	VIEW v;

	if (!s || !u)
		return 0;
	pol = masq_policy_of(s->half);
	if (!pol)
		return 0;
	flow = (FLOW *)&s->flow;
	key = (KEY *)&s->hint;
	FN(eim_key)(key, (KEY *)&s->owner);
	if (FN(see)(key, &v))
		MASQ_DO(FN(flow_end)(v.slot, v.seq));
	if (!FN(has_room)(u, pol, MASQ_B_EIM))
		return 0;
	flow->what = MASQ_K_EIM << MASQ_W_KIND;
	flow->expires = s->now + masq_lasting(pol->timeout[MASQ_T_UDP]);
	if (FN(make_record)(slot, MASQ_EIM))
		return 0;
	MASQ_DO(FN(account)(key, MASQ_K_EIM, 1, 0));
	return FN(publish)(s->rev_slot);
}

/* 1: scratch->rev has now the port that the socket's earlier flows have. */
MASQ_GLOBAL int FN(eim_recall)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY *rev, *hint;
	VIEW v;

	if (!s)
		return 0;
	rev = (KEY *)&s->rev;
	hint = (KEY *)&s->hint;
	FN(eim_key)(hint, (KEY *)&s->owner);
	if (!FN(see)(hint, &v) || v.kind != MASQ_K_EIM ||
	    !FN(live)(&v, s->now) || !FN(addr_equal)(v.xlat_addr, rev->in_addr))
		return 0;
	rev->in_port = v.xlat_port;
	return 1;
}

/* Is this protocol's port ours to change? The others' checksums cover it in
 * ways that we do not rewrite; their address alone is translated. */
MASQ_INLINE bool FN(port_may_change)(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == PROTO_ICMP;
}

/* The address to translate to, and what the REV record will be. */
MASQ_GLOBAL int FN(claim_begin)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	KEY *owner, *rev;
	FLOW *flow;

	if (!s)
		return MASQ_R_BUSY;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_BUSY;
	flow = (FLOW *)&s->flow;
	owner = (KEY *)&s->owner;
	rev = (KEY *)&s->rev;
	*rev = *owner;
	rev->role = MASQ_ROLE_FLOW;
	/* the node's own flow keeps the address that it chose */
	if (owner->role != MASQ_ROLE_HOST) {
		if (!(MASQ_SNAT_RANGES(s->snat) ? FN(from_pool)(slot, 1)
						: FN(node_address)(skb, s)))
			return MASQ_R_NO_ADDRESS;
		FN(addr_copy)(rev->in_addr, s->node);
	}
	FN(flow_init)(s, pol, MASQ_K_REV);
	FN(addr_copy)(flow->xlat_addr, owner->in_addr);
	flow->xlat_port = owner->in_port;
	s->moved = 0;
	s->resting = 0;
	s->waiting = 0;
	return 0;
}

/* The port of the socket's earlier flows, else its own. As claim_port. */
MASQ_GLOBAL int FN(claim_known)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_usage *u = masq_usage_get();
	KEY *owner, *rev;
	int ret = MASQ_THERE;
	bool ports;

	if (!s || !u)
		return MASQ_THERE;
	owner = (KEY *)&s->owner;
	rev = (KEY *)&s->rev;
	ports = FN(proto_has_ports)(owner->proto);
	if (u->flows[FAM == 6][MASQ_B_EIM] &&
	    FN(port_may_change)(owner->proto) && s->class != MASQ_C_ACK &&
	    FN(eim_recall)(slot)) {
		s->moved = 1;
		if (!ports ||
		    masq_port_allowed(s->half, bpf_ntohs(rev->in_port)))
			ret = FN(claim_port)(skb, slot, 0);
	}
	if (ret != MASQ_THERE)
		return ret;
	rev->in_port = owner->in_port;
	if (!ports || masq_port_allowed(s->half, bpf_ntohs(rev->in_port)))
		ret = FN(claim_port)(skb, slot, 0);
	if (!ret)
		masq_stat(MASQ_S_PORT_KEPT, 1);
	return ret;
}

/* A port for the REV record, and the record with it. 0 or a reason. */
MASQ_GLOBAL int FN(claim)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	int ret = FN(claim_known)(skb, slot);
	struct masq_policy *pol;
	bool single;
	KEY *rev;

	if (!s)
		return MASQ_R_BUSY;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_BUSY;
	rev = (KEY *)&s->rev;
	if (ret == MASQ_THERE) {
		if (s->class == MASQ_C_ACK)
			return MASQ_R_NO_FLOW;
		single = !FN(port_may_change)(rev->proto);
		s->moved = !single;
		/* who has the only one has two seconds to be answered */
		if (single && s->waited < masq_two_seconds(pol))
			s->waiting = 0;
		/* between the look and the claim another processor may win */
		for (int i = 0; i < MASQ_SEARCHES && !single; i++) {
			if (FN(search_port)(skb, slot))
				break;
			ret = FN(claim_port)(skb, slot, 0);
			if (ret != MASQ_THERE)
				break;
		}
		if (ret == MASQ_THERE && s->resting) {
			rev->in_port = bpf_htons(s->resting - 1);
			ret = FN(claim_port)(skb, slot, 1);
		}
		if (ret == MASQ_THERE && s->waiting) {
			rev->in_port = bpf_htons(s->waiting - 1);
			ret = FN(claim_port)(skb, slot, 2);
		}
		if (ret == MASQ_THERE && single)
			return MASQ_R_PROTOCOL;
		if (ret == MASQ_THERE)
			masq_stat(MASQ_S_PORT_FAIL, 1);
	}
	if (!ret)
		return MASQ_R_NONE;
	s->full = MASQ_REV;
	return ret == MASQ_THERE ? MASQ_R_NO_PORT : MASQ_NO_PLACE_YET;
}

/* The owner's record; then the flow is there. MASQ_R_NONE, MASQ_THERE (another
 * processor was first) or a reason. */
MASQ_GLOBAL int FN(make_owner)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	KEY *owner;
	FLOW *flow;
	int ret;

	if (!s)
		return MASQ_R_BUSY;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_BUSY;
	flow = (FLOW *)&s->flow;
	owner = (KEY *)&s->owner;
	if (s->kind == MASQ_K_FWD) {
		FLOW *claimed = FN(slot)(s->rev_slot);
		KEY *rev = (KEY *)&s->rev;

		if (!claimed)
			return MASQ_R_BUSY;
		FN(flow_init)(s, pol, s->kind);
		FN(addr_copy)(flow->xlat_addr, rev->in_addr);
		flow->xlat_port = rev->in_port;
		flow->device = s->ifindex;
		s->aside.flags = s->snat ? MASQ_F_FIXED : 0;
		s->aside.peer = s->rev_slot;
		s->aside.peer_seq = claimed->seq;
	}
	ret = FN(make_record)(slot, MASQ_OWNER);
	if (ret) { /* the port is given back */
		if (s->kind == MASQ_K_FWD)
			MASQ_DO(FN(remove)(s->rev_slot, s->aside.peer_seq));
		s->full = MASQ_OWNER;
		return ret == MASQ_THERE      ? MASQ_THERE
		       : ret == MASQ_NO_PLACE ? MASQ_NO_PLACE_YET
					      : MASQ_R_BUSY;
	}
	MASQ_DO(FN(account)(owner, s->kind, 1, 0));
	if (s->kind == MASQ_K_FWD) {
		FN(join)(s->rev_slot, s->owner_slot);
		MASQ_DO(FN(publish)(s->rev_slot));
	}
	MASQ_DO(FN(publish)(s->owner_slot));
	return MASQ_R_NONE;
}

/*
 * Makes the record, or the pair of records, that the scratch slot describes:
 * rows E4 and E6 (kind FWD; an ACK only with the port that it already has),
 * E5 (KEEP), I4 (INBOUND). There is room for it in its budget (make_room).
 * MASQ_R_NONE (also when another processor was first: its record serves us), the
 * reason for refusal, or MASQ_NO_PLACE_YET.
 */
MASQ_GLOBAL int FN(make_flow)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	int ret;

	if (!s)
		return MASQ_R_BUSY;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_BUSY;
	s->moved = 0;
	if (s->kind == MASQ_K_FWD) {
		ret = FN(claim_begin)(skb, slot);
		if (ret)
			return ret;
		if (!s->fetched || !FN(addr_equal)(s->ahead, s->rev.in_addr)) {
			FN(addr_copy)(s->ahead, s->rev.in_addr);
			MASQ_DO(FN(fetch_pair)(slot));
		}
		s->fetched = 0;
		s->expected = FAM;
		ret = FN(claim)(skb, slot);
		if (ret)
			return ret;
	} else {
		FN(fetch)((KEY *)&s->owner);
		FN(flow_init)(s, pol, s->kind);
	}
	ret = FN(make_owner)(slot);
	if (ret == MASQ_THERE)
		return MASQ_R_NONE; /* whoever made it has told of it */
	if (ret)
		return ret;
	masq_count_prefix(s->prefix, MASQ_EGRESS, 0, 0, 1);
	MASQ_DO(FN(event)((KEY *)&s->owner, (FLOW *)&s->flow, NULL, s->now,
			  MASQ_EVENT(MASQ_EV_NEW, 0, s->ifindex)));
	if (s->moved)
		MASQ_DO(FN(eim_remember)(slot));
	return MASQ_R_NONE;
}

/* What make_flow is to make; the time and the flow's packet. */
MASQ_INLINE int FN(flow_wanted)(struct __sk_buff *skb, const PKT *pkt,
				const struct masq_decision *d, __u32 now,
				__u8 kind)
{
	struct masq_scratch *s = masq_scratch_get(0);

	if (!s)
		return MASQ_R_BUSY;
	*(KEY *)&s->owner = pkt->key;
	s->now = now;
	s->half = d->half;
	s->prefix = d->prefix;
	s->snat = d->snat;
	s->ifindex = skb->ifindex;
	s->pod_ifindex = kind == MASQ_K_INBOUND ? 0 : skb->ingress_ifindex;
	s->kind = kind;
	s->class = pkt->class;
	s->seen = pkt->seen;
	return MASQ_MAKE_FLOW;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.h - makes records: room in the table, the search for a port, the pair of
 * a masqueraded flow, the single record of a kept or inbound one. Included
 * once per family by family.h.
 *
 * A port is claimed by making its REV record, which one processor can. The FWD
 * record follows; when that fails the REV record is taken back. Then both are
 * published, REV first: before the FWD record is there nothing goes out under
 * that port, so nothing comes in that would not find its owner.
 */

/* Does a socket of the node itself use or listen on this port towards the
 * far side? Contract, promise 4: the host never loses a port to a pod. */
MASQ_NOINLINE int FN(host_owns)(struct __sk_buff *skb, const KEY *rev)
{
	struct bpf_sock_tuple t = {};
	struct bpf_sock *sk;

	/* as a packet from outside would have it */
#if FAM == 4
	t.ipv4.saddr = rev->rem_addr[0];
	t.ipv4.daddr = rev->in_addr[0];
	t.ipv4.sport = rev->rem_port;
	t.ipv4.dport = rev->in_port;
#define MASQ_TUPLE_SIZE sizeof(t.ipv4)
#else
	FN(addr_copy)(t.ipv6.saddr, rev->rem_addr);
	FN(addr_copy)(t.ipv6.daddr, rev->in_addr);
	t.ipv6.sport = rev->rem_port;
	t.ipv6.dport = rev->in_port;
#define MASQ_TUPLE_SIZE sizeof(t.ipv6)
#endif
	if (rev->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &t, MASQ_TUPLE_SIZE,
					BPF_F_CURRENT_NETNS, 0);
	else if (rev->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &t, MASQ_TUPLE_SIZE,
				       BPF_F_CURRENT_NETNS, 0);
	else
		return 0;
#undef MASQ_TUPLE_SIZE
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* A port held by a flow that may have to make way for it, should all others be
 * taken too: of closed ones the one that rested longest (RFC 6888 REQ-8), else
 * of those that nobody answered. */
MASQ_INLINE void FN(note_holder)(struct masq_scratch *s, const KEY *rev,
				 const VIEW *held)
{
	__u32 rested = s->now - held->last_seen;

	if (held->kind != MASQ_K_REV)
		return;
	switch (masq_flow_state(rev->proto, held->out_seen, held->in_seen)) {
	case MASQ_ST_CLOSED:
		if (!s->resting || rested > s->rested) {
			s->resting = bpf_ntohs(rev->in_port) + 1;
			s->rested = rested;
		}
		break;
	case MASQ_ST_NEW:
		if (!held->in_seen && (!s->waiting || rested > s->waited)) {
			s->waiting = bpf_ntohs(rev->in_port) + 1;
			s->waited = rested;
		}
		break;
	}
}

/*
 * Can the port in scratch->rev be had? 0: yes, once scratch->holder has ended,
 * if there is one. -EEXIST (17): a live flow has it, or the host. `force`: what
 * is closed (1) or unanswered (2) has to make way.
 */
MASQ_GLOBAL int FN(look_at_port)(struct __sk_buff *skb, __u32 slot, __u32 force)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	KEY *rev;
	VIEW v;

	if (!s)
		return MASQ_THERE;
	rev = (KEY *)&s->rev;
	s->holder = MASQ_NO_SLOT;
	if (FN(see_out_of_line)(rev, &v)) {
		/* what outsiders send to an address of our own NAT holds no
		 * port as long as nobody answers it */
		bool weak = v.kind == MASQ_K_INBOUND && !v.out_seen;

		if (force && v.kind == MASQ_K_REV)
			weak = force == 1
				       ? masq_flow_state(rev->proto, v.out_seen,
							 v.in_seen) ==
						 MASQ_ST_CLOSED
				       : !v.in_seen;
		if (FN(live)(&v, s->now) && !weak) {
			FN(note_holder)(s, rev, &v);
			return MASQ_THERE;
		}
		s->holder = v.slot;
		s->holder_seq = v.seq;
		s->holder_kind = v.kind;
	}
	if (masq_before && FN(was_taken)(slot))
		return MASQ_THERE;
	return FN(host_owns)(skb, rev) || FN(ct_of)(skb, rev) ? MASQ_THERE : 0;
}

/*
 * Claims the port in scratch->rev with record scratch->flow; its slot is then
 * in scratch->rev_slot. 0: ours. -EEXIST (17): taken. -ENOSPC (28): the table
 * has no place for it.
 */
MASQ_GLOBAL int FN(claim_port)(struct __sk_buff *skb, __u32 slot, __u32 force)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	int ret = FN(look_at_port)(skb, slot, force);

	if (ret || !s)
		return MASQ_THERE;
	if (s->holder != MASQ_NO_SLOT) {
		MASQ_DO(FN(flow_end_any)(s->holder, s->holder_seq,
					 s->holder_kind));
		if (force == 2)
			masq_stat(MASQ_S_TAKEN_OVER, 1);
	}
	ret = FN(make_record)(slot, MASQ_REV);
	return ret == MASQ_UNDER_WAY ? MASQ_THERE : ret;
}

/* Probes the next port of the search; true ends it. */
MASQ_INLINE bool FN(probe)(struct __sk_buff *skb, struct masq_scratch *s,
			   __u32 slot, bool ports)
{
	__u32 port = s->min + s->at;

	s->at += s->stride;
	if (s->at >= s->size)
		s->at -= s->size;
	s->probes++;
	if (ports && !masq_port_allowed(s->half, port))
		return false;
	((KEY *)&s->rev)->in_port = bpf_htons(port);
	s->result = FN(look_at_port)(skb, slot, 0);
	return s->result != MASQ_THERE;
}

#ifdef MASQ_MODERN
struct FN(search) {
	struct __sk_buff *skb;
	__u32 slot;
	__u32 ports;
};

static long FN(probe_step)(__u32 i, struct FN(search) * ctx)
{
	struct masq_scratch *s = masq_scratch_get(ctx->slot & 1);

	return !s || FN(probe)(ctx->skb, s, ctx->slot, ctx->ports);
}
#endif

#ifndef MASQ_SEARCH
#define MASQ_SEARCH
MASQ_INLINE void masq_count_search(__u32 probes)
{
	__u32 b = MASQ_S_TRIES_1;

	if (probes > 1)
		b++;
	if (probes > 2)
		b++;
	if (probes > 4)
		b++;
	if (probes > 8)
		b++;
	if (probes > 16)
		b++;
	if (probes > 32)
		b++;
	if (probes > 64)
		b++;
	masq_stat(b, 1);
	masq_stat(MASQ_S_TRIES_SUM, probes);
}

/*
 * A destination whose ports are nearly all taken: each search that fails makes
 * the next ones shorter, so that a flood of openers does not pay for 512 probes
 * each; one that succeeds, or a second's rest, takes that back. At 99 %
 * occupancy this leaves less than 1 % of failures (0.6 % without it). Ranges
 * no larger than MASQ_PROBES are always searched from end to end.
 */
MASQ_INLINE __u32 masq_crowd_probes(const struct masq_crowd_key *key, __u32 now)
{
	struct masq_crowd *c = bpf_map_lookup_elem(&masq_crowds, key);

	if (!c || masq_passed(now, c->expires))
		return MASQ_PROBES;
	return c->failed > 7   ? MASQ_PROBES / 32
	       : c->failed > 4 ? MASQ_PROBES / 16
	       : c->failed > 2 ? MASQ_PROBES / 8
			       : MASQ_PROBES / 4;
}

MASQ_INLINE void masq_crowd_result(const struct masq_crowd_key *key, __u32 now,
				   bool failed)
{
	struct masq_crowd *c = bpf_map_lookup_elem(&masq_crowds, key);
	struct masq_crowd first = { .expires = now + 16, .failed = 1 };

	if (!failed) {
		if (c)
			c->failed = 0, c->expires = now;
	} else if (!c) {
		bpf_map_update_elem(&masq_crowds, key, &first, BPF_ANY);
	} else {
		c->failed = masq_passed(now, c->expires) ? 1 : c->failed + 1;
		c->expires = now + 16;
	}
}

/*
 * Strides: primes above the largest range, so each is coprime to every size
 * that it does not divide: all of them.
 */
MASQ_INLINE __u32 masq_stride(__u32 random)
{
	static const __u32 primes[16] = {
		65537, 65539, 65543, 65551, 65557, 65563, 65579, 65581,
		65587, 65599, 65609, 65617, 65629, 65633, 65647, 65651,
	};

	return primes[random & 15];
}
#endif

/*
 * Looks for a port for scratch->rev, without claiming it. 0, or -EEXIST (17).
 * The start is random: an outsider cannot guess the port (RFC 6888 REQ-15).
 */
MASQ_GLOBAL int FN(search_port)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 random = bpf_get_prandom_u32();
	struct masq_policy *pol;
	bool ports;
	KEY *rev;

	if (!s)
		return MASQ_NO_PLACE;
	rev = (KEY *)&s->rev;
	ports = rev->proto != PROTO_ICMP;
	s->min = 0;
	s->size = 65536;
	s->probes = 0;
	s->resting = 0;
	s->rested = 0;
	s->waiting = 0;
	s->waited = 0;
	s->result = MASQ_THERE;
	if (ports) {
		pol = masq_policy_of(s->half);
		if (!pol || pol->port_max < pol->port_min)
			return MASQ_THERE;
		s->min = pol->port_min;
		s->size = pol->port_max - pol->port_min + 1;
	}
	s->at = random % s->size;
	s->stride = masq_stride(random >> 28) % s->size;
	if (!s->stride)
		s->stride = 1; /* a size of 1 */
#ifdef MASQ_MODERN
	struct FN(search) ctx = { .skb = skb, .slot = slot, .ports = ports };
	struct masq_crowd_key *crowd = &s->crowd;

	__builtin_memset(crowd, 0, sizeof(*crowd));
	crowd->rem_port = rev->rem_port;
	crowd->proto = rev->proto;
	crowd->family = FAM;
	FN(addr_copy)(crowd->node, rev->in_addr);
	FN(addr_copy)(crowd->rem, rev->rem_addr);
	bpf_loop(s->size <= MASQ_PROBES ? s->size
					: masq_crowd_probes(crowd, s->now),
		 FN(probe_step), &ctx, 0);
	if (s->size > MASQ_PROBES)
		masq_crowd_result(crowd, s->now, s->result == MASQ_THERE);
#else
	for (__u32 i = 0; i < MASQ_PROBES_LEGACY; i++) {
		if (i >= s->size || FN(probe)(skb, s, slot, ports))
			break;
	}
#endif
	masq_count_search(s->probes);
	return s->result;
}

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

/*
 * The external port of a pod socket that could not keep its own: remembered
 * under the socket's address alone, and tried first towards every further
 * destination (RFC 4787 REQ-1, endpoint-independent mapping).
 */
MASQ_INLINE void FN(eim_key)(KEY *key, const KEY *fwd)
{
	__builtin_memset(key, 0, sizeof(*key));
	FN(addr_copy)(key->in_addr, fwd->in_addr);
	key->in_port = fwd->in_port;
	key->proto = fwd->proto;
	key->role = fwd->role;
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
	KEY *rev;

	if (!s)
		return MASQ_R_BUSY;
	rev = (KEY *)&s->rev;
	if (ret == MASQ_THERE) {
		if (s->class == MASQ_C_ACK)
			return MASQ_R_NO_FLOW;
		if (!FN(port_may_change)(rev->proto))
			return MASQ_R_PROTOCOL;
		s->moved = 1;
		/* between the look and the claim another processor may win */
		for (int i = 0; i < MASQ_SEARCHES; i++) {
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
	MASQ_DO(FN(fetch)(slot, MASQ_OWNER));
	if (s->kind == MASQ_K_FWD) {
		ret = FN(claim_begin)(skb, slot);
		if (ret)
			return ret;
		MASQ_DO(FN(fetch)(slot, MASQ_REV));
		ret = FN(claim)(skb, slot);
		if (ret)
			return ret;
	} else {
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

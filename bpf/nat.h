/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nat.h - makes records: room in the table, the search for a port, the pair of
 * a masqueraded flow, the single record of a kept or inbound one. Included
 * once per family by family.h.
 *
 * A port is claimed by inserting its REV record with BPF_NOEXIST: one atomic
 * step between all processors. The FWD record follows; when that fails the
 * REV record is taken back.
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

/* Insert; another processor in the same bucket (-EBUSY) is waited out. */
MASQ_INLINE int FN(flow_insert)(const KEY *key, const FLOW *flow)
{
	int ret = bpf_map_update_elem(&FLOWS, key, flow, BPF_NOEXIST);

	if (unlikely(ret == -16))
		ret = bpf_map_update_elem(&FLOWS, key, flow, BPF_NOEXIST);
	if (unlikely(ret == -16))
		ret = bpf_map_update_elem(&FLOWS, key, flow, BPF_NOEXIST);
	return ret;
}

/*
 * Claims the port in scratch->rev with record scratch->flow. 0: ours. -EEXIST
 * (17): taken, by a live flow or by the host. -E2BIG (7): the table is full.
 */
MASQ_GLOBAL int FN(claim_port)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	FLOW *held;
	KEY *rev;

	if (!s)
		return -7;
	rev = (KEY *)&s->rev;
	held = bpf_map_lookup_elem(&FLOWS, rev);
	if (held) {
		if (FN(flow_live)(held, s->now)) {
			/* RFC 6888 REQ-8: a closed one, the longest at rest,
			 * before a failure */
			__u32 rested = s->now - held->last_seen;

			if (held->kind == MASQ_K_REV &&
			    held->state == MASQ_ST_CLOSED &&
			    (!s->resting || rested > s->rested)) {
				s->resting = bpf_ntohs(rev->in_port) + 1;
				s->rested = rested;
			}
			return -17;
		}
		FN(rev_end)(rev, held, (KEY *)&s->hint);
	}
	if (FN(host_owns)(skb, rev))
		return -17;
	return FN(flow_insert)(rev, (FLOW *)&s->flow);
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
	s->result = FN(claim_port)(skb, slot);
	return s->result != -17;
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
 * Finds and claims a port for the record in the scratch slot. 0, or -EEXIST
 * (17) / -E2BIG (7). The start is random: an outsider cannot guess the port
 * (RFC 6888 REQ-15).
 */
MASQ_GLOBAL int FN(claim_search)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	__u32 random = bpf_get_prandom_u32();
	struct masq_policy *pol;
	bool ports;
	KEY *rev;

	if (!s)
		return -7;
	rev = (KEY *)&s->rev;
	ports = rev->proto != PROTO_ICMP;
	s->min = 0;
	s->size = 65536;
	s->probes = 0;
	s->resting = 0;
	s->rested = 0;
	s->result = -17;
	if (ports) {
		pol = masq_policy_of(s->half);
		if (!pol || pol->port_max < pol->port_min)
			return -17;
		s->min = pol->port_min;
		s->size = pol->port_max - pol->port_min + 1;
	}
	s->at = random % s->size;
	s->stride = masq_stride(random >> 28) % s->size;
	if (!s->stride)
		s->stride = 1; /* a size of 1 */
#ifdef MASQ_MODERN
	struct FN(search) ctx = { .skb = skb, .slot = slot, .ports = ports };
	struct masq_crowd_key crowd = {
		.rem_port = rev->rem_port,
		.proto = rev->proto,
		.family = FAM,
	};

	FN(addr_copy)(crowd.node, rev->in_addr);
	FN(addr_copy)(crowd.rem, rev->rem_addr);
	bpf_loop(s->size <= MASQ_PROBES ? s->size
					: masq_crowd_probes(&crowd, s->now),
		 FN(probe_step), &ctx, 0);
	if (s->size > MASQ_PROBES)
		masq_crowd_result(&crowd, s->now, s->result == -17);
#else
	for (__u32 i = 0; i < MASQ_PROBES_LEGACY; i++) {
		if (i >= s->size || FN(probe)(skb, s, slot, ports))
			break;
	}
#endif
	masq_count_search(s->probes);
	if (s->result == -17 && s->resting) {
		FLOW *held;

		rev->in_port = bpf_htons(s->resting - 1);
		held = bpf_map_lookup_elem(&FLOWS, rev);
		if (held && held->state == MASQ_ST_CLOSED)
			FN(rev_end)(rev, held, (KEY *)&s->hint);
		s->result = FN(claim_port)(skb, slot);
	}
	if (s->result == -17)
		masq_stat(MASQ_S_PORT_FAIL, 1);
	return s->result;
}

/*
 * Room for one more flow of this kind, making it where that is allowed; moves
 * the reclaim hand in any case. The flow's key and the time are those of the
 * scratch slot. MASQ_R_NONE or the reason for refusal.
 */
MASQ_GLOBAL int FN(make_room)(__u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_usage *u = masq_usage_get();
	struct masq_pod_usage *p;
	struct masq_policy *pol;
	__u32 reserve;
	__s64 ring_max;
	bool due;

	if (!s || !u)
		return MASQ_R_TABLE_FULL;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_TABLE_FULL;
	reserve = pol->max_flows / 8;
	if (reserve > MASQ_RING_RESERVE)
		reserve = MASQ_RING_RESERVE;
	ring_max = (__s64)pol->max_flows + pol->max_flows / 4 - reserve;
	/* a pop and a push that change nothing would be felt in each new flow */
	due = !bpf_map_peek_elem(&RING, &s->head) &&
	      masq_passed(s->now, ((SLOT *)&s->head)->look);
	if (due)
		FN(reclaim)(slot, MASQ_HAND_NEW, 2, MASQ_PRESSURE_NONE);
	if (unlikely(u->ring[FAM == 6] >= ring_max))
		FN(reclaim)(slot, MASQ_HAND_PRESSURE, 2, MASQ_PRESSURE_RING);
	/* two records a flow, which remembered ports leave less room for */
	if (unlikely(2 * u->flows + u->eim >= 2 * (__s64)pol->max_flows - 1 ||
		     u->ring[FAM == 6] >= ring_max)) {
		FN(reclaim)(slot, MASQ_HAND_PRESSURE, 2, MASQ_PRESSURE_TABLE);
		if (u->flows >= pol->max_flows || u->ring[FAM == 6] >= ring_max)
			return MASQ_R_TABLE_FULL;
	}
	if (s->kind == MASQ_K_INBOUND) {
		if (u->inbound >= pol->max_flows / 4) {
			FN(reclaim)
			(slot, MASQ_HAND_PRESSURE, 2, MASQ_PRESSURE_NONE);
			if (u->inbound >= pol->max_flows / 4)
				return MASQ_R_TABLE_FULL;
		}
		return MASQ_R_NONE;
	}
	if (!pol->max_flows_per_pod)
		return MASQ_R_NONE;
	p = FN(pod_find)(((KEY *)&s->owner)->in_addr, &s->pod);
	if (unlikely(p && p->flows >= (__s32)pol->max_flows_per_pod)) {
#ifdef MASQ_MODERN
		/* once a tick: a flood of refused openers must stay cheap */
		if (s->quota_tick == s->now)
			return MASQ_R_POD_QUOTA;
		s->quota_tick = s->now;
#endif
		FN(reclaim)
		(slot, MASQ_HAND_QUOTA, MASQ_HAND_QUOTA, MASQ_PRESSURE_NONE);
		if (p->flows >= (__s32)pol->max_flows_per_pod)
			return MASQ_R_POD_QUOTA;
	}
	return MASQ_R_NONE;
}

/* What every new record starts with. */
MASQ_INLINE void FN(flow_init)(const struct masq_scratch *s,
			       const struct masq_policy *pol, FLOW *flow,
			       __u8 kind)
{
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->last_seen = s->now;
	flow->kind = kind;
	if (kind == MASQ_K_INBOUND)
		flow->in_seen = s->seen;
	else
		flow->out_seen = s->seen;
	flow->prefix = s->prefix;
	flow->generation = pol->generation;
	flow->created = s->now;
	flow->expires = FN(flow_expiry)(
		s->now,
		FN(flow_timeout)(pol, ((KEY *)&s->owner)->proto, kind,
				 MASQ_ST_NEW, flow->out_seen, flow->in_seen));
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

/* *s has the FWD record that has just been inserted. */
MASQ_INLINE void FN(eim_remember)(struct masq_scratch *s,
				  const struct masq_policy *pol)
{
	FLOW *flow = (FLOW *)&s->flow, *f;
	KEY *key = (KEY *)&s->hint;

	FN(eim_key)(key, (KEY *)&s->owner);
	flow->kind = MASQ_K_EIM;
	flow->expires = FN(flow_expiry)(s->now, pol->timeout[MASQ_T_UDP]);
	f = bpf_map_lookup_elem(&FLOWS, key);
	if (f) {
		f->xlat_port = flow->xlat_port;
		FN(addr_copy)(f->xlat_addr, flow->xlat_addr);
		f->expires = flow->expires;
	} else if (FN(ring_push)(key, s->now,
				 FN(hand_look)(s->now, flow->expires)) &&
		   !FN(flow_insert)(key, flow)) {
		MASQ_DO(FN(flow_account)(key, MASQ_K_EIM, 1));
	}
}

/* Is this protocol's port ours to change? The others' checksums cover it in
 * ways that we do not rewrite; their address alone is translated. */
MASQ_INLINE bool FN(port_may_change)(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == PROTO_ICMP;
}

/*
 * A port for the REV record in scratch space, and the record with it: the one
 * of the socket's earlier flows, else its own, else any. 0 or a reason.
 */
MASQ_INLINE int FN(claim)(struct __sk_buff *skb, struct masq_scratch *s,
			  __u32 slot, bool *moved)
{
	KEY *owner = (KEY *)&s->owner, *rev = (KEY *)&s->rev;
	bool ports = FN(proto_has_ports)(owner->proto);
	bool may_change = FN(port_may_change)(owner->proto);
	struct masq_usage *u = masq_usage_get();
	int ret = -17;
	FLOW *f;

	if (u && u->eim && may_change && s->class != MASQ_C_ACK) {
		KEY *hint = (KEY *)&s->hint;

		FN(eim_key)(hint, owner);
		f = bpf_map_lookup_elem(&FLOWS, hint);
		if (f && f->kind == MASQ_K_EIM && FN(flow_live)(f, s->now) &&
		    FN(addr_equal)(f->xlat_addr, rev->in_addr)) {
			*moved = true;
			rev->in_port = f->xlat_port;
			if (!ports ||
			    masq_port_allowed(s->half, bpf_ntohs(rev->in_port)))
				ret = FN(claim_port)(skb, slot);
		}
	}
	if (ret == -17) {
		rev->in_port = owner->in_port;
		if (!ports ||
		    masq_port_allowed(s->half, bpf_ntohs(rev->in_port)))
			ret = FN(claim_port)(skb, slot);
		if (!ret)
			masq_stat(MASQ_S_PORT_KEPT, 1);
	}
	if (ret == -17) {
		if (s->class == MASQ_C_ACK)
			return MASQ_R_NO_FLOW;
		if (!may_change)
			return MASQ_R_PROTOCOL;
		*moved = true;
		ret = FN(claim_search)(skb, slot);
	}
	if (!ret)
		return MASQ_R_NONE;
	return ret == -17  ? MASQ_R_NO_PORT
	       : ret == -7 ? MASQ_R_TABLE_FULL
			   : MASQ_R_BUSY;
}

/*
 * Makes the record, or the pair of records, that the scratch slot describes:
 * rows E4 and E6 (kind FWD; an ACK only with the port that it already has),
 * E5 (KEEP), I4 (INBOUND). MASQ_R_NONE (also when another processor was first:
 * its record serves us) or the reason for refusal.
 */
MASQ_GLOBAL int FN(make_flow)(struct __sk_buff *skb, __u32 slot)
{
	struct masq_scratch *s = masq_scratch_get(slot & 1);
	struct masq_policy *pol;
	bool moved = false;
	KEY *owner, *rev;
	FLOW *flow;
	int ret;

	if (!s)
		return MASQ_R_BUSY;
	pol = masq_policy_of(s->half);
	if (!pol)
		return MASQ_R_BUSY;
	ret = FN(make_room)(slot);
	if (ret)
		return ret;
	flow = (FLOW *)&s->flow;
	owner = (KEY *)&s->owner;
	rev = (KEY *)&s->rev;
	if (s->kind == MASQ_K_FWD) {
		*rev = *owner;
		rev->role = MASQ_ROLE_FLOW;
		/* the node's own flow keeps the address that it chose */
		if (owner->role != MASQ_ROLE_HOST) {
			if (!FN(node_address)(skb, owner->rem_addr, s->ifindex,
					      s->snat, s->node))
				return MASQ_R_NO_ADDRESS;
			FN(addr_copy)(rev->in_addr, s->node);
		}
		FN(flow_init)(s, pol, flow, MASQ_K_REV);
		FN(addr_copy)(flow->xlat_addr, owner->in_addr);
		flow->xlat_port = owner->in_port;
		ret = FN(claim)(skb, s, slot, &moved);
		if (ret)
			return ret;
	}
	FN(flow_init)(s, pol, flow, s->kind);
	if (s->kind == MASQ_K_FWD) {
		if (s->snat)
			flow->flags = MASQ_F_FIXED;
		FN(addr_copy)(flow->xlat_addr, rev->in_addr);
		flow->xlat_port = rev->in_port;
	}
	ret = FN(ring_push)(owner, s->now, FN(hand_look)(s->now, flow->expires))
		      ? FN(flow_insert)(owner, flow)
		      : -7;
	if (ret) {
		if (s->kind == MASQ_K_FWD)
			bpf_map_delete_elem(&FLOWS, rev);
		return ret == -17  ? MASQ_R_NONE
		       : ret == -7 ? MASQ_R_TABLE_FULL
				   : MASQ_R_BUSY;
	}
	MASQ_DO(FN(flow_account)(owner, s->kind, 1));
	masq_count_prefix(s->prefix, MASQ_EGRESS, 0, 0, 1);
	MASQ_DO(FN(event)(owner, flow, MASQ_EV_NEW, 0, s->ifindex));
	if (moved)
		FN(eim_remember)(s, pol);
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
	s->kind = kind;
	s->class = pkt->class;
	s->seen = pkt->seen;
	return MASQ_MAKE_FLOW;
}

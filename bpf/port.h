/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * port.h - claiming a port: whether it can be had, making its REV record, which
 * one processor can, and the search for another one. Included once per family by
 * family.h.
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

/* Did nobody answer the flow that holds it? The node's own, whose port is not the
 * one that it chose, makes way for no pod's. */
MASQ_INLINE bool FN(is_waiting)(const KEY *rev, const VIEW *held)
{
	return !held->in_seen && !FN(addr_equal)(held->xlat_addr, rev->in_addr);
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
		if (FN(is_waiting)(rev, held) &&
		    (!s->waiting || rested > s->waited)) {
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
				       : FN(is_waiting)(rev, &v);
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

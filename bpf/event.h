/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * event.h - tells a listener (`masqbpf watch`) about flows and drops. Only the
 * slow path calls it; with nobody listening it is one array lookup. Included
 * once per family by family.h.
 */

MASQ_NOINLINE int FN(event)(const KEY *key, const FLOW *flow, __u32 type,
			    __u32 reason, __u32 ifindex)
{
	__u32 zero = 0, *watched = bpf_map_lookup_elem(&masq_watch, &zero);
	struct masq_event *e;
	__u64 now;

	if (!watched || !*watched)
		return 0;
	now = bpf_ktime_get_ns();
	/* one that was killed stops listening by itself */
	if ((__s32)(*watched - (__u32)(now / 1000000000)) < 0)
		return 0;
	/*
	 * Half full: one in eight, so that what gets through still shows all
	 * of a burst and not its beginning alone.
	 */
	if (bpf_ringbuf_query(&masq_events, BPF_RB_AVAIL_DATA) >
		    MASQ_EVENT_BYTES / 2 &&
	    bpf_get_prandom_u32() & 7) {
		masq_stat(MASQ_S_EVENTS_LOST, 1);
		return 0;
	}
	e = bpf_ringbuf_reserve(&masq_events, sizeof(*e), 0);
	if (!e) {
		masq_stat(MASQ_S_EVENTS_LOST, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = now;
	e->type = type;
	e->family = FAM;
	e->proto = key->proto;
	e->reason = reason;
	e->ifindex = ifindex;
	FN(addr_copy)(e->in_addr, key->in_addr);
	FN(addr_copy)(e->rem_addr, key->rem_addr);
	e->in_port = key->in_port;
	e->rem_port = key->rem_port;
	if (flow) {
		e->kind = flow->kind;
		e->state = flow->state;
		e->prefix = flow->prefix;
		e->xlat_port = flow->xlat_port;
		FN(addr_copy)(e->xlat_addr, flow->xlat_addr);
		e->egress = flow->egress;
		e->ingress = flow->ingress;
		e->age = masq_now() - flow->created;
	}
	/* the listener comes by itself: to wake it would cost the packet */
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

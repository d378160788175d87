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

	if (!watched || !*watched)
		return 0;
	e = bpf_ringbuf_reserve(&masq_events, sizeof(*e), 0);
	if (!e) {
		masq_stat(MASQ_S_EVENTS_LOST, 1);
		return 0;
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
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
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * event.h - tells listeners (`masqbpf watch`) about flows and drops. Only the
 * slow path calls it; with nobody listening it is one array lookup. Included
 * once per family by family.h.
 */

#ifndef MASQ_EVENT_H
#define MASQ_EVENT_H

/*
 * Half full: one event in eight, so that what gets through still shows all of
 * a burst and not its beginning alone. The listener comes by itself: to wake
 * it would cost the packet.
 */
static __always_inline void masq_tell(struct masq_listener *listener,
				      void *ring, struct masq_event *event)
{
	/* one that was killed stops listening by itself */
	if (!listener->until ||
	    (__s32)(listener->until - (__u32)(event->time_ns / 1000000000)) < 0)
		return;
	if ((bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) >
		     MASQ_EVENT_BYTES / 2 &&
	     bpf_get_prandom_u32() & 7) ||
	    bpf_ringbuf_output(ring, event, sizeof(*event), BPF_RB_NO_WAKEUP))
		__sync_fetch_and_add(&listener->lost, 1);
}

#define MASQ_EVENT(type, reason, ifindex) \
	((type) | (reason) << 8 | (__u64)(ifindex) << 32)

/* Does anybody listen? */
static __always_inline bool masq_listened(void)
{
	struct masq_watch *watch;
	__u32 zero = 0;

	watch = bpf_map_lookup_elem(&masq_watch, &zero);
	return watch && (watch->listener[0].until | watch->listener[1].until |
			 watch->listener[2].until | watch->listener[3].until);
}

#endif

/*
 * The flow's record may be NULL; `back`: that of its other direction where there
 * is another one; what: MASQ_EVENT().
 */
MASQ_NOINLINE int FN(event)(const KEY *key, const FLOW *flow, const FLOW *back,
			    __u32 created, __u64 what)
{
	struct masq_event_draft *draft;
	struct masq_watch *watch;
	struct masq_event *e;
	__u32 zero = 0;

	watch = bpf_map_lookup_elem(&masq_watch, &zero);
	if (!watch || !masq_listened())
		return 0;
	draft = bpf_map_lookup_elem(&masq_event_draft, &zero);
	if (!draft)
		return 0;
	if (draft->busy) { /* a packet came in between, see maps.h */
		__sync_fetch_and_add(&watch->listener[0].lost, 1);
		__sync_fetch_and_add(&watch->listener[1].lost, 1);
		__sync_fetch_and_add(&watch->listener[2].lost, 1);
		__sync_fetch_and_add(&watch->listener[3].lost, 1);
		return 0;
	}
	draft->busy = 1;
	asm volatile("" : : : "memory"); /* before the rest */
	e = &draft->event;
	__builtin_memset(e, 0, sizeof(*e));
	e->time_ns = bpf_ktime_get_ns();
	e->type = (__u8)what;
	e->family = FAM;
	e->proto = key->proto;
	e->reason = what >> 8 & 0xff;
	e->ifindex = what >> 32;
	FN(addr_copy)(e->in_addr, key->in_addr);
	FN(addr_copy)(e->rem_addr, key->rem_addr);
	e->in_port = key->in_port;
	e->rem_port = key->rem_port;
	if (flow) {
		e->kind = flow->what >> MASQ_W_KIND;
		e->state = masq_flow_state(key->proto, flow->out_seen,
					   flow->in_seen);
		e->prefix = flow->prefix;
		e->age = masq_now() - created;
		e->idle = masq_now() - flow->last_seen;
		if (back && masq_now() - back->last_seen < e->idle)
			e->idle = masq_now() - back->last_seen;
		e->egress = masq_tally_read(&flow->tally);
		if (e->kind == MASQ_K_FWD) {
			e->xlat_port = flow->xlat_port;
			FN(addr_copy)(e->xlat_addr, flow->xlat_addr);
			if (back)
				e->ingress = masq_tally_read(&back->tally);
		} else if (e->kind == MASQ_K_KEEP ||
			   e->kind == MASQ_K_INBOUND) {
			e->ingress = masq_tally_read(&flow->back);
		}
	}
	_Static_assert(MASQ_LISTENERS == 4, "a line for each");
	masq_tell(&watch->listener[0], &masq_events0, e);
	masq_tell(&watch->listener[1], &masq_events1, e);
	masq_tell(&watch->listener[2], &masq_events2, e);
	masq_tell(&watch->listener[3], &masq_events3, e);
	draft->busy = 0;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * seed.c - conntrack entries as flow records.
 *
 * An entry is looked at as the uplink sees its packets, and it may go through
 * there twice, as a request and as an answer that was turned around on the
 * node (a NodePort whose backend is elsewhere). Both views are keys: inside
 * and far side. Outside is where the route to the far side leaves by this
 * uplink and the one to the inside does not.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>
#include "base/log.h"
#include "base/progress.h"
#include "kernel/caps.h"
#include "kernel/conntrack.h"
#include "kernel/netdev.h"
#include "plane/ctl.h"
#include "plane/seed.h"

#define STOP_EACH  8

#define LOOPBACK   1 /* ifindex of lo, which all local addresses route to */

#define ICMP_ECHO4 8
#define ICMP_ECHO6 128

struct place {
	struct addr addr; /* family 0: free */
	uint32_t ifindex; /* 0: no route */
};

struct seed {
	struct instance *instance;
	uint32_t ifindex;
	enum seed_keep keep;
	struct progress progress;
	struct place *places; /* hash table, a power of two */
	size_t room, used;
	unsigned long made[MASQ_K_RESERVED + 1];
	unsigned long no_room;
	unsigned long seen;
	bool (*stop)(void *data); /* asked every STOP_EACH entries; NULL */
	void *stop_data;
};

/* --- where an address is ----------------------------------------------- */

static size_t hash(const struct addr *addr)
{
	uint64_t h = addr->family;

	for (int i = 0; i < 4; i++)
		h = (h ^ addr->a[i]) * 0x9e3779b97f4a7c15ULL;
	return h >> 32;
}

/* Where it is in the table, or would be. */
static struct place *find_place(const struct seed *s, const struct addr *addr)
{
	size_t i = hash(addr) & (s->room - 1);

	while (s->places[i].addr.family &&
	       !addr_equal(&s->places[i].addr, addr))
		i = (i + 1) & (s->room - 1);
	return &s->places[i];
}

static int make_places(struct seed *s)
{
	struct place *old = s->places;
	size_t count = s->room;

	if (2 * (s->used + 1) <= s->room)
		return 0;
	s->room = count ? 2 * count : 1024;
	s->places = calloc(s->room, sizeof(*s->places));
	if (!s->places) {
		s->places = old;
		s->room = count;
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		if (old[i].addr.family)
			*find_place(s, &old[i].addr) = old[i];
	free(old);
	return 0;
}

/* Who could not ask has no answer; the kernel's own are many. */
static bool is_refusal(int err)
{
	return err == -ENOMEM || err == -ENOBUFS || err == -EMFILE ||
	       err == -ENFILE || err == -EPERM || err == -EAGAIN ||
	       err == -EINTR || err == -EIO || err == -EPROTONOSUPPORT;
}

/* The interface towards this address; each address is asked for once. */
static int place(struct seed *s, const struct addr *addr, uint32_t *ifindex)
{
	struct place *p;
	int err = make_places(s);

	if (err)
		return err;
	p = find_place(s, addr);
	if (!p->addr.family) {
		err = netdev_route_to(addr, &p->ifindex);
		if (is_refusal(err))
			return err;
		p->addr = *addr;
		s->used++;
		if (err)
			p->ifindex = 0;
	}
	*ifindex = p->ifindex;
	return 0;
}

/* `each` steps `progress`, which says how far it is. */
static int walk(struct progress *progress, const char *what,
		int (*each)(void *data, const struct conntrack *ct), void *data)
{
	int err;

	progress_begin(progress, what, "entries seen", conntrack_count());
	err = conntrack_walk(each, data);
	progress_end(progress);
	return err;
}

/* --- records ----------------------------------------------------------- */

static uint8_t state_of(const struct conntrack *ct)
{
	if (ct->proto != IPPROTO_TCP)
		return ct->status & IPS_SEEN_REPLY ? MASQ_ST_ESTABLISHED
						   : MASQ_ST_NEW;
	switch (ct->tcp_state) {
	case TCP_CONNTRACK_ESTABLISHED:
	case TCP_CONNTRACK_FIN_WAIT: /* half closed: still in use */
	case TCP_CONNTRACK_CLOSE_WAIT:
		return MASQ_ST_ESTABLISHED;
	case TCP_CONNTRACK_LAST_ACK:
	case TCP_CONNTRACK_TIME_WAIT:
	case TCP_CONNTRACK_CLOSE:
		return MASQ_ST_CLOSED;
	default:
		return MASQ_ST_NEW;
	}
}

static bool has_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == IPPROTO_UDPLITE || proto == IPPROTO_SCTP ||
	       proto == IPPROTO_DCCP;
}

/* The key of a flow: our side and the far side. False: of no kind we know. */
static bool make_key(const struct conntrack *ct, bool from_outside,
		     struct masq_ctl *ctl)
{
	const struct conntrack_tuple *tuple = from_outside ? &ct->orig
							   : &ct->reply;

	/* both views come in: an original from outside, an answer from there */
	ctl->family = tuple->dst.family;
	ctl->proto = ct->proto;
	memcpy(ctl->in_addr, tuple->dst.a, sizeof(ctl->in_addr));
	memcpy(ctl->rem_addr, tuple->src.a, sizeof(ctl->rem_addr));
	if (has_ports(ct->proto)) {
		ctl->in_port = tuple->dport;
		ctl->rem_port = tuple->sport;
	} else if (ct->proto == IPPROTO_ICMP || ct->proto == IPPROTO_ICMPV6) {
		if (ct->icmp_type != ICMP_ECHO4 && ct->icmp_type != ICMP_ECHO6)
			return false;
		ctl->in_port = tuple->dport;
		ctl->role = from_outside ? MASQ_ROLE_QUERY : MASQ_ROLE_FLOW;
	}
	return true;
}

#define NO_ACTION -1

/* What the policy says of a flow that a pod opened, or NO_ACTION. 0, -errno. */
static int action_of(struct instance *instance, uint32_t ifindex,
		     struct masq_ctl *ctl, int *action)
{
	struct masq_ctl ask = *ctl;
	int err;

	ask.op = MASQ_CTL_EXPLAIN;
	ask.ifindex = ifindex;
	*action = NO_ACTION;
	err = instance_ctl(instance, &ask);
	if (err) /* its own answer is that it is no packet of a pod */
		return err == ask.error ? 0 : err;
	if (ask.reason != MASQ_R_NONE && ask.reason != MASQ_R_NO_ADDRESS)
		return 0;
	ctl->prefix = ask.prefix;
	*action = ask.action;
	return 0;
}

/*
 * Is it to be recorded? What goes out with the pod's address and is never
 * answered is no flow whose treatment works: it begins anew, as a hanging
 * connection does when the policy changes.
 */
static int is_kept(const struct seed *s, const struct conntrack *ct,
		   struct masq_ctl *ctl, bool *kept)
{
	int action, err = action_of(s->instance, s->ifindex, ctl, &action);

	*kept = action == MASQ_KEEP ||
		(action == MASQ_MASQUERADE && s->keep == SEED_KEEP_ALL &&
		 ct->status & IPS_SEEN_REPLY);
	return err;
}

static int seed_view(struct seed *s, const struct conntrack *ct,
		     bool from_outside)
{
	const struct conntrack_tuple *tuple = from_outside ? &ct->orig
							   : &ct->reply;
	struct masq_ctl ctl = { .prefix = MASQ_NO_PREFIX };
	uint32_t inside, outside;
	bool kept;
	int err;

	err = place(s, &tuple->src, &outside) ?: place(s, &tuple->dst, &inside);
	if (err)
		return err;
	if (outside != s->ifindex || inside == outside || !inside ||
	    !make_key(ct, from_outside, &ctl))
		return 0;

	if (inside == LOOPBACK) {
		/* its own sockets are looked up when a port is searched */
		if (!(from_outside ? conntrack_has_dnat(ct)
				   : conntrack_has_snat(ct)))
			return 0;
		ctl.kind = MASQ_K_RESERVED;
	} else if (from_outside) {
		ctl.kind = MASQ_K_INBOUND;
	} else {
		ctl.kind = MASQ_K_KEEP;
		err = is_kept(s, ct, &ctl, &kept);
		if (err || !kept)
			return err;
	}
	ctl.op = MASQ_CTL_SEED;
	ctl.state = state_of(ct);
	ctl.timeout =
		ns_to_ticks(s->instance, ct->timeout * UINT64_C(1000000000));
	err = instance_ctl(s->instance, &ctl);
	if (!err)
		s->made[ctl.kind]++;
	if (err == -ENOSPC)
		s->no_room++;
	return err == -EEXIST || err == -EBUSY || err == -ENOSPC ? 0 : err;
}

static int seed_entry(void *data, const struct conntrack *ct)
{
	struct seed *s = data;

	progress_step(&s->progress);
	if (s->stop && !(++s->seen % STOP_EACH) && s->stop(s->stop_data))
		return -ECANCELED;
	if (ct->status & IPS_DYING || !ct->timeout)
		return 0;
	return seed_view(s, ct, true) ?: seed_view(s, ct, false);
}

/* --- at the end -------------------------------------------------------- */

struct forgotten {
	struct seed places;
	const uint32_t *ifindexes;
	size_t ifindex_count;
	struct conntrack *list;
	size_t count, room;
};

/* The live record with this key: enum masq_kind; 0: there is none. */
static int kind_at(struct instance *instance, const struct masq_ctl *ctl)
{
	struct masq_ctl find = *ctl;

	find.op = MASQ_CTL_FIND;
	return instance_ctl(instance, &find) ? 0 : find.kind;
}

static bool among(uint32_t ifindex, const uint32_t *ifindexes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (ifindexes[i] == ifindex)
			return true;
	return false;
}

/* A flow that we translate, or did until its record was gone. */
static bool is_ours(struct instance *instance, uint32_t ifindex,
		    const struct conntrack *ct)
{
	struct masq_ctl ctl = {};
	int action;

	if (!make_key(ct, false, &ctl))
		return false;
	switch (kind_at(instance, &ctl)) {
	case MASQ_K_FWD:
		return true;
	case 0:
		return !action_of(instance, ifindex, &ctl, &action) &&
		       action == MASQ_MASQUERADE;
	default:
		return false;
	}
}

static int note_ours(void *data, const struct conntrack *ct)
{
	struct forgotten *f = data;
	uint32_t pod, outside;
	int err;

	progress_step(&f->places.progress);
	if (ct->status & IPS_DYING || conntrack_has_snat(ct))
		return 0;
	err = place(&f->places, &ct->reply.src, &outside)
		      ?: place(&f->places, &ct->reply.dst, &pod);
	if (err || !pod || pod == LOOPBACK ||
	    among(pod, f->ifindexes, f->ifindex_count) ||
	    !among(outside, f->ifindexes, f->ifindex_count) ||
	    !is_ours(f->places.instance, outside, ct))
		return err;
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 256;
		struct conntrack *grown =
			reallocarray(f->list, room, sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		f->list = grown;
		f->room = room;
	}
	f->list[f->count++] = *ct;
	return 0;
}

int seed_forget(struct instance *instance, const uint32_t *ifindexes,
		size_t count)
{
	struct forgotten f = { .places = { .instance = instance },
			       .ifindexes = ifindexes,
			       .ifindex_count = count };
	int err;

	if (!count)
		return 0;
	err = walk(&f.places.progress, "conntrack: looking for our flows",
		   note_ours, &f);
	if (!err)
		err = conntrack_delete(f.list, f.count);
	log_debug("conntrack: %zu flows that were translated here are deleted",
		  err ? 0 : f.count);
	free(f.list);
	free(f.places.places);
	return err == -ENOENT ? 0 : err;
}

/* --- what netfilter still does ----------------------------------------- */

struct translated {
	struct seed places;
	const uint32_t *ifindexes;
	size_t ifindex_count;
	long flows;
};

static int count_translated(void *data, const struct conntrack *ct)
{
	struct translated *t = data;
	uint32_t pod, outside, node;
	int err;

	progress_step(&t->places.progress);
	if (ct->status & IPS_DYING || !conntrack_has_snat(ct) ||
	    state_of(ct) == MASQ_ST_CLOSED)
		return 0;
	err = place(&t->places, &ct->orig.src, &pod) ?:
	      place(&t->places, &ct->reply.src, &outside) ?:
	      place(&t->places, &ct->reply.dst, &node);
	if (!err && node == LOOPBACK && pod != LOOPBACK &&
	    among(outside, t->ifindexes, t->ifindex_count) &&
	    !among(pod, t->ifindexes, t->ifindex_count))
		t->flows++;
	return err;
}

long seed_translated(const uint32_t *ifindexes, size_t count)
{
	struct translated t = { .ifindexes = ifindexes,
				.ifindex_count = count };
	int err;

	err = walk(&t.places.progress, "conntrack: counting", count_translated,
		   &t);
	free(t.places.places);
	return err == -ENOENT ? 0 : err ?: t.flows;
}

int seed_uplink(struct instance *instance, uint32_t ifindex,
		enum seed_keep keep, bool (*stop)(void *data), void *data)
{
	struct seed s = { .instance = instance,
			  .ifindex = ifindex,
			  .keep = keep,
			  .stop = stop,
			  .stop_data = data };
	int err;

	err = walk(&s.progress, "conntrack: taking over", seed_entry, &s);
	if (err == -ENOENT) {
		log_debug("conntrack: not in use: nothing to seed from");
		err = 0;
	} else if (err == -ECANCELED)
		log_info("conntrack: taking over ended after %lu entries: the "
			 "next attach makes it whole",
			 s.seen);
	else if (err)
		log_warn("conntrack: cannot take over all flows: %s: the next "
			 "attach tries again",
			 caps_strerror(err, CAPS_NET_ADMIN));
	else
		log_debug("conntrack: taken over: %lu kept, %lu inbound, "
			  "%lu translated by netfilter",
			  s.made[MASQ_K_KEEP], s.made[MASQ_K_INBOUND],
			  s.made[MASQ_K_RESERVED]);
	if (s.no_room)
		log_warn("conntrack: %lu flows not taken over: no room; raise "
			 "maxFlows",
			 s.no_room);
	free(s.places);
	return err;
}

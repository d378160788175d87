// SPDX-License-Identifier: GPL-2.0-only
/*
 * flows.c - walking the flow tables, which are mapped into our memory: no
 * system call a record. The dataplane goes on meanwhile, so a record is copied,
 * and taken for one when the slot was still its own afterwards.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include "base/prefix.h"
#include "plane/ctl.h"
#include "plane/flows.h"

/* --- one flow ---------------------------------------------------------- */

/* Has this tick come? Only the sign of a difference counts (masqbpf.h). */
static bool passed(uint32_t now, uint32_t tick)
{
	return (int32_t)(now - tick) >= 0;
}

/* Ticks from then to now; 0 for what a packet wrote after `now` was read. */
static uint32_t elapsed(uint32_t now, uint32_t then)
{
	return passed(now, then) ? now - then : 0;
}

/*
 * Ticks until a flow may expire when no packet comes. The dataplane gives each
 * a sixty-fourth and a tick more (masq_lasting in bpf/common.h), which is left
 * out: never more than the timeout that the config has.
 */
static uint32_t remaining(uint32_t now, uint32_t last_seen, uint32_t expires)
{
	uint32_t margin = (expires - last_seen + 64) / 65;

	return passed(now, expires - margin) ? 0 : expires - margin - now;
}

int flow_end(struct instance *instance, const struct flow *flow)
{
	struct masq_ctl request = { .op = MASQ_CTL_DELETE,
				    .family = flow->in.family,
				    .proto = flow->proto,
				    .role = flow->role,
				    .in_port = htons(flow->in_port),
				    .rem_port = htons(flow->rem_port) };

	memcpy(request.in_addr, flow->in.a, sizeof(request.in_addr));
	memcpy(request.rem_addr, flow->rem.a, sizeof(request.rem_addr));
	return instance_ctl(instance, &request);
}

/* --- filters ----------------------------------------------------------- */

static bool covers_addr(const struct cidr *cidr, const struct addr *addr)
{
	struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };

	return !cidr->addr.family || cidr_covers(cidr, &host);
}

bool flow_matches(const struct instance *instance,
		  const struct flow_filter *filter, const struct flow *flow)
{
	struct flow_tuple orig = flow_orig(flow);
	struct cidr cidr;

	if (filter->kind && filter->kind != flow->kind)
		return false;
	if (filter->proto && filter->proto - 1 != flow->proto &&
	    !(filter->proto - 1 == IPPROTO_ICMP && proto_is_icmp(flow->proto)))
		return false;
	if (filter->port && filter->port != orig.dport)
		return false;
	if (filter->node_port &&
	    (flow->kind != MASQ_K_FWD || filter->node_port != flow->xlat_port))
		return false;
	if (filter->state && filter->state - 1 != flow->state)
		return false;
	if (flow->replied ? filter->unreplied : filter->replied)
		return false;
	if (!covers_addr(&filter->pod, &flow->in) &&
	    !(filter->pod_too.addr.family &&
	      covers_addr(&filter->pod_too, &flow->in)))
		return false;
	if (!covers_addr(&filter->dest, orig.dst))
		return false;
	if (!filter->prefix.addr.family)
		return true;
	if (flow->prefix >= instance->meta.max_prefixes)
		return false;
	cidr = prefix_cidr(&instance->prefixes[flow->prefix]);
	return !cidr_cmp(&filter->prefix, &cidr);
}

/* --- the tables -------------------------------------------------------- */

/* The word that says whose a slot is, see struct masq_flow4. */
typedef uint64_t __attribute__((may_alias)) word_t;

/* So often a record may change under a reader before it is passed over. */
#define TRIES 3

/* One family's; pages and aside are maps of `count` entries. */
struct table {
	int family;
	uint32_t count;
	size_t page_size; /* of a struct masq_page4 or masq_page6 */
	const void *pages;
	const struct masq_aside_page *aside;
};

static size_t map_size(size_t entries, size_t entry)
{
	size_t page = sysconf(_SC_PAGESIZE);

	return (entries * entry + page - 1) / page * page;
}

static int map_entries(int fd, size_t entries, size_t entry, const void **out)
{
	void *at = mmap(NULL, map_size(entries, entry), PROT_READ, MAP_SHARED,
			fd, 0);

	if (at == MAP_FAILED)
		return -errno;
	*out = at;
	return 0;
}

static void table_close(struct table *t)
{
	if (t->pages)
		munmap((void *)t->pages, map_size(t->count, t->page_size));
	if (t->aside)
		munmap((void *)t->aside, map_size(t->count, sizeof(*t->aside)));
	*t = (struct table){};
}

static int table_open(struct table *t, const struct instance *instance,
		      int family)
{
	bool ipv4 = family == 4;
	const int *map = instance->map;
	const void *aside;
	int err;

	*t = (struct table){
		.family = family,
		.count = masq_shape_pages(instance->meta.shape[!ipv4]),
		.page_size = ipv4 ? sizeof(struct masq_page4)
				  : sizeof(struct masq_page6),
	};
	err = map_entries(map[ipv4 ? MAP_masq_flows4 : MAP_masq_flows6],
			  t->count, t->page_size, &t->pages);
	err = err
		      ?: map_entries(
				 map[ipv4 ? MAP_masq_aside4 : MAP_masq_aside6],
				 t->count, sizeof(*t->aside), &aside);
	if (err)
		table_close(t);
	else
		t->aside = aside;
	return err;
}

static const struct masq_label *label_of(const struct table *t, uint32_t page)
{
	return (const void *)((const char *)t->pages + t->page_size * page);
}

/* What stands in a slot, of either family, as it was at one moment. */
struct record {
	uint8_t kind, role, proto;
	uint8_t out_seen, in_seen;
	uint16_t seq, in_port, rem_port, xlat_port; /* ports: network order */
	uint16_t fast; /* FWD, REV, EIM */
	uint32_t last_seen, expires, prefix, device;
	uint32_t in[4], rem[4], xlat[4];
	struct masq_tally tally, back;
	struct masq_aside aside;
};

/* The families' records differ in the number of address words alone. */
#define DEFINE_READ(FAM, WORDS)                                                \
	static bool read##FAM(const struct table *t, uint32_t slot,            \
			      bool aside, struct record *out)                  \
	{                                                                      \
		const struct masq_page##FAM *page =                            \
			(const void *)label_of(t, slot >> MASQ_PAGE_SHIFT);    \
		uint32_t at = slot & (MASQ_PAGE_SLOTS - 1);                    \
		const struct masq_flow##FAM *f = &page->slot[at];              \
		const word_t *word = (const word_t *)&f->in_port;              \
		struct masq_flow##FAM copy;                                    \
		uint64_t before, after;                                        \
		int tries = 0;                                                 \
                                                                               \
		do {                                                           \
			before = __atomic_load_n(word, __ATOMIC_ACQUIRE);      \
			copy = *f;                                             \
			if (aside)                                             \
				out->aside = t->aside[slot >> MASQ_PAGE_SHIFT] \
						     .slot[at];                \
			__atomic_thread_fence(__ATOMIC_ACQUIRE);               \
			after = __atomic_load_n(word, __ATOMIC_RELAXED);       \
		} while (before != after && ++tries < TRIES);                  \
		if (before != after || !(copy.what & MASQ_W_LIVE))             \
			return false;                                          \
		out->kind = copy.what >> MASQ_W_KIND;                          \
		out->role = copy.what & MASQ_W_ROLE;                           \
		out->proto = copy.proto;                                       \
		out->out_seen = copy.out_seen;                                 \
		out->in_seen = copy.in_seen;                                   \
		out->seq = copy.seq;                                           \
		out->in_port = copy.in_port;                                   \
		out->rem_port = copy.rem_port;                                 \
		out->xlat_port = copy.xlat_port;                               \
		out->fast = copy.fast;                                         \
		out->last_seen = copy.last_seen;                               \
		out->expires = copy.expires;                                   \
		out->prefix = copy.prefix;                                     \
		out->device = copy.pod_device;                                 \
		for (int i = 0; i < 4; i++) {                                  \
			out->in[i] = i < WORDS ? copy.in_addr[i] : 0;          \
			out->rem[i] = i < WORDS ? copy.rem_addr[i] : 0;        \
			out->xlat[i] = i < WORDS ? copy.xlat_addr[i] : 0;      \
		}                                                              \
		out->tally = copy.tally;                                       \
		out->back = copy.back;                                         \
		return true;                                                   \
	}
DEFINE_READ(4, 1)
DEFINE_READ(6, 4)

/* The published record of a slot; false: none, or none for long. What lies
 * aside is another line of memory, and read only if asked for. */
static bool read_record(const struct table *t, uint32_t slot, bool aside,
			struct record *out)
{
	return t->family == 4 ? read4(t, slot, aside, out)
			      : read6(t, slot, aside, out);
}

/*
 * Begins to fetch a record from memory. A load and not a prefetch, which
 * processors leave out when they have not got the page's address at hand: half
 * of the whole walk's time.
 */
static void touch_record(const struct table *t, uint32_t slot)
{
	size_t size = t->family == 4 ? sizeof(struct masq_flow4)
				     : sizeof(struct masq_flow6);
	const volatile char *at;

	if (slot >> MASQ_PAGE_SHIFT >= t->count)
		return;
	at = (const char *)label_of(t, slot >> MASQ_PAGE_SHIFT) +
	     sizeof(struct masq_label) + size * (slot & (MASQ_PAGE_SLOTS - 1));
	(void)at[0];
	(void)at[size - 1];
}

/* The other record of a masqueraded flow; false: it came or went just now. */
static bool read_peer(const struct table *t, const struct masq_aside *aside,
		      struct record *out)
{
	return aside->peer >> MASQ_PAGE_SHIFT < t->count &&
	       read_record(t, aside->peer, false, out) &&
	       out->seq == aside->peer_seq && out->kind == MASQ_K_REV;
}

/* --- all flows --------------------------------------------------------- */

static struct masq_count count_of(const struct masq_tally *t)
{
	uint64_t high = t->high;

	return (struct masq_count){
		.packets = t->packets | high >> MASQ_TALLY_BYTES_BITS << 32,
		.bytes = t->bytes | (high & ((1 << MASQ_TALLY_BYTES_BITS) - 1))
					    << 32,
	};
}

/* A flow by its owner's record; the rest is add_peer's. */
static void make_flow(int family, uint32_t now, const struct record *r,
		      struct flow *flow)
{
	bool fwd = r->kind == MASQ_K_FWD;

	*flow = (struct flow){
		.proto = r->proto,
		.role = r->role,
		.kind = r->kind,
		.state = masq_flow_state(r->proto, r->out_seen, r->in_seen),
		.replied = r->kind == MASQ_K_INBOUND ? r->out_seen : r->in_seen,
		.in.family = family,
		.rem.family = family,
		.in_port = ntohs(r->in_port),
		.rem_port = ntohs(r->rem_port),
		.prefix = r->prefix,
		.age = elapsed(now, r->aside.created),
		.idle = elapsed(now, r->last_seen),
		.left = remaining(now, r->last_seen, r->expires),
		.generation = r->aside.generation,
		.answer_idle = UINT32_MAX,
		.device = r->device,
		.egress = count_of(&r->tally),
	};
	memcpy(flow->in.a, r->in, sizeof(r->in));
	memcpy(flow->rem.a, r->rem, sizeof(r->rem));
	if (!fwd) {
		flow->ingress = count_of(&r->back);
		return;
	}
	flow->xlat.family = family;
	memcpy(flow->xlat.a, r->xlat, sizeof(r->xlat));
	flow->xlat_port = ntohs(r->xlat_port);
	flow->asks = r->fast && !MASQ_FAST_SLOT(r->fast) &&
		     flow->idle < MASQ_FAST_MAX;
}

struct walk {
	struct instance *instance;
	const struct flow_filter *filter;
	bool whole; /* all of a flow, not its owner's record alone */
	uint32_t now;
	flow_fn fn;
	void *data;
};

/* An owner's record that is wanted, and the flow that it makes. */
struct found {
	struct flow flow;
	struct masq_aside aside;
	uint32_t expires;
};

static bool find_flow(const struct walk *walk, const struct table *t,
		      uint32_t slot, struct found *out)
{
	struct record r = { .aside.created = walk->now };

	if (!read_record(t, slot, walk->whole, &r) ||
	    (r.kind != MASQ_K_FWD && r.kind != MASQ_K_KEEP &&
	     r.kind != MASQ_K_INBOUND) ||
	    passed(walk->now, r.expires))
		return false;
	make_flow(t->family, walk->now, &r, &out->flow);
	out->aside = r.aside;
	out->expires = r.expires;
	return flow_matches(walk->instance, walk->filter, &out->flow);
}

/* What the packets from outside have left in the record of theirs. */
static void add_peer(const struct walk *walk, const struct table *t,
		     struct found *found)
{
	struct flow *flow = &found->flow;
	struct record peer;
	uint32_t idle;

	if (flow->kind != MASQ_K_FWD || !read_peer(t, &found->aside, &peer))
		return;
	flow->ingress = count_of(&peer.tally);
	idle = elapsed(walk->now, peer.last_seen);
	if (flow->replied)
		flow->answer_idle = idle;
	if (idle >= flow->idle)
		return;
	flow->idle = idle;
	flow->left = remaining(walk->now, peer.last_seen, found->expires);
}

/*
 * A page at a time: first its own records, which lie side by side, then those
 * of the other direction, which lie anywhere and are on their way by then.
 */
static int walk_page(const struct walk *walk, const struct table *t,
		     uint32_t page)
{
	uint64_t used =
		__atomic_load_n(&label_of(t, page)->used, __ATOMIC_RELAXED);
	struct found found[MASQ_PAGE_SLOTS];
	unsigned int count = 0;
	int err = 0;

	for (; used; used &= used - 1)
		count += find_flow(walk, t,
				   page << MASQ_PAGE_SHIFT |
					   __builtin_ctzll(used),
				   &found[count]);
	/* one after the other, and all of them under way at once */
	for (unsigned int i = 0; i < count && walk->whole; i++)
		if (found[i].flow.kind == MASQ_K_FWD)
			touch_record(t, found[i].aside.peer);
	for (unsigned int i = 0; i < count && !err; i++) {
		if (walk->whole)
			add_peer(walk, t, &found[i]);
		err = walk->fn(walk->data, &found[i].flow);
	}
	return err;
}

static int walk_family(const struct walk *walk, int family)
{
	struct table t;
	int err = table_open(&t, walk->instance, family);

	if (err)
		return err;
	for (uint32_t page = 0; page < t.count && !err; page++)
		err = walk_page(walk, &t, page);
	table_close(&t);
	return err;
}

static int walk_all(struct walk *walk)
{
	walk->now = instance_now(walk->instance);
	return walk_family(walk, 4) ?: walk_family(walk, 6);
}

int flows_walk(struct instance *instance, const struct flow_filter *filter,
	       flow_fn fn, void *data)
{
	struct walk walk = { .instance = instance,
			     .filter = filter,
			     .whole = true,
			     .fn = fn,
			     .data = data };

	return walk_all(&walk);
}

int flows_walk_owners(struct instance *instance, flow_fn fn, void *data)
{
	static const struct flow_filter all;
	struct walk walk = {
		.instance = instance, .filter = &all, .fn = fn, .data = data
	};

	return walk_all(&walk);
}

int flows_walk_part(struct instance *instance, uint32_t *page, uint32_t pages,
		    flow_fn fn, void *data)
{
	static const struct flow_filter all;
	struct walk walk = {
		.instance = instance, .filter = &all, .fn = fn, .data = data
	};
	uint32_t first = 0; /* of the family's pages */
	int err = 0;

	walk.now = instance_now(instance);
	for (int family = 4; family <= 6 && pages && !err; family += 2) {
		struct table t;

		err = table_open(&t, instance, family);
		for (; !err && pages && *page - first < t.count; pages--)
			err = walk_page(&walk, &t, (*page)++ - first);
		first += t.count;
		table_close(&t);
	}
	if (pages)
		*page = 0;
	return err;
}

struct prefixes {
	uint32_t *live, max;
};

static int count_prefix(void *data, const struct flow *flow)
{
	const struct prefixes *prefixes = data;

	if (flow->prefix < prefixes->max)
		prefixes->live[flow->prefix]++;
	return 0;
}

int flows_count_prefixes(struct instance *instance, uint32_t *live)
{
	struct prefixes prefixes = { live, instance->meta.max_prefixes };

	return flows_walk_owners(instance, count_prefix, &prefixes);
}

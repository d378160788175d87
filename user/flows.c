// SPDX-License-Identifier: GPL-2.0-only
/*
 * flows.c - walking the flow maps. Records are read in batches; the first half
 * of a masqueraded flow that is met waits in a hash table for the other. A
 * lookup for each would cost more than all the rest of the walk.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "flows.h"
#include "out.h"
#include "prefix.h"

/* Records of one system call; more only when one bucket holds more. */
#define BATCH 4096

/* --- names ------------------------------------------------------------- */

struct name {
	uint8_t number;
	const char *name;
};

static const struct name protocols[] = {
	{ IPPROTO_TCP, "tcp" },
	{ IPPROTO_UDP, "udp" },
	{ IPPROTO_ICMP, "icmp" },
	{ IPPROTO_ICMPV6, "icmpv6" },
	{ IPPROTO_SCTP, "sctp" },
	{ IPPROTO_UDPLITE, "udplite" },
	{ IPPROTO_DCCP, "dccp" },
	{ IPPROTO_GRE, "gre" },
	{ IPPROTO_ESP, "esp" },
	{ IPPROTO_AH, "ah" },
	{},
};

static const struct name states[] = {
	{ MASQ_ST_NEW, "new" },
	{ MASQ_ST_ESTABLISHED, "established" },
	{ MASQ_ST_CLOSING, "closing" },
	{ MASQ_ST_CLOSED, "closed" },
	{},
};

static const struct name actions[] = {
	{ MASQ_K_FWD, "masquerade" },
	{ MASQ_K_KEEP, "keep" },
	{ MASQ_K_INBOUND, "inbound" },
	{},
};

static const char *name_of(const struct name *names, uint8_t number)
{
	while (names->name && names->number != number)
		names++;
	return names->name;
}

static int parse_name(const struct name *names, const char *text, uint8_t *out)
{
	for (; names->name; names++) {
		if (!strcmp(names->name, text)) {
			*out = names->number;
			return 0;
		}
	}
	return -EINVAL;
}

const char *flow_action(const struct flow *flow)
{
	return name_of(actions, flow->kind) ?: "unknown";
}

const char *flow_state(const struct flow *flow)
{
	return name_of(states, flow->state) ?: "unknown";
}

int flow_action_parse(const char *text, uint8_t *kind)
{
	return parse_name(actions, text, kind);
}

int flow_state_parse(const char *text, uint8_t *state)
{
	return parse_name(states, text, state);
}

const char *proto_name(uint8_t proto, char *buf, size_t len)
{
	const char *name = name_of(protocols, proto);

	if (!name)
		snprintf(buf, len, "%u", proto);
	return name ?: buf;
}

int proto_parse(const char *text, uint8_t *proto)
{
	uint64_t number;

	if (!parse_name(protocols, text, proto))
		return 0;
	if (number_parse(text, 0, 255, &number, NULL, 0))
		return -EINVAL;
	*proto = number;
	return 0;
}

/* --- one flow ---------------------------------------------------------- */

static bool is_icmp(uint8_t proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

struct flow_tuple flow_orig(const struct flow *flow)
{
	if (flow->kind != MASQ_K_INBOUND)
		return (struct flow_tuple){ &flow->in, &flow->rem,
					    flow->in_port, flow->rem_port };
	if (is_icmp(flow->proto))
		return (struct flow_tuple){ &flow->rem, &flow->in,
					    flow->in_port, 0 };
	return (struct flow_tuple){ &flow->rem, &flow->in, flow->rem_port,
				    flow->in_port };
}

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
 * a sixty-fourth and a tick more (flow_expiry in bpf/flow.h), which is left
 * out: never more than the timeout that the config has.
 */
static uint32_t remaining(uint32_t now, uint32_t last_seen, uint32_t expires)
{
	uint32_t margin = (expires - last_seen + 64) / 65;

	return passed(now, expires - margin) ? 0 : expires - margin - now;
}

/*
 * A record as a struct flow. The halves of a masqueraded flow give the same
 * tuple: each one's xlat is the other's inside address and port. The families'
 * records differ only in the number of address words, so one text serves both.
 */
#define DEFINE_READ_FLOW(FAM, WORDS)                                           \
	static void read_flow##FAM(const struct masq_key##FAM *key,            \
				   const struct masq_flow##FAM *record,        \
				   uint32_t now, struct flow *flow)            \
	{                                                                      \
		bool rev = record->kind == MASQ_K_REV;                         \
                                                                               \
		*flow = (struct flow){                                         \
			.proto = key->proto,                                   \
			.role = key->role,                                     \
			.kind = rev ? MASQ_K_FWD : record->kind,               \
			.state = record->state,                                \
			.replied = record->kind == MASQ_K_INBOUND              \
					   ? record->out_seen                  \
					   : record->in_seen,                  \
			.in.family = FAM,                                      \
			.rem.family = FAM,                                     \
			.in_port =                                             \
				ntohs(rev ? record->xlat_port : key->in_port), \
			.rem_port = ntohs(key->rem_port),                      \
			.prefix = record->prefix,                              \
			.egress = rev ? (struct masq_count){}                  \
				      : record->egress,                        \
			.ingress = record->kind == MASQ_K_FWD                  \
					   ? (struct masq_count){}             \
					   : record->ingress,                  \
			.age = elapsed(now, record->created),                  \
			.idle = elapsed(now, record->last_seen),               \
			.left = remaining(now, record->last_seen,              \
					  record->expires),                    \
		};                                                             \
		memcpy(flow->in.a, rev ? record->xlat_addr : key->in_addr,     \
		       4 * WORDS);                                             \
		memcpy(flow->rem.a, key->rem_addr, 4 * WORDS);                 \
		if (flow->kind != MASQ_K_FWD)                                  \
			return;                                                \
		flow->xlat.family = FAM;                                       \
		memcpy(flow->xlat.a, rev ? key->in_addr : record->xlat_addr,   \
		       4 * WORDS);                                             \
		flow->xlat_port =                                              \
			ntohs(rev ? key->in_port : record->xlat_port);         \
	}
DEFINE_READ_FLOW(4, 1)
DEFINE_READ_FLOW(6, 4)

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

/* --- all flows --------------------------------------------------------- */

static bool covers_addr(const struct cidr *cidr, const struct addr *addr)
{
	struct cidr host = { *addr, addr->family == 4 ? 32 : 128 };

	return !cidr->addr.family || cidr_covers(cidr, &host);
}

/* What both halves of a flow know. */
static bool tuple_matches(const struct flow_filter *filter,
			  const struct flow *flow)
{
	struct flow_tuple orig = flow_orig(flow);

	if (filter->kind && filter->kind != flow->kind)
		return false;
	if (filter->proto && filter->proto - 1 != flow->proto &&
	    !(filter->proto - 1 == IPPROTO_ICMP && is_icmp(flow->proto)))
		return false;
	if (filter->port && filter->port != orig.dport)
		return false;
	if (filter->node_port &&
	    (flow->kind != MASQ_K_FWD || filter->node_port != flow->xlat_port))
		return false;
	return covers_addr(&filter->pod, &flow->in) &&
	       covers_addr(&filter->dest, orig.dst);
}

/* What its owner decides. */
static bool owner_matches(const struct instance *instance,
			  const struct flow_filter *filter,
			  const struct flow *flow)
{
	struct cidr cidr;

	if (filter->state && filter->state - 1 != flow->state)
		return false;
	if (filter->unreplied && flow->replied)
		return false;
	if (!filter->prefix.addr.family)
		return true;
	if (flow->prefix >= instance->meta.max_prefixes)
		return false;
	cidr = prefix_cidr(&instance->prefixes[flow->prefix]);
	return !cidr_cmp(&filter->prefix, &cidr);
}

bool flow_matches(const struct instance *instance,
		  const struct flow_filter *filter, const struct flow *flow)
{
	return tuple_matches(filter, flow) &&
	       owner_matches(instance, filter, flow);
}

/* --- halves that wait for each other ----------------------------------- */

struct half {
	uint32_t hash;
	uint32_t next; /* of its bucket or of the free ones: number + 1 */
	bool owner; /* FWD; else REV */
	struct flow flow;
};

struct join {
	struct half *halves;
	uint32_t count, room, free;
	uint32_t *buckets;
	uint32_t mask;
};

static int join_start(struct join *join, uint32_t flows)
{
	uint32_t size = 64;

	while (size < flows)
		size *= 2;
	*join = (struct join){ .buckets = calloc(size, sizeof(uint32_t)),
			       .mask = size - 1 };
	return join->buckets ? 0 : -ENOMEM;
}

static void join_end(struct join *join)
{
	free(join->halves);
	free(join->buckets);
}

static uint32_t hash_flow(const struct flow *flow)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t h = (uint64_t)flow->in_port << 40 |
		     (uint64_t)flow->rem_port << 24 | flow->xlat_port << 8 |
		     flow->proto;

	for (int i = 0; i < 4; i++) {
		h = (h ^ flow->in.a[i] ^ (uint64_t)flow->rem.a[i] << 32) * odd;
		h ^= h >> 32;
	}
	return h;
}

static bool same_flow(const struct flow *a, const struct flow *b)
{
	return a->in_port == b->in_port && a->rem_port == b->rem_port &&
	       a->xlat_port == b->xlat_port && a->proto == b->proto &&
	       !memcmp(a->in.a, b->in.a, sizeof(a->in.a)) &&
	       !memcmp(a->rem.a, b->rem.a, sizeof(a->rem.a)) &&
	       !memcmp(a->xlat.a, b->xlat.a, sizeof(a->xlat.a));
}

static int join_wait(struct join *join, const struct flow *flow, uint32_t hash,
		     bool owner)
{
	uint32_t *bucket = &join->buckets[hash & join->mask];
	uint32_t at = join->free;

	if (at) {
		join->free = join->halves[at - 1].next;
	} else {
		if (join->count == join->room) {
			uint32_t room = join->room ? 2 * join->room : 256;
			void *grown = reallocarray(join->halves, room,
						   sizeof(*join->halves));

			if (!grown)
				return -ENOMEM;
			join->halves = grown;
			join->room = room;
		}
		at = ++join->count;
	}
	join->halves[at - 1] = (struct half){ hash, *bucket, owner, *flow };
	*bucket = at;
	return 0;
}

/*
 * Completes *flow with the half that waits for it: true. Else *flow waits:
 * false, or *err.
 */
static bool join_half(struct join *join, struct flow *flow, uint32_t hash,
		      bool owner, int *err)
{
	uint32_t *link = &join->buckets[hash & join->mask], at;

	for (; *link; link = &join->halves[*link - 1].next) {
		struct half *other = &join->halves[*link - 1];

		if (other->hash != hash || other->owner == owner ||
		    !same_flow(&other->flow, flow))
			continue;
		if (!owner) {
			struct flow rev = *flow;

			*flow = other->flow;
			other->flow = rev;
		}
		flow->ingress = other->flow.ingress;
		if (other->flow.idle < flow->idle)
			flow->idle = other->flow.idle;
		at = *link;
		*link = other->next;
		other->next = join->free;
		join->free = at;
		return true;
	}

	*err = join_wait(join, flow, hash, owner);
	return false;
}

/* --- all flows --------------------------------------------------------- */

/*
 * Records on their way into the join. Each touches a bucket and a half, both
 * somewhere in a large memory; so that one does not wait for the other's, some
 * are under way at once.
 */
#define UNDER_WAY 16
struct waiting {
	struct flow flow;
	uint32_t hash;
	bool owner;
};

struct walk {
	struct instance *instance;
	uint32_t now;
	/* called for each live owner and each REV; non-zero ends the walk */
	int (*each)(struct walk *walk, int family, const void *key,
		    const void *value);
	const struct flow_filter *filter;
	flow_fn fn;
	void *data;
	struct join join;
	struct waiting waiting[UNDER_WAY];
	unsigned int count;
};

static int walk_batch(struct walk *walk, int family, const char *keys,
		      const char *values, uint32_t count)
{
	bool ipv4 = family == 4;
	int err = 0;

	for (; count && !err; count--) {
		const struct masq_flow *head = (const void *)values;

		/* the times of a REV are copies: its owner's count */
		if (head->kind == MASQ_K_REV ||
		    ((head->kind == MASQ_K_FWD || head->kind == MASQ_K_KEEP ||
		      head->kind == MASQ_K_INBOUND) &&
		     !passed(walk->now, head->expires)))
			err = walk->each(walk, family, keys, values);
		keys += ipv4 ? sizeof(struct masq_key4)
			     : sizeof(struct masq_key6);
		values += ipv4 ? sizeof(struct masq_flow4)
			       : sizeof(struct masq_flow6);
	}
	return err;
}

static int walk_map(struct walk *walk, int family)
{
	int fd = walk->instance
			 ->map[family == 4 ? MAP_masq_flows4 : MAP_masq_flows6];
	uint32_t position, count, room = BATCH;
	struct masq_flow6 *values = NULL; /* the larger of each */
	struct masq_key6 *keys = NULL;
	bool first = true;
	int err = 0, end = 0;

	while (!err && end != ENOENT) {
		if (!keys) {
			keys = calloc(room, sizeof(*keys));
			values = calloc(room, sizeof(*values));
		}
		if (!keys || !values) {
			err = -ENOMEM;
			break;
		}
		count = room;
		end = bpf_map_lookup_batch(fd, first ? NULL : &position,
					   &position, keys, values, &count,
					   NULL)
			      ? errno
			      : 0;
		if (end == ENOSPC) {
			/* a bucket comes whole: more room for this one */
			free(keys);
			free(values);
			keys = NULL;
			room *= 2;
		} else if (end && end != ENOENT) {
			err = -end;
		} else {
			first = false;
			err = walk_batch(walk, family, (char *)keys,
					 (char *)values, count);
		}
	}
	free(keys);
	free(values);
	return err;
}

static int walk_all(struct walk *walk)
{
	walk->now = instance_now(walk->instance);
	return walk_map(walk, 4) ?: walk_map(walk, 6);
}

static int hand_over_waiting(struct walk *walk)
{
	unsigned int count = walk->count;
	struct join *join = &walk->join;
	int err = 0;

	for (unsigned int i = 0; i < count; i++) {
		uint32_t at = join->buckets[walk->waiting[i].hash & join->mask];

		if (at)
			__builtin_prefetch(&join->halves[at - 1]);
	}
	walk->count = 0;
	for (unsigned int i = 0; i < count && !err; i++) {
		struct waiting *w = &walk->waiting[i];

		if (join_half(join, &w->flow, w->hash, w->owner, &err))
			err = walk->fn(walk->data, &w->flow);
	}
	return err;
}

static int hand_over(struct walk *walk, int family, const void *key,
		     const void *value)
{
	bool owner = ((const struct masq_flow *)value)->kind != MASQ_K_REV;
	struct flow flow;
	uint32_t hash;

	if (family == 4)
		read_flow4(key, value, walk->now, &flow);
	else
		read_flow6(key, value, walk->now, &flow);
	if (!tuple_matches(walk->filter, &flow) ||
	    (owner && !owner_matches(walk->instance, walk->filter, &flow)))
		return 0;
	if (flow.kind != MASQ_K_FWD)
		return walk->fn(walk->data, &flow);
	hash = hash_flow(&flow);
	__builtin_prefetch(&walk->join.buckets[hash & walk->join.mask]);
	walk->waiting[walk->count++] = (struct waiting){ flow, hash, owner };
	return walk->count == UNDER_WAY ? hand_over_waiting(walk) : 0;
}

/* Owners whose REV record was not met: it came or went during the walk. */
static int hand_over_rest(struct walk *walk)
{
	int err = 0;

	for (uint32_t i = 0; i <= walk->join.mask && !err; i++) {
		uint32_t at = walk->join.buckets[i];

		for (; at && !err; at = walk->join.halves[at - 1].next)
			if (walk->join.halves[at - 1].owner)
				err = walk->fn(walk->data,
					       &walk->join.halves[at - 1].flow);
	}
	return err;
}

int flows_walk(struct instance *instance, const struct flow_filter *filter,
	       flow_fn fn, void *data)
{
	struct walk walk = { .instance = instance,
			     .each = hand_over,
			     .filter = filter,
			     .fn = fn,
			     .data = data };
	int err = join_start(&walk.join, instance->meta.max_flows);

	err = err ?: walk_all(&walk);
	err = err ?: hand_over_waiting(&walk);
	err = err ?: hand_over_rest(&walk);
	join_end(&walk.join);
	return err;
}

static int hand_over_owner(struct walk *walk, int family, const void *key,
			   const void *value)
{
	struct flow flow;

	if (((const struct masq_flow *)value)->kind == MASQ_K_REV)
		return 0;
	if (family == 4)
		read_flow4(key, value, walk->now, &flow);
	else
		read_flow6(key, value, walk->now, &flow);
	return walk->fn(walk->data, &flow);
}

int flows_walk_owners(struct instance *instance, flow_fn fn, void *data)
{
	struct walk walk = { .instance = instance,
			     .each = hand_over_owner,
			     .fn = fn,
			     .data = data };

	return walk_all(&walk);
}

static int count_prefix(struct walk *walk, int family, const void *key,
			const void *value)
{
	const struct masq_flow *head = value;
	uint32_t *live = walk->data;

	(void)family;
	(void)key;
	if (head->kind != MASQ_K_REV &&
	    head->prefix < walk->instance->meta.max_prefixes)
		live[head->prefix]++;
	return 0;
}

int flows_count_prefixes(struct instance *instance, uint32_t *live)
{
	struct walk walk = { .instance = instance,
			     .each = count_prefix,
			     .data = live };

	return walk_all(&walk);
}

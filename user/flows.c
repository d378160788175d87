// SPDX-License-Identifier: GPL-2.0-only
/*
 * flows.c - walking the flow maps. Owners are read in batches; the REV record
 * of a masqueraded flow is looked up by its key as each FWD record is met, so
 * a walk needs no memory that grows with the table.
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
 * An owner record as a struct flow, and what its REV record adds. The
 * families' records differ only in the number of address words, so one text
 * serves both.
 */
#define DEFINE_READ_FLOW(FAM, WORDS)                                        \
	static void read_flow##FAM(const struct masq_key##FAM *key,         \
				   const struct masq_flow##FAM *owner,      \
				   uint32_t now, struct flow *flow)         \
	{                                                                   \
		*flow = (struct flow){                                      \
			.proto = key->proto,                                \
			.role = key->role,                                  \
			.kind = owner->kind,                                \
			.state = owner->state,                              \
			.replied = owner->kind == MASQ_K_INBOUND            \
					   ? owner->out_seen                \
					   : owner->in_seen,                \
			.in.family = FAM,                                   \
			.rem.family = FAM,                                  \
			.in_port = ntohs(key->in_port),                     \
			.rem_port = ntohs(key->rem_port),                   \
			.prefix = owner->prefix,                            \
			.egress = owner->egress,                            \
			.ingress = owner->ingress,                          \
			.age = elapsed(now, owner->created),                \
			.idle = elapsed(now, owner->last_seen),             \
			.left = owner->expires - now,                       \
		};                                                          \
		memcpy(flow->in.a, key->in_addr, 4 * WORDS);                \
		memcpy(flow->rem.a, key->rem_addr, 4 * WORDS);              \
		if (owner->kind != MASQ_K_FWD)                              \
			return;                                             \
		flow->xlat.family = FAM;                                    \
		flow->xlat_port = ntohs(owner->xlat_port);                  \
		memcpy(flow->xlat.a, owner->xlat_addr, 4 * WORDS);          \
	}                                                                   \
                                                                            \
	static void add_reverse##FAM(struct instance *instance,             \
				     const struct masq_key##FAM *key,       \
				     uint32_t now, struct flow *flow)       \
	{                                                                   \
		struct masq_key##FAM rev_key = *key;                        \
		struct masq_flow##FAM rev;                                  \
                                                                            \
		memcpy(rev_key.in_addr, flow->xlat.a, 4 * WORDS);           \
		rev_key.in_port = htons(flow->xlat_port);                   \
		rev_key.role = MASQ_ROLE_FLOW;                              \
		if (bpf_map_lookup_elem(instance->map[MAP_masq_flows##FAM], \
					&rev_key, &rev))                    \
			return;                                             \
		flow->ingress = rev.ingress;                                \
		if (elapsed(now, rev.last_seen) < flow->idle)               \
			flow->idle = elapsed(now, rev.last_seen);           \
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

static bool matches(const struct instance *instance,
		    const struct flow_filter *filter, const struct flow *flow)
{
	struct flow_tuple orig = flow_orig(flow);

	if (filter->kind && filter->kind != flow->kind)
		return false;
	if (filter->state && filter->state - 1 != flow->state)
		return false;
	if (filter->unreplied && flow->replied)
		return false;
	if (filter->proto && filter->proto - 1 != flow->proto &&
	    !(filter->proto - 1 == IPPROTO_ICMP && is_icmp(flow->proto)))
		return false;
	if (filter->port && filter->port != orig.dport)
		return false;
	if (filter->node_port &&
	    (flow->kind != MASQ_K_FWD || filter->node_port != flow->xlat_port))
		return false;
	if (filter->prefix.addr.family) {
		const struct masq_prefix *prefix;
		struct cidr cidr;

		if (flow->kind == MASQ_K_INBOUND ||
		    flow->prefix >= instance->meta.max_prefixes)
			return false;
		prefix = &instance->prefixes[flow->prefix];
		cidr = prefix_cidr(prefix);
		if (cidr_cmp(&filter->prefix, &cidr))
			return false;
	}
	return covers_addr(&filter->pod, &flow->in) &&
	       covers_addr(&filter->dest, orig.dst);
}

struct walk {
	struct instance *instance;
	uint32_t now;
	/* called for each live owner; non-zero ends the walk */
	int (*each)(struct walk *walk, int family, const void *key,
		    const void *value);
	const struct flow_filter *filter;
	flow_fn fn;
	void *data;
};

static int walk_batch(struct walk *walk, int family, const char *keys,
		      const char *values, uint32_t count)
{
	bool ipv4 = family == 4;
	int err = 0;

	for (; count && !err; count--) {
		const struct masq_flow *head = (const void *)values;

		if ((head->kind == MASQ_K_FWD || head->kind == MASQ_K_KEEP ||
		     head->kind == MASQ_K_INBOUND) &&
		    !passed(walk->now, head->expires))
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

static int hand_over(struct walk *walk, int family, const void *key,
		     const void *value)
{
	struct flow flow;

	if (family == 4)
		read_flow4(key, value, walk->now, &flow);
	else
		read_flow6(key, value, walk->now, &flow);
	if (!matches(walk->instance, walk->filter, &flow))
		return 0;
	if (flow.kind == MASQ_K_FWD && family == 4)
		add_reverse4(walk->instance, key, walk->now, &flow);
	else if (flow.kind == MASQ_K_FWD)
		add_reverse6(walk->instance, key, walk->now, &flow);
	return walk->fn(walk->data, &flow);
}

int flows_walk(struct instance *instance, const struct flow_filter *filter,
	       flow_fn fn, void *data)
{
	struct walk walk = { .instance = instance,
			     .each = hand_over,
			     .filter = filter,
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
	if (head->kind != MASQ_K_INBOUND &&
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

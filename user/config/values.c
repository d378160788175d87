// SPDX-License-Identifier: GPL-2.0-only
/*
 * values.c - reading the value of a key, one function for each kind:
 * from a node to a field, or one line about what is wrong with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "base/duration.h"
#include "config/values.h"

/* Shorter durations are typed by accident. */
#define LEAST_NS 100000000

static const char *type_name(const struct node *node)
{
	return node->type == NODE_MAP	 ? "a mapping"
	       : node->type == NODE_LIST ? "a list"
					 : "text";
}

/* Refuses lists and mappings where a scalar has to be. */
static int need_scalar(struct loader *l, const struct key *key,
		       const struct node *node, const char *wanted)
{
	if (node->type == NODE_SCALAR)
		return 0;
	return config_fail(l, node->place, "%s: %s where %s is expected",
			   key->name, type_name(node), wanted);
}

/* --- scalars ----------------------------------------------------------- */

READER(read_bool)
{
	const struct node *value = pair->value;
	char text[QUOTED_LEN];
	bool flag;

	if (need_scalar(l, key, value, "true or false"))
		return -EINVAL;
	if (node_bool(value, &flag))
		return config_fail(l, value->place,
				   "%s: %s is neither true nor false",
				   key->name, quoted(value->text, text));
	if (!value->plain)
		return config_fail(l, value->place,
				   "%s: %s is text: write %s without quotes",
				   key->name, quoted(value->text, text),
				   flag ? "true" : "false");
	*(bool *)field = flag;
	return 0;
}

READER(read_guard_action)
{
	const struct node *value = pair->value;
	char text[QUOTED_LEN];

	if (need_scalar(l, key, value, "alarm, rollback or off"))
		return -EINVAL;
	for (uint32_t i = 0; config_guards[i]; i++)
		if (!strcmp(value->text, config_guards[i])) {
			*(uint32_t *)field = i;
			return 0;
		}
	return config_fail(l, value->place,
			   "%s: %s is none of alarm, rollback and off",
			   key->name, quoted(value->text, text));
}

READER(read_enable_ipv6)
{
	l->ipv6_given = true;
	return read_bool(l, key, pair, field);
}

READER(read_number)
{
	const struct node *value = pair->value;
	char text[QUOTED_LEN];
	uint64_t number;
	bool negative;

	if (need_scalar(l, key, value, "a number"))
		return -EINVAL;
	if (node_integer(value, &negative, &number))
		return config_fail(l, value->place,
				   "%s: %s is not a whole number", key->name,
				   quoted(value->text, text));
	if (!value->plain)
		return config_fail(l, value->place,
				   "%s: %s is text: write the number without"
				   " quotes",
				   key->name, quoted(value->text, text));
	if ((negative && number) || number < key->min || number > key->max)
		return config_fail(l, value->place,
				   "%s: %s: must be %llu to %llu", key->name,
				   quoted(value->text, text),
				   (unsigned long long)key->min,
				   (unsigned long long)key->max);
	*(uint32_t *)field = number;
	return 0;
}

READER(read_duration)
{
	const struct node *value = pair->value;
	char text[QUOTED_LEN], clause[128];
	uint64_t ns;

	if (need_scalar(l, key, value, "a duration such as 90s"))
		return -EINVAL;
	/* ip-masq-agent refuses a null here, and only here */
	if (node_is_null(value))
		return config_fail(l, value->place,
				   "%s: no value: write a duration such as 90s",
				   key->name);
	if (duration_parse(value->text, &ns, clause, sizeof(clause)))
		return config_fail(l, value->place, "%s: %s: %s", key->name,
				   quoted(value->text, text), clause);
	if (!ns)
		return config_fail(l, value->place, "%s: %s: must be above 0",
				   key->name, quoted(value->text, text));
	if (ns > key->max)
		return config_fail(
			l, value->place, "%s: %s: must be %lluh at most",
			key->name, quoted(value->text, text),
			(unsigned long long)key->max / (3600 * 1000000000ULL));
	*(uint64_t *)field = ns;
	if (ns < LEAST_NS)
		return config_warn(l, value->place,
				   "%s: %s is less than 100ms: is that meant?",
				   key->name, quoted(value->text, text));
	return 0;
}

/* field: two uint16_t, the first and the last port; 0 and 0 for none. */
_Static_assert(offsetof(struct config, port_max) ==
			       offsetof(struct config, port_min) + 2 &&
		       offsetof(struct config, node_port_max) ==
			       offsetof(struct config, node_port_min) + 2,
	       "the ends of a port range are neighbours");
READER(read_ports)
{
	const struct node *value = pair->value;
	char text[QUOTED_LEN], clause[128];
	uint16_t *range = field;

	if (need_scalar(l, key, value, "a port range such as 10240-65535"))
		return -EINVAL;
	if (port_range_parse(value->text, &range[0], &range[1], clause,
			     sizeof(clause)))
		return config_fail(l, value->place, "%s: %s: %s", key->name,
				   quoted(value->text, text), clause);
	if (range[0] && range[0] < key->min)
		return config_warn(l, value->place,
				   "%s: %s contains system ports (below 1024)",
				   key->name, quoted(value->text, text));
	return 0;
}

READER(read_node_ports)
{
	const struct node *value = pair->value;
	uint16_t *range = field;

	if (value->type == NODE_SCALAR && (!strcasecmp(value->text, "none") ||
					   (!value->plain && !*value->text))) {
		range[0] = range[1] = 0;
		return 0;
	}
	return read_ports(l, key, pair, field);
}

/* --- prefixes and addresses -------------------------------------------- */

static const char *everything_means(enum config_list list)
{
	switch (list) {
	case LIST_KEEP:
	case LIST_KEEP_SOURCES:
		return "nothing of this family is masqueraded";
	case LIST_MASQUERADE:
		return "that is so without it";
	case LIST_PODS:
		return "every forwarded source counts as a pod";
	case LIST_SNAT:
		break;
	}
	return NULL;
}

static bool is_multicast(const struct addr *addr)
{
	uint32_t first = ntohl(addr->a[0]);

	return addr->family == 6 ? first >> 24 == 0xff : first >> 28 == 0xe;
}

/* Why an address cannot be the source of a packet on the wire, or NULL. */
static const char *no_source(const struct addr *addr)
{
	uint32_t first = ntohl(addr->a[0]);

	if (is_multicast(addr))
		return "a multicast address";
	if (addr->family == 4) {
		if (!(first >> 24))
			return "not an address of a host";
		if (first >> 24 == 127)
			return "a loopback address";
		if (first >> 16 == 0xa9fe)
			return "a link-local address";
		if (first >> 28 == 0xf)
			return "a reserved address";
		return NULL;
	}
	if (first >> 22 == 0xfe80 >> 6)
		return "a link-local address";
	if (!addr->a[0] && !addr->a[1] && !addr->a[2])
		return "not an address of a host";
	return NULL;
}

/* One prefix of a list, with the warnings that it earns by itself. */
static int read_prefix(struct loader *l, const struct key *key,
		       const struct node *node, struct cidr *out)
{
	char text[QUOTED_LEN], clause[128];
	const char *means = everything_means(key->list);

	if (node->type != NODE_SCALAR)
		return config_fail(l, node->place,
				   "%s: %s where a prefix is expected",
				   key->name, type_name(node));
	if (node_is_null(node))
		return config_fail(l, node->place,
				   "%s: an item without a value: write a"
				   " prefix or remove it",
				   key->name);
	if (cidr_parse(node->text, out, clause, sizeof(clause)))
		return config_fail(l, node->place, "%s: %s: %s", key->name,
				   quoted(node->text, text), clause);
	if (!out->plen && means)
		return config_warn(l, node->place, "%s: %s: %s", key->name,
				   quoted(node->text, text), means);
	means = cidr_no_effect(out);
	if (means)
		return config_warn(l, node->place, "%s: %s has no effect: %s",
				   key->name, quoted(node->text, text), means);
	return 0;
}

static int need_list(struct loader *l, const struct key *key,
		     const struct node *value)
{
	char text[QUOTED_LEN];

	if (value->type == NODE_LIST)
		return 0;
	if (value->type == NODE_MAP)
		return config_fail(l, value->place,
				   "%s: a mapping where a list is expected",
				   key->name);
	quoted(value->text, text);
	return config_fail(l, value->place, "%s: %s is not a list: write [%s]",
			   key->name, text, text);
}

READER(read_cidrs)
{
	struct config_cidrs *list = field;
	const struct node *value = pair->value;
	int ret = 0, part;

	if (key->list == LIST_KEEP)
		l->config->keep_given = true;
	if (!node_is_null(value) && need_list(l, key, value))
		return -EINVAL;
	if (!value->count)
		return config_warn(l, pair->name->place, "%s is empty%s",
				   key->name,
				   key->list == LIST_KEEP
					   ? ": every destination that is not"
					     " link-local is masqueraded"
					   : "");
	list->items = calloc(value->count, sizeof(*list->items));
	if (!list->items)
		return config_nomem(l);
	for (size_t i = 0; i < value->count; i++) {
		struct entry entry = { .list = key->list,
				       .place = value->items[i]->place };

		part = read_prefix(l, key, value->items[i], &entry.cidr);
		if (!part)
			part = config_add_entry(l, &entry);
		if (!config_go_on(&ret, part))
			return ret;
		if (part)
			continue;
		list->items[list->count++] = (struct config_cidr){
			.cidr = entry.cidr,
			.line = config_place(l, entry.place).line,
		};
	}
	return ret;
}

static int read_destination(struct loader *l, const struct key *key,
			    const struct pair *pair, void *field)
{
	return read_prefix(l, key, pair->value, field);
}

/* Adds an address, a prefix or a range to the pool. */
static int add_source(struct loader *l, const struct key *key,
		      const struct node *value, struct pool *pool)
{
	char text[QUOTED_LEN], clause[128];
	const char *why;
	struct pool one;

	if (need_scalar(l, key, value, "an address"))
		return -EINVAL;
	if (node_is_null(value))
		return config_fail(l, value->place,
				   "%s: no value: write an address", key->name);
	if (pool_parse(value->text, &one, clause, sizeof(clause)))
		return config_fail(l, value->place, "%s: %s: %s", key->name,
				   quoted(value->text, text), clause);
	why = no_source(&one.range[0].first) ?: no_source(&one.range[0].last);
	if (why)
		return config_fail(l, value->place, "%s: %s: %s%s", key->name,
				   quoted(value->text, text),
				   pool_size(&one) > 1 ? "contains " : "", why);
	if (pool->family && pool_overlaps(pool, &one) &&
	    config_warn(l, value->place, "%s: %s is there already", key->name,
			quoted(value->text, text)))
		return -ENOMEM;
	return config_join(l, value->place, key->name, pool, &one);
}

/* One of them, or a list. */
static int read_sources(struct loader *l, const struct key *key,
			const struct pair *pair, void *field)
{
	const struct node *value = pair->value;
	int ret = 0;

	if (value->type != NODE_LIST)
		return add_source(l, key, value, field);
	for (size_t i = 0; i < value->count; i++)
		if (!config_go_on(&ret,
				  add_source(l, key, value->items[i], field)))
			break;
	return ret;
}

/* What one item of snat.addresses is read into. */
struct snat_item {
	struct cidr dest;
	struct pool pool;
};

static const struct key snat_item_keys[] = {
	{ .name = "snat.addresses.destination",
	  .read = read_destination,
	  .offset = offsetof(struct snat_item, dest),
	  .list = LIST_SNAT },
	{ .name = "snat.addresses.address",
	  .read = read_sources,
	  .offset = offsetof(struct snat_item, pool) },
	{},
};

static int read_snat_item(struct loader *l, const struct key *key,
			  const struct node *node, struct snat_item *item)
{
	int ret;

	/* without a destination: for every one of its family */
	if (node->type == NODE_SCALAR)
		ret = add_source(l, key, node, &item->pool);
	else
		ret = config_read_mapping(l, snat_item_keys, key->name, node,
					  item);
	if (ret)
		return ret;
	if (!item->pool.family)
		return config_fail(l, node->place,
				   "%s: an item without"
				   " address",
				   key->name);
	if (!item->dest.addr.family)
		item->dest.addr.family = item->pool.family;
	if (item->dest.addr.family != item->pool.family)
		return config_fail(l, node->place,
				   "%s: destination and address are of"
				   " different families",
				   key->name);
	return 0;
}

READER(read_snat_addresses)
{
	struct config *config = l->config;
	const struct node *value = pair->value;
	int ret = 0, part;

	(void)field;
	if (need_list(l, key, value))
		return -EINVAL;
	if (!value->count)
		return config_warn(l, pair->name->place, "%s is empty",
				   key->name);
	config->snat = calloc(value->count, sizeof(*config->snat));
	if (!config->snat)
		return config_nomem(l);
	for (size_t i = 0; i < value->count; i++) {
		struct place place = value->items[i]->place;
		struct snat_item item = { 0 };
		struct entry entry = { .list = LIST_SNAT,
				       .place = place,
				       .choice = config->snat_count };

		part = read_snat_item(l, key, value->items[i], &item);
		entry.cidr = item.dest;
		if (!part)
			part = config_add_entry(l, &entry);
		if (!config_go_on(&ret, part))
			return ret;
		if (part)
			continue;
		/* those for one destination are joined once all are read */
		config->snat[config->snat_count++] = (struct config_snat){
			.dest = item.dest,
			.pool = item.pool,
			.line = config_place(l, place).line,
		};
	}
	return ret;
}

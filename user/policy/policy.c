// SPDX-License-Identifier: GPL-2.0-only
/* policy.c - the policy as data: from a config, sorted, searched, named. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include "base/json.h"
#include "base/log.h"
#include "base/rank.h"
#include "plane/fit.h"
#include "policy/policy.h"

int policy_compare_place(const struct policy_entry *a,
			 const struct policy_entry *b)
{
	if (a->list != b->list)
		return a->list < b->list ? -1 : 1;
	return cidr_cmp(&a->cidr, &b->cidr);
}

/* By place; in one place the entry that stays comes first. */
static int compare_entries(const void *va, const void *vb)
{
	const struct policy_entry *a = va, *b = vb;
	int order = policy_compare_place(a, b);

	if (order)
		return order;
	if (a->origin != b->origin)
		return a->origin > b->origin ? -1 : 1;
	return a->line < b->line ? -1 : a->line > b->line;
}

/* Moves every entry to its place, along the cycles of the permutation. */
static void permute(struct policy_entry *entries, struct rank *ranks,
		    size_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry first = entries[i];
		uint32_t hole = i, next = ranks[i].index;

		while (next != i) {
			entries[hole] = entries[next];
			ranks[hole].index = hole;
			hole = next;
			next = ranks[hole].index;
		}
		entries[hole] = first;
		ranks[hole].index = hole;
	}
}

static bool sort_ranked(struct policy_entry *entries, size_t count)
{
	struct rank *ranks = reallocarray(NULL, count, sizeof(*ranks));
	size_t end;

	for (size_t i = 0; ranks && i < count; i++)
		ranks[i] = (struct rank){
			.key = rank_key(entries[i].list, &entries[i].cidr),
			.index = i,
		};
	if (!ranks || !rank_sort(ranks, count)) {
		free(ranks);
		return false;
	}
	permute(entries, ranks, count);
	/* what shares a key is in no order yet */
	for (size_t i = 0; i < count; i = end) {
		end = rank_run(ranks, count, i);
		if (end - i > 1)
			qsort(&entries[i], end - i, sizeof(*entries),
			      compare_entries);
	}
	free(ranks);
	return true;
}

void policy_sort(struct policy *policy)
{
	size_t kept = 0;

	if (!policy->count)
		return;
	if (!sort_ranked(policy->entries, policy->count))
		qsort(policy->entries, policy->count, sizeof(*policy->entries),
		      compare_entries);
	for (size_t i = 1; i < policy->count; i++)
		if (policy_compare_place(&policy->entries[kept],
					 &policy->entries[i]))
			policy->entries[++kept] = policy->entries[i];
	policy->count = kept + 1;
}

int policy_append(struct policy *policy, const struct policy_entry *entry)
{
	/* room is the next power of two, so it needs no field */
	if (!(policy->count & (policy->count - 1))) {
		size_t room = policy->count ? 2 * policy->count : 1;
		void *entries = reallocarray(policy->entries, room,
					     sizeof(*policy->entries));

		if (!entries)
			return -ENOMEM;
		policy->entries = entries;
	}
	policy->entries[policy->count] = *entry;
	policy->entries[policy->count++].slot = NO_SLOT;
	return 0;
}

struct policy_entry *policy_find(struct policy *policy, uint8_t list,
				 const struct cidr *cidr)
{
	struct policy_entry key = { .list = list, .cidr = *cidr };
	size_t low = 0, high = policy->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order =
			policy_compare_place(&key, &policy->entries[middle]);

		if (!order)
			return &policy->entries[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

struct policy_entry *policy_match(struct policy *policy,
				  const struct cidr *cidr)
{
	for (int plen = cidr->plen; plen >= 0; plen--) {
		struct cidr outer = cidr_of(&cidr->addr, plen);
		struct policy_entry *entry =
			policy_find(policy, MASQ_L_DST, &outer);

		if (entry)
			return entry;
	}
	return NULL;
}

bool policy_leaves_out(const struct policy *policy, const struct addr *pod)
{
	const struct cidr host = cidr_of(pod, pod->family == 4 ? 32 : 128);
	bool any = false;

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list != MASQ_L_POD ||
		    entry->cidr.addr.family != pod->family)
			continue;
		if (cidr_covers(&entry->cidr, &host))
			return false;
		any = true;
	}
	return any;
}

void policy_del(struct policy *policy, struct policy_entry *entry)
{
	struct policy_entry *end = policy->entries + policy->count--;

	memmove(entry, entry + 1, (char *)end - (char *)(entry + 1));
}

int policy_append_defaults(struct policy *policy)
{
	struct policy_entry entry = { .list = MASQ_L_DST,
				      .action = MASQ_MASQUERADE,
				      .origin = MASQ_O_BUILTIN };
	int err;

	entry.cidr.addr.family = 4;
	err = policy_append(policy, &entry);
	if (err)
		return err;
	entry.cidr.addr.family = 6;
	return policy_append(policy, &entry);
}

static int append_link_local(struct policy *policy, uint8_t family,
			     uint32_t address, uint8_t plen)
{
	struct policy_entry entry = { .list = MASQ_L_DST,
				      .action = MASQ_KEEP,
				      .origin = MASQ_O_BUILTIN };

	entry.cidr = (struct cidr){ .addr = { family, { htonl(address) } },
				    .plen = plen };
	return policy_append(policy, &entry);
}

static int append_list(struct policy *policy, const struct config_cidrs *cidrs,
		       uint8_t list, uint8_t action)
{
	for (size_t i = 0; i < cidrs->count; i++) {
		const struct config_cidr *item = &cidrs->items[i];
		struct policy_entry entry = { .cidr = item->cidr,
					      .list = list,
					      .action = action,
					      .line = item->line };
		int err;

		entry.origin = item->line ? MASQ_O_CONFIG : MASQ_O_PRESET;
		err = policy_append(policy, &entry);
		if (err)
			return err;
	}
	return 0;
}

uint16_t policy_snat_number(struct policy *policy, const struct pool *pool)
{
	size_t i = 0;

	while (i < policy->snat_count && pool_cmp(&policy->snat[i], pool))
		i++;
	if (i == policy->snat_count)
		policy->snat[policy->snat_count++] = *pool;
	return i + 1;
}

/* Their destinations to be searched as prefixes are, `line` is the index. */
static int list_choices(const struct config *config, struct policy *out)
{
	int err = 0;

	for (size_t i = 0; i < config->snat_count && !err; i++) {
		const struct policy_entry entry = {
			.cidr = config->snat[i].dest,
			.list = MASQ_L_DST,
			.line = i,
		};

		err = policy_append(out, &entry);
	}
	policy_sort(out);
	return err;
}

/*
 * The source address of each masqueraded prefix: the choice with the longest
 * destination that covers it. A choice for a range inside a masqueraded
 * prefix gives that range an entry of its own, and so counters of its own.
 */
static int choose_snat(struct policy *policy, const struct config *config)
{
	struct policy choices = {};
	size_t listed = policy->count;
	int err;

	if (!config->snat_count)
		return 0;
	policy->snat = calloc(config->snat_count, sizeof(*policy->snat));
	if (!policy->snat)
		return -ENOMEM;

	for (size_t i = 0; i < config->snat_count; i++) {
		const struct config_snat *choice = &config->snat[i];
		struct policy listed_only = { .entries = policy->entries,
					      .count = listed };
		struct policy_entry *match =
			policy_match(&listed_only, &choice->dest);
		struct policy_entry entry = { .cidr = choice->dest,
					      .list = MASQ_L_DST,
					      .action = MASQ_MASQUERADE,
					      .origin = MASQ_O_CONFIG,
					      .line = choice->line };

		if (!match || match->action != MASQ_MASQUERADE ||
		    match->cidr.plen == choice->dest.plen)
			continue;
		err = policy_append(policy, &entry);
		if (err)
			return err;
	}
	policy_sort(policy);

	err = list_choices(config, &choices);
	for (size_t i = 0; i < policy->count && !err; i++) {
		struct policy_entry *entry = &policy->entries[i];
		const struct policy_entry *best;

		if (entry->list != MASQ_L_DST ||
		    entry->action != MASQ_MASQUERADE)
			continue;
		best = policy_match(&choices, &entry->cidr);
		if (best)
			entry->snat = policy_snat_number(
				policy, &config->snat[best->line].pool);
	}
	if (policy->snat_count)
		policy->head.flags |= MASQ_P_SNAT;
	free(choices.entries);
	return err;
}

/* The path as it will still be right from another directory. */
static int absolute_path(const char *path, char *buf, size_t len)
{
	char *cwd = NULL;
	int length;

	if (path[0] != '/' && strcmp(path, "-")) {
		cwd = getcwd(NULL, 0);
		if (!cwd)
			return -errno;
	}
	length = snprintf(buf, len, "%s%s%s", cwd ?: "", cwd ? "/" : "", path);
	free(cwd);
	return (size_t)length < len ? 0 : -ENAMETOOLONG;
}

/* Which source lists a packet has to be looked up in. */
static uint32_t source_flags(const struct config *config)
{
	uint32_t flags = config->keep_sources.count ? MASQ_P_KEEP_SOURCES : 0;

	for (size_t i = 0; i < config->pods.count; i++)
		flags |= config->pods.items[i].cidr.addr.family == 4
				 ? MASQ_P_PODS4
				 : MASQ_P_PODS6;
	return flags;
}

static void fill_head(struct masq_policy *head, const struct instance *instance,
		      const struct config *config, bool fast_tcp)
{
	*head = (struct masq_policy){
		.flags = (config->ipv6 ? MASQ_P_IPV6 : 0) |
			 (config->drop_foreign_sources ? MASQ_P_DROP_FOREIGN
						       : 0) |
			 (config->reject_tcp ? MASQ_P_REJECT_TCP : 0) |
			 (config->strict_ports ? MASQ_P_STRICT_PORTS : 0) |
			 (fast_tcp ? MASQ_P_FAST_TCP : 0) |
			 source_flags(config),
		.port_min = config->port_min,
		.port_max = config->port_max,
		.max_flows = instance->meta.max_flows,
		.max_flows_per_pod = config->max_flows_per_pod,
		.node_port_min = config->node_port_min,
		.node_port_max = config->node_port_max,
	};
	for (int i = 0; i < MASQ_T_MAX; i++)
		head->timeout[i] = ns_to_ticks(instance, config->timeout_ns[i]);
	head->fast = ns_to_ticks(instance, 1000000000ULL); /* 1 s */
	head->fragment =
		ns_to_ticks(instance, MASQ_FRAG_SECONDS * 1000000000ULL);
}

int policy_fit(struct instance *instance, const struct config *config)
{
	const struct instance_options want = {
		.configured = true,
		.max_flows = config->max_flows,
		.ipv6 = config->ipv6,
		.no_flow_counts = !config->flow_counters,
	};

	return instance_want(instance, &want);
}

int policy_from_config(const struct instance *instance,
		       const struct config *config, bool fast_tcp,
		       struct policy **out)
{
	struct policy *policy = calloc(1, sizeof(*policy));
	int err = -ENOMEM;

	if (!policy)
		goto out;
	fill_head(&policy->head, instance, config, fast_tcp);
	snprintf(policy->source.preset, sizeof(policy->source.preset), "%s",
		 config->preset ?: "");
	policy->source.config_hash = config->hash;
	err = config->path
		      ? absolute_path(config->path, policy->source.config_path,
				      sizeof(policy->source.config_path))
		      : 0;
	err = err ?: append_list(policy, &config->keep, MASQ_L_DST, MASQ_KEEP);
	err = err
		      ?: append_list(policy, &config->masquerade, MASQ_L_DST,
				     MASQ_MASQUERADE);
	err = err
		      ?: append_list(policy, &config->pods, MASQ_L_POD,
				     MASQ_MASQUERADE);
	err = err
		      ?: append_list(policy, &config->keep_sources,
				     MASQ_L_KEEP_SOURCE, MASQ_KEEP);
	if (!err && !config->masq_link_local)
		err = append_link_local(policy, 4, 0xa9fe0000, 16);
	if (!err && !config->masq_link_local_ipv6)
		err = append_link_local(policy, 6, 0xfe800000, 10);
	err = err ?: policy_append_defaults(policy);
	if (err)
		goto out;
	policy_sort(policy);
	err = choose_snat(policy, config);
out:
	if (err) {
		log_error("policy: from %s: %s", config->path ?: config->preset,
			  strerror(-err));
		policy_free(policy);
	} else {
		*out = policy;
	}
	return err;
}

void policy_free(struct policy *policy)
{
	if (!policy)
		return;
	free(policy->entries);
	free(policy->snat);
	free(policy);
}

const char *policy_origin(const struct policy *policy,
			  const struct policy_entry *entry, char *buf,
			  size_t len)
{
	switch (entry->origin) {
	case MASQ_O_PRESET:
		snprintf(buf, len, "preset %s", policy->source.preset);
		break;
	case MASQ_O_CONFIG:
		snprintf(buf, len, "config %s:%u",
			 strcmp(policy->source.config_path, "-")
				 ? policy->source.config_path
				 : "stdin",
			 entry->line);
		break;
	case MASQ_O_RUNTIME:
		snprintf(buf, len, "runtime");
		break;
	default:
		snprintf(buf, len, "built-in");
	}
	return buf;
}

const char *policy_off_note(const struct policy *policy,
			    const struct policy_entry *entry)
{
	return entry->cidr.addr.family == 6 &&
			       !(policy->head.flags & MASQ_P_IPV6)
		       ? " (off: IPv6 passes untouched)"
		       : "";
}

void policy_report(const struct policy_change *change, bool json)
{
	struct json j;

	if (!json) {
		log_info("generation %u: +%zu -%zu ~%zu prefixes",
			 change->generation, change->added, change->removed,
			 change->changed);
		return;
	}
	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", change->generation);
	json_u64(&j, "added", change->added);
	json_u64(&j, "removed", change->removed);
	json_u64(&j, "changed", change->changed);
	json_object_end(&j);
	json_end(&j);
}

int policy_fail(int err, const char *what)
{
	log_error("policy: %s: %s", what, strerror(-err));
	return err;
}

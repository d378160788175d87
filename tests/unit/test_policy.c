// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_policy.c - policy_apply against real kernel maps: whatever ran before,
 * the half in force afterwards holds exactly the policy that was asked for,
 * and an editor that is killed at any system call leaves the old policy or
 * the new one, never a mixture.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include "policy/apply.h"
#include "policy/read.h"
#include "bare.h"
#include "config/config.h"
#include "base/log.h"
#include "policies.h"
#include "base/prefix.h"

/* --- policies ---------------------------------------------------------- */

static struct policy *make_policy(void)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	assert_non_null(policy);
	policy->head.port_min = 10240;
	policy->head.port_max = 65535;
	policy->head.node_port_min = 30000;
	policy->head.node_port_max = 32767;
	strcpy(policy->source.config_path, "/etc/masqbpf.yaml");
	return policy;
}

static struct policy *policy_of(const char *text)
{
	struct policy *policy = make_policy();

	policy_fill(policy, text);
	return policy;
}

/* `count` /32 destinations, those from `from` on with another address. */
static struct policy *big_policy(uint32_t count, uint32_t from, uint32_t shift)
{
	struct policy *policy = make_policy();

	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry entry = { .list = MASQ_L_DST,
					      .action = MASQ_KEEP,
					      .origin = MASQ_O_CONFIG,
					      .line = i + 1 };
		/* scattered over the address space */
		uint32_t n = (i + (i >= from ? shift : 0)) * 2654435761U;

		entry.cidr = (struct cidr){ { 4, { n } }, 32 };
		assert_int_equal(policy_append(policy, &entry), 0);
	}
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	return policy;
}

/* An address most often, else up to as many ranges as there may be. */
static struct pool random_pool(unsigned int *seed)
{
	int ranges = rand_r(seed) % 3 ? 1 : 1 + rand_r(seed) % MASQ_POOL_RANGES;
	struct pool pool = {};

	while (ranges--) {
		uint32_t first = 0xc0a80000 + rand_r(seed) % 400;
		uint32_t last = first + (rand_r(seed) % 2) * rand_r(seed) % 9;
		struct pool one =
			pool_of(&(struct addr){ 4, { htonl(first) } });

		one.range[0].last.a[0] = htonl(last);
		pool_add(&pool, &one);
	}
	return pool;
}

/* A small universe, so that policies share, nest and contradict. */
static struct policy *random_policy(unsigned int *seed)
{
	struct policy *policy = make_policy();
	int count = rand_r(seed) % 40;

	policy->snat = calloc(4, sizeof(*policy->snat));
	policy->snat_count = rand_r(seed) % 5;
	for (size_t i = 0; i < policy->snat_count; i++)
		policy->snat[i] = random_pool(seed);
	while (count--) {
		struct policy_entry entry = {
			.list = 1 + rand_r(seed) % 3,
			.origin = MASQ_O_PRESET + rand_r(seed) % 3,
			.line = rand_r(seed) % 50,
		};
		uint8_t plen = rand_r(seed) % 9;
		uint32_t bits = rand_r(seed) % (1 << plen);

		entry.action = entry.list == MASQ_L_DST
				       ? rand_r(seed) % 2
				       : entry.list == MASQ_L_KEEP_SOURCE;
		entry.cidr.addr.family = rand_r(seed) % 3 ? 4 : 6;
		entry.cidr.plen = plen;
		if (plen)
			entry.cidr.addr.a[0] = htonl(bits << (32 - plen));
		if (entry.list == MASQ_L_DST &&
		    entry.action == MASQ_MASQUERADE &&
		    entry.cidr.addr.family == 4 && policy->snat_count)
			entry.snat = rand_r(seed) % (policy->snat_count + 1);
		assert_int_equal(policy_append(policy, &entry), 0);
	}
	if (rand_r(seed) % 2)
		policy->head.node_port_max += rand_r(seed) % 100;
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	return policy;
}

/* --- what must be true after each apply -------------------------------- */

static uint32_t active_half(const struct instance *instance)
{
	uint32_t zero = 0, half;

	assert_int_equal(bpf_map_lookup_elem(instance->map[MAP_masq_active],
					     &zero, &half),
			 0);
	return half;
}

/* The same question as write_sources answers, asked entry by entry. */
static struct masq_lpm_value expected_source(const struct policy *policy,
					     const struct cidr *cidr)
{
	struct masq_lpm_value value = {};
	int longest = -1;

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];

		if (entry->list == MASQ_L_DST ||
		    !cidr_covers(&entry->cidr, cidr))
			continue;
		if (entry->list == MASQ_L_POD) {
			value.source |= MASQ_SRC_POD;
			continue;
		}
		value.source |= MASQ_SRC_KEEP;
		if (entry->cidr.plen > longest) {
			longest = entry->cidr.plen;
			value.prefix = entry->slot;
		}
	}
	return value;
}

static struct masq_addr snat_slot(struct instance *instance, uint32_t slot)
{
	struct masq_addr addr;

	assert_int_equal(bpf_map_lookup_elem(instance->map[MAP_masq_snat],
					     &slot, &addr),
			 0);
	return addr;
}

/* As a packet reads it: number by number. */
static void check_snat(struct instance *instance, uint16_t snat,
		       const struct policy *policy,
		       const struct policy_entry *entry)
{
	uint32_t slot = MASQ_SNAT_SLOT(snat), number = 0;
	const struct pool *pool;
	struct masq_addr addr;

	assert_int_equal(!!snat, !!entry->snat);
	if (!snat)
		return;
	pool = &policy->snat[entry->snat - 1];
	addr = snat_slot(instance, slot);
	assert_int_equal(addr.a[0], pool->range[0].first.a[0]);
	assert_int_equal(MASQ_SNAT_RANGES(snat),
			 pool_size(pool) > 1 ? pool->count : 0);
	for (int i = 0; i < pool->count && pool_size(pool) > 1; i++) {
		const struct pool_range *range = &pool->range[i];

		addr = snat_slot(instance, slot + 2 * i);
		assert_memory_equal(addr.a, range->first.a, 16);
		number +=
			ntohl(range->last.a[0]) - ntohl(range->first.a[0]) + 1;
		addr = snat_slot(instance, slot + 2 * i + 1);
		assert_int_equal(addr.a[0], number);
	}
}

static size_t check_trie(struct instance *instance, uint32_t half,
			 struct policy *policy)
{
	int fd = instance->map[MAP_masq_trie_a + half];
	struct masq_lpm_key key;
	size_t count = 0;
	bool first = true;

	for (; !bpf_map_get_next_key(fd, first ? NULL : &key, &key); count++) {
		bool source = key.set == MASQ_SET_SRC4 ||
			      key.set == MASQ_SET_SRC6;
		struct cidr cidr = { .plen = key.plen - MASQ_LPM_SET_BITS };
		struct masq_lpm_value value, expected = {};
		struct policy_entry *entry;

		first = false;
		cidr.addr.family = key.set & 2 ? 6 : 4;
		memcpy(cidr.addr.a, key.addr, sizeof(key.addr));
		assert_int_equal(bpf_map_lookup_elem(fd, &key, &value), 0);
		if (source) {
			assert_true(
				policy_find(policy, MASQ_L_POD, &cidr) ||
				policy_find(policy, MASQ_L_KEEP_SOURCE, &cidr));
			expected = expected_source(policy, &cidr);
		} else {
			entry = policy_find(policy, MASQ_L_DST, &cidr);
			assert_non_null(entry);
			expected.prefix = entry->slot;
			expected.action = entry->action;
			expected.snat = value.snat;
			check_snat(instance, value.snat, policy, entry);
		}
		assert_memory_equal(&value, &expected, sizeof(value));
	}
	assert_int_equal(errno, ENOENT);
	return count;
}

static bool same_entry(const struct policy *a, const struct policy_entry *x,
		       const struct policy *b, const struct policy_entry *y)
{
	return x->list == y->list && !cidr_cmp(&x->cidr, &y->cidr) &&
	       x->action == y->action && x->origin == y->origin &&
	       x->line == y->line && !x->snat == !y->snat &&
	       (!x->snat ||
		!pool_cmp(&a->snat[x->snat - 1], &b->snat[y->snat - 1]));
}

static bool same_policy(const struct policy *a, const struct policy *b)
{
	if (a->count != b->count ||
	    memcmp(&a->source, &b->source, sizeof(a->source)) ||
	    a->head.node_port_max != b->head.node_port_max)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (!same_entry(a, &a->entries[i], b, &b->entries[i]))
			return false;
	return true;
}

/* The half in force is `policy`, whole, in every map. */
static void check_in_force(struct instance *instance, struct policy *policy)
{
	uint32_t half = active_half(instance);
	struct policy *running;
	size_t keys = 0;

	assert_int_equal(policy_read(instance, &running), 0);
	assert_true(same_policy(running, policy));
	for (size_t i = 0; i < running->count; i++) {
		const struct policy_entry *entry = &running->entries[i];

		/* POD and KEEP_SOURCE entries share their key */
		keys += entry->list != MASQ_L_KEEP_SOURCE ||
			!policy_find(running, MASQ_L_POD, &entry->cidr);
	}
	assert_int_equal(check_trie(instance, half, running), keys);

	for (uint32_t port = 29990; port < 33000; port++) {
		uint32_t at = half * MASQ_PORT_WORDS + port / 64;
		uint64_t word;

		bpf_map_lookup_elem(instance->map[MAP_masq_ports], &at, &word);
		if (port >= 30000 && port <= policy->head.node_port_max)
			assert_true(word >> port % 64 & 1);
	}
	policy_free(running);
}

/* The other half is the same policy, to the letter. */
static void check_settled(struct instance *instance, struct policy *policy)
{
	uint32_t zero = 0, half = active_half(instance), other = !half;
	int fd = instance->map[MAP_masq_active];

	/* as a reader sees it: there is no packet here to mind */
	assert_int_equal(bpf_map_update_elem(fd, &zero, &other, 0), 0);
	check_in_force(instance, policy);
	assert_int_equal(bpf_map_update_elem(fd, &zero, &half, 0), 0);
}

static struct policy_change apply(struct instance *instance,
				  struct policy *policy)
{
	struct policy_change change;

	assert_int_equal(policy_apply(instance, policy, &change), 0);
	check_in_force(instance, policy);
	/* of any size: the next one finds both halves alike */
	if (change.generation % 3 == 1) {
		struct policy_change large = { .added = 1 << 20 };

		policy_settle(instance, policy, &large);
		check_in_force(instance, policy);
		check_settled(instance, policy);
	}
	return change;
}

static void check_change(struct policy_change change, uint32_t generation,
			 size_t added, size_t removed, size_t changed)
{
	assert_int_equal(change.generation, generation);
	assert_int_equal(change.added, added);
	assert_int_equal(change.removed, removed);
	assert_int_equal(change.changed, changed);
}

/* --- rows -------------------------------------------------------------- */

static void test_nothing_applied(void **state)
{
	struct instance *instance = bare_instance(64);
	struct policy *policy = NULL;

	(void)state;
	assert_int_equal(policy_read(instance, &policy), -ENODATA);
	assert_null(policy);
	bare_free(instance);
}

static bool comes_before(const struct policy_entry *a,
			 const struct policy_entry *b)
{
	int order = cidr_cmp(&a->cidr, &b->cidr);

	return a->list < b->list || (a->list == b->list && order < 0);
}

/*
 * One entry stays for each place, that of the highest origin and then of the
 * first line; IPv6 prefixes that differ in their last bits only, too.
 */
static void test_sort(void **state)
{
	struct policy *policy = calloc(1, sizeof(*policy)), all = {};
	unsigned int seed = 11;

	(void)state;
	for (int i = 0; i < 5000; i++) {
		struct policy_entry entry = {
			.list = 1 + rand_r(&seed) % 3,
			.origin = 1 + rand_r(&seed) % 4,
			.line = rand_r(&seed),
			.cidr = { .addr.family = rand_r(&seed) % 2 ? 4 : 6 },
		};
		int last = entry.cidr.addr.family == 4 ? 0 : 3;

		entry.cidr.addr.a[0] = htonl(0x20010db8);
		entry.cidr.addr.a[last] = htonl(rand_r(&seed) % 128 << 8);
		entry.cidr.plen = last * 32 + 32 - rand_r(&seed) % 8;
		assert_int_equal(policy_append(policy, &entry), 0);
		assert_int_equal(policy_append(&all, &entry), 0);
	}
	policy_sort(policy);
	for (size_t i = 1; i < policy->count; i++)
		assert_true(comes_before(&policy->entries[i - 1],
					 &policy->entries[i]));
	for (size_t i = 0; i < all.count; i++) {
		const struct policy_entry *entry = &all.entries[i];
		const struct policy_entry *kept =
			policy_find(policy, entry->list, &entry->cidr);

		assert_non_null(kept);
		assert_true(kept->origin > entry->origin ||
			    (kept->origin == entry->origin &&
			     kept->line <= entry->line));
	}
	assert_in_range(policy->count, 2000, 4500);
	free(all.entries);
	policy_free(policy);
}

static void test_random(void **state)
{
	struct instance *instance = bare_instance(4096);
	uint32_t generation = 0;
	unsigned int seed = 1;

	(void)state;
	for (int i = 0; i < 300; i++) {
		struct policy *policy = random_policy(&seed);
		struct policy_change change = apply(instance, policy);

		assert_in_range(change.generation, generation, generation + 1);
		generation = change.generation;
		/* again: nothing differs */
		check_change(apply(instance, policy), generation, 0, 0, 0);
		policy_free(policy);
	}
	bare_free(instance);
}

static void apply_text(struct instance *instance, const char *text,
		       uint32_t generation, size_t added, size_t removed,
		       size_t changed)
{
	struct policy *policy = policy_of(text);

	check_change(apply(instance, policy), generation, added, removed,
		     changed);
	policy_free(policy);
}

static void test_change_counts(void **state)
{
	struct instance *instance = bare_instance(64);

	(void)state;
	apply_text(instance, "10.0.0.0/8", 1, 3, 0, 0);
	apply_text(instance, "10.0.0.0/8", 1, 0, 0, 0);
	apply_text(instance, "10.0.0.0/8 172.16.0.0/12", 2, 1, 0, 0);
	/* another order is another line, not another treatment */
	apply_text(instance, "172.16.0.0/12 10.0.0.0/8", 2, 0, 0, 0);
	apply_text(instance, "172.16.0.0/12 -10.0.0.0/8", 3, 0, 0, 1);
	apply_text(instance, "-172.16.0.0/12 fd00::/8", 4, 1, 1, 1);
	/* the user's own /0 takes the place of the built-in one */
	apply_text(instance, "0.0.0.0/0", 5, 0, 2, 1);
	apply_text(instance, "", 6, 0, 0, 1);
	bare_free(instance);
}

static uint32_t slot_of(struct instance *instance, const char *text)
{
	struct policy *policy;
	struct policy_entry *entry;
	struct cidr cidr;
	uint32_t slot;

	assert_int_equal(cidr_parse(text, &cidr, NULL, 0), 0);
	assert_int_equal(policy_read(instance, &policy), 0);
	entry = policy_find(policy, MASQ_L_DST, &cidr);
	slot = entry ? entry->slot : UINT32_MAX;
	policy_free(policy);
	return slot;
}

static void set_counter(struct instance *instance, uint32_t slot, uint64_t n)
{
	struct masq_prefix_count *counts =
		calloc(instance->cpus, sizeof(*counts));

	for (int i = 0; i < instance->cpus; i++)
		counts[i].flows = n;
	assert_int_equal(bpf_map_update_elem(instance->map[MAP_masq_counters],
					     &slot, counts, BPF_ANY),
			 0);
	free(counts);
}

static uint64_t counter(struct instance *instance, uint32_t slot)
{
	struct masq_prefix_count *counts =
		calloc(instance->cpus, sizeof(*counts));
	uint64_t sum = 0;

	assert_int_equal(bpf_map_lookup_elem(instance->map[MAP_masq_counters],
					     &slot, counts),
			 0);
	for (int i = 0; i < instance->cpus; i++)
		sum += counts[i].flows;
	free(counts);
	return sum;
}

/* Who is asked for more slots, and has none; *data: for how many. */
static int no_more(struct instance *instance,
		   const struct instance_options *want, void *data)
{
	(void)instance;
	*(uint32_t *)data = want->max_prefixes;
	return -ENOSPC;
}

static void test_slots(void **state)
{
	/* 0.0.0.0/0, ::/0 and four more */
	struct instance *instance = bare_instance(6);
	struct policy *policy;
	struct policy_change change;
	uint32_t ten, asked = 0;

	(void)state;
	instance->fit = no_more;
	instance->fit_data = &asked;
	apply_text(instance, "10.0.0.0/8", 1, 3, 0, 0);
	assert_int_equal(slot_of(instance, "0.0.0.0/0"), 0);
	assert_int_equal(slot_of(instance, "::/0"), 1);
	ten = slot_of(instance, "10.0.0.0/8");
	set_counter(instance, ten, 7);

	/* another action is another slot; coming back, it counts on */
	apply_text(instance, "-10.0.0.0/8", 2, 0, 0, 1);
	assert_int_not_equal(slot_of(instance, "10.0.0.0/8"), ten);
	apply_text(instance, "10.0.0.0/8", 3, 0, 0, 1);
	assert_int_equal(slot_of(instance, "10.0.0.0/8"), ten);
	assert_int_equal(counter(instance, ten), 7 * instance->cpus);

	/* a removed prefix keeps its slot while unused ones are left */
	apply_text(instance, "1.0.0.0/8", 4, 1, 1, 0);
	assert_int_equal(counter(instance, ten), 7 * instance->cpus);
	apply_text(instance, "1.0.0.0/8 2.0.0.0/8", 5, 1, 0, 0);
	assert_int_equal(counter(instance, ten), 7 * instance->cpus);

	/* none left: the slots of both 10.0.0.0/8 are cleared and given away */
	apply_text(instance, "1.0.0.0/8 2.0.0.0/8 3.0.0.0/8 4.0.0.0/8", 6, 2, 0,
		   0);
	assert_int_equal(counter(instance, ten), 0);

	/* too many: refused, and what runs is what ran */
	policy = policy_of("1.0.0.0/8 2.0.0.0/8 3.0.0.0/8 4.0.0.0/8 5.0.0.0/8");
	log_level = -2;
	assert_int_equal(policy_apply(instance, policy, &change), -ENOSPC);
	/* twice as many are made as are asked for */
	assert_in_range(2 * asked, 7, 8);
	policy_free(policy);
	/* nor do others fit, as long as those that run are in force */
	policy = policy_of("5.0.0.0/8");
	assert_int_equal(policy_apply(instance, policy, &change), -ENOSPC);
	policy_free(policy);
	log_level = 0;
	policy = policy_of("1.0.0.0/8 2.0.0.0/8 3.0.0.0/8 4.0.0.0/8");
	check_in_force(instance, policy);
	policy_free(policy);
	bare_free(instance);
}

/* A removed prefix keeps its slot as long as it has a flow. */
static void test_live_flow_keeps_slot(void **state)
{
	struct instance *instance = bare_instance(5);
	struct masq_flow4 flow = { .in_addr = { htonl(0x0a2c0e0f) },
				   .what = MASQ_W_LIVE |
					   MASQ_K_KEEP << MASQ_W_KIND };
	struct masq_aside aside = {};
	struct policy *policy = policy_of("2.0.0.0/8 3.0.0.0/8 4.0.0.0/8");
	struct policy_change change;
	uint32_t asked = 0;

	(void)state;
	instance->fit = no_more;
	instance->fit_data = &asked;
	apply_text(instance, "1.0.0.0/8 2.0.0.0/8", 1, 4, 0, 0);
	flow.prefix = slot_of(instance, "1.0.0.0/8");
	apply_text(instance, "2.0.0.0/8", 2, 0, 1, 0);
	flow.expires = instance_now(instance) + 100000;
	bare_put(instance, 4, 77, &flow, &aside);
	log_level = -2;
	assert_int_equal(policy_apply(instance, policy, &change), -ENOSPC);
	log_level = 0;
	/* expired is as good as gone */
	flow.expires = instance_now(instance);
	bare_put(instance, 4, 77, &flow, &aside);
	check_change(apply(instance, policy), 3, 2, 0, 0);
	policy_free(policy);
	bare_free(instance);
}

/* --- from a config ----------------------------------------------------- */

static struct policy *from_yaml(const struct instance *instance,
				const char *yaml)
{
	struct config *config = NULL;
	struct policy *policy = NULL;
	char err[512] = "";

	if (config_parse(yaml, strlen(yaml), "/etc/x.yaml", NULL, &config, err,
			 sizeof(err)))
		fail_msg("%s", err);
	log_level = -1;
	assert_int_equal(policy_from_config(instance, config, false, &policy),
			 0);
	log_level = 0;
	config_free(config);
	return policy;
}

/* "PREFIX action (origin)[ as ADDRESS]" for each destination */
static void check_destinations(struct policy *policy, const char *const *want)
{
	size_t n = 0;

	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];
		char cidr[CIDR_STRLEN], origin[320], as[POOL_STRLEN];
		char line[2048];

		if (entry->list != MASQ_L_DST)
			continue;
		snprintf(line, sizeof(line), "%s %s (%s)%s%s",
			 cidr_format(&entry->cidr, cidr, sizeof(cidr)),
			 action_name(entry->action),
			 policy_origin(policy, entry, origin, sizeof(origin)),
			 entry->snat ? " as " : "",
			 entry->snat
				 ? pool_format(&policy->snat[entry->snat - 1],
					       as, sizeof(as))
				 : "");
		assert_non_null(want[n]);
		assert_string_equal(line, want[n++]);
	}
	assert_null(want[n]);
}

static void test_from_config(void **state)
{
	static const struct {
		const char *yaml, *want[10];
	} rows[] = {
		{ "resyncInterval: 5s\n",
		  { "0.0.0.0/0 masquerade (built-in)",
		    "10.0.0.0/8 keep (preset ip-masq-agent)",
		    "169.254.0.0/16 keep (built-in)",
		    "172.16.0.0/12 keep (preset ip-masq-agent)",
		    "192.168.0.0/16 keep (preset ip-masq-agent)",
		    "::/0 masquerade (built-in)",
		    "fe80::/10 keep (built-in)" } },
		{ "masqLinkLocal: true\n"
		  "masqLinkLocalIPv6: true\n"
		  "nonMasqueradeCIDRs: []\n",
		  { "0.0.0.0/0 masquerade (built-in)",
		    "::/0 masquerade (built-in)" } },
		/* the user's own take the place of the built-in ones */
		{ "nonMasqueradeCIDRs:\n"
		  "- 0.0.0.0/0\n"
		  "- 169.254.0.0/16\n"
		  "- 10.0.0.0/8\n"
		  "- 10.0.0.0/8\n"
		  "masqueradeCIDRs: [ 172.30.0.0/16 ]\n",
		  { "0.0.0.0/0 keep (config /etc/x.yaml:2)",
		    "10.0.0.0/8 keep (config /etc/x.yaml:4)",
		    "169.254.0.0/16 keep (config /etc/x.yaml:3)",
		    "172.30.0.0/16 masquerade (config /etc/x.yaml:6)",
		    "::/0 masquerade (built-in)",
		    "fe80::/10 keep (built-in)" } },
		/* an address makes nothing masqueraded that was not */
		{ "nonMasqueradeCIDRs: [ 10.0.0.0/8 ]\n"
		  "masqueradeCIDRs: [ 10.1.0.0/16 ]\n"
		  "snat:\n"
		  "  addresses:\n"
		  "  - {destination: 10.2.0.0/16, address: 192.0.2.1}\n"
		  "  - {destination: 10.1.7.0/24, address: 192.0.2.2}\n"
		  "  - {destination: 11.0.0.0/8, address: 192.0.2.3}\n",
		  { "0.0.0.0/0 masquerade (built-in)",
		    "10.0.0.0/8 keep (config /etc/x.yaml:1)",
		    "10.1.0.0/16 masquerade (config /etc/x.yaml:2)",
		    "10.1.7.0/24 masquerade (config /etc/x.yaml:6)"
		    " as 192.0.2.2",
		    "11.0.0.0/8 masquerade (config /etc/x.yaml:7)"
		    " as 192.0.2.3",
		    "169.254.0.0/16 keep (built-in)",
		    "::/0 masquerade (built-in)",
		    "fe80::/10 keep (built-in)" } },
	};
	struct instance *instance = bare_instance(64);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *policy = from_yaml(instance, rows[i].yaml);

		check_destinations(policy, rows[i].want);
		apply(instance, policy);
		policy_free(policy);
	}
	bare_free(instance);
}

/* No prefix changes, and all the same it is another policy. */
static void test_settings(void **state)
{
	static const struct {
		const char *yaml;
		uint32_t generation;
	} rows[] = {
		{ "masqLinkLocal: false\n", 1 },
		{ "masqLinkLocal: false\n", 1 },
		{ "timeouts:\n  udp: 100s\n", 2 },
		{ "snat:\n  portRange: 20000-30000\n", 3 },
		{ "maxFlowsPerPod: 7\n", 4 },
		{ "dropForeignSources: true\n", 5 },
		{ "dropForeignSources: true\n", 5 },
	};
	struct instance *instance = bare_instance(64);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *policy = from_yaml(instance, rows[i].yaml), *is;
		struct policy_change change = apply(instance, policy);

		check_change(change, rows[i].generation, i ? 0 : policy->count,
			     0, 0);
		assert_int_equal(policy_read(instance, &is), 0);
		assert_memory_equal(is->head.timeout, policy->head.timeout,
				    sizeof(is->head.timeout));
		assert_int_equal(is->head.port_min, policy->head.port_min);
		assert_int_equal(is->head.flags, policy->head.flags);
		/* the prefixes are as old as they were */
		for (size_t k = 0; k < is->count; k++)
			assert_int_equal(is->entries[k].since, 1);
		policy_free(is);
		policy_free(policy);
	}
	bare_free(instance);
}

static bool port_closed(const struct instance *instance, uint16_t port)
{
	uint32_t key = active_half(instance) * MASQ_PORT_WORDS + port / 64;
	uint64_t word = 0;

	bpf_map_lookup_elem(instance->map[MAP_masq_ports], &key, &word);
	return word >> port % 64 & 1;
}

/* snat.strictPorts: a port outside the range is neither chosen nor kept. */
static void test_strict_ports(void **state)
{
	static const struct {
		const char *yaml;
		uint16_t from, to; /* none else is open */
	} rows[] = {
		{ "snat: {strictPorts: true, portRange: 40000-40999}\n", 40000,
		  40999 },
		{ "snat: {strictPorts: true, portRange: 1-9}\n", 1, 9 },
		{ "snat: {strictPorts: true, portRange: 65535-65535}\n", 65535,
		  65535 },
		{ "snat: {strictPorts: true}\n", 10240, 65535 },
		{ "snat: {strictPorts: false, portRange: 40000-40999}\n", 0,
		  65535 },
		{ "snat: {portRange: 40000-40999}\n", 0, 65535 },
	};
	struct instance *instance;

	(void)state;
	/* none is reserved here */
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	instance = bare_instance(64);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *policy = from_yaml(instance, rows[i].yaml);

		apply(instance, policy);
		for (uint32_t port = 0; port < 65536; port++) {
			bool open = port >= rows[i].from &&
				    port <= rows[i].to &&
				    (port < 30000 || port > 32767);

			if (port_closed(instance, port) == open)
				fail_msg("row %zu: port %u", i, port);
		}
		policy_free(policy);
	}
	bare_free(instance);
}

/* What the system reserves is never chosen; in a namespace of its own. */
static void test_reserved_ports(void **state)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_local_reserved_ports";
	static const struct {
		uint16_t port;
		bool taken;
	} rows[] = {
		{ 29999, false }, { 30000, true },  { 32767, true },
		{ 32768, false }, { 39999, false }, { 40000, true },
		{ 40001, false }, { 50010, true },  { 50019, true },
		{ 50020, false },
	};
	struct instance *instance;
	struct policy *policy;
	FILE *f;

	(void)state;
	assert_int_equal(unshare(CLONE_NEWNET), 0);
	f = fopen(path, "we");
	assert_non_null(f);
	fputs("40000,50010-50019", f);
	assert_int_equal(fclose(f), 0);
	instance = bare_instance(64);
	policy = from_yaml(instance, "masqLinkLocal: false\n");
	apply(instance, policy);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if (port_closed(instance, rows[i].port) != rows[i].taken)
			fail_msg("port %u", rows[i].port);
	}
	policy_free(policy);
	bare_free(instance);
}

/* Which lists a packet is looked up in, and what else it has to know. */
static void test_flags(void **state)
{
	static const struct {
		const char *yaml;
		uint32_t flags;
	} rows[] = {
		{ "resyncInterval: 5s\n", 0 },
		{ "enableIPv6: true\n", MASQ_P_IPV6 },
		{ "podCIDRs: [10.44.0.0/16]\n", MASQ_P_PODS4 },
		{ "podCIDRs: [fd00:44::/32]\nenableIPv6: false\n",
		  MASQ_P_PODS6 },
		{ "podCIDRs: [10.44.0.0/16, fd00:44::/32]\n",
		  MASQ_P_PODS4 | MASQ_P_PODS6 | MASQ_P_IPV6 },
		{ "podCIDRs: [10.44.0.0/16]\ndropForeignSources: true\n",
		  MASQ_P_PODS4 | MASQ_P_DROP_FOREIGN },
		{ "nonMasqueradeSrcCIDRs: [10.44.0.0/16]\n",
		  MASQ_P_KEEP_SOURCES },
		{ "snat:\n  rejectTCP: true\n", MASQ_P_REJECT_TCP },
		{ "snat:\n  strictPorts: true\n", MASQ_P_STRICT_PORTS },
	};
	struct instance *instance = bare_instance(64);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct policy *policy = from_yaml(instance, rows[i].yaml);

		/* this one the kernel decides */
		if (policy->head.flags != rows[i].flags)
			fail_msg("row \"%s\": flags 0x%x, want 0x%x",
				 rows[i].yaml, policy->head.flags,
				 rows[i].flags);
		policy_free(policy);
	}
	bare_free(instance);
}

/* Runs an apply that is killed as it enters its n-th system call. */
static bool apply_killed_at(struct instance *instance, struct policy *policy,
			    int n)
{
	int status, stops = 0;
	pid_t child = fork();

	if (!child) {
		struct policy_change change;

		if (ptrace(PTRACE_TRACEME, 0, 0, 0) || raise(SIGSTOP))
			_exit(2);
		if (policy_apply(instance, policy, &change))
			_exit(1);
		policy_settle(instance, policy, &change);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSTOPPED(status));
	while (WIFSTOPPED(status)) {
		/* each call stops twice, on entry and on return */
		if (stops++ == 2 * n)
			kill(child, SIGKILL);
		ptrace(PTRACE_SYSCALL, child, 0, 0);
		assert_int_equal(waitpid(child, &status, 0), child);
	}
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static void test_killed(void **state)
{
	struct instance *instance = bare_instance(4096);
	unsigned int seed = 7;
	struct policy *old = random_policy(&seed), *new = NULL;
	bool seen_old = false, seen_new = false;
	int n = 0;

	(void)state;
	apply(instance, old);
	for (;; n++) {
		struct policy *running;
		bool killed;

		policy_free(new);
		new = random_policy(&seed);
		killed = apply_killed_at(instance, new, n);
		assert_int_equal(policy_read(instance, &running), 0);
		if (same_policy(running, new)) {
			check_in_force(instance, new);
			seen_new = true;
		} else {
			assert_true(same_policy(running, old));
			check_in_force(instance, old);
			assert_true(killed);
			seen_old = true;
		}
		policy_free(running);
		/* and it heals: the next one is whole */
		policy_free(old);
		old = random_policy(&seed);
		apply(instance, old);
		if (!killed)
			break;
	}
	assert_true(seen_old && seen_new);
	/* a kill came before, in and after the edit */
	assert_in_range(n, 20, 1000);
	policy_free(new);
	policy_free(old);
	bare_free(instance);
}

/* A very large change brings the other half along after the flip. */
static void test_killed_late(void **state)
{
	struct policy *policy = big_policy(20000, 20000, 0);
	struct instance *instance;
	bool late = false;

	(void)state;
	/* it takes some 80 calls, where the kernel takes batches */
	for (int n = 40; !late; n += n / 8) {
		uint32_t zero = 0, active;
		struct masq_meta meta;

		instance = bare_instance(1 << 16);
		assert_true(apply_killed_at(instance, policy, n));
		assert_int_equal(
			bpf_map_lookup_elem(instance->map[MAP_masq_active],
					    &zero, &active),
			0);
		assert_int_equal(
			bpf_map_lookup_elem(instance->map[MAP_masq_meta], &zero,
					    &meta),
			0);
		late = active == 1 && meta.dirty == 1;
		if (!late)
			bare_free(instance);
	}
	check_in_force(instance, policy);
	policy_free(policy);
	apply_text(instance, "10.0.0.0/8", 2, 1, 20000, 0);
	apply_text(instance, "11.0.0.0/8", 3, 1, 1, 0);
	bare_free(instance);
}

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Applies and returns the processor time it took; prints both times. */
static void timed_apply(struct instance *instance, struct policy *policy,
			const char *what)
{
	double wall = seconds(CLOCK_MONOTONIC);
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	struct policy_change change;

	assert_int_equal(policy_apply(instance, policy, &change), 0);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	printf("%s: +%zu -%zu ~%zu: %.1f ms (%.1f ms processor)\n", what,
	       change.added, change.removed, change.changed,
	       1e3 * (seconds(CLOCK_MONOTONIC) - wall), 1e3 * cpu);
	policy_settle(instance, policy, &change);
}

/* Says how long it takes (a figure, not a test of it); what is applied is. */
static void test_speed(void **state)
{
	struct instance *instance = bare_instance(1 << 18);
	struct policy *policy = big_policy(100000, 100000, 0);

	(void)state;
	timed_apply(instance, policy, "fresh");
	check_in_force(instance, policy);
	policy_free(policy);
	for (int i = 1; i <= 2; i++) {
		policy = big_policy(100000, 95000, i * 5000);
		timed_apply(instance, policy, "10,000 changes");
		check_in_force(instance, policy);
		policy_free(policy);
	}
	bare_free(instance);
}

/*
 * snat.addresses: each masqueraded prefix has the address of the longest
 * destination that covers it; by looking at all of them, one by one.
 */
static void check_choices(const struct instance *instance, const char *yaml)
{
	struct config *config = NULL;
	struct policy *policy = from_yaml(instance, yaml);
	char err[512];

	assert_int_equal(config_parse(yaml, strlen(yaml), "x", NULL, &config,
				      err, sizeof(err)),
			 0);
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];
		const struct config_snat *best = NULL;

		if (entry->list != MASQ_L_DST ||
		    entry->action != MASQ_MASQUERADE) {
			assert_int_equal(entry->snat, 0);
			continue;
		}
		for (size_t k = 0; k < config->snat_count; k++)
			if (cidr_covers(&config->snat[k].dest, &entry->cidr) &&
			    (!best ||
			     config->snat[k].dest.plen > best->dest.plen))
				best = &config->snat[k];
		assert_int_equal(!entry->snat, !best);
		if (best)
			assert_int_equal(
				pool_cmp(&policy->snat[entry->snat - 1],
					 &best->pool),
				0);
	}
	config_free(config);
	policy_free(policy);
}

static void test_choices(void **state)
{
	static const char *const dests[] = {
		"0.0.0.0/0",	  "10.0.0.0/8",	   "10.1.0.0/16",
		"10.1.2.0/24",	  "10.1.2.3/32",   "172.16.0.0/12",
		"172.30.0.0/16",  "172.30.1.0/24", "192.168.0.0/16",
		"172.30.12.0/24", "128.0.0.0/1",
	};
	struct instance *instance = bare_instance(64);
	size_t length;
	char *yaml;
	FILE *f;

	(void)state;
	srand(4);
	for (int round = 0; round < 300; round++) {
		unsigned int bits = rand();

		f = open_memstream(&yaml, &length);
		fprintf(f, "nonMasqueradeCIDRs: [10.0.0.0/8, 192.168.0.0/16]\n"
			   "masqueradeCIDRs: [10.1.0.0/16, 172.30.0.0/16]\n"
			   "snat:\n  addresses:\n");
		for (unsigned int i = 0; i < sizeof(dests) / sizeof(dests[0]);
		     i++)
			if (bits >> i & 1)
				fprintf(f,
					"  - {destination: %s, address: "
					"192.0.2.%d}\n",
					dests[i], 1 + rand() % 4);
		if (bits >> 11 & 1)
			fprintf(f, "  - 2001:db8::1\n");
		fprintf(f,
			"  - {destination: 1.0.0.0/8, address: 192.0.2.9}\n");
		fclose(f);
		check_choices(instance, yaml);
		free(yaml);
	}
	/* as many as somebody may write */
	f = open_memstream(&yaml, &length);
	fprintf(f, "nonMasqueradeCIDRs: []\nsnat:\n  addresses:\n"
		   "  - 192.0.2.250\n");
	for (int i = 0; i < 3000; i++)
		fprintf(f,
			"  - {destination: 11.0.%d.%d/32, address: "
			"192.0.2.%d}\n",
			i >> 8, i & 255, 1 + i % 200);
	fclose(f);
	check_choices(instance, yaml);
	free(yaml);
	bare_free(instance);
}

/* What the sources are of, packets know: of the policy in force alone. */
static void test_nets(void **state)
{
	static const struct {
		const char *addresses;
		unsigned int keys;
		const char *inside, *outside;
	} rows[] = {
		{ "192.0.2.8", 1, "192.0.2.8", "192.0.2.9" },
		/* .8 .16/29 .24/30 */
		{ "192.0.2.8, 192.0.2.16/30, 192.0.2.20-192.0.2.27", 3,
		  "192.0.2.27", "192.0.2.28" },
		{ "192.0.2.24-192.0.2.31", 1, "192.0.2.31", "192.0.2.8" },
		{ "10.9.0.0/16", 1, "10.9.200.1", "192.0.2.31" },
		{ "", 0, NULL, "10.9.200.1" },
	};
	struct instance *instance = bare_instance(64);
	int fd = instance->map[MAP_masq_nets];
	/* a route's, which is nobody else's business */
	struct masq_lpm_key route = { .plen = MASQ_LPM_SET_BITS + 29,
				      .set = 4,
				      .addr = { htonl(0xc0000218) } };
	uint32_t bits = MASQ_NET_ROUTE;

	(void)state;
	assert_int_equal(bpf_map_update_elem(fd, &route, &bits, 0), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct masq_lpm_key key = {}, *last = NULL;
		struct policy_change change;
		struct policy *policy;
		unsigned int keys = 0;
		char yaml[256];

		snprintf(yaml, sizeof(yaml),
			 *rows[i].addresses
				 ? "snat: {addresses: [{address: [%s]}]}\n"
				 : "resyncInterval: 5s\n%s",
			 rows[i].addresses);
		policy = from_yaml(instance, yaml);
		assert_int_equal(!!(policy->head.flags & MASQ_P_SNAT),
				 !!*rows[i].addresses);
		assert_int_equal(policy_apply(instance, policy, &change), 0);
		policy_free(policy);
		for (; !bpf_map_get_next_key(fd, last, &key); last = &key) {
			assert_int_equal(bpf_map_lookup_elem(fd, &key, &bits),
					 0);
			keys += !!(bits & MASQ_NET_SNAT);
		}
		assert_int_equal(keys, rows[i].keys);
		key = (struct masq_lpm_key){ .plen = MASQ_LPM_SET_BITS + 32,
					     .set = 4 };
		for (int in = !rows[i].inside; in < 2; in++) {
			inet_pton(AF_INET,
				  in ? rows[i].outside : rows[i].inside,
				  key.addr);
			if (bpf_map_lookup_elem(fd, &key, &bits))
				bits = 0;
			assert_int_equal(!!(bits & MASQ_NET_SNAT), !in);
		}
		assert_int_equal(bpf_map_lookup_elem(fd, &route, &bits), 0);
		assert_true(bits & MASQ_NET_ROUTE);
	}
	bare_free(instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_applied),
		cmocka_unit_test(test_sort),
		cmocka_unit_test(test_change_counts),
		cmocka_unit_test(test_slots),
		cmocka_unit_test(test_live_flow_keeps_slot),
		cmocka_unit_test(test_from_config),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_settings),
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_nets),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_killed),
		cmocka_unit_test(test_killed_late),
		cmocka_unit_test(test_speed),
		cmocka_unit_test(test_strict_ports),
		cmocka_unit_test(test_reserved_ports), /* has a namespace */
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

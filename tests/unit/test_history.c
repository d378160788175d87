// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_history.c - policies kept in a real map: what is loaded is what was
 * applied, the oldest make room, and a writer that was killed leaves nothing
 * that is taken for a policy.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "policy/apply.h"
#include "policy/read.h"
#include "bare.h"
#include "policy/history.h"
#include "base/log.h"

/* `count` kept /32s that no other `number` has, and the built-ins. */
static struct policy *make_policy(uint32_t count, uint32_t number)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	assert_non_null(policy);
	policy->head.port_min = 10240;
	policy->head.port_max = 65535;
	policy->head.flags = MASQ_P_IPV6;
	strcpy(policy->source.config_path, "/etc/masqbpf.yaml");
	policy->snat = calloc(2, sizeof(*policy->snat));
	assert_int_equal(pool_parse("192.0.2.1", &policy->snat[0], NULL, 0), 0);
	policy->snat_count = 1;
	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry entry = {
			.list = MASQ_L_DST,
			.action = i % 2 ? MASQ_KEEP : MASQ_MASQUERADE,
			.snat = !(i % 2),
			.origin = MASQ_O_CONFIG,
			.line = i + 1,
			.cidr = { { 4, { htonl(number << 20 | i) } }, 32 },
		};

		assert_int_equal(policy_append(policy, &entry), 0);
	}
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	return policy;
}

/* Nothing in it can be written shortly. */
static struct policy *make_random(uint32_t count, unsigned int seed)
{
	struct policy *policy = make_policy(0, 1);

	/* one of each kind that a pool may have */
	assert_int_equal(pool_parse("2001:db8::8", &policy->snat[1], NULL, 0),
			 0);
	for (int i = 0; i < 2 && seed % 2; i++) {
		struct pool more;

		pool_parse(i ? "2001:db8::10/124" : "2001:db8::1-2001:db8::3",
			   &more, NULL, 0);
		assert_int_equal(pool_add(&policy->snat[1], &more), 0);
	}
	policy->snat_count = 2;
	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry entry = {
			.list = 1 + rand_r(&seed) % 3,
			.action = rand_r(&seed) % 2,
			.snat = rand_r(&seed) % 3,
			.origin = rand_r(&seed) % (MASQ_O_RUNTIME + 1),
			.line = (uint32_t)rand_r(&seed) << 1,
			.since = (uint32_t)rand_r(&seed) << 1,
			.cidr = { .addr.family = rand_r(&seed) % 2 ? 4 : 6 },
		};
		int words = entry.cidr.addr.family == 4 ? 1 : 4;

		for (int k = 0; k < words; k++)
			entry.cidr.addr.a[k] =
				rand_r(&seed) % 4 ? (uint32_t)rand_r(&seed) << 1
						  : rand_r(&seed) % 256U;
		entry.cidr = cidr_of(&entry.cidr.addr,
				     rand_r(&seed) % (32 * words + 1));
		assert_int_equal(policy_append(policy, &entry), 0);
	}
	policy_sort(policy);
	return policy;
}

/* IPv6 hosts with random lines: 22 bytes each. */
static struct policy *make_large(uint32_t count, unsigned int seed)
{
	struct policy *policy = make_policy(0, 1);

	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry entry = {
			.list = MASQ_L_DST,
			.action = MASQ_KEEP,
			.origin = MASQ_O_CONFIG,
			.line = (uint32_t)rand_r(&seed) << 1,
			.cidr = { { 6 }, 128 },
		};

		for (int k = 0; k < 4; k++)
			entry.cidr.addr.a[k] =
				htonl((uint32_t)rand_r(&seed) << 1 | 1);
		assert_int_equal(policy_append(policy, &entry), 0);
	}
	policy_sort(policy);
	return policy;
}

static struct policy_change apply(struct instance *instance,
				  struct policy *policy)
{
	struct policy_change change;

	assert_int_equal(policy_apply(instance, policy, &change), 0);
	return change;
}

static void check_same(const struct policy *a, const struct policy *b)
{
	assert_int_equal(a->count, b->count);
	assert_int_equal(a->snat_count, b->snat_count);
	assert_memory_equal(&a->head, &b->head, sizeof(a->head));
	assert_memory_equal(&a->source, &b->source, sizeof(a->source));
	for (size_t i = 0; i < a->snat_count; i++)
		assert_int_equal(pool_cmp(&a->snat[i], &b->snat[i]), 0);
	for (size_t i = 0; i < a->count; i++) {
		const struct policy_entry *x = &a->entries[i];
		const struct policy_entry *y = &b->entries[i];

		assert_int_equal(cidr_cmp(&x->cidr, &y->cidr), 0);
		assert_int_equal(x->list, y->list);
		assert_int_equal(x->action, y->action);
		assert_int_equal(x->origin, y->origin);
		assert_int_equal(x->line, y->line);
		assert_int_equal(x->since, y->since);
		assert_int_equal(x->snat, y->snat);
	}
}

static void loaded_is_what_was_applied(void **state)
{
	struct instance *instance = bare_instance(16384);
	struct history_note note;

	(void)state;
	for (uint32_t g = 1; g <= 5; g++) {
		struct policy *policy = make_policy(g * g * 100, g), *loaded;

		apply(instance, policy);
		assert_int_equal(history_load(instance, g, &loaded, &note), 0);
		check_same(loaded, policy);
		assert_int_equal(note.change.generation, g);
		assert_int_equal(note.change.added, g * g * 100 + (g == 1) * 2);
		assert_non_null(strstr(note.command, "test_history"));
		policy_free(loaded);
		policy_free(policy);
	}
	assert_int_equal(history_load(instance, 6, NULL, &note), -ENOENT);
	bare_free(instance);
}

static void every_kind_of_entry(void **state)
{
	struct instance *instance = bare_instance(64);
	struct policy *loaded;

	(void)state;
	for (uint32_t g = 1; g <= 50; g++) {
		struct policy *policy = make_random(g * g, g);

		policy->head.generation = g;
		history_save(instance, policy, &(struct policy_change){});
		assert_int_equal(history_load(instance, g, &loaded, NULL), 0);
		check_same(loaded, policy);
		policy_free(loaded);
		policy_free(policy);
	}
	bare_free(instance);
}

static void back_to_an_old_one(void **state)
{
	struct instance *instance = bare_instance(4096);
	struct policy *first = make_policy(500, 1), *second = make_policy(9, 2);
	struct policy *old, *running;

	(void)state;
	apply(instance, first);
	apply(instance, second);
	assert_int_equal(history_load(instance, 1, &old, NULL), 0);
	assert_int_equal(apply(instance, old).generation, 3);
	assert_int_equal(policy_read(instance, &running), 0);
	assert_int_equal(running->count, first->count);
	for (size_t i = 0; i < first->count; i++)
		assert_int_equal(cidr_cmp(&running->entries[i].cidr,
					  &first->entries[i].cidr),
				 0);
	policy_free(running);
	policy_free(old);
	policy_free(first);
	policy_free(second);
	bare_free(instance);
}

static unsigned int count_kept(const struct instance *instance, uint32_t from)
{
	unsigned int kept = 0;

	for (uint32_t g = from; (g = history_newest(instance, g)); g--)
		kept++;
	return kept;
}

static unsigned int count_chunks(const struct instance *instance)
{
	int fd = instance->map[MAP_masq_history];
	struct masq_history_key key;
	unsigned int count = 0;

	for (void *at = NULL; !bpf_map_get_next_key(fd, at, &key); at = &key)
		count++;
	return count;
}

static void the_oldest_make_room(void **state)
{
	struct instance *instance = bare_instance(1024);
	uint32_t g;

	(void)state;
	for (g = 1; g <= 3 * HISTORY_KEPT; g++) {
		struct policy *policy = make_policy(40, g);

		apply(instance, policy);
		policy_free(policy);
	}
	assert_int_equal(count_kept(instance, g - 1), HISTORY_KEPT);
	assert_int_equal(history_newest(instance, g - 1 - HISTORY_KEPT), 0);
	/* 2 KiB each, and nothing of the others */
	assert_int_equal(count_chunks(instance), HISTORY_KEPT * 2);
	bare_free(instance);
}

/* Three of these fill the map: the fourth costs the first its place. */
static void very_large_ones(void **state)
{
	const uint32_t count = MASQ_HISTORY_CHUNKS * 13;
	struct instance *instance = bare_instance(64);
	struct policy *loaded;

	(void)state;
	for (uint32_t g = 1; g <= 4; g++) {
		struct policy *policy = make_large(count, g);

		policy->head.generation = g;
		history_save(instance, policy,
			     &(struct policy_change){ .generation = g });
		assert_int_equal(history_load(instance, g, &loaded, NULL), 0);
		check_same(loaded, policy);
		policy_free(loaded);
		policy_free(policy);
	}
	assert_int_equal(history_load(instance, 1, NULL, NULL), -ENOENT);
	assert_in_range(count_kept(instance, 4), 2, 3);
	bare_free(instance);
}

/* Whatever lies in the map, it is a policy or refused. */
static void damaged_text(void **state)
{
	struct instance *instance = bare_instance(64);
	struct policy *policy = make_random(60, 5), *loaded;
	struct masq_history_key key = { .generation = 1 };
	struct masq_history_chunk whole, chunk;
	int fd = instance->map[MAP_masq_history];
	unsigned int refused = 0, taken = 0, seed = 9;

	(void)state;
	policy->head.generation = 1;
	history_save(instance, policy, &(struct policy_change){});
	for (int i = 0; i < 3000; i++) {
		key.chunk = rand_r(&seed) % 2;
		assert_int_equal(bpf_map_lookup_elem(fd, &key, &whole), 0);
		chunk = whole;
		chunk.bytes[rand_r(&seed) % sizeof(chunk.bytes)] ^=
			1 << rand_r(&seed) % 8;
		assert_int_equal(bpf_map_update_elem(fd, &key, &chunk, 0), 0);
		if (history_load(instance, 1, &loaded, NULL)) {
			refused++;
		} else {
			taken++;
			for (size_t k = 0; k < loaded->snat_count; k++)
				assert_true(pool_is_sound(&loaded->snat[k]));
			policy_free(loaded);
		}
		assert_int_equal(bpf_map_update_elem(fd, &key, &whole, 0), 0);
	}
	assert_true(refused > 100 && taken > 100);
	/* a whole chunk is missing */
	assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
	assert_int_not_equal(history_load(instance, 1, &loaded, NULL), 0);
	policy_free(policy);
	bare_free(instance);
}

static void a_killed_writer(void **state)
{
	struct instance *instance = bare_instance(1024);
	struct policy *policy = make_policy(300, 1), *loaded;
	struct masq_history_key key = { .generation = 1 };
	struct masq_history_chunk chunk;
	int fd = instance->map[MAP_masq_history];
	uint32_t chunks;

	(void)state;
	apply(instance, policy);
	chunks = count_chunks(instance);
	/* as it is before the last write: `whole` is the first field */
	assert_int_equal(bpf_map_lookup_elem(fd, &key, &chunk), 0);
	memset(chunk.bytes, 0, 4);
	assert_int_equal(bpf_map_update_elem(fd, &key, &chunk, BPF_ANY), 0);
	assert_int_equal(history_load(instance, 1, &loaded, NULL), -ENOENT);
	assert_int_equal(history_newest(instance, 1), 0);
	/* nor is one from which a removal was cut short */
	key.chunk = chunks - 1;
	assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
	/* and the next one of that number takes its place */
	history_save(instance, policy, &(struct policy_change){});
	assert_int_equal(history_load(instance, 1, &loaded, NULL), 0);
	assert_int_equal(count_chunks(instance), chunks);
	policy_free(loaded);
	policy_free(policy);
	bare_free(instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loaded_is_what_was_applied),
		cmocka_unit_test(every_kind_of_entry),
		cmocka_unit_test(back_to_an_old_one),
		cmocka_unit_test(the_oldest_make_room),
		cmocka_unit_test(very_large_ones),
		cmocka_unit_test(a_killed_writer),
		cmocka_unit_test(damaged_text),
	};

	log_level = -1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

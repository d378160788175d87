// SPDX-License-Identifier: GPL-2.0-only
/* bare.c - see bare.h. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>
#include "bare.h"

static int make_map(enum bpf_map_type type, size_t key, size_t value,
		    uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = flags);
	int fd = bpf_map_create(type, "masq_test", key, value, entries, &opts);

	if (fd < 0)
		fail_msg("bpf_map_create: %s", strerror(errno));
	return fd;
}

static int make_array(size_t value, uint32_t entries)
{
	return make_map(BPF_MAP_TYPE_ARRAY, 4, value, entries, 0);
}

/* One that user space maps into its memory. */
static int make_table(size_t value, uint32_t entries)
{
	return make_map(BPF_MAP_TYPE_ARRAY, 4, value, entries, BPF_F_MMAPABLE);
}

static size_t prefixes_size(uint32_t slots)
{
	size_t page = getpagesize();

	return (slots * sizeof(struct masq_prefix) + page - 1) / page * page;
}

struct instance *bare_instance(uint32_t slots)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct instance *instance = calloc(1, sizeof(*instance));
	int *map = instance->map;
	const struct masq_shape shape = masq_shape_for(BARE_MAX_FLOWS);
	uint32_t zero = 0;

	/* before 5.11 maps count as locked memory */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		map[i] = -1;
	map[MAP_masq_meta] = make_array(sizeof(struct masq_meta), 1);
	map[MAP_masq_active] = make_array(4, 1);
	map[MAP_masq_policy] = make_array(sizeof(struct masq_policy), 2);
	map[MAP_masq_ports] = make_array(8, 2 * MASQ_PORT_WORDS);
	map[MAP_masq_snat] =
		make_array(sizeof(struct masq_addr), MASQ_MAX_SNAT);
	for (int half = 0; half < 2; half++)
		map[MAP_masq_trie_a + half] = make_map(
			BPF_MAP_TYPE_LPM_TRIE, sizeof(struct masq_lpm_key),
			sizeof(struct masq_lpm_value), 1 << 20,
			BPF_F_NO_PREALLOC);
	map[MAP_masq_nets] = make_map(BPF_MAP_TYPE_LPM_TRIE,
				      sizeof(struct masq_lpm_key), 4, 1024,
				      BPF_F_NO_PREALLOC);
	map[MAP_masq_prefixes] = make_table(sizeof(struct masq_prefix), slots);
	map[MAP_masq_history] =
		make_map(BPF_MAP_TYPE_HASH, sizeof(struct masq_history_key),
			 sizeof(struct masq_history_chunk), MASQ_HISTORY_CHUNKS,
			 BPF_F_NO_PREALLOC);
	map[MAP_masq_counters] = make_map(BPF_MAP_TYPE_PERCPU_ARRAY, 4,
					  sizeof(struct masq_prefix_count),
					  slots, 0);
	map[MAP_masq_flows4] =
		make_table(sizeof(struct masq_page4), masq_shape_pages(shape));
	map[MAP_masq_flows6] =
		make_table(sizeof(struct masq_page6), masq_shape_pages(shape));
	for (int i = MAP_masq_aside4; i <= MAP_masq_aside6; i++)
		map[i] = make_table(sizeof(struct masq_aside_page),
				    masq_shape_pages(shape));

	instance->lock_fd = -1;
	instance->cpus = libbpf_num_possible_cpus();
	instance->meta = (struct masq_meta){ .magic = MASQ_MAGIC,
					     .abi = MASQ_ABI,
					     .hz = 1000,
					     .max_flows = BARE_MAX_FLOWS,
					     .max_prefixes = slots,
					     .shape = { shape, shape } };
	assert_int_equal(bpf_map_update_elem(map[MAP_masq_meta], &zero,
					     &instance->meta, BPF_ANY),
			 0);
	instance->prefixes = mmap(NULL, prefixes_size(slots),
				  PROT_READ | PROT_WRITE, MAP_SHARED,
				  map[MAP_masq_prefixes], 0);
	assert_ptr_not_equal(instance->prefixes, MAP_FAILED);
	return instance;
}

void bare_free(struct instance *instance)
{
	munmap(instance->prefixes, prefixes_size(instance->meta.max_prefixes));
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		if (instance->map[i] >= 0)
			close(instance->map[i]);
	free(instance);
}

/* Changes a part of one entry. */
static void put(int fd, uint32_t entry, size_t size, size_t at,
		const void *part, size_t part_size)
{
	char *value = malloc(size);

	assert_non_null(value);
	assert_int_equal(bpf_map_lookup_elem(fd, &entry, value), 0);
	memcpy(value + at, part, part_size);
	assert_int_equal(bpf_map_update_elem(fd, &entry, value, BPF_ANY), 0);
	free(value);
}

void bare_put(struct instance *instance, int family, uint32_t slot,
	      const void *flow, const struct masq_aside *aside)
{
	bool ipv4 = family == 4;
	int fd = instance->map[ipv4 ? MAP_masq_flows4 : MAP_masq_flows6];
	size_t size = ipv4 ? sizeof(struct masq_page4)
			   : sizeof(struct masq_page6);
	size_t flow_size = ipv4 ? sizeof(struct masq_flow4)
				: sizeof(struct masq_flow6);
	uint32_t page = slot >> MASQ_PAGE_SHIFT;
	uint32_t at = slot & (MASQ_PAGE_SLOTS - 1);
	/* taken, all of them: what is in a slot says whether it is a record */
	struct masq_label label = { .used = ~0ULL };

	put(instance->map[ipv4 ? MAP_masq_aside4 : MAP_masq_aside6], page,
	    sizeof(struct masq_aside_page), at * sizeof(*aside), aside,
	    sizeof(*aside));
	put(fd, page, size, sizeof(label) + at * flow_size, flow, flow_size);
	put(fd, page, size, 0, &label, sizeof(label));
}

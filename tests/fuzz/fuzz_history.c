// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_history.c - libFuzzer on policies that are kept in a pinned map, whose
 * bytes are the fuzzer's: the first four lie in chunk 0 of generation 1, and
 * so on. What is loaded is a policy that can be applied.
 */
#include <errno.h>
#include <bpf/bpf.h>
#include "fuzz.h"
#include "policy/history.h"
#include "base/log.h"

static const uint8_t *map;
static size_t map_size;

/* The map's: every generation has the same text. */
int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	const struct masq_history_key *k = key;
	struct masq_history_chunk *chunk = value;
	size_t offset = k->chunk * sizeof(*chunk), left;

	(void)fd;
	if (offset >= map_size)
		return errno = ENOENT, -ENOENT;
	left = map_size - offset;
	memset(chunk, 0, sizeof(*chunk));
	memcpy(chunk, map + offset,
	       left < sizeof(*chunk) ? left : sizeof(*chunk));
	return 0;
}

static int deletes;
int bpf_map_delete_elem(int fd, const void *key)
{
	(void)fd;
	(void)key;
	deletes++;
	return 0;
}

int bpf_map_update_elem(int fd, const void *key, const void *value, __u64 flags)
{
	(void)fd;
	(void)key;
	(void)value;
	(void)flags;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct instance instance = {};
	struct policy *policy;
	struct history_note note;

	log_level = -2;
	map = data;
	map_size = size;
	if (history_load(&instance, 1, &policy, &note))
		return 0;
	require(strlen(note.who) < sizeof(note.who));
	require(strlen(note.command) < sizeof(note.command));
	for (size_t i = 0; i < policy->count; i++) {
		const struct policy_entry *entry = &policy->entries[i];
		char text[CIDR_STRLEN];
		struct cidr again;

		cidr_format(&entry->cidr, text, sizeof(text));
		require(!cidr_parse(text, &again, NULL, 0));
		require(!cidr_cmp(&entry->cidr, &again));
		require(entry->action == MASQ_KEEP ||
			entry->action == MASQ_MASQUERADE);
		require(entry->snat <= policy->snat_count);
	}
	require(policy->snat_count <= MASQ_MAX_SNAT);
	policy_free(policy);
	return 0;
}

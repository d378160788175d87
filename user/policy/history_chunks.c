// SPDX-License-Identifier: GPL-2.0-only
/* history_chunks.c - what masq_history is made of. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "policy/history_chunks.h"

/* An allocation in a map may fail for a moment (kernel's per-CPU caches). */
#define PATIENCE 100
static const struct timespec moment = { .tv_nsec = 1000000 };

uint32_t history_chunks(uint32_t length)
{
	uint32_t count = length / HISTORY_CHUNK + !!(length % HISTORY_CHUNK);

	return count < MASQ_HISTORY_CHUNKS ? count : MASQ_HISTORY_CHUNKS;
}

int history_chunk_read(const struct instance *instance, uint32_t generation,
		       uint32_t n, struct masq_history_chunk *chunk)
{
	struct masq_history_key key = { generation, n };

	return bpf_map_lookup_elem(instance->map[MAP_masq_history], &key,
				   chunk);
}

int history_head_read(const struct instance *instance, uint32_t generation,
		      struct history_head *head)
{
	struct masq_history_chunk chunk;
	int err = history_chunk_read(instance, generation, 0, &chunk);

	if (!err)
		memcpy(head, chunk.bytes, sizeof(*head));
	return err;
}

void history_forget_beside(const struct instance *instance, uint32_t generation,
			   uint32_t from)
{
	struct masq_history_key key = { generation, HISTORY_BESIDE + from };

	while (key.chunk - HISTORY_BESIDE <= HISTORY_BESIDE_MAX &&
	       !bpf_map_delete_elem(instance->map[MAP_masq_history], &key))
		key.chunk++;
}

/* Chunk 0, which knows how many there are, goes last. */
void history_forget(const struct instance *instance, uint32_t generation)
{
	int fd = instance->map[MAP_masq_history];
	struct masq_history_key *keys;
	uint32_t count, done;
	struct history_head head;

	history_forget_beside(instance, generation, 0);
	if (history_head_read(instance, generation, &head))
		return;
	count = history_chunks(head.length);
	keys = calloc(count, sizeof(*keys));
	for (uint32_t i = 0; keys && i < count; i++)
		keys[i] =
			(struct masq_history_key){ generation, count - 1 - i };
	for (uint32_t at = 0; keys && at < count; at += done) {
		done = count - at;
		/* stops at one that a killed writer did not write */
		if (bpf_map_delete_batch(fd, keys + at, &done, NULL))
			done = done < count - at ? done + 1 : 1;
	}
	free(keys);
}

/* The oldest one that is kept and is not this one; 0: none. */
static uint32_t oldest_but(const struct instance *instance, uint32_t generation)
{
	struct history_head head;

	for (uint32_t back = HISTORY_KEPT; back; back--)
		if (generation > back &&
		    !history_head_read(instance, generation - back, &head))
			return generation - back;
	return 0;
}

/* `count` chunks of the text, in order, from this number on. */
int history_chunks_write(const struct instance *instance, uint32_t generation,
			 uint32_t first, const char *text, uint32_t count)
{
	int fd = instance->map[MAP_masq_history], err = 0;
	int patience = PATIENCE;
	struct masq_history_key *keys = calloc(count, sizeof(*keys));
	uint32_t done, old;

	if (!keys)
		return -ENOMEM;
	for (uint32_t n = 0; n < count; n++)
		keys[n] = (struct masq_history_key){ generation, first + n };
	for (uint32_t at = 0; at < count; at += done) {
		done = count - at;
		err = bpf_map_update_batch(
			fd, keys + at, text + at * HISTORY_CHUNK, &done, NULL);
		if (!err)
			break;
		/* an error before the first element leaves it as it was */
		if (done == count - at)
			done = 0;
		if (err == -E2BIG && (old = oldest_but(instance, generation)))
			history_forget(instance, old);
		else if (err == -ENOMEM && patience--)
			nanosleep(&moment, NULL);
		else
			break;
	}
	free(keys);
	return err;
}

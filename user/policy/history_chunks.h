/* SPDX-License-Identifier: GPL-2.0-only */
/* history_chunks.h - texts of bytes in masq_history, a chunk at a time. */
#ifndef MASQ_POLICY_HISTORY_CHUNKS_H
#define MASQ_POLICY_HISTORY_CHUNKS_H

#include "plane/instance.h"

#define HISTORY_CHUNK sizeof(struct masq_history_chunk)

#define HISTORY_KEPT  16 /* generations; fewer when they are very large */
/* Bytes that may be noted beside a generation. */
#define HISTORY_NOTE_MAX (512 << 10)

/* What is noted beside a generation has chunks of its own, from this one on. */
#define HISTORY_BESIDE	   0x80000000U
#define HISTORY_BESIDE_MAX (HISTORY_NOTE_MAX / HISTORY_CHUNK + 1)

/* What a policy's text begins with, all of it in chunk 0. */
struct history_head {
	uint32_t whole;
	uint32_t length; /* of all of it */
	uint32_t entries, snats;
	uint32_t added, removed, changed;
	uint32_t pad;
	char who[64];
	char command[192];
	struct masq_policy policy;
	struct masq_source source;
};
_Static_assert(sizeof(struct history_head) <= HISTORY_CHUNK,
	       "chunk 0 holds the head");

/* How many a text of so many bytes has. */
uint32_t history_chunks(uint32_t length);
/* 0 or -errno. */
int history_chunk_read(const struct instance *instance, uint32_t generation,
		       uint32_t n, struct masq_history_chunk *chunk);
/* `count` chunks of the text, in order, from this number on. */
int history_chunks_write(const struct instance *instance, uint32_t generation,
			 uint32_t first, const char *text, uint32_t count);
/* Whole or not. */
int history_head_read(const struct instance *instance, uint32_t generation,
		      struct history_head *head);
/* All of a generation, its notes too. */
void history_forget(const struct instance *instance, uint32_t generation);
/* Only its notes, from this chunk on. */
void history_forget_beside(const struct instance *instance, uint32_t generation,
			   uint32_t from);

#endif

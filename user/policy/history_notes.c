// SPDX-License-Identifier: GPL-2.0-only
/* history_notes.c - bytes beside a generation, as history.h has them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/hash.h"
#include "policy/history.h"
#include "policy/history_chunks.h"

struct beside {
	uint32_t length;
	uint32_t pad;
	uint64_t sum; /* of the bytes: half of it may be of another writer */
};

int history_note_write(const struct instance *instance, uint32_t generation,
		       const void *bytes, size_t length)
{
	size_t whole = sizeof(struct beside) + length;
	uint32_t count = history_chunks(whole);
	struct beside *head;
	int err;

	if (length > HISTORY_NOTE_MAX)
		return -E2BIG;
	head = calloc(count, HISTORY_CHUNK);
	if (!head)
		return -ENOMEM;
	head->length = length;
	head->sum = hash_of(bytes, length);
	memcpy(head + 1, bytes, length);
	err = history_chunks_write(instance, generation, HISTORY_BESIDE,
				   (char *)head, count);
	if (!err)
		history_forget_beside(instance, generation, count);
	free(head);
	return err;
}

int history_note_read(const struct instance *instance, uint32_t generation,
		      void **bytes, size_t *length)
{
	struct masq_history_chunk chunk;
	struct beside head;
	uint32_t count;
	char *text;
	int err = history_chunk_read(instance, generation, HISTORY_BESIDE,
				     &chunk);

	if (err)
		return err;
	memcpy(&head, chunk.bytes, sizeof(head));
	if (head.length > HISTORY_NOTE_MAX)
		return -EBADMSG;
	count = history_chunks(sizeof(head) + head.length);
	text = calloc(count, HISTORY_CHUNK);
	if (!text)
		return -ENOMEM;
	for (uint32_t n = 0; n < count && !err; n++)
		err = history_chunk_read(instance, generation,
					 HISTORY_BESIDE + n,
					 (struct masq_history_chunk *)text + n);
	if (!err && hash_of(text + sizeof(head), head.length) != head.sum)
		err = -EAGAIN;
	if (err) {
		free(text);
		return err;
	}
	memmove(text, text + sizeof(head), head.length);
	*bytes = text;
	*length = head.length;
	return 0;
}

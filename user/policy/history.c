// SPDX-License-Identifier: GPL-2.0-only
/*
 * history.c - the last policies in masq_history. Each is one text of bytes:
 * struct head, its source addresses, its entries; cut into chunks. Chunk 0 is
 * written first, with `whole` unset, and again last, so that a writer who was
 * killed leaves nothing that is mistaken for a policy, and nothing that the
 * next one cannot remove.
 * The writing is paid by chunk, and so is the room: see entry_code.h.
 */
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <bpf/bpf.h>
#include "base/hash.h"
#include "base/log.h"
#include "policy/author.h"
#include "policy/entry_code.h"
#include "policy/history.h"

#define CHUNK sizeof(struct masq_history_chunk)

/* An allocation in a map may fail for a moment (kernel's per-CPU caches). */
#define PATIENCE 100
static const struct timespec moment = { .tv_nsec = 1000000 };

/* Head.whole; 1 was that of entries of a fixed size. With POOLS not every source
 * is an address by itself: who does not know of them does not see the policy. */
#define WHOLE 2
#define POOLS 3

struct head {
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
_Static_assert(sizeof(struct head) <= CHUNK, "chunk 0 holds the head");

enum {
	ENDS, /* the pool */
	UNTIL, /* the next item is the last address of this one's range */
	GOES_ON, /* the next item begins another range of the pool */
};

struct source_item {
	__be32 addr[4];
	uint8_t family;
	uint8_t then; /* in a text of POOLS */
	uint8_t pad[2];
};

/* --- chunks ------------------------------------------------------------ */

static uint32_t chunks(uint32_t length)
{
	uint32_t count = length / CHUNK + !!(length % CHUNK);

	return count < MASQ_HISTORY_CHUNKS ? count : MASQ_HISTORY_CHUNKS;
}

static int read_chunk(const struct instance *instance, uint32_t generation,
		      uint32_t n, struct masq_history_chunk *chunk)
{
	struct masq_history_key key = { generation, n };

	return bpf_map_lookup_elem(instance->map[MAP_masq_history], &key,
				   chunk);
}

static int read_head(const struct instance *instance, uint32_t generation,
		     struct head *head)
{
	struct masq_history_chunk chunk;
	int err = read_chunk(instance, generation, 0, &chunk);

	if (!err)
		memcpy(head, chunk.bytes, sizeof(*head));
	return err;
}

/* What is noted beside a generation has chunks of its own, from this one on. */
#define BESIDE	   0x80000000U
#define BESIDE_MAX (HISTORY_NOTE_MAX / CHUNK + 1)

static void forget_beside(const struct instance *instance, uint32_t generation,
			  uint32_t from)
{
	struct masq_history_key key = { generation, BESIDE + from };

	while (key.chunk - BESIDE <= BESIDE_MAX &&
	       !bpf_map_delete_elem(instance->map[MAP_masq_history], &key))
		key.chunk++;
}

/* Chunk 0, which knows how many there are, goes last. */
static void forget(const struct instance *instance, uint32_t generation)
{
	int fd = instance->map[MAP_masq_history];
	struct masq_history_key *keys;
	uint32_t count, done;
	struct head head;

	forget_beside(instance, generation, 0);
	if (read_head(instance, generation, &head))
		return;
	count = chunks(head.length);
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

/* --- saving ------------------------------------------------------------ */

static struct source_item source_of(const struct addr *addr, uint8_t then)
{
	struct source_item item = { .family = addr->family, .then = then };

	memcpy(item.addr, addr->a, sizeof(item.addr));
	return item;
}

/* Behind each other; where the next one goes. */
static struct source_item *put_pool(struct source_item *item,
				    const struct pool *pool)
{
	for (int i = 0; i < pool->count; i++) {
		const struct pool_range *range = &pool->range[i];
		uint8_t then = i + 1 < pool->count ? GOES_ON : ENDS;

		if (addr_cmp(&range->first, &range->last)) {
			*item++ = source_of(&range->first, UNTIL);
			*item++ = source_of(&range->last, then);
		} else {
			*item++ = source_of(&range->first, then);
		}
	}
	return item;
}

/* In whole chunks. */
static char *make_text(const struct policy *policy,
		       const struct policy_change *change, uint32_t *length)
{
	size_t most = sizeof(struct head) + policy->count * ENTRY_MAX +
		      policy->snat_count * 2 * MASQ_POOL_RANGES *
			      sizeof(struct source_item);
	char *text = calloc(most / CHUNK + 1, CHUNK);
	struct head *head = (struct head *)text;
	struct source_item *source = (struct source_item *)(head + 1);
	struct policy_entry none = {};
	const struct policy_entry *before = &none;
	uint8_t *at;

	if (!text)
		return NULL;
	*head = (struct head){
		.entries = policy->count,
		.added = change->added,
		.removed = change->removed,
		.changed = change->changed,
		.policy = policy->head,
		.source = policy->source,
	};
	author_who(head->who, sizeof(head->who));
	author_command(head->command, sizeof(head->command));
	for (size_t i = 0; i < policy->snat_count; i++)
		source = put_pool(source, &policy->snat[i]);
	head->snats = source - (struct source_item *)(head + 1);
	at = (uint8_t *)source;
	for (size_t i = 0; i < policy->count; i++) {
		at = put_entry(at, &policy->entries[i], before);
		before = &policy->entries[i];
	}
	head->length = *length = (char *)at - text;
	return text;
}

/* The oldest one that is kept and is not this one; 0: none. */
static uint32_t oldest_but(const struct instance *instance, uint32_t generation)
{
	struct head head;

	for (uint32_t back = HISTORY_KEPT; back; back--)
		if (generation > back &&
		    !read_head(instance, generation - back, &head))
			return generation - back;
	return 0;
}

/* `count` chunks of the text, in order, from this number on. */
static int write_chunks(const struct instance *instance, uint32_t generation,
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
		err = bpf_map_update_batch(fd, keys + at, text + at * CHUNK,
					   &done, NULL);
		if (!err)
			break;
		/* an error before the first element leaves it as it was */
		if (done == count - at)
			done = 0;
		if (err == -E2BIG && (old = oldest_but(instance, generation)))
			forget(instance, old);
		else if (err == -ENOMEM && patience--)
			nanosleep(&moment, NULL);
		else
			break;
	}
	free(keys);
	return err;
}

void history_save(struct instance *instance, const struct policy *policy,
		  const struct policy_change *change)
{
	uint32_t generation = policy->head.generation, length = 0;
	char *text = make_text(policy, change, &length);
	int err = text ? 0 : -ENOMEM;

	/* a generation number that was used before the instance was made anew
	 * cannot be there; one that a killed writer left can */
	forget(instance, generation);
	if (generation > HISTORY_KEPT)
		forget(instance, generation - HISTORY_KEPT);
	if (!err && length > MASQ_HISTORY_CHUNKS * CHUNK)
		err = -E2BIG;
	err = err
		      ?: write_chunks(instance, generation, 0, text,
				      chunks(length));
	if (!err) {
		const struct head *head = (struct head *)text;

		((struct head *)text)->whole =
			head->snats == policy->snat_count ? WHOLE : POOLS;
		err = write_chunks(instance, generation, 0, text, 1);
	}
	if (err) {
		forget(instance, generation);
		log_warn(
			"history: generation %u is in force, but cannot be kept for a rollback: %s",
			generation, strerror(-err));
	}
	free(text);
}

/* --- loading ----------------------------------------------------------- */

static int read_text(const struct instance *instance, uint32_t generation,
		     const struct head *head, char **out)
{
	uint32_t count = chunks(head->length);
	char *text = calloc(count, CHUNK);
	int err = text ? 0 : -ENOMEM;

	for (uint32_t n = 0; n < count && !err; n++)
		err = read_chunk(instance, generation, n,
				 (struct masq_history_chunk *)text + n);
	if (err)
		free(text);
	else
		*out = text;
	return err;
}

/* Nothing else is ever written; what a pin holds is looked at all the same. */
static bool entry_is_sound(const struct policy_entry *entry, uint32_t snats)
{
	return cidr_is_sound(&entry->cidr) && entry->snat <= snats &&
	       entry->list >= MASQ_L_DST && entry->list <= MASQ_L_KEEP_SOURCE &&
	       (entry->action == MASQ_KEEP ||
		entry->action == MASQ_MASQUERADE) &&
	       entry->origin <= MASQ_O_RUNTIME;
}

static struct addr address_of(const struct source_item *item)
{
	struct addr addr = { .family = item->family };

	memcpy(addr.a, item->addr, sizeof(addr.a));
	if (addr.family == 4)
		addr.a[1] = addr.a[2] = addr.a[3] = 0;
	return addr;
}

/* The pools of a text; 0 or -EBADMSG. policy->snat has room for as many. */
static int get_pools(const struct source_item *item, uint32_t count, bool pools,
		     struct policy *policy)
{
	struct pool *pool = policy->snat;
	uint8_t then = ENDS;

	for (uint32_t i = 0; i < count; i++) {
		struct pool_range *range = &pool->range[pool->count];

		if (pool->count == MASQ_POOL_RANGES)
			return -EBADMSG;
		pool->family = item->family;
		range->first = range->last = address_of(item);
		then = pools ? item->then : ENDS;
		item++;
		if (then == UNTIL && ++i < count) {
			range->last = address_of(item);
			then = item++->then;
		}
		pool->count++;
		if (then == ENDS && !pool_is_sound(pool++))
			return -EBADMSG;
	}
	policy->snat_count = pool - policy->snat;
	return then == ENDS ? 0 : -EBADMSG;
}

static int make_policy(const struct head *head, const char *text,
		       struct policy **out)
{
	const struct source_item *source =
		(const struct source_item *)(text + sizeof(*head));
	struct reader r = {
		.at = (const uint8_t *)(source + head->snats),
		.end = (const uint8_t *)text + head->length,
	};
	struct policy *policy = calloc(1, sizeof(*policy));
	struct policy_entry entry = {};
	int err = policy ? 0 : -ENOMEM;

	if (!err)
		policy->snat = calloc(head->snats + 1, sizeof(*policy->snat));
	if (!err && !policy->snat)
		err = -ENOMEM;
	err = err
		      ?: get_pools(source, head->snats, head->whole == POOLS,
				   policy);
	for (uint32_t i = 0; i < head->entries && !err; i++) {
		get_entry(&r, &entry);
		err = r.bad || !entry_is_sound(&entry, policy->snat_count)
			      ? -EBADMSG
			      : policy_append(policy, &entry);
	}
	if (!err && r.at != r.end)
		err = -EBADMSG;
	if (err) {
		policy_free(policy);
		return err;
	}
	policy->head = head->policy;
	policy->source = head->source;
	policy->source.config_path[sizeof(policy->source.config_path) - 1] =
		'\0';
	policy->source.preset[sizeof(policy->source.preset) - 1] = '\0';
	*out = policy;
	return 0;
}

static bool is_whole(const struct head *head)
{
	return head->whole == WHOLE || head->whole == POOLS;
}

/* Is what it says about its size possible? */
static bool is_sound(const struct head *head)
{
	size_t sources = (size_t)head->snats * sizeof(struct source_item);

	return head->snats <= MASQ_MAX_SNAT && /* an item takes a slot */
	       head->length <= MASQ_HISTORY_CHUNKS * CHUNK &&
	       head->length >= sizeof(*head) + sources +
				       (size_t)head->entries * ENTRY_MIN;
}

int history_load(const struct instance *instance, uint32_t generation,
		 struct policy **policy, struct history_note *note)
{
	struct head head;
	char *text;
	int err = read_head(instance, generation, &head);

	if (err || !is_whole(&head))
		return err ?: -ENOENT;
	if (!is_sound(&head))
		return -EBADMSG;
	if (policy) {
		err = read_text(instance, generation, &head, &text);
		if (err)
			return err;
		err = make_policy(&head, text, policy);
		free(text);
		if (err)
			return err;
	}
	if (note) {
		*note = (struct history_note){
			.change = { .generation = generation,
				    .added = head.added,
				    .removed = head.removed,
				    .changed = head.changed },
			.applied_ns = head.policy.applied_ns,
		};
		memcpy(note->who, head.who, sizeof(note->who));
		memcpy(note->command, head.command, sizeof(note->command));
		note->who[sizeof(note->who) - 1] = '\0';
		note->command[sizeof(note->command) - 1] = '\0';
	}
	return 0;
}

uint32_t history_newest(const struct instance *instance, uint32_t from)
{
	struct head head;

	for (uint32_t back = 0; back < HISTORY_KEPT && back < from; back++)
		if (!read_head(instance, from - back, &head) && is_whole(&head))
			return from - back;
	return 0;
}

/* --- for another instance ---------------------------------------------- */

int history_text_read(const struct instance *instance, uint32_t generation,
		      void **text, size_t *length)
{
	struct head head;
	char *bytes;
	int err = read_head(instance, generation, &head);

	if (!err && !is_whole(&head))
		err = -ENOENT;
	if (!err && !is_sound(&head))
		err = -EBADMSG;
	err = err ?: read_text(instance, generation, &head, &bytes);
	if (err)
		return err;
	*text = bytes;
	*length = head.length;
	return 0;
}

/* The same time in ticks of another kernel's. */
static void rescale(uint32_t *ticks, uint32_t from_hz, uint32_t to_hz)
{
	uint64_t now = (uint64_t)*ticks * to_hz / from_hz;

	*ticks = !*ticks ? 0 : !now ? 1 : now < UINT32_MAX ? now : UINT32_MAX;
}

int history_text_write(const struct instance *instance, uint32_t generation,
		       const void *text, size_t length, uint32_t hz)
{
	struct policy *policy;
	struct head head;
	char *copy;
	int err;

	if (length < sizeof(head) || !hz)
		return -EBADMSG;
	memcpy(&head, text, sizeof(head));
	if (head.length != length || !is_whole(&head) || !is_sound(&head) ||
	    head.policy.generation != generation)
		return -EBADMSG;
	copy = calloc(chunks(length), CHUNK);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, length);
	err = make_policy(&head, copy, &policy);
	if (err) {
		free(copy);
		return err;
	}
	policy_free(policy);
	for (int i = 0; i < MASQ_T_MAX; i++)
		rescale(&head.policy.timeout[i], hz, instance->meta.hz);
	rescale(&head.policy.fragment, hz, instance->meta.hz);
	rescale(&head.policy.fast, hz, instance->meta.hz);
	head.policy.max_flows = instance->meta.max_flows;
	forget(instance, generation);
	for (int whole = 0; whole < 2 && !err; whole++) {
		uint32_t set = head.whole;

		if (!whole)
			head.whole = 0;
		memcpy(copy, &head, sizeof(head));
		head.whole = set;
		err = write_chunks(instance, generation, 0, copy,
				   whole ? 1 : chunks(length));
	}
	if (err)
		forget(instance, generation);
	free(copy);
	return err;
}

/* --- notes beside a generation ----------------------------------------- */

struct beside {
	uint32_t length;
	uint32_t pad;
	uint64_t sum; /* of the bytes: half of it may be of another writer */
};

int history_note_write(const struct instance *instance, uint32_t generation,
		       const void *bytes, size_t length)
{
	size_t whole = sizeof(struct beside) + length;
	uint32_t count = chunks(whole);
	struct beside *head;
	int err;

	if (length > HISTORY_NOTE_MAX)
		return -E2BIG;
	head = calloc(count, CHUNK);
	if (!head)
		return -ENOMEM;
	head->length = length;
	head->sum = hash_of(bytes, length);
	memcpy(head + 1, bytes, length);
	err = write_chunks(instance, generation, BESIDE, (char *)head, count);
	if (!err)
		forget_beside(instance, generation, count);
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
	int err = read_chunk(instance, generation, BESIDE, &chunk);

	if (err)
		return err;
	memcpy(&head, chunk.bytes, sizeof(head));
	if (head.length > HISTORY_NOTE_MAX)
		return -EBADMSG;
	count = chunks(sizeof(head) + head.length);
	text = calloc(count, CHUNK);
	if (!text)
		return -ENOMEM;
	for (uint32_t n = 0; n < count && !err; n++)
		err = read_chunk(instance, generation, BESIDE + n,
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

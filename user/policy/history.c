// SPDX-License-Identifier: GPL-2.0-only
/*
 * history.c - the last policies in masq_history. Each is one text of bytes:
 * struct history_head, its source addresses, its entries; cut into chunks. Chunk 0 is
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
#include "policy/history_chunks.h"

/* Head.whole; 1 was that of entries of a fixed size. With POOLS not every source
 * is an address by itself: who does not know of them does not see the policy. */
#define WHOLE 2
#define POOLS 3

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
	size_t most = sizeof(struct history_head) + policy->count * ENTRY_MAX +
		      policy->snat_count * 2 * MASQ_POOL_RANGES *
			      sizeof(struct source_item);
	char *text = calloc(most / HISTORY_CHUNK + 1, HISTORY_CHUNK);
	struct history_head *head = (struct history_head *)text;
	struct source_item *source = (struct source_item *)(head + 1);
	struct policy_entry none = {};
	const struct policy_entry *before = &none;
	uint8_t *at;

	if (!text)
		return NULL;
	*head = (struct history_head){
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

void history_save(struct instance *instance, const struct policy *policy,
		  const struct policy_change *change)
{
	uint32_t generation = policy->head.generation, length = 0;
	char *text = make_text(policy, change, &length);
	int err = text ? 0 : -ENOMEM;

	/* a generation number that was used before the instance was made anew
	 * cannot be there; one that a killed writer left can */
	history_forget(instance, generation);
	if (generation > HISTORY_KEPT)
		history_forget(instance, generation - HISTORY_KEPT);
	if (!err && length > MASQ_HISTORY_CHUNKS * HISTORY_CHUNK)
		err = -E2BIG;
	err = err
		      ?: history_chunks_write(instance, generation, 0, text,
					      history_chunks(length));
	if (!err) {
		const struct history_head *head = (struct history_head *)text;

		((struct history_head *)text)->whole =
			head->snats == policy->snat_count ? WHOLE : POOLS;
		err = history_chunks_write(instance, generation, 0, text, 1);
	}
	if (err) {
		history_forget(instance, generation);
		log_warn(
			"history: generation %u is in force, but cannot be kept for a rollback: %s",
			generation, strerror(-err));
	}
	free(text);
}

/* --- loading ----------------------------------------------------------- */

static int read_text(const struct instance *instance, uint32_t generation,
		     const struct history_head *head, char **out)
{
	uint32_t count = history_chunks(head->length);
	char *text = calloc(count, HISTORY_CHUNK);
	int err = text ? 0 : -ENOMEM;

	for (uint32_t n = 0; n < count && !err; n++)
		err = history_chunk_read(instance, generation, n,
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

static int make_policy(const struct history_head *head, const char *text,
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

static bool is_whole(const struct history_head *head)
{
	return head->whole == WHOLE || head->whole == POOLS;
}

/* Is what it says about its size possible? */
static bool is_sound(const struct history_head *head)
{
	size_t sources = (size_t)head->snats * sizeof(struct source_item);

	return head->snats <= MASQ_MAX_SNAT && /* an item takes a slot */
	       head->length <= MASQ_HISTORY_CHUNKS * HISTORY_CHUNK &&
	       head->length >= sizeof(*head) + sources +
				       (size_t)head->entries * ENTRY_MIN;
}

int history_load(const struct instance *instance, uint32_t generation,
		 struct policy **policy, struct history_note *note)
{
	struct history_head head;
	char *text;
	int err = history_head_read(instance, generation, &head);

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

bool history_is_kept(const struct instance *instance, uint32_t generation)
{
	struct history_head head;

	return !history_head_read(instance, generation, &head) &&
	       is_whole(&head);
}

uint32_t history_newest(const struct instance *instance, uint32_t from)
{
	for (uint32_t back = 0; back < HISTORY_KEPT && back < from; back++)
		if (history_is_kept(instance, from - back))
			return from - back;
	return 0;
}

/* --- for another instance ---------------------------------------------- */

int history_text_read(const struct instance *instance, uint32_t generation,
		      void **text, size_t *length)
{
	struct history_head head;
	char *bytes;
	int err = history_head_read(instance, generation, &head);

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

int history_text_policy(const void *text, size_t length, uint32_t generation,
			struct policy **out)
{
	struct history_head head;

	if (length < sizeof(head))
		return -EBADMSG;
	memcpy(&head, text, sizeof(head));
	if (head.length != length || !is_whole(&head) || !is_sound(&head) ||
	    head.policy.generation != generation)
		return -EBADMSG;
	return make_policy(&head, text, out);
}

int history_text_write(const struct instance *instance, uint32_t generation,
		       const void *text, size_t length, uint32_t hz)
{
	struct policy *policy;
	struct history_head head;
	char *copy;
	int err = hz ? history_text_policy(text, length, generation, &policy)
		     : -EBADMSG;

	if (err)
		return err;
	policy_free(policy);
	memcpy(&head, text, sizeof(head));
	copy = calloc(history_chunks(length), HISTORY_CHUNK);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text, length);
	for (int i = 0; i < MASQ_T_MAX; i++)
		rescale(&head.policy.timeout[i], hz, instance->meta.hz);
	rescale(&head.policy.fragment, hz, instance->meta.hz);
	rescale(&head.policy.fast, hz, instance->meta.hz);
	head.policy.max_flows = instance->meta.max_flows;
	history_forget(instance, generation);
	for (int whole = 0; whole < 2 && !err; whole++) {
		uint32_t set = head.whole;

		if (!whole)
			head.whole = 0;
		memcpy(copy, &head, sizeof(head));
		head.whole = set;
		err = history_chunks_write(instance, generation, 0, copy,
					   whole ? 1 : history_chunks(length));
	}
	if (err)
		history_forget(instance, generation);
	free(copy);
	return err;
}

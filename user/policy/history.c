// SPDX-License-Identifier: GPL-2.0-only
/*
 * history.c - the last policies in masq_history. Each is one text of bytes:
 * struct head, its source addresses, its entries; cut into chunks. Chunk 0 is
 * written first, with `whole` unset, and again last, so that a writer who was
 * killed leaves nothing that is mistaken for a policy, and nothing that the
 * next one cannot remove.
 *
 * An entry says what differs from the one before it (see put_entry): 8 bytes
 * or so instead of 36, as the writing is paid by chunk, and so is the room.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "policy/history.h"

#define CHUNK sizeof(struct masq_history_chunk)

/* An allocation in a map may fail for a moment (kernel's per-CPU caches). */
#define PATIENCE 100
static const struct timespec moment = { .tv_nsec = 1000000 };

/* Head.whole; 1 was that of entries of a fixed size. */
#define WHOLE 2

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

struct source_item {
	__be32 addr[4];
	uint8_t family;
	uint8_t pad[3];
};

/* --- entries ----------------------------------------------------------- */

/* What an entry does not share with the one before it. */
enum {
	OTHER_SORT = 1, /* family, list, action or origin */
	OTHER_SNAT = 2,
	OTHER_SINCE = 4,
};
/* flags, plen, 4 of sort, snat, since, shape, address, line */
#define ENTRY_MAX (1 + 1 + 4 + 3 + 5 + 1 + 16 + 5)
#define ENTRY_MIN 4

/* Seven bits a byte, least significant first. */
static uint8_t *put_number(uint8_t *at, uint32_t number)
{
	for (; number > 0x7f; number >>= 7)
		*at++ = number | 0x80;
	*at++ = number;
	return at;
}

/* The bytes between those of the address before and the zeros at the end. */
static uint8_t *put_address(uint8_t *at, const struct addr *addr,
			    const struct addr *before)
{
	const uint8_t *bytes = (const uint8_t *)addr->a;
	const uint8_t *old = (const uint8_t *)before->a;
	int length = addr->family == 4 ? 4 : 16, same = 0, zeros = 0;

	while (same < length && same < 15 && bytes[same] == old[same])
		same++;
	while (same + zeros < length && zeros < 15 &&
	       !bytes[length - 1 - zeros])
		zeros++;
	*at++ = same << 4 | zeros;
	length -= same + zeros;
	memcpy(at, bytes + same, length);
	return at + length;
}

static uint8_t *put_entry(uint8_t *at, const struct policy_entry *entry,
			  const struct policy_entry *before)
{
	/* lines of neighbours are near each other, before or behind */
	int32_t lines = entry->line - before->line;
	uint8_t *flags = at;

	*at++ = 0;
	*at++ = entry->cidr.plen;
	if (entry->cidr.addr.family != before->cidr.addr.family ||
	    entry->list != before->list || entry->action != before->action ||
	    entry->origin != before->origin) {
		*flags |= OTHER_SORT;
		*at++ = entry->cidr.addr.family;
		*at++ = entry->list;
		*at++ = entry->action;
		*at++ = entry->origin;
	}
	if (entry->snat != before->snat) {
		*flags |= OTHER_SNAT;
		at = put_number(at, entry->snat);
	}
	if (entry->since != before->since) {
		*flags |= OTHER_SINCE;
		at = put_number(at, entry->since);
	}
	at = put_address(at, &entry->cidr.addr, &before->cidr.addr);
	return put_number(at, (uint32_t)lines << 1 ^ lines >> 31);
}

struct reader {
	const uint8_t *at, *end;
	bool bad; /* the text ended too early, or cannot be right */
};

static uint8_t get_byte(struct reader *r)
{
	r->bad |= r->at == r->end;
	return r->bad ? 0 : *r->at++;
}

static uint32_t get_number(struct reader *r)
{
	uint32_t number = 0;
	uint8_t byte;
	int shift = 0;

	do {
		byte = get_byte(r);
		number |= (uint32_t)(byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80 && shift < 35);
	return number;
}

static void get_address(struct reader *r, struct addr *addr)
{
	uint8_t *bytes = (uint8_t *)addr->a, shape = get_byte(r);
	int length = addr->family == 4 ? 4 : 16;
	int same = shape >> 4, zeros = shape & 15;

	r->bad |= same + zeros > length;
	for (int i = same; i < length - zeros; i++)
		bytes[i] = get_byte(r);
	if (!r->bad)
		memset(bytes + length - zeros, 0, zeros);
}

/* *entry: the one before; becomes the next one. */
static void get_entry(struct reader *r, struct policy_entry *entry)
{
	uint8_t flags = get_byte(r), family = entry->cidr.addr.family;
	uint32_t lines;

	entry->cidr.plen = get_byte(r);
	if (flags & OTHER_SORT) {
		entry->cidr.addr.family = get_byte(r);
		entry->list = get_byte(r);
		entry->action = get_byte(r);
		entry->origin = get_byte(r);
	}
	if (flags & OTHER_SNAT)
		entry->snat = get_number(r);
	if (flags & OTHER_SINCE)
		entry->since = get_number(r);
	if (family == 6 && entry->cidr.addr.family == 4)
		memset(&entry->cidr.addr.a[1], 0, 12);
	get_address(r, &entry->cidr.addr);
	lines = get_number(r);
	entry->line += lines >> 1 ^ -(lines & 1);
}

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

/* Chunk 0, which knows how many there are, goes last. */
static void forget(const struct instance *instance, uint32_t generation)
{
	int fd = instance->map[MAP_masq_history];
	struct masq_history_key *keys;
	uint32_t count, done;
	struct head head;

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

static size_t read_proc(const char *path, char *buf, size_t len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, buf, len - 1);

	if (fd >= 0)
		close(fd);
	buf[length > 0 ? length : 0] = '\0';
	return length > 0 ? length : 0;
}

/* The user, and the one who logged in, where the kernel knows (audit). */
static void find_who(char *buf, size_t len)
{
	struct passwd *user = getpwuid(getuid());
	char text[32];
	unsigned long login;
	int used;

	used = user ? snprintf(buf, len, "%s", user->pw_name)
		    : snprintf(buf, len, "uid %u", getuid());
	if (!read_proc("/proc/self/loginuid", text, sizeof(text)))
		return;
	login = strtoul(text, NULL, 10);
	if (login == UINT32_MAX || login == getuid() || used >= (int)len)
		return;
	user = getpwuid(login);
	if (user)
		snprintf(buf + used, len - used, " (login %s)", user->pw_name);
	else
		snprintf(buf + used, len - used, " (login uid %lu)", login);
}

static void find_command(char *buf, size_t len)
{
	size_t length = read_proc("/proc/self/cmdline", buf, len);
	const char *slash;

	if (!length) {
		snprintf(buf, len, "%s", program_invocation_short_name);
		return;
	}
	/* words end in NUL; the program without its path */
	slash = strrchr(buf, '/');
	if (slash) {
		length -= slash + 1 - buf;
		memmove(buf, slash + 1, length + 1);
	}
	for (size_t i = 0; i + 1 < length; i++)
		if (!buf[i])
			buf[i] = ' ';
}

/* In whole chunks. */
static char *make_text(const struct policy *policy,
		       const struct policy_change *change, uint32_t *length)
{
	size_t most = sizeof(struct head) + policy->count * ENTRY_MAX +
		      policy->snat_count * sizeof(struct source_item);
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
		.snats = policy->snat_count,
		.added = change->added,
		.removed = change->removed,
		.changed = change->changed,
		.policy = policy->head,
		.source = policy->source,
	};
	find_who(head->who, sizeof(head->who));
	find_command(head->command, sizeof(head->command));
	for (size_t i = 0; i < policy->snat_count; i++, source++) {
		source->family = policy->snat[i].family;
		memcpy(source->addr, policy->snat[i].a, sizeof(source->addr));
	}
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

/* The first `count` chunks of the text, in order. */
static int write_chunks(const struct instance *instance, uint32_t generation,
			const char *text, uint32_t count)
{
	int fd = instance->map[MAP_masq_history], err = 0;
	int patience = PATIENCE;
	struct masq_history_key *keys = calloc(count, sizeof(*keys));
	uint32_t done, old;

	if (!keys)
		return -ENOMEM;
	for (uint32_t n = 0; n < count; n++)
		keys[n] = (struct masq_history_key){ generation, n };
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
	err = err ?: write_chunks(instance, generation, text, chunks(length));
	if (!err) {
		((struct head *)text)->whole = WHOLE;
		err = write_chunks(instance, generation, text, 1);
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
	for (uint32_t i = 0; i < head->entries && !err; i++) {
		get_entry(&r, &entry);
		err = r.bad || !entry_is_sound(&entry, head->snats)
			      ? -EBADMSG
			      : policy_append(policy, &entry);
	}
	if (!err && r.at != r.end)
		err = -EBADMSG;
	if (err) {
		policy_free(policy);
		return err;
	}
	for (uint32_t i = 0; i < head->snats; i++, source++) {
		policy->snat[i].family = source->family;
		memcpy(policy->snat[i].a, source->addr, sizeof(source->addr));
		if (source->family != 4 && source->family != 6)
			err = -EBADMSG;
	}
	if (err) {
		policy_free(policy);
		return err;
	}
	policy->snat_count = head->snats;
	policy->head = head->policy;
	policy->source = head->source;
	policy->source.config_path[sizeof(policy->source.config_path) - 1] =
		'\0';
	policy->source.preset[sizeof(policy->source.preset) - 1] = '\0';
	*out = policy;
	return 0;
}

/* Is what it says about its size possible? */
static bool is_sound(const struct head *head)
{
	size_t sources = (size_t)head->snats * sizeof(struct source_item);

	return head->snats <= MASQ_MAX_SNAT &&
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

	if (err || head.whole != WHOLE)
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
		if (!read_head(instance, from - back, &head) &&
		    head.whole == WHOLE)
			return from - back;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * history.c - the last policies in masq_history. Each is one text of bytes:
 * struct head, its entries, its source addresses; cut into chunks. Chunk 0 is
 * written first, with `whole` unset, and again last, so that a writer who was
 * killed leaves nothing that is mistaken for a policy, and nothing that the
 * next one cannot remove.
 */
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "history.h"
#include "out.h"

#define CHUNK sizeof(struct masq_history_chunk)

/* An allocation in a map may fail for a moment (kernel's per-CPU caches). */
#define PATIENCE 100
static const struct timespec moment = { .tv_nsec = 1000000 };

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

struct item {
	__be32 addr[4];
	uint8_t family, plen, list, action;
	uint32_t line;
	uint32_t since;
	uint16_t snat;
	uint8_t origin;
	uint8_t pad;
};

struct source_item {
	__be32 addr[4];
	uint8_t family;
	uint8_t pad[3];
};

/* --- chunks ------------------------------------------------------------ */

static uint32_t chunks(uint32_t length)
{
	return (length + CHUNK - 1) / CHUNK;
}

static int write_chunk(const struct instance *instance, uint32_t generation,
		       uint32_t n, const char *text, uint32_t length)
{
	struct masq_history_key key = { generation, n };
	struct masq_history_chunk chunk = {};
	size_t left = length - n * CHUNK;
	int err, patience = PATIENCE;

	memcpy(chunk.bytes, text + n * CHUNK, left < CHUNK ? left : CHUNK);
	do {
		err = bpf_map_update_elem(instance->map[MAP_masq_history], &key,
					  &chunk, BPF_ANY);
		if (err == -ENOMEM)
			nanosleep(&moment, NULL);
	} while (err == -ENOMEM && --patience);
	return err;
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
	struct masq_history_key key = { .generation = generation };
	struct head head;

	if (read_head(instance, generation, &head))
		return;
	for (key.chunk = chunks(head.length); key.chunk--;)
		bpf_map_delete_elem(instance->map[MAP_masq_history], &key);
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

static char *make_text(const struct policy *policy,
		       const struct policy_change *change, uint32_t *length)
{
	size_t size = sizeof(struct head) +
		      policy->count * sizeof(struct item) +
		      policy->snat_count * sizeof(struct source_item);
	char *text = calloc(1, size);
	struct head *head = (struct head *)text;
	struct item *item = (struct item *)(head + 1);
	struct source_item *source;

	if (!text)
		return NULL;
	*head = (struct head){
		.length = size,
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
	for (size_t i = 0; i < policy->count; i++, item++) {
		const struct policy_entry *entry = &policy->entries[i];

		*item = (struct item){
			.family = entry->cidr.addr.family,
			.plen = entry->cidr.plen,
			.list = entry->list,
			.action = entry->action,
			.line = entry->line,
			.since = entry->since,
			.snat = entry->snat,
			.origin = entry->origin,
		};
		memcpy(item->addr, entry->cidr.addr.a, sizeof(item->addr));
	}
	source = (struct source_item *)item;
	for (size_t i = 0; i < policy->snat_count; i++, source++) {
		source->family = policy->snat[i].family;
		memcpy(source->addr, policy->snat[i].a, sizeof(source->addr));
	}
	*length = size;
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

void history_save(struct instance *instance, const struct policy *policy,
		  const struct policy_change *change)
{
	uint32_t generation = policy->head.generation, length = 0, old;
	char *text = make_text(policy, change, &length);
	int err = text ? 0 : -ENOMEM;

	/* a generation number that was used before the instance was made anew
	 * cannot be there; one that a killed writer left can */
	forget(instance, generation);
	if (generation > HISTORY_KEPT)
		forget(instance, generation - HISTORY_KEPT);
	for (uint32_t n = 0; !err && n < chunks(length); n++) {
		err = write_chunk(instance, generation, n, text, length);
		while (err == -E2BIG &&
		       (old = oldest_but(instance, generation))) {
			forget(instance, old);
			err = write_chunk(instance, generation, n, text,
					  length);
		}
	}
	if (!err) {
		((struct head *)text)->whole = 1;
		err = write_chunk(instance, generation, 0, text, length);
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

static int make_policy(const struct head *head, const char *text,
		       struct policy **out)
{
	const struct item *item =
		(const struct item *)(text + sizeof(struct head));
	const struct source_item *source =
		(const struct source_item *)(item + head->entries);
	struct policy *policy = calloc(1, sizeof(*policy));
	int err = policy ? 0 : -ENOMEM;

	if (!err)
		policy->snat = calloc(head->snats + 1, sizeof(*policy->snat));
	if (!err && !policy->snat)
		err = -ENOMEM;
	for (uint32_t i = 0; i < head->entries && !err; i++, item++) {
		struct policy_entry entry = {
			.cidr = { { .family = item->family }, item->plen },
			.list = item->list,
			.action = item->action,
			.origin = item->origin,
			.line = item->line,
			.since = item->since,
			.snat = item->snat,
		};

		memcpy(entry.cidr.addr.a, item->addr, sizeof(item->addr));
		err = item->snat > head->snats ? -EBADMSG
					       : policy_append(policy, &entry);
	}
	if (err) {
		policy_free(policy);
		return err;
	}
	for (uint32_t i = 0; i < head->snats; i++, source++) {
		policy->snat[i].family = source->family;
		memcpy(policy->snat[i].a, source->addr, sizeof(source->addr));
	}
	policy->snat_count = head->snats;
	policy->head = head->policy;
	policy->source = head->source;
	*out = policy;
	return 0;
}

int history_load(const struct instance *instance, uint32_t generation,
		 struct policy **policy, struct history_note *note)
{
	struct head head;
	char *text;
	int err = read_head(instance, generation, &head);

	if (err || !head.whole)
		return err ?: -ENOENT;
	if (head.length != sizeof(head) + head.entries * sizeof(struct item) +
				   head.snats * sizeof(struct source_item))
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
		if (!read_head(instance, from - back, &head) && head.whole)
			return from - back;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * apply.c - the policy as it lies in the maps: reading what runs, and
 * making another one run.
 *
 * Applying, in this order, so that a kill at any point leaves a whole policy
 * in force:
 *   1. everything that can be refused is found out: slots, source addresses
 *   2. masq_meta.dirty gets the idle half's bit
 *   3. the idle half is edited: trie, descriptors, masq_snat, masq_policy,
 *      masq_ports
 *   4. masq_active is flipped
 *   5. masq_meta.dirty is cleared and the time of the flip noted
 * Then the policy goes into the history. What the other half lacks the next
 * change makes good, as it edits that one; after a large change policy_settle
 * does steps 2, 3 and 5 for it, when the command has answered.
 * A half that is found dirty and idle is emptied and filled again. A dirty
 * bit of the half in force means a kill between 4 and 5: the half is whole.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include "base/log.h"
#include "base/prefix.h"
#include "base/progress.h"
#include "base/rank.h"
#include "plane/flows.h"
#include "policy/history.h"
#include "policy/policy.h"

#define FIRST_FREE_SLOT 2 /* 0 and 1: 0.0.0.0/0 and ::/0 masquerade */
#define NS_PER_SEC	1000000000ULL
/* No packet is in our programs for so long. */
#define GRACE_NS     (100 * 1000000ULL)
#define MANY_CHANGES 2048
#define BATCH	     1024 /* elements that one call of the kernel takes */
#define AHEAD	     16 /* entries whose slots are fetched before their turn */

/* Edits of one kind of the idle half's trie, not made yet. */
struct edits {
	struct masq_lpm_key keys[BATCH];
	struct masq_lpm_value values[BATCH];
	uint32_t count;
	bool remove;
};

/* What is wanted of a slot, by bits. */
enum {
	W_KEPT = 1, /* an entry has it, and it says so */
	W_GIVEN = 2, /* an entry gets it from another prefix, or from none */
	W_PLACE = 4, /* its prefix is wanted, with the other action */
};

struct indexed {
	uint32_t slot; /* + 1; 0: nothing here */
	uint32_t tag; /* of the hash, to look at few slots in vain */
};

/* What policy_apply works with. */
struct work {
	struct instance *instance;
	struct policy *policy;
	struct masq_meta meta;
	uint32_t active, idle;
	struct masq_policy head; /* of the active half */
	struct masq_addr snat[MASQ_MAX_SNAT];
	uint64_t ports[MASQ_PORT_WORDS];
	uint16_t *snat_slot; /* by number in policy->snat */
	uint32_t used; /* slots from here on were never used */
	/* the used ones by prefix and list: open addressing */
	struct indexed *index;
	uint32_t index_mask;
	uint8_t *want; /* by slot: W_* */
	/* numbers of the entries that had no slot; the first ones got one */
	uint32_t *fresh;
	size_t fresh_count, handed;
	bool waited; /* the idle half has no reader left */
	struct edits edits;
};

static int fail(int err, const char *what)
{
	log_error("policy: %s: %s", what, strerror(-err));
	return err;
}

static int read_one(const struct instance *instance, enum masq_map_id map,
		    uint32_t key, void *value)
{
	return bpf_map_lookup_elem(instance->map[map], &key, value) ? -errno
								    : 0;
}

static int write_one(const struct instance *instance, enum masq_map_id map,
		     uint32_t key, const void *value)
{
	return bpf_map_update_elem(instance->map[map], &key, value, BPF_ANY)
		       ? -errno
		       : 0;
}

static int read_snat(const struct instance *instance,
		     struct masq_addr snat[MASQ_MAX_SNAT])
{
	uint32_t keys[MASQ_MAX_SNAT], last, count = MASQ_MAX_SNAT;

	if (bpf_map_lookup_batch(instance->map[MAP_masq_snat], NULL, &last,
				 keys, snat, &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

/*
 * The policy of one half. With the lock held it cannot change meanwhile; a
 * reader without one compares afterwards (policy_read).
 */
static int read_half(struct instance *instance, uint32_t half,
		     struct policy *policy)
{
	uint16_t number[MASQ_MAX_SNAT] = {};
	struct masq_addr snat[MASQ_MAX_SNAT];
	struct masq_meta meta;
	int err = read_one(instance, MAP_masq_policy, half, &policy->head);

	err = err ?: read_one(instance, MAP_masq_meta, 0, &meta);
	err = err ?: read_snat(instance, snat);
	if (err)
		return err;
	if (!policy->head.generation)
		return -ENODATA;
	policy->source = meta.source[half];
	policy->snat = calloc(MASQ_MAX_SNAT, sizeof(*policy->snat));
	if (!policy->snat)
		return -ENOMEM;

	for (uint32_t slot = 0; slot < instance->meta.max_prefixes; slot++) {
		const struct masq_prefix *prefix = &instance->prefixes[slot];
		const struct masq_prefix_half *own = &prefix->half[half];
		struct policy_entry entry;

		if (!(prefix->in_half >> half & 1))
			continue;
		entry = (struct policy_entry){ .cidr = prefix_cidr(prefix),
					       .list = prefix->list,
					       .action = prefix->action,
					       .origin = own->origin,
					       .line = own->line,
					       .since = own->since };
		if (own->snat && own->snat < MASQ_MAX_SNAT) {
			struct addr addr = { .family = prefix->family };

			memcpy(addr.a, snat[own->snat].a, sizeof(addr.a));
			if (!number[own->snat])
				number[own->snat] =
					policy_snat_number(policy, &addr);
			entry.snat = number[own->snat];
		}
		err = policy_append(policy, &entry);
		if (err)
			return err;
		policy->entries[policy->count - 1].slot = slot;
	}
	policy_sort(policy);
	return 0;
}

/* Readers hold no lock: has the half been in force, and whole, all the time? */
static int still_in_force(const struct instance *instance, uint32_t half,
			  const struct policy *policy, bool *same)
{
	struct masq_policy head;
	uint32_t active;
	int err = read_one(instance, MAP_masq_policy, half, &head)
			  ?: read_one(instance, MAP_masq_active, 0, &active);

	*same = !err && (active & 1) == half &&
		head.generation == policy->head.generation;
	return err;
}

int policy_read(struct instance *instance, struct policy **out)
{
	struct policy *policy;
	uint32_t half;
	bool same;
	int err;

	do {
		policy = calloc(1, sizeof(*policy));
		if (!policy)
			return fail(-ENOMEM, "read");
		err = read_one(instance, MAP_masq_active, 0, &half);
		half &= 1;
		err = err ?: read_half(instance, half, policy);
		err = err ?: still_in_force(instance, half, policy, &same);
		if (!err && same) {
			*out = policy;
			return 0;
		}
		policy_free(policy);
	} while (!err);
	return err == -ENODATA ? err : fail(err, "read");
}

static uint64_t wall_clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/*
 * Returns when no packet reads the idle half any more: programs run under
 * RCU, and membarrier waits for a grace period.
 */
static void wait_for_readers(struct work *w)
{
	uint64_t since = instance_now_ns(w->instance) - w->meta.flipped_ns;
	/* killed between flip and note: the time is that of an older flip */
	bool unknown = w->meta.dirty >> w->active & 1;

	if (w->waited)
		return;
	w->waited = true;
	if (!unknown && since > GRACE_NS && since < INT64_MAX)
		return;
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0)) {
		/* it is refused where a CPU runs without ticks */
		struct timespec t = { .tv_nsec = GRACE_NS };

		while (nanosleep(&t, &t) && errno == EINTR)
			;
	}
}

/* --- slots ------------------------------------------------------------- */

static bool same_place(const struct masq_prefix *prefix,
		       const struct cidr *cidr, uint8_t list)
{
	return prefix->list == list && prefix->plen == cidr->plen &&
	       prefix->family == cidr->addr.family &&
	       !memcmp(prefix->addr, cidr->addr.a, sizeof(prefix->addr));
}

static bool describes(const struct masq_prefix *prefix,
		      const struct policy_entry *entry)
{
	return prefix->action == entry->action &&
	       same_place(prefix, &entry->cidr, entry->list);
}

static uint64_t hash_place(const __be32 a[4], uint8_t family, uint8_t plen,
			   uint8_t list)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t h = (uint64_t)family << 16 | plen << 8 | list;

	for (int i = 0; i < (family == 4 ? 1 : 4); i++) {
		h = (h ^ a[i]) * odd;
		h ^= h >> 32;
	}
	return h * odd;
}

static int make_index(struct work *w)
{
	uint32_t size = 2;

	while (size < 2 * w->used)
		size *= 2;
	w->index = calloc(size, sizeof(*w->index));
	w->index_mask = size - 1;
	if (!w->index)
		return fail(-ENOMEM, "apply");

	for (uint32_t slot = 0; slot < w->used; slot++) {
		const struct masq_prefix *p = &w->instance->prefixes[slot];
		uint64_t h = hash_place(p->addr, p->family, p->plen, p->list);
		uint32_t at = h >> 32;

		if (p->list == MASQ_L_FREE)
			continue;
		while (w->index[at & w->index_mask].slot)
			at++;
		w->index[at & w->index_mask] =
			(struct indexed){ .slot = slot + 1, .tag = h };
	}
	return 0;
}

static uint32_t find_slot(const struct work *w, const struct cidr *cidr,
			  uint8_t list, uint8_t action)
{
	uint64_t h =
		hash_place(cidr->addr.a, cidr->addr.family, cidr->plen, list);

	for (uint32_t at = h >> 32;; at++) {
		const struct indexed *indexed = &w->index[at & w->index_mask];
		uint32_t slot = indexed->slot - 1;

		if (slot == NO_SLOT)
			return NO_SLOT;
		if (indexed->tag == (uint32_t)h &&
		    w->instance->prefixes[slot].action == action &&
		    same_place(&w->instance->prefixes[slot], cidr, list))
			return slot;
	}
}

/* The slot that a built-in /0 entry has in every instance. */
static uint32_t fixed_slot(const struct policy_entry *entry)
{
	if (entry->list != MASQ_L_DST || entry->cidr.plen ||
	    entry->action != MASQ_MASQUERADE)
		return NO_SLOT;
	return entry->cidr.addr.family == 4 ? 0 : 1;
}

/* Does the half in force have this slot? */
static bool in_force(const struct work *w, uint32_t slot)
{
	return slot != NO_SLOT &&
	       w->instance->prefixes[slot].in_half >> w->active & 1;
}

/* Hands free slots to the entries that have none; returns how many stay. */
static size_t hand_out(struct work *w, const uint32_t *live)
{
	uint32_t max = w->instance->meta.max_prefixes, slot = FIRST_FREE_SLOT;

	for (; w->handed < w->fresh_count; w->handed++) {
		for (; slot < max; slot++) {
			bool unused = w->instance->prefixes[slot].list ==
				      MASQ_L_FREE;

			if (w->want[slot] || in_force(w, slot))
				continue;
			if (live ? !live[slot] : unused)
				break;
		}
		if (slot == max)
			break;
		w->policy->entries[w->fresh[w->handed]].slot = slot;
		w->want[slot] = W_GIVEN;
	}
	return w->fresh_count - w->handed;
}

/*
 * The slots that the entries `from` to `to` (AHEAD at most) have or had. In
 * three rounds, so that what each of them waits for in memory comes at once.
 */
static void find_slots(struct work *w, uint32_t from, uint32_t to)
{
	const struct indexed *at[AHEAD];
	uint32_t slot;

	for (uint32_t i = from; i < to; i++) {
		const struct policy_entry *entry = &w->policy->entries[i];
		uint64_t h = hash_place(entry->cidr.addr.a,
					entry->cidr.addr.family,
					entry->cidr.plen, entry->list);

		at[i - from] = &w->index[h >> 32 & w->index_mask];
		__builtin_prefetch(at[i - from]);
	}
	for (uint32_t i = from; i < to; i++)
		if (at[i - from]->slot)
			__builtin_prefetch(
				&w->instance->prefixes[at[i - from]->slot - 1]);
	for (uint32_t i = from; i < to; i++) {
		struct policy_entry *entry = &w->policy->entries[i];

		slot = fixed_slot(entry);
		if (slot == NO_SLOT)
			slot = find_slot(w, &entry->cidr, entry->list,
					 entry->action);
		entry->slot = slot;
		if (slot == NO_SLOT)
			w->fresh[w->fresh_count++] = i;
		else if (describes(&w->instance->prefixes[slot], entry))
			w->want[slot] = W_KEPT;
		else
			w->want[slot] = W_GIVEN;
	}
}

/*
 * A slot for each entry: the one it has or had, else one that was never
 * used, else one that neither policy nor live flow needs any more.
 */
static int assign_slots(struct work *w)
{
	struct policy *policy = w->policy;
	uint32_t max = w->instance->meta.max_prefixes, *live;
	size_t missing;
	int err;

	for (uint32_t i = 0; i < policy->count; i += AHEAD)
		find_slots(w, i,
			   i + AHEAD < policy->count ? i + AHEAD
						     : policy->count);
	if (!hand_out(w, NULL))
		return 0;

	/* a packet that reads the idle half could still make a flow there */
	wait_for_readers(w);
	live = calloc(max, sizeof(*live));
	if (!live)
		return fail(-ENOMEM, "apply");
	err = flows_count_prefixes(w->instance, live);
	if (err) {
		fail(err, "count the flows of removed prefixes");
	} else {
		missing = hand_out(w, live);
		if (missing) {
			log_error(
				"policy: %zu prefixes do not fit: this instance has room for %u, those that still have flows included; detach, and attach with a config of that size",
				missing, max);
			err = -ENOSPC;
		}
	}
	free(live);
	return err;
}

/* --- source addresses -------------------------------------------------- */

/*
 * A slot of masq_snat for each source address. Slots that the half in force
 * uses keep their address; slot 0 stands for the node's own.
 */
static int assign_snat(struct work *w)
{
	struct policy *policy = w->policy;
	bool used[MASQ_MAX_SNAT] = { [0] = true };

	w->snat_slot = calloc(policy->snat_count + 1, sizeof(*w->snat_slot));
	if (!w->snat_slot)
		return fail(-ENOMEM, "apply");
	for (uint32_t i = 0; i < w->used; i++)
		if (in_force(w, i))
			used[w->instance->prefixes[i].half[w->active].snat %
			     MASQ_MAX_SNAT] = true;

	for (size_t i = 0; i < policy->snat_count; i++) {
		const struct addr *addr = &policy->snat[i];
		uint32_t slot = 1;

		while (slot < MASQ_MAX_SNAT &&
		       (!used[slot] ||
			memcmp(w->snat[slot].a, addr->a, sizeof(addr->a))))
			slot++;
		for (uint32_t k = 1; slot == MASQ_MAX_SNAT && k < slot; k++)
			if (!used[k])
				slot = k;
		if (slot == MASQ_MAX_SNAT) {
			log_error(
				"policy: more than %d source addresses, those of the policy in force included",
				MASQ_MAX_SNAT - 1);
			return -ENOSPC;
		}
		used[slot] = true;
		memcpy(w->snat[slot].a, addr->a, sizeof(addr->a));
		w->snat_slot[i] = slot;
	}
	return 0;
}

static uint16_t entry_snat(const struct work *w,
			   const struct policy_entry *entry)
{
	return entry->snat ? w->snat_slot[entry->snat - 1] : 0;
}

/* --- ports that are never chosen --------------------------------------- */

static void set_ports(uint64_t *words, uint32_t from, uint32_t to)
{
	for (uint32_t port = from; port && port <= to && port < 65536; port++)
		words[port / 64] |= 1ULL << port % 64;
}

/* Of this network namespace; "8080,9000-9010". */
static void set_reserved_ports(uint64_t *words)
{
	const char *path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
	FILE *file = fopen(path, "re");
	unsigned int from, to;
	int read;

	if (!file) {
		log_warn("%s: read: %s: reserved ports are not kept free", path,
			 strerror(errno));
		return;
	}
	while ((read = fscanf(file, "%u-%u", &from, &to)) > 0) {
		set_ports(words, from, read == 2 ? to : from);
		if (getc(file) != ',')
			break;
	}
	fclose(file);
}

static int read_ports(const struct work *w, uint32_t half, uint64_t *words)
{
	uint32_t keys[MASQ_PORT_WORDS], last, count = MASQ_PORT_WORDS;
	uint32_t before = half * MASQ_PORT_WORDS - 1;

	if (bpf_map_lookup_batch(w->instance->map[MAP_masq_ports],
				 half ? &before : NULL, &last, keys, words,
				 &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

static int write_ports(const struct work *w, uint32_t half)
{
	uint32_t keys[MASQ_PORT_WORDS], count = MASQ_PORT_WORDS;

	for (uint32_t i = 0; i < count; i++)
		keys[i] = half * MASQ_PORT_WORDS + i;
	return bpf_map_update_batch(w->instance->map[MAP_masq_ports], keys,
				    w->ports, &count, NULL)
		       ? -errno
		       : 0;
}

/* --- what differs ------------------------------------------------------ */

enum difference {
	SAME,
	RELABELLED, /* origins only: same treatment, same generation */
	DIFFERENT,
};

static bool heads_differ(const struct masq_policy *a,
			 const struct masq_policy *b)
{
	struct masq_policy other = *b;

	other.generation = a->generation;
	other.applied_ns = a->applied_ns;
	return memcmp(a, &other, sizeof(other));
}

/* The memory of the slot of an entry that is looked at a little later. */
static void prefetch(const struct work *w, size_t entry)
{
	if (entry + AHEAD < w->policy->count)
		__builtin_prefetch(
			&w->instance->prefixes[w->policy->entries[entry + AHEAD]
						       .slot]);
}

/*
 * Counts what one entry changes; leaves in it since when it is as it is,
 * 0 for from now on.
 */
static void compare_entry(struct work *w, struct policy_entry *entry,
			  enum difference *difference,
			  struct policy_change *change)
{
	const struct masq_prefix *prefix = &w->instance->prefixes[entry->slot];
	const struct masq_prefix_half *own = &prefix->half[w->active];
	uint8_t halves = w->want[entry->slot] & W_KEPT ? prefix->in_half : 0;
	bool stays = halves >> w->active & 1;
	uint32_t other = NO_SLOT;

	if (halves != 3)
		other = find_slot(w, &entry->cidr, entry->list, !entry->action);
	if (other != NO_SLOT)
		w->want[other] |= W_PLACE;
	entry->since = stays ? own->since : 0;
	if (!stays && in_force(w, other))
		change->changed++;
	else if (!stays)
		change->added++;
	else if (own->snat != entry_snat(w, entry))
		change->changed++;
	else if (own->line != entry->line || own->origin != entry->origin)
		*difference = RELABELLED;
}

/* Against the half in force. */
static int compare(struct work *w, enum difference *out,
		   struct policy_change *change)
{
	enum difference difference = SAME;
	uint64_t ports[MASQ_PORT_WORDS];
	int err = read_ports(w, w->active, ports);

	if (err)
		return fail(err, "read masq_ports");
	*change = (struct policy_change){};
	for (size_t i = 0; i < w->policy->count; i++) {
		prefetch(w, i);
		compare_entry(w, &w->policy->entries[i], &difference, change);
	}
	for (uint32_t slot = 0; slot < w->used; slot++)
		if (!(w->want[slot] & (W_KEPT | W_PLACE)) && in_force(w, slot))
			change->removed++;
	if (memcmp(&w->meta.source[w->active], &w->policy->source,
		   sizeof(w->policy->source)))
		difference = RELABELLED;
	if (change->added || change->changed || change->removed ||
	    heads_differ(&w->policy->head, &w->head) ||
	    memcmp(ports, w->ports, sizeof(ports)))
		difference = DIFFERENT;
	*out = difference;
	return 0;
}

/* --- editing a half ---------------------------------------------------- */

static bool is_source(uint8_t list)
{
	return list == MASQ_L_POD || list == MASQ_L_KEEP_SOURCE;
}

static struct masq_lpm_key trie_key(const struct cidr *cidr, uint8_t list)
{
	bool source = is_source(list);
	struct masq_lpm_key key = { .plen = MASQ_LPM_SET_BITS + cidr->plen };

	if (cidr->addr.family == 4)
		key.set = source ? MASQ_SET_SRC4 : MASQ_SET_DST4;
	else
		key.set = source ? MASQ_SET_SRC6 : MASQ_SET_DST6;
	memcpy(key.addr, cidr->addr.a, sizeof(key.addr));
	return key;
}

static int trie_fail(int err, const char *what, const struct masq_lpm_key *key)
{
	bool v4 = key->set == MASQ_SET_DST4 || key->set == MASQ_SET_SRC4;
	struct cidr cidr = { .addr.family = v4 ? 4 : 6,
			     .plen = key->plen - MASQ_LPM_SET_BITS };
	char text[CIDR_STRLEN];

	memcpy(cidr.addr.a, key->addr, sizeof(key->addr));
	log_error("policy: %s %s: %s", what,
		  cidr_format(&cidr, text, sizeof(text)), strerror(-err));
	return err;
}

/* Makes the edits that wait; batches of a trie are of Linux 5.13. */
static int trie_flush(struct work *w)
{
	int fd = w->instance->map[MAP_masq_trie_a + w->idle];
	struct edits *e = &w->edits;
	uint32_t count = e->count, done = count;

	e->count = 0;
	if (!count ||
	    !(e->remove ? bpf_map_delete_batch(fd, e->keys, &done, NULL)
			: bpf_map_update_batch(fd, e->keys, e->values, &done,
					       NULL)))
		return 0;
	/* an error before the first element leaves the count as it was */
	if (done >= count)
		done = 0;
	/* one by one: the kernel has no batches, or one element stopped it */
	for (; done < count; done++) {
		const struct masq_lpm_key *key = &e->keys[done];

		/* absent: POD and KEEP_SOURCE entries share a key */
		if (e->remove && bpf_map_delete_elem(fd, key) &&
		    errno != ENOENT)
			return trie_fail(-errno, "remove", key);
		if (!e->remove &&
		    bpf_map_update_elem(fd, key, &e->values[done], BPF_ANY))
			return trie_fail(-errno, "write", key);
	}
	return 0;
}

/* Writes an entry, or removes it where value is NULL; see trie_flush. */
static int trie_edit(struct work *w, const struct cidr *cidr, uint8_t list,
		     const struct masq_lpm_value *value)
{
	struct edits *e = &w->edits;
	int err = 0;

	if (e->count == BATCH || e->remove != !value)
		err = trie_flush(w);
	e->remove = !value;
	e->keys[e->count] = trie_key(cidr, list);
	if (value)
		e->values[e->count] = *value;
	e->count++;
	return err;
}

/* What a killed editor left cannot be trusted: start from nothing. */
static int empty_half(const struct work *w)
{
	int fd = w->instance->map[MAP_masq_trie_a + w->idle];
	struct masq_lpm_key key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key))
			return fail(-errno, "empty a half");
	if (errno != ENOENT)
		return fail(-errno, "empty a half");
	for (uint32_t i = 0; i < w->used; i++)
		w->instance->prefixes[i].in_half &= ~(1 << w->idle);
	return 0;
}

static int compare_by_cidr(const void *a, const void *b)
{
	const struct policy_entry *const *x = a, *const *y = b;

	return cidr_cmp(&(*x)->cidr, &(*y)->cidr);
}

/*
 * Writes every source entry: a packet's longest match has to answer for both
 * lists, so each value says which lists cover it. Sorted, a prefix follows
 * what covers it, and the coverers of the current one form a stack.
 */
static int write_sources(struct work *w)
{
	const struct policy_entry **sorted, *stack[129 * 2];
	size_t count = 0, depth = 0;
	int err = 0;

	sorted = calloc(w->policy->count + 1, sizeof(*sorted));
	if (!sorted)
		return fail(-ENOMEM, "apply");
	for (size_t i = 0; i < w->policy->count; i++)
		if (is_source(w->policy->entries[i].list))
			sorted[count++] = &w->policy->entries[i];
	qsort(sorted, count, sizeof(*sorted), compare_by_cidr);

	for (size_t i = 0; i < count && !err; i++) {
		const struct cidr *cidr = &sorted[i]->cidr;
		struct masq_lpm_value value = {};

		while (depth && !cidr_covers(&stack[depth - 1]->cidr, cidr))
			depth--;
		stack[depth++] = sorted[i];
		/* the same prefix in the other list: its turn writes both */
		if (i + 1 < count && !cidr_cmp(cidr, &sorted[i + 1]->cidr))
			continue;
		for (size_t k = 0; k < depth; k++) {
			if (stack[k]->list == MASQ_L_POD) {
				value.source |= MASQ_SRC_POD;
			} else {
				value.source |= MASQ_SRC_KEEP;
				value.prefix = stack[k]->slot;
			}
		}
		err = trie_edit(w, cidr, sorted[i]->list, &value);
	}
	free(sorted);
	return err;
}

/*
 * What the slots counted that now become another prefix's goes to zero, and
 * before they do: killed in between, no prefix shows counts of another.
 */
static int clear_counters(const struct work *w)
{
	int fd = w->instance->map[MAP_masq_counters], err = 0;
	size_t size = w->instance->cpus * sizeof(struct masq_prefix_count);
	char *zeros = calloc(BATCH, size);
	uint32_t slots[BATCH], count = 0, done;

	if (!zeros)
		return fail(-ENOMEM, "apply");
	for (size_t i = 0; i < w->fresh_count && !err; i++) {
		uint32_t slot = w->policy->entries[w->fresh[i]].slot;

		if (w->want[slot] & W_GIVEN &&
		    w->instance->prefixes[slot].list != MASQ_L_FREE)
			slots[count++] = slot;
		if (!count || (count < BATCH && i + 1 < w->fresh_count))
			continue;
		done = count;
		if (bpf_map_update_batch(fd, slots, zeros, &done, NULL))
			/* per-CPU arrays take batches since Linux 5.13 */
			for (done = 0; done < count && !err; done++)
				err = write_one(w->instance, MAP_masq_counters,
						slots[done], zeros);
		count = 0;
	}
	free(zeros);
	return err ? fail(err, "clear counters") : 0;
}

/* Gives a slot to a prefix. */
static void occupy(struct work *w, const struct policy_entry *entry)
{
	struct masq_prefix *prefix = &w->instance->prefixes[entry->slot];

	*prefix = (struct masq_prefix){ .family = entry->cidr.addr.family,
					.plen = entry->cidr.plen,
					.list = entry->list,
					.action = entry->action };
	memcpy(prefix->addr, entry->cidr.addr.a, sizeof(prefix->addr));
	w->want[entry->slot] = W_KEPT;
}

/*
 * Takes what is not wanted any more out of the idle half. In order, as
 * neighbours in the trie share most of their way from the root.
 */
static int remove_entries(struct work *w, bool *sources)
{
	struct masq_prefix *prefixes = w->instance->prefixes;
	uint8_t bit = 1 << w->idle;
	struct rank *ranks;
	size_t count = 0;
	int err = 0;

	for (uint32_t slot = 0; slot < w->used; slot++)
		count += prefixes[slot].in_half & bit &&
			 !(w->want[slot] & W_KEPT);
	if (!count)
		return 0;
	ranks = calloc(count, sizeof(*ranks));
	if (!ranks)
		return fail(-ENOMEM, "apply");
	count = 0;
	for (uint32_t slot = 0; slot < w->used; slot++) {
		struct masq_prefix *prefix = &prefixes[slot];
		struct cidr cidr = prefix_cidr(prefix);

		if (!(prefix->in_half & bit) || w->want[slot] & W_KEPT)
			continue;
		prefix->in_half &= ~bit;
		*sources |= is_source(prefix->list);
		/* with another action it is written over later */
		if (!(w->want[slot] & W_PLACE))
			ranks[count++] =
				(struct rank){ rank_key(0, &cidr), slot };
	}
	rank_sort(ranks, count); /* without memory: in any order */
	for (size_t i = 0; i < count && !err; i++) {
		const struct masq_prefix *prefix = &prefixes[ranks[i].index];
		struct cidr cidr = prefix_cidr(prefix);

		err = trie_edit(w, &cidr, prefix->list, NULL);
	}
	free(ranks);
	return err;
}

/* Brings trie and descriptors of the idle half to w->policy. */
static int edit_half(struct work *w)
{
	uint8_t bit = 1 << w->idle;
	struct progress progress;
	bool sources = false;
	int err = remove_entries(w, &sources);

	err = err ?: clear_counters(w);
	if (err)
		return err;
	progress_begin(&progress, "apply", "prefixes", w->policy->count);
	for (size_t i = 0; i < w->policy->count && !err; i++) {
		const struct policy_entry *entry = &w->policy->entries[i];
		struct masq_prefix *prefix =
			&w->instance->prefixes[entry->slot];
		struct masq_prefix_half own = { .line = entry->line,
						.since = entry->since,
						.snat = entry_snat(w, entry),
						.origin = entry->origin };
		struct masq_lpm_value value = { .prefix = entry->slot,
						.action = entry->action,
						.snat = own.snat };
		bool written;

		if (i % BATCH == 0)
			progress_to(&progress, i);
		prefetch(w, i);
		if (w->want[entry->slot] & W_GIVEN)
			occupy(w, entry);
		written = prefix->in_half & bit &&
			  prefix->half[w->idle].snat == own.snat;
		prefix->half[w->idle] = own;
		prefix->in_half |= bit;
		if (written)
			continue;
		if (is_source(entry->list)) {
			sources = true;
			continue;
		}
		err = trie_edit(w, &entry->cidr, entry->list, &value);
	}
	if (!err && sources)
		err = write_sources(w);
	err = err ?: trie_flush(w);
	progress_end(&progress);
	return err;
}

/* Steps 2 and 3 of the head of this file. */
static int fill_idle(struct work *w)
{
	uint32_t idle_bit = 1 << w->idle;
	bool rebuild = w->meta.dirty & idle_bit;
	int err;

	wait_for_readers(w);
	w->meta.dirty = idle_bit;
	w->meta.source[w->idle] = w->policy->source;
	err = write_one(w->instance, MAP_masq_meta, 0, &w->meta);
	if (err)
		return fail(err, "write masq_meta");

	err = rebuild ? empty_half(w) : 0;
	err = err ?: edit_half(w);
	if (err)
		return err;
	for (size_t i = 0; !err && i < w->policy->snat_count; i++)
		err = write_one(w->instance, MAP_masq_snat, w->snat_slot[i],
				&w->snat[w->snat_slot[i]]);
	err = err ?: write_ports(w, w->idle);
	err = err
		      ?: write_one(w->instance, MAP_masq_policy, w->idle,
				   &w->policy->head);
	return err ? fail(err, "write") : 0;
}

/* Step 5; failing, it only makes the next apply do more than it has to. */
static void note_done(struct work *w)
{
	int err;

	w->meta.dirty = 0;
	w->instance->meta = w->meta;
	err = write_one(w->instance, MAP_masq_meta, 0, &w->meta);
	if (err)
		fail(err, "write masq_meta");
}

static int switch_halves(struct work *w)
{
	int err = fill_idle(w);

	if (err)
		return err;
	err = write_one(w->instance, MAP_masq_active, 0, &w->idle);
	if (err)
		return fail(err, "write masq_active");
	w->meta.flipped_ns = instance_now_ns(w->instance);
	note_done(w);
	return 0;
}

static int begin(struct work *w)
{
	int err = read_one(w->instance, MAP_masq_meta, 0, &w->meta);

	err = err ?: read_one(w->instance, MAP_masq_active, 0, &w->active);
	w->active &= 1;
	w->idle = !w->active;
	err = err
		      ?: read_one(w->instance, MAP_masq_policy, w->active,
				  &w->head);
	err = err ?: read_snat(w->instance, w->snat);
	if (err)
		return fail(err, "read");
	w->want = calloc(w->instance->meta.max_prefixes, sizeof(*w->want));
	w->fresh = calloc(w->policy->count + 1, sizeof(*w->fresh));
	if (!w->want || !w->fresh)
		return fail(-ENOMEM, "apply");
	w->used = w->instance->meta.max_prefixes;
	while (w->used &&
	       w->instance->prefixes[w->used - 1].list == MASQ_L_FREE)
		w->used--;
	set_ports(w->ports, w->policy->head.node_port_min,
		  w->policy->head.node_port_max);
	set_reserved_ports(w->ports);
	return 0;
}

static void finish(struct work *w)
{
	free(w->index);
	free(w->want);
	free(w->fresh);
	free(w->snat_slot);
}

int policy_apply(struct instance *instance, struct policy *policy,
		 struct policy_change *change)
{
	struct work w = { .instance = instance, .policy = policy };
	enum difference difference;
	int err = begin(&w);

	err = err ?: make_index(&w);
	err = err ?: assign_slots(&w);
	err = err ?: assign_snat(&w);
	err = err ?: compare(&w, &difference, change);
	if (err)
		goto out;
	policy->head.generation = w.head.generation;
	policy->head.applied_ns = w.head.applied_ns;
	if (difference == DIFFERENT) {
		/* 0 means that there is no policy */
		policy->head.generation = w.head.generation + 1 ?: 1;
		policy->head.applied_ns = wall_clock_ns();
	}
	change->generation = policy->head.generation;
	for (size_t i = 0; i < policy->count; i++)
		if (!policy->entries[i].since)
			policy->entries[i].since = policy->head.generation;
	if (difference != SAME)
		err = switch_halves(&w);
	/* it is in force: whatever fails from here on changes nothing of that */
	if (!err && difference == DIFFERENT)
		history_save(instance, policy, change);
out:
	finish(&w);
	return err;
}

void policy_settle(struct instance *instance, struct policy *policy,
		   const struct policy_change *change)
{
	struct work w = { .instance = instance, .policy = policy };

	if (change->added + change->removed + change->changed < MANY_CHANGES)
		return;
	/* every entry has the slot that policy_apply left in it */
	if (!begin(&w) && w.head.generation == policy->head.generation &&
	    !assign_snat(&w)) {
		for (size_t i = 0; i < policy->count; i++)
			w.want[policy->entries[i].slot] = W_KEPT;
		if (!fill_idle(&w))
			note_done(&w);
	}
	finish(&w);
}

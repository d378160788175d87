// SPDX-License-Identifier: GPL-2.0-only
/* half.c - what goes, what comes, what stays; what a killed one left. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/prefix.h"
#include "base/progress.h"
#include "base/rank.h"
#include "policy/half.h"
#include "policy/policy.h"
#include "policy/ports.h"
#include "policy/snat.h"
#include "policy/trie.h"

/* What a killed editor left cannot be trusted: start from nothing. */
static int empty_half(const struct work *w)
{
	int fd = w->instance->map[MAP_masq_trie_a + w->idle];
	struct masq_lpm_key key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key))
			return policy_fail(-errno, "empty a half");
	if (errno != ENOENT)
		return policy_fail(-errno, "empty a half");
	for (uint32_t i = 0; i < w->used; i++)
		w->instance->prefixes[i].in_half &= ~(1 << w->idle);
	return 0;
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
		return policy_fail(-ENOMEM, "apply");
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
				err = map_write(w->instance, MAP_masq_counters,
						slots[done], zeros);
		count = 0;
	}
	free(zeros);
	return err ? policy_fail(err, "clear counters") : 0;
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
		return policy_fail(-ENOMEM, "apply");
	count = 0;
	for (uint32_t slot = 0; slot < w->used; slot++) {
		struct masq_prefix *prefix = &prefixes[slot];
		struct cidr cidr = prefix_cidr(prefix);

		if (!(prefix->in_half & bit) || w->want[slot] & W_KEPT)
			continue;
		prefix->in_half &= ~bit;
		*sources |= trie_is_source(prefix->list);
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
						.snat = snat_of(w, entry),
						.origin = entry->origin };
		struct masq_lpm_value value = { .prefix = entry->slot,
						.action = entry->action,
						.snat = own.snat };
		bool written;

		if (i % BATCH == 0)
			progress_to(&progress, i);
		work_prefetch(w, i);
		if (w->want[entry->slot] & W_GIVEN)
			occupy(w, entry);
		written = prefix->in_half & bit &&
			  prefix->half[w->idle].snat == own.snat;
		prefix->half[w->idle] = own;
		prefix->in_half |= bit;
		if (written)
			continue;
		if (trie_is_source(entry->list)) {
			sources = true;
			continue;
		}
		err = trie_edit(w, &entry->cidr, entry->list, &value);
	}
	if (!err && sources)
		err = trie_write_sources(w);
	err = err ?: trie_flush(w);
	progress_end(&progress);
	return err;
}

int half_fill(struct work *w)
{
	uint32_t idle_bit = 1 << w->idle;
	bool rebuild = w->meta.dirty & idle_bit;
	int err;

	work_wait(w);
	w->meta.dirty = idle_bit;
	w->meta.source[w->idle] = w->policy->source;
	err = map_write(w->instance, MAP_masq_meta, 0, &w->meta);
	if (err)
		return policy_fail(err, "write masq_meta");

	err = rebuild ? empty_half(w) : 0;
	err = err ?: edit_half(w);
	if (err)
		return err;
	err = snat_nets(w, true);
	if (err)
		return err;
	err = snat_write(w) ?: ports_write(w, w->idle);
	err = err
		      ?: map_write(w->instance, MAP_masq_policy, w->idle,
				   &w->policy->head);
	return err ? policy_fail(err, "write") : 0;
}

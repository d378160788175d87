// SPDX-License-Identifier: GPL-2.0-only
/* trie.c - in batches, and one by one where the kernel has none. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "policy/policy.h"
#include "policy/trie.h"

bool trie_is_source(uint8_t list)
{
	return list == MASQ_L_POD || list == MASQ_L_KEEP_SOURCE;
}

static struct masq_lpm_key trie_key(const struct cidr *cidr, uint8_t list)
{
	bool source = trie_is_source(list);
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
int trie_flush(struct work *w)
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

int trie_edit(struct work *w, const struct cidr *cidr, uint8_t list,
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

static int compare_by_cidr(const void *a, const void *b)
{
	const struct policy_entry *const *x = a, *const *y = b;

	return cidr_cmp(&(*x)->cidr, &(*y)->cidr);
}

/*
 * Sorted, a prefix follows what covers it, and the coverers of the current one
 * form a stack.
 */
int trie_write_sources(struct work *w)
{
	const struct policy_entry **sorted, *stack[129 * 2];
	size_t count = 0, depth = 0;
	int err = 0;

	sorted = calloc(w->policy->count + 1, sizeof(*sorted));
	if (!sorted)
		return policy_fail(-ENOMEM, "apply");
	for (size_t i = 0; i < w->policy->count; i++)
		if (trie_is_source(w->policy->entries[i].list))
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

// SPDX-License-Identifier: GPL-2.0-only
/* snat.c - slots that have the addresses, else some that nobody uses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "plane/node.h"
#include "policy/policy.h"
#include "policy/slots.h"
#include "policy/snat.h"

int snat_read(const struct instance *instance,
	      struct masq_addr snat[MASQ_MAX_SNAT])
{
	uint32_t keys[MASQ_MAX_SNAT], last, count = MASQ_MAX_SNAT;

	if (bpf_map_lookup_batch(instance->map[MAP_masq_snat], NULL, &last,
				 keys, snat, &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

/* --- pools in slots ------------------------------------------------------ */

static uint32_t slots_of(uint16_t snat)
{
	return MASQ_SNAT_RANGES(snat) ? 2 * MASQ_SNAT_RANGES(snat) : 1;
}

/* What the slots of a pool hold; how many they are. */
static uint32_t image_of(const struct pool *pool,
			 struct masq_addr image[2 * MASQ_POOL_RANGES])
{
	uint32_t size = 0;

	memset(image, 0, 2 * MASQ_POOL_RANGES * sizeof(*image));
	for (int i = 0; i < pool->count; i++) {
		memcpy(image[2 * i].a, pool->range[i].first.a,
		       sizeof(image->a));
		size += pool_range_size(&pool->range[i]);
		image[2 * i + 1].a[0] = size;
	}
	return pool_slots(pool);
}

/* The address that is so many behind this one. */
static struct addr addr_after(const struct addr *addr, uint32_t behind)
{
	struct addr after = *addr;
	int word = addr->family == 4 ? 0 : 3;
	uint64_t carry = behind;

	for (; word >= 0 && carry; word--) {
		carry += ntohl(after.a[word]);
		after.a[word] = htonl((uint32_t)carry);
		carry >>= 32;
	}
	return after;
}

int snat_pool(const struct masq_addr snat[MASQ_MAX_SNAT], uint16_t value,
	      uint8_t family, struct pool *out)
{
	uint32_t slot = MASQ_SNAT_SLOT(value), before = 0;
	uint32_t ranges = MASQ_SNAT_RANGES(value);

	*out = (struct pool){ .family = family, .count = ranges ?: 1 };
	if (!slot || ranges > MASQ_POOL_RANGES ||
	    slot + slots_of(value) > MASQ_MAX_SNAT)
		return -EBADMSG;
	for (uint32_t i = 0; i < out->count; i++) {
		struct pool_range *range = &out->range[i];
		uint32_t until = ranges ? snat[slot + 2 * i + 1].a[0] : 1;

		if (until <= before)
			return -EBADMSG;
		range->first.family = family;
		memcpy(range->first.a, snat[slot + 2 * i].a,
		       sizeof(range->first.a));
		range->last = addr_after(&range->first, until - before - 1);
		before = until;
	}
	return 0;
}

/* So many slots that nobody uses, one after the other; 0: there are none. */
static uint32_t free_slots(const bool used[MASQ_MAX_SNAT], uint32_t count)
{
	uint32_t run = 0;

	for (uint32_t slot = 1; slot < MASQ_MAX_SNAT; slot++) {
		run = used[slot] ? 0 : run + 1;
		if (run == count)
			return slot - count + 1;
	}
	return 0;
}

/* The slots that have it already; 0: none. */
static uint32_t same_slots(const struct work *w, const bool used[MASQ_MAX_SNAT],
			   const struct masq_addr *image, uint32_t count)
{
	for (uint32_t slot = 1; slot + count <= MASQ_MAX_SNAT; slot++) {
		if (memcmp(&w->snat[slot], image, count * sizeof(*image)))
			continue;
		for (uint32_t i = 0; used[slot + i]; i++)
			if (i + 1 == count)
				return slot;
	}
	return 0;
}

int snat_assign(struct work *w)
{
	struct policy *policy = w->policy;
	bool used[MASQ_MAX_SNAT] = { [0] = true };

	w->snat_slot = calloc(policy->snat_count + 1, sizeof(*w->snat_slot));
	if (!w->snat_slot)
		return policy_fail(-ENOMEM, "apply");
	for (uint32_t i = 0; i < w->used; i++) {
		uint16_t snat = w->instance->prefixes[i].half[w->active].snat;

		if (!slot_in_force(w, i) || !snat)
			continue;
		for (uint32_t k = 0; k < slots_of(snat); k++)
			used[(MASQ_SNAT_SLOT(snat) + k) % MASQ_MAX_SNAT] = true;
	}

	for (size_t i = 0; i < policy->snat_count; i++) {
		const struct pool *pool = &policy->snat[i];
		struct masq_addr image[2 * MASQ_POOL_RANGES];
		uint32_t count = image_of(pool, image);
		uint32_t slot = same_slots(w, used, image, count)
					?: free_slots(used, count);

		if (!slot) {
			log_error(
				"policy: its %zu source addresses and ranges do not fit beside those of the policy in force: a range takes two of %d places, an address one; a policy with fewer of them first, then this one",
				policy->snat_count, MASQ_MAX_SNAT - 1);
			return -ENOSPC;
		}
		for (uint32_t k = 0; k < count; k++)
			used[slot + k] = true;
		memcpy(&w->snat[slot], image, count * sizeof(*image));
		w->snat_slot[i] = MASQ_SNAT(slot, count > 1 ? pool->count : 0);
	}
	return 0;
}

uint16_t snat_of(const struct work *w, const struct policy_entry *entry)
{
	return entry->snat ? w->snat_slot[entry->snat - 1] : 0;
}

int snat_write(const struct work *w)
{
	int err = 0;

	for (size_t i = 0; i < w->policy->snat_count; i++) {
		uint32_t slot = MASQ_SNAT_SLOT(w->snat_slot[i]);
		uint32_t end = slot + slots_of(w->snat_slot[i]);

		for (; slot < end && !err; slot++)
			err = map_write(w->instance, MAP_masq_snat, slot,
					&w->snat[slot]);
	}
	return err;
}

/* --- what is sent to them comes back here -------------------------------- */

int snat_nets(const struct work *w, bool keep)
{
	const struct policy *policy = w->policy;
	struct cidr *nets = NULL;
	size_t count = 0, room = 0;
	int err = 0;

	for (size_t i = 0; i < policy->snat_count && !err; i++) {
		const struct pool *pool = &policy->snat[i];

		for (int k = 0; k < pool->count && !err; k++) {
			struct addr at = pool->range[k].first;
			struct cidr cidr;

			while (pool_next_cidr(&pool->range[k], &at, &cidr)) {
				if (count == room) {
					struct cidr *more;

					room = room ? 2 * room : 64;
					more = reallocarray(nets, room,
							    sizeof(*nets));
					if (!more) {
						err = -ENOMEM;
						break;
					}
					nets = more;
				}
				nets[count++] = cidr;
			}
		}
	}
	err = err ?: node_snat_nets(w->instance, nets, count, keep);
	free(nets);
	if (err == -ENOSPC) {
		if (keep)
			log_warn(
				"snat.addresses: %zu prefixes are more than masq_nets holds: what outsiders send to the others counts as forwarded",
				count);
		return 0;
	}
	return err ? policy_fail(err, "write masq_nets") : 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/* baseline.c - a few of each network, as many networks as there is room for. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include "plane/flows.h"
#include "policy/baseline.h"
#include "policy/history.h"

#define TABLE 4096 /* a power of two; half full at most */
#define MAGIC (0x42415345 ^ (uint32_t)sizeof(struct baseline_item))

/* As it is noted; the layout is this program's alone. */
struct baseline {
	uint32_t magic;
	uint32_t count;
	uint64_t put_back_ms; /* 0: it is of this boot */
	struct baseline_item items[];
};

/* --- taking it --------------------------------------------------------- */

struct net {
	struct cidr cidr; /* family 0: free */
	uint32_t services;
};

struct table {
	struct baseline_item items[TABLE]; /* flows 0: free */
	struct net nets[TABLE];
	/* private addresses, which policies are mostly about, and the others:
	 * neither takes the other's room */
	uint32_t count[2];
};

static uint32_t slot_of(const struct addr *a, uint32_t more)
{
	uint32_t hash = a->family + more;

	for (int i = 0; i < 4; i++)
		hash = (hash ^ a->a[i]) * 0x9e3779b1;
	return hash ^ hash >> 15;
}

static bool is_private(const struct addr *addr)
{
	uint32_t a = ntohl(addr->a[0]);

	if (addr->family != 4)
		return a >> 25 == 0xfc >> 1;
	return a >> 24 == 10 || a >> 20 == 0xac1 || a >> 16 == 0xc0a8 ||
	       a >> 22 == 0x6440 >> 6;
}

static struct net *net_of(struct table *t, const struct addr *dest)
{
	struct cidr cidr = cidr_of(dest, dest->family == 4 ? 24 : 64);
	uint32_t at = slot_of(&cidr.addr, 0);

	while (t->nets[at & (TABLE - 1)].cidr.addr.family &&
	       cidr_cmp(&t->nets[at & (TABLE - 1)].cidr, &cidr))
		at++;
	/* it has no more networks than services */
	t->nets[at & (TABLE - 1)].cidr = cidr;
	return &t->nets[at & (TABLE - 1)];
}

static void add_item(struct table *t, const struct baseline_item *like)
{
	uint32_t at = slot_of(&like->dest, like->port << 8 | like->proto);
	bool public = !is_private(&like->dest);
	struct baseline_item *item;
	struct net *net;

	for (;; at++) {
		item = &t->items[at & (TABLE - 1)];
		if (!item->flows)
			break;
		if (item->port != like->port || item->proto != like->proto ||
		    !addr_equal(&item->dest, &like->dest))
			continue;
		/* what is known of now says more */
		if (!like->old && item->flows < UINT32_MAX)
			item->flows++;
		return;
	}
	if (t->count[public] == BASELINE_ITEMS / 2)
		return;
	net = net_of(t, &like->dest);
	if (net->services == BASELINE_OF_A_NET)
		return;
	net->services++;
	t->count[public]++;
	*item = *like;
}

static int add(void *data, const struct flow *flow)
{
	const struct baseline_item item = { .dest = flow->rem,
					    .pod = flow->in,
					    .port = proto_is_icmp(flow->proto)
							    ? 0
							    : flow->rem_port,
					    .proto = flow->proto,
					    .kind = flow->kind,
					    .flows = 1 };

	if (flow->replied && flow->role == MASQ_ROLE_FLOW &&
	    flow->kind != MASQ_K_INBOUND)
		add_item(data, &item);
	return 0;
}

static int write_noted(struct instance *instance, const struct baseline *noted)
{
	return history_note_write(instance, HISTORY_BASELINE, noted,
				  sizeof(*noted) +
					  noted->count * sizeof(*noted->items));
}

static int read_noted(const struct instance *instance, struct baseline **out)
{
	struct baseline *noted;
	size_t length;
	void *bytes;
	int err =
		history_note_read(instance, HISTORY_BASELINE, &bytes, &length);

	if (err)
		return err;
	noted = bytes;
	if (length < sizeof(*noted) || noted->magic != MAGIC ||
	    noted->count > BASELINE_ITEMS ||
	    length != sizeof(*noted) + noted->count * sizeof(*noted->items)) {
		free(bytes);
		return -ENOENT; /* of another version */
	}
	*out = noted;
	return 0;
}

static bool is_fresh(const struct instance *instance,
		     const struct baseline *noted)
{
	return noted->put_back_ms &&
	       instance_now_ns(instance) / 1000000 - noted->put_back_ms <
		       BASELINE_MS;
}

static bool is_sound(const struct baseline_item *item)
{
	return item->flows &&
	       (item->dest.family == 4 || item->dest.family == 6) &&
	       item->pod.family == item->dest.family &&
	       (item->kind == MASQ_K_FWD || item->kind == MASQ_K_KEEP);
}

int baseline_take(struct instance *instance)
{
	struct baseline *old = NULL, *now;
	struct table *t = calloc(1, sizeof(*t));
	int err;

	now = calloc(1, sizeof(*now) + BASELINE_ITEMS * sizeof(*now->items));
	err = t && now ? flows_walk_owners(instance, add, t) : -ENOMEM;
	if (!err && !read_noted(instance, &old) && is_fresh(instance, old)) {
		now->put_back_ms = old->put_back_ms;
		for (uint32_t i = 0; i < old->count; i++)
			if (old->items[i].old && is_sound(&old->items[i]))
				add_item(t, &old->items[i]);
	}
	if (!err) {
		now->magic = MAGIC;
		for (uint32_t i = 0; i < TABLE; i++)
			if (t->items[i].flows)
				now->items[now->count++] = t->items[i];
		err = write_noted(instance, now);
	}
	free(old);
	free(now);
	free(t);
	return err;
}

/* --- another boot's ---------------------------------------------------- */

int baseline_put_back(struct instance *instance, uint64_t now_ms)
{
	struct baseline *noted;
	int err = read_noted(instance, &noted);

	if (err)
		return err == -ENOENT ? 0 : err;
	noted->put_back_ms = now_ms ?: 1;
	for (uint32_t i = 0; i < noted->count; i++)
		noted->items[i].old = 1;
	err = write_noted(instance, noted);
	free(noted);
	return err;
}

int baseline_before(const struct instance *instance,
		    struct baseline_item **items, uint32_t *count)
{
	struct baseline *noted;
	int err = read_noted(instance, &noted);

	if (err)
		return err;
	*count = 0;
	*items = is_fresh(instance, noted)
			 ? calloc(noted->count + 1, sizeof(**items))
			 : NULL;
	for (uint32_t i = 0; *items && i < noted->count; i++)
		if (noted->items[i].old && is_sound(&noted->items[i]))
			(*items)[(*count)++] = noted->items[i];
	err = *items || !is_fresh(instance, noted) ? 0 : -ENOMEM;
	if (!err && !*items)
		err = -ENOENT;
	free(noted);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * check.c - what only the config as a whole can tell: one prefix with
 * two actions, duplicates, limits, pods that would be masqueraded to pods,
 * source addresses that nobody gets, or that are pods'.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/rank.h"
#include "config/check.h"

/* All entries, sorted: equal prefixes stand together, in order of the file. */
struct view {
	const struct entry **entries;
	size_t count;
};

static int place_cmp(struct place a, struct place b)
{
	if (a.line != b.line)
		return a.line < b.line ? -1 : 1;
	return (a.column > b.column) - (a.column < b.column);
}

static int entry_cmp(const void *a, const void *b)
{
	const struct entry *x = *(const struct entry *const *)a;
	const struct entry *y = *(const struct entry *const *)b;
	int order = cidr_cmp(&x->cidr, &y->cidr);

	if (order)
		return order;
	if (x->list != y->list)
		return x->list < y->list ? -1 : 1;
	order = place_cmp(x->place, y->place);
	/* two aliases of one anchor have one place */
	return order ? order : (x > y) - (x < y);
}

/* False: no memory. */
static bool make_view(const struct loader *l, struct view *view)
{
	size_t count = l->entry_count, end;
	struct rank *ranks = reallocarray(NULL, count, sizeof(*ranks));

	for (size_t i = 0; ranks && i < count; i++)
		ranks[i] = (struct rank){ rank_key(0, &l->entries[i].cidr), i };
	view->count = count;
	view->entries = calloc(count, sizeof(*view->entries));
	if (!ranks || !view->entries || !rank_sort(ranks, count)) {
		free(ranks);
		free(view->entries);
		return false;
	}
	for (size_t i = 0; i < count; i++)
		view->entries[i] = &l->entries[ranks[i].index];
	/* what shares a key is in no order yet */
	for (size_t i = 0; i < count; i = end) {
		end = rank_run(ranks, count, i);
		if (end - i > 1)
			qsort(&view->entries[i], end - i,
			      sizeof(*view->entries), entry_cmp);
	}
	free(ranks);
	return true;
}

/* " (line 3)" or where else the entry comes from; returns buf. */
static const char *entry_from(const struct loader *l, const struct entry *entry,
			      char *buf, size_t len)
{
	if (entry->place.line)
		snprintf(buf, len, "in line %u",
			 config_place(l, entry->place).line);
	else
		snprintf(buf, len,
			 "in the preset %s, which applies because"
			 " nonMasqueradeCIDRs is not given",
			 l->config->preset);
	return buf;
}

static int fail_both(struct loader *l, const struct entry *entry,
		     const struct entry *other)
{
	char text[CIDR_STRLEN], from[128];

	cidr_format(&entry->cidr, text, sizeof(text));
	entry_from(l, other, from, sizeof(from));
	return config_fail(l, entry->place,
			   "%s: \"%s\" is in %s too (%s): a prefix is either"
			   " kept or masqueraded",
			   config_list_name(entry->list), text,
			   config_list_name(other->list), from);
}

/*
 * Two items for one destination: the pool of the first one gets what the other
 * one has, which is left empty.
 */
static int join_choices(struct loader *l, const struct entry *first,
			const struct entry *b)
{
	struct pool *pool = &l->config->snat[first->choice].pool;
	struct pool *more = &l->config->snat[b->choice].pool;
	char text[POOL_STRLEN];
	int ret = 0;

	if (pool_overlaps(pool, more))
		ret = config_warn(l, b->place,
				  "snat.addresses: \"%s\" is there already",
				  pool_short(more, text, sizeof(text)));
	ret = ret ?: config_join(l, b->place, "snat.addresses", pool, more);
	*more = (struct pool){};
	return ret;
}

static void drop_joined(struct config *config)
{
	size_t kept = 0;

	for (size_t i = 0; i < config->snat_count; i++)
		if (config->snat[i].pool.family)
			config->snat[kept++] = config->snat[i];
	config->snat_count = kept;
}

/* Neighbours in the view: duplicates and contradictions. */
static int check_neighbours(struct loader *l, const struct view *view)
{
	const struct entry *first = view->entries[0];
	char text[CIDR_STRLEN], from[128];
	int ret = 0;

	for (size_t i = 1; i < view->count; i++) {
		const struct entry *a = view->entries[i - 1];
		const struct entry *b = view->entries[i];
		bool same = a->list == b->list;
		int part = 0;

		if (cidr_cmp(&a->cidr, &b->cidr)) {
			first = b;
			continue;
		}
		if (!same)
			first = b;
		if (same && a->list == LIST_SNAT) {
			part = join_choices(l, first, b);
		} else if (a->list == LIST_KEEP && b->list == LIST_MASQUERADE) {
			bool later = place_cmp(a->place, b->place) > 0;

			part = fail_both(l, later ? a : b, later ? b : a);
		} else if (same) {
			part = config_warn(
				l, b->place, "%s: \"%s\" is there already, %s",
				config_list_name(b->list),
				cidr_format(&b->cidr, text, sizeof(text)),
				entry_from(l, a, from, sizeof(from)));
		}
		if (!config_go_on(&ret, part))
			break;
	}
	return ret;
}

/* Those of one list; free its entries. False: no memory. */
static bool only(const struct view *view, enum config_list list,
		 struct view *out)
{
	out->count = 0;
	out->entries = calloc(view->count, sizeof(*out->entries));
	for (size_t i = 0; out->entries && i < view->count; i++)
		if (view->entries[i]->list == list)
			out->entries[out->count++] = view->entries[i];
	return out->entries;
}

/* The first one that is not before the prefix; the count: there is none. */
static size_t search(const struct view *view, const struct cidr *cidr)
{
	size_t low = 0, high = view->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (cidr_cmp(&view->entries[middle]->cidr, cidr) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

/* The prefix that decides about packets to this network, or NULL. */
static const struct entry *longest_match(const struct view *view,
					 const struct cidr *network)
{
	for (int plen = network->plen; plen >= 0; plen--) {
		struct cidr head = cidr_of(&network->addr, plen);
		size_t low = search(view, &head);

		/* keep and masquerade sort before the other lists */
		if (low < view->count &&
		    !cidr_cmp(&view->entries[low]->cidr, &head) &&
		    view->entries[low]->list <= LIST_MASQUERADE)
			return view->entries[low];
	}
	return NULL;
}

/* Pods talking to pods of other nodes keep their addresses nearly always. */
static int check_pods(struct loader *l, const struct view *view)
{
	char text[CIDR_STRLEN];
	int ret = 0;

	for (size_t i = 0; i < view->count && !ret; i++) {
		const struct entry *pods = view->entries[i], *match;

		if (pods->list != LIST_PODS ||
		    (pods->cidr.addr.family == 6 && !l->config->ipv6))
			continue;
		match = longest_match(view, &pods->cidr);
		if (!match || match->list != LIST_KEEP)
			ret = config_warn(l, pods->place,
					  "podCIDRs: \"%s\" is masqueraded as a"
					  " destination: name it in"
					  " nonMasqueradeCIDRs if pods talk to"
					  " pods of other nodes",
					  cidr_format(&pods->cidr, text,
						      sizeof(text)));
	}
	return ret;
}

/* Is there a prefix of this list within the range? */
static bool any_in(const struct view *list, const struct cidr *range)
{
	size_t at = search(list, range);

	return at < list->count && cidr_covers(range, &list->entries[at]->cidr);
}

/* Addresses that nothing leaves with: what goes there is kept. */
static int check_choice(struct loader *l, const struct view *view,
			const struct view *masqueraded,
			const struct entry *choice)
{
	const struct entry *match = longest_match(view, &choice->cidr);
	char dest[CIDR_STRLEN], kept[CIDR_STRLEN], from[128];

	if (!match || match->list != LIST_KEEP ||
	    any_in(masqueraded, &choice->cidr))
		return 0;
	return config_warn(
		l, choice->place,
		"snat.addresses: \"%s\" is kept (\"%s\", %s): nothing leaves"
		" for there with such an address",
		cidr_format(&choice->cidr, dest, sizeof(dest)),
		cidr_format(&match->cidr, kept, sizeof(kept)),
		entry_from(l, match, from, sizeof(from)));
}

/* The prefix of this list that has an address of the range, or NULL. */
static const struct entry *shares(const struct view *list,
				  const struct pool_range *range)
{
	struct cidr at = { .addr = range->first };
	size_t i = search(list, &at);

	if (i < list->count &&
	    list->entries[i]->cidr.addr.family == range->first.family &&
	    addr_cmp(&list->entries[i]->cidr.addr, &range->last) <= 0)
		return list->entries[i];
	/* it begins before */
	for (int plen = range->first.family == 4 ? 32 : 128; plen >= 0;
	     plen--) {
		at = cidr_of(&range->first, plen);
		i = search(list, &at);
		if (i < list->count && !cidr_cmp(&list->entries[i]->cidr, &at))
			return list->entries[i];
	}
	return NULL;
}

/* What comes in for a pool is for flows, so a pod that has an address of it is
 * no more to be reached from outside. */
static int check_pool(struct loader *l, const struct view *pods,
		      const struct entry *choice)
{
	const struct pool *pool = &l->config->snat[choice->choice].pool;
	char text[POOL_STRLEN], range[CIDR_STRLEN];
	const struct entry *found = NULL;

	for (int i = 0; i < pool->count && !found; i++)
		found = shares(pods, &pool->range[i]);
	if (!found)
		return 0;
	return config_warn(l, choice->place,
			   "snat.addresses: \"%s\" lies in podCIDRs (%s):"
			   " a pod that has such an address is not reached"
			   " from outside: name some that no pod gets",
			   pool_short(pool, text, sizeof(text)),
			   cidr_format(&found->cidr, range, sizeof(range)));
}

static int check_choices(struct loader *l, const struct view *view)
{
	struct view masqueraded = {}, pods = {};
	int ret = 0;

	if (!only(view, LIST_MASQUERADE, &masqueraded) ||
	    !only(view, LIST_PODS, &pods))
		ret = config_nomem(l);
	for (size_t i = 0; i < view->count && !ret; i++)
		if (view->entries[i]->list == LIST_SNAT)
			ret = check_choice(l, view, &masqueraded,
					   view->entries[i])
				      ?: check_pool(l, &pods, view->entries[i]);
	free(masqueraded.entries);
	free(pods.entries);
	return ret;
}

/* The flags keep link-local as if it were in the list. */
static int check_link_local(struct loader *l)
{
	static const struct {
		const char *text, *key;
	} known[] = {
		{ "169.254.0.0/16", "masqLinkLocal" },
		{ "fe80::/10", "masqLinkLocalIPv6" },
	};

	int ret = 0;

	for (size_t i = 0; i < l->entry_count; i++) {
		const struct entry *entry = &l->entries[i];
		bool six = entry->cidr.addr.family == 6;
		char text[CIDR_STRLEN];

		if (entry->list != LIST_MASQUERADE ||
		    (six ? l->config->masq_link_local_ipv6
			 : l->config->masq_link_local))
			continue;
		cidr_format(&entry->cidr, text, sizeof(text));
		if (!strcmp(text, known[six].text) &&
		    !config_go_on(&ret,
				  config_fail(l, entry->place,
					      "masqueradeCIDRs: \"%s\" is kept"
					      " as long as %s is false",
					      text, known[six].key)))
			break;
	}
	return ret;
}

static int check_limit(struct loader *l)
{
	const struct config *config = l->config;
	struct place place = CONFIG_PLACE(l, cidr_limit, cidr_limit);
	uint32_t left = config->cidr_limit;

	if (config->keep.count <= left)
		return 0;
	/* the first one too many, or the limit when the list is a preset's */
	for (size_t i = 0; i < l->entry_count; i++)
		if (l->entries[i].list == LIST_KEEP && !left--) {
			if (l->entries[i].place.line)
				place = l->entries[i].place;
			break;
		}
	return config_fail(l, place,
			   "nonMasqueradeCIDRs: %zu prefixes, cidrLimit is %u",
			   config->keep.count, config->cidr_limit);
}

static int compare_pools(const void *a, const void *b)
{
	return pool_cmp(*(const struct pool *const *)a,
			*(const struct pool *const *)b);
}

/* The dataplane has so many slots for addresses, and slot 0 is its own. */
static int check_snat_slots(struct loader *l)
{
	const struct config *config = l->config;
	const struct pool **pools;
	size_t slots = 0;

	if (!config->snat_count)
		return 0;
	pools = calloc(config->snat_count, sizeof(*pools));
	if (!pools)
		return config_nomem(l);
	for (size_t i = 0; i < config->snat_count; i++)
		pools[i] = &config->snat[i].pool;
	qsort(pools, config->snat_count, sizeof(*pools), compare_pools);
	for (size_t i = 0; i < config->snat_count; i++)
		if (!i || pool_cmp(pools[i - 1], pools[i]))
			slots += pool_slots(pools[i]);
	free(pools);
	if (slots < MASQ_MAX_SNAT)
		return 0;
	return config_fail(l, CONFIG_PLACE(l, snat, snat),
			   "snat.addresses: %zu different addresses and ends of"
			   " ranges, at most %d are possible",
			   slots, MASQ_MAX_SNAT - 1);
}

static int check_family(struct loader *l)
{
	const struct entry *six = NULL;

	for (size_t i = 0; i < l->entry_count && !six; i++)
		if (l->entries[i].cidr.addr.family == 6)
			six = &l->entries[i];
	if (!six)
		return 0;
	if (!l->ipv6_given) {
		l->config->ipv6 = true;
		return 0;
	}
	if (l->config->ipv6)
		return 0;
	return config_warn(l, six->place,
			   "an IPv6 prefix, but enableIPv6 is false: IPv6"
			   " passes untouched");
}

int config_check(struct loader *l)
{
	struct view view;
	int ret = 0;

	/* what a setting that was not understood would decide is not said */
	if (!l->error_count) {
		bool more = config_go_on(&ret, check_limit(l)) &&
			    config_go_on(&ret, check_link_local(l)) &&
			    config_go_on(&ret, check_family(l)) &&
			    config_go_on(&ret, config_check_settings(l));

		if (!more)
			return ret;
	}
	if (!l->entry_count)
		return ret;

	if (!make_view(l, &view))
		return config_nomem(l);
	config_go_on(&ret, check_neighbours(l, &view));
	/* by numbers that joining changes */
	if (!ret && !l->error_count)
		ret = check_choices(l, &view);
	drop_joined(l->config);
	if (!ret && !l->error_count)
		ret = check_snat_slots(l);
	if (!ret && !l->error_count)
		ret = check_pods(l, &view);
	free(view.entries);
	return ret;
}

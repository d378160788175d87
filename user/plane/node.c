// SPDX-License-Identifier: GPL-2.0-only
/*
 * node.c - the node's addresses, from netlink into the maps.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/node.h"

static int say(const char *map, const char *what, int err)
{
	if (err)
		log_error("%s: cannot %s: %s", map, what,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

/*
 * Every key of a hash map, in one allocation; keys that appear meanwhile may
 * be missing (who writes these maps holds the lock). A walk that meets a key
 * just deleted begins anew, so nothing is deleted while walking.
 */
static int read_keys(int fd, size_t key_size, void **out, size_t *count)
{
	size_t room = 0;
	char *keys = NULL;
	int err = 0;

	*count = 0;
	do {
		if (*count == room) {
			char *grown;

			room = room ? 2 * room : 64;
			grown = reallocarray(keys, room, key_size);
			if (!grown) {
				err = -ENOMEM;
				break;
			}
			keys = grown;
		}
		err = bpf_map_get_next_key(
			fd, *count ? keys + (*count - 1) * key_size : NULL,
			keys + *count * key_size);
		*count += !err;
	} while (!err);
	if (err != -ENOENT) {
		free(keys);
		return err;
	}
	*out = keys;
	return 0;
}

/* --- masq_local -------------------------------------------------------- */

struct local {
	struct masq_addr addr;
	uint32_t uses;
};

static int by_addr(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct masq_addr));
}

/* The node's addresses, each once, sorted. */
static int list_local(const struct netdev *netdev, struct local **out,
		      size_t *count)
{
	struct local *list = calloc(netdev->addr_count + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < netdev->addr_count; i++)
		memcpy(list[i].addr.a, netdev->addrs[i].addr.a,
		       sizeof(list[i].addr.a));
	qsort(list, netdev->addr_count, sizeof(*list), by_addr);
	for (size_t i = 0; i < netdev->addr_count; i++) {
		if (!n || by_addr(&list[n - 1], &list[i]))
			list[n++] = (struct local){ .addr = list[i].addr };
		list[n - 1].uses++;
	}
	*out = list;
	*count = n;
	return 0;
}

static int sync_local(const struct instance *instance,
		      const struct netdev *netdev)
{
	/* the agent looks every few seconds: said when it begins */
	static bool said;
	int fd = instance->map[MAP_masq_local], err;
	bool full = false;
	struct masq_addr *old = NULL;
	struct local *list = NULL;
	size_t count = 0, old_count = 0;

	err = list_local(netdev, &list, &count)
		      ?: read_keys(fd, sizeof(*old), (void **)&old, &old_count);
	for (size_t i = 0; i < count && !err; i++) {
		err = bpf_map_update_elem(fd, &list[i].addr, &list[i].uses,
					  BPF_ANY);
		if (err == -E2BIG) {
			err = 0;
			full = true;
			break;
		}
	}
	if (full && !said)
		log_warn("masq_local: %zu addresses, more than it holds: what "
			 "is forwarded with the others as its source is taken "
			 "for a pod's",
			 count);
	said = full;
	/* new ones first: an address is never missing that was there twice */
	for (size_t i = 0; i < old_count && !err; i++) {
		if (bsearch(&old[i], list, count, sizeof(*list), by_addr))
			continue;
		err = bpf_map_delete_elem(fd, &old[i]);
		if (err == -ENOENT)
			err = 0;
	}
	free(list);
	free(old);
	return say("masq_local", "write the node's addresses", err);
}

/* --- masq_nets --------------------------------------------------------- */

static int by_net(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct masq_lpm_key));
}

/* What is local by a route alone, sorted. */
static int list_nets(const struct netdev *netdev, struct masq_lpm_key **out,
		     size_t *count)
{
	struct masq_lpm_key *list =
		calloc(netdev->local_count + 1, sizeof(*list));
	struct local *addrs = NULL;
	size_t n = 0, addr_count = 0;
	int err = list ? list_local(netdev, &addrs, &addr_count) : -ENOMEM;

	for (size_t i = 0; i < netdev->local_count && !err; i++) {
		const struct cidr *net = &netdev->locals[i];
		struct masq_addr addr;

		memcpy(addr.a, net->addr.a, sizeof(addr.a));
		if (net->plen == (net->addr.family == 4 ? 32 : 128) &&
		    bsearch(&addr, addrs, addr_count, sizeof(*addrs), by_addr))
			continue; /* in masq_local */
		list[n] = (struct masq_lpm_key){
			.plen = MASQ_LPM_SET_BITS + net->plen,
			.set = net->addr.family,
		};
		memcpy(list[n++].addr, addr.a, sizeof(addr.a));
	}
	free(addrs);
	if (err) {
		free(list);
		return err;
	}
	qsort(list, n, sizeof(*list), by_net);
	*out = list;
	*count = n;
	return 0;
}

/*
 * Brings the bit of one kind (MASQ_NET_*) to these prefixes; the others' stays.
 * `keep`: none loses it. 0, -ENOSPC when not all fit, or -errno.
 */
static int net_bits(int fd, const struct masq_lpm_key *list, size_t count,
		    uint32_t bit, bool keep)
{
	struct masq_lpm_key *old = NULL;
	size_t old_count = 0;
	bool full = false;
	int err = read_keys(fd, sizeof(*old), (void **)&old, &old_count);

	if (!err)
		qsort(old, old_count, sizeof(*old), by_net);
	for (size_t i = 0; i < count && !err; i++) {
		uint32_t bits = 0;

		/* a key that is there is the longest match of itself */
		if (bsearch(&list[i], old, old_count, sizeof(*old), by_net))
			bpf_map_lookup_elem(fd, &list[i], &bits);
		if (bits & bit)
			continue;
		bits |= bit;
		err = bpf_map_update_elem(fd, &list[i], &bits, BPF_ANY);
		if (err == -ENOSPC) {
			err = 0;
			full = true;
			break;
		}
	}
	/* new ones first: an address is never missing that was there twice */
	for (size_t i = 0; i < old_count && !err && !keep; i++) {
		uint32_t bits = 0;

		if (bsearch(&old[i], list, count, sizeof(*list), by_net) ||
		    bpf_map_lookup_elem(fd, &old[i], &bits) || !(bits & bit))
			continue;
		bits &= ~bit;
		err = bits ? bpf_map_update_elem(fd, &old[i], &bits, BPF_ANY)
			   : bpf_map_delete_elem(fd, &old[i]);
		if (err == -ENOENT)
			err = 0;
	}
	free(old);
	return err ?: full ? -ENOSPC : 0;
}

static int sync_nets(const struct instance *instance,
		     const struct netdev *netdev)
{
	static bool said; /* as above */
	struct masq_lpm_key *list = NULL;
	size_t count = 0;
	int err = list_nets(netdev, &list, &count);

	if (!err)
		err = net_bits(instance->map[MAP_masq_nets], list, count,
			       MASQ_NET_ROUTE, false);
	if (err == -ENOSPC && !said)
		log_warn("masq_nets: %zu local routes, more than it holds: "
			 "what comes in for the others is not known to be the "
			 "node's",
			 count);
	said = err == -ENOSPC;
	free(list);
	return say("masq_nets", "write the node's local routes",
		   said ? 0 : err);
}

int node_snat_nets(struct instance *instance, const struct cidr *nets,
		   size_t count, bool keep)
{
	struct masq_lpm_key *list = calloc(count + 1, sizeof(*list));
	int err = list ? 0 : -ENOMEM;

	for (size_t i = 0; i < count && !err; i++) {
		list[i].plen = MASQ_LPM_SET_BITS + nets[i].plen;
		list[i].set = nets[i].addr.family;
		memcpy(list[i].addr, nets[i].addr.a, sizeof(list->addr));
	}
	if (!err) {
		qsort(list, count, sizeof(*list), by_net);
		err = net_bits(instance->map[MAP_masq_nets], list, count,
			       MASQ_NET_SNAT, keep);
	}
	free(list);
	return err;
}

/* --- masq_ifaces ------------------------------------------------------- */

void node_uplink_now(const struct netdev *netdev, uint32_t ifindex,
		     struct masq_iface *out)
{
	struct addr addr;

	*out = (struct masq_iface){};
	if (netdev_source(netdev, ifindex, 4, &addr))
		out->addr4 = addr.a[0];
	if (netdev_source(netdev, ifindex, 6, &addr))
		memcpy(out->addr6, addr.a, sizeof(out->addr6));
}

int node_uplink(const struct instance *instance, uint32_t ifindex,
		struct masq_iface *out)
{
	int err = bpf_map_lookup_elem(instance->map[MAP_masq_ifaces], &ifindex,
				      out);

	if (err == -ENOENT)
		return 0;
	return err ? say("masq_ifaces", "look an uplink up", err) : 1;
}

const struct netdev_link *node_hooked(const struct instance *instance,
				      const struct netdev *netdev,
				      const struct netdev_link *link)
{
	struct masq_iface iface;

	for (int depth = 0; link && depth < 8; depth++) {
		if (node_uplink(instance, link->ifindex, &iface) > 0)
			return link;
		link = link->lower ? netdev_by_index(netdev, link->lower)
				   : NULL;
	}
	return NULL;
}

bool node_tells_apart(const struct instance *instance,
		      const struct netdev_link *link)
{
	return !strcmp(link->kind, "vlan") &&
	       instance->meta.features & MASQ_FEAT_FIB_SRC;
}

int node_add_uplink(struct instance *instance, const struct netdev *netdev,
		    const struct netdev_link *link)
{
	struct masq_iface iface, old;
	int err;

	node_uplink_now(netdev, link->ifindex, &iface);
	snprintf(iface.name, sizeof(iface.name), "%s", link->name);
	err = node_uplink(instance, link->ifindex, &old);
	if (err < 0)
		return err;
	if (err)
		iface.uplink = old.uplink; /* fastpath.c's */
	err = bpf_map_update_elem(instance->map[MAP_masq_ifaces],
				  &link->ifindex, &iface, BPF_ANY);
	if (err == -E2BIG) {
		log_error("%s: attach: %d interfaces are the limit", link->name,
			  MASQ_MAX_IFACES);
		return err;
	}
	return say("masq_ifaces", "write the uplink", err);
}

int node_del_uplink(struct instance *instance, uint32_t ifindex)
{
	int err = bpf_map_delete_elem(instance->map[MAP_masq_ifaces], &ifindex);

	/* back again, it takes over what flows there by then */
	if (!err || err == -ENOENT)
		err = bpf_map_delete_elem(instance->map[MAP_masq_seeded],
					  &ifindex);
	return say("masq_ifaces", "delete the uplink",
		   err == -ENOENT ? 0 : err);
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

int node_uplinks(const struct instance *instance, uint32_t **out, size_t *count)
{
	int err = read_keys(instance->map[MAP_masq_ifaces], sizeof(**out),
			    (void **)out, count);

	if (!err)
		qsort(*out, *count, sizeof(**out), by_number);
	return say("masq_ifaces", "read", err);
}

int node_sync(struct instance *instance, const struct netdev *netdev)
{
	uint32_t *uplinks;
	size_t count;
	int err;

	err = node_uplinks(instance, &uplinks, &count);
	if (err)
		return err;
	err = sync_local(instance, netdev) ?: sync_nets(instance, netdev);
	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(netdev, uplinks[i]);

		err = link ? node_add_uplink(instance, netdev, link)
			   : node_del_uplink(instance, uplinks[i]);
	}
	free(uplinks);
	return err;
}

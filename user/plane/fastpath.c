// SPDX-License-Identifier: GPL-2.0-only
/*
 * fastpath.c - see fastpath.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/fastpath.h"
#include "plane/node.h"
#include "plane/tcx.h"

#define BE_LIBERAL "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"

/* In every network namespace. */
#define LOOPBACK_IFINDEX 1

int fastpath_possible(void)
{
	if (tcx_exists(LOOPBACK_IFINDEX))
		return 0;
	log_error("--fast-path needs TCX, which came with kernel 6.6");
	return -EOPNOTSUPP;
}

bool fastpath_tcp_allowed(void)
{
	char value = '1';
	int fd = open(BE_LIBERAL, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT; /* no conntrack here */
	if (read(fd, &value, 1) != 1)
		value = '0';
	close(fd);
	return value != '0';
}

int fastpath_allow_tcp(void)
{
	int fd, err = 0;

	if (fastpath_tcp_allowed())
		return 0;
	fd = open(BE_LIBERAL, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "1", 1) != 1)
		err = -errno;
	if (fd >= 0)
		close(fd);
	if (err)
		log_error("%s: cannot set to 1 for --fast-path: %s", BE_LIBERAL,
			  strerror(-err));
	else
		log_warn("nf_conntrack_tcp_be_liberal set to 1: conntrack sees "
			 "only some packets of connections on the fast path");
	return err;
}

/*
 * The slot that the link has or gets; 0: none left. It keeps its slot while it
 * is an uplink, because flow records name it.
 */
static uint32_t find_slot(struct instance *instance, uint32_t ifindex)
{
	struct masq_uplink uplink;
	struct masq_iface iface;
	uint32_t free_slot = 0;

	for (uint32_t slot = 1; slot < MASQ_MAX_UPLINKS; slot++) {
		if (bpf_map_lookup_elem(instance->map[MAP_masq_uplinks], &slot,
					&uplink))
			return 0;
		if (uplink.ifindex == ifindex)
			return slot;
		if (!free_slot &&
		    (!uplink.ifindex ||
		     !node_uplink(instance, uplink.ifindex, &iface)))
			free_slot = slot;
	}
	return free_slot;
}

static int sync_uplink(struct instance *instance,
		       const struct netdev_link *link)
{
	uint32_t slot = find_slot(instance, link->ifindex);
	struct masq_uplink uplink = {
		.ifindex = link->ifindex,
		.mtu = link->mtu,
	};
	struct masq_iface iface;
	int err;

	memcpy(uplink.mac, link->mac, sizeof(uplink.mac));
	if (!slot || node_uplink(instance, link->ifindex, &iface) <= 0)
		return 0; /* goes on without */
	err = bpf_map_update_elem(instance->map[MAP_masq_uplinks], &slot,
				  &uplink, BPF_ANY);
	if (err || iface.uplink == slot)
		return err;
	iface.uplink = slot;
	return bpf_map_update_elem(instance->map[MAP_masq_ifaces],
				   &link->ifindex, &iface, BPF_EXIST);
}

static int sync_uplinks(struct instance *instance, const struct netdev *netdev,
			const uint32_t *uplinks, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		const struct netdev_link *link =
			netdev_by_index(netdev, uplinks[i]);

		if (link && netdev_is_ethernet(link))
			err = sync_uplink(instance, link);
	}
	if (err)
		log_error("masq_uplinks: cannot write: %s",
			  caps_strerror(err, CAPS_BPF));
	return err;
}

int fastpath_sync(struct instance *instance, const struct netdev *netdev,
		  int (*attach)(void *data, const struct netdev_link *link),
		  void *data, size_t *pods)
{
	uint32_t *uplinks;
	size_t count;
	int err;

	*pods = 0;
	if (!fastpath_is_on(instance))
		return 0;
	err = node_uplinks(instance, &uplinks, &count);
	if (err)
		return err;
	err = sync_uplinks(instance, netdev, uplinks, count);
	for (size_t i = 0; i < netdev->link_count && !err; i++) {
		const struct netdev_link *link = &netdev->links[i];
		bool uplink = false;

		for (size_t j = 0; j < count; j++)
			uplink |= uplinks[j] == link->ifindex;
		if (uplink || strcmp(link->kind, "veth"))
			continue;
		err = attach(data, link);
		*pods += !err;
		if (err == -ENODEV)
			err = 0;
	}
	free(uplinks);
	return err;
}

// SPDX-License-Identifier: GPL-2.0-only
/* way.c - one route and one neighbour, over netlink. */
#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "kernel/netdev.h"
#include "kernel/netlink.h"
#include "kernel/way.h"

#define POLL_MS 10

static void read_addr(const struct nlattr *attr, size_t skip, uint8_t family,
		      struct addr *out)
{
	size_t length = family == AF_INET ? 4 : 16;

	if ((family != AF_INET && family != AF_INET6) ||
	    mnl_attr_get_payload_len(attr) < skip + length)
		return;
	*out = (struct addr){ .family = family == AF_INET ? 4 : 6 };
	memcpy(out->a, (const char *)mnl_attr_get_payload(attr) + skip, length);
}

struct answer {
	struct way *way;
	uint8_t type; /* RTN_* */
};

static int route_message(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(message);
	struct answer *answer = data;
	const struct nlattr *attr;
	struct rtvia via;

	answer->type = rtm->rtm_type;
	mnl_attr_for_each(attr, message, sizeof(*rtm))
	{
		switch (mnl_attr_get_type(attr)) {
		case RTA_OIF:
			answer->way->ifindex = netlink_u32(attr);
			break;
		case RTA_GATEWAY:
			read_addr(attr, 0, rtm->rtm_family, &answer->way->next);
			break;
		case RTA_VIA:
			if (mnl_attr_get_payload_len(attr) < sizeof(via))
				break;
			memcpy(&via, mnl_attr_get_payload(attr), sizeof(via));
			read_addr(attr, sizeof(via), via.rtvia_family,
				  &answer->way->next);
			break;
		case RTA_PREFSRC:
			read_addr(attr, 0, rtm->rtm_family,
				  &answer->way->source);
			break;
		}
	}
	return 0;
}

int way_find(const struct addr *dst, const struct addr *src, uint32_t iif,
	     struct way *out)
{
	struct way way = { .next = *dst };
	struct answer answer = { .way = &way };
	int err = netdev_ask_route(dst, src, iif, NULL, route_message, &answer);

	if (err)
		return err;
	switch (answer.type) {
	case RTN_LOCAL:
		return -EADDRNOTAVAIL;
	case RTN_BROADCAST:
	case RTN_MULTICAST:
	case RTN_ANYCAST:
		return -EPROTOTYPE;
	case RTN_UNREACHABLE:
		return -EHOSTUNREACH;
	case RTN_PROHIBIT:
		return -EACCES;
	case RTN_BLACKHOLE:
		return -EINVAL;
	}
	if (!way.ifindex || !if_indextoname(way.ifindex, way.name))
		return -ENETUNREACH;
	*out = way;
	return 0;
}

/* --- the neighbour ------------------------------------------------------- */

struct neighbour {
	bool there;
	uint16_t state;
	uint8_t mac[6];
};

static int neighbour_message(const struct nlmsghdr *message, void *data)
{
	const struct ndmsg *ndm = mnl_nlmsg_get_payload(message);
	struct neighbour *neighbour = data;
	const struct nlattr *attr;

	if (message->nlmsg_type != RTM_NEWNEIGH)
		return 0;
	neighbour->state = ndm->ndm_state;
	mnl_attr_for_each(attr, message, sizeof(*ndm))
	{
		if (mnl_attr_get_type(attr) != NDA_LLADDR ||
		    mnl_attr_get_payload_len(attr) != sizeof(neighbour->mac))
			continue;
		memcpy(neighbour->mac, mnl_attr_get_payload(attr),
		       sizeof(neighbour->mac));
		neighbour->there = true;
	}
	return 0;
}

/* RTM_GETNEIGH reads the entry; RTM_NEWNEIGH makes the kernel ask for him. */
static int ask_neighbour(const struct way *way, uint16_t type,
			 struct neighbour *out)
{
	size_t length = way->next.family == 4 ? 4 : 16;
	struct nlmsghdr *request;
	char buffer[256];
	struct ndmsg *ndm;

	request = mnl_nlmsg_put_header(buffer);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	if (type == RTM_NEWNEIGH)
		request->nlmsg_flags |= NLM_F_CREATE;
	request->nlmsg_seq = 1;
	ndm = mnl_nlmsg_put_extra_header(request, sizeof(*ndm));
	ndm->ndm_family = way->next.family == 4 ? AF_INET : AF_INET6;
	ndm->ndm_ifindex = way->ifindex;
	ndm->ndm_flags = type == RTM_NEWNEIGH ? NTF_USE : 0;
	mnl_attr_put(request, NDA_DST, length, way->next.a);
	return netlink_ask(request, sizeof(*ndm), neighbour_message, out);
}

/* What kind of header, if any, do packets of this interface begin with? */
static int read_link(struct way *way, bool *asks)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;
	struct ifreq request = {};

	if (fd < 0)
		return -errno;
	memcpy(request.ifr_name, way->name, sizeof(request.ifr_name));
	if (ioctl(fd, SIOCGIFHWADDR, &request)) {
		err = -errno;
	} else {
		way->has_mac = request.ifr_hwaddr.sa_family == ARPHRD_ETHER;
		/* without neighbours all goes to one: any address will do */
		memcpy(way->mac, request.ifr_hwaddr.sa_data, sizeof(way->mac));
		if (ioctl(fd, SIOCGIFFLAGS, &request))
			err = -errno;
		else
			*asks = way->has_mac &&
				!(request.ifr_flags & IFF_NOARP);
	}
	close(fd);
	return err;
}

int way_neighbour(struct way *way, unsigned int timeout_ms)
{
	const uint16_t usable = NUD_REACHABLE | NUD_STALE | NUD_DELAY |
				NUD_PROBE | NUD_NOARP | NUD_PERMANENT;
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };
	bool asks = false;
	int err = read_link(way, &asks);

	if (err || !asks)
		return err;
	for (unsigned int waited = 0;; waited += POLL_MS) {
		struct neighbour neighbour = {};

		err = ask_neighbour(way, RTM_GETNEIGH, &neighbour);
		if (err && err != -ENOENT)
			return err;
		if (!err && neighbour.there && neighbour.state & usable) {
			memcpy(way->mac, neighbour.mac, sizeof(way->mac));
			return 0;
		}
		if (waited >= timeout_ms ||
		    (waited && neighbour.state & NUD_FAILED))
			return -EHOSTDOWN;
		if (!waited) {
			err = ask_neighbour(way, RTM_NEWNEIGH, &neighbour);
			if (err)
				return err;
		}
		nanosleep(&pause, NULL);
	}
}

bool way_source(const struct way *way, uint8_t family, struct addr *out)
{
	struct netdev *netdev;
	bool found;

	if (way->source.family == family) {
		*out = way->source;
		return true;
	}
	if (netdev_read(&netdev))
		return false;
	found = netdev_source(netdev, way->ifindex, family, out);
	netdev_free(netdev);
	return found;
}

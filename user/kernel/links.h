/* SPDX-License-Identifier: GPL-2.0-only */
/* links.h - links, addresses and routes as data, and what follows from them. */
#ifndef MASQ_KERNEL_LINKS_H
#define MASQ_KERNEL_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

struct netdev_link {
	uint32_t ifindex;
	char name[IFNAMSIZ];
	uint16_t type; /* ARPHRD_* */
	bool up;
	bool carrier; /* its other end, or what it lies on, is there */
	uint32_t mtu;
	uint8_t mac[6]; /* all 0: none, or of another length */
	char kind[16]; /* "vlan", "bridge" ...; "": hardware, lo */
	uint32_t master; /* the bond, bridge, VRF it is a part of; 0: none */
	/* what a VLAN's, macvlan's or ipvlan's packets go through; 0: nothing,
	 * or it is in another network namespace */
	uint32_t lower;
	/* the far end of a pair, or what it lies on, is in another namespace */
	bool afar;
	char qdisc[16]; /* its root; "": not told */
	/* netkit (kernel 6.7): either end drops what none of its programs lets
	 * pass; true as well where the kernel does not tell */
	bool drops;
};

/* Alternative names (IFLA_ALT_IFNAME), of any link several. */
#define NETDEV_ALTNAMSIZ 128
struct netdev_altname {
	uint32_t ifindex;
	char name[NETDEV_ALTNAMSIZ];
};

struct netdev_addr {
	uint32_t ifindex;
	struct addr addr; /* the local one of a point-to-point pair */
	uint8_t plen;
	uint8_t scope; /* RT_SCOPE_* */
	uint32_t flags; /* IFA_F_* */
};

/* A unicast route of any table; one entry per next hop. */
struct netdev_route {
	struct cidr dst;
	uint32_t ifindex;
	struct addr gateway; /* of any family; family 0: on the link */
	struct addr prefsrc; /* family 0: not given */
	uint32_t table;
	uint32_t metric;
	uint32_t mtu; /* 0: its interface's */
	uint32_t nexthop; /* the object that says where to; 0: the route does */
	/* what takes it leaves in another packet (SRv6), and no hook sees it */
	bool wraps;
	/* has a program, puts something into some packets (IOAM), or tells the
	 * device a tunnel's end, which packets do not say */
	bool varies;
};

/* What rules may go by, too: a protocol, and a port in network byte order. 0:
 * not said. */
struct netdev_kind {
	uint8_t proto;
	uint16_t port;
};

/* A table of routes that rules lead to. */
struct netdev_table {
	uint8_t family; /* 4 or 6 */
	uint32_t id;
	bool all; /* whatever packet it is, but for where it goes to */
	bool forwarded; /* also what comes in by an interface */
};

/* All of it at one moment (links by ifindex, addresses in kernel order). */
struct netdev {
	struct netdev_link *links;
	size_t link_count;
	struct netdev_altname *altnames;
	size_t altname_count;
	struct netdev_addr *addrs;
	size_t addr_count;
	struct netdev_route *routes;
	size_t route_count;
	/* what routes of type local or anycast make the node's own, addresses
	 * of interfaces among them; not what they make a proxy's */
	struct cidr *locals;
	size_t local_count;
	struct netdev_table *tables;
	size_t table_count;
	/* a rule goes by what packets of a flow need not have in common: a flow
	 * label, the number of the tunnel that they came by */
	bool rule_varies;
};

/* NULL: no rule leads there (a VRF's own table; or none at all). */
const struct netdev_table *netdev_table(const struct netdev *netdev,
					uint8_t family, uint32_t id);
/* By its name or another one of its. NULL: no such link. */
const struct netdev_link *netdev_by_name(const struct netdev *netdev,
					 const char *name);
const struct netdev_link *netdev_by_index(const struct netdev *netdev,
					  uint32_t ifindex);
/*
 * The bridge, bond or team that it is a port of, up to the outermost: routes,
 * addresses and so hooks belong there. Itself, when it is no port.
 */
const struct netdev_link *netdev_whole(const struct netdev *netdev,
				       const struct netdev_link *link);
/* Do its packets begin with an Ethernet header? */
bool netdev_is_ethernet(const struct netdev_link *link);
/* Is there an interface, up or down, whose packets do not? */
bool netdev_has_l3(const struct netdev *netdev);

/*
 * The address that the kernel would masquerade to on this link: the default
 * route's preferred source, else the link's primary address (that of the
 * gateway's subnet first), else what another link has (an unnumbered
 * uplink). False: there is none of this family (4 or 6).
 */
bool netdev_source(const struct netdev *netdev, uint32_t ifindex,
		   uint8_t family, struct addr *out);

#endif

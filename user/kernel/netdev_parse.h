/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netdev_parse.h - messages of rtnetlink as netdev.h has what they say. Only
 * what the kernel may send is believed, and of each attribute its length.
 */
#ifndef MASQ_NETDEV_PARSE_H
#define MASQ_NETDEV_PARSE_H

#include <stdbool.h>
#include <stdint.h>
#include <libmnl/libmnl.h>
#include "kernel/links.h"

/* For netlink_dump: `data` is the struct netdev that gets one more. */
int netdev_link_message(const struct nlmsghdr *message, void *data);
int netdev_addr_message(const struct nlmsghdr *message, void *data);
int netdev_route_message(const struct nlmsghdr *message, void *data);
/* The rules come before the routes, which are judged by them. */
int netdev_rule_message(const struct nlmsghdr *message, void *data);

/* The table of this number, a new one if it is not there; NULL: no memory. */
struct netdev_table *netdev_add_table(struct netdev *netdev, uint8_t family,
				      uint32_t id);
/* 0 or -ENOMEM; a route that leads nowhere is left out. */
int netdev_add_route(struct netdev *netdev, const struct netdev_route *route);

/*
 * Does a way with this encapsulation (RTA_ENCAP_TYPE, RTA_ENCAP; NULL: has none)
 * put packets into others, of the node's, before a hook sees them?
 */
bool netdev_wraps(const struct nlattr *type, const struct nlattr *encap);
/* As `varies` of struct netdev_route; what is not known does. */
bool netdev_varies(const struct nlattr *type);

/* An address of this family (AF_*); too short: *out stays as it is. */
void netdev_read_addr(const struct nlattr *attr, uint8_t af, struct addr *out);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* netlink.h - asks the kernel for all of something, on any netlink bus. */
#ifndef MASQ_NETLINK_H
#define MASQ_NETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <libmnl/libmnl.h>

/*
 * Calls `each` (MNL_CB_*; it sets errno for MNL_CB_ERROR) for every message of
 * the answer, which has a header of at least `least` bytes; *head: the request's,
 * and attributes behind it. 0 or -errno; -EINTR: all of it has been told, but things changed
 * meanwhile, so that something may be missing. Not for rtnetlink, whose dumps
 * may have to be begun anew: netlink_dump.
 */
int netlink_all(int bus, uint16_t type, const void *head, size_t length,
		size_t least, mnl_cb_t each, void *data);

/*
 * What was received, before libmnl looks at it, which takes a length above
 * 2 GB for a negative one: every message lies within it and has at least a
 * header of `least` bytes.
 */
bool netlink_is_sound(const void *buf, size_t length, size_t least);

/* Values of attributes; 0 and "" where the attribute is too short for one. */
uint8_t netlink_u8(const struct nlattr *attr);
uint16_t netlink_u16(const struct nlattr *attr);
uint32_t netlink_u32(const struct nlattr *attr);
const char *netlink_str(const struct nlattr *attr);
/* Of an attribute in network byte order; UINT32_MAX where there is none. */
uint32_t netlink_be32(const struct nlattr *attr);

/* Types of attributes that are told apart; those above are left out. */
#define NETLINK_ATTRS 32

/*
 * For mnl_attr_parse and mnl_attr_parse_nested: `data` is an array of
 * NETLINK_ATTRS pointers, by type.
 */
int netlink_collect(const struct nlattr *attr, void *data);

/* Dumps that the kernel calls inconsistent are read anew so many times. */
#define NETLINK_TRIES 16

/*
 * Sends one rtnetlink request and reads until the kernel says that this was
 * all. Answers have a header of at least `least` bytes. 0 or -errno.
 */
int netlink_ask(const struct nlmsghdr *request, size_t least,
		int (*each)(const struct nlmsghdr *message, void *data),
		void *data);
/*
 * One rtnetlink dump: a request of this type with this header; each answer
 * goes to `each` (0 or -errno). `begin` is called before the first answer,
 * and again when the kernel's tables changed meanwhile and it all begins
 * anew. 0 or -errno.
 */
int netlink_dump(uint16_t type, const void *header, size_t length,
		 int (*each)(const struct nlmsghdr *message, void *data),
		 void (*begin)(void *data), void *data);

#endif

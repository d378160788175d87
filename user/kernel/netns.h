/* SPDX-License-Identifier: GPL-2.0-only */
/* netns.h - network namespaces: by number, by path, and into one. */
#ifndef MASQ_KERNEL_NETNS_H
#define MASQ_KERNEL_NETNS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number of a namespace file; 0: errno says why not. */
uint64_t netns_inode(const char *path);
/* The inode of our network namespace; 0 when /proc does not tell. */
uint64_t netns_self(void);
/* A path that `nsenter --net=` takes for the namespace; false: none found. */
bool netns_path(uint64_t inode, char *buf, size_t len);
/* Makes it ours; false: not found, or not permitted. */
bool netns_enter(uint64_t inode);

#endif

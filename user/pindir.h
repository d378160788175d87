/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pindir.h - the directory that an instance's pins lie in: on a bpffs that
 * outlives this process, trusted, locked. Network namespaces by their paths.
 */
#ifndef MASQ_PINDIR_H
#define MASQ_PINDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Opens DIR and locks it. make: a bpffs is mounted (contract.md says where)
 * and the directory is made, 0700, when they are absent. Returns the locked
 * descriptor or -errno; the error has been printed, except for -ENOENT,
 * which only comes back without make.
 */
int pindir_open(const char *path, bool make, bool exclusive);

/* The inode of our network namespace; 0 when /proc does not tell. */
uint64_t netns_self(void);
/* A path that `nsenter --net=` takes for the namespace; false: none found. */
bool netns_path(uint64_t inode, char *buf, size_t len);
/* Makes it ours; false: not found, or not permitted. */
bool netns_enter(uint64_t inode);

#endif

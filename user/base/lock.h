/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * lock.h - flock(2) on a directory that only root can open: whoever cannot
 * open it cannot hold it up. A lock goes with the process that has it.
 */
#ifndef MASQ_LOCK_H
#define MASQ_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Takes its place in the kernel's queue for the exclusive lock and gets it in
 * turn. 0; -EBUSY: not within limit_ms; -errno. Not printed. For programs of
 * one thread that have no use for SIGALRM.
 */
int lock_take(int fd, uint64_t limit_ms);
/* "process 123 (masqbpf)", or what can be said of one that we do not see. */
const char *lock_holder(int fd, char *buf, size_t len);
/* Has another open file description the lock? Not of one that has it itself. */
bool lock_is_held(int fd);
/* The process that has a lock on the file; 0: none that we see. */
int lock_holder_pid(int fd);

#endif

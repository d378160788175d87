/* SPDX-License-Identifier: GPL-2.0-only */
/* fds.h - open files from one process to another, over a Unix socket. */
#ifndef MASQ_FDS_H
#define MASQ_FDS_H

#include <stddef.h>

/* In one message; the kernel's own limit (SCM_MAX_FD) is 253. */
#define FDS_MAX 128

/*
 * Sends these bytes, at least one, and the files with them, which stay the
 * caller's, too. 0 or -errno.
 */
int fds_send(int socket, const void *bytes, size_t length, const int *fds,
	     size_t count);
/*
 * Waits for a message of just so many bytes and files; these are the caller's
 * then, and not inherited by what it executes. 0, or -EPIPE: it was none.
 */
int fds_receive(int socket, void *bytes, size_t length, int *fds, size_t count);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* alone.h - one migration at a time. */
#ifndef MASQ_TAKEOVER_ALONE_H
#define MASQ_TAKEOVER_ALONE_H

#include <stdbool.h>

/*
 * Two at once would undo each other's steps. The lock belongs to the network
 * namespace, as the rules do, and lies where only root can make or open it; it
 * goes with the process. The file stays, with nothing in it. False: printed.
 * *lock is to be closed where it is not negative.
 */
bool migrate_alone(int *lock);

#endif

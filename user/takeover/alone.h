/* SPDX-License-Identifier: GPL-2.0-only */
/* alone.h - one migration at a time. */
#ifndef MASQ_TAKEOVER_ALONE_H
#define MASQ_TAKEOVER_ALONE_H

#include <stdbool.h>

/*
 * Two at once would undo each other's steps. The lock belongs to the network
 * namespace, as the rules do, and lies where only root can make or open it; it
 * goes with the process. False: printed. *lock is for migrate_done, which
 * removes the file.
 */
bool migrate_alone(int *lock);
void migrate_done(int lock);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * putback.h - pins that others removed while filters of clsact, which need no
 * pin, went on translating: without pins nobody could tell any more whose they
 * are, and every attach would be refused for them.
 */
#ifndef MASQ_PUTBACK_H
#define MASQ_PUTBACK_H

#include "plane/instance.h"

/*
 * By a process that still has everything open, and holds the lock if the
 * directory is there. 1: the pins are back, as they were, but for which clsact
 * qdiscs were ours, which stay; 0: nothing of the instance is hooked by a
 * filter, or somebody has made another one meanwhile. Or -errno, printed.
 */
int putback(struct instance *instance);

#endif

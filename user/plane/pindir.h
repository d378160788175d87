/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * pindir.h - the directory that an instance's pins lie in: on a bpffs that
 * outlives this process, trusted, locked.
 */
#ifndef MASQ_PINDIR_H
#define MASQ_PINDIR_H

#include <stdbool.h>

/* What the lock is for, and so how long it is waited for. */
enum pindir_use {
	/*
	 * To open pins, and then let go of it. Who holds it longer than a
	 * moment is past making or removing pins: then without it.
	 */
	PINDIR_READ,
	PINDIR_WRITE, /* 20 s, then -EBUSY */
	PINDIR_PATIENT, /* a service, that has to be there in the end */
};

/*
 * Opens DIR and locks it; those who wait are served in turn, and Ctrl-C ends
 * a wait. make: a bpffs is mounted (contract.md says where) and the directory
 * is made, 0700, when they are absent. Returns the locked descriptor or
 * -errno; the error has been printed, except for -ENOENT, which only comes
 * back without make and only where there is no such directory.
 */
int pindir_open(const char *path, bool make, enum pindir_use use);
/*
 * Removes the directory, and those above it that this process has made for it,
 * as far as nothing is in them. 0 or -errno of the directory itself.
 */
int pindir_remove(const char *path);

#endif

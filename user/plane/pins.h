/* SPDX-License-Identifier: GPL-2.0-only */
/* pins.h - the pins of one instance: made, opened, removed. */
#ifndef MASQ_PLANE_PINS_H
#define MASQ_PLANE_PINS_H

#include "plane/maps.h"

#define PIN_PATH_MAX (sizeof(((struct instance *)0)->pin_dir) + 64)

/* Into PIN_PATH_MAX bytes; returns buf. */
const char *pin_path(const struct instance *instance, const char *name,
		     char *buf);
/* Pins what fd is. 0 or -errno, printed. */
int pin_make(const struct instance *instance, int fd, const char *name);
/*
 * Opens a pin that nobody but us or root can have put there. -ENOENT: the
 * directory that we hold has none of this name; everything else is printed,
 * and is not -ENOENT, whatever the kernel calls it.
 */
int pin_open(const struct instance *instance, const char *name);
/*
 * Is anything of this name there? 1; 0, for which it is looked twice, since
 * what follows from "none" is that something is made or removed; or -errno,
 * printed.
 */
int pin_is_there(const struct instance *instance, const char *name);
/* Pins the programs in the place of those that are. 0 or -errno, printed. */
int pins_programs(const struct instance *instance);
/*
 * The pins of the one take their names in the directory of the other, masq_meta
 * last; what is there already stays, a program that the one has not goes. 0 or
 * -errno. May be done again.
 */
int pins_move(const struct instance *from, const struct instance *into);
/*
 * A pin that says no more than its name: of a map with nothing in it, since
 * what is pinned stays in memory with all that it uses. In the place of one
 * that is there. 0 or -errno.
 */
int pin_note(const struct instance *instance, const char *name);
bool pin_is_noted(const struct instance *instance, const char *name);
/* It is not there afterwards. 0 or -errno. */
int pin_forget(const struct instance *instance, const char *name);
/*
 * Removes every pin, masq_meta first, those of other layouts as well. What
 * else lies there is not ours, and the directory stays with it. 0 or -errno.
 */
int pins_remove(struct instance *instance);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* clock.h - the kernel's time, in ticks and nanoseconds. */
#ifndef MASQ_PLANE_CLOCK_H
#define MASQ_PLANE_CLOCK_H

#include "plane/maps.h"

/* Time. Ticks are the kernel's (masqbpf.h); both directions round to near. */
uint32_t instance_now(const struct instance *instance); /* current tick */
/* CLOCK_MONOTONIC as the programs see it, whatever our time namespace. */
uint64_t instance_now_ns(const struct instance *instance);
uint32_t ns_to_ticks(const struct instance *instance, uint64_t ns); /* up */
double ticks_to_seconds(const struct instance *instance, int64_t ticks);

/* Of an instance that is being opened. 0 or -errno, printed. */
int clock_read(struct instance *instance);
/* Jiffies a second, after clock_read. 0 or -errno, printed. */
int clock_read_hz(struct instance *instance, uint32_t *hz);

#endif

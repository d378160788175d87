// SPDX-License-Identifier: GPL-2.0-only
/* clock.c - jiffies are what the programs count in; nobody tells how many. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/clock.h"
#include "plane/ctl.h"

static uint64_t own_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int clock_read(struct instance *instance)
{
	struct masq_ctl clock = { .op = MASQ_CTL_CLOCK };
	int err = instance_ctl(instance, &clock);

	if (err) {
		log_error("%s: cannot ask for the time: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
		return err;
	}
	instance->clock_ns = clock.now_ns;
	instance->clock_jiffies = clock.jiffies;
	instance->clock_shift_ns = clock.now_ns - own_clock_ns();
	return 0;
}

/*
 * Jiffies a second, which the kernel tells nobody. jiffies64 is 2^32 - 300 s
 * at boot, so it has passed 2^32 by the uptime less 300 s. Too near to these
 * 300 s the quotient says nothing, and a tenth of a second is watched.
 */
int clock_read_hz(struct instance *instance, uint32_t *hz)
{
	static const uint32_t usual[] = { 100, 250, 300, 1000 };
	int64_t ns = instance->clock_ns - 300 * 1000000000ULL;
	int64_t jiffies = instance->clock_jiffies - (1ULL << 32);
	double rate;
	int err;

	if (llabs(ns) < 30 * 1000000000LL) {
		uint64_t ns0 = instance->clock_ns;
		uint64_t jiffies0 = instance->clock_jiffies;

		usleep(100000);
		err = clock_read(instance);
		if (err)
			return err;
		ns = instance->clock_ns - ns0;
		jiffies = instance->clock_jiffies - jiffies0;
	}
	rate = jiffies * 1e9 / ns;
	*hz = rate + 0.5;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (rate > usual[i] * 0.9 && rate < usual[i] * 1.1)
			*hz = usual[i];
	if (*hz >= 10 && *hz <= 10000)
		return 0;
	log_error("clock: jiffies do not run like time: %.1f a second", rate);
	return -EPROTO;
}

uint64_t instance_now_ns(const struct instance *instance)
{
	return own_clock_ns() + instance->clock_shift_ns;
}

uint32_t instance_now(const struct instance *instance)
{
	uint64_t ns = instance_now_ns(instance) - instance->clock_ns;
	uint64_t hz = instance->meta.hz;

	return (instance->clock_jiffies + ns / 1000000000 * hz +
		ns % 1000000000 * hz / 1000000000) >>
	       MASQ_TICK_SHIFT;
}

uint32_t ns_to_ticks(const struct instance *instance, uint64_t ns)
{
	uint64_t hz = instance->meta.hz;
	uint64_t jiffies = ns / 1000000000 * hz +
			   (ns % 1000000000 * hz + 999999999) / 1000000000;

	return (jiffies + (1 << MASQ_TICK_SHIFT) - 1) >> MASQ_TICK_SHIFT;
}

double ticks_to_seconds(const struct instance *instance, int64_t ticks)
{
	return (double)ticks * (1 << MASQ_TICK_SHIFT) / instance->meta.hz;
}

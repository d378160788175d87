/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bare.h - an instance of real kernel maps without programs and pins, for the
 * code that reads and writes maps.
 */
#ifndef TEST_BARE_H
#define TEST_BARE_H

#include "plane/instance.h"

#define BARE_MAX_FLOWS 16384

/* Fails the test where the kernel refuses. */
struct instance *bare_instance(uint32_t prefix_slots);
void bare_free(struct instance *instance);
/*
 * Puts a struct masq_flow4 or masq_flow6 into a slot, wherever its hash would
 * have it; nobody looks records up here.
 */
void bare_put(struct instance *instance, int family, uint32_t slot,
	      const void *flow, const struct masq_aside *aside);

#endif

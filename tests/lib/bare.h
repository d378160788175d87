/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * bare.h - an instance of real kernel maps without programs and pins, for the
 * code that reads and writes maps.
 */
#ifndef TEST_BARE_H
#define TEST_BARE_H

#include "instance.h"

#define BARE_MAX_FLOWS 16384

/* Fails the test where the kernel refuses. */
struct instance *bare_instance(uint32_t prefix_slots);
void bare_free(struct instance *instance);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* ports.h - ports that are never chosen. */
#ifndef MASQ_POLICY_PORTS_H
#define MASQ_POLICY_PORTS_H

#include "policy/work.h"

void ports_set(uint64_t *words, uint32_t from, uint32_t to);
/* All but from ... to, as long as there are ports. */
void ports_set_outside(uint64_t *words, uint32_t from, uint32_t to);
/* Of this network namespace; "8080,9000-9010". */
void ports_set_reserved(uint64_t *words);
/* How many of from ... to may be chosen. */
uint32_t ports_left(const uint64_t *words, uint32_t from, uint32_t to);
/* Those of a half into `words`; w->ports into a half. 0 or -errno. */
int ports_read(const struct instance *instance, uint32_t half, uint64_t *words);
int ports_write(const struct work *w, uint32_t half);

#endif

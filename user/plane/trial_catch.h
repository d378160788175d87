/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trial_catch.h - reads the answers to attempts where they arrive, before any
 * hook, and keeps them from everybody else (bpf/probe.bpf.c). It all ends with
 * the process; where the kernel has no TCX (before 6.6), a filter may be left
 * by who is killed, with keys that have run out.
 */
#ifndef MASQ_PLANE_TRIAL_CATCH_H
#define MASQ_PLANE_TRIAL_CATCH_H

#include <stdint.h>
#include "plane/chain.h"
#include "plane/maps.h"

struct catch;

/*
 * 0 or -errno, printed. Needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF. To be
 * closed once opened.
 */
int catch_open(struct catch **out);
void catch_close(struct catch *c);
/* Drops answers there; again for what is held already is nothing. 0 or -errno. */
int catch_hold(struct catch *c, uint32_t ifindex, enum hook_dir dir);

/* From now on this is an attempt, or no more. 0 or -errno. */
int catch_add(struct catch *c, const struct masq_attempt_key *key,
	      const struct masq_attempt *attempt);
void catch_del(struct catch *c, const struct masq_attempt_key *key);
/* The socket that answers come in by: packets from their IP header on. */
int catch_socket(const struct catch *c);

#endif

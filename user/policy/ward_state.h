/* SPDX-License-Identifier: GPL-2.0-only */
/* ward_state.h - what is known of a change that is watched (ward.h). */
#ifndef MASQ_POLICY_WARD_STATE_H
#define MASQ_POLICY_WARD_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include "plane/instance.h"
#include "policy/plan.h"
#include "policy/policy.h"
#include "policy/vigil.h"

enum ward_flag {
	WARD_FIRST = 1, /* the first policy: nothing was before */
	WARD_ALARM_ONLY = 2, /* a second change within the window */
	WARD_CLI = 4, /* a command with --guard watches, or did */
	WARD_PROVEN = 8, /* it was enough to go back */
	WARD_REFUSED = 16, /* this generation was turned back, into `other` */
	WARD_BACK = 32, /* this one is what `other` was turned back into */
	WARD_JUDGED = 64, /* the window was watched to its end */
	WARD_RECORDS = 128, /* what passes untouched has records meanwhile */
	WARD_BLIND = 256, /* IPv6 that had no records before */
	WARD_DROPS = 512, /* pods that are dropped from now on */
};

/* As it is noted down; the layout is this program's alone. */
struct ward_state {
	uint32_t magic;
	uint32_t generation;
	uint32_t from; /* of the policy before; 0: none */
	uint32_t begin; /* first generation of those that are judged together */
	uint64_t changed_ms, until_ms; /* of ward_now_ms */
	uint32_t flags; /* enum ward_flag */
	uint32_t other;
	uint64_t refused; /* WARD_BACK: hash of the config that is not taken */
	uint64_t tended_ms; /* WARD_CLI: it was there */
	uint32_t broken, pods; /* when last looked at by whoever keeps it */
	uint32_t nets;
	uint32_t dropped; /* WARD_DROPS: their answered flows at the change */
};

#define WARD_PROBES 4

struct ward_probe {
	int fd; /* -1: none */
	struct addr dest;
	uint16_t port;
	uint64_t since_ms;
};

struct ward {
	struct instance *instance;
	struct ward_state state;
	struct policy *from, *to; /* from NULL: none */
	struct plan *plan; /* NULL: there is no `from` */
	bool ports; /* the range of ports has changed */
	bool passed; /* some sources, or IPv6, are passed untouched now */
	struct vigil *vigil;
	enum vigil_verdict verdict; /* of the last look */
	bool news; /* differs from what is noted down */
	struct ward_probe probe[WARD_PROBES];
	/* the pod that was asked about last, and what leads to it */
	struct addr routed;
	uint32_t routed_by;
};

#endif

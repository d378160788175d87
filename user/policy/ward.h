/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ward.h - the guard of a change: what was answered before it is noted down
 * beside the generation (history.h), where it outlives whoever made the change
 * and whoever watches; the flow table says what became of it since; vigil.h
 * judges. Anybody who may read the instance can look; one process at a time,
 * the agent or a command with --guard, keeps the notes and goes back.
 */
#ifndef MASQ_POLICY_WARD_H
#define MASQ_POLICY_WARD_H

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
	uint32_t pad;
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
	struct vigil *vigil;
	enum vigil_verdict verdict; /* of the last look */
	bool news; /* differs from what is noted down */
	struct ward_probe probe[WARD_PROBES];
	/* the pod that was asked about last, and what leads to it */
	struct addr routed;
	uint32_t routed_by;
};

/* CLOCK_MONOTONIC as the programs see it: nobody sets it. */
uint64_t ward_now_ms(const struct instance *instance);

/*
 * A policy has just been applied, `change` says how; `from`: what ran before,
 * NULL: nothing. Notes down what was answered, if any treatment flips. The
 * instance's lock is held. 0; 1: nothing to watch; -errno: nobody watches, and
 * that is said.
 */
int ward_begin(struct instance *instance, struct policy *from,
	       struct policy *to, uint64_t window_ns, uint32_t flags);
/*
 * The ward of the policy that runs. 0, and ward_close it; -ENOENT: nothing is
 * watched; -ENODATA: no policy.
 */
int ward_open(struct instance *instance, struct ward **out);
void ward_close(struct ward *ward);
/* As it is noted, of any generation that is kept, for people: no look is taken,
 * and from, to are NULL. */
int ward_evidence(struct instance *instance, uint32_t generation,
		  struct ward **out);
/* Its networks, those in trouble first. malloc'ed; NULL: no memory. */
struct vigil_net **ward_nets(const struct ward *ward, size_t *count);
/* Only what is noted of a generation. 0 or -errno. */
int ward_note(const struct instance *instance, uint32_t generation,
	      struct ward_state *out);

/*
 * What was noted at then_ms of a clock that has begun anew since: on the clock
 * of now. `runs`: it is the generation in force. 0 or -errno.
 */
int ward_rebase(struct instance *instance, uint32_t generation,
		uint64_t then_ms, bool runs);

/*
 * One look at the flow table. `probe`: questions as the node are asked, and
 * their answers taken. 0 or -errno.
 */
int ward_look(struct ward *ward, bool probe);
/* Is there something to look for, soon? Milliseconds from look to look; 0: no. */
uint32_t ward_pace_ms(const struct ward *ward);
/* Notes down what the looks have shown, if it is new. */
int ward_save(struct ward *ward);

/* Is it the policy that runs? -errno: it cannot be known. */
int ward_is_current(const struct ward *ward);
/*
 * Makes the policy before the change the running one again, under the lock
 * that the caller holds. *generation: what that is. -ESTALE: another change
 * has come in between; else 0 or -errno, printed.
 */
int ward_go_back(struct ward *ward, uint32_t *generation);

/* The networks that are broken, in words; each one line, freed by the caller.
 * Returns how many; *lines malloc'ed. */
size_t ward_broken(const struct ward *ward, struct vigil_net ***nets);
/* "172.30.12.0/24 (172.16.0.0/12 keep): ..."; returns buf. */
const char *ward_text(const struct ward *ward, const struct vigil_net *net,
		      char *buf, size_t len);
/* What to type. */
const char *ward_todo(const struct ward *ward, char *buf, size_t len);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * vigil.h - did a change of the policy break traffic? Evidence in, verdict
 * out: no kernel calls, no clock of its own. ward.h feeds it.
 *
 * Only flows whose treatment the change flips are shown to it. They are judged
 * by the network that they go to, a /24 or /64: one host that answers says
 * nothing about the next network. A network is broken when it answered pods
 * before the change, and since then at least three attempts at services of that
 * kind (protocol and port) hung for two seconds or more, and none was answered.
 *
 * To go back by itself takes more, for whoever could make that up would turn
 * policies back at will: pods that hang at a service (address, protocol, port)
 * that answered before, and that lives: it answered a flow of the old
 * treatment, or a probe, after the hanging attempt had begun to hang. At least
 * two such pods, each behind the interface that leads to its address: one pod,
 * with as many friends outside as it likes, is one pod; so is one with an
 * address of each family.
 */
#ifndef MASQ_POLICY_VIGIL_H
#define MASQ_POLICY_VIGIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

#define VIGIL_WINDOW_MS	  120000 /* the default */
#define VIGIL_ATTEMPTS	  3
#define VIGIL_HANG_MS	  2000
#define VIGIL_PODS	  2 /* to go back */
#define VIGIL_ALONE_MS	  10000 /* one attempt, at a first policy */
#define VIGIL_NETS	  4096 /* watched at a time */
#define VIGIL_SERVICES	  32 /* of each network */
#define VIGIL_PODS_KEPT	  4 /* of each network, by name */
#define VIGIL_TRIES	  32 /* attempts of each network that are kept */
#define VIGIL_TRIES_A_POD 4
#define VIGIL_PROBE_MS	  20000 /* between probes of one service */

/* A flow whose treatment flips, as it is at a look. Times are milliseconds of
 * one clock that is never set; ports are the host's. */
struct vigil_flow {
	struct addr pod, dest;
	uint16_t pod_port, port;
	uint8_t proto;
	bool after; /* of the new treatment */
	bool replied;
	bool trusted; /* came by the interface that leads to the pod */
	bool old_probe; /* the node itself can ask as the old treatment did */
	uint64_t begun_ms;
	uint64_t answered_ms; /* its last answer; 0: not known */
	uint64_t answers; /* packets from the far side */
	uint32_t more; /* as many again are just like it (vigil_before) */
};

enum vigil_probe_result {
	VIGIL_UNASKED,
	VIGIL_ANSWERED,
	VIGIL_SILENT,
	VIGIL_UNKNOWN, /* it could not be asked */
};

/* Something that answered before. */
struct vigil_service {
	struct addr dest;
	uint16_t port;
	uint8_t proto;
	uint32_t before; /* answered flows; 0: only asked for since */
	uint64_t lived_ms; /* a flow of the old treatment was answered; or 0 */
	uint64_t answers, answers_now; /* of these flows, by the last look */
	uint64_t probed_ms; /* the last probe began; 0: none */
	uint8_t probe; /* enum vigil_probe_result of the last one */
	uint64_t probe_answer_ms; /* when; 0: never */
	bool probe_wanted; /* an attempt hangs that the node could ask for */
};

/* An attempt without an answer. */
struct vigil_try {
	struct addr pod, dest;
	uint16_t pod_port, port;
	uint8_t proto;
	bool trusted;
	uint64_t begun_ms;
	uint64_t hung_ms; /* how long it hung when it was last seen */
};

struct vigil_net {
	struct cidr net;
	uint32_t before; /* answered flows, by the last look at the change */
	struct addr pods[VIGIL_PODS_KEPT]; /* some of theirs */
	uint8_t pod_count;
	uint32_t
		answered; /* new ones that were answered since: seen at looks */
	uint64_t answered_ms;
	struct vigil_service *services;
	uint16_t service_count;
	bool more_services; /* than are kept */
	struct vigil_try *tries;
	uint16_t try_count;
	uint32_t hanging; /* tries that hung long enough */
	bool broken;
};

enum vigil_verdict {
	VIGIL_QUIET,
	VIGIL_BROKEN, /* raises the alarm */
	VIGIL_PROVEN, /* enough to go back */
};

struct vigil {
	uint64_t changed_ms, until_ms;
	bool first; /* the first policy: there is no before */
	uint64_t now_ms, before_ms; /* this look, the one before */
	struct vigil_net *nets; /* by hash; family 0: free */
	uint32_t net_count;
	bool more_nets;
	uint32_t looks;
	uint32_t broken; /* networks */
	uint32_t proven_pods;
};

/* NULL: out of memory. */
struct vigil *vigil_new(uint64_t changed_ms, uint64_t until_ms, bool first);
void vigil_free(struct vigil *vigil);

/* A flow that was answered before the change. */
int vigil_before(struct vigil *vigil, const struct vigil_flow *flow);

/* A look: each flow there is, and then what they come to. */
void vigil_look(struct vigil *vigil, uint64_t now_ms);
int vigil_see(struct vigil *vigil, const struct vigil_flow *flow);
enum vigil_verdict vigil_judge(struct vigil *vigil);

/*
 * The next service that should be asked as the node, and is marked as asked;
 * NULL: none. *net: to find it again.
 */
struct vigil_service *vigil_probe(struct vigil *vigil);
/* What came of it. */
void vigil_probed(struct vigil *vigil, const struct addr *dest, uint16_t port,
		  enum vigil_probe_result result);

/* The network of an address. */
struct cidr vigil_net_of(const struct addr *addr);
/* That of this range; made where there is none and `make`. NULL: none. */
struct vigil_net *vigil_find(struct vigil *vigil, const struct cidr *net,
			     bool make);
/* For those that are read back. 0 or -ENOMEM, -ENOSPC. */
struct vigil_service *vigil_service(struct vigil_net *net,
				    const struct addr *dest, uint8_t proto,
				    uint16_t port, bool make);
int vigil_add_try(struct vigil_net *net, const struct vigil_try *attempt);

#endif

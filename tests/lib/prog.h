/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * prog.h - the real programs under BPF_PROG_TEST_RUN, in a network namespace
 * of the test's own: uplink "up0" (10.142.0.6/24, fd00:142::6/64), pod side
 * "pod0" (10.44.14.1/24, fd00:44::1/64), default routes through the uplink.
 * Nothing is pinned or attached.
 */
#ifndef TEST_PROG_H
#define TEST_PROG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "masqbpf.h"
#include "packet.h"
#include "rows.h"

#define NODE4 "10.142.0.6"
#define POD4  "10.44.14.15"
#define POD4B "10.44.14.16"
#define KEPT4 "172.30.12.110" /* in 172.16.0.0/12: keep */
#define FAR4  "198.51.100.7" /* masquerade by 0.0.0.0/0 */
#define NODE6 "fd00:142::6"
#define POD6  "fd00:44::15"
#define FAR6  "2001:db8::7"
#define KEPT6 "fd00:30::110" /* in fd00:30::/32: keep */

enum dir {
	EGRESS,
	INGRESS
};
/* REDIRECT: refused with an ICMP error, sent back to the pod */
enum {
	NEXT = -1,
	DROP = 2,
	REDIRECT = 7
};

#define PROG_SEAL 0x5ea15ea1 /* masq_seal */

struct prog_lab {
	struct bpf_object *obj;
	int up, pod; /* ifindex */
	bool modern;
	/* the flow tables, mapped */
	struct masq_page4 *flows4;
	struct masq_page6 *flows6;
	struct masq_aside_page *aside4, *aside6;
	unsigned int pages;
	struct masq_shape shape; /* of both tables */
	/* those that are taken over from, which have the names of the others */
	struct bpf_map *before[4];
	uint64_t keys[MASQ_HASH_KEYS];
	struct masq_aside aside; /* of the record that was found last */
	/* result of the last run */
	int verdict;
	uint8_t frame[PACKET_MAX];
	size_t length;
	uint32_t duration;
	bool sealed; /* the packet carries the instance's seal */
	bool seal_next; /* the next one goes in with it */
	bool seal_other; /* or with the other direction's */
	uint32_t mark; /* of the packets */
	bool checksum_complete; /* packets come with CHECKSUM_COMPLETE */
};

/* maxFlows of the lab; to be changed before prog_lab_up. */
extern unsigned int prog_max_flows;

/*
 * What the lab takes over from (bpf/inherit.h); to be changed before
 * prog_lab_up. prog_before: a lab of this layout; prog_before_layout: 3 for one
 * whose records the test writes itself, into masq_before3_4.
 */
extern struct prog_lab *prog_before;
extern unsigned int prog_before_layout;

/* cmocka group set-up and tear-down: *state is the lab. */
int prog_lab_up(void **state);
int prog_lab_down(void **state);
/* Ends every flow, zeroes counters, restores the default policy. */
int prog_lab_reset(void **state);

/* Does this kernel load the object, "modern" or "legacy"? If not, the tests are
 * printed as skipped. */
bool prog_loads(const char *object, const struct CMUnitTest *tests, size_t n);
/* Skips the test on a kernel that runs no forwarded test packet. */
void prog_needs_forwarding(struct prog_lab *lab);

/* Policy rows: "CIDR" with an action, prefix slot 2, 3, ... in order given. */
void prog_policy(struct prog_lab *lab, ...); /* char *, int, ..., NULL */
void prog_policy_edit(struct prog_lab *lab, void (*edit)(struct masq_policy *));
int prog_map(struct prog_lab *lab, const char *name);

/* Runs the packet; fills verdict and frame. gso: segment size or 0. */
void prog_run(struct prog_lab *lab, enum dir dir, const struct packet *p);
void prog_run_raw(struct prog_lab *lab, const char *prog, bool forwarded,
		  const uint8_t *frame, size_t length, uint32_t gso_size,
		  uint32_t gso_segs);

/* Fails the test with both packets shown unless it came out as `want`. */
void prog_expect(struct prog_lab *lab, int verdict, const struct packet *want,
		 const char *file, int line);
#define SEND(dir, verdict, in, want)                                 \
	do {                                                         \
		prog_run(lab, dir, in);                              \
		prog_expect(lab, verdict, want, __FILE__, __LINE__); \
	} while (0)

uint64_t prog_stat(struct prog_lab *lab, uint32_t index);
#define REASON(id) prog_stat(lab, MASQ_R_##id)
struct masq_prefix_count prog_prefix(struct prog_lab *lab, uint32_t slot);
/* Records with memory in both flow tables. */
unsigned int prog_records(struct prog_lab *lab);
bool prog_flow4(struct prog_lab *lab, const char *in, uint16_t in_port,
		const char *rem, uint16_t rem_port, uint8_t proto,
		struct masq_flow4 *flow);
unsigned int prog_kind(const struct masq_flow4 *flow); /* enum masq_kind */
unsigned int prog_state(const struct masq_flow4 *flow); /* enum masq_state */
/* Moves every record's times back by `seconds`. */
void prog_age(struct prog_lab *lab, unsigned int seconds);
/* That their first ones have come. */
void prog_forget_fragments(struct prog_lab *lab);
void prog_age_ticks(struct prog_lab *lab, uint32_t ticks);
/* Runs masq_ctl; its error. */
int prog_ctl(struct prog_lab *lab, struct masq_ctl *request);
uint32_t prog_ticks(struct prog_lab *lab, double seconds);

/* What a walk over the tables finds. */
struct prog_totals {
	long flows[2][MASQ_B_MAX]; /* owners, by family and budget */
	long host;
	long closed; /* of the pods' masquerade flows */
	unsigned int halves; /* records of pairs without their other one */
	unsigned int copies; /* pairs that disagree about what was seen */
	unsigned int unfinished; /* neither published nor free */
	unsigned int labels; /* pages whose label says other than its slots */
	unsigned int elsewhere; /* records outside their first page */
};
struct prog_totals prog_walk(struct prog_lab *lab);
/* Fails unless the walk agrees with every total that the dataplane keeps. */
void prog_expect_totals(struct prog_lab *lab, const char *file, int line);
#define EXPECT_TOTALS() prog_expect_totals(lab, __FILE__, __LINE__)

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * reach.h - what two attempts at one destination, as the node and as a pod,
 * say about the way there. Pure: no kernel calls.
 */
#ifndef MASQ_REPORT_REACH_H
#define MASQ_REPORT_REACH_H

#include <stdbool.h>
#include <stddef.h>
#include "plane/trial.h"

enum reach {
	REACH_BOTH, /* whatever the policy says works */
	REACH_ONLY_NODE, /* masquerade it */
	REACH_ONLY_POD, /* keep it */
	REACH_RESET, /* by somebody, for both */
	REACH_CLOSED, /* UDP: the destination itself says that nobody listens */
	REACH_REFUSED, /* by an ICMP error, for whoever was not silent */
	REACH_NOBODY, /* silence for both */
	REACH_NO_ROUTE, /* it does not leave the node */
	REACH_NODE, /* the node is answered; no pod was there to ask as */
	REACH_UNKNOWN, /* could not be found out */
};

/* pod NULL: there was none. */
enum reach reach_judge(const struct trial *node, const struct trial *pod);
/* "only_node": for programs; and what it means, for people. */
const char *reach_name(enum reach reach);
const char *reach_text(enum reach reach, uint8_t proto);

/* Did anything come back from the destination itself? */
bool reach_is_answer(const struct trial *trial);
/* "SYN-ACK", "no answer", "ICMP host unreachable from 10.1.2.3"; returns buf. */
#define REACH_STRLEN 256
const char *reach_answer(const struct trial *trial, char *buf, size_t len);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying_expression.h - a rule of nf_tables, expression by expression: does it
 * treat packets of one established flow differently? See varying.h.
 */
#ifndef MASQ_VARYING_EXPRESSION_H
#define MASQ_VARYING_EXPRESSION_H

#include <stdbool.h>
#include <stdint.h>
#include "kernel/varying_payload.h"
#include "kernel/varying_rules.h"

/* What the register holds that was loaded last. */
enum varying_held {
	HELD_OTHER,
	HELD_FLAGS, /* TCP's, of one byte */
	HELD_STATE, /* conntrack's */
	HELD_MARK, /* the connection's */
	HELD_PROTOCOL, /* TCP, UDP, ... */
	HELD_FAMILY, /* which version of IP it is */
	HELD_LOOSE, /* bits that differ, and may yet be left out */
	HELD_KEPT, /* to be written where it comes from, those as they were */
};

struct varying_nft_rule {
	struct varying_rules *rules;
	char chain[VARYING_WHERE];
	const char *table;
	uint8_t family;
	enum varying_held held;
	uint32_t mask; /* that it has been through */
	uint32_t loose; /* of HELD_LOOSE */
	struct varying_place place; /* where that comes from */
	bool mark; /* it has read what conntrack keeps ... */
	bool turns; /* ... and made of it what is another each time */
	bool packet; /* it has read the packet's mark */
	bool turned; /* and made it another */
	bool marked; /* it goes by a mark of the connection's that is not 0 */
	bool tcp; /* it has asked for that */
	bool never;
	bool unknown; /* none that conntrack calls established gets on */
	bool what_unknown; /* it was so when `what` was met */
	bool lasts; /* what it does is not over with the packet */
	bool partly; /* not every established packet gets to its end */
	bool ends; /* what does goes no further in the chain */
	bool leaves; /* and may go back to where it was jumped from */
	uint16_t generation; /* of the rules, as they are read */
	char what[VARYING_NAME]; /* that varies */
	struct varying_jump jump;
	const char *map; /* that says where the jump leads */
};

/* The name that a chain has among the rules, with its family and table. */
void varying_chain_name(char *out, uint8_t family, const char *table,
			const char *chain);

struct nlattr;
/* Up to 4 bytes of a value (NFTA_DATA_VALUE in it; NULL: 0), as they lie. */
uint32_t varying_value(const struct nlattr *attr);

/* One element of NFTA_RULE_EXPRESSIONS; data: the rule. For mnl. */
int varying_expression(const struct nlattr *element, void *data);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* ward_ask.h - questions to far sides, as the node: its own connections. */
#ifndef MASQ_POLICY_WARD_ASK_H
#define MASQ_POLICY_WARD_ASK_H

#include "policy/ward_state.h"

/* Those that have come. */
void ward_take_answers(struct ward *ward, uint64_t now_ms);
/* WARD_PROBES at a time, of what the judge wants to know. */
void ward_ask_more(struct ward *ward, uint64_t now_ms);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* history_evidence.h - what the guard has seen of a change, for history. */
#ifndef MASQ_CLI_HISTORY_EVIDENCE_H
#define MASQ_CLI_HISTORY_EVIDENCE_H

#include "base/json.h"
#include "policy/ward.h"

void evidence_print(const struct ward *ward);
/* "guard": of ward NULL null */
void evidence_json(struct json *j, const struct ward *ward);

#endif

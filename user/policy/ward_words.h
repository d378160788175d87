/* SPDX-License-Identifier: GPL-2.0-only */
/* ward_words.h - what it has found, and what to type. */
#ifndef MASQ_POLICY_WARD_WORDS_H
#define MASQ_POLICY_WARD_WORDS_H

#include "policy/ward_state.h"

/* The networks that are broken, in words; each one line, freed by the caller.
 * Returns how many; *lines malloc'ed. */
size_t ward_broken(const struct ward *ward, struct vigil_net ***nets);
/* "172.30.12.0/24 (172.16.0.0/12 keep): ..."; returns buf. */
const char *ward_text(const struct ward *ward, const struct vigil_net *net,
		      char *buf, size_t len);
/*
 * What cannot be judged, or need not be: pods that are dropped, what had no
 * records before. Within the window; NULL: nothing, else buf.
 */
const char *ward_unseen(const struct ward *ward, char *buf, size_t len);
/* What to type. */
const char *ward_todo(const struct ward *ward, char *buf, size_t len);

#endif

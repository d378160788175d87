/* SPDX-License-Identifier: GPL-2.0-only */
/* pinname.h - which pins of a directory are ours, by their exact names. */
#ifndef MASQ_PINNAME_H
#define MASQ_PINNAME_H

#include <stdbool.h>

/* Of this version or of any before; somebody else's `masq_x` is not. */
#define PIN_TEMPORARY "masq_program" /* before it gets its name */
/* a note: we have set nf_conntrack_tcp_be_liberal, and put it back */
#define PIN_LIBERAL "masq_liberal"

bool pin_is_ours(const char *name);

#endif

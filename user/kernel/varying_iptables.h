/* SPDX-License-Identifier: GPL-2.0-only */
/* varying_iptables.h - rules of legacy iptables that vary; see varying.h. */
#ifndef MASQ_VARYING_IPTABLES_H
#define MASQ_VARYING_IPTABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* As varying_find, of one family's tables. *tracked stays or becomes true. */
int varying_iptables(uint8_t family, char *text, size_t len, bool *tracked);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* probe_print.h - what was found, for people and for programs. */
#ifndef MASQ_CLI_PROBE_PRINT_H
#define MASQ_CLI_PROBE_PRINT_H

#include "cli/probe_try.h"

void probe_print_json(const struct probe *probe);
void probe_print_text(const struct probe *probe);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* watch_print.h - events and changes of the policy, in each format. */
#ifndef MASQ_CLI_WATCH_PRINT_H
#define MASQ_CLI_WATCH_PRINT_H

#include "cli/watch.h"
#include "policy/plan.h"

/* "time": wall-clock time, given in nanoseconds. */
void json_time(struct json *j, uint64_t ns);
/* To stdout, in the format of w. */
/* When it was, in nanoseconds since 1970. */
uint64_t event_realtime(const struct watch *w, const struct masq_event *e);
void show_event(struct watch *w, const struct masq_event *e);
/* From `plan` (NULL: no policy before) to `to`. */
void text_change(const struct policy *to, const struct plan *plan);
void json_change(const struct policy *to, const struct plan *plan);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* counters.h - the per-CPU counters, summed. */
#ifndef MASQ_COUNTERS_H
#define MASQ_COUNTERS_H

#include <stdbool.h>
#include "base/json.h"
#include "masqbpf.h"
#include "plane/instance.h"

/* A reason of masqbpf.h as text. */
struct reason {
	const char *name;
	const char *what; /* happened */
	const char *todo; /* "": nothing */
	bool drop;
};
extern const struct reason reasons[MASQ_R_MAX];

/* What one prefix slot has counted. 0 or -errno. */
int counters_prefix(const struct instance *instance, uint32_t slot,
		    struct masq_prefix_count *out);
/* By enum masq_reason, then by enum masq_stat. 0 or -errno. */
int counters_stats(const struct instance *instance, uint64_t out[MASQ_S_MAX]);

/* {"packets", "bytes"}; NULL: null. */
void json_count(struct json *j, const char *key,
		const struct masq_count *count);

#endif

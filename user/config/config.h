/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config.h - a configuration as understood from a file or a preset. No kernel
 * calls here: the same code serves `check`, `plan`, `attach` and the agent.
 */
#ifndef MASQ_CONFIG_H
#define MASQ_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "base/cidr.h"
#include "masqbpf.h"

struct config_cidr {
	struct cidr cidr;
	uint32_t line; /* in the file; 0 in a preset */
};

struct config_cidrs {
	struct config_cidr *items;
	size_t count;
};

/* A choice of source address: snat.addresses entry. */
struct config_snat {
	struct cidr dest; /* 0.0.0.0/0 or ::/0: every masqueraded prefix */
	struct addr addr;
	uint32_t line;
};

struct config {
	char *path; /* as given; NULL for a preset */
	uint64_t hash; /* config_hash of its text; 0 for a preset */
	const char *preset; /* static string; NULL for a file that sets lists */

	/* lists in file order, duplicates included */
	struct config_cidrs keep; /* nonMasqueradeCIDRs */
	bool keep_given; /* false: the preset's list is in `keep` */
	bool sets_nothing; /* keys, but none that is known and has a value */
	struct config_cidrs masquerade; /* masqueradeCIDRs */
	struct config_cidrs pods; /* podCIDRs */
	struct config_cidrs keep_sources; /* nonMasqueradeSrcCIDRs */

	bool masq_link_local;
	bool masq_link_local_ipv6;
	bool ipv6; /* enableIPv6, or an IPv6 prefix is named (contract.md) */
	bool drop_foreign_sources;
	uint32_t cidr_limit;
	uint64_t resync_interval_ns;

	uint16_t port_min, port_max; /* snat.portRange */
	uint16_t node_port_min, node_port_max; /* snat.nodePortRange */
	struct config_snat *snat;
	size_t snat_count;
	bool reject_tcp; /* answer refused TCP openers with ICMP too */

	uint64_t timeout_ns[MASQ_T_MAX];
	uint32_t max_flows;
	uint32_t max_flows_per_pod; /* default: max_flows / 4 */
	bool flow_counters; /* per-flow packet and byte counts */

	char **warnings; /* "FILE:LINE:COL: text", in file order */
	size_t warning_count;
};

struct config_options {
	bool strict; /* unknown keys are errors */
	/* defaults of a file that does not give nonMasqueradeCIDRs */
	const char *base_preset; /* NULL: "ip-masq-agent" */
};

/*
 * Reads FILE ("-": standard input). 0 and *out (owned by the caller, freed by
 * config_free), or -errno and one complete line of text in err, without a
 * newline: "FILE:LINE:COL: what: why". *out is left alone on failure.
 */
int config_load(const char *path, const struct config_options *options,
		struct config **out, char *err, size_t errlen);
/* The same from memory; name stands for the path in messages. */
int config_parse(const char *text, size_t length, const char *name,
		 const struct config_options *options, struct config **out,
		 char *err, size_t errlen);
int config_preset(const char *name, struct config **out, char *err,
		  size_t errlen);
/*
 * May it take the place of a policy that runs? Not where no known key is set:
 * a misspelt one would give the preset, which nobody has asked for. 0, or
 * -EINVAL with a complete line in err.
 */
int config_may_replace(const struct config *config, char *err, size_t errlen);
/* Tells one text from another; never 0. */
uint64_t config_hash(const char *text, size_t length);
/* Comma-separated names for --help and messages. */
const char *config_preset_names(void);
void config_free(struct config *config);

#endif

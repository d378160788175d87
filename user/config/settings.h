/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * settings.h - what a config says, as data: the defaults, what a file or a
 * preset has put in their place, and what is to be warned of.
 */
#ifndef MASQ_CONFIG_SETTINGS_H
#define MASQ_CONFIG_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"
#include "base/pool.h"
#include "masqbpf.h"

struct config_cidr {
	struct cidr cidr;
	uint32_t line; /* in the file; 0 in a preset */
};

struct config_cidrs {
	struct config_cidr *items;
	size_t count;
};

/* A choice of source addresses: what snat.addresses has for a destination. */
struct config_snat {
	struct cidr dest; /* 0.0.0.0/0 or ::/0: every masqueraded prefix */
	struct pool pool; /* a pod has one of them */
	uint32_t line; /* of the first item */
};

/* What becomes of a change that breaks traffic. */
enum config_guard {
	GUARD_ALARM,
	GUARD_ROLLBACK,
	GUARD_OFF,
};
extern const char *const config_guards[]; /* their names, ended by NULL */

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
	bool strict_ports; /* ports that are kept lie in it too */
	uint16_t node_port_min, node_port_max; /* snat.nodePortRange */
	struct config_snat *snat;
	size_t snat_count;
	bool reject_tcp; /* answer refused TCP openers with ICMP too */

	uint64_t timeout_ns[MASQ_T_MAX];
	uint32_t max_flows;
	uint32_t max_flows_per_pod; /* default: max_flows / 4 */
	bool flow_counters; /* per-flow packet and byte counts */

	uint32_t guard_action; /* enum config_guard */
	uint64_t guard_window_ns;

	char **warnings; /* "FILE:LINE:COL: text", in file order */
	size_t warning_count;
};

struct config_options {
	bool strict; /* unknown keys are errors */
	/* defaults of a file that does not give nonMasqueradeCIDRs */
	const char *base_preset; /* NULL: "ip-masq-agent" */
};

/* With the defaults; NULL: out of memory. */
struct config *config_new(void);
void config_free(struct config *config);
/* The quota that follows from maxFlows where none is given. */
void config_default_quota(struct config *config);

/* Errors that are named; a line more says how many others there are. */
#define CONFIG_ERRORS 20
/* Room for them all. */
#define CONFIG_ERRLEN 8192

#endif

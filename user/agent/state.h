/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state.h - what the agent knows and has to do, for the files of this folder:
 *
 *	agent.c		set-up, in the order of privileges; the loop
 *	policy.c	from a file that has changed to a policy in force
 *	follow.c	when has a file changed?
 *	guard.c, ward.c	a change that breaks traffic
 *	save.c		what a reboot must not lose
 *	sizes.c		the table's size, its programs
 *	links.c		interfaces, addresses: attach, heal, refresh
 *	foreign.c	others that translate
 *	due.c		what has failed and is tried again
 *	health.c	is pod traffic masqueraded as it should be?
 *	helper.c	the process that keeps privileges
 *	renewer.c	and the one for when nf_conntrack comes
 *	sandbox.c	giving them up
 *	notify.c	the service manager
 *	http.c		/metrics, /healthz, /readyz
 *	scrape.c	the numbers that are handed out
 *	page.c		/
 */
#ifndef MASQ_AGENT_STATE_H
#define MASQ_AGENT_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "agent/follow.h"
#include "agent/helper.h"
#include "agent/sandbox.h"
#include "base/http.h"
#include "config/config.h"
#include "kernel/names.h"
#include "plane/fastpath.h"
#include "plane/instance.h"
#include "policy/ward.h"
#include "report/metrics.h"
#include "report/verdict.h"

/* What was asked for; everything outlives the agent. */
struct agent_options {
	const char *pin_dir;
	const char *config; /* NULL: none */
	const char *base_preset; /* of a file without a list, or without file */
	bool enable_ipv6;
	enum fastpath_mode fast_path;
	uint16_t port_min, port_max; /* 0: as the file says */
	struct http_address listen;
	struct sandbox_user user;
	char **ifaces;
	int iface_count;
};

/* An interface that is meant to be attached. */
struct agent_link {
	char name[NAMES_MAX];
	uint32_t ifindex; /* 0: there is none of this name */
	enum hook_kind kind;
	bool whole; /* both hooks are in place */
	bool busy; /* it is being attached right now */
	unsigned int
		failures; /* attempts to attach it, since the last good one */
	int err; /* of the last attempt */
	uint64_t retry_ms; /* not before */
};

/* What has to be done once more about the policy. */
enum agent_again {
	AGAIN_NOTHING,
	AGAIN_BEGIN, /* it is not known which one is in force */
	AGAIN_FILE,
	AGAIN_PRESET,
};

struct agent {
	struct agent_options options;
	struct instance *instance;
	struct timespec pins_changed; /* as it was when they were looked at */
	struct helper helper;
	bool awaiting; /* the helper's answer: it takes one question a time */
	struct helper renewer; /* fd -1: none */
	uint64_t renew_due_ms; /* it may be asked then */
	unsigned int renew_failures;
	struct http *http;
	int netlink_fd, notify_fd, guard_fd; /* -1: none */
	uint64_t watchdog_ms, watchdog_at; /* of the service manager; 0: none */
	uint64_t listen_at; /* the next attempt to listen; 0: it does */

	/* by enum masq_due_kind: what is due, and why; "": nothing */
	char due[MASQ_DUE_MAX][sizeof(((struct masq_due *)0)->text)];

	/* config */
	bool has_config;
	struct follower follower;
	bool forced; /* SIGHUP's reading is yet to come */
	uint64_t forced_ms; /* so long the service manager waits; 0: no more */
	uint64_t config_hash; /* of what was last taken; 0: nothing */
	char config_problem[512]; /* "": none */
	bool reload_ok, stale;
	double reload_time;
	bool has_policy;
	bool unknown; /* what was in force before, and can be read no more */
	enum agent_again again;
	bool again_forced; /* SIGHUP wanted it */
	unsigned int again_failures;
	uint64_t again_ms; /* not before */

	/* the table and its programs: user/agent/sizes.c */
	struct instance_options sizes; /* that are wanted */
	bool unfit; /* it has others */
	uint64_t fit_due_ms, fit_wait_ms; /* of the next try; between two */

	/* the guard: user/agent/guard.c */
	uint32_t guard_action; /* enum config_guard */
	uint64_t guard_window_ns;
	bool guard_known; /* the two are the file's */
	struct ward *ward; /* of the generation in force; NULL: none */
	uint32_t guard_generation; /* that was looked at */
	uint64_t guard_due_ms, guard_look_ms;
	uint64_t guard_cost_ms; /* of the last look */
	uint64_t refused_hash; /* of the file that the guard took back; or 0 */
	char guard_problem[2048]; /* lines; "": nothing is broken */
	uint64_t names_due_ms; /* of pods, for them */

	uint64_t save_due_ms; /* of what is answered; 0: not known yet */
	uint64_t save_cost_ms;
	uint64_t save_again_ms; /* of what has failed, or nobody has come to */
	uint64_t save_wait_ms; /* between two that fail; 0: none did */

	/* interfaces */
	struct agent_link *links;
	size_t link_count;
	uint64_t links_due_ms; /* of the next look at them */
	uint64_t links_rest_ms; /* not before */

	/* the fast path */
	uint64_t fast_due_ms; /* of the next look */
	uint64_t fast_cost_ms; /* of the last one */
	bool fast_known; /* there was one */
	struct fastpath_sum fast; /* where it is, and why not elsewhere */
	char fast_said[FASTPATH_WHY + 160]; /* of it in the log */

	/* others that translate before us */
	int foreign_count; /* -1: nobody knows */
	char foreign[512]; /* a line for each; "": none */
	uint64_t foreign_due_ms;

	/* what status says, as far as the maps tell it */
	struct verdict verdict;
	uint64_t verdict_ms, verdict_cost_ms;
	bool verdict_known;
	uint64_t drops[MASQ_S_MAX], drops_before[MASQ_S_MAX];
	uint64_t drops_ms; /* of the latter */

	/* the texts that were made last, for whoever asks at once again */
	struct metrics metrics;
	uint64_t metrics_ms, metrics_cost_ms;
	char *page; /* malloc'ed; NULL: none */
	size_t page_length;
	uint64_t page_ms, page_cost_ms;

	bool stop;
	int failed; /* -errno that ends it */
};

/* Another process may have put another instance in the place of ours: then its
 * descriptors are opened. Not while the helper is at work: who asks meanwhile
 * sees what there was. */
void agent_renew(struct agent *agent);
/* The same for who has the lock: 0, or -errno: ours may not be what is pinned. */
int agent_renew_now(struct agent *agent);
/* Holds the lock of the instance that is pinned now, for a change. 0; -EBUSY
 * ..., for the caller to note as due. */
int agent_lock(struct agent *agent);
/* There is no instance any more: the agent ends, and is started for another. */
void agent_pins_gone(struct agent *agent);
/* "locked by process 12 (masqbpf)" or the error's own text; returns buf. */
const char *agent_why(const struct agent *agent, int err, char *buf,
		      size_t len);

#endif

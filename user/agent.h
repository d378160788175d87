/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * agent.h - the long-running form of masqbpf, for the agent*.c files.
 *
 *	cmd_agent.c	 the command line
 *	agent.c		 set-up, in the order of privileges; the loop
 *	agent_policy.c	 from a file that has changed to a policy in force
 *	agent_follow.c	 when has a file changed?
 *	agent_links.c	 interfaces, addresses: attach, heal, refresh
 *	agent_foreign.c	 others that translate
 *	agent_guard.c	 one agent an instance
 *	agent_helper.c	 the process that keeps privileges
 *	agent_sandbox.c	 giving them up
 *	agent_notify.c	 the service manager
 *	agent_http.c	 /metrics, /healthz, /readyz
 *	agent_page.c	 /
 */
#ifndef MASQ_AGENT_H
#define MASQ_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include "agent_follow.h"
#include "agent_helper.h"
#include "agent_sandbox.h"
#include "config.h"
#include "http.h"
#include "instance.h"
#include "metrics.h"

/* What was asked for; everything outlives the agent. */
struct agent_options {
	const char *pin_dir;
	const char *config; /* NULL: none */
	const char *base_preset; /* of a file without a list, or without file */
	bool enable_ipv6, fast_path;
	uint16_t port_min, port_max; /* 0: as the file says */
	struct http_address listen;
	struct sandbox_user user;
	char **ifaces;
	int iface_count;
};

/* An interface that is meant to be attached. */
struct agent_link {
	char name[32];
	uint32_t ifindex; /* 0: there is none of this name */
	enum hook_kind kind;
	bool whole; /* both hooks are in place */
	bool failed; /* the last attempt to attach it */
	uint64_t retry_ms; /* not before */
};

struct agent {
	struct agent_options options;
	struct instance *instance;
	struct helper helper;
	struct http *http;
	int signal_fd, netlink_fd, notify_fd, guard_fd, epoll_fd;
	bool auto_ifaces;

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

	/* interfaces */
	struct agent_link *links;
	size_t link_count;
	bool links_settled; /* attached as they were at the start */
	uint64_t links_due_ms; /* of the next look at them */
	uint64_t links_rest_ms; /* not before */
	uint64_t pods_retry_ms; /* the fast path: not before */

	/* others that translate before us */
	int foreign_count; /* -1: nobody knows */
	char foreign[512]; /* a line for each; "": none */
	uint64_t foreign_due_ms;

	/* the texts that were made last, for whoever asks at once again */
	struct metrics metrics;
	uint64_t metrics_ms, metrics_cost_ms;

	bool stop;
	int failed; /* -errno that ends it */
};

/* From set-up to the end; enum cmd_exit. */
int agent_run(const struct agent_options *options);

/* Holds the instance's lock for a change. 0 or -errno, printed. */
int agent_lock(struct agent *agent);
void agent_unlock(struct agent *agent);

/* At the start, and when the file has changed or `force` says so (SIGHUP). */
void agent_policy_begin(struct agent *agent);
void agent_policy_update(struct agent *agent, bool force);
/* Somebody still writes the file: it is not taken. */
void agent_policy_unfinished(struct agent *agent);

/* Brings interfaces and addresses to what they should be. */
int agent_links_watch(void); /* a netlink socket, or -errno, printed */
void agent_links_events(struct agent *agent);
void agent_links_update(struct agent *agent);

/* Looks for others that translate. */
void agent_foreign_update(struct agent *agent);

/* Is pod traffic masqueraded as it should be? Why not: one line each. */
struct agent_health {
	bool ready;
	char text[1024]; /* "": all is well */
};
void agent_health(const struct agent *agent, struct agent_health *out);
/* Fresh, or as fresh as the cost of making it allows. 0 or -errno. */
int agent_metrics(struct agent *agent);
void agent_metrics_state(const struct agent *agent,
			 struct metrics_uplink *uplinks,
			 struct metrics_state *out);

void agent_answer(void *agent, const char *path, struct http_reply *reply);
int agent_page(struct agent *agent, FILE *file);

#endif

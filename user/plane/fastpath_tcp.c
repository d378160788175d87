// SPDX-License-Identifier: GPL-2.0-only
/* fastpath_tcp.c - see fastpath_tcp.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/conntrack.h"
#include "kernel/sysctl.h"
#include "plane/fastpath_tcp.h"
#include "plane/flows.h"
#include "plane/maps.h"
#include "plane/pinname.h"
#include "plane/pins.h"

#define BE_LIBERAL "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"

bool fastpath_tcp_allowed(void)
{
	long liberal = sysctl_net("netfilter/nf_conntrack_tcp_be_liberal");

	return liberal > 0 || liberal == -ENOENT; /* no conntrack here */
}

int fastpath_follow_tcp(const struct instance *instance)
{
	struct masq_policy policy;
	uint32_t half;
	bool allowed = fastpath_tcp_allowed();
	int err = map_read(instance, MAP_masq_active, 0, &half)
			  ?: map_read(instance, MAP_masq_policy, half, &policy);

	if (err || !policy.generation ||
	    !(policy.flags & MASQ_P_FAST_TCP) == !allowed)
		return err;
	policy.flags ^= MASQ_P_FAST_TCP;
	return map_write(instance, MAP_masq_policy, half, &policy);
}

/* --- one connection at a time ------------------------------------------------ */

/* Connections that are over by then are not worth a message. */
#define SERVE_PACKETS 16
/* Of the tables at a time: 262,144 records. */
#define SERVE_PAGES 4096
#define SERVE_MAX   4096

struct served {
	struct conntrack *list;
	size_t count;
	bool counted; /* flows have counts */
};

static int serve_one(void *data, const struct flow *flow)
{
	struct served *served = data;

	if (!flow->asks || served->count == SERVE_MAX ||
	    (served->counted && flow->egress.packets < SERVE_PACKETS))
		return 0;
	/* as conntrack knows it, which sees no translation of ours */
	served->list[served->count++] = (struct conntrack){
		.orig = { .src = flow->in,
			  .dst = flow->rem,
			  .sport = htons(flow->in_port),
			  .dport = htons(flow->rem_port) },
		.proto = flow->proto,
	};
	return 0;
}

static int say_unserved(int err)
{
	log_error("fast path: conntrack cannot be told to be liberal: %s",
		  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

bool fastpath_tcp_by_flow(const struct instance *instance)
{
	struct masq_fast asked;

	return instance->map[MAP_masq_fast] >= 0 &&
	       !map_read(instance, MAP_masq_fast, MASQ_FAST_ASKED, &asked);
}

int fastpath_serve_tcp(struct instance *instance)
{
	static uint32_t page, until;
	const uint32_t key = MASQ_FAST_ASKED;
	struct masq_fast asked = { .flags = MASQ_FAST_TCP };
	struct served served = {
		.counted = !(instance->meta.features & MASQ_FEAT_NO_FLOW_COUNT),
	};
	int err;

	if (fastpath_tcp_allowed()) {
		err = bpf_map_delete_elem(instance->map[MAP_masq_fast], &key);
		return err && err != -ENOENT ? say_unserved(err) : 0;
	}
	err = map_read(instance, MAP_masq_fast, key, &asked);
	if (err == -ENOENT) {
		err = map_write(instance, MAP_masq_fast, key, &asked);
		return err ? say_unserved(err) : 0;
	}
	/* nobody has asked since, and the walk that was begun is at its end */
	if (!err && asked.until == until && !page)
		return 0;
	if (!page)
		until = asked.until;
	served.list = calloc(SERVE_MAX, sizeof(*served.list));
	err = err ?: served.list ? 0 : -ENOMEM;
	err = err
		      ?: flows_walk_part(instance, &page, SERVE_PAGES,
					 serve_one, &served);
	if (!err && served.count)
		err = conntrack_be_liberal(served.list, served.count);
	if (served.count)
		log_debug("fast path: conntrack is told of %zu connections",
			  served.count);
	free(served.list);
	return err ? say_unserved(err) : 0;
}

/* --- all of them ------------------------------------------------------------- */

static int write_liberal(const char *value)
{
	int fd = open(BE_LIBERAL, O_WRONLY | O_CLOEXEC), err = 0;

	if (fd < 0 || write(fd, value, 1) != 1)
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

int fastpath_allow_tcp(const struct instance *instance)
{
	char path[PIN_PATH_MAX];
	int err;

	if (fastpath_tcp_allowed())
		return 0;
	/* the note first: what was set and not noted would stay for ever */
	err = bpf_obj_pin(instance->prog[PROG_masq_ctl],
			  pin_path(instance, PIN_LIBERAL, path));
	err = err == -EEXIST ? 0 : err;
	err = err ?: write_liberal("1");
	if (err)
		log_error("%s: cannot set to 1 for --fast-path: %s", BE_LIBERAL,
			  strerror(-err));
	else
		log_warn("nf_conntrack_tcp_be_liberal set to 1, until detach: "
			 "conntrack sees only some packets of connections on "
			 "the fast path");
	return err;
}

void fastpath_restore_tcp(const struct instance *instance)
{
	int err;

	if (!pin_is_noted(instance, PIN_LIBERAL))
		return;
	err = write_liberal("0");
	if (err && err != -ENOENT)
		log_warn("%s: was set to 1 by --fast-path, and cannot be put "
			 "back to 0: %s",
			 BE_LIBERAL, strerror(-err));
	unlinkat(instance->lock_fd, PIN_LIBERAL, 0);
}

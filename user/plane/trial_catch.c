// SPDX-License-Identifier: GPL-2.0-only
/* trial_catch.c - one socket, and a program on each interface that matters. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/tcx.h"
#include "plane/trial_catch.h"
#include "masq_probe.skel.h"

/* Before ours (clsact.c), which has 3. */
#define TC_PRIORITY 2

struct held {
	uint32_t ifindex;
	enum hook_dir dir;
	int link; /* -1: a filter of clsact, with this handle */
	uint32_t handle;
	bool made_qdisc;
};

struct catch
{
	struct masq_probe *skel;
	int socket;
	struct held *held;
	size_t count;
};

static void filter_of(const struct held *held, struct bpf_tc_hook *hook,
		      struct bpf_tc_opts *opts)
{
	memset(hook, 0, sizeof(*hook));
	hook->sz = sizeof(*hook);
	hook->ifindex = held->ifindex;
	hook->attach_point = held->dir == HOOK_INGRESS ? BPF_TC_INGRESS
						       : BPF_TC_EGRESS;
	memset(opts, 0, sizeof(*opts));
	opts->sz = sizeof(*opts);
	opts->handle = held->handle;
	opts->priority = TC_PRIORITY;
}

static void let_go(const struct held *held)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	if (held->link >= 0) {
		close(held->link);
		return;
	}
	filter_of(held, &hook, &opts);
	bpf_tc_detach(&hook, &opts);
	if (held->made_qdisc) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
}

static int hold_by_filter(struct catch *c, struct held *held)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int err;

	held->link = -1;
	held->handle = getpid();
	filter_of(held, &hook, &opts);
	opts.prog_fd = bpf_program__fd(c->skel->progs.masq_swallow);
	err = bpf_tc_hook_create(&hook);
	if (err && err != -EEXIST)
		return err;
	held->made_qdisc = !err;
	return bpf_tc_attach(&hook, &opts);
}

int catch_hold(struct catch *c, uint32_t ifindex, enum hook_dir dir)
{
	struct held held = { .ifindex = ifindex, .dir = dir };
	struct held *more;
	int err = 0;

	for (size_t i = 0; i < c->count; i++)
		if (c->held[i].ifindex == ifindex && c->held[i].dir == dir)
			return 0;
	more = reallocarray(c->held, c->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	c->held = more;
	held.link = tcx_exists(ifindex)
			    ? tcx_first(ifindex, dir,
					bpf_program__fd(
						c->skel->progs.masq_swallow))
			    : -ENOTSUP;
	if (held.link == -ENOTSUP)
		err = hold_by_filter(c, &held);
	else if (held.link < 0)
		err = held.link;
	if (!err)
		c->held[c->count++] = held;
	return err;
}

static int open_socket(struct catch *c)
{
	int filter = bpf_program__fd(c->skel->progs.masq_answers);
	/* everything, so that it is seen before any hook of tc */
	struct sockaddr_ll all = { .sll_family = AF_PACKET,
				   .sll_protocol = htons(ETH_P_ALL) };

	/* no protocol yet: nothing comes in before there is a filter */
	c->socket =
		socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->socket < 0 ||
	    setsockopt(c->socket, SOL_SOCKET, SO_ATTACH_BPF, &filter,
		       sizeof(filter)) ||
	    bind(c->socket, (struct sockaddr *)&all, sizeof(all)))
		return -errno;
	return 0;
}

int catch_open(struct catch **out)
{
	struct catch *c = calloc(1, sizeof(*c));
	const char *what = "cannot be loaded";
	int err = -ENOMEM;

	if (!c)
		goto out;
	c->socket = -1;
	c->skel = masq_probe__open();
	err = c->skel ? masq_probe__load(c->skel) : -errno;
	if (err)
		goto out;
	what = "cannot listen for answers";
	err = open_socket(c);
out:
	if (err) {
		log_error("probe: %s: %s", what,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN |
						     CAPS_NET_RAW));
		catch_close(c);
		return err;
	}
	*out = c;
	return 0;
}

void catch_close(struct catch *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->count; i++)
		let_go(&c->held[i]);
	free(c->held);
	if (c->socket >= 0)
		close(c->socket);
	masq_probe__destroy(c->skel);
	free(c);
}

int catch_add(struct catch *c, const struct masq_attempt_key *key,
	      const struct masq_attempt *attempt)
{
	return bpf_map_update_elem(bpf_map__fd(c->skel->maps.masq_attempts),
				   key, attempt, BPF_ANY);
}

void catch_del(struct catch *c, const struct masq_attempt_key *key)
{
	bpf_map_delete_elem(bpf_map__fd(c->skel->maps.masq_attempts), key);
}

int catch_socket(const struct catch *c)
{
	return c->socket;
}

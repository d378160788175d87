// SPDX-License-Identifier: GPL-2.0-only
/* clsact.c - by netlink what libbpf does not tell, the rest by libbpf. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <libmnl/libmnl.h>
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include "kernel/netlink.h"
#include "plane/clsact.h"
#include "plane/pins.h"
#include "plane/tcx.h"

/*
 * Priorities: ingress undoes the translation before anybody else looks, and
 * egress translates what others have finished with. tc gives filters without
 * a priority 0xc000 and below, so egress is behind those. Not 1: everybody
 * takes 1. The handle only has to be one that nobody else would choose.
 */
#define TC_PRIORITY_INGRESS 3
#define TC_PRIORITY_EGRESS  0xc7e0
#define TC_HANDLE	    0x6d617371 /* "masq" */
/*
 * Where there is a watch no uplink is, but another instance may watch the same
 * interface: each takes the first priority of these that is free.
 */
#define TC_PRIORITY_BESIDE 4
#define TC_BESIDE_TRIES	   8
#define TC_HANDLE_BESIDE   0x6d617362
/* On a pod's interface, in both directions, behind what others have there. */
#define TC_PRIORITY_POD 0xc7e1
#define TC_HANDLE_POD	0x6d617370

uint32_t clsact_priority(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? TC_PRIORITY_INGRESS : TC_PRIORITY_EGRESS;
}

struct tc_dump {
	const struct instance *instance;
	struct hook_chain *chain;
	size_t before; /* programs in the chain when the dump began */
};

static void begin_tc(void *data)
{
	struct tc_dump *dump = data;

	dump->chain->count = dump->before;
}

static void read_bpf_options(const struct nlattr *options,
			     struct hook_prog *prog)
{
	const struct nlattr *attr;

	mnl_attr_for_each_nested(attr, options)
	{
		switch (mnl_attr_get_type(attr)) {
		case TCA_BPF_NAME:
			snprintf(prog->name, sizeof(prog->name), "%s",
				 netlink_str(attr));
			break;
		case TCA_BPF_ID:
			prog->id = netlink_u32(attr);
			break;
		}
	}
}

/*
 * While programs are being put in, one that is hooked may be pinned nowhere.
 * On an uplink of ours, in our place, with our name, it is ours.
 */
static bool is_unpinned(const struct instance *instance, uint32_t ifindex,
			const struct hook_prog *prog)
{
	int ifaces = instance->map[MAP_masq_ifaces];
	struct masq_iface iface;

	return instance->unsettled && prog->masqbpf &&
	       prog->handle == TC_HANDLE &&
	       (prog->priority == TC_PRIORITY_INGRESS ||
		prog->priority == TC_PRIORITY_EGRESS) &&
	       (ifaces < 0 || !bpf_map_lookup_elem(ifaces, &ifindex, &iface));
}

static int tc_message(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *kind = NULL, *options = NULL, *attr;
	struct tc_dump *dump = data;
	struct hook_prog *prog;
	int err;

	/* each priority is announced by a message without a handle */
	if (message->nlmsg_type != RTM_NEWTFILTER || !info->tcm_handle)
		return 0;
	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		if (mnl_attr_get_type(attr) == TCA_KIND)
			kind = attr;
		else if (mnl_attr_get_type(attr) == TCA_OPTIONS)
			options = attr;
	}
	prog = chain_add(dump->chain);
	if (!prog)
		return -ENOMEM;
	prog->kind = HOOK_TC;
	prog->handle = info->tcm_handle;
	prog->priority = TC_H_MAJ(info->tcm_info) >> 16;
	snprintf(prog->type, sizeof(prog->type), "%s",
		 kind ? netlink_str(kind) : "?");
	if (options && !strcmp(prog->type, "bpf"))
		read_bpf_options(options, prog);
	err = chain_judge(dump->instance, prog);
	if (!err && !prog->ours)
		prog->ours =
			is_unpinned(dump->instance, info->tcm_ifindex, prog);
	return err;
}

struct qdisc_dump {
	uint32_t ifindex;
	struct clsact_qdisc found;
};

static void begin_qdiscs(void *data)
{
	((struct qdisc_dump *)data)->found = (struct clsact_qdisc){};
}

static int qdisc_message(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	struct qdisc_dump *dump = data;
	const struct nlattr *attr;

	/* the kernel dumps those of all links */
	if ((uint32_t)info->tcm_ifindex != dump->ifindex ||
	    info->tcm_parent != TC_H_CLSACT)
		return 0;
	dump->found.exists = true;
	mnl_attr_for_each(attr, message, sizeof(*info))
	{
		switch (mnl_attr_get_type(attr)) {
		case TCA_KIND:
			dump->found.ingress =
				!strcmp(netlink_str(attr), "ingress");
			break;
		case TCA_INGRESS_BLOCK:
		case TCA_EGRESS_BLOCK:
			dump->found.shared = true;
			break;
		}
	}
	return 0;
}

int clsact_qdisc(uint32_t ifindex, struct clsact_qdisc *qdisc)
{
	struct tcmsg request = { .tcm_family = AF_UNSPEC };
	struct qdisc_dump dump = { .ifindex = ifindex };
	int err = netlink_dump(RTM_GETQDISC, &request, sizeof(request),
			       qdisc_message, begin_qdiscs, &dump);

	*qdisc = dump.found;
	return err;
}

int clsact_is_ingress(uint32_t ifindex, bool *has)
{
	struct clsact_qdisc qdisc;
	int err = clsact_qdisc(ifindex, &qdisc);

	*has = qdisc.ingress;
	return err;
}

struct links_dump {
	uint32_t *ifindexes;
	size_t count;
};

static void begin_links(void *data)
{
	((struct links_dump *)data)->count = 0;
}

static int links_message(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	struct links_dump *dump = data;
	uint32_t *more;

	if (info->tcm_parent != TC_H_CLSACT)
		return 0;
	more = reallocarray(dump->ifindexes, dump->count + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	dump->ifindexes = more;
	more[dump->count++] = info->tcm_ifindex;
	return 0;
}

int clsact_links(uint32_t **ifindexes, size_t *count)
{
	struct tcmsg request = { .tcm_family = AF_UNSPEC };
	struct links_dump dump = {};
	int err = netlink_dump(RTM_GETQDISC, &request, sizeof(request),
			       links_message, begin_links, &dump);

	if (err) {
		free(dump.ifindexes);
		dump = (struct links_dump){};
	}
	*ifindexes = dump.ifindexes;
	*count = dump.count;
	return err;
}

/* Ours for the egress is in none but clsact: no need to look. */
static bool has_our_egress(const struct hook_chain *chain, size_t from)
{
	for (size_t i = from; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		if (p->ours && (!strncmp(p->name, "masq_egress", 11) ||
				!strcmp(p->name, "masq_pod_out")))
			return true;
	}
	return false;
}

int clsact_chain(const struct instance *instance, uint32_t ifindex,
		 enum hook_dir dir, struct hook_chain *chain)
{
	struct tcmsg request = {
		.tcm_family = AF_UNSPEC,
		.tcm_ifindex = ifindex,
		.tcm_parent = TC_H_MAKE(TC_H_CLSACT, dir == HOOK_INGRESS
							     ? TC_H_MIN_INGRESS
							     : TC_H_MIN_EGRESS),
	};
	struct tc_dump dump = {
		.instance = instance,
		.chain = chain,
		.before = chain->count,
	};
	bool ingress = false;
	int err;

	err = netlink_dump(RTM_GETTFILTER, &request, sizeof(request),
			   tc_message, begin_tc, &dump);
	if (!err && dir == HOOK_EGRESS && chain->count > dump.before &&
	    !has_our_egress(chain, dump.before))
		err = clsact_is_ingress(ifindex, &ingress);
	if (ingress)
		chain->count = dump.before;
	return err;
}

/*
 * libbpf refuses a struct whose last bytes are not zero, be they padding, which
 * an initializer need not touch: hence memset.
 */
static void tc_hook_init(struct bpf_tc_hook *hook, uint32_t ifindex,
			 enum hook_dir dir)
{
	memset(hook, 0, sizeof(*hook));
	hook->sz = sizeof(*hook);
	hook->ifindex = ifindex;
	hook->attach_point = dir == HOOK_INGRESS ? BPF_TC_INGRESS
						 : BPF_TC_EGRESS;
}

static void tc_opts_init(struct bpf_tc_opts *opts, enum hook_dir dir)
{
	memset(opts, 0, sizeof(*opts));
	opts->sz = sizeof(*opts);
	opts->handle = TC_HANDLE;
	opts->priority = clsact_priority(dir);
}

static void qdisc_note(uint32_t ifindex, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, "masq_clsact_%u", ifindex);
}

/*
 * clsact is there afterwards, whoever made it. 0 or -errno. The note is first:
 * of one that is not noted nobody would know that it has to go.
 */
static int make_qdisc(const struct instance *instance, uint32_t ifindex,
		      struct bpf_tc_hook *hook)
{
	struct clsact_qdisc there;
	char name[TCX_PIN_MAX];
	int err = clsact_qdisc(ifindex, &there);

	if (err || there.exists)
		return err;
	qdisc_note(ifindex, name);
	err = pin_note(instance, name);
	if (err)
		return err;
	err = bpf_tc_hook_create(hook);
	if (err)
		unlinkat(instance->lock_fd, name, 0);
	return err == -EEXIST ? 0 : err; /* somebody was faster */
}

int clsact_attach(const struct instance *instance,
		  const struct netdev_link *link, enum hook_dir dir)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int err;

	tc_hook_init(&hook, link->ifindex, dir);
	tc_opts_init(&opts, dir);
	opts.prog_fd = chain_prog_for(instance, link, dir);
	err = make_qdisc(instance, link->ifindex, &hook);
	return err ?: bpf_tc_attach(&hook, &opts);
}

int clsact_replace(uint32_t ifindex, enum hook_dir dir,
		   const struct hook_prog *old, int prog)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	tc_hook_init(&hook, ifindex, dir);
	tc_opts_init(&opts, dir);
	opts.handle = old->handle;
	opts.priority = old->priority;
	opts.prog_fd = prog;
	opts.flags = BPF_TC_F_REPLACE;
	return bpf_tc_attach(&hook, &opts);
}

void clsact_note_again(const struct instance *instance, uint32_t ifindex)
{
	char name[TCX_PIN_MAX];

	qdisc_note(ifindex, name);
	if (pin_is_noted(instance, name))
		pin_note(instance, name);
}

void clsact_drop(const struct instance *instance, uint32_t ifindex)
{
	struct bpf_tc_hook hook;
	char name[TCX_PIN_MAX];
	int err = 0;

	qdisc_note(ifindex, name);
	if (!pin_is_noted(instance, name))
		return;
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		struct hook_chain chain = {};

		err = clsact_chain(instance, ifindex, dir, &chain);
		if (!err && chain.count)
			err = -EBUSY;
		free(chain.progs);
	}
	if (err) /* somebody's filter is there, or may be */
		return;
	tc_hook_init(&hook, ifindex, HOOK_INGRESS);
	hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	bpf_tc_hook_destroy(&hook);
	unlinkat(instance->lock_fd, name, 0);
}

static int detach_at(uint32_t ifindex, enum hook_dir dir, uint32_t handle,
		     uint32_t priority)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	tc_hook_init(&hook, ifindex, dir);
	tc_opts_init(&opts, dir);
	opts.handle = handle;
	opts.priority = priority;
	return bpf_tc_detach(&hook, &opts);
}

int clsact_detach(const struct netdev_link *link, enum hook_dir dir)
{
	return detach_at(link->ifindex, dir, TC_HANDLE, clsact_priority(dir));
}

bool clsact_is_there(const struct hook_chain *chain, enum hook_dir dir)
{
	for (size_t i = 0; i < chain->count; i++)
		if (chain->progs[i].kind == HOOK_TC && chain->progs[i].ours &&
		    chain->progs[i].handle == TC_HANDLE &&
		    chain->progs[i].priority == clsact_priority(dir))
			return true;
	return false;
}

/* --- watches ------------------------------------------------------------ */

const struct hook_prog *clsact_beside(const struct instance *instance,
				      const struct hook_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		if (p->kind != HOOK_TC || p->handle != TC_HANDLE_BESIDE)
			continue;
		/* while programs are being put in it may be pinned nowhere */
		if (p->ours || (instance->unsettled &&
				!strncmp(p->name, "masq_beside", 11)))
			return p;
	}
	return NULL;
}

int clsact_attach_beside(const struct instance *instance, uint32_t ifindex,
			 int prog)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int err;

	tc_hook_init(&hook, ifindex, HOOK_INGRESS);
	err = make_qdisc(instance, ifindex, &hook);
	for (int i = 0; i < TC_BESIDE_TRIES && !err; i++) {
		tc_opts_init(&opts, HOOK_INGRESS);
		opts.handle = TC_HANDLE_BESIDE;
		opts.priority = TC_PRIORITY_BESIDE + i;
		opts.prog_fd = prog;
		err = bpf_tc_attach(&hook, &opts);
		/* another instance's watch, a filter of another kind */
		if (err != -EEXIST && err != -EINVAL)
			return err;
		err = 0;
	}
	return err ?: -EOPNOTSUPP;
}

int clsact_detach_beside(uint32_t ifindex, const struct hook_prog *beside)
{
	return detach_at(ifindex, HOOK_INGRESS, beside->handle,
			 beside->priority);
}

/* --- pods ---------------------------------------------------------------- */

bool clsact_pod(const struct instance *instance, const struct hook_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		if (p->kind == HOOK_TC && p->handle == TC_HANDLE_POD &&
		    p->priority == TC_PRIORITY_POD &&
		    (p->ours || (instance->unsettled &&
				 !strncmp(p->name, "masq_pod_", 9))))
			return true;
	}
	return false;
}

int clsact_attach_pod(const struct instance *instance, uint32_t ifindex,
		      enum hook_dir dir, int prog)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int err;

	tc_hook_init(&hook, ifindex, dir);
	err = make_qdisc(instance, ifindex, &hook);
	tc_opts_init(&opts, dir);
	opts.handle = TC_HANDLE_POD;
	opts.priority = TC_PRIORITY_POD;
	opts.prog_fd = prog;
	return err ?: bpf_tc_attach(&hook, &opts);
}

int clsact_detach_pod(uint32_t ifindex, enum hook_dir dir)
{
	return detach_at(ifindex, dir, TC_HANDLE_POD, TC_PRIORITY_POD);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * hook.c - attaching to links by TCX or clsact.
 *
 * TCX: a pinned link per direction, pin tcx_DIRECTION_IFINDEX. When its
 * device goes, the pin stays and the link says ifindex 0.
 * clsact: a direct-action filter per direction with a handle and priority of
 * our own; it is ours when its program is one of the instance's. A clsact
 * qdisc that we made is noted by a pin, and goes with us when nobody uses it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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
#include <sys/file.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netlink.h"
#include "plane/hook.h"
#include "plane/pinname.h"

/* Of linux/bpf.h since 6.6; Debian 12's headers are older. */
#define TCX_INGRESS   46
#define TCX_EGRESS    47
#define LINK_TYPE_TCX 11
#define F_BEFORE      (1U << 3) /* without a program to be before: the first */
#define F_AFTER	      (1U << 4) /* the last */

/*
 * Priorities: ingress undoes the translation before anybody else looks, and
 * egress translates what others have finished with. tc gives filters without
 * a priority 0xc000 and below, so egress is behind those. Not 1: everybody
 * takes 1. The handle only has to be one that nobody else would choose.
 */
#define TC_PRIORITY_INGRESS 3
#define TC_PRIORITY_EGRESS  0xc7e0
#define TC_HANDLE	    0x6d617371 /* "masq" */

#define TURN_MS		    2000
#define TURN_POLL_MS	    10

const char *hook_kind_name(enum hook_kind kind)
{
	static const char *const names[] = { "tcx", "tc", "auto" };

	return names[kind];
}

const char *hook_dir_name(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? "ingress" : "egress";
}

static enum bpf_attach_type tcx_type(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? TCX_INGRESS : TCX_EGRESS;
}

static uint32_t tc_priority(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? TC_PRIORITY_INGRESS : TC_PRIORITY_EGRESS;
}

static int prog_for(const struct instance *instance,
		    const struct netdev_link *link, enum hook_dir dir)
{
	bool ethernet = netdev_is_ethernet(link);

	if (dir == HOOK_INGRESS)
		return instance->prog[ethernet ? PROG_masq_ingress
					       : PROG_masq_ingress_l3];
	return instance
		->prog[ethernet ? PROG_masq_egress : PROG_masq_egress_l3];
}

/*
 * Is it a program of this instance? Then its name, too (if wanted). 0 or
 * -errno: who cannot tell must not take ours for another's, nor for gone.
 */
static int is_ours(const struct instance *instance, uint32_t id, char *name,
		   size_t len, bool *ours)
{
	*ours = false;
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		struct bpf_prog_info info = {};
		uint32_t length = sizeof(info);
		int err;

		if (instance->prog[i] < 0)
			continue;
		err = bpf_obj_get_info_by_fd(instance->prog[i], &info, &length);
		if (err)
			return err;
		if (info.id != id)
			continue;
		snprintf(name, len, "%s", info.name);
		*ours = true;
		break;
	}
	return 0;
}

#define TCX_PIN_MAX 64
/* fast path, on the pods' interfaces */
#define TCX_POD_PREFIX "tcx_pod_"

static void tcx_pin_name(uint32_t ifindex, enum hook_dir dir, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, "tcx_%s_%u", hook_dir_name(dir), ifindex);
}

/* --- what is there ----------------------------------------------------- */

static struct hook_prog *chain_add(struct hook_chain *chain)
{
	struct hook_prog *progs =
		reallocarray(chain->progs, chain->count + 1, sizeof(*progs));

	if (!progs)
		return NULL;
	chain->progs = progs;
	progs += chain->count++;
	*progs = (struct hook_prog){};
	return progs;
}

/* Needs CAP_SYS_ADMIN; without it the program has no name. */
static void read_name(struct hook_prog *prog)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog->id);

	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &length))
		snprintf(prog->name, sizeof(prog->name), "%s", info.name);
	close(fd);
}

static int judge(const struct instance *instance, struct hook_prog *prog)
{
	int err;

	if (!prog->id)
		return 0;
	err = is_ours(instance, prog->id, prog->name, sizeof(prog->name),
		      &prog->ours);
	if (err)
		return err;
	if (!prog->ours)
		read_name(prog); /* better than the one that tc was given */
	prog->masqbpf = prog->ours || !strncmp(prog->name, "masq_egress", 11) ||
			!strncmp(prog->name, "masq_ingress", 12);
	return 0;
}

/*
 * The ids of a TCX chain: their number, or -errno; -EINVAL: this kernel has no
 * TCX. *ids is to be freed in every case: a chain may be there and empty.
 */
static int query_tcx(uint32_t ifindex, enum hook_dir dir, uint32_t **ids)
{
	uint32_t room = 16, count;
	int err;

	for (;; room = count) {
		*ids = calloc(room, sizeof(**ids));
		if (!*ids)
			return -ENOMEM;
		count = room;
		/* a TCX chain is found by its ifindex instead of an fd */
		err = bpf_prog_query(ifindex, tcx_type(dir), 0, NULL, *ids,
				     &count);
		if (!err && count <= room)
			return count;
		free(*ids);
		*ids = NULL;
		if (err == -ENOENT) /* nothing was ever attached */
			return 0;
		if (err != -ENOSPC)
			return err ?: -EPROTO;
	}
}

bool hook_have_tcx(uint32_t ifindex)
{
	uint32_t *ids;
	int n = query_tcx(ifindex, HOOK_INGRESS, &ids);

	free(ids);
	return n != -EINVAL;
}

/*
 * Without CAP_SYS_ADMIN, which no agent has, a program has no name. The pins
 * of an instance beside ours tell as well.
 */
static int tcx_pinned_beside(const struct instance *instance, uint32_t ifindex,
			     enum hook_dir dir, uint32_t id, bool *found)
{
	char parent[sizeof(instance->pin_dir) + 4], name[TCX_PIN_MAX];
	char path[sizeof(parent) + NAME_MAX + sizeof(name) + 2];
	const struct dirent *entry;
	int err = 0;
	DIR *dirs;

	snprintf(parent, sizeof(parent), "%s/..", instance->pin_dir);
	tcx_pin_name(ifindex, dir, name);
	dirs = opendir(parent);
	if (!dirs) /* a directory that is closed to us tells nothing */
		return errno == EACCES ? 0 : -errno;
	while (!*found && !err && (entry = readdir(dirs))) {
		struct bpf_link_info info = {};
		uint32_t length = sizeof(info);
		struct stat st;
		int fd;

		snprintf(path, sizeof(path), "%s/%s/%s", parent, entry->d_name,
			 name);
		if (lstat(path, &st))
			continue;
		fd = bpf_obj_get(path);
		if (fd == -ENOENT || fd == -EACCES || fd == -EPERM)
			continue;
		if (fd < 0) {
			err = fd;
			break;
		}
		err = bpf_obj_get_info_by_fd(fd, &info, &length);
		*found = !err && info.prog_id == id;
		close(fd);
	}
	closedir(dirs);
	return err;
}

static int add_tcx(const struct instance *instance, uint32_t ifindex,
		   enum hook_dir dir, struct hook_chain *chain)
{
	uint32_t *ids;
	int n = query_tcx(ifindex, dir, &ids), err = 0;

	if (n == -EINVAL)
		return 0;
	if (n < 0)
		return n;
	for (int i = 0; i < n && !err; i++) {
		struct hook_prog *prog = chain_add(chain);

		if (!prog) {
			err = -ENOMEM;
			break;
		}
		prog->kind = HOOK_TCX;
		prog->id = ids[i];
		err = judge(instance, prog);
		if (!err && !*prog->name)
			err = tcx_pinned_beside(instance, ifindex, dir,
						prog->id, &prog->masqbpf);
	}
	free(ids);
	return err;
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

static int tc_message(const struct nlmsghdr *message, void *data)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *kind = NULL, *options = NULL, *attr;
	struct tc_dump *dump = data;
	struct hook_prog *prog;

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
	return judge(dump->instance, prog);
}

struct qdisc_dump {
	uint32_t ifindex;
	bool ingress;
};

static void begin_qdiscs(void *data)
{
	((struct qdisc_dump *)data)->ingress = false;
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
	mnl_attr_for_each(attr, message,
			  sizeof(*info)) if (mnl_attr_get_type(attr) ==
					     TCA_KIND)
		dump->ingress = !strcmp(netlink_str(attr), "ingress");
	return 0;
}

/*
 * Is there an "ingress" qdisc in the place of clsact? It has only the one
 * chain, and takes what is meant for the egress one of clsact into it. (To
 * ask for one qdisc would notify everybody who listens for changes.)
 */
static int has_ingress_qdisc(uint32_t ifindex, bool *has)
{
	struct tcmsg request = { .tcm_family = AF_UNSPEC };
	struct qdisc_dump dump = { .ifindex = ifindex };
	int err = netlink_dump(RTM_GETQDISC, &request, sizeof(request),
			       qdisc_message, begin_qdiscs, &dump);

	*has = dump.ingress;
	return err;
}

static int add_tc(const struct instance *instance, uint32_t ifindex,
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
	if (!err && dir == HOOK_EGRESS && chain->count > dump.before)
		err = has_ingress_qdisc(ifindex, &ingress);
	if (ingress)
		chain->count = dump.before;
	return err;
}

static int say_unread(const struct netdev_link *link, enum hook_dir dir,
		      int err)
{
	log_error("%s: cannot read the %s hooks: %s", link->name,
		  hook_dir_name(dir),
		  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

int hook_chain(const struct instance *instance, const struct netdev_link *link,
	       enum hook_dir dir, struct hook_chain *chain)
{
	int err;

	*chain = (struct hook_chain){};
	/* the kernel runs TCX before clsact, both ways */
	err = add_tcx(instance, link->ifindex, dir, chain);
	if (!err)
		err = add_tc(instance, link->ifindex, dir, chain);
	if (err) {
		say_unread(link, dir, err);
		free(chain->progs);
		chain->progs = NULL;
	}
	return err;
}

/* --- TCX links --------------------------------------------------------- */

/*
 * The ifindex of the pinned link (0: its device is gone), or -errno; -ENOENT:
 * there is no such pin, -EPROTOTYPE: it is something else.
 */
static int64_t tcx_pinned(const struct instance *instance, const char *name)
{
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX];
	struct bpf_link_info info = {};
	uint32_t length = sizeof(info);
	int fd, err;

	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	close(fd);
	if (err || info.type != LINK_TYPE_TCX)
		return err ?: -EPROTOTYPE;
	/* info.tcx is younger than the headers; it starts as info.xdp does */
	return info.xdp.ifindex;
}

/* Is there a pinned link of this name, on this device? 0 or -errno. */
static int tcx_has(const struct instance *instance, const char *name,
		   uint32_t ifindex, bool *has)
{
	int64_t pinned = tcx_pinned(instance, name);

	*has = pinned == ifindex;
	return pinned >= 0 || pinned == -ENOENT || pinned == -EPROTOTYPE
		       ? 0
		       : (int)pinned;
}

static int tcx_unpin(const struct instance *instance, const char *name)
{
	return unlinkat(instance->lock_fd, name, 0) ? -errno : 0;
}

/* Attaches and pins; a pin of a device that is gone gives way. */
static int tcx_pin(const struct instance *instance, uint32_t ifindex,
		   enum hook_dir dir, int prog,
		   const struct bpf_link_create_opts *opts, const char *name)
{
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX];
	int fd, err;

	err = tcx_unpin(instance, name);
	if (err && err != -ENOENT)
		return err;
	fd = bpf_link_create(prog, ifindex, tcx_type(dir), opts);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	err = bpf_obj_pin(fd, path);
	close(fd); /* not pinned: the kernel detaches it now */
	return err;
}

static int tcx_attach(const struct instance *instance,
		      const struct netdev_link *link, enum hook_dir dir)
{
	char name[TCX_PIN_MAX];
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = dir == HOOK_INGRESS ? F_BEFORE : F_AFTER);

	tcx_pin_name(link->ifindex, dir, name);
	return tcx_pin(instance, link->ifindex, dir,
		       prog_for(instance, link, dir), &opts, name);
}

static int tcx_detach(const struct instance *instance,
		      const struct netdev_link *link, enum hook_dir dir)
{
	char name[TCX_PIN_MAX];

	tcx_pin_name(link->ifindex, dir, name);
	return tcx_unpin(instance, name);
}

int hook_attach_pod(const struct instance *instance,
		    const struct netdev_link *link)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = F_AFTER);
	int err = 0;

	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		char name[TCX_PIN_MAX];
		int prog =
			instance->prog[dir == HOOK_INGRESS ? PROG_masq_pod_in
							   : PROG_masq_pod_out];
		bool has;

		snprintf(name, sizeof(name), TCX_POD_PREFIX "%s_%u",
			 hook_dir_name(dir), link->ifindex);
		err = tcx_has(instance, name, link->ifindex, &has);
		if (!err && !has)
			err = tcx_pin(instance, link->ifindex, dir, prog, &opts,
				      name);
	}
	if (err && err != -ENODEV)
		log_error("%s: fast path: tcx: %s", link->name,
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN));
	return err;
}

/* --- clsact filters ---------------------------------------------------- */

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
	opts->priority = tc_priority(dir);
}

/* Any program serves as a note: all that can be pinned are BPF objects. */
static void qdisc_note(uint32_t ifindex, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, "masq_clsact_%u", ifindex);
}

static void note_qdisc(const struct instance *instance, uint32_t ifindex)
{
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX], name[TCX_PIN_MAX];

	qdisc_note(ifindex, name);
	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	bpf_obj_pin(instance->prog[PROG_masq_ctl], path);
}

static int tc_attach(const struct instance *instance,
		     const struct netdev_link *link, enum hook_dir dir)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;
	int err;

	tc_hook_init(&hook, link->ifindex, dir);
	tc_opts_init(&opts, dir);
	opts.prog_fd = prog_for(instance, link, dir);
	err = bpf_tc_hook_create(&hook);
	/* -EEXIST: clsact is there, whoever made it */
	if (err && err != -EEXIST)
		return err;
	if (!err)
		note_qdisc(instance, link->ifindex);
	return bpf_tc_attach(&hook, &opts);
}

/* Removes the clsact qdisc if we made it and nobody has a filter there. */
static void drop_qdisc(const struct instance *instance, uint32_t ifindex)
{
	struct bpf_tc_hook hook;
	char name[TCX_PIN_MAX];
	struct stat st;
	int err = 0;

	qdisc_note(ifindex, name);
	if (fstatat(instance->lock_fd, name, &st, AT_SYMLINK_NOFOLLOW))
		return;
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		struct hook_chain chain = {};

		err = add_tc(instance, ifindex, dir, &chain);
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

static int tc_detach(const struct netdev_link *link, enum hook_dir dir)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts opts;

	tc_hook_init(&hook, link->ifindex, dir);
	tc_opts_init(&opts, dir);
	return bpf_tc_detach(&hook, &opts);
}

/* --- both -------------------------------------------------------------- */

static int attach_one(const struct instance *instance,
		      const struct netdev_link *link, enum hook_kind kind,
		      enum hook_dir dir)
{
	int err = kind == HOOK_TCX ? tcx_attach(instance, link, dir)
				   : tc_attach(instance, link, dir);

	if (err)
		log_error("%s: attach: %s %s: %s%s", link->name,
			  hook_kind_name(kind), hook_dir_name(dir),
			  caps_strerror(err, CAPS_BPF | CAPS_NET_ADMIN),
			  err == -EINVAL && kind == HOOK_TC
				  ? " (an ingress qdisc where clsact is "
				    "needed?)"
				  : "");
	return err;
}

static int detach_one(const struct instance *instance,
		      const struct netdev_link *link, enum hook_kind kind,
		      enum hook_dir dir)
{
	int err = kind == HOOK_TCX ? tcx_detach(instance, link, dir)
				   : tc_detach(link, dir);

	if (err)
		log_error("%s: detach: %s %s: %s", link->name,
			  hook_kind_name(kind), hook_dir_name(dir),
			  caps_strerror(err, CAPS_NET_ADMIN));
	return err;
}

static bool chain_has_tc(const struct hook_chain *chain, enum hook_dir dir)
{
	for (size_t i = 0; i < chain->count; i++)
		if (chain->progs[i].kind == HOOK_TC && chain->progs[i].ours &&
		    chain->progs[i].handle == TC_HANDLE &&
		    chain->progs[i].priority == tc_priority(dir))
			return true;
	return false;
}

int hook_find(const struct instance *instance, const struct netdev_link *link,
	      struct hook_set *set)
{
	*set = (struct hook_set){};
	for (enum hook_dir dir = 0; dir < HOOK_DIRS; dir++) {
		struct hook_chain chain;
		char name[TCX_PIN_MAX];
		int err = hook_chain(instance, link, dir, &chain);

		if (err)
			return err;
		tcx_pin_name(link->ifindex, dir, name);
		set->has[HOOK_TC][dir] = chain_has_tc(&chain, dir);
		free(chain.progs);
		err = tcx_has(instance, name, link->ifindex,
			      &set->has[HOOK_TCX][dir]);
		if (err)
			return say_unread(link, dir, err);
	}
	return 0;
}

enum hook_kind hook_set_kind(const struct hook_set *set)
{
	for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
		if (set->has[kind][HOOK_INGRESS] && set->has[kind][HOOK_EGRESS])
			return kind;
	for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
		if (set->has[kind][HOOK_INGRESS] || set->has[kind][HOOK_EGRESS])
			return kind;
	return HOOK_AUTO;
}

/* Nothing there that forbids ours? */
static int check_chain(const struct netdev_link *link, enum hook_dir dir,
		       enum hook_kind kind, const struct hook_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		const struct hook_prog *p = &chain->progs[i];

		if (p->ours)
			continue;
		if (p->masqbpf && p->kind == HOOK_TCX) {
			log_error("%s: attach: belongs to another instance of "
				  "masqbpf (program %u on %s): see --pin-dir",
				  link->name, p->id, hook_dir_name(dir));
			return -EBUSY;
		}
		if (p->masqbpf) {
			log_error("%s: attach: belongs to another instance of "
				  "masqbpf: see --pin-dir, or, when its pins "
				  "are gone: tc filter del dev %s %s prio %u "
				  "handle %#x bpf",
				  link->name, link->name, hook_dir_name(dir),
				  p->priority, p->handle);
			return -EBUSY;
		}
		if (kind == HOOK_TC && p->kind == HOOK_TC &&
		    p->priority == tc_priority(dir)) {
			log_error("%s: attach: tc %s priority %u is taken by "
				  "a filter that is not ours (%s %s)",
				  link->name, hook_dir_name(dir), p->priority,
				  p->type, p->name);
			return -EEXIST;
		}
	}
	return 0;
}

int hook_check(const struct instance *instance, const struct netdev_link *link,
	       enum hook_kind *kind)
{
	struct hook_set set;
	bool ingress;
	int err = hook_find(instance, link, &set);

	if (err)
		return err;
	if (*kind == HOOK_AUTO)
		*kind = hook_set_kind(&set);
	if (*kind == HOOK_AUTO)
		*kind = hook_have_tcx(link->ifindex) ? HOOK_TCX : HOOK_TC;
	err = has_ingress_qdisc(link->ifindex, &ingress);
	if (err) {
		log_error("%s: attach: cannot read the qdiscs: %s", link->name,
			  strerror(-err));
		return err;
	}
	if (*kind == HOOK_TC && ingress) {
		log_error("%s: attach: an ingress qdisc is in the place of "
			  "clsact; when nobody needs it: tc qdisc del dev %s "
			  "ingress",
			  link->name, link->name);
		return -EEXIST;
	}
	if (*kind == HOOK_TCX && !hook_have_tcx(link->ifindex)) {
		log_error("%s: attach: this kernel has no TCX (it came with "
			  "6.6): --hook tc",
			  link->name);
		return -EOPNOTSUPP;
	}
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		struct hook_chain chain;

		err = hook_chain(instance, link, dir, &chain);
		if (err)
			break;
		err = check_chain(link, dir, *kind, &chain);
		free(chain.progs);
	}
	return err;
}

int hook_turn(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

	for (int waited = 0;
	     fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) && waited < TURN_MS;
	     waited += TURN_POLL_MS)
		usleep(TURN_POLL_MS * 1000);
	return fd;
}

/* At once: a link that loses its pin is let go of by the kernel later. */
static int tcx_let_go(const struct instance *instance, uint32_t ifindex,
		      enum hook_dir dir)
{
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX], name[TCX_PIN_MAX];
	int fd, err;

	tcx_pin_name(ifindex, dir, name);
	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return fd;
	err = bpf_link_detach(fd);
	close(fd);
	return err;
}

/* Is one of ours where it has to be: egress last, ingress first? */
static int tcx_in_place(const struct instance *instance, uint32_t ifindex,
			enum hook_dir dir, bool *in_place)
{
	char name[64];
	uint32_t *ids;
	int n = query_tcx(ifindex, dir, &ids), err = 0;

	if (n < 0)
		return n;
	if (n)
		err = is_ours(instance, ids[dir == HOOK_INGRESS ? 0 : n - 1],
			      name, sizeof(name), in_place);
	else
		*in_place = false;
	free(ids);
	return err;
}

/*
 * Others have come behind our egress or before our ingress since. A link does
 * not move: it is made anew, and a filter stands in for it meanwhile, so that
 * no packet gets by. Where that cannot be, the order stays and is told.
 */
static int tcx_restore_place(const struct instance *instance,
			     const struct netdev_link *link, enum hook_dir dir)
{
	bool in_place = true, ingress = false;
	int err = tcx_in_place(instance, link->ifindex, dir, &in_place);

	if (err)
		return say_unread(link, dir, err);
	if (in_place)
		return 0;
	err = has_ingress_qdisc(link->ifindex, &ingress);
	if (!err)
		err = ingress ? -EEXIST : tc_attach(instance, link, dir);
	if (err) {
		log_warn("%s: attach: cannot be the %s program of %s again: no "
			 "filter can stand in meanwhile: %s",
			 link->name, dir == HOOK_INGRESS ? "first" : "last",
			 hook_dir_name(dir), strerror(-err));
		return 0;
	}
	err = tcx_let_go(instance, link->ifindex, dir);
	if (err)
		log_error("%s: attach: cannot move the tcx link of %s: %s",
			  link->name, hook_dir_name(dir), strerror(-err));
	else
		err = attach_one(instance, link, HOOK_TCX, dir);
	if (err) /* the filter stays in the link's place */
		return err;
	err = detach_one(instance, link, HOOK_TC, dir);
	drop_qdisc(instance, link->ifindex);
	return err;
}

int hook_attach(const struct instance *instance, const struct netdev_link *link,
		enum hook_kind kind, struct hook_set *added,
		int (*between)(void *data), void *data)
{
	struct hook_set other, set;
	int err;

	*added = (struct hook_set){};
	err = hook_find(instance, link, &set);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++) {
		if (dir == HOOK_EGRESS && between)
			err = between(data);
		if (err || set.has[kind][dir])
			continue;
		err = attach_one(instance, link, kind, dir);
		added->has[kind][dir] = !err;
	}
	if (err)
		return err;
	/*
	 * Both kinds for less than a millisecond: the seal (bpf/common.h)
	 * keeps the second from what the first has translated. The other
	 * order would let packets out with a pod's address.
	 */
	other = set;
	memset(other.has[kind], 0, sizeof(other.has[kind]));
	err = hook_detach(instance, link, &other);
	for (enum hook_dir dir = 0; dir < HOOK_DIRS && !err; dir++)
		if (kind == HOOK_TCX)
			err = tcx_restore_place(instance, link, dir);
	return err;
}

int hook_detach(const struct instance *instance, const struct netdev_link *link,
		const struct hook_set *set)
{
	int err = 0;

	for (int dir = HOOK_DIRS - 1; dir >= 0; dir--)
		for (enum hook_kind kind = 0; kind < HOOK_KINDS; kind++)
			if (set->has[kind][dir])
				err = detach_one(instance, link, kind, dir)
					      ?: err;
	if (!err)
		drop_qdisc(instance, link->ifindex);
	return err;
}

/* Unpins the links of this name; only those without device, or all. */
static int unpin_links(const struct instance *instance, const char *prefix,
		       bool all)
{
	DIR *dir = opendir(instance->pin_dir);
	struct dirent *entry;
	int err = dir ? 0 : -errno;

	while (dir && !err && (entry = readdir(dir))) {
		if (strncmp(entry->d_name, prefix, strlen(prefix)) ||
		    !pin_is_ours(entry->d_name))
			continue;
		if (all || !tcx_pinned(instance, entry->d_name))
			err = tcx_unpin(instance, entry->d_name);
	}
	if (dir)
		closedir(dir);
	if (err)
		log_error("%s: cannot remove pinned links: %s",
			  instance->pin_dir, strerror(-err));
	return err;
}

int hook_prune(const struct instance *instance)
{
	return unpin_links(instance, "tcx_", false);
}

int hook_detach_all(const struct instance *instance,
		    const struct netdev *netdev)
{
	struct hook_set *sets = calloc(netdev->link_count + 1, sizeof(*sets));
	int err = sets ? 0 : -ENOMEM;

	/* who may not look at the hooks of a link may not change them either */
	for (size_t i = 0; i < netdev->link_count && !err; i++)
		err = hook_find(instance, &netdev->links[i], &sets[i]);
	for (size_t i = 0; i < netdev->link_count && !err; i++)
		err = hook_detach(instance, &netdev->links[i], &sets[i]);
	if (!err)
		err = unpin_links(instance, TCX_POD_PREFIX, true);
	/* of links that are gone, or in another network namespace */
	for (int dir = HOOK_DIRS - 1; dir >= 0 && !err; dir--) {
		char prefix[TCX_PIN_MAX];

		snprintf(prefix, sizeof(prefix), "tcx_%s_", hook_dir_name(dir));
		err = unpin_links(instance, prefix, true);
	}
	free(sets);
	return err;
}

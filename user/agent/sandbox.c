// SPDX-License-Identifier: GPL-2.0-only
/*
 * sandbox.c - user, capabilities, system calls.
 *
 * Maps that are open can be read and changed without any capability from
 * kernel 5.19 on; whether this one is so is found out by trying.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "agent/sandbox.h"
#include "base/cidr.h"
#include "base/log.h"
#include "base/reject.h"

/* --- user -------------------------------------------------------------- */

int sandbox_user_parse(const char *text, struct sandbox_user *out, char *err,
		       size_t errlen)
{
	const struct passwd *user;
	uint64_t number;

	if (!number_parse(text, 0, UINT32_MAX - 1, &number, NULL, 0)) {
		*out = (struct sandbox_user){ number, number };
		return 0;
	}
	user = getpwnam(text);
	if (!user)
		return reject(err, errlen, "no such user");
	*out = (struct sandbox_user){ user->pw_uid, user->pw_gid };
	return 0;
}

/* --- system calls ------------------------------------------------------ */

/* Memory, files that are open, time, memory of threads. */
static const int common_calls[] = {
	SCMP_SYS(read),
	SCMP_SYS(readv),
	SCMP_SYS(pread64),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	SCMP_SYS(close),
	SCMP_SYS(lseek),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(stat),
	SCMP_SYS(lstat),
	SCMP_SYS(statx),
	SCMP_SYS(fcntl),
	SCMP_SYS(flock),
	SCMP_SYS(brk),
	SCMP_SYS(munmap),
	SCMP_SYS(mremap),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(nanosleep),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(getrandom),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(setitimer), /* so that a wait for a lock ends */
	SCMP_SYS(restart_syscall),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(exit),
	SCMP_SYS(exit_group),
	SCMP_SYS(sendto),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvfrom),
	SCMP_SYS(recvmsg),
	SCMP_SYS(bind),
	SCMP_SYS(getsockname),
	SCMP_SYS(setsockopt),
	SCMP_SYS(getsockopt),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(geteuid),
	SCMP_SYS(getuid),
	SCMP_SYS(getdents64),
	SCMP_SYS(rseq),
	SCMP_SYS(set_robust_list),
};

/* The loop, the HTTP server, the follower of the config. */
static const int agent_calls[] = {
	SCMP_SYS(listen), /* on the socket of set-up, which is a TCP one */
	SCMP_SYS(epoll_create1),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(accept4),
	SCMP_SYS(accept),
	SCMP_SYS(shutdown),
	SCMP_SYS(getpeername),
	SCMP_SYS(sendfile),
	SCMP_SYS(readlink),
	SCMP_SYS(readlinkat),
	SCMP_SYS(inotify_init1),
	SCMP_SYS(inotify_add_watch),
	SCMP_SYS(inotify_rm_watch),
	SCMP_SYS(membarrier),
	SCMP_SYS(getcwd),
	SCMP_SYS(sched_yield),
	SCMP_SYS(ioctl),
	SCMP_SYS(uname),
};

/* In the pin directory; and libbpf's, which looks for the kernel's own BTF. */
static const int helper_calls[] = {
	SCMP_SYS(unlinkat),  SCMP_SYS(mkdirat),	  SCMP_SYS(renameat),
	SCMP_SYS(renameat2), SCMP_SYS(dup3),	  SCMP_SYS(uname),
	SCMP_SYS(access),    SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
	SCMP_SYS(mkdir),     SCMP_SYS(statfs), /* for pins that are gone */
};

static const int agent_bpf[] = {
	BPF_MAP_LOOKUP_ELEM,  BPF_MAP_UPDATE_ELEM,
	BPF_MAP_DELETE_ELEM,  BPF_MAP_GET_NEXT_KEY,
	BPF_MAP_LOOKUP_BATCH, BPF_MAP_UPDATE_BATCH,
	BPF_MAP_DELETE_BATCH, BPF_OBJ_GET_INFO_BY_FD,
	BPF_PROG_TEST_RUN,    BPF_MAP_LOOKUP_AND_DELETE_ELEM,
};

static const int helper_bpf[] = {
	BPF_OBJ_GET_INFO_BY_FD,
	BPF_OBJ_GET,
	BPF_OBJ_PIN,
	BPF_LINK_CREATE,
	BPF_PROG_QUERY,
	BPF_PROG_GET_FD_BY_ID,
	BPF_PROG_TEST_RUN, /* masq_ctl, for flows taken over */
	/* another size, other programs: plane/fit.h */
	BPF_MAP_CREATE,
	BPF_MAP_FREEZE,
	BPF_MAP_LOOKUP_ELEM,
	BPF_MAP_UPDATE_ELEM,
	BPF_MAP_DELETE_ELEM,
	BPF_MAP_GET_NEXT_KEY,
	BPF_MAP_LOOKUP_BATCH,
	BPF_MAP_GET_FD_BY_ID,
	BPF_PROG_LOAD,
	BPF_BTF_LOAD,
	/* the kernel's own types, and those of nf_conntrack as a module */
	BPF_BTF_GET_NEXT_ID,
	BPF_BTF_GET_FD_BY_ID,
	BPF_LINK_UPDATE,
	/* programs on netfilter's hooks: kernel/nfprog.h */
	BPF_ITER_CREATE,
};

static int allow(scmp_filter_ctx filter, const int *calls, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++) {
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, calls[i], 0);
		if (err == -EDOM) /* not on this architecture */
			err = 0;
	}
	return err;
}

/* The 32 bits of argument N are VALUE. libseccomp's own macro leaves the second
 * operand out, which clang warns of. */
#define EQUAL(n, value) SCMP_CMP32(n, SCMP_CMP_EQ, value, 0)

static int allow_bpf(scmp_filter_ctx filter, const int *commands, size_t count)
{
	int err = 0;

	for (size_t i = 0; i < count && !err; i++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(bpf), 1,
				       EQUAL(0, commands[i]));
	return err;
}

#define ALLOW(filter, calls) \
	allow(filter, calls, sizeof(calls) / sizeof((calls)[0]))
#define ALLOW_BPF(filter, commands) \
	allow_bpf(filter, commands, sizeof(commands) / sizeof((commands)[0]))

/* What is allowed only with harmless arguments, and to both. */
static int allow_bounded(scmp_filter_ctx filter)
{
	int err;

	/* files to read; directories as well */
	err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 1,
			       SCMP_A2_32(SCMP_CMP_MASKED_EQ,
					  O_ACCMODE | O_CREAT | O_TRUNC,
					  O_RDONLY));
	/* no memory that is code, neither new nor changed */
	if (!err)
		err = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
			SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (!err)
		err = seccomp_rule_add(
			filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
			SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	/* to the kernel, to nobody else */
	if (!err)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket),
				       1, EQUAL(0, AF_NETLINK));
	return err;
}

enum who {
	AGENT,
	HELPER,
	RENEWER, /* as the helper, but for what only that one does */
};

/* What is saved is written: a new file, by way of this directory. */
static int allow_saving(scmp_filter_ctx filter, int dir)
{
	int err = seccomp_rule_add(
		filter, SCMP_ACT_ALLOW, SCMP_SYS(openat), 2,
		EQUAL(0, (uint32_t)dir),
		SCMP_A2_32(SCMP_CMP_MASKED_EQ,
			   O_ACCMODE | O_CREAT | O_EXCL | O_TRUNC | O_NOFOLLOW,
			   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW));

	return err
		       ?: seccomp_rule_add(filter, SCMP_ACT_ALLOW,
					   SCMP_SYS(fsync), 0);
}

/* saved: the helper's, or -1. */
static int load_filter(enum who who, int saved)
{
	bool helper = who != AGENT;
	/* an error, not death: traffic and metrics outlive a missing call */
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int err;

	if (!filter)
		return -ENOMEM;
	err = ALLOW(filter, common_calls);
	if (!err)
		err = allow_bounded(filter);
	if (!err && helper)
		err = ALLOW_BPF(filter, helper_bpf);
	if (!err && helper)
		err = ALLOW(filter, helper_calls);
	if (!err && saved >= 0)
		err = allow_saving(filter, saved);
	/* to ask the kernel for legacy iptables' rules; there is no connect */
	for (int ipv6 = 0; ipv6 < 2 && !err && who == HELPER; ipv6++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket),
				       2, EQUAL(0, ipv6 ? AF_INET6 : AF_INET),
				       EQUAL(1, SOCK_DGRAM | SOCK_CLOEXEC));
	if (!err && !helper)
		err = ALLOW(filter, agent_calls);
	/* the guard asks a far side as the node: TCP, and no other socket */
	for (int ipv6 = 0; ipv6 < 2 && !err && !helper; ipv6++)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket),
				       2, EQUAL(0, ipv6 ? AF_INET6 : AF_INET),
				       EQUAL(1, SOCK_STREAM | SOCK_NONBLOCK |
							SOCK_CLOEXEC));
	if (!err && !helper)
		err = seccomp_rule_add(filter, SCMP_ACT_ALLOW,
				       SCMP_SYS(connect), 0);
	if (!err && !helper)
		err = ALLOW_BPF(filter, agent_bpf);
	if (!err)
		err = seccomp_load(filter);
	seccomp_release(filter);
	return err;
}

/* --- capabilities ------------------------------------------------------ */

/* Of these what it has, permitted and effective, nothing else anywhere. */
static int keep_caps(const unsigned int *caps, size_t count)
{
	bool had[8] = {};

	for (size_t i = 0; i < count; i++)
		had[i] = capng_have_capability(CAPNG_PERMITTED, caps[i]);
	capng_clear(CAPNG_SELECT_CAPS);
	for (size_t i = 0; i < count; i++)
		if (had[i])
			capng_update(CAPNG_ADD,
				     CAPNG_PERMITTED | CAPNG_EFFECTIVE,
				     caps[i]);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

/* Nothing can come back over execve either, where we may see to that. */
static void clear_bounding(void)
{
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP))
		return;
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
}

static int change_user(const struct sandbox_user *user)
{
	if (geteuid() == user->uid)
		return 0;
	capng_clear(CAPNG_SELECT_CAPS);
	capng_update(CAPNG_ADD, CAPNG_PERMITTED | CAPNG_EFFECTIVE, CAP_BPF);
	if (capng_change_id(user->uid, user->gid, CAPNG_DROP_SUPP_GRP))
		return -EPERM;
	return 0;
}

/* Does the kernel let us at our maps as we are? 0; -EPERM: no; or -errno. */
static int try_maps(const struct instance *instance)
{
	uint32_t zero = 0, half;
	int err = 0;

	for (int tries = AGENT_TRIES; tries; tries--) {
		err = bpf_map_lookup_elem(instance->map[MAP_masq_active], &zero,
					  &half);
		if (!err || err == -EPERM)
			break;
		usleep(AGENT_TRY_MS * 1000); /* no memory, say */
	}
	return err;
}

static bool have_cap(unsigned int cap)
{
	return !capng_get_caps_process() &&
	       capng_have_capability(CAPNG_PERMITTED, cap);
}

static int drop_caps(const struct instance *instance)
{
	static const unsigned int bpf = CAP_BPF;
	bool had_bpf = have_cap(CAP_BPF);
	int err, without;

	if (had_bpf) {
		/* permitted still, so that it can come back */
		capng_update(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_BPF);
		if (capng_apply(CAPNG_SELECT_CAPS))
			return -EPERM;
	}
	without = try_maps(instance);
	if (!without)
		return keep_caps(NULL, 0);
	err = capng_get_caps_process() ? -EPERM : keep_caps(&bpf, 1);
	if (!err && try_maps(instance) == -EPERM)
		err = -EPERM;
	if (!err && without == -EPERM)
		log_info("agent: this kernel (before 5.19) wants CAP_BPF for "
			 "map access: kept");
	else if (!err)
		log_warn("agent: cannot know whether map access wants CAP_BPF: "
			 "%s: kept",
			 strerror(-without));
	return err;
}

int sandbox_agent(const struct instance *instance,
		  const struct sandbox_user *user)
{
	const char *what = "read its capabilities";
	int err = capng_get_caps_process() ? -EPERM : 0;

	if (!err) {
		clear_bounding();
		what = "change the user";
		err = change_user(user);
	}
	if (!err) {
		what = "drop capabilities";
		err = drop_caps(instance);
	}
	if (!err) {
		what = "filter system calls";
		err = load_filter(AGENT, -1);
	}
	if (err)
		log_error("agent: cannot %s: %s", what, strerror(-err));
	return err;
}

static int be_privileged(enum who who, const unsigned int *caps, size_t count,
			 int saved)
{
	const char *what = "read its capabilities";
	int err = capng_get_caps_process() ? -EPERM : 0;

	if (!err) {
		clear_bounding();
		what = "drop capabilities";
		err = keep_caps(caps, count);
	}
	if (!err) {
		what = "filter system calls";
		err = load_filter(who, saved);
	}
	if (err)
		log_error("agent: %s: cannot %s: %s",
			  who == HELPER ? "helper" : "renewer", what,
			  strerror(-err));
	return err;
}

int sandbox_helper(int saved)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_NET_ADMIN,
					     CAP_PERFMON };

	return be_privileged(HELPER, caps, sizeof(caps) / sizeof(caps[0]),
			     saved);
}

int sandbox_renewer(void)
{
	static const unsigned int caps[] = { CAP_BPF, CAP_NET_ADMIN,
					     CAP_PERFMON, CAP_SYS_ADMIN };

	return be_privileged(RENEWER, caps, sizeof(caps) / sizeof(caps[0]), -1);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * caps.c - EPERM says "no"; this says what is missing. Asked only after a
 * refusal, so it can never refuse what the kernel would have allowed.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <linux/capability.h>
#include <cap-ng.h>
#include "kernel/caps.h"

/* A fixed number since Linux 3.8: PROC_USER_INIT_INO of proc_ns.h. */
#define INIT_USER_NS 0xeffffffdU

static const struct {
	unsigned int bit, cap;
	bool by_sys_admin; /* CAP_SYS_ADMIN stands for it too */
	const char *name;
} caps[] = {
	{ CAPS_BPF, CAP_BPF, true, "CAP_BPF" },
	{ CAPS_NET_ADMIN, CAP_NET_ADMIN, false, "CAP_NET_ADMIN" },
	{ CAPS_NET_RAW, CAP_NET_RAW, false, "CAP_NET_RAW" },
	{ CAPS_PERFMON, CAP_PERFMON, true, "CAP_PERFMON" },
	{ CAPS_SYS_ADMIN, CAP_SYS_ADMIN, false, "CAP_SYS_ADMIN" },
};

static bool have(unsigned int cap)
{
	return capng_have_capability(CAPNG_EFFECTIVE, cap);
}

/* Before 5.11 maps count against RLIMIT_MEMLOCK, later against the cgroup. */
static bool memlock_limits(void)
{
	unsigned int major, minor;
	struct utsname kernel;
	struct rlimit limit;

	return !uname(&kernel) &&
	       sscanf(kernel.release, "%u.%u", &major, &minor) == 2 &&
	       (major < 5 || (major == 5 && minor < 11)) &&
	       !getrlimit(RLIMIT_MEMLOCK, &limit) &&
	       limit.rlim_cur != RLIM_INFINITY;
}

const char *caps_hint(int err, unsigned int needed)
{
	static char text[256];
	const char *join = "";
	size_t used = 0;
	struct stat user;

	*text = '\0';
	/* Where CAP_PERFMON is missing the verifier says EACCES or EINVAL, and
	 * 6.1 EFAULT: following speculation, it gets lost in branches. */
	if (err != -EPERM &&
	    !((needed & CAPS_PERFMON) &&
	      (err == -EACCES || err == -EINVAL || err == -EFAULT)))
		return text;

	if (capng_get_caps_process())
		return text;
	for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
		if (!(needed & caps[i].bit) || have(caps[i].cap) ||
		    (caps[i].by_sys_admin && have(CAP_SYS_ADMIN)))
			continue;
		used += snprintf(text + used, sizeof(text) - used, "%s%s",
				 *join ? join : " (missing: ", caps[i].name);
		join = ", ";
	}
	if (*join)
		snprintf(text + used, sizeof(text) - used, ")");
	else if (err != -EPERM)
		return text;
	else if (!stat("/proc/self/ns/user", &user) &&
		 user.st_ino != INIT_USER_NS)
		snprintf(text + used, sizeof(text) - used,
			 " (in a user namespace; the machine's own is needed)");
	else if (memlock_limits())
		snprintf(text + used, sizeof(text) - used,
			 " (RLIMIT_MEMLOCK is too low for this kernel and "
			 "CAP_SYS_RESOURCE to raise it is missing)");
	else
		snprintf(text + used, sizeof(text) - used,
			 " (every capability is there: seccomp, lockdown or a "
			 "security module refuses)");
	return text;
}

const char *caps_strerror(int err, unsigned int needed)
{
	static char text[512];

	snprintf(text, sizeof(text), "%s%s", strerror(-err),
		 caps_hint(err, needed));
	return text;
}

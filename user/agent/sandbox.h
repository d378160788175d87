/* SPDX-License-Identifier: GPL-2.0-only */
/* sandbox.h - giving up privileges. */
#ifndef MASQ_AGENT_SANDBOX_H
#define MASQ_AGENT_SANDBOX_H

#include <sys/types.h>
#include "plane/instance.h"

/* What can be had at the start alone may be refused for a moment: no memory, no
 * descriptors. */
#define AGENT_TRIES  3
#define AGENT_TRY_MS 100

struct sandbox_user {
	uid_t uid;
	gid_t gid;
};

/* "NAME" or a number. 0, or -EINVAL and a clause in err. */
int sandbox_user_parse(const char *text, struct sandbox_user *out, char *err,
		       size_t errlen);

/*
 * The agent: that user, no capability (CAP_BPF where the kernel refuses map
 * access without it), no_new_privs, a filter of system calls. 0 or -errno,
 * printed.
 */
int sandbox_agent(const struct instance *instance,
		  const struct sandbox_user *user);
/*
 * The helper: CAP_BPF, CAP_NET_ADMIN and, since it may have to load programs of
 * another size, CAP_PERFMON; no_new_privs, a filter. saved: the directory in
 * which it may write what is saved; -1: none. 0 or -errno, printed.
 */
int sandbox_helper(int saved);
/* The renewer: CAP_SYS_ADMIN, too, and a filter that is narrower. */
int sandbox_renewer(void);

#endif

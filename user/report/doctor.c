// SPDX-License-Identifier: GPL-2.0-only
/* doctor.c - the list of findings; kernel, privileges, file system. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <bpf/libbpf.h>
#include <cap-ng.h>
#include "base/log.h"
#include "report/doctor.h"

const char *doctor_level_name(enum doctor_level level)
{
	static const char *const names[] = {
		[DOCTOR_OK] = "ok",	      [DOCTOR_NOTE] = "note",
		[DOCTOR_UNKNOWN] = "unknown", [DOCTOR_WARNING] = "warning",
		[DOCTOR_BAD] = "bad",
	};

	return names[level];
}

void doctor_add(struct doctor *d, enum doctor_level level, const char *check,
		const char *todo, const char *fmt, ...)
{
	struct doctor_finding finding = { .level = level, .check = check };
	struct doctor_finding *grown;
	va_list ap;
	int length;

	va_start(ap, fmt);
	length = vasprintf(&finding.what, fmt, ap);
	va_end(ap);
	finding.todo = todo ? strdup(todo) : NULL;
	grown = reallocarray(d->findings, d->count + 1, sizeof(*grown));
	if (grown)
		d->findings = grown;
	if (length < 0 || (todo && !finding.todo) || !grown) {
		log_error("doctor: %s: out of memory", check);
		return;
	}
	d->findings[d->count++] = finding;
}

void doctor_free_findings(struct doctor *d)
{
	for (size_t i = 0; i < d->count; i++) {
		free(d->findings[i].what);
		free(d->findings[i].todo);
	}
	free(d->findings);
}

void doctor_free(struct doctor *d)
{
	doctor_free_findings(d);
	policy_free(d->policy);
	netdev_free(d->netdev);
	instance_close(d->instance);
}

/* --- kernel and privileges --------------------------------------------- */

static void check_version(struct doctor *d)
{
	unsigned int major = 0, minor = 0;
	struct utsname kernel;

	if (uname(&kernel) ||
	    sscanf(kernel.release, "%u.%u", &major, &minor) != 2) {
		doctor_add(d, DOCTOR_UNKNOWN, "kernel", "uname -r",
			   "its version cannot be read");
		return;
	}
	if (major < 5 || (major == 5 && minor < 10))
		doctor_add(d, DOCTOR_BAD, "kernel", "use 5.10 or newer",
			   "%s is too old", kernel.release);
	else if (major < 6 || (major == 6 && minor < 6))
		doctor_add(
			d, DOCTOR_NOTE, "kernel",
			"run the agent: it looks after the filters",
			"%s has no TCX: others can remove our clsact filters",
			kernel.release);
	else
		doctor_add(d, DOCTOR_OK, "kernel", NULL, "%s, TCX",
			   kernel.release);
	if (d->instance && !(d->instance->meta.features & MASQ_FEAT_FIB_SRC))
		doctor_add(
			d, DOCTOR_NOTE, "kernel",
			"run the agent: it follows the node's addresses",
			"before 6.7 routes cannot tell the source address: the uplink's is used as it was at attach");
}

static void check_capabilities(struct doctor *d)
{
	static const struct {
		unsigned int cap;
		const char *name;
	} needed[] = {
		{ CAP_BPF, "CAP_BPF" },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN" },
		{ CAP_PERFMON, "CAP_PERFMON" },
	};
	char missing[64] = "";

	if (capng_get_caps_process()) {
		doctor_add(d, DOCTOR_UNKNOWN, "capabilities",
			   "look whether /proc is mounted",
			   "cannot be read: not checked");
		return;
	}
	for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
		if (!capng_have_capability(CAPNG_EFFECTIVE, needed[i].cap) &&
		    (needed[i].cap == CAP_NET_ADMIN ||
		     !capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN)))
			snprintf(missing + strlen(missing),
				 sizeof(missing) - strlen(missing), "%s%s",
				 *missing ? ", " : "", needed[i].name);
	if (*missing)
		doctor_add(
			d, DOCTOR_BAD, "capabilities",
			"run as root, or add them to securityContext.capabilities.add",
			"missing: %s", missing);
	else
		doctor_add(d, DOCTOR_OK, "capabilities", NULL,
			   "all that attach needs");
}

static void check_bpf(struct doctor *d)
{
	if (libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_SCHED_CLS, NULL) != 1)
		doctor_add(
			d, DOCTOR_BAD, "bpf",
			"look for seccomp, lockdown, a security module, CONFIG_BPF_SYSCALL",
			"the kernel does not load a program for tc");
	else
		doctor_add(d, DOCTOR_OK, "bpf", NULL,
			   "programs for tc can be loaded");
}

/* The directory of the pins, or the nearest one above it that is there. */
static void check_bpffs(struct doctor *d, const char *pin_dir)
{
	char path[256], *slash;
	struct statfs fs;

	snprintf(path, sizeof(path), "%s", pin_dir);
	while (statfs(path, &fs)) {
		slash = strrchr(path, '/');
		if (!slash || slash == path) {
			snprintf(path, sizeof(path), "/");
			if (statfs(path, &fs))
				return;
			break;
		}
		*slash = '\0';
	}
	if (fs.f_type == BPF_FS_MAGIC)
		doctor_add(d, DOCTOR_OK, "bpffs", NULL, "mounted at %s", path);
	else
		doctor_add(
			d, DOCTOR_WARNING, "bpffs",
			"mount -t bpf bpf /sys/fs/bpf; in a container mount the host's",
			"%s is on no bpffs: attach has to mount one", pin_dir);
}

void doctor_check_kernel(struct doctor *d, const char *pin_dir)
{
	check_version(d);
	check_capabilities(d);
	check_bpf(d);
	check_bpffs(d, pin_dir);
}

/* --- pods -------------------------------------------------------------- */

struct pods_in {
	const struct cidr *range;
	bool any, inside;
};

static int look_for_pod(void *data, const struct flow *flow)
{
	struct pods_in *pods = data;
	struct cidr host = { flow->in, flow->in.family == 4 ? 32 : 128 };

	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return 0;
	pods->any = true;
	pods->inside |= cidr_covers(pods->range, &host);
	return pods->inside;
}

enum doctor_pods doctor_pods_in(const struct doctor *d,
				const struct cidr *range)
{
	struct pods_in pods = { .range = range };

	for (size_t i = 0; d->policy && i < d->policy->count; i++) {
		const struct policy_entry *entry = &d->policy->entries[i];

		if (entry->list != MASQ_L_POD ||
		    entry->cidr.addr.family != range->addr.family)
			continue;
		pods.any = true;
		if (cidr_covers(&entry->cidr, range) ||
		    cidr_covers(range, &entry->cidr))
			return PODS_INSIDE;
	}
	if (!pods.any && d->instance)
		flows_walk_owners(d->instance, look_for_pod, &pods);
	return pods.inside ? PODS_INSIDE : pods.any ? PODS_NONE : PODS_UNKNOWN;
}

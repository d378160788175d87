// SPDX-License-Identifier: GPL-2.0-only
/* doctor_kernel.c - kernel, privileges, file system. */
#include <cap-ng.h>
#include <stdio.h>
#include <string.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include "plane/probe.h"
#include "report/doctor.h"

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

static void check_conntrack(struct doctor *d)
{
	uint32_t features = d->instance ? d->instance->meta.features : 0;

	if (!d->instance)
		return;
	if (!(features & MASQ_FEAT_LOOP)) /* 5.17; asking came with 5.18 */
		doctor_add(
			d, DOCTOR_OK, "conntrack", NULL,
			"this kernel lets no program ask it: reservations and watches have to do");
	else if (features & MASQ_FEAT_CT)
		doctor_add(d, DOCTOR_OK, "conntrack", NULL,
			   "asked at a flow's first packet");
	else if (probe_conntrack() == PROBE_CT_NONE)
		doctor_add(d, DOCTOR_OK, "conntrack", NULL,
			   "not there for programs to ask");
	else
		doctor_add(
			d, DOCTOR_NOTE, "conntrack",
			"masqbpf attach IFACE, as root (CAP_SYS_ADMIN): the programs are renewed, and no flow ends",
			"nf_conntrack is there, and our programs do not ask it: a port that netfilter has promised before a packet of that flow was here may be given to a pod");
}

/* Shortens path to where what it lies on is mounted. */
static const char *mount_point(char *path)
{
	struct stat here, above;
	char *slash;

	while ((slash = strrchr(path, '/')) && slash != path &&
	       !stat(path, &here)) {
		*slash = '\0';
		if (stat(path, &above) || above.st_dev != here.st_dev) {
			*slash = '/';
			break;
		}
	}
	return path;
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
		doctor_add(d, DOCTOR_OK, "bpffs", NULL, "mounted at %s",
			   mount_point(path));
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

void doctor_check_programs(struct doctor *d)
{
	if (d->instance && !(d->instance->meta.features & MASQ_FEAT_FIB_SRC))
		doctor_add(
			d, DOCTOR_NOTE, "kernel",
			"run the agent: it follows the node's addresses",
			"before 6.7 routes cannot tell the source address: the uplink's is used as it was at attach");
	check_conntrack(d);
}

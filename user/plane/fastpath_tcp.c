// SPDX-License-Identifier: GPL-2.0-only
/* fastpath_tcp.c - see fastpath_tcp.h. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "plane/fastpath_tcp.h"
#include "plane/maps.h"
#include "plane/pinname.h"
#include "plane/pins.h"

#define BE_LIBERAL "/proc/sys/net/netfilter/nf_conntrack_tcp_be_liberal"

bool fastpath_tcp_allowed(void)
{
	char value = '1';
	int fd = open(BE_LIBERAL, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT; /* no conntrack here */
	if (read(fd, &value, 1) != 1)
		value = '0';
	close(fd);
	return value != '0';
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
	struct stat st;
	int err;

	if (fstatat(instance->lock_fd, PIN_LIBERAL, &st, AT_SYMLINK_NOFOLLOW))
		return;
	err = write_liberal("0");
	if (err && err != -ENOENT)
		log_warn("%s: was set to 1 by --fast-path, and cannot be put "
			 "back to 0: %s",
			 BE_LIBERAL, strerror(-err));
	unlinkat(instance->lock_fd, PIN_LIBERAL, 0);
}

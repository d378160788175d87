// SPDX-License-Identifier: GPL-2.0-only
/* tcx.c - by raw numbers where the headers of Debian 12 are older than TCX. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include "base/file.h"
#include "plane/tcx.h"

/* Of linux/bpf.h since 6.6; Debian 12's headers are older. */
#define TCX_INGRESS   46
#define TCX_EGRESS    47
#define LINK_TYPE_TCX 11
#define F_BEFORE      (1U << 3) /* without a program to be before: the first */
#define F_AFTER	      (1U << 4) /* the last */

static enum bpf_attach_type tcx_type(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? TCX_INGRESS : TCX_EGRESS;
}

void tcx_pin_name(uint32_t ifindex, enum hook_dir dir, char *buf)
{
	snprintf(buf, TCX_PIN_MAX, "tcx_%s_%u", hook_dir_name(dir), ifindex);
}

/*
 * The ids of a TCX chain: their number, or -errno; -EINVAL: this kernel has no
 * TCX. *ids is to be freed in every case: a chain may be there and empty.
 */
static int tcx_query(uint32_t ifindex, enum hook_dir dir, uint32_t **ids)
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

bool tcx_exists(uint32_t ifindex)
{
	uint32_t *ids;
	int n = tcx_query(ifindex, HOOK_INGRESS, &ids);

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
	while (!*found && !err && (entry = file_next(dirs, &err))) {
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

/* What our own link has is ours, also while it is pinned nowhere itself. */
static int tcx_is_in_link(const struct instance *instance, uint32_t ifindex,
			  enum hook_dir dir, uint32_t id, bool *is)
{
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX], name[TCX_PIN_MAX];
	struct bpf_link_info info = {};
	uint32_t length = sizeof(info);
	int fd, err;

	tcx_pin_name(ifindex, dir, name);
	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0) /* who may not look, or finds none, has none */
		return 0;
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	*is = !err && info.type == LINK_TYPE_TCX &&
	      info.xdp.ifindex == ifindex && info.prog_id == id;
	close(fd);
	return err;
}

int tcx_chain(const struct instance *instance, uint32_t ifindex,
	      enum hook_dir dir, struct hook_chain *chain)
{
	uint32_t *ids;
	int n = tcx_query(ifindex, dir, &ids), err = 0;

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
		err = chain_judge(instance, prog);
		if (!err && !prog->ours)
			err = tcx_is_in_link(instance, ifindex, dir, prog->id,
					     &prog->ours);
		prog->masqbpf |= prog->ours;
		if (!err && !*prog->name && !prog->ours)
			err = tcx_pinned_beside(instance, ifindex, dir,
						prog->id, &prog->masqbpf);
	}
	free(ids);
	return err;
}

int64_t tcx_pinned(const struct instance *instance, const char *name)
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

int tcx_has(const struct instance *instance, const char *name, uint32_t ifindex,
	    bool *has)
{
	int64_t pinned = tcx_pinned(instance, name);

	*has = pinned == ifindex;
	return pinned >= 0 || pinned == -ENOENT || pinned == -EPROTOTYPE
		       ? 0
		       : (int)pinned;
}

int tcx_unpin(const struct instance *instance, const char *name)
{
	return unlinkat(instance->lock_fd, name, 0) ? -errno : 0;
}

int tcx_pin(const struct instance *instance, uint32_t ifindex,
	    enum hook_dir dir, int prog, bool first, const char *name)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = first ? F_BEFORE : F_AFTER);
	char path[sizeof(instance->pin_dir) + TCX_PIN_MAX];
	int fd, err;

	err = tcx_unpin(instance, name);
	if (err && err != -ENOENT)
		return err;
	fd = bpf_link_create(prog, ifindex, tcx_type(dir), &opts);
	if (fd < 0)
		return fd;
	snprintf(path, sizeof(path), "%s/%s", instance->pin_dir, name);
	err = bpf_obj_pin(fd, path);
	close(fd); /* not pinned: the kernel detaches it now */
	return err;
}

int tcx_first(uint32_t ifindex, enum hook_dir dir, int prog)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = F_BEFORE);

	return bpf_link_create(prog, ifindex, tcx_type(dir), &opts);
}

int tcx_attach(const struct instance *instance, const struct netdev_link *link,
	       enum hook_dir dir)
{
	char name[TCX_PIN_MAX];

	tcx_pin_name(link->ifindex, dir, name);
	return tcx_pin(instance, link->ifindex, dir,
		       chain_prog_for(instance, link, dir), dir == HOOK_INGRESS,
		       name);
}

int tcx_let_go(const struct instance *instance, uint32_t ifindex,
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

int tcx_in_place(const struct instance *instance, uint32_t ifindex,
		 enum hook_dir dir, bool *in_place)
{
	char name[64];
	uint32_t *ids;
	int n = tcx_query(ifindex, dir, &ids), err = 0;

	if (n < 0)
		return n;
	if (n)
		err = chain_is_ours(instance,
				    ids[dir == HOOK_INGRESS ? 0 : n - 1], name,
				    sizeof(name), in_place);
	else
		*in_place = false;
	free(ids);
	return err;
}

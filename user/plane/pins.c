// SPDX-License-Identifier: GPL-2.0-only
/* pins.c - looked at before they are believed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/pinname.h"
#include "plane/pins.h"

const char *pin_path(const struct instance *instance, const char *name,
		     char *buf)
{
	snprintf(buf, PIN_PATH_MAX, "%s/%s", instance->pin_dir, name);
	return buf;
}

int pin_make(const struct instance *instance, int fd, const char *name)
{
	char path[PIN_PATH_MAX];
	int err = bpf_obj_pin(fd, pin_path(instance, name, path));

	if (err)
		log_error("%s: cannot pin: %s", path,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

int pin_is_there(const struct instance *instance, const char *name)
{
	struct stat st;
	int err = 0;

	for (int look = 0; look < 2; look++) {
		if (!fstatat(instance->lock_fd, name, &st, AT_SYMLINK_NOFOLLOW))
			return 1;
		if (errno != ENOENT)
			err = -errno;
	}
	if (err)
		log_error("%s/%s: cannot look at it: %s", instance->pin_dir,
			  name, strerror(-err));
	return err;
}

int pin_open(const struct instance *instance, const char *name)
{
	char path[PIN_PATH_MAX];
	struct stat st;
	int fd;

	pin_path(instance, name, path);
	if (fstatat(instance->lock_fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		int err = -errno;

		/* all that says "no instance" is worth a second look: what
		 * follows from it is a new one */
		if (err == -ENOENT &&
		    !fstatat(instance->lock_fd, name, &st, AT_SYMLINK_NOFOLLOW))
			err = -EIO;
		if (err != -ENOENT)
			log_error("%s: cannot look at the pin: %s", path,
				  strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode) ||
	    (st.st_uid != geteuid() && st.st_uid != 0) ||
	    st.st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("%s: not trusted: uid %u, mode %06o", path, st.st_uid,
			  st.st_mode);
		return -EPERM;
	}
	fd = bpf_obj_get(path);
	if (fd < 0)
		log_error("%s: cannot open the pin: %s", path,
			  caps_strerror(fd, CAPS_BPF));
	return fd == -ENOENT ? -EIO : fd;
}

int pin_forget(const struct instance *instance, const char *name)
{
	return unlinkat(instance->lock_fd, name, 0) && errno != ENOENT ? -errno
								       : 0;
}

int pin_note(const struct instance *instance, const char *name)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "masq_note",
				sizeof(uint32_t), sizeof(uint32_t), 1, NULL);
	char path[PIN_PATH_MAX];
	int err = fd < 0 ? fd : 0;

	err = err ?: pin_forget(instance, PIN_TEMPORARY);
	err = err ?: bpf_obj_pin(fd, pin_path(instance, PIN_TEMPORARY, path));
	if (!err &&
	    renameat(instance->lock_fd, PIN_TEMPORARY, instance->lock_fd, name))
		err = -errno;
	if (fd >= 0)
		close(fd);
	return err;
}

bool pin_is_noted(const struct instance *instance, const char *name)
{
	/* by its name: an agent may not open it. Only "no" is no */
	return !faccessat(instance->lock_fd, name, F_OK, 0) || errno != ENOENT;
}

int pins_programs(const struct instance *instance)
{
	int err;

	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		/* in one step: a name without a pin would be a damage */
		if (unlinkat(instance->lock_fd, PIN_TEMPORARY, 0) &&
		    errno != ENOENT)
			goto failed;
		if (instance->prog[i] < 0) {
			if (pin_forget(instance, prog_names[i]))
				goto failed;
			continue;
		}
		err = pin_make(instance, instance->prog[i], PIN_TEMPORARY);
		if (err)
			return err;
		if (renameat(instance->lock_fd, PIN_TEMPORARY,
			     instance->lock_fd, prog_names[i]))
			goto failed;
	}
	return 0;
failed:
	err = -errno;
	log_error("%s: cannot pin the programs: %s", instance->pin_dir,
		  strerror(-err));
	return err;
}

static int move(const struct instance *from, const struct instance *into,
		const char *name)
{
	return renameat(from->lock_fd, name, into->lock_fd, name) &&
			       errno != ENOENT
		       ? -errno
		       : 0;
}

int pins_move(const struct instance *from, const struct instance *into)
{
	int err = 0;

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (i != MAP_masq_meta)
			err = move(from, into, map_names[i]);
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++)
		err = from->prog[i] < 0 ? pin_forget(into, prog_names[i])
					: move(from, into, prog_names[i]);
	return err ?: move(from, into, map_names[MAP_masq_meta]);
}

/*
 * Until nothing is found twice: a walk that the kernel ends early (ENOENT, which
 * readdir() does not tell) looks as if that was all.
 */
int pins_remove(struct instance *instance)
{
	struct dirent *entry;
	int err = 0, vain = 0;
	DIR *dir;

	if (unlinkat(instance->lock_fd, map_names[MAP_masq_meta], 0) &&
	    errno != ENOENT)
		err = -errno;
	dir = opendir(instance->pin_dir);
	if (!dir)
		return -errno;
	for (; !err && vain < 2; vain++) {
		rewinddir(dir);
		while (!err && (entry = file_next(dir, &err))) {
			if (!pin_is_ours(entry->d_name))
				continue;
			if (unlinkat(instance->lock_fd, entry->d_name, 0))
				err = -errno;
			vain = -1;
		}
	}
	closedir(dir);
	return err;
}

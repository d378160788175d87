// SPDX-License-Identifier: GPL-2.0-only
/* before.c - what is alike in all that can be taken over from. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "plane/before.h"
#include "plane/ctl.h"
#include "plane/pins.h"

static const struct before_reader *const readers[] = { &before3, &before4 };

static const struct before_reader *reader_of(uint32_t layout)
{
	for (size_t i = 0; i < sizeof(readers) / sizeof(*readers); i++)
		if (readers[i]->layout == layout)
			return readers[i];
	return NULL;
}

bool before_known(uint32_t layout)
{
	return reader_of(layout) != NULL;
}

uint32_t before_stats(uint32_t layout)
{
	const struct before_reader *reader = reader_of(layout);

	return reader ? reader->stats : 0;
}

uint32_t before_stat(uint32_t layout, uint32_t index)
{
	return reader_of(layout)->stat(index);
}

/* masq_meta, of whatever layout; 0: it is none of ours. The size, or -errno. */
static int read_meta(const struct instance *instance, int fd,
		     struct masq_meta *meta)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), zero = 0;
	void *value;
	int err;

	*meta = (struct masq_meta){};
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	if (err == -EINVAL) /* a program */
		return 0;
	if (!err && (info.type != BPF_MAP_TYPE_ARRAY || info.max_entries != 1 ||
		     info.value_size < offsetof(struct masq_meta, netns)))
		return 0;
	value = calloc(1, info.value_size + sizeof(*meta));
	if (!value)
		err = -ENOMEM;
	err = err ?: bpf_map_lookup_elem(fd, &zero, value);
	if (err)
		log_error("%s/%s: cannot read: %s", instance->pin_dir,
			  map_names[MAP_masq_meta],
			  caps_strerror(err, CAPS_BPF));
	else
		memcpy(meta, value, sizeof(*meta));
	free(value);
	if (err)
		return err;
	return meta->magic == MASQ_MAGIC ? (int)info.value_size : 0;
}

int before_layout(const struct instance *instance, uint32_t *layout)
{
	int fd = pin_open(instance, map_names[MAP_masq_meta]), size;
	struct masq_meta meta;

	if (fd < 0)
		return fd;
	size = read_meta(instance, fd, &meta);
	close(fd);
	*layout = size > 0 ? meta.abi : 0;
	return size < 0 ? size : 0;
}

static int policy_has_ipv6(const int fds[], bool *ipv6)
{
	uint32_t half, zero = 0;
	struct masq_policy policy;
	int err = bpf_map_lookup_elem(fds[MAP_masq_active], &zero, &half);

	half &= 1;
	err = err ?: bpf_map_lookup_elem(fds[MAP_masq_policy], &half, &policy);
	*ipv6 = !err && policy.flags & MASQ_P_IPV6;
	return err;
}

int before_open(const struct instance *instance, struct before *old,
		int fds[MASQ_MAP_COUNT], bool *ipv6)
{
	const struct before_reader *reader;
	int err = 0, size;

	*old = (struct before){ .flows = { -1, -1 },
				.aside = { -1, -1 },
				.prog = -1 };
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		fds[i] = old->map[i] = -1;
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		int fd = pin_open(instance, map_names[i]);

		if (fd == -ENOENT)
			continue;
		fds[i] = fd;
		err = fd < 0 ? fd : 0;
	}
	if (err || fds[MAP_masq_meta] < 0)
		return err ?: -ENOENT;
	size = read_meta(instance, fds[MAP_masq_meta], &old->meta);
	if (size < 0)
		return size;
	reader = size ? reader_of(old->meta.abi) : NULL;
	if (!reader || reader->meta_size != (size_t)size ||
	    fds[MAP_masq_flows4] < 0 || fds[MAP_masq_flows6] < 0 ||
	    fds[MAP_masq_active] < 0 || fds[MAP_masq_policy] < 0 ||
	    fds[MAP_masq_prefixes] < 0 || fds[MAP_masq_counters] < 0 ||
	    fds[MAP_masq_stats] < 0 || fds[MAP_masq_ifaces] < 0) {
		log_error("%s: damaged, or of a version that cannot be taken "
			  "over from: run `masqbpf detach --all` and attach "
			  "again",
			  instance->pin_dir);
		return -EPROTO;
	}
	/* what lies behind is not of this layout */
	memset((char *)&old->meta + size, 0,
	       sizeof(old->meta) > (size_t)size ? sizeof(old->meta) - size : 0);
	old->meta.version[sizeof(old->meta.version) - 1] = '\0';
	old->layout = old->meta.abi;
	old->flows[0] = fds[MAP_masq_flows4];
	old->flows[1] = fds[MAP_masq_flows6];
	old->aside[0] = fds[MAP_masq_aside4];
	old->aside[1] = fds[MAP_masq_aside6];
	old->prog = pin_open(instance, prog_names[PROG_masq_egress]);
	err = policy_has_ipv6(fds, ipv6);
	if (err)
		log_error("%s: cannot read the policy: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

void before_close(struct before *old, int fds[MASQ_MAP_COUNT])
{
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (old->prog >= 0)
		close(old->prog);
}

struct walk {
	struct instance *next;
	struct before_sum *sum;
};

static int take(void *data, const struct masq_ctl *key)
{
	struct masq_ctl ctl = *key;
	struct walk *walk = data;
	int err;

	ctl.op = MASQ_CTL_INHERIT;
	err = instance_ctl(walk->next, &ctl);
	switch (err) {
	case -ENOENT: /* its time has come */
		return 0;
	case -EEXIST: /* a packet was first */
	case 0:
		walk->sum->taken++;
		return 0;
	case -ENOSPC:
		walk->sum->lost++;
		return 0;
	default:
		return err;
	}
}

int before_walk(const struct before *old, struct instance *next,
		struct before_sum *sum)
{
	struct walk walk = { .next = next, .sum = sum };
	const struct before_reader *reader = reader_of(old->layout);
	int err = reader->walk(old, 4, take, &walk)
			  ?: reader->walk(old, 6, take, &walk);

	/* the programs know of no table before theirs any more: done already */
	if (err == -EINVAL)
		return 0;
	if (err)
		log_error("%s: cannot take over the flows: %s", next->pin_dir,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

int before_unpin(const struct instance *instance, uint32_t layout)
{
	const struct before_reader *reader = reader_of(layout);

	for (size_t i = 0; reader && reader->only[i]; i++)
		if (unlinkat(instance->lock_fd, reader->only[i], 0) &&
		    errno != ENOENT)
			return -errno;
	return 0;
}

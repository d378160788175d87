// SPDX-License-Identifier: GPL-2.0-only
/* due.c - a line for each kind of thing; there is one agent that writes. */
#include <stdio.h>
#include <bpf/bpf.h>
#include "plane/agent_lock.h"
#include "report/due.h"

const char *due_name(enum masq_due_kind kind)
{
	static const char *const names[] = {
		[MASQ_DUE_CONFIG] = "config",
		[MASQ_DUE_INTERFACES] = "interfaces",
		[MASQ_DUE_LISTEN] = "listen",
		[MASQ_DUE_FOLLOW] = "follow",
		[MASQ_DUE_NETLINK] = "netlink",
	};

	return names[kind];
}

void due_write(const struct instance *instance, enum masq_due_kind kind,
	       const char *text)
{
	int fd = instance->map[MAP_masq_due];
	uint32_t key = kind;
	struct masq_due due = {}, old;

	if (text) {
		/* for how long it is due: from the first failure on */
		due.since_ns = bpf_map_lookup_elem(fd, &key, &old) ||
					       !old.since_ns
				       ? instance_now_ns(instance)
				       : old.since_ns;
		snprintf(due.text, sizeof(due.text), "%s", text);
	}
	bpf_map_update_elem(fd, &key, &due, BPF_ANY);
}

bool due_read(const struct instance *instance, enum masq_due_kind kind,
	      struct masq_due *out, double *seconds)
{
	uint32_t key = kind;

	if (bpf_map_lookup_elem(instance->map[MAP_masq_due], &key, out) ||
	    !out->since_ns || agent_lock_owner(instance) < 0)
		return false;
	out->text[sizeof(out->text) - 1] = '\0';
	*seconds = (instance_now_ns(instance) - out->since_ns) / 1e9;
	return true;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * offsets.c - by name, from /sys/kernel/btf/vmlinux; user space does it, so
 * that a kernel without BTF still loads the programs.
 */
#include <stddef.h>
#include <string.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "base/log.h"
#include "plane/offsets.h"

/* Structs without a name in structs without a name. */
#define DEPTH_MAX 4

static const struct {
	const char *type, *member;
	size_t at; /* in struct masq_offsets */
	bool may_lack;
} wanted[] = {
#define W(type, member, field, lack)                                       \
	{                                                                  \
#type, #member, offsetof(struct masq_offsets, field), lack \
	}
	W(sk_buff, dev, skb_dev, false),
	W(net_device, tcx_ingress, dev_tcx[0], false),
	W(net_device, tcx_egress, dev_tcx[1], false),
	W(net_device, nf_hooks_ingress, dev_nf[0], true),
	W(net_device, nf_hooks_egress, dev_nf[1], true),
	W(net_device, qdisc, dev_qdisc, false),
	W(bpf_mprog_entry, parent, entry_bundle, false),
	W(bpf_mprog_bundle, count, bundle_count, false),
	W(tcx_entry, bundle, bundle_tcx, false),
	W(tcx_entry, miniq, tcx_miniq, false),
	W(Qdisc, enqueue, qdisc_enqueue, false),
#undef W
};

/* In bytes; -1: it has none. */
static int member_offset(const struct btf *btf, uint32_t type,
			 const char *member, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, type);

	for (uint32_t i = 0; t && btf_is_composite(t) && i < btf_vlen(t); i++) {
		const struct btf_member *m = btf_members(t) + i;
		int at = btf_member_bit_offset(t, i) / 8, inner;

		if (!strcmp(btf__name_by_offset(btf, m->name_off), member))
			return at;
		if (m->name_off || depth == DEPTH_MAX)
			continue;
		inner = member_offset(btf, m->type, member, depth + 1);
		if (inner >= 0)
			return at + inner;
	}
	return -1;
}

void offsets_find(struct masq_offsets *out)
{
	struct btf *btf = btf__load_vmlinux_btf();

	*out = (struct masq_offsets){};
	if (libbpf_get_error(btf)) {
		log_debug("fast path: the kernel has no BTF");
		return;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		int type = btf__find_by_name_kind(btf, wanted[i].type,
						  BTF_KIND_STRUCT);
		int at = type < 0 ? -1
				  : member_offset(btf, type, wanted[i].member,
						  0);

		if (at < 0 && wanted[i].may_lack)
			continue;
		if (at < 0) {
			log_debug("fast path: the kernel has no %s.%s",
				  wanted[i].type, wanted[i].member);
			*out = (struct masq_offsets){};
			break;
		}
		*(uint32_t *)((char *)out + wanted[i].at) = at;
	}
	btf__free(btf);
}

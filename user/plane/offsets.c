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

/* What a kernel has to have, so that the rest is of use. */
enum need {
	ALL, /* all of these */
	TCX, /* these (6.6), ... */
	NO_TCX, /* ... or these */
	MAY_LACK,
	NEEDS
};

static const struct {
	const char *type, *member;
	size_t at; /* in struct masq_offsets */
	enum need need;
} wanted[] = {
#define W(type, member, field, need)                                       \
	{                                                                  \
#type, #member, offsetof(struct masq_offsets, field), need \
	}
	W(sk_buff, dev, skb_dev, ALL),
	W(net_device, nf_hooks_ingress, dev_nf[0], MAY_LACK),
	W(net_device, nf_hooks_egress, dev_nf[1], MAY_LACK),
	W(net_device, qdisc, dev_qdisc, ALL),
	W(Qdisc, enqueue, qdisc_enqueue, ALL),
	W(net_device, tcx_ingress, dev_tcx[0], TCX),
	W(net_device, tcx_egress, dev_tcx[1], TCX),
	W(bpf_mprog_entry, parent, entry_bundle, TCX),
	W(bpf_mprog_bundle, count, bundle_count, TCX),
	W(tcx_entry, bundle, bundle_tcx, TCX),
	W(tcx_entry, miniq, tcx_miniq, TCX),
	W(net_device, miniq_ingress, dev_miniq[0], NO_TCX),
	W(net_device, miniq_egress, dev_miniq[1], NO_TCX),
	/* a kernel without clsact has no filters either */
	W(mini_Qdisc, filter_list, miniq_filters, MAY_LACK),
	W(tcf_proto, next, filters_next, MAY_LACK),
#undef W
};

/* In modules' BTF where they are modules. */
#define CONNTRACK_BTF "/sys/kernel/btf/nf_conntrack"
#define CLS_BPF_BTF   "/sys/kernel/btf/cls_bpf"

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

static int struct_member(const struct btf *btf, const char *type,
			 const char *member)
{
	int id = btf__find_by_name_kind(btf, type, BTF_KIND_STRUCT);

	return id < 0 ? -1 : member_offset(btf, id, member, 0);
}

static bool find_conntrack(const struct btf *btf, struct masq_offsets *out)
{
	int proto = struct_member(btf, "nf_conn", "proto"),
	    seen = struct_member(btf, "ip_ct_tcp", "seen"),
	    flags = struct_member(btf, "ip_ct_tcp_state", "flags"),
	    state = btf__find_by_name_kind(btf, "ip_ct_tcp_state",
					   BTF_KIND_STRUCT);

	if (proto < 0 || seen < 0 || flags < 0 || state < 0)
		return false;
	out->ct_flags = proto + seen + flags;
	out->ct_direction = btf__resolve_size(btf, state);
	return true;
}

/* As it is when the programs are loaded; a module that comes later is not. */
static void conntrack_offsets(struct btf *vmlinux, struct masq_offsets *out)
{
	int nfct = struct_member(vmlinux, "sk_buff", "_nfct");
	struct btf *btf;

	out->skb_nfct = nfct < 0 ? 0 : nfct;
	if (nfct < 0 || find_conntrack(vmlinux, out))
		return;
	btf = btf__parse_split(CONNTRACK_BTF, vmlinux);
	if (libbpf_get_error(btf))
		log_debug("fast path: the kernel does not tell of conntrack");
	else {
		find_conntrack(btf, out);
		btf__free(btf);
	}
}

/*
 * The list is the first thing that cls_bpf has, and was always; its module, which
 * would say so, may come later. Were it not, none would be alone in its list.
 */
static void filter_offsets(struct btf *vmlinux, struct masq_offsets *out)
{
	int root = struct_member(vmlinux, "tcf_proto", "root");
	int list = struct_member(vmlinux, "cls_bpf_head", "plist");
	struct btf *btf = NULL;

	if (list < 0)
		btf = btf__parse_split(CLS_BPF_BTF, vmlinux);
	if (btf && !libbpf_get_error(btf)) {
		list = struct_member(btf, "cls_bpf_head", "plist");
		btf__free(btf);
	}
	out->filters_root = root < 0 ? 0 : root;
	out->bpf_list = list < 0 ? 0 : list;
}

void offsets_find(struct masq_offsets *out)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool lacks[NEEDS] = {};

	*out = (struct masq_offsets){};
	if (libbpf_get_error(btf)) {
		log_debug("fast path: the kernel has no BTF");
		return;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		int at = struct_member(btf, wanted[i].type, wanted[i].member);

		if (at < 0) {
			lacks[wanted[i].need] = true;
			log_debug("fast path: the kernel has no %s.%s",
				  wanted[i].type, wanted[i].member);
			continue;
		}
		*(uint32_t *)((char *)out + wanted[i].at) = at;
	}
	if (lacks[ALL] || (lacks[TCX] && lacks[NO_TCX]))
		*out = (struct masq_offsets){};
	else if (lacks[TCX])
		memset(out->dev_tcx, 0, sizeof(out->dev_tcx));
	if (out->skb_dev) {
		filter_offsets(btf, out);
		conntrack_offsets(btf, out);
	}
	btf__free(btf);
}

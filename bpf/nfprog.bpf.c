// SPDX-License-Identifier: GPL-2.0-only
/*
 * nfprog.bpf.c - has nothing to do with packets: names the BPF programs on
 * netfilter's hooks (links of kernel 6.4 and later) to who reads the iterator, in
 * each network namespace. Walking the links by their ids takes CAP_SYS_ADMIN,
 * which an agent has given up, and does not tell the namespace.
 */
#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include "masqbpf.h"

/* of enum bpf_link_type; not in every linux/bpf.h */
#define LINK_NETFILTER 10

/* As much of the kernel's own as is read; where, its BTF says. */
#define KERNELS __attribute__((preserve_access_index))

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
} KERNELS;

struct bpf_link {
	enum bpf_link_type type;
} KERNELS;

struct bpf_iter__bpf_link {
	struct bpf_iter_meta *meta;
	struct bpf_link *link;
} KERNELS;

struct ns_common {
	unsigned int inum;
} KERNELS;

struct net {
	struct ns_common ns;
} KERNELS;

struct nf_hook_ops {
	unsigned int hooknum;
} KERNELS;

struct bpf_nf_link {
	struct bpf_link link; /* is its first, so that one is the other */
	struct nf_hook_ops hook_ops;
	struct net *net;
} KERNELS;

SEC("iter/bpf_link")
int masq_nf_progs(struct bpf_iter__bpf_link *ctx)
{
	struct bpf_nf_link *link = (struct bpf_nf_link *)ctx->link;
	struct masq_nf_prog found = {};

	if (!link || link->link.type != LINK_NETFILTER)
		return 0;
	found.netns = BPF_CORE_READ(link, net, ns.inum);
	found.hook = BPF_CORE_READ(link, hook_ops.hooknum);
	bpf_seq_write(ctx->meta->seq, &found, sizeof(found));
	return 0;
}

char _license[] SEC("license") = "GPL";

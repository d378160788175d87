// SPDX-License-Identifier: GPL-2.0-only
/* probe.c - asked of the kernel itself, not of its version. */
#include <errno.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/stat.h>
#include "masqbpf.h"
#include "plane/probe.h"

/* BPF_FIB_LOOKUP_SRC and _MARK; the names are not in every linux/bpf.h. */
#define FIB_LOOKUP_SRC	(1 << 4)
#define FIB_LOOKUP_MARK (1 << 5)

/*
 * Does bpf_fib_lookup know this flag? It refuses those that it does not know
 * before it looks at the address family, and no family is 0.
 */
static bool probe_fib(int flag)
{
	const int params_size = sizeof(struct bpf_fib_lookup);
	struct bpf_insn insns[32], *i = insns;
	unsigned char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet,
		    .data_size_in = sizeof(packet), .repeat = 1);
	int fd, err;

#define INSN(...) (*i++ = (struct bpf_insn){ __VA_ARGS__ })
	for (int offset = 8; offset <= params_size; offset += 8)
		INSN(.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10,
		     .off = -offset);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2,
	     .src_reg = BPF_REG_10);
	INSN(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2,
	     .imm = -params_size);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3,
	     .imm = params_size);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4,
	     .imm = flag);
	INSN(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_fib_lookup);
	INSN(.code = BPF_JMP | BPF_EXIT);
#undef INSN
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "masq_probe", "GPL", insns,
			   i - insns, NULL);
	if (fd < 0)
		return false;
	err = bpf_prog_test_run_opts(fd, &run);
	close(fd);
	return !err && (int)run.retval == -EAFNOSUPPORT;
}

bool probe_kernel_memory(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X,
		  .dst_reg = BPF_REG_3,
		  .src_reg = BPF_REG_1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X,
		  .dst_reg = BPF_REG_1,
		  .src_reg = BPF_REG_10 },
		{ .code = BPF_ALU64 | BPF_ADD | BPF_K,
		  .dst_reg = BPF_REG_1,
		  .imm = -8 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K,
		  .dst_reg = BPF_REG_2,
		  .imm = 8 },
		{ .code = BPF_JMP | BPF_CALL,
		  .imm = BPF_FUNC_probe_read_kernel },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "masq_probe", "GPL",
			       insns, sizeof(insns) / sizeof(*insns), NULL);

	if (fd >= 0)
		close(fd);
	return fd != -EINVAL;
}

bool probe_conntrack_module(void)
{
	struct stat st;

	return !stat("/sys/kernel/btf/nf_conntrack", &st);
}

enum probe_ct probe_conntrack(void)
{
	static const char name[] = "bpf_skb_ct_lookup";
	struct btf *kernel = btf__load_vmlinux_btf(), *module;
	enum probe_ct there = PROBE_CT_NONE;
	uint32_t id;

	if (!kernel)
		return PROBE_CT_NONE;
	if (btf__find_by_name_kind(kernel, name, BTF_KIND_FUNC) > 0) {
		there = PROBE_CT_USABLE;
	} else {
		module = btf__load_module_btf("nf_conntrack", kernel);
		if (module &&
		    btf__find_by_name_kind(module, name, BTF_KIND_FUNC) > 0)
			/* libbpf looks through all BTF for the module's */
			there = bpf_btf_get_next_id(0, &id) == -EPERM
					? PROBE_CT_FORBIDDEN
					: PROBE_CT_USABLE;
		btf__free(module);
	}
	btf__free(kernel);
	return there;
}

static bool probe_loop(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop,
				       NULL) == 1;
}

uint32_t probe_features(void)
{
	uint32_t features = 0;

	if (probe_loop())
		features |= MASQ_FEAT_LOOP;
	if (probe_fib(FIB_LOOKUP_SRC))
		features |= MASQ_FEAT_FIB_SRC;
	if (probe_fib(FIB_LOOKUP_MARK))
		features |= MASQ_FEAT_FIB_MARK;
	if (features & MASQ_FEAT_LOOP && probe_kernel_memory() &&
	    probe_conntrack() == PROBE_CT_USABLE)
		features |= MASQ_FEAT_CT;
	return features;
}

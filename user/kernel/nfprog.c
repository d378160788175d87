// SPDX-License-Identifier: GPL-2.0-only
/* nfprog.c - see nfprog.h. */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/netfilter.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/nfprog.h"
#include "masqbpf.h"
#include "masq_nfprog.skel.h"

/* enum bpf_prog_type and enum bpf_attach_type of kernel 6.4 */
#define PROG_TYPE_NETFILTER 32
#define ATTACH_NETFILTER    45

/* The kernel says EINVAL of a type that it does not know. */
static int kernel_has_them(void)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = NF_ACCEPT },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts,
		    .expected_attach_type = ATTACH_NETFILTER);
	int fd = bpf_prog_load(PROG_TYPE_NETFILTER, "masq_probe", "GPL", insns,
			       sizeof(insns) / sizeof(*insns), &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 1 : fd == -EINVAL ? 0 : fd;
}

/* The iterator's link, or -errno. */
static int load(void)
{
	libbpf_print_fn_t print = libbpf_set_print(NULL);
	struct masq_nfprog *skel = masq_nfprog__open_and_load();
	int link = skel ? bpf_link_create(
				  bpf_program__fd(skel->progs.masq_nf_progs), 0,
				  BPF_TRACE_ITER, NULL)
			: -errno;

	libbpf_set_print(print);
	masq_nfprog__destroy(skel);
	return link;
}

static bool is_on_the_way(const struct masq_nf_prog *prog, uint32_t netns)
{
	return prog->netns == netns && prog->hook != NF_INET_LOCAL_IN &&
	       prog->hook != NF_INET_LOCAL_OUT;
}

static int read_all(int fd, uint32_t netns)
{
	struct masq_nf_prog progs[64];
	int found = 0;

	for (;;) {
		ssize_t got = read(fd, progs, sizeof(progs));

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got ? -errno : found;
		if (got % sizeof(*progs))
			return -EIO;
		for (size_t i = 0; i < got / sizeof(*progs); i++)
			found |= is_on_the_way(&progs[i], netns);
	}
}

int nfprog_meets_forwarded(void)
{
	static int has = -1, link = -1;
	struct stat netns;
	int fd, err;

	if (has < 0)
		has = kernel_has_them();
	if (has <= 0)
		return has;
	if (link < 0)
		link = load();
	if (link < 0)
		return link;
	if (stat("/proc/self/ns/net", &netns))
		return -errno;
	fd = bpf_iter_create(link);
	if (fd < 0)
		return fd;
	err = read_all(fd, netns.st_ino);
	close(fd);
	return err;
}

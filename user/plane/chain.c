// SPDX-License-Identifier: GPL-2.0-only
/* chain.c - programs by their ids. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <linux/bpf.h>
#include "plane/chain.h"

const char *hook_kind_name(enum hook_kind kind)
{
	static const char *const names[] = { "tcx", "tc", "auto" };

	return names[kind];
}

const char *hook_dir_name(enum hook_dir dir)
{
	return dir == HOOK_INGRESS ? "ingress" : "egress";
}

int chain_prog_for(const struct instance *instance,
		   const struct netdev_link *link, enum hook_dir dir)
{
	bool ethernet = netdev_is_ethernet(link);

	if (dir == HOOK_INGRESS)
		return instance->prog[ethernet ? PROG_masq_ingress
					       : PROG_masq_ingress_l3];
	return instance
		->prog[ethernet ? PROG_masq_egress : PROG_masq_egress_l3];
}

int chain_is_ours(const struct instance *instance, uint32_t id, char *name,
		  size_t len, bool *ours)
{
	*ours = false;
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		struct bpf_prog_info info = {};
		uint32_t length = sizeof(info);
		int err;

		if (instance->prog[i] < 0)
			continue;
		err = bpf_obj_get_info_by_fd(instance->prog[i], &info, &length);
		if (err)
			return err;
		if (info.id != id)
			continue;
		/* libbpf may have loaded it without a name */
		snprintf(name, len, "%s", prog_names[i]);
		*ours = true;
		break;
	}
	return 0;
}

struct hook_prog *chain_add(struct hook_chain *chain)
{
	struct hook_prog *progs =
		reallocarray(chain->progs, chain->count + 1, sizeof(*progs));

	if (!progs)
		return NULL;
	chain->progs = progs;
	progs += chain->count++;
	*progs = (struct hook_prog){};
	return progs;
}

/* Needs CAP_SYS_ADMIN; without it the program has no name. */
static void read_name(struct hook_prog *prog)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog->id);

	if (fd < 0)
		return;
	if (!bpf_obj_get_info_by_fd(fd, &info, &length))
		snprintf(prog->name, sizeof(prog->name), "%s", info.name);
	close(fd);
}

int chain_judge(const struct instance *instance, struct hook_prog *prog)
{
	int err;

	if (!prog->id)
		return 0;
	err = chain_is_ours(instance, prog->id, prog->name, sizeof(prog->name),
			    &prog->ours);
	if (err)
		return err;
	if (!prog->ours)
		read_name(prog); /* better than the one that tc was given */
	prog->masqbpf = prog->ours || !strncmp(prog->name, "masq_egress", 11) ||
			!strncmp(prog->name, "masq_ingress", 12);
	return 0;
}

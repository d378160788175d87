// SPDX-License-Identifier: GPL-2.0-only
/* jumps.c - by iptables, with the rules' own words. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "base/tool.h"
#include "takeover/chain.h"
#include "takeover/jumps.h"

size_t jumps_count(const struct masq_chains *chains)
{
	size_t jumps = 0;

	for (size_t i = 0; i < chains->count; i++)
		jumps += chains->items[i].jump_count;
	return jumps;
}

/* iptables ... VERB POSTROUTING [NUMBER] the rule's own words */
static int change_jump(const struct masq_chain *chain,
		       const struct chain_rule *jump, bool back)
{
	char *argv[MASQ_CHAIN_WORDS + 10], number[16];
	size_t n = 0;
	int err;

	argv[n++] = (char *)chain->tool;
	argv[n++] = "-w";
	argv[n++] = "10";
	argv[n++] = "-t";
	argv[n++] = "nat";
	argv[n++] = back ? "-I" : "-D";
	argv[n++] = jump->words[1];
	snprintf(number, sizeof(number), "%u", jump->number);
	if (back)
		argv[n++] = number;
	for (size_t i = 2; i < jump->count; i++)
		argv[n++] = jump->words[i];
	argv[n] = NULL;
	err = tool_run(argv, NULL, NULL);
	if (err)
		log_error("%s: cannot %s the jump to %s: %s", chain->tool,
			  back ? "put back" : "remove", chain->name,
			  tool_why(err));
	return err;
}

/* From the last of a chain to its first, so that numbers stay true. */
int jumps_remove(const struct masq_chains *chains, size_t *removed)
{
	int err = 0;

	for (size_t c = 0; c < chains->count; c++) {
		const struct masq_chain *chain = &chains->items[c];

		for (size_t i = chain->jump_count; i-- && !err;) {
			err = change_jump(chain, &chain->jumps[i], false);
			/* one that failed may have done it before */
			(*removed)++;
		}
	}
	return err;
}

/* -errno: it cannot be known. */
static ssize_t jumps_now(const struct masq_chain *chain)
{
	struct masq_chains now;
	size_t count = 0;
	int err = masq_chains_find(chain->name, &now);

	if (err)
		return err == -ENOENT ? 0 : err;
	for (size_t i = 0; i < now.count; i++)
		if (!strcmp(now.items[i].tool, chain->tool))
			count = now.items[i].jump_count;
	masq_chains_free(&now);
	return count;
}

void jumps_put_back(const struct masq_chains *chains, size_t removed)
{
	size_t left = removed;

	for (size_t c = 0; c < chains->count && left; c++) {
		const struct masq_chain *chain = &chains->items[c];
		size_t first =
			left < chain->jump_count ? chain->jump_count - left : 0;
		ssize_t now = jumps_now(chain);

		left -= chain->jump_count - first;
		/* those that are there are the first ones */
		for (size_t i = now < 0 ? first : (size_t)now;
		     i < chain->jump_count; i++)
			change_jump(chain, &chain->jumps[i], true);
	}
}

int jumps_verify(const struct masq_chains *chains)
{
	struct masq_chains now;
	size_t jumps;
	int err = masq_chains_find(chains->items[0].name, &now);

	if (err)
		return err == -ENOENT ? 0 : err;
	jumps = jumps_count(&now);
	masq_chains_free(&now);
	if (!jumps)
		return 0;
	log_error("%s: the jump is back: ip-masq-agent runs still; stop it "
		  "(kubectl -n kube-system delete daemonset ip-masq-agent)",
		  chains->items[0].name);
	return -EEXIST;
}

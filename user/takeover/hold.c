// SPDX-License-Identifier: GPL-2.0-only
/*
 * hold.c - a table of nft or, where there is no nft, one rule in the nat table
 * of legacy iptables. An empty nat chain is not enough: it holds nat and not
 * conntrack; hence the ct state.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/tool.h"
#include "kernel/foreign.h"
#include "takeover/chain.h"
#include "takeover/hold.h"

#define TABLE "masqbpf_migrate"

/* Behind all others at this hook, who have decided by then. */
static const char nft_install[] =
	"table inet " TABLE " {\n"
	"	chain hold {\n"
	"		type nat hook postrouting priority 300;\n"
	"		ct state new accept\n"
	"	}\n"
	"}\n";

#define LEGACY_RULE                                                          \
	"POSTROUTING", "-d", "255.255.255.255/32", "-m", "conntrack",        \
		"--ctstate", "INVALID", "-m", "comment", "--comment", TABLE, \
		"-j", "RETURN"

static int nft(const char *input)
{
	char *argv[] = { "nft", "-f", "-", NULL };

	return tool_run(argv, input, NULL);
}

static int legacy(char *verb)
{
	char *argv[] = { "iptables-legacy", "-w", "5", "-t", "nat", verb,
			 LEGACY_RULE,	    NULL };

	return tool_run(argv, NULL, NULL);
}

static int legacy_is_there(void)
{
	char *argv[] = { "iptables-legacy-save", "-t", "nat", NULL };
	char *output = NULL;
	int err = tool_run(argv, NULL, &output);
	bool there = output && strstr(output, "--comment " TABLE " ");

	if (!err && !iptables_saved_whole(output))
		err = -EBADMSG;

	free(output);
	if (err == -ENOENT) /* the tool that would have made it */
		return 0;
	return err > 0 ? -EIO : err ?: there;
}

static int say(const char *what, int err)
{
	if (err)
		log_error("%s: cannot %s: %s", TABLE, what, tool_why(err));
	return err > 0 ? -EIO : err;
}

int hold_is_there(void)
{
	int there = tool_exists("nft") ? foreign_nft_table(TABLE)
				       : legacy_is_there();

	return there < 0 ? say("look for it", there) : there;
}

/* What a tool says that it has done is there, or is gone. */
static int verify(const char *what, bool wanted)
{
	int there = hold_is_there();

	if (there < 0 || there == wanted)
		return there < 0 ? there : 0;
	log_error("%s: cannot %s: %s says that it did, and did not", TABLE,
		  what, tool_exists("nft") ? "nft" : "iptables-legacy");
	return -EIO;
}

int hold_install(void)
{
	int there = hold_is_there();

	if (there)
		return there < 0 ? there : 0;
	return say("install it",
		   tool_exists("nft") ? nft(nft_install) : legacy("-A"))
		       ?: verify("install it", true);
}

int hold_remove(void)
{
	int there = hold_is_there();

	if (there <= 0)
		return there;
	return say("remove it", tool_exists("nft")
					? nft("delete table inet " TABLE "\n")
					: legacy("-D"))
		       ?: verify("remove it", false);
}

const char *hold_text(void)
{
	return tool_exists("nft")
		       ? "nft: add table inet " TABLE
		       : "iptables-legacy: add a rule with comment " TABLE
			 " to POSTROUTING";
}

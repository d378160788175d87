// SPDX-License-Identifier: GPL-2.0-only
/*
 * masqchain.c - finding ip-masq-agent's chain. iptables-save is asked rather
 * than the kernel: what it prints is what iptables takes back.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "masqchain.h"
#include "out.h"
#include "tool.h"

/* ip-masq-agent's default, and that of the Kubernetes add-on and of GKE */
static const char *const names[] = { "IP-MASQ-AGENT", "IP-MASQ" };

struct variant {
	const char *save, *tool;
	uint8_t family;
	const char *proc; /* legacy: tables that are there; saving makes one */
};

static const struct variant variants[] = {
	{ "iptables-nft-save", "iptables-nft", 4, NULL },
	{ "ip6tables-nft-save", "ip6tables-nft", 6, NULL },
	{ "iptables-legacy-save", "iptables-legacy", 4,
	  "/proc/net/ip_tables_names" },
	{ "ip6tables-legacy-save", "ip6tables-legacy", 6,
	  "/proc/net/ip6_tables_names" },
};

/* Where there is but one iptables, it has the plain names. */
static const struct variant plain[] = {
	{ "iptables-save", "iptables", 4, NULL },
	{ "ip6tables-save", "ip6tables", 6, NULL },
};

/* --- reading ----------------------------------------------------------- */

/* The words of a line, quotes and backslashes resolved. */
static int split(const char *line, struct chain_rule *rule)
{
	*rule = (struct chain_rule){};
	while (*line) {
		char word[512];
		size_t length = 0;
		bool quoted = false;

		while (*line == ' ')
			line++;
		if (!*line)
			break;
		for (; *line && (quoted || *line != ' '); line++) {
			if (*line == '"') {
				quoted = !quoted;
				continue;
			}
			if (*line == '\\' && line[1])
				line++;
			if (length + 1 < sizeof(word))
				word[length++] = *line;
		}
		word[length] = '\0';
		if (rule->count == MASQ_CHAIN_WORDS)
			return -E2BIG;
		rule->words[rule->count] = strdup(word);
		if (!rule->words[rule->count++])
			return -ENOMEM;
	}
	return 0;
}

static void free_rules(struct chain_rule *rules, size_t count)
{
	for (size_t i = 0; i < count; i++)
		for (size_t w = 0; w < rules[i].count; w++)
			free(rules[i].words[w]);
	free(rules);
}

static void free_chain(struct masq_chain *chain)
{
	free_rules(chain->rules, chain->rule_count);
	free_rules(chain->jumps, chain->jump_count);
}

void masq_chains_free(struct masq_chains *chains)
{
	for (size_t i = 0; i < chains->count; i++)
		free_chain(&chains->items[i]);
	free(chains->items);
	*chains = (struct masq_chains){};
}

static int keep_rule(struct chain_rule **rules, size_t *count,
		     const struct chain_rule *rule)
{
	struct chain_rule *grown =
		reallocarray(*rules, *count + 1, sizeof(*grown));

	if (!grown)
		return -ENOMEM;
	*rules = grown;
	grown[(*count)++] = *rule;
	return 0;
}

static bool jumps_to(const struct chain_rule *rule, const char *name)
{
	for (size_t i = 2; i + 1 < rule->count; i++)
		if ((!strcmp(rule->words[i], "-j") ||
		     !strcmp(rule->words[i], "-g")) &&
		    !strcmp(rule->words[i + 1], name))
			return true;
	return false;
}

static int read_line(struct masq_chain *chain, const char *line,
		     unsigned int *posts)
{
	struct chain_rule rule;
	int err = split(line, &rule);

	if (!err && rule.count > 2 && !strcmp(rule.words[1], chain->name)) {
		rule.number = chain->rule_count + 1;
		err = keep_rule(&chain->rules, &chain->rule_count, &rule);
		if (!err)
			return 0;
	} else if (!err && rule.count > 2 &&
		   !strcmp(rule.words[1], "POSTROUTING")) {
		rule.number = ++*posts;
		if (jumps_to(&rule, chain->name)) {
			err = keep_rule(&chain->jumps, &chain->jump_count,
					&rule);
			if (!err)
				return 0;
		}
	}
	for (size_t w = 0; w < rule.count; w++)
		free(rule.words[w]);
	return err;
}

/* 1: the chain is there. */
static int read_chain(const char *saved, struct masq_chain *chain)
{
	size_t length = strlen(chain->name);
	unsigned int posts = 0;
	bool nat = false, found = false;
	char *copy = strdup(saved), *line, *save;
	int err = copy ? 0 : -ENOMEM;

	for (line = err ? NULL : strtok_r(copy, "\n", &save); line && !err;
	     line = strtok_r(NULL, "\n", &save)) {
		if (*line == '*')
			nat = !strcmp(line, "*nat");
		else if (nat && *line == ':')
			found |= !strncmp(line + 1, chain->name, length) &&
				 line[1 + length] == ' ';
		else if (nat && !strncmp(line, "-A ", 3))
			err = read_line(chain, line, &posts);
	}
	free(copy);
	return err ?: found;
}

static bool has_nat(const char *path)
{
	FILE *file = fopen(path, "re");
	char name[64];
	bool found = false;

	while (file && fgets(name, sizeof(name), file))
		found |= !strcmp(name, "nat\n");
	if (file)
		fclose(file);
	return found;
}

static int look(const struct variant *variant, const char *name,
		struct masq_chains *all)
{
	char *argv[] = { (char *)variant->save, "-t", "nat", NULL };
	struct masq_chain chain = { .tool = variant->tool,
				    .family = variant->family };
	struct masq_chain *grown;
	char *saved = NULL;
	int err;

	if (variant->proc && !has_nat(variant->proc))
		return 0;
	err = tool_run(argv, NULL, &saved);
	if (err) /* not installed, or without such tables */
		return err == -ENOMEM ? err : 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(chain.name, sizeof(chain.name), "%s",
			 name ?: names[i]);
		chain.rules = chain.jumps = NULL;
		chain.rule_count = chain.jump_count = 0;
		err = read_chain(saved, &chain);
		if (err == 1) {
			grown = reallocarray(all->items, all->count + 1,
					     sizeof(*grown));
			err = grown ? 0 : -ENOMEM;
			if (grown) {
				all->items = grown;
				grown[all->count++] = chain;
				chain.rules = chain.jumps = NULL;
				chain.rule_count = chain.jump_count = 0;
			}
		}
		free_chain(&chain);
		if (err || name)
			break;
	}
	free(saved);
	return err;
}

/* Drops those that no packet gets to, when there are others. */
static void drop_unused(struct masq_chains *chains)
{
	size_t used = 0, kept = 0;

	for (size_t i = 0; i < chains->count; i++)
		used += chains->items[i].jump_count > 0;
	for (size_t i = 0; used && i < chains->count; i++) {
		if (chains->items[i].jump_count)
			chains->items[kept++] = chains->items[i];
		else
			free_chain(&chains->items[i]);
	}
	if (used)
		chains->count = kept;
}

int masq_chains_find(const char *name, struct masq_chains *out)
{
	bool plain_only = !tool_exists("iptables-nft-save") &&
			  !tool_exists("iptables-legacy-save");
	const struct variant *from = plain_only ? plain : variants;
	size_t count = plain_only ? sizeof(plain) / sizeof(plain[0])
				  : sizeof(variants) / sizeof(variants[0]);
	struct masq_chains all = {};
	int err = 0;

	if (plain_only && !tool_exists("iptables-save")) {
		log_error("iptables-save: cannot read the rules: no such "
			  "program; install iptables");
		return -ENOENT;
	}
	for (size_t i = 0; i < count && !err; i++)
		err = look(&from[i], name, &all);
	if (err) {
		log_error("iptables: cannot read the rules: %s",
			  strerror(-err));
		goto fail;
	}
	drop_unused(&all);
	if (!all.count) {
		log_error("%s: no such chain in the nat tables%s",
			  name ?: "IP-MASQ-AGENT, IP-MASQ",
			  name ? "" : "; --chain names another");
		err = -ENOENT;
		goto fail;
	}
	for (size_t i = 0; i < all.count; i++)
		for (size_t j = 0; j < i; j++) {
			const struct masq_chain *a = &all.items[i];
			const struct masq_chain *b = &all.items[j];

			if (a->family != b->family && !strcmp(a->name, b->name))
				continue;
			log_error("%s (%s) and %s (%s) are both there: "
				  "remove one, or name it with --chain",
				  b->name, b->tool, a->name, a->tool);
			err = -EEXIST;
			goto fail;
		}
	*out = all;
	return 0;
fail:
	masq_chains_free(&all);
	return err;
}

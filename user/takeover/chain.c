// SPDX-License-Identifier: GPL-2.0-only
/*
 * chain.c - finding ip-masq-agent's chain. iptables-save is asked rather
 * than the kernel: what it prints is what iptables takes back.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/log.h"
#include "base/tool.h"
#include "kernel/foreign.h"
#include "kernel/iptables.h"
#include "takeover/chain.h"

/* ip-masq-agent's default, and that of the Kubernetes add-on and of GKE */
static const char *const names[] = { "IP-MASQ-AGENT", "IP-MASQ" };

struct variant {
	const char *save, *tool;
	uint8_t family;
	bool legacy; /* saving makes a table that is not there */
};

static const struct variant variants[] = {
	{ "iptables-nft-save", "iptables-nft", 4, false },
	{ "ip6tables-nft-save", "ip6tables-nft", 6, false },
	{ "iptables-legacy-save", "iptables-legacy", 4, true },
	{ "ip6tables-legacy-save", "ip6tables-legacy", 6, true },
};

/* Where there is but one iptables, it has the plain names. */
static const struct variant plain[] = {
	{ "iptables-save", "iptables", 4, false },
	{ "ip6tables-save", "ip6tables", 6, false },
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
			else
				rule->cut = true;
		}
		word[length] = '\0';
		if (rule->count == MASQ_CHAIN_WORDS) {
			rule->cut = true;
			break;
		}
		rule->words[rule->count] = strdup(word);
		if (!rule->words[rule->count++])
			return -ENOMEM;
	}
	return 0;
}

static void free_rule(struct chain_rule *rule)
{
	for (size_t w = 0; w < rule->count; w++)
		free(rule->words[w]);
}

static void free_chain(struct masq_chain *chain)
{
	for (size_t i = 0; i < chain->table_size; i++) {
		for (size_t r = 0; r < chain->table[i].count; r++)
			free_rule(&chain->table[i].rules[r]);
		free(chain->table[i].rules);
		free(chain->table[i].name);
	}
	free(chain->table);
	free(chain->jumps);
}

void masq_chains_free(struct masq_chains *chains)
{
	for (size_t i = 0; i < chains->count; i++)
		free_chain(&chains->items[i]);
	free(chains->items);
	*chains = (struct masq_chains){};
}

/* Room for one more item, which is not yet counted; NULL: no memory. */
static void *grow(void *items, size_t count, size_t size)
{
	void **array = items, *grown = *array;

	if (!(count & (count - 1))) { /* none or a power of two: full */
		grown = reallocarray(grown, count ? 2 * count : 1, size);
		if (!grown)
			return NULL;
		*array = grown;
	}
	return (char *)grown + size * count;
}

static struct nat_chain *masq_chain_find(const struct masq_chain *chain,
					 const char *name)
{
	for (size_t i = 0; i < chain->table_size; i++)
		if (!strcmp(chain->table[i].name, name))
			return &chain->table[i];
	return NULL;
}

/* ":NAME POLICY [0:0]" */
static int add_chain(struct masq_chain *chain, const char *line)
{
	struct nat_chain *new =
		grow(&chain->table, chain->table_size, sizeof(*new));

	if (!new)
		return -ENOMEM;
	*new = (struct nat_chain){
		.name = strndup(line, strcspn(line, " ")),
	};
	chain->table_size += !!new->name;
	return new->name ? 0 : -ENOMEM;
}

/* "-A NAME ...": *last is where the one before went, as a rule the same. */
static int add_rule(struct masq_chain *chain, const char *line,
		    struct nat_chain **last)
{
	struct chain_rule rule, *new;
	int err = split(line, &rule);

	if (!err && rule.count < 2)
		err = -EBADMSG;
	if (!err && (!*last || strcmp((*last)->name, rule.words[1])))
		*last = masq_chain_find(chain, rule.words[1]);
	if (!err && !*last)
		err = -EBADMSG;
	new = err ? NULL : grow(&(*last)->rules, (*last)->count, sizeof(*new));
	if (!new) {
		free_rule(&rule);
		return err ?: -ENOMEM;
	}
	*new = rule;
	new->number = ++(*last)->count;
	return 0;
}

bool iptables_saved_whole(const char *saved)
{
	bool inside = false;

	for (const char *line = saved; *line;) {
		size_t length = strcspn(line, "\n");

		if (line[length] != '\n') /* the last one is cut */
			return false;
		if (*line == '*' && !inside)
			inside = true;
		else if (length == 6 && !strncmp(line, "COMMIT", 6) && inside)
			inside = false;
		else if (length && *line != '#' &&
			 (!inside || !strchr(":-[", *line)))
			return false;
		line += length + 1;
	}
	return !inside;
}

static int read_table(const char *saved, struct masq_chain *chain)
{
	char *copy = strdup(saved), *line, *save;
	struct nat_chain *last = NULL;
	int err = copy ? 0 : -ENOMEM;
	bool nat = false;

	for (line = err ? NULL : strtok_r(copy, "\n", &save); line && !err;
	     line = strtok_r(NULL, "\n", &save)) {
		if (*line == '*') {
			nat = !strcmp(line, "*nat");
		} else if (nat && *line == ':') {
			err = add_chain(chain, line + 1);
			last = NULL; /* the array may have moved */
		} else if (nat && !strncmp(line, "-A ", 3)) {
			err = add_rule(chain, line, &last);
		}
	}
	free(copy);
	return err;
}

static bool chain_rule_jumps(const struct chain_rule *rule, const char *name)
{
	for (size_t i = 2; i + 1 < rule->count; i++) {
		if (!strcmp(rule->words[i], "--comment"))
			i++; /* may be any word */
		else if (!strcmp(rule->words[i], "-j") ||
			 !strcmp(rule->words[i], "-g"))
			return !strcmp(rule->words[i + 1], name);
	}
	return false;
}

static int find_jumps(struct masq_chain *chain)
{
	const struct nat_chain *post = masq_chain_find(chain, "POSTROUTING");

	for (size_t i = 0; post && i < post->count; i++) {
		struct chain_rule *jump;

		if (!chain_rule_jumps(&post->rules[i], chain->name))
			continue;
		jump = grow(&chain->jumps, chain->jump_count, sizeof(*jump));
		if (!jump)
			return -ENOMEM;
		*jump = post->rules[i];
		chain->jump_count++;
	}
	return 0;
}

/*
 * Is there nothing that this tool could not read? Its failing may mean that
 * the kernel has no such tables: only the kernel can tell.
 */
static bool has_no_rules(const struct variant *variant)
{
	struct foreign_nat nat;
	bool none;

	if (variant->legacy) /* they were there a moment ago */
		return false;
	none = !foreign_nat_find(&nat) && !nat.unreadable;
	for (size_t i = 0; i < nat.count; i++)
		none &= strncmp(nat.rules[i].where, "nft ", 4) != 0;
	foreign_nat_free(&nat);
	return none;
}

/* What the tool saves: 0 and *saved, NULL where there is nothing to save. */
static int save_table(const struct variant *variant, char **saved)
{
	char *argv[] = { (char *)variant->save, "-t", "nat", NULL };
	int err, has;

	*saved = NULL;
	if (variant->legacy)
		has = iptables_has(variant->family, "nat");
	else
		has = tool_exists(variant->save);
	if (!has)
		return 0;
	err = has < 0 ? has : tool_run(argv, NULL, saved);
	if (!err && !iptables_saved_whole(*saved))
		err = -EBADMSG;
	if (!err)
		return 0;
	free(*saved);
	*saved = NULL;
	if (err != -ENOMEM && has_no_rules(variant))
		return 0;
	log_error("%s: cannot read the rules: %s", variant->save,
		  tool_why(err));
	return err < 0 && err != -ENOENT ? err : -EIO;
}

static int look(const struct variant *variant, const char *name,
		struct masq_chains *all, bool *unknown)
{
	char *saved;
	int err = save_table(variant, &saved);

	if (err || !saved)
		return err;
	/* it has rules that only nft can show */
	*unknown |= strstr(saved, "is incompatible") != NULL;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct masq_chain chain = { .tool = variant->tool,
					    .family = variant->family };
		struct masq_chain *grown = NULL;

		snprintf(chain.name, sizeof(chain.name), "%s",
			 name ?: names[i]);
		err = read_table(saved, &chain);
		if (!err && masq_chain_find(&chain, chain.name)) {
			err = find_jumps(&chain);
			grown = err ? NULL
				    : reallocarray(all->items, all->count + 1,
						   sizeof(*grown));
			err = err ?: grown ? 0 : -ENOMEM;
		}
		if (grown) {
			all->items = grown;
			grown[all->count++] = chain;
		} else {
			free_chain(&chain);
		}
		if (err || name)
			break;
	}
	free(saved);
	if (err)
		log_error("%s: cannot read the rules: %s", variant->save,
			  tool_why(err));
	return err;
}

static bool has_family(const struct masq_chains *chains, uint8_t family)
{
	for (size_t i = 0; i < chains->count; i++)
		if (chains->items[i].family == family)
			return true;
	return false;
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
	bool unknown[2] = {}; /* IPv4, IPv6: a table could not be shown */
	int err = 0;

	if (plain_only && !tool_exists("iptables-save")) {
		log_error("iptables-save: cannot read the rules: no such "
			  "program; install iptables");
		return -EIO; /* not -ENOENT, which is: no such chain */
	}
	for (size_t i = 0; i < count && !err; i++)
		err = look(&from[i], name, &all, &unknown[from[i].family == 6]);
	for (int six = 0; six < 2 && !err; six++)
		if (unknown[six] && !has_family(&all, six ? 6 : 4)) {
			log_error(
				"%s: cannot read the rules: the nat table has "
				"some that only nft can show",
				six ? "ip6tables" : "iptables");
			err = -EBADMSG;
		}
	if (err)
		goto fail;
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

// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_cidr.c - `masqbpf cidr list|add|del|set`: the destination prefixes at
 * runtime. A change lasts until the config file's content changes or reload.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/color.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/table.h"
#include "cli/change.h"
#include "cli/cmd.h"
#include "policy/policy.h"
#include "policy/read.h"

/* A policy being changed, and where the change came from. */
struct edit {
	const struct cmd_line *line;
	struct instance *instance;
	struct policy *policy;
	const struct policy_entry *added; /* by `cidr add`; NULL */
	const struct policy_entry *deleted; /* by `cidr del`; NULL */
};

static const char *entry_text(const struct policy *policy,
			      const struct policy_entry *entry, char *buf,
			      size_t len)
{
	char cidr[CIDR_STRLEN], origin[320];

	snprintf(buf, len, "%s %s (%s)",
		 cidr_format(&entry->cidr, cidr, sizeof(cidr)),
		 action_name(entry->action),
		 policy_origin(policy, entry, origin, sizeof(origin)));
	return buf;
}

/* --- list -------------------------------------------------------------- */

static const struct {
	uint8_t list;
	const char *key;
	const char *what; /* for people; NULL: the entry's action */
} lists[] = {
	{ MASQ_L_DST, "prefixes", NULL },
	{ MASQ_L_POD, "podCIDRs", "pod" },
	{ MASQ_L_KEEP_SOURCE, "nonMasqueradeSrcCIDRs", "keep source" },
};

#define LISTS (sizeof(lists) / sizeof(*lists))

static void list_json(const struct policy *policy)
{
	char text[320];
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", policy->head.generation);
	for (size_t i = 0; i < LISTS; i++) {
		json_array(&j, lists[i].key);
		for (size_t k = 0; k < policy->count; k++) {
			const struct policy_entry *entry = &policy->entries[k];

			if (entry->list != lists[i].list)
				continue;
			json_object(&j, NULL);
			json_string(&j, "prefix",
				    cidr_format(&entry->cidr, text,
						sizeof(text)));
			if (entry->list == MASQ_L_DST)
				json_string(&j, "action",
					    action_name(entry->action));
			json_string(&j, "origin",
				    policy_origin(policy, entry, text,
						  sizeof(text)));
			json_u64(&j, "since", entry->since);
			json_object_end(&j);
		}
		json_array_end(&j);
	}
	json_object_end(&j);
	json_end(&j);
}

static void list_table(const struct policy *policy)
{
	static const char *const headers[] = { "PREFIX", "ACTION",
					       ">GENERATION", "ORIGIN", NULL };
	struct table *t = table_new(headers);
	char text[320];

	for (size_t i = 0; i < LISTS; i++) {
		for (size_t k = 0; k < policy->count; k++) {
			const struct policy_entry *entry = &policy->entries[k];

			if (entry->list != lists[i].list)
				continue;
			table_cell(t, "%s",
				   cidr_format(&entry->cidr, text,
					       sizeof(text)));
			table_cell(t, "%s",
				   lists[i].what ?: action_name(entry->action));
			if (entry->action == MASQ_KEEP)
				table_color(t, color_yellow(stdout));
			table_cell(t, "%u", entry->since);
			table_cell(t, "%s%s",
				   policy_origin(policy, entry, text,
						 sizeof(text)),
				   policy_off_note(policy, entry));
			table_row_end(t);
		}
	}
	table_print(t, stdout);
}

/* Which action it is, for how long, and how it stays. */
static void say_added(const struct edit *edit, struct policy *from)
{
	const struct policy_entry *was =
		policy_find(from, MASQ_L_DST, &edit->added->cidr);
	bool keep = edit->added->action == MASQ_KEEP;
	const struct masq_source *source = &edit->policy->source;
	bool file = *source->config_path == '/';
	char text[CIDR_STRLEN];

	cidr_format(&edit->added->cidr, text, sizeof(text));
	log_info("cidr add: %s: %s: %s; until reload%s", text,
		 action_name(edit->added->action),
		 cidr_no_effect(&edit->added->cidr) ? "of no effect"
		 : keep ? "pods show their own addresses there"
			: "pods get the node's address there",
		 file ? ", or until the file changes" : "");
	log_info("to keep it, %s%s:", file ? "in " : "in the config file",
		 file ? source->config_path : "");
	/* a file that has it in both lists is refused */
	if (was && was->origin == MASQ_O_CONFIG &&
	    was->action != edit->added->action)
		log_info("  take it out of %s (line %u), and",
			 keep ? "masqueradeCIDRs" : "nonMasqueradeCIDRs",
			 was->line);
	log_info("  %s:", keep ? "nonMasqueradeCIDRs" : "masqueradeCIDRs");
	log_info("  - %s%s%s", strchr(text, ':') ? "\"" : "", text,
		 strchr(text, ':') ? "\"" : "");
}

/* Only of what comes back. */
static void say_deleted(const struct edit *edit)
{
	const struct policy_entry *entry = edit->deleted;
	const struct masq_source *source = &edit->policy->source;
	const char *file = *source->config_path == '/' ? source->config_path
						       : NULL;
	char text[CIDR_STRLEN];

	if (entry->origin == MASQ_O_RUNTIME)
		return;
	log_info("cidr del: %s: gone until reload%s",
		 cidr_format(&entry->cidr, text, sizeof(text)),
		 file ? ", or until the file changes" : "");
	if (entry->origin == MASQ_O_CONFIG && file)
		log_info("to keep it out, take it out of %s (%s:%u)",
			 entry->action == MASQ_KEEP ? "nonMasqueradeCIDRs"
						    : "masqueradeCIDRs",
			 file, entry->line);
	else if (entry->origin == MASQ_O_BUILTIN)
		log_info("to keep it out, masqLinkLocal%s: true%s%s",
			 entry->cidr.addr.family == 6 ? "IPv6" : "",
			 file ? " in " : "", file ?: "");
}

/* --- changes ----------------------------------------------------------- */

static int apply(struct edit *edit)
{
	struct policy *from = NULL;
	int result = policy_read(edit->instance, &from)
			     ? CMD_FAILED
			     : change_check(edit->line, edit->instance, from,
					    edit->policy);

	if (result == CMD_OK) {
		if (edit->added)
			say_added(edit, from);
		if (edit->deleted)
			say_deleted(edit);
		result = change_apply(edit->line, edit->instance, from,
				      edit->policy);
	}
	policy_free(from);
	return result == CHANGE_STOP ? CMD_OK : result;
}

/* Only the config can say that IPv6 is translated. */
static void warn_family_off(const struct policy *policy,
			    const struct policy_entry *entry)
{
	if (entry->cidr.addr.family == 6 && !(policy->head.flags & MASQ_P_IPV6))
		log_warn(
			"cidr: IPv6 passes untouched until the config says enableIPv6: true or names an IPv6 prefix");
}

static void warn_no_effect(const struct cidr *cidr)
{
	const char *why = cidr_no_effect(cidr);
	char text[CIDR_STRLEN];

	if (why)
		log_warn("cidr: %s has no effect: %s",
			 cidr_format(cidr, text, sizeof(text)), why);
}

/* The source address of the nearest masqueraded prefix around it. */
static uint16_t inherited_snat(struct policy *policy, const struct cidr *cidr)
{
	struct policy_entry *match = policy_match(policy, cidr);

	while (match && match->action != MASQ_MASQUERADE) {
		struct cidr outer;

		if (!match->cidr.plen)
			return 0;
		outer = cidr_of(&match->cidr.addr, match->cidr.plen - 1);
		match = policy_match(policy, &outer);
	}
	return match ? match->snat : 0;
}

static int add(struct edit *edit, const struct cidr *cidr)
{
	struct policy_entry entry = { .cidr = *cidr,
				      .list = MASQ_L_DST,
				      .action = MASQ_KEEP,
				      .origin = MASQ_O_RUNTIME };
	struct policy_entry *old = policy_find(edit->policy, MASQ_L_DST, cidr);
	char text[512];

	if (cmd_flag(edit->line, "masquerade")) {
		entry.action = MASQ_MASQUERADE;
		entry.snat = inherited_snat(edit->policy, cidr);
	}
	if (old && old->action == entry.action) {
		log_error("cidr add: already there: %s",
			  entry_text(edit->policy, old, text, sizeof(text)));
		return CMD_FAILED;
	}
	warn_family_off(edit->policy, &entry);
	warn_no_effect(cidr);
	if (old) {
		log_info("cidr add: changes %s",
			 entry_text(edit->policy, old, text, sizeof(text)));
		*old = entry;
	} else {
		if (policy_append(edit->policy, &entry)) {
			log_error("cidr add: %s", strerror(ENOMEM));
			return CMD_FAILED;
		}
		policy_sort(edit->policy);
	}
	edit->added = &entry;
	return apply(edit);
}

static int del(struct edit *edit, const struct cidr *cidr)
{
	struct policy_entry *entry =
		policy_find(edit->policy, MASQ_L_DST, cidr);
	char cidr_text[CIDR_STRLEN], text[512];
	struct policy_entry deleted;

	if (!entry) {
		entry = policy_match(edit->policy, cidr);
		log_error("cidr del: %s: not there%s%s",
			  cidr_format(cidr, cidr_text, sizeof(cidr_text)),
			  entry ? "; it falls under " : "",
			  entry ? entry_text(edit->policy, entry, text,
					     sizeof(text))
				: "");
		return CMD_FAILED;
	}
	if (!cidr->plen && entry->origin == MASQ_O_BUILTIN) {
		log_error(
			"cidr del: %s: built-in, there is always an answer for what no other prefix covers; `cidr add %s --keep` changes it",
			cidr_format(cidr, cidr_text, sizeof(cidr_text)),
			cidr_text);
		return CMD_FAILED;
	}
	deleted = *entry;
	edit->deleted = &deleted;
	policy_del(edit->policy, entry);
	/* a /0 of the user's gives way to the built-in one */
	if (policy_append_defaults(edit->policy)) {
		log_error("cidr del: %s", strerror(ENOMEM));
		return CMD_FAILED;
	}
	policy_sort(edit->policy);
	return apply(edit);
}

/* --- set --------------------------------------------------------------- */

/* One line of FILE: "CIDR [action]", a comment, or nothing. */
static int parse_set_line(const char *file, uint32_t number, char *line,
			  struct policy *out)
{
	struct policy_entry entry = { .list = MASQ_L_DST,
				      .action = MASQ_KEEP,
				      .origin = MASQ_O_RUNTIME,
				      .line = number };
	char *save, *word, err[256];

	line[strcspn(line, "#")] = '\0';
	word = strtok_r(line, " \t\r", &save);
	if (!word)
		return CMD_OK;
	if (cidr_parse(word, &entry.cidr, err, sizeof(err))) {
		log_error("%s:%u: %s: %s", file, number, word, err);
		return CMD_USAGE;
	}
	word = strtok_r(NULL, " \t\r", &save);
	if (word && !strcmp(word, "masquerade")) {
		entry.action = MASQ_MASQUERADE;
	} else if (word && strcmp(word, "keep")) {
		log_error("%s:%u: %s: not an action (masquerade or keep)", file,
			  number, word);
		return CMD_USAGE;
	}
	word = word ? strtok_r(NULL, " \t\r", &save) : NULL;
	if (word) {
		log_error("%s:%u: %s: more than CIDR and action", file, number,
			  word);
		return CMD_USAGE;
	}
	if (policy_append(out, &entry)) {
		log_error("%s: %s", file, strerror(ENOMEM));
		return CMD_FAILED;
	}
	return CMD_OK;
}

/* One prefix with two actions has no right reading. */
static int refuse_contradictions(const char *file, struct policy *given)
{
	size_t count = given->count;
	struct policy_entry *all = calloc(count + 1, sizeof(*all));
	int result = CMD_OK;

	if (!all) {
		log_error("%s: %s", file, strerror(ENOMEM));
		return CMD_FAILED;
	}
	if (count)
		memcpy(all, given->entries, count * sizeof(*all));
	policy_sort(given);
	for (size_t i = 0; i < count && result == CMD_OK; i++) {
		const struct policy_entry *first =
			policy_find(given, MASQ_L_DST, &all[i].cidr);
		char text[CIDR_STRLEN];

		if (first->action == all[i].action)
			continue;
		log_error("%s:%u: %s: %s here, %s in line %u", file,
			  all[i].line,
			  cidr_format(&all[i].cidr, text, sizeof(text)),
			  action_name(all[i].action),
			  action_name(first->action), first->line);
		result = CMD_USAGE;
	}
	free(all);
	return result;
}

static int parse_set(const char *file, struct policy *given)
{
	char *text, *rest, *line, err[256];
	uint32_t number = 0;
	size_t length;
	int result = CMD_OK;

	if (file_read(file, &text, &length, err, sizeof(err))) {
		log_error("%s: %s", file, err);
		return CMD_USAGE;
	}
	if (strlen(text) != length) {
		log_error("%s: not a text: it has a NUL byte", file);
		result = CMD_USAGE;
	}
	if (!strcmp(file, "-"))
		file = "stdin";
	rest = text;
	while (result == CMD_OK && (line = strsep(&rest, "\n")))
		result = parse_set_line(file, ++number, line, given);
	free(text);
	if (result == CMD_OK && !given->count) {
		/* as of a config: an accident, and the list would be lost */
		log_error(
			"%s: names no prefix: nothing is set; where everything is to be masqueraded, write 0.0.0.0/0 masquerade",
			file);
		result = CMD_USAGE;
	}
	return result ?: refuse_contradictions(file, given);
}

static int set(struct edit *edit, const struct policy *given)
{
	struct policy *policy = edit->policy;
	struct policy next = {};
	bool warned = false;
	int err = 0;

	for (size_t i = 0; i < given->count && !err; i++) {
		struct policy_entry entry = given->entries[i];

		entry.line = 0;
		if (entry.action == MASQ_MASQUERADE)
			entry.snat = inherited_snat(policy, &entry.cidr);
		if (!warned && entry.cidr.addr.family == 6) {
			warn_family_off(policy, &entry);
			warned = true;
		}
		warn_no_effect(&entry.cidr);
		err = policy_append(&next, &entry);
	}
	/* what is built in, and what is no destination, stays */
	for (size_t i = 0; i < policy->count && !err; i++)
		if (policy->entries[i].list != MASQ_L_DST ||
		    policy->entries[i].origin == MASQ_O_BUILTIN)
			err = policy_append(&next, &policy->entries[i]);
	err = err ?: policy_append_defaults(&next);
	if (err) {
		log_error("cidr set: %s", strerror(-err));
		free(next.entries);
		return CMD_FAILED;
	}
	policy_sort(&next);
	free(policy->entries);
	policy->entries = next.entries;
	policy->count = next.count;
	return apply(edit);
}

/* --- the command ------------------------------------------------------- */

enum verb {
	LIST,
	ADD,
	DEL,
	SET
};

static int parse_verb(const struct cmd_line *line, enum verb *verb)
{
	static const struct {
		const char *name, *operand;
	} verbs[] = { { "list", NULL },
		      { "add", "CIDR" },
		      { "del", "CIDR" },
		      { "set", "FILE" } };
	const char *name = line->argv[0];

	for (*verb = LIST; *verb <= SET; (*verb)++)
		if (!strcmp(name, verbs[*verb].name))
			break;
	if (*verb > SET)
		return cmd_usage(line, "%s: not list, add, del or set", name);
	if (verbs[*verb].operand && line->argc < 2)
		return cmd_usage(line, "%s: needs %s", name,
				 verbs[*verb].operand);
	if (!verbs[*verb].operand && line->argc > 1)
		return cmd_usage(line, "%s: one argument too many",
				 line->argv[1]);
	if (*verb != ADD &&
	    (cmd_flag(line, "keep") || cmd_flag(line, "masquerade")))
		return cmd_usage(line,
				 "%s: takes neither --keep nor --masquerade",
				 name);
	if (*verb == LIST && (cmd_flag(line, "dry-run") ||
			      cmd_flag(line, "yes") || cmd_flag(line, "guard")))
		return cmd_usage(line, "list: changes nothing: takes none of "
				       "--dry-run, --yes and --guard");
	if (change_parse(line))
		return CMD_USAGE;
	if (cmd_flag(line, "keep") && cmd_flag(line, "masquerade"))
		return cmd_usage(line,
				 "--keep and --masquerade exclude each other");
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct edit edit = { .line = line };
	struct policy given = {};
	struct cidr cidr = {};
	enum verb verb;
	char err[256];
	int result = parse_verb(line, &verb);

	/* all that can be wrong in it is found before anything is opened */
	if (result)
		return result;
	if (verb == SET) {
		result = parse_set(line->argv[1], &given);
	} else if (verb != LIST &&
		   cidr_parse(line->argv[1], &cidr, err, sizeof(err))) {
		log_error("cidr %s: %s: %s", line->argv[0], line->argv[1], err);
		result = CMD_USAGE;
	}
	if (result)
		goto out;

	result = cmd_open_policy(line,
				 verb == LIST ? INSTANCE_READ : INSTANCE_WRITE,
				 &edit.instance, &edit.policy);
	if (result)
		goto out;
	if (verb == ADD)
		result = add(&edit, &cidr);
	else if (verb == DEL)
		result = del(&edit, &cidr);
	else if (verb == SET)
		result = set(&edit, &given);
	else if (line->json)
		list_json(edit.policy);
	else
		list_table(edit.policy);
out:
	free(given.entries);
	policy_free(edit.policy);
	instance_close(edit.instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "keep", NULL, "add: pods keep their address (the default)" },
	{ "masquerade", NULL, "add: pods get the node's address" },
	CHANGE_OPTIONS,
	{},
};

const struct cmd cmd_cidr = {
	.name = "cidr",
	.args = "list | add CIDR | del CIDR | set FILE",
	.help = "the prefixes in force; changes last until reload",
	.min = 1,
	.max = 2,
	.options = options,
	.examples = "  masqbpf cidr list\n"
		    "  masqbpf cidr add 172.30.0.0/16 --masquerade\n"
		    "  masqbpf cidr del 172.30.0.0/16\n",
	.run = run,
};

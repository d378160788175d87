// SPDX-License-Identifier: GPL-2.0-only
/*
 * config.c - from a file, a text or a preset's name to settings. The keys are
 * read in keys.c, what only the whole can tell is checked in check.c. No
 * kernel calls: `check` and `plan` run anywhere.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/reject.h"
#include "config/check.h"
#include "config/config.h"
#include "config/keys.h"
#include "config/manifest.h"
#include "config/preset.h"

#define MANIFEST_OBJECTS_MAX 64

/* --- lists ------------------------------------------------------------- */

static int use_preset(struct loader *l, const struct preset *preset)
{
	struct config_cidrs *keep = &l->config->keep;
	size_t count = 0;
	int ret = 0;

	while (preset->keep[count])
		count++;
	keep->items = calloc(count, sizeof(*keep->items));
	if (!keep->items)
		return config_nomem(l);
	for (size_t i = 0; i < count && !ret; i++) {
		struct entry entry = { .list = LIST_KEEP };

		ret = cidr_parse(preset->keep[i], &entry.cidr, l->err,
				 l->errlen);
		if (!ret)
			ret = config_add_entry(l, &entry);
		keep->items[keep->count++].cidr = entry.cidr;
	}
	l->config->preset = preset->name;
	return ret;
}

/* --- from text to config ----------------------------------------------- */

static int read_doc(struct loader *l, const char *text, size_t length,
		    unsigned int index, struct doc *doc)
{
	struct doc_error error;
	int ret;

	/* as ip-masq-agent tells the two apart */
	if (text[strspn(text, " \t\r\n\v\f")] == '{') {
		if (index)
			return -ENOENT;
		ret = doc_read_json(text, length, doc, &error);
	} else {
		ret = doc_read_yaml(text, length, index, doc, &error);
	}
	if (ret == -ENOMEM)
		return config_nomem(l);
	if (ret == -EINVAL)
		ret = config_fail(l, error.place, "%s", error.text);
	return ret;
}

/*
 * The ConfigMap with a config among the objects of a manifest file; *doc
 * holds its first document, and at the end the one with *value.
 */
static int search_manifest(struct loader *l, const char *text, size_t length,
			   struct doc *doc, const struct node **value)
{
	struct manifest_search found = {}, again = {};
	unsigned int i = 0;
	int ret;

	for (;; i++) {
		config_search_manifest(&found, i, doc->root);
		if (!doc->more.line || i + 1 == MANIFEST_OBJECTS_MAX)
			break;
		doc_free(doc);
		ret = read_doc(l, text, length, i + 1, doc);
		if (ret)
			return ret;
	}
	if (found.best && found.document != i) {
		doc_free(doc);
		ret = read_doc(l, text, length, found.document, doc);
		if (ret)
			return ret;
		config_search_manifest(&again, found.document, doc->root);
		found.value = again.value;
	}
	*value = found.value;
	return config_manifest_found(l, &found);
}

/*
 * A file that sets nothing is an accident: comments that a template left, a
 * copy that failed. ip-masq-agent takes its defaults then; that is how a policy
 * is lost, so here it is a broken file.
 */
static int read_root(struct loader *l, const struct doc *doc)
{
	const struct node *root = doc->root;
	int ret;

	if (!root || node_is_null(root) ||
	    (root->type == NODE_MAP && !root->count))
		return config_fail(
			l, root ? root->place : (struct place){ 1, 1 },
			"is empty: nothing is set%s; ip-masq-agent's"
			" defaults are nonMasqueradeCIDRs: [10.0.0.0/8,"
			" 172.16.0.0/12, 192.168.0.0/16]",
			doc->more.line ? " in the first document, the only"
					 " one that is read"
				       : "");
	ret = config_read_keys(l, root);
	/* no prefix to be kept is a policy; no other list is none */
	l->config->sets_nothing = !l->values_read && !l->config->keep_given;
	return ret;
}

static int read_text(struct loader *l, const char *text, size_t length)
{
	struct doc doc = { 0 }, inner = { 0 };
	const struct node *value = NULL;
	int ret;

	ret = read_doc(l, text, length, 0, &doc);
	if (ret)
		return ret;
	if (doc.root && config_is_manifest(doc.root)) {
		ret = search_manifest(l, text, length, &doc, &value);
		if (ret)
			goto out;
		config_enter_manifest(l, text, length, value);
		ret = read_doc(l, value->text, strlen(value->text), 0, &inner);
		if (!ret)
			ret = read_root(l, &inner);
		goto out;
	}
	if (doc.more.line)
		ret = config_warn(l, doc.more,
				  "only the first document is read: what"
				  " follows is ignored");
	if (!ret)
		ret = read_root(l, &doc);
out:
	doc_free(&doc);
	doc_free(&inner);
	return ret;
}

/* What no reader could make sense of, said in words that help. */
static int check_text(struct loader *l, const char *text, size_t length)
{
	const char *nul = memchr(text, '\0', length);
	struct place place = { 1, 1 };

	if (length >= 2 &&
	    (!memcmp(text, "\xff\xfe", 2) || !memcmp(text, "\xfe\xff", 2)))
		return config_fail(l, place,
				   "UTF-16 text: save the file as UTF-8");
	if (!nul)
		return 0;
	for (const char *p = text; p < nul; p++) {
		place.column += (*p & 0xc0) != 0x80;
		if (*p == '\n') {
			place.line++;
			place.column = 1;
		}
	}
	return config_fail(l, place,
			   "contains a NUL: not a text file in UTF-8");
}

static int warn_of_preset(struct loader *l, const struct preset *preset)
{
	char list[256] = "";

	for (size_t i = 0; preset->keep[i]; i++)
		snprintf(list + strlen(list), sizeof(list) - strlen(list),
			 "%s%s", i ? ", " : "", preset->keep[i]);
	return config_warn(l, (struct place){ 1, 1 },
			   "nonMasqueradeCIDRs is not given: the preset %s"
			   " applies (%s)",
			   preset->name, list);
}

static int load(struct loader *l, const char *text, size_t length)
{
	const char *base = l->options ? l->options->base_preset : NULL;
	const struct preset *preset = preset_find(base);
	int ret;

	if (!preset) {
		reject(l->err, l->errlen,
		       "preset %s: there is no such preset: it is one of %s",
		       base, config_preset_names());
		return -EINVAL;
	}
	ret = check_text(l, text, length);
	if (!ret && length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) {
		text += 3;
		length -= 3;
	}
	if (!ret)
		ret = read_text(l, text, length);
	/* two errors of the file in one go, where the second is one anyway */
	if (ret == -EINVAL)
		return config_check(l) == -ENOMEM ? -ENOMEM : ret;
	if (!ret && !l->config->keep_given) {
		ret = use_preset(l, preset);
		/* that this went unsaid is how networks were lost */
		if (!ret)
			ret = warn_of_preset(l, preset);
	}
	if (!ret)
		ret = config_check(l);
	if (!ret)
		ret = config_export_warnings(l);
	config_default_quota(l->config);
	return ret;
}

static const char *message_name(const char *path)
{
	if (!*path)
		return "\"\"";
	return strcmp(path, "-") ? path : "stdin";
}

int config_may_replace(const struct config *config, char *err, size_t errlen)
{
	if (!config->sets_nothing)
		return 0;
	return reject(err, errlen,
		      "%s: no key that is known here has a value: nothing is"
		      " set, which is not what a policy in force is replaced"
		      " by",
		      message_name(config->path));
}

const char *config_brief(const char *err, size_t errors, char *buf, size_t len)
{
	int first = strcspn(err, "\n");

	if (errors <= 1)
		snprintf(buf, len, "%.*s", first, err);
	else
		snprintf(buf, len, "%.*s; and %zu more error%s", first, err,
			 errors - 1, errors == 2 ? "" : "s");
	return buf;
}

uint64_t config_hash(const char *text, size_t length)
{
	return hash_of(text, length) ?: 1;
}

int config_parse(const char *text, size_t length, const char *name,
		 const struct config_options *options, struct config **out,
		 char *err, size_t errlen)
{
	size_t errors;

	return config_parse_counted(text, length, name, options, out, err,
				    errlen, &errors);
}

int config_parse_counted(const char *text, size_t length, const char *name,
			 const struct config_options *options,
			 struct config **out, char *err, size_t errlen,
			 size_t *errors)
{
	struct loader l = {
		.name = message_name(name),
		.options = options,
		.config = config_new(),
		.err = err,
		.errlen = errlen,
	};
	char *copy = malloc(length + 1);
	int ret;

	if (!l.config || !copy) {
		ret = config_nomem(&l);
		goto out;
	}
	/* the readers look one byte further than the text */
	memcpy(copy, text, length);
	copy[length] = '\0';
	l.config->hash = config_hash(text, length);
	l.config->path = strdup(name);
	if (l.config->path)
		ret = load(&l, copy, length);
	else
		ret = config_nomem(&l);
out:
	if (ret == -EINVAL)
		config_export_errors(&l);
	*errors = l.error_count + l.errors_left_out;
	for (size_t i = 0; i < l.error_count; i++)
		free(l.errors[i].text);
	free(l.errors);
	for (size_t i = 0; i < l.warning_count; i++)
		free(l.warnings[i].text);
	free(l.warnings);
	free(l.entries);
	free(copy);
	if (ret)
		config_free(l.config);
	else
		*out = l.config;
	return ret;
}

/* A policy records where it comes from, and the agent and reload go there. */
static int check_path(const char *path, char *err, size_t errlen)
{
	const size_t max = sizeof(((struct masq_source *)0)->config_path) - 1;
	char *cwd = path[0] == '/' ? NULL : getcwd(NULL, 0);
	size_t length = strlen(path) + (cwd ? strlen(cwd) + 1 : 0);

	free(cwd);
	return length <= max
		       ? 0
		       : reject(err, errlen,
				"its whole path is longer than %zu bytes", max);
}

int config_load(const char *path, const struct config_options *options,
		struct config **out, char *err, size_t errlen)
{
	char clause[256], *text;
	size_t length;
	int ret;

	ret = check_path(path, clause, sizeof(clause))
		      ?: file_read(path, &text, &length, clause,
				   sizeof(clause));
	if (ret) {
		reject(err, errlen, "%s: %s", message_name(path), clause);
		return ret;
	}
	ret = config_parse(text, length, path, options, out, err, errlen);
	free(text);
	return ret;
}

int config_preset(const char *name, struct config **out, char *err,
		  size_t errlen)
{
	const struct preset *preset = preset_find(name);
	struct loader l = { .name = name, .err = err, .errlen = errlen };
	int ret;

	if (!preset)
		return reject(err, errlen,
			      "%s: there is no such preset: it is one of %s",
			      name, config_preset_names());
	l.config = config_new();
	if (!l.config)
		return config_nomem(&l);
	ret = use_preset(&l, preset);
	free(l.entries);
	config_default_quota(l.config);
	if (ret)
		config_free(l.config);
	else
		*out = l.config;
	return ret;
}

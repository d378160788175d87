// SPDX-License-Identifier: GPL-2.0-only
/*
 * config.c - from a file, a text or a preset's name to a struct config. The
 * keys are read in keys.c, what only the whole can tell is checked in
 * check.c. No kernel calls: `check` and `plan` run anywhere.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/file.h"
#include "base/reject.h"
#include "config/load.h"

#define SECOND		     1000000000ULL
#define WARNINGS_MAX	     100
#define MANIFEST_OBJECTS_MAX 64

static const struct preset {
	const char *name;
	const char *keep[12];
} presets[] = {
	{ "ip-masq-agent",
	  { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" } },
	{ "reserved",
	  { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
	    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15",
	    "198.51.100.0/24", "203.0.113.0/24", "240.0.0.0/4" } },
	{ "gke-before-1.14", { "10.0.0.0/8" } },
};

#define PRESETS (sizeof(presets) / sizeof(presets[0]))

const char *config_preset_names(void)
{
	return "ip-masq-agent, reserved, gke-before-1.14";
}

static const struct preset *find_preset(const char *name)
{
	for (size_t i = 0; i < PRESETS; i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	return NULL;
}

/* --- messages ---------------------------------------------------------- */

struct place config_place(const struct loader *l, struct place place)
{
	if (!place.line)
		return place;
	if (l->origin.fixed.line)
		return l->origin.fixed;
	return (struct place){ place.line + l->origin.lines,
			       place.column + l->origin.columns };
}

/* "FILE:LINE:COL: text", without anything that would move a terminal. */
static char *message(const struct loader *l, struct place place,
		     const char *fmt, va_list ap)
{
	char *text, *full;
	int ret;

	place = config_place(l, place);
	if (vasprintf(&text, fmt, ap) < 0)
		return NULL;
	if (place.line)
		ret = asprintf(&full, "%s:%u:%u: %s", l->name, place.line,
			       place.column, text);
	else
		ret = asprintf(&full, "%s: %s", l->name, text);
	free(text);
	if (ret < 0)
		return NULL;
	for (char *p = full; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?';
	return full;
}

int config_nomem(struct loader *l)
{
	reject(l->err, l->errlen, "%s: out of memory", l->name);
	return -ENOMEM;
}

int config_fail(struct loader *l, struct place place, const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	text = message(l, place, fmt, ap);
	va_end(ap);
	if (!text)
		return config_nomem(l);
	reject(l->err, l->errlen, "%s", text);
	free(text);
	return -EINVAL;
}

int config_warn(struct loader *l, struct place place, const char *fmt, ...)
{
	struct warning *warning;
	va_list ap;

	if (l->warning_count == WARNINGS_MAX) {
		l->warnings_left_out++;
		return 0;
	}
	if (!l->warnings) {
		/* one more for the line that says how many were left out */
		l->warnings = calloc(WARNINGS_MAX + 1, sizeof(*l->warnings));
		if (!l->warnings)
			return config_nomem(l);
	}
	warning = &l->warnings[l->warning_count];
	va_start(ap, fmt);
	warning->text = message(l, place, fmt, ap);
	va_end(ap);
	if (!warning->text)
		return config_nomem(l);
	warning->place = place;
	warning->seq = l->warning_count++;
	return 0;
}

static int warning_cmp(const void *a, const void *b)
{
	const struct warning *x = a, *y = b;

	if (x->place.line != y->place.line)
		return x->place.line < y->place.line ? -1 : 1;
	if (x->place.column != y->place.column)
		return x->place.column < y->place.column ? -1 : 1;
	return (x->seq > y->seq) - (x->seq < y->seq);
}

/* Hands the warnings over to the config, in the order of the file. */
static int export_warnings(struct loader *l)
{
	struct config *config = l->config;
	struct warning *last;

	if (!l->warning_count)
		return 0;
	config->warnings = calloc(WARNINGS_MAX + 1, sizeof(char *));
	if (!config->warnings)
		return config_nomem(l);
	qsort(l->warnings, l->warning_count, sizeof(*l->warnings), warning_cmp);
	if (l->warnings_left_out) {
		last = &l->warnings[l->warning_count];
		if (asprintf(&last->text, "%s: and %zu more warnings", l->name,
			     l->warnings_left_out) < 0) {
			last->text = NULL;
			return config_nomem(l);
		}
		l->warning_count++;
	}
	for (size_t i = 0; i < l->warning_count; i++)
		config->warnings[i] = l->warnings[i].text;
	config->warning_count = l->warning_count;
	l->warning_count = 0;
	return 0;
}

const char *quoted(const char *text, char buf[static QUOTED_LEN])
{
	/* room for one escape, the dots, the quote and the NUL */
	char *p = buf, *end = buf + QUOTED_LEN - 9;

	*p++ = '"';
	for (; *text && p < end; text++) {
		unsigned char c = *text;

		if (c < ' ' || c >= 0x7f)
			p += sprintf(p, "\\x%02x", c);
		else
			*p++ = c;
	}
	sprintf(p, *text ? "...\"" : "\"");
	return buf;
}

/* --- lists ------------------------------------------------------------- */

int config_add_entry(struct loader *l, const struct entry *entry)
{
	if (l->entry_count == l->entry_room) {
		size_t room = l->entry_room ? 2 * l->entry_room : 64;
		struct entry *entries =
			reallocarray(l->entries, room, sizeof(*entries));

		if (!entries)
			return config_nomem(l);
		l->entries = entries;
		l->entry_room = room;
	}
	l->entries[l->entry_count++] = *entry;
	return 0;
}

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
	l->config->sets_nothing = !l->values_read;
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

static struct config *config_new(void)
{
	struct config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	*config = (struct config){
		.cidr_limit = 64,
		.resync_interval_ns = 60 * SECOND,
		.port_min = 10240,
		.port_max = 65535,
		.node_port_min = 30000,
		.node_port_max = 32767,
		.timeout_ns = {
			[MASQ_T_TCP_ESTABLISHED] = 7440 * SECOND,
			[MASQ_T_TCP_TRANSITORY] = 240 * SECOND,
			[MASQ_T_UDP] = 300 * SECOND,
			[MASQ_T_UDP_UNREPLIED] = 120 * SECOND,
			[MASQ_T_ICMP] = 60 * SECOND,
			[MASQ_T_OTHER] = 600 * SECOND,
		},
		.max_flows = MASQ_DEFAULT_MAX_FLOWS,
		.flow_counters = true,
	};
	return config;
}

static void default_quota(struct config *config)
{
	if (!config->max_flows_per_pod)
		config->max_flows_per_pod = config->max_flows / 4 ?: 1;
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
	const struct preset *preset = find_preset(base ?: presets[0].name);
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
	if (!ret && !l->config->keep_given) {
		ret = use_preset(l, preset);
		/* that this went unsaid is how networks were lost */
		if (!ret)
			ret = warn_of_preset(l, preset);
	}
	if (!ret)
		ret = config_check(l);
	if (!ret)
		ret = export_warnings(l);
	default_quota(l->config);
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

/* FNV-1a */
uint64_t config_hash(const char *text, size_t length)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3;
	return hash ?: 1;
}

int config_parse(const char *text, size_t length, const char *name,
		 const struct config_options *options, struct config **out,
		 char *err, size_t errlen)
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

int config_load(const char *path, const struct config_options *options,
		struct config **out, char *err, size_t errlen)
{
	char clause[256], *text;
	size_t length;
	int ret;

	ret = file_read(path, &text, &length, clause, sizeof(clause));
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
	const struct preset *preset = find_preset(name);
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
	default_quota(l.config);
	if (ret)
		config_free(l.config);
	else
		*out = l.config;
	return ret;
}

void config_free(struct config *config)
{
	if (!config)
		return;
	for (size_t i = 0; i < config->warning_count; i++)
		free(config->warnings[i]);
	free(config->warnings);
	free(config->keep.items);
	free(config->masquerade.items);
	free(config->pods.items);
	free(config->keep_sources.items);
	free(config->snat);
	free(config->path);
	free(config);
}

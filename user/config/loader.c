// SPDX-License-Identifier: GPL-2.0-only
/* loader.c - what is wrong with a text, and where; what it names so far. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/reject.h"
#include "config/loader.h"

#define WARNINGS_MAX 100

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

void config_given(struct loader *l, size_t offset, struct place place)
{
	if (l->given_count == GIVEN_MAX)
		return;
	l->given[l->given_count].offset = offset;
	l->given[l->given_count++].place = place;
}

struct place config_later(const struct loader *l, size_t a, size_t b)
{
	struct place found = { 1, 1 };

	for (size_t i = 0; i < l->given_count; i++) {
		struct place place = l->given[i].place;

		if ((l->given[i].offset == a || l->given[i].offset == b) &&
		    (place.line > found.line ||
		     (place.line == found.line && place.column > found.column)))
			found = place;
	}
	return found;
}

int config_nomem(struct loader *l)
{
	reject(l->err, l->errlen, "%s: out of memory", l->name);
	return -ENOMEM;
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

/* Where the next error goes; NULL: others come before it in the file. */
static struct warning *room_for(struct loader *l, struct place place)
{
	struct warning *last = &l->errors[0];

	if (l->error_count < CONFIG_ERRORS)
		return &l->errors[l->error_count++];
	l->errors_left_out++;
	for (size_t i = 1; i < l->error_count; i++)
		if (warning_cmp(&l->errors[i], last) > 0)
			last = &l->errors[i];
	if (last->place.line < place.line ||
	    (last->place.line == place.line &&
	     last->place.column <= place.column))
		return NULL;
	free(last->text);
	return last;
}

int config_fail(struct loader *l, struct place place, const char *fmt, ...)
{
	size_t seq = l->error_count + l->errors_left_out;
	struct warning *error;
	va_list ap;

	if (!l->errors)
		l->errors = calloc(CONFIG_ERRORS, sizeof(*l->errors));
	if (!l->errors)
		return config_nomem(l);
	error = room_for(l, place);
	if (!error)
		return -EINVAL;
	va_start(ap, fmt);
	error->text = message(l, place, fmt, ap);
	va_end(ap);
	error->place = place;
	error->seq = seq;
	return error->text ? -EINVAL : config_nomem(l);
}

bool config_go_on(int *ret, int part)
{
	if (part)
		*ret = part;
	return part != -ENOMEM;
}

/* One by one as far as they fit, and at the end how many did not. */
void config_export_errors(struct loader *l)
{
	size_t all = l->error_count + l->errors_left_out, used = 0, i;
	char more[64];

	if (!l->error_count || !l->errlen)
		return;
	qsort(l->errors, l->error_count, sizeof(*l->errors), warning_cmp);
	/* one line in any case */
	reject(l->err, l->errlen, "%s", l->errors[0].text);
	for (i = 1; i < all; i++) {
		size_t rest = 0, length;

		used = strlen(l->err);
		snprintf(more, sizeof(more), ": and %zu more error%s", all - i,
			 all - i == 1 ? "" : "s");
		/* this one, and still the last line if others come after it */
		if (i + 1 < all)
			rest = 1 + strlen(l->name) + sizeof(more);
		length = i < l->error_count ? strlen(l->errors[i].text) : 0;
		if (!length || used + 1 + length + rest >= l->errlen)
			break;
		snprintf(l->err + used, l->errlen - used, "\n%s",
			 l->errors[i].text);
	}
	if (i < all && used + 1 + strlen(l->name) + strlen(more) < l->errlen)
		snprintf(l->err + used, l->errlen - used, "\n%s%s", l->name,
			 more);
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

/* Hands the warnings over to the config, in the order of the file. */
int config_export_warnings(struct loader *l)
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

int config_join(struct loader *l, struct place place, const char *name,
		struct pool *pool, const struct pool *more)
{
	switch (pool_add(pool, more)) {
	case 0:
		return 0;
	case -EAFNOSUPPORT:
		return config_fail(l, place,
				   "%s: IPv4 and IPv6 in one list: each needs"
				   " an item of its own",
				   name);
	case -EFBIG:
		return config_fail(l, place,
				   "%s: more than %d addresses for one"
				   " destination",
				   name, POOL_ADDRESSES);
	default:
		return config_fail(l, place,
				   "%s: more than %d separate ranges for one"
				   " destination",
				   name, MASQ_POOL_RANGES);
	}
}

const char *config_list_name(enum config_list list)
{
	switch (list) {
	case LIST_KEEP:
		return "nonMasqueradeCIDRs";
	case LIST_MASQUERADE:
		return "masqueradeCIDRs";
	case LIST_PODS:
		return "podCIDRs";
	case LIST_KEEP_SOURCES:
		return "nonMasqueradeSrcCIDRs";
	case LIST_SNAT:
		return "snat.addresses";
	}
	return "";
}

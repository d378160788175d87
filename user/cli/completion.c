// SPDX-License-Identifier: GPL-2.0-only
/* completion.c - what may come at a place, by the words of its usage text. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "cli/completion.h"
#include "config/preset.h"

/* What can stand for a word of a usage text; words in small letters are
 * themselves, and all else only the user knows. */
enum kind {
	WORDS,
	FILES,
	DIRS,
	LINKS,
	LIVE
};

static const struct {
	const char *name;
	enum kind kind;
	const char *words; /* LIVE: of `completion values` */
} places[] = {
	{ "FILE", FILES, NULL },
	{ "DIR", DIRS, NULL },
	{ "IFACE", LINKS, NULL },
	{ "KIND", WORDS, "auto tcx tc" },
	{ "STATE", WORDS, "new established closing closed" },
	{ "ACTION", WORDS, "masquerade keep inbound" },
	{ "FORMAT", WORDS, "text json vpc-flow-log" },
	{ "LIST", WORDS, "new end drop policy" },
	{ "PROTO", WORDS, "tcp udp icmp" },
	{ "ORDER", WORDS, "age idle bytes pod dest" },
	{ "GENERATION", LIVE, "generations" },
	{ "POD", LIVE, "pods" },
	{ "KEY", WORDS, "rate packets flows unreplied name" },
};
#define PLACES (sizeof(places) / sizeof(places[0]))

static void add_words(struct completion *choice, const char *words,
		      size_t length)
{
	size_t used = strlen(choice->words);

	snprintf(choice->words + used, sizeof(choice->words) - used, "%s%.*s",
		 used ? " " : "", (int)length, words);
}

static void add_word(struct completion *choice, const char *word, size_t length)
{
	for (size_t i = 0; i < PLACES; i++) {
		if (strlen(places[i].name) != length ||
		    memcmp(places[i].name, word, length))
			continue;
		choice->files |= places[i].kind == FILES;
		choice->dirs |= places[i].kind == DIRS;
		choice->links |= places[i].kind == LINKS;
		if (places[i].kind == LIVE)
			choice->live = places[i].words;
		else if (places[i].words)
			add_words(choice, places[i].words,
				  strlen(places[i].words));
		return;
	}
	if (islower((unsigned char)*word))
		add_words(choice, word, length);
}

struct completion completion_of(const char *usage)
{
	struct completion choice = {};

	while (*usage) {
		size_t length = strcspn(usage, " |.[]");

		if (length)
			add_word(&choice, usage, length);
		usage += length + !!usage[length];
	}
	return choice;
}

struct completion completion_of_value(const struct cmd_option *option)
{
	struct completion choice = completion_of(option->arg);

	if (!strcmp(option->name, "prefix"))
		choice.live = "prefixes";
	if (!strcmp(option->name, "pod"))
		choice.live = "pods";
	if (!strcmp(option->name, "proto") && !*choice.words)
		add_words(&choice, "tcp udp icmp sctp", 17);
	if (!strcmp(option->name, "preset"))
		for (const char *p = config_preset_names(); *p;) {
			size_t length = strcspn(p, ", ");

			if (length)
				add_words(&choice, p, length);
			p += length + !!p[length];
		}
	return choice;
}

bool completion_takes_word(const struct cmd_option *option)
{
	return option->arg && option->arg[0] != '[';
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_cmdline.c - libFuzzer on the command line: words are separated by NUL.
 * Whatever is understood points into the words that were given; no command
 * runs. The values that several commands share are read, too.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/http.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/filter.h"
#include "cli/help.h"
#include "cli/parse.h"
#include "fuzz.h"

#define MAX_WORDS 24

static bool is_word(const char *value, char **words, int count)
{
	for (int i = 0; i < count; i++)
		if (value >= words[i] && value <= words[i] + strlen(words[i]))
			return true;
	return false;
}

static void check_line(const struct cmd_line *line, char **words, int count)
{
	struct http_address address;
	struct flow_filter filter;
	char err[256];

	for (int i = 0; i < CMD_MAX_OPTIONS; i++)
		require(!line->values[i] || !*line->values[i] ||
			is_word(line->values[i], words, count));
	for (int i = 0; i < line->argc; i++)
		require(is_word(line->argv[i], words, count));
	require(!line->pin_dir || is_word(line->pin_dir, words, count));
	if (!line->cmd)
		return;
	cmd_help(line);
	if (line->cmd == &cmd_flows || line->cmd == &cmd_flush ||
	    line->cmd == &cmd_watch)
		flow_filter_read(line, &filter);
	if (line->cmd == &cmd_metrics && cmd_value(line, "listen") &&
	    !http_address_parse(cmd_value(line, "listen"), &address, err,
				sizeof(err)))
		require(address.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cmd_line line = { .commands = cmd_table };
	bool help = false, version = false;
	char *words[MAX_WORDS + 1], *given[MAX_WORDS + 1];
	char *text = calloc(1, size + 2), *c = text;
	static bool begun;
	int count = 0, result;

	if (!begun) { /* what it prints is not looked at */
		begun = freopen("/dev/null", "w", stdout);
		require(begun);
	}
	memcpy(text, data, size);
	given[count++] = (char *)"masqbpf";
	while (c < text + size && count < MAX_WORDS) {
		given[count++] = c;
		c += strlen(c) + 1;
	}
	given[count] = NULL;
	memcpy(words, given, sizeof(words));
	log_level = -2;
	result = cmd_parse(&line, count, words, &help, &version);
	log_level = -2; /* -v is none of ours */
	if (!result)
		check_line(&line, given, count);
	free(text);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/* cmd_flush.c - `masqbpf flush`: ends the flows that match, or all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/json.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/filter.h"

struct flush {
	struct instance *instance;
	struct flow_filter filter;
	struct progress progress;
	uint64_t matching, ended;
};

static int count_one(void *data, const struct flow *flow)
{
	struct flush *flush = data;

	flush->matching += flow_matches(flush->instance, &flush->filter, flow);
	return 0;
}

static int end_one(void *data, const struct flow *flow)
{
	struct flush *flush = data;
	int err = flow_end(flush->instance, flow);

	progress_step(&flush->progress);
	/* -ENOENT: it ended by itself meanwhile */
	if (!err)
		flush->ended++;
	return err == -ENOENT ? 0 : err;
}

static void print_json(uint64_t ended)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "flushed", ended);
	json_object_end(&j);
	json_end(&j);
}

static int run(const struct cmd_line *line)
{
	struct flush flush = {};
	int result = flow_filter_read(line, &flush.filter), err;

	if (result)
		return result;
	result = cmd_open(line, INSTANCE_WRITE, &flush.instance);
	if (result)
		goto out;
	err = flows_walk_owners(flush.instance, count_one, &flush);
	progress_begin(&flush.progress, "flush", "flows", flush.matching);
	err = err ?: flows_walk(flush.instance, &flush.filter, end_one, &flush);
	progress_end(&flush.progress);
	if (err) {
		log_error("flush: %s", strerror(-err));
		result = CMD_FAILED;
	}
	if (line->json)
		print_json(flush.ended);
	else
		log_info("%llu flow%s ended", (unsigned long long)flush.ended,
			 flush.ended == 1 ? "" : "s");
out:
	instance_close(flush.instance);
	return result;
}

const struct cmd cmd_flush = {
	.name = "flush",
	.args = "",
	.help = "end the flows that match; all without a filter",
	.options = flow_filter_options,
	.examples = "  masqbpf flush --dest 172.30.0.0/16 --unreplied\n",
	.run = run,
};

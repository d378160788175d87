// SPDX-License-Identifier: GPL-2.0-only
/* cmd_flush.c - `masqbpf flush`: ends the flows that match, or all. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "cmd_flows.h"
#include "out.h"

struct flush {
	struct instance *instance;
	uint64_t ended;
};

static int end_one(void *data, const struct flow *flow)
{
	struct flush *flush = data;
	int err = flow_end(flush->instance, flow);

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
	struct flow_filter filter;
	int result = flow_filter_read(line, &filter), err;

	if (result)
		return result;
	result = cmd_open(line, INSTANCE_WRITE, &flush.instance);
	if (result)
		goto out;
	err = flows_walk(flush.instance, &filter, end_one, &flush);
	if (err) {
		log_error("flush: %s", strerror(-err));
		result = CMD_FAILED;
	}
	if (line->json)
		print_json(flush.ended);
	else
		log_info("%llu flows ended", (unsigned long long)flush.ended);
out:
	instance_close(flush.instance);
	return result;
}

const struct cmd cmd_flush = {
	.name = "flush",
	.args = "",
	.help = "end the flows that match; all without a filter",
	.options = flow_filter_options,
	.run = run,
};

// SPDX-License-Identifier: GPL-2.0-only
/* cmd_status.c - `masqbpf status`: what is attached, to what, and is it well? */
#include "base/lock.h"
#include "cli/cmd.h"
#include "cli/status.h"
#include "plane/instance.h"

static int run(const struct cmd_line *line)
{
	struct health s = {};
	int result = cmd_open(line, INSTANCE_READ, &s.instance);

	if (result)
		return result;
	/* what is missing may be just about to come */
	if (lock_is_held(s.instance->lock_fd))
		lock_holder(s.instance->lock_fd, s.holder, sizeof(s.holder));
	result = status_print(&s, line->json);
	instance_close(s.instance);
	return result;
}

const struct cmd cmd_status = {
	.name = "status",
	.args = "",
	.help = "hooks and their chains, addresses, policy, health",
	.examples =
		"  masqbpf status --json    .health: ok, degraded or failed; exit 0 all the same\n",
	.run = run,
};

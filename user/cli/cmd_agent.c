// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_agent.c - `masqbpf agent`: its command line, with the flags of
 * ip-masq-agent, so that a manifest written for it needs another image only.
 */
#include <errno.h>
#include <limits.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/agent.h"
#include "base/cidr.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "kernel/names.h"
#include "kernel/netdev.h"

/* Where ip-masq-agent looks, without being asked. */
#define UPSTREAM_DIR	"/etc/config"
#define UPSTREAM_CONFIG UPSTREAM_DIR "/ip-masq-agent"
/*
 * Nobody else's: what processes of one user do to each other, kill them, bound
 * their descriptors, is not forbidden. The number is for where no such user has
 * been made, as in the image; no distribution and no systemd gives it out.
 */
#define DEFAULT_USER "masqbpf"
#define DEFAULT_UID  "60842"

static const struct cmd_option options[] = {
	{ "config", "FILE",
	  "the policy, followed (default: " UPSTREAM_CONFIG
	  " where there is " UPSTREAM_DIR ")" },
	{ "listen", "ADDR:PORT",
	  "for /metrics, /healthz, /readyz and / "
	  "(default: " HTTP_DEFAULT_LISTEN ")" },
	{ "fast-path", "[auto|on|off]",
	  "as for attach; pods that come later, too (default: auto)" },
	{ "user", "USER",
	  "to run as after set-up (default: masqbpf or " DEFAULT_UID ")" },
	{ "nomasq-all-reserved-ranges", "[=BOOL]",
	  "without a list: the preset reserved" },
	{ "enable-ipv6", "[=BOOL]", "translate IPv6 whatever the file says" },
	{ "to-ports", "FIRST-LAST",
	  "as snat.portRange with strictPorts, before the file's" },
	{ "random-fully", "[=BOOL]", "of ip-masq-agent: accepted, see below" },
	{ "masq-chain", "NAME", "of ip-masq-agent: accepted, without effect" },
	{},
};

/* Of klog, by which ip-masq-agent logs; manifests set some of them. */
static const struct cmd_option ignored[] = {
	{ "v", "N", "also -v N: how much klog says" },
	{ "vmodule", "LIST", "as --v, by file" },
	{ "logtostderr", "[=BOOL]", "all is logged to stderr" },
	{ "alsologtostderr", "[=BOOL]", "the same" },
	{ "stderrthreshold", "LEVEL", "the same" },
	{ "log-dir", "DIR", "no file is written" },
	{ "log-file", "FILE", "the same" },
	{ "log-file-max-size", "MIB", "the same" },
	{ "log-flush-frequency", "TIME", "each line is written at once" },
	{ "log-backtrace-at", "PLACE", "there are no backtraces" },
	{ "add-dir-header", "[=BOOL]", "lines have no header" },
	{ "skip-headers", "[=BOOL]", "the same" },
	{ "skip-log-headers", "[=BOOL]", "the same" },
	{ "one-output", "[=BOOL]", "there is one" },
	{},
};

/* true, false and what Go's flag package takes for them. */
static int read_bool(const struct cmd_line *line, const char *name, bool *out)
{
	static const char *const words[][6] = {
		{ "0", "f", "F", "false", "False", "FALSE" },
		{ "1", "t", "T", "true", "True", "TRUE" },
	};
	const char *text = cmd_value(line, name);

	*out = text && !*text;
	if (!text || !*text)
		return CMD_OK;
	for (int value = 0; value < 2; value++)
		for (int i = 0; i < 6; i++)
			if (!strcmp(text, words[value][i])) {
				*out = value;
				return CMD_OK;
			}
	return cmd_usage(line, "--%s=%s: not true or false", name, text);
}

static int read_upstream_flags(const struct cmd_line *line,
			       struct agent_options *o)
{
	const char *ports = cmd_value(line, "to-ports");
	bool reserved, random;
	char err[128];

	if (read_bool(line, "nomasq-all-reserved-ranges", &reserved) ||
	    read_bool(line, "enable-ipv6", &o->enable_ipv6) ||
	    read_bool(line, "random-fully", &random))
		return CMD_USAGE;
	o->base_preset = reserved ? "reserved" : "ip-masq-agent";
	if (ports && strchr(ports, ','))
		return cmd_usage(line,
				 "--to-ports %s: one range only; node ports "
				 "are left out in any case",
				 ports);
	if (ports && port_range_parse(ports, &o->port_min, &o->port_max, err,
				      sizeof(err)))
		return cmd_usage(line, "--to-ports %s: %s", ports, err);
	if (cmd_value(line, "masq-chain"))
		log_info("--masq-chain %s: there is no chain: nothing to name",
			 cmd_value(line, "masq-chain"));
	if (random)
		log_info("--random-fully: a pod's own port is kept where it "
			 "is free; one that is chosen is chosen at random");
	return CMD_OK;
}

static void say_ignored(const struct cmd_line *line)
{
	char names[512] = "";
	size_t used = 0;

	for (int i = 0; ignored[i].name; i++)
		if (line->ignored & 1U << i)
			used += snprintf(names + used, sizeof(names) - used,
					 "%s--%s", used ? ", " : "",
					 ignored[i].name);
	if (used)
		log_info("%s: of klog, ignored: all is logged to stderr "
			 "(--verbose, --quiet: more, less)",
			 names);
}

static int read_listen(const struct cmd_line *line, struct agent_options *o)
{
	const char *text = cmd_value(line, "listen") ?: HTTP_DEFAULT_LISTEN;
	char err[128];

	if (http_address_parse(text, &o->listen, err, sizeof(err)))
		return cmd_usage(line, "--listen %s: %s", text, err);
	return CMD_OK;
}

/* Only root can become somebody else; others stay who they are. */
static int read_user(const struct cmd_line *line, struct agent_options *o)
{
	const char *text = cmd_value(line, "user");
	char err[128];

	o->user = (struct sandbox_user){ geteuid(), getegid() };
	if (!text && geteuid())
		return CMD_OK;
	if (!text && !sandbox_user_parse(DEFAULT_USER, &o->user, NULL, 0))
		return CMD_OK;
	if (sandbox_user_parse(text ?: DEFAULT_UID, &o->user, err, sizeof(err)))
		return cmd_usage(line, "--user %s: %s", text, err);
	return CMD_OK;
}

/* One that is not there is waited for; one that can never be is a mistake. */
static int check_names(const struct cmd_line *line)
{
	for (int i = 0; i < line->argc; i++) {
		const char *name = line->argv[i];

		if (!names_possible(name))
			return cmd_usage(line, NAMES_IMPOSSIBLE, name);
	}
	return CMD_OK;
}

static int refuse_loopback(void *data, const struct names_part *part)
{
	(void)data;
	if (!part->link || part->link->type != ARPHRD_LOOPBACK)
		return 0;
	log_error("%s: agent: the loopback interface: nothing leaves the node "
		  "by it",
		  part->name);
	return -EINVAL;
}

/* What is plain now; of what comes later the log tells. */
static int check_links(const struct cmd_line *line)
{
	struct netdev *netdev;
	int err = netdev_read(&netdev);

	if (err)
		return CMD_FAILED;
	for (int i = 0; i < line->argc && !err; i++)
		err = names_each(netdev, line->argv[i], refuse_loopback, NULL);
	netdev_free(netdev);
	return err ? CMD_FAILED : CMD_OK;
}

static int run(const struct cmd_line *line)
{
	struct agent_options o = { .pin_dir = line->pin_dir,
				   .config = cmd_value(line, "config"),
				   .ifaces = line->argv,
				   .iface_count = line->argc,
				   .fast_path = FASTPATH_AUTO };
	const char *fast = cmd_value(line, "fast-path");

	if (fast && !fastpath_mode_read(fast, &o.fast_path))
		return cmd_usage(line, "--fast-path %s: not auto, on or off",
				 fast);
	if (o.config && !strcmp(o.config, "-"))
		return cmd_usage(line, "--config -: cannot be followed");
	/* one that is closed to us is there */
	if (!o.config && (!access(UPSTREAM_DIR, X_OK) ||
			  (errno != ENOENT && errno != ENOTDIR)))
		o.config = UPSTREAM_CONFIG;
	if (check_names(line) || read_listen(line, &o) || read_user(line, &o) ||
	    read_upstream_flags(line, &o))
		return CMD_USAGE;
	if (check_links(line))
		return CMD_FAILED;
	say_ignored(line);
	return agent_run(&o) ? CMD_FAILED : CMD_OK;
}

const struct cmd cmd_agent = {
	.name = "agent",
	.args = "IFACE...|auto",
	.help = "attach, follow config and node, heal, serve metrics",
	.min = 1,
	.max = CMD_ANY,
	.options = options,
	.run = run,
	.ignored = ignored,
};

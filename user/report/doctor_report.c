// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_report.c - one tar archive with what somebody else needs to see. The
 * archive is plain ustar, written here: a format of fifteen lines, and images
 * have no tar. What commands print is taken from the commands themselves.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"
#include "base/safe.h"
#include "base/tool.h"
#include "report/doctor.h"

#define BLOCK	  512
#define MAX_BYTES (128 << 20) /* of one member: a full table is 90 MB */

/* POSIX.1-1988 */
struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12];
	char checksum[8], type, link[100], magic[6], version[2];
	char owner[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "ustar");

static void add_member(FILE *tar, const char *name, const char *text,
		       size_t length)
{
	static const char zeros[BLOCK];
	struct ustar head = { .mode = "0000600",
			      .uid = "0000000",
			      .gid = "0000000",
			      .type = '0',
			      .magic = "ustar",
			      .version = { '0', '0' } };
	unsigned int sum = 0;

	snprintf(head.name, sizeof(head.name), "masqbpf-report/%s", name);
	snprintf(head.size, sizeof(head.size), "%011zo", length);
	snprintf(head.mtime, sizeof(head.mtime), "%011llo",
		 (unsigned long long)time(NULL));
	memset(head.checksum, ' ', sizeof(head.checksum));
	for (size_t i = 0; i < sizeof(head); i++)
		sum += ((unsigned char *)&head)[i];
	snprintf(head.checksum, sizeof(head.checksum), "%06o", sum);
	fwrite(&head, sizeof(head), 1, tar);
	fwrite(text, 1, length, tar);
	if (length % BLOCK)
		fwrite(zeros, 1, BLOCK - length % BLOCK, tar);
}

/* Both outputs of a command, and how it ended when not well. */
static void add_command(FILE *tar, const char *name, char *const argv[])
{
	char *text, *end = NULL;
	size_t length;
	int err = tool_words(argv, &text, &length);

	if (err && asprintf(&end, "%.*s\n(%s%s%s)\n", (int)length, text ?: "",
			    err < 0 ? argv[0] : "", err < 0 ? ": " : "",
			    tool_why(err)) < 0)
		end = NULL;
	if (length > MAX_BYTES)
		length = MAX_BYTES;
	if (end)
		add_member(tar, name, end, strlen(end));
	else if (text)
		add_member(tar, name, text, length);
	free(end);
	free(text);
}

/* What cannot be read, or is no file, is told in its place. */
static void add_file(FILE *tar, const char *name, const char *path)
{
	char err[128], told[PATH_MAX + 160];
	char *text;
	size_t length;

	if (file_read(path, &text, &length, err, sizeof(err))) {
		snprintf(told, sizeof(told), "(%s %s)\n", path, err);
		add_member(tar, name, told, strlen(told));
		return;
	}
	add_member(tar, name, text, length);
	free(text);
}

static void add_findings(FILE *tar, const struct doctor *d)
{
	char *text = NULL;
	size_t length = 0;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return;
	for (size_t i = 0; i < d->count; i++) {
		const struct doctor_finding *f = &d->findings[i];

		fprintf(out, "%-8s %-13s %s\n", doctor_level_name(f->level),
			f->check, shown(f->what));
		if (f->todo)
			fprintf(out, "%-8s %-13s   %s\n", "", "",
				shown(f->todo));
	}
	if (!fclose(out))
		add_member(tar, "doctor.txt", text, length);
	free(text);
}

int doctor_report(const struct doctor *d, const char *pin_dir, const char *path)
{
	/* of ours: with --json and --pin-dir */
	static const char *const commands[][3] = {
		{ "status.json", "status" },
		{ "counters.json", "counters" },
		{ "cidr.json", "cidr", "list" },
		{ "history.json", "history" },
		{ "flows.json", "flows" },
	};
	/*
	 * Of the settings those that decide what becomes of packets, by name:
	 * among the others are secrets (tcp_fastopen_key, stable_secret).
	 */
	static char settings[] =
		"^net\\.(ipv4\\.(ip_|icmp_)|netfilter\\.nf_conntrack_|core\\.bpf_|ipv[46]\\.conf\\..*\\.(forwarding|rp_filter|accept_local|route_localnet|disable_ipv6|mtu)$)";
	static char *const tools[][7] = {
		{ "uname.txt", "uname", "-a" },
		{ "ip-addr.txt", "ip", "-d", "addr" },
		{ "ip-route.txt", "ip", "route", "show", "table", "all" },
		{ "ip-rule.txt", "ip", "rule" },
		{ "ip-xfrm-policy.txt", "ip", "xfrm", "policy" },
		{ "nft.txt", "nft", "-a", "list", "ruleset" },
		{ "iptables-legacy.txt", "iptables-legacy-save", "-t", "nat" },
		{ "sysctl-net.txt", "sysctl", "-a", "-r", settings },
	};
	static const char *const files[][2] = {
		{ "os-release", "/etc/os-release" },
		{ "ip_tables_names", "/proc/net/ip_tables_names" },
	};
	static const char zeros[2 * BLOCK];
	/* flows tell who talks to whom: nobody else's business */
	bool out = !strcmp(path, "-");
	int fd =
		out ? fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
		    : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	FILE *tar = fd < 0 ? NULL : fdopen(fd, "w");
	int err = 0;

	if (out)
		path = "stdout";
	if (!tar) {
		err = -errno;
		log_error("%s: cannot write: %s", path, strerror(-err));
		if (fd >= 0)
			close(fd);
		return err;
	}
	log_info("doctor: writing %s", path);
	add_findings(tar, d);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		char *argv[] = { "/proc/self/exe",
				 "--pin-dir",
				 (char *)pin_dir,
				 "--json",
				 (char *)commands[i][1],
				 (char *)commands[i][2],
				 NULL };

		if (d->instance)
			add_command(tar, commands[i][0], argv);
	}
	for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++)
		add_command(tar, tools[i][0], tools[i] + 1);
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		add_file(tar, files[i][0], files[i][1]);
	if (d->policy && *d->policy->source.config_path)
		add_file(tar, "config", d->policy->source.config_path);
	fwrite(zeros, 1, sizeof(zeros), tar);
	if (fflush(tar) || ferror(tar))
		err = -errno;
	fclose(tar);
	if (err)
		log_error("%s: cannot write: %s", path, strerror(-err));
	return err;
}

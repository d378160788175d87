// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_foreign.c - others that translate. Whoever does it in POSTROUTING
 * does it before our hook: packets then come to us with the node's address,
 * pass as the node's own, and masqbpf looks healthy while it does nothing.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "kernel/foreign.h"
#include "report/doctor.h"

static bool begins(const char *text, const char *head)
{
	return !strncmp(text, head, strlen(head));
}

static enum doctor_level level_of(enum doctor_pods pods)
{
	return pods == PODS_NONE      ? DOCTOR_NOTE
	       : pods == PODS_UNKNOWN ? DOCTOR_WARNING
				      : DOCTOR_BAD;
}

static void judge(struct doctor *d, const struct foreign_rule *rule)
{
	enum doctor_level level = DOCTOR_BAD;
	char source[CIDR_STRLEN] = "any source", todo[256];

	if (rule->source.addr.family)
		cidr_format(&rule->source, source, sizeof(source));
	if (!rule->reached) {
		doctor_add(
			d, DOCTOR_NOTE, "foreign-nat", NULL,
			"%s, chain %s: %s, but no rule leads there: left over",
			rule->where, rule->chain, rule->what);
		return;
	}
	if (begins(rule->chain, "KUBE-")) {
		doctor_add(
			d, DOCTOR_NOTE, "foreign-nat", NULL,
			"%s, chain %s: %s of what kube-proxy marked: that is services' business",
			rule->where, rule->chain, rule->what);
		return;
	}
	if (begins(rule->chain, "IP-MASQ"))
		snprintf(
			todo, sizeof(todo),
			"ip-masq-agent: stop it, then masqbpf migrate takes over without losing a connection");
	else if (begins(rule->chain, "CNI-"))
		snprintf(
			todo, sizeof(todo),
			"a CNI plugin's: set ipMasq to false in /etc/cni/net.d");
	else
		snprintf(
			todo, sizeof(todo),
			"remove it or limit it to sources that are no pods; %s",
			begins(rule->where, "nft")
				? "nft -a list ruleset"
				: "iptables-legacy -t nat -S");
	if (rule->source.addr.family)
		level = level_of(doctor_pods_in(d, &rule->source));
	doctor_add(
		d, level, "foreign-nat", level == DOCTOR_NOTE ? NULL : todo,
		"%s, chain %s: %s for %s%s", rule->where, rule->chain,
		rule->what, source,
		level == DOCTOR_NOTE
			? ", no pods'"
			: ": what it translates before us we take for the node's own");
}

/* --- CNI plugins ------------------------------------------------------- */

/* The range that a plugin gives addresses from, as far as it says. */
static struct cidr plugin_range(const json_t *plugin)
{
	const json_t *ipam = json_object_get(plugin, "ipam");
	const json_t *set = json_array_get(json_object_get(ipam, "ranges"), 0);
	const char *text =
		json_string_value(json_object_get(ipam, "subnet"))
			?: json_string_value(json_object_get(
				   json_array_get(set, 0), "subnet"));
	struct cidr range = {};

	if (text)
		cidr_parse(text, &range, NULL, 0);
	return range;
}

/* Is it told to masquerade? */
static bool check_plugin(struct doctor *d, const char *path,
			 const json_t *plugin)
{
	struct cidr range = plugin_range(plugin);
	enum doctor_level level = DOCTOR_WARNING;
	char text[CIDR_STRLEN] = "its pods";

	if (!json_is_true(json_object_get(plugin, "ipMasq")))
		return false;
	if (range.addr.family) {
		level = level_of(doctor_pods_in(d, &range));
		cidr_format(&range, text, sizeof(text));
	}
	doctor_add(d, level, "cni",
		   level == DOCTOR_NOTE
			   ? NULL
			   : "set it to false; pods made from then on are ours",
		   "%s: plugin %s has ipMasq: true: it translates %s before us",
		   path,
		   json_string_value(json_object_get(plugin, "type")) ?: "?",
		   text);
	return true;
}

static void check_cni(struct doctor *d)
{
	static const char dir_path[] = "/etc/cni/net.d";
	DIR *dir = opendir(dir_path);
	struct dirent *entry;
	size_t files = 0, masquerading = 0, unread = 0;

	if (!dir && errno != ENOENT) {
		doctor_add(
			d, DOCTOR_UNKNOWN, "cni", "run it as root",
			"%s: cannot be read (%s): whether a plugin translates is not known",
			dir_path, strerror(errno));
		return;
	}
	while (dir && (entry = readdir(dir))) {
		const char *suffix = strrchr(entry->d_name, '.');
		char path[PATH_MAX];
		json_t *config, *plugin;
		size_t i;

		if (!suffix ||
		    (strcmp(suffix, ".conf") && strcmp(suffix, ".conflist") &&
		     strcmp(suffix, ".json")))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir_path, entry->d_name);
		config = json_load_file(path, 0, NULL);
		files++;
		if (!config) {
			unread++;
			doctor_add(
				d, DOCTOR_WARNING, "cni",
				"look for ipMasq in it; CNI itself would refuse it",
				"%s: cannot be read as JSON: whether its plugin translates is not known",
				path);
		}
		masquerading += check_plugin(d, path, config);
		json_array_foreach(json_object_get(config, "plugins"), i,
				   plugin)
			masquerading += check_plugin(d, path, plugin);
		json_decref(config);
	}
	if (dir)
		closedir(dir);
	if (!masquerading && !unread)
		doctor_add(d, DOCTOR_OK, "cni", NULL,
			   files ? "%zu configs in %s, none has ipMasq: true"
				 : "%zu configs in %s",
			   files, dir_path);
}

/* --- kubelet ----------------------------------------------------------- */

/* Reads /proc/PID/cmdline, its words separated by newlines. */
static bool read_kubelet(const char *pid, char *buf, size_t len)
{
	char path[64];
	size_t length;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	if (!fgets(buf, len, file))
		buf[0] = '\0';
	fclose(file);
	if (strcmp(buf, "kubelet\n"))
		return false;
	snprintf(path, sizeof(path), "/proc/%.16s/cmdline", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	length = fread(buf, 1, len - 1, file);
	fclose(file);
	buf[length] = '\0';
	for (size_t i = 0; i < length; i++)
		if (!buf[i])
			buf[i] = '\n';
	return true;
}

static void check_kubelet(struct doctor *d)
{
	static const char option[] = "\n--non-masquerade-cidr";
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	char line[16384];

	if (!proc)
		doctor_add(d, DOCTOR_UNKNOWN, "kubelet",
			   "look whether /proc is mounted",
			   "processes cannot be read (%s): not checked",
			   strerror(errno));
	while (proc && (entry = readdir(proc))) {
		char *value;

		if (entry->d_name[0] < '1' || entry->d_name[0] > '9' ||
		    !read_kubelet(entry->d_name, line, sizeof(line)))
			continue;
		value = strstr(line, option);
		if (!value) {
			doctor_add(d, DOCTOR_OK, "kubelet", NULL,
				   "no --non-masquerade-cidr");
			continue;
		}
		/* its value behind a "=", or the next word */
		value += sizeof(option) - 1;
		value += *value == '=' || *value == '\n';
		value[strcspn(value, "\n")] = '\0';
		if (!strcmp(value, "0.0.0.0/0"))
			doctor_add(d, DOCTOR_OK, "kubelet", NULL,
				   "--non-masquerade-cidr=0.0.0.0/0");
		else
			doctor_add(
				d, DOCTOR_BAD, "kubelet",
				"start it with --non-masquerade-cidr=0.0.0.0/0",
				"--non-masquerade-cidr=%s: kubelet masquerades what is outside, before us",
				value);
	}
	if (proc)
		closedir(proc);
}

int doctor_judge_rules(struct doctor *d, const struct foreign_nat *nat)
{
	size_t before = d->count;
	int bad = 0;

	for (size_t i = 0; i < nat->count; i++)
		judge(d, &nat->rules[i]);
	for (size_t k = before; k < d->count; k++)
		bad += d->findings[k].level == DOCTOR_BAD;
	if (nat->unreadable)
		doctor_add(
			d, DOCTOR_UNKNOWN, "foreign-nat",
			nat->unreadable == -EINTR
				? "look again; nft list ruleset"
				: "run it as root; nft list ruleset",
			"not all rules could be read (%s): whether others translate%s is not known",
			nat->unreadable == -EINTR ? "they change all the time"
						  : strerror(-nat->unreadable),
			bad ? ", beside what is found," : "");
	else if (!nat->count)
		doctor_add(
			d, DOCTOR_OK, "foreign-nat", NULL,
			"no rule of nft, iptables or iptables-legacy writes sources");
	return !bad && nat->unreadable ? -1 : bad;
}

int doctor_check_rules(struct doctor *d)
{
	struct foreign_nat nat;
	int bad, err = foreign_nat_find(&nat);

	if (err)
		nat.unreadable = err;
	bad = doctor_judge_rules(d, &nat);
	foreign_nat_free(&nat);
	return bad;
}

void doctor_check_foreign(struct doctor *d)
{
	doctor_check_rules(d);
	check_cni(d);
	check_kubelet(d);
}

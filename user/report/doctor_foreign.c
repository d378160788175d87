// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor_foreign.c - others that translate, or are told to: rules, CNI plugins,
 * kubelet.
 */
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "report/doctor.h"
#include "report/pods.h"
#include "report/rules.h"

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
		level = doctor_level_of(doctor_pods_in(d, &range));
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
	int err = 0;

	if (!dir && errno != ENOENT) {
		doctor_add(
			d, DOCTOR_UNKNOWN, "cni", "run it as root",
			"%s: cannot be read (%s): whether a plugin translates is not known",
			dir_path, strerror(errno));
		return;
	}
	while (dir && (entry = file_next(dir, &err))) {
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
	if (err)
		doctor_add(
			d, DOCTOR_UNKNOWN, "cni", NULL,
			"%s: cannot be read (%s): whether a plugin translates is not known",
			dir_path, strerror(-err));
	else if (!masquerading && !unread)
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
	int err = proc ? 0 : -errno;

	while (proc && (entry = file_next(proc, &err))) {
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
	if (err)
		doctor_add(d, DOCTOR_UNKNOWN, "kubelet",
			   "look whether /proc is mounted",
			   "processes cannot be read (%s): not checked",
			   strerror(-err));
	if (proc)
		closedir(proc);
}

void doctor_check_foreign(struct doctor *d)
{
	rules_judge(d, NULL);
	check_cni(d);
	check_kubelet(d);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * drift.c - has the config file changed since it was acted upon, is it
 * broken, is it gone? The policy stays as it is then, and without this it
 * would only show at the next reload.
 *
 * An agent may have the file in a container of its own, where the same path
 * is another file: its view counts as well as ours.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "config/config.h"
#include "plane/agent_lock.h"
#include "plane/fastpath.h"
#include "report/drift.h"

/* One file; *why only where it is broken. */
static enum config_look look_at(const char *path,
				const struct masq_source *source, char *why,
				size_t length)
{
	const char *name = source->config_path;
	enum config_look look = CONFIG_CHANGED;
	struct config *config;
	char err[256], errors[CONFIG_ERRLEN], *text;
	size_t size, count;
	int failed = file_read(path, &text, &size, err, sizeof(err));

	if (failed == -ENOENT || failed == -ENOTDIR)
		return CONFIG_GONE;
	if (failed) {
		snprintf(why, length, "%s: %s", name, err);
		return CONFIG_BROKEN;
	}
	if (config_hash(text, size) == source->config_hash)
		look = CONFIG_SAME;
	else if (config_parse_counted(text, size, name, NULL, &config, errors,
				      sizeof(errors), &count)) {
		config_brief(errors, count, why, length);
		look = CONFIG_BROKEN;
	} else {
		if (config_may_replace(config, why, length))
			look = CONFIG_BROKEN;
		config_free(config);
	}
	free(text);
	return look;
}

enum config_look config_look(const struct instance *instance,
			     const struct policy *policy, char *why,
			     size_t length)
{
	const struct masq_source *source = &policy->source;
	const char *path = source->config_path;
	enum config_look look = CONFIG_GONE, ours;
	char root[PATH_MAX + 32], text[640] = "", ours_why[640] = "";
	pid_t agent = agent_lock_owner(instance);
	bool seen = agent < 0;

	/* a preset, or standard input, which is over */
	if (*path != '/')
		return CONFIG_SAME;
	if (agent > 0) {
		snprintf(root, sizeof(root), "/proc/%d/root/", agent);
		seen = !access(root, R_OK | X_OK);
		snprintf(root, sizeof(root), "/proc/%d/root%s", agent, path);
		if (seen)
			look = look_at(root, source, text, sizeof(text));
	}
	ours = look_at(path, source, ours_why, sizeof(ours_why));
	if (look == CONFIG_GONE || ours == CONFIG_SAME) {
		look = ours;
		snprintf(text, sizeof(text), "%s", ours_why);
	}
	switch (look) {
	case CONFIG_SAME:
		break;
	case CONFIG_CHANGED:
		if (agent >= 0)
			return CONFIG_SAME; /* it takes it in a moment */
		snprintf(why, length,
			 "%s: has changed and is not in force: masqbpf plan "
			 "%s, then masqbpf reload",
			 path, path);
		break;
	case CONFIG_BROKEN:
		snprintf(why, length, "%s; the policy in force is older", text);
		break;
	case CONFIG_GONE:
		if (!seen)
			return CONFIG_SAME; /* where we cannot look */
		snprintf(why, length,
			 "%s: is gone; the policy that came from it stays: put "
			 "it back, or masqbpf reload --config FILE",
			 path);
		break;
	}
	return look;
}

/* --- what runs beside it ----------------------------------------------- */

/* The file that was taken, by the agent's path or ours. NULL: it is not as it
 * was, or nowhere where we can look. */
static struct config *load_taken(const struct instance *instance,
				 const struct masq_source *source)
{
	const struct config_options options = {
		.base_preset = source->options & 1 ? "reserved" : NULL,
	};
	char path[PATH_MAX + 32], err[256], *text;
	pid_t agent = agent_lock_owner(instance);
	struct config *config = NULL;
	size_t size;

	for (int own = agent <= 0; own < 2 && !config; own++) {
		snprintf(path, sizeof(path), "/proc/%d/root%s", agent,
			 source->config_path);
		if (file_read(own ? source->config_path : path, &text, &size,
			      err, sizeof(err)))
			continue;
		if (config_hash(text, size) == source->config_hash &&
		    config_parse(text, size, source->config_path, &options,
				 &config, err, sizeof(err)))
			config = NULL;
		free(text);
	}
	return config;
}

/* Those of `of` that the other one has not, or with another action. */
static int find_unlike(const struct policy *of, struct policy *other,
		       struct policy_entry **out, size_t *count)
{
	struct policy_entry *found = calloc(of->count + 1, sizeof(*found));

	if (!found)
		return -ENOMEM;
	*count = 0;
	for (size_t i = 0; i < of->count; i++) {
		const struct policy_entry *entry = &of->entries[i];
		const struct policy_entry *same =
			policy_find(other, entry->list, &entry->cidr);

		/* what is built in may be taken out, and then counts */
		if (same && (same->action == entry->action ||
			     entry->origin == MASQ_O_BUILTIN))
			continue;
		found[(*count)++] = *entry;
	}
	*out = found;
	return 0;
}

int drift_find(struct instance *instance, struct policy *policy,
	       struct policy_entry **added, size_t *added_count,
	       struct policy_entry **missing, size_t *missing_count)
{
	struct config *config = *policy->source.config_path == '/'
					? load_taken(instance, &policy->source)
					: NULL;
	struct policy *file = NULL;
	int err = 0;

	*added = *missing = NULL;
	*added_count = *missing_count = 0;
	if (config) {
		err = policy_from_config(instance, config,
					 fastpath_tcp_allowed(), &file);
		err = err ?: find_unlike(policy, file, added, added_count);
		err = err ?: find_unlike(file, policy, missing, missing_count);
	}
	policy_free(file);
	config_free(config);
	return err;
}

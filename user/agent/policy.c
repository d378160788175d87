// SPDX-License-Identifier: GPL-2.0-only
/*
 * policy.c - the config file becomes the policy in force. Whatever goes
 * wrong on the way leaves the policy as it was, with an alarm; each change of
 * what is wrong is one line of log.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include "agent/due.h"
#include "agent/policy.h"
#include "agent/save.h"
#include "agent/sizes.h"
#include "agent/ward.h"
#include "base/file.h"
#include "base/log.h"
#include "base/prefix.h"
#include "plane/fastpath.h"
#include "plane/flows.h"
#include "policy/apply.h"
#include "policy/policy.h"
#include "policy/read.h"

#define NS_PER_MS 1000000ULL
/* Changed prefixes that a line of log names. */
#define NAMED_MAX 12

/* --- what is wrong ----------------------------------------------------- */

static void __attribute__((format(printf, 2, 3)))
problem(struct agent *a, const char *fmt, ...)
{
	char text[sizeof(a->config_problem)];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	a->reload_ok = false;
	a->stale = a->has_policy;
	if (strcmp(text, a->config_problem))
		log_error("%s; %s", text,
			  a->has_policy ? "the policy in force is kept"
					: "no policy: nothing is attached");
	memcpy(a->config_problem, text, sizeof(text));
}

/* Every error of a file in the log, the first one wherever else it is said. */
static void broken(struct agent *a, const char *lines, size_t errors)
{
	char text[sizeof(a->config_problem)];
	const char *more = strchr(lines, '\n');
	bool news;

	config_brief(lines, errors, text, sizeof(text));
	news = strcmp(text, a->config_problem);
	problem(a, "%s", text);
	if (news && more)
		log_errors(more + 1);
}

void agent_policy_refuse(struct agent *a)
{
	struct ward_state state;
	uint32_t refused = 0, back = 0;

	if (a->ward && a->ward->state.flags & WARD_BACK)
		state = a->ward->state;
	else if (ward_note(a->instance, a->guard_generation, &state))
		state = (struct ward_state){};
	if (state.flags & WARD_BACK) {
		refused = state.other;
		back = state.generation;
	}
	problem(a,
		"%s: refused by the guard: generation %u, made of it, broke "
		"traffic (masqbpf history %u); generation %u is the one before "
		"it; change the file, or masqbpf reload",
		a->options.config ?: "config", refused, refused, back);
}

static void all_well(struct agent *a)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	a->reload_time = now.tv_sec + now.tv_nsec / 1e9;
	a->reload_ok = true;
	a->stale = false;
	a->config_problem[0] = '\0';
}

/*
 * What the file or preset says is not in force, through no fault of its own: a
 * lock, a refusal of the kernel. It is taken again.
 */
static void try_again(struct agent *a, enum agent_again what, bool force,
		      const char *object, int err)
{
	char why[96];

	a->again = what;
	a->again_forced |= force;
	a->again_ms = follow_now_ms() + agent_backoff_ms(++a->again_failures);
	agent_due(a, MASQ_DUE_CONFIG, "%s: %s: %s", object,
		  what == AGAIN_BEGIN ? "the policy in force cannot be read"
				      : "not in force yet",
		  agent_why(a, err, why, sizeof(why)));
}

/* Whatever has become of it: a try is not due, unless it was said anew. */
static void settle(struct agent *a)
{
	if (a->again != AGAIN_NOTHING)
		return;
	a->again_forced = false;
	a->again_failures = 0;
	agent_sizes_note(a);
}

/* --- what changes ------------------------------------------------------ */

/* The text of a log line, cut where it would be too long. */
struct line {
	char text[1024];
	size_t used;
	unsigned int named, unnamed;
};

static void name_entry(struct line *line, char sign,
		       const struct policy_entry *entry)
{
	static const char *const lists[] = {
		[MASQ_L_POD] = " pods",
		[MASQ_L_KEEP_SOURCE] = " source",
	};
	const char *list = entry->list < MASQ_L_KEEP_SOURCE + 1
				   ? lists[entry->list]
				   : NULL;
	char cidr[CIDR_STRLEN];

	if (line->named == NAMED_MAX) {
		line->unnamed++;
		return;
	}
	line->used += snprintf(
		line->text + line->used, sizeof(line->text) - line->used,
		"%s%c%s %s%s", line->named++ ? ", " : "", sign,
		cidr_format(&entry->cidr, cidr, sizeof(cidr)),
		entry->list == MASQ_L_POD ? "" : action_name(entry->action),
		list ?: "");
}

static bool still_there(struct policy *policy, const struct policy_entry *entry)
{
	const struct policy_entry *found =
		policy_find(policy, entry->list, &entry->cidr);

	return found && found->action == entry->action;
}

static void name_changes(struct line *line, struct policy *old,
			 struct policy *new)
{
	for (size_t i = 0; i < new->count; i++)
		if (!old || !still_there(old, &new->entries[i]))
			name_entry(line, '+', &new->entries[i]);
	for (size_t i = 0; old && i < old->count; i++)
		if (!still_there(new, &old->entries[i]))
			name_entry(line, '-', &old->entries[i]);
	if (line->unnamed)
		snprintf(line->text + line->used,
			 sizeof(line->text) - line->used, " and %u more",
			 line->unnamed);
}

struct flips {
	struct policy *old, *new;
	uint64_t count;
};

/* Would a new flow to the same destination be treated otherwise? */
static int count_flip(void *data, const struct flow *flow)
{
	struct flips *flips = data;
	struct cidr dest =
		cidr_of(&flow->rem, flow->rem.family == 4 ? 32 : 128);
	const struct policy_entry *before, *after;

	if (flow->kind == MASQ_K_INBOUND)
		return 0;
	before = policy_match(flips->old, &dest);
	after = policy_match(flips->new, &dest);
	flips->count += before && after && before->action != after->action;
	return 0;
}

static void report(struct agent *a, const char *from, struct policy *old,
		   struct policy *new, const struct policy_change *change)
{
	struct flips flips = { old, new, 0 };
	struct line line = {};

	name_changes(&line, old, new);
	if (old)
		flows_walk_owners(a->instance, count_flip, &flips);
	if (old && old->head.generation == change->generation)
		log_info("%s: generation %u: nothing changed", from,
			 change->generation);
	else
		log_info("%s: generation %u: %s; %llu live flows keep another "
			 "treatment than new ones get",
			 from, change->generation,
			 line.used ? line.text : "no prefix changed",
			 (unsigned long long)flips.count);
}

/* --- applying ---------------------------------------------------------- */

/* What the command line adds to any file, as a number; 0: nothing. */
static uint64_t options_word(const struct agent *a)
{
	const struct agent_options *o = &a->options;

	return (uint64_t)o->port_min << 48 | (uint64_t)o->port_max << 32 |
	       /* what --to-ports did not say before */
	       !!o->port_min << 2 | o->enable_ipv6 << 1 |
	       !strcmp(o->base_preset, "reserved");
}

static void add_options(const struct agent *a, struct config *config)
{
	config->ipv6 |= a->options.enable_ipv6;
	if (a->options.port_min) {
		config->port_min = a->options.port_min;
		config->port_max = a->options.port_max;
		config->strict_ports = true;
	}
}

/* no_file: the preset stands in for one. */
static int apply(struct agent *a, const struct config *config, const char *from,
		 bool no_file)
{
	struct policy *old = NULL, *new = NULL;
	struct policy_change change;
	int err;

	a->guard_action = config->guard_action;
	a->guard_window_ns = config->guard_window_ns;
	a->guard_known = true;
	err = agent_lock(a);
	if (err)
		return err;
	err = agent_sizes_fit(a, config) ?: policy_read(a->instance, &old);
	if (!err || err == -ENODATA)
		err = policy_from_config(a->instance, config,
					 fastpath_tcp_allowed(), &new);
	if (!err) {
		new->source.options = options_word(a) |
				      (no_file ? MASQ_SOURCE_NO_FILE : 0);
		err = policy_apply(a->instance, new, &change);
	}
	if (!err && a->guard_action != GUARD_OFF)
		ward_begin(a->instance, old, new, a->guard_window_ns, 0);
	if (!err) {
		policy_settle(a->instance, new, &change);
		a->has_policy = true;
		a->guard_due_ms = 0;
		report(a, from, old, new, &change);
		follow_interval(&a->follower,
				config->resync_interval_ns / NS_PER_MS);
		/* last, for who asks meanwhile is answered */
		agent_save(a);
	}
	instance_unlock(a->instance);
	policy_free(old);
	policy_free(new);
	return err;
}

static void apply_preset(struct agent *a)
{
	const char *name = a->options.base_preset;
	struct config *config;
	char err[256];
	int applied;

	a->again = AGAIN_NOTHING;
	if (a->unknown && !a->has_policy) {
		problem(a,
			"%s%sno config file, and what was in force before is "
			"not known: no preset takes its place",
			a->has_config ? a->options.config : "",
			a->has_config ? ": " : "");
		settle(a);
		return;
	}
	log_warn("%s%sno config file: preset %s: destinations in its "
		 "prefixes see pod addresses (masqbpf cidr list)",
		 a->has_config ? a->options.config : "",
		 a->has_config ? ": " : "", name);
	if (config_preset(name, &config, err, sizeof(err))) {
		problem(a, "%s", err);
		return;
	}
	add_options(a, config);
	applied = apply(a, config, "preset", a->has_config);
	if (applied) {
		snprintf(err, sizeof(err), "preset %s", name);
		try_again(a, AGAIN_PRESET, false, err, applied);
		problem(a, "%s: cannot be applied: tried again", err);
	} else {
		all_well(a);
	}
	settle(a);
	config_free(config);
}

/* The text of the file; known: its hash of last time, which is not news. */
static void take_text(struct agent *a, const char *text, size_t length,
		      bool force)
{
	const struct config_options options = {
		.base_preset = a->options.base_preset,
	};
	const char *path = a->options.config;
	uint64_t hash = config_hash(text, length);
	struct config *config;
	char err[CONFIG_ERRLEN];
	size_t errors;
	int applied;
	bool refused;

	if (hash == a->refused_hash && hash) {
		agent_policy_refuse(a);
		return;
	}
	if (hash == a->config_hash && !force && a->guard_known) {
		/* back again, as it was */
		if (*a->config_problem) {
			all_well(a);
			log_info("%s: is back, as it was", path);
		}
		return;
	}
	if (config_parse_counted(text, length, path, &options, &config, err,
				 sizeof(err), &errors)) {
		broken(a, err, errors);
		return;
	}
	if (hash == a->config_hash && !force) {
		/* as it is in force: what it says of the guard alone is new */
		a->guard_action = config->guard_action;
		a->guard_window_ns = config->guard_window_ns;
		a->guard_known = true;
		if (*a->config_problem) {
			all_well(a);
			log_info("%s: is back, as it was", path);
		}
		config_free(config);
		return;
	}
	refused = a->has_policy && config_may_replace(config, err, sizeof(err));
	/* what is refused is read again, and said once */
	for (size_t i = 0; i < config->warning_count; i++)
		if (!refused || strcmp(err, a->config_problem))
			log_warn("%s", config->warnings[i]);
	add_options(a, config);
	applied = refused ? 0 : apply(a, config, path, false);
	if (refused) {
		problem(a, "%s", err);
	} else if (applied) {
		try_again(a, AGAIN_FILE, force, path, applied);
		problem(a, "%s: cannot be applied: tried again", path);
	} else {
		a->config_hash = hash;
		all_well(a);
	}
	config_free(config);
}

/* Not: a loop of links, a directory that is closed to us. */
static bool is_missing(const char *path)
{
	struct stat st;

	return stat(path, &st) && errno == ENOENT;
}

/* 0, or -errno of the reading. */
static int take_file(struct agent *a, bool force)
{
	char *text, err[256];
	size_t length;
	int ret =
		file_read(a->options.config, &text, &length, err, sizeof(err));

	a->again = AGAIN_NOTHING;
	/* one that was away for a moment, or is again: no preset for that */
	if (ret == -ENOENT && !is_missing(a->options.config))
		ret = -EAGAIN;
	if (ret == -ENOENT && a->has_policy) {
		problem(a, "%s: is gone", a->options.config);
	} else if (ret && ret != -ENOENT) {
		problem(a, "%s: %s", a->options.config, err);
		try_again(a, AGAIN_FILE, force, a->options.config, ret);
	}
	if (!ret) {
		take_text(a, text, length, force);
		free(text);
	}
	settle(a);
	return ret;
}

/*
 * The policy that is pinned, if one is. *from_file: it came from a file; *anew:
 * not with the command line of now. -errno: it is not known whether one is.
 */
static int adopt(struct agent *a, bool *from_file, bool *anew)
{
	struct policy *policy;
	int err = policy_read(a->instance, &policy);

	*from_file = *anew = false;
	if (err)
		return err == -ENODATA ? 0 : err;
	a->has_policy = true;
	a->config_hash = policy->source.config_hash;
	a->reload_ok = true;
	a->reload_time = policy->head.applied_ns / 1e9;
	agent_ward(a, policy->head.generation);
	*from_file = *policy->source.config_path;
	*anew = (policy->source.options & ~(uint64_t)MASQ_SOURCE_NO_FILE) !=
		options_word(a);
	if (*anew)
		a->config_hash = 0;
	log_info("generation %u is in force: taken over%s",
		 policy->head.generation,
		 *anew ? "; the command line has changed" : "");
	policy_free(policy);
	return 0;
}

void agent_policy_unfinished(struct agent *a)
{
	problem(a, "%s: is still being written", a->options.config);
}

void agent_policy_begin(struct agent *a)
{
	bool missing = a->has_config && is_missing(a->options.config);
	bool anew, from_file;
	int err = adopt(a, &from_file, &anew);

	a->again = AGAIN_NOTHING;
	if (err) {
		/* it may be a good one: nothing is put in its place */
		snprintf(a->config_problem, sizeof(a->config_problem),
			 "the policy in force cannot be read");
		a->reload_ok = false;
		try_again(a, AGAIN_BEGIN, false, "agent", err);
		return;
	}
	a->config_problem[0] = '\0';
	settle(a);
	if (a->has_config && (from_file || !a->has_policy || !missing)) {
		if (follow_take(&a->follower))
			agent_policy_update(a, false);
		else
			agent_policy_unfinished(a);
		return;
	}
	/* a policy that never had a file does not miss it */
	if (!a->has_policy || (anew && !from_file))
		apply_preset(a);
	else if (missing)
		log_warn("%s: no config file: the policy in force, which had "
			 "none, is kept",
			 a->options.config);
}

void agent_policy_update(struct agent *a, bool force)
{
	if (!a->has_config) {
		if (force)
			log_info("reload: there is no config file");
		return;
	}
	if (take_file(a, force) == -ENOENT && !a->has_policy)
		apply_preset(a);
}

void agent_policy_again(struct agent *a)
{
	enum agent_again what = a->again;
	bool force = a->again_forced;

	if (what == AGAIN_NOTHING || follow_now_ms() < a->again_ms)
		return;
	if (what == AGAIN_BEGIN) {
		agent_policy_begin(a);
	} else if (what == AGAIN_PRESET) {
		apply_preset(a);
	} else if (!follow_take(&a->follower)) {
		/* it changes just now: when it is at rest */
		a->again_ms = follow_now_ms() + agent_backoff_ms(1);
		return;
	} else {
		agent_policy_update(a, force);
	}
	/* other uplinks, other pods */
	a->links_due_ms = 0;
	a->foreign_due_ms = 0;
}

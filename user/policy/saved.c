// SPDX-License-Identifier: GPL-2.0-only
/*
 * saved.c - the file is a head and then items: texts of the history, and notes.
 * It is trusted as a pin is: only where root alone could have written it; and
 * then it is looked at all the same.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "plane/pins.h"
#include "policy/apply.h"
#include "policy/baseline.h"
#include "policy/history.h"
#include "policy/policy.h"
#include "policy/saved.h"
#include "policy/ward.h"

#define MAGIC  "masqsave"
#define LAYOUT 1 /* and MASQ_ABI's, for it holds maps' values */
/* Generations before the one in force are left out where it grows larger. */
#define SIZE_WANTED (4U << 20)
#define SIZE_LIMIT  (64U << 20)
#define TEMPORARY   ".new"
/* Somebody else could have written it. */
#define EUNTRUSTED EKEYREJECTED

struct saved_head {
	char magic[8];
	uint32_t layout, abi;
	uint64_t length; /* of all of it */
	uint64_t sum; /* of all that is behind this field */
	char pin_dir[MASQ_PIN_DIR_MAX + 8];
	char version[32];
	uint64_t saved_ns; /* CLOCK_REALTIME */
	uint64_t now_ms; /* of ward_now_ms */
	uint32_t generation; /* in force */
	uint32_t hz, max_flows, max_prefixes;
	uint32_t features; /* MASQ_FEAT_* */
	uint32_t policy_flags; /* MASQ_P_* */
	uint32_t items, pad;
};

enum item_kind {
	ITEM_TEXT = 1,
	ITEM_NOTE,
};

/* Each begins at a multiple of 8. */
struct item {
	uint32_t kind;
	uint32_t generation;
	uint32_t length; /* of what follows */
	uint32_t pad;
};

struct saved {
	struct saved_head head;
	char *bytes; /* the whole file */
	char path[512];
};

static size_t padded(size_t length)
{
	return (length + 7) & ~(size_t)7;
}

/* --- where ------------------------------------------------------------- */

const char *saved_dir(void)
{
	const char *dir = getenv(SAVED_DIR_ENV);

	return dir ?: SAVED_DIR;
}

bool saved_is_wanted(void)
{
	return *saved_dir();
}

/* Readable by its last part, one of its own by the sum. */
static void make_name(const char *pin_dir, char *name, size_t len)
{
	const char *slash = strrchr(pin_dir, '/');
	const char *last = slash ? slash + 1 : pin_dir;
	size_t n = 0;

	for (; n < 48 && last[n]; n++)
		name[n] = isalnum((unsigned char)last[n]) ? last[n] : '_';
	snprintf(name + n, len - n, "-%016llx",
		 (unsigned long long)hash_of(pin_dir, strlen(pin_dir)));
}

/* As make_name makes them, the temporary one included. */
static bool is_our_name(const char *name)
{
	const char *dash = strrchr(name, '-');

	return dash && strspn(dash + 1, "0123456789abcdef") == 16 &&
	       (!dash[17] || !strcmp(dash + 17, TEMPORARY));
}

/* Else its mode is somebody's who has files there, too: /etc, say. */
static bool has_only_ours(int fd)
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = own < 0 ? NULL : fdopendir(own);
	const struct dirent *entry;
	int err = dir ? 0 : -errno;

	if (!dir && own >= 0)
		close(own);
	while (dir && !err && (entry = file_next(dir, &err)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    !is_our_name(entry->d_name))
			err = -EEXIST;
	if (dir)
		closedir(dir);
	return !err;
}

/* Only root's; and one of our own is closed to others: 0700, whoever made it. */
static int check_dir(int fd)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	if ((st.st_uid && st.st_uid != geteuid()) ||
	    st.st_mode & (S_IWGRP | S_IWOTH))
		return -EUNTRUSTED;
	if (st.st_mode & 077 && st.st_uid == geteuid() && has_only_ours(fd) &&
	    fchmod(fd, 0700))
		return -errno;
	return 0;
}

static int make_dir(const char *path)
{
	char parent[512];
	char *slash;

	if (!mkdir(path, 0700) || errno == EEXIST)
		return 0;
	if (errno != ENOENT)
		return -errno;
	/* /var/lib itself, in an image that has next to nothing */
	snprintf(parent, sizeof(parent), "%s", path);
	for (slash = strchr(parent + 1, '/'); slash;
	     slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(parent, 0755) && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

void saved_open(const char *pin_dir, bool make, struct saved_place *out)
{
	const char *dir = saved_dir();

	*out = (struct saved_place){ .dir = -1, .err = -ENOENT };
	if (!*dir)
		return;
	make_name(pin_dir, out->name, sizeof(out->name));
	if (snprintf(out->path, sizeof(out->path), "%s/%s", dir, out->name) >=
	    (int)sizeof(out->path)) {
		out->err = -ENAMETOOLONG;
		return;
	}
	if (*dir != '/') {
		out->err = -EINVAL;
		return;
	}
	out->err = make ? make_dir(dir) : 0;
	if (out->err)
		return;
	out->dir = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	out->err = out->dir < 0 ? -errno : check_dir(out->dir);
	if (out->err)
		saved_close(out);
}

void saved_close(struct saved_place *place)
{
	if (place->dir >= 0)
		close(place->dir);
	place->dir = -1;
}

const char *saved_why(int err)
{
	switch (-err) {
	case EUNTRUSTED:
		return "not trusted: others than root may write to it";
	case ELOOP:
		return "a symbolic link, which is not followed";
	case ENOTDIR:
		return "not a directory (a symbolic link is not followed)";
	case EBADMSG:
		return "damaged, or not a file of masqbpf's";
	case EPROTO:
		return "made by another version of masqbpf";
	case EXDEV:
		return "it is another pin directory's";
	case EINVAL:
		return "not a file, or not by an absolute path";
	default:
		return strerror(-err);
	}
}

/* --- reading ----------------------------------------------------------- */

static int read_file(const struct saved_place *place, char **out,
		     size_t *length)
{
	/* neither waits for a pipe's writer nor follows a link */
	int fd = openat(place->dir, place->name,
			O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY |
				O_CLOEXEC);
	struct stat st;
	char *bytes = NULL;
	size_t used = 0;
	int err = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode))
		err = -EINVAL;
	else if ((st.st_uid && st.st_uid != geteuid()) ||
		 st.st_mode & (S_IWGRP | S_IWOTH))
		err = -EUNTRUSTED;
	else if (st.st_size < (off_t)sizeof(struct saved_head) ||
		 st.st_size > SIZE_LIMIT)
		err = -EBADMSG;
	if (!err && !(bytes = malloc(st.st_size)))
		err = -ENOMEM;
	while (!err && used < (size_t)st.st_size) {
		ssize_t n = read(fd, bytes + used, st.st_size - used);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			err = n ? -errno : -EBADMSG;
		else
			used += n;
	}
	close(fd);
	if (err) {
		free(bytes);
		return err;
	}
	*out = bytes;
	*length = used;
	return 0;
}

/* The item at *at, which goes behind it; NULL: there is none that is whole. */
static const struct item *next_item(const struct saved *saved, size_t *at)
{
	size_t left = saved->head.length - *at;
	const struct item *item = (const struct item *)(saved->bytes + *at);

	if (left < sizeof(*item) || padded(item->length) > left - sizeof(*item))
		return NULL;
	*at += sizeof(*item) + padded(item->length);
	return item;
}

static int check(struct saved *saved, size_t length, const char *pin_dir)
{
	struct saved_head *head = &saved->head;
	const size_t summed = offsetof(struct saved_head, pin_dir);
	size_t at = sizeof(*head);

	memcpy(head, saved->bytes, sizeof(*head));
	if (memcmp(head->magic, MAGIC, sizeof(head->magic)))
		return -EBADMSG;
	if (head->layout != LAYOUT || head->abi != MASQ_ABI)
		return -EPROTO;
	if (head->length != length ||
	    head->sum != hash_of(saved->bytes + summed, length - summed) ||
	    !memchr(head->pin_dir, '\0', sizeof(head->pin_dir)) ||
	    !memchr(head->version, '\0', sizeof(head->version)) ||
	    !head->generation || !head->hz || head->items > 4 * HISTORY_KEPT)
		return -EBADMSG;
	if (strcmp(head->pin_dir, pin_dir))
		return -EXDEV;
	for (uint32_t i = 0; i < head->items; i++)
		if (!next_item(saved, &at))
			return -EBADMSG;
	return at == length ? 0 : -EBADMSG;
}

/*
 * Is that what is there, and not only how it went this time, or with this
 * version (EPROTO): a node's upgrade ends with a reboot.
 */
static bool is_final(int err)
{
	switch (-err) {
	case 0:
	case ENOENT:
	case ENAMETOOLONG:
	case EUNTRUSTED:
	case ELOOP:
	case ENOTDIR:
	case EBADMSG:
	case EXDEV:
	case EINVAL:
		return true;
	default:
		return false;
	}
}

struct saved *saved_read(const char *pin_dir, bool *unknown)
{
	struct saved *saved = NULL;
	struct saved_place place;
	size_t length = 0;
	char *bytes = NULL;
	int err;

	saved_open(pin_dir, false, &place);
	err = place.err;
	if (!err)
		err = read_file(&place, &bytes, &length);
	if (!err) {
		saved = calloc(1, sizeof(*saved));
		if (!saved)
			free(bytes);
		err = saved ? 0 : -ENOMEM;
	}
	if (!err) {
		saved->bytes = bytes;
		memcpy(saved->path, place.path, sizeof(saved->path));
		err = check(saved, length, pin_dir);
	}
	if (err) {
		saved_free(saved);
		saved = NULL;
		if (err != -ENOENT)
			log_error("%s: %s: %s; the policy of before is not "
				  "known",
				  place.path,
				  is_final(err) ? "ignored" : "cannot be read",
				  saved_why(err));
	}
	*unknown = !is_final(err);
	saved_close(&place);
	return saved;
}

void saved_free(struct saved *saved)
{
	if (!saved)
		return;
	free(saved->bytes);
	free(saved);
}

void saved_sizes(const struct saved *saved, struct instance_options *options)
{
	const struct saved_head *head = &saved->head;

	if (options->max_prefixes < head->max_prefixes / 2 &&
	    head->max_prefixes / 2 <= MAX_PREFIXES_LIMIT)
		options->max_prefixes = head->max_prefixes / 2;
	if (options->configured || head->max_flows > MAX_FLOWS_LIMIT)
		return;
	options->configured = true;
	options->max_flows = head->max_flows;
	options->ipv6 |= !!(head->policy_flags & MASQ_P_IPV6);
	options->no_flow_counts = head->features & MASQ_FEAT_NO_FLOW_COUNT;
}

/* --- restoring --------------------------------------------------------- */

static int put_back(struct instance *instance, const struct saved *saved)
{
	const struct saved_head *head = &saved->head;
	size_t at = sizeof(*head);
	int err = 0;

	for (uint32_t i = 0; i < head->items && !err; i++) {
		const struct item *item = next_item(saved, &at);

		if (item->kind == ITEM_TEXT)
			err = history_text_write(instance, item->generation,
						 item + 1, item->length,
						 head->hz);
		else if (item->kind == ITEM_NOTE)
			err = history_note_write(instance, item->generation,
						 item + 1, item->length);
		/* the guard's clock has begun anew */
		if (!err && item->kind == ITEM_NOTE &&
		    item->generation != HISTORY_BASELINE)
			err = ward_rebase(instance, item->generation,
					  head->now_ms,
					  item->generation == head->generation);
	}
	return err ?: baseline_put_back(instance, ward_now_ms(instance));
}

static int find_text(const struct saved *saved, struct policy **out)
{
	size_t at = sizeof(saved->head);
	int err = -ENOENT;

	for (uint32_t i = 0; i < saved->head.items && err == -ENOENT; i++) {
		const struct item *item = next_item(saved, &at);

		if (item->kind == ITEM_TEXT &&
		    item->generation == saved->head.generation)
			err = history_text_policy(item + 1, item->length,
						  item->generation, out);
	}
	return err;
}

static void say(const struct saved *saved, const struct policy *policy,
		const char *what)
{
	const struct masq_source *source = &policy->source;
	const time_t then = saved->head.saved_ns / 1000000000ULL;
	char when[32] = "";
	struct tm tm;

	if (localtime_r(&then, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	log_warn("%s: generation %u %s in force again, as on %s (%s%s)",
		 saved->path, policy->head.generation, what, when,
		 *source->config_path ? source->config_path
		 : *source->preset    ? "preset "
				      : "no file",
		 *source->config_path ? "" : source->preset);
}

static int say_lost(const struct saved *saved, int err)
{
	log_error("%s: generation %u cannot be put back: %s", saved->path,
		  saved->head.generation, saved_why(err));
	return err;
}

int saved_policy(const struct saved *saved, struct policy **out,
		 struct instance *clock)
{
	int err = find_text(saved, out);

	if (err)
		return say_lost(saved, err);
	*clock = (struct instance){ .meta.hz = saved->head.hz,
				    .meta.max_flows = saved->head.max_flows };
	say(saved, *out, "would be");
	return 0;
}

int saved_restore(struct instance *instance, const struct saved *saved)
{
	struct policy *policy = NULL;
	int err = put_back(instance, saved);

	err = err
		      ?: history_load(instance, saved->head.generation, &policy,
				      NULL);
	err = err ?: policy_restore(instance, policy);
	if (err)
		say_lost(saved, err);
	else
		say(saved, policy, "is");
	policy_free(policy);
	return err;
}

/* --- writing ----------------------------------------------------------- */

struct writer {
	char *bytes;
	size_t used, room;
	uint32_t items;
};

static int put(struct writer *w, const void *bytes, size_t length)
{
	if (w->used + padded(length) > w->room) {
		size_t room = 2 * (w->used + padded(length));
		char *grown = realloc(w->bytes, room);

		if (!grown)
			return -ENOMEM;
		w->bytes = grown;
		w->room = room;
	}
	memset(w->bytes + w->used, 0, padded(length));
	memcpy(w->bytes + w->used, bytes, length);
	w->used += padded(length);
	return 0;
}

static int put_item(struct writer *w, enum item_kind kind, uint32_t generation,
		    const void *bytes, size_t length)
{
	const struct item item = { .kind = kind,
				   .generation = generation,
				   .length = length };
	int err = put(w, &item, sizeof(item));

	err = err ?: put(w, bytes, length);
	w->items += !err;
	return err;
}

/* What is not there is left out. */
static int put_generation(struct writer *w, const struct instance *instance,
			  uint32_t generation, bool text)
{
	void *bytes;
	size_t length;
	int err =
		text ? history_text_read(instance, generation, &bytes, &length)
		     : -ENOENT;

	if (!err) {
		err = put_item(w, ITEM_TEXT, generation, bytes, length);
		free(bytes);
	}
	if (err && err != -ENOENT)
		return err;
	err = history_note_read(instance, generation, &bytes, &length);
	if (!err) {
		err = put_item(w, ITEM_NOTE, generation, bytes, length);
		free(bytes);
	}
	return err == -ENOENT || err == -EAGAIN || err == -EBADMSG ? 0 : err;
}

static int read_head(const struct instance *instance, struct saved_head *head)
{
	struct masq_policy policy;
	struct timespec now;
	uint32_t active;
	int err = map_read(instance, MAP_masq_active, 0, &active);

	err = err ?: map_read(instance, MAP_masq_policy, active & 1, &policy);
	if (err)
		return err;
	clock_gettime(CLOCK_REALTIME, &now);
	*head = (struct saved_head){
		.magic = MAGIC,
		.layout = LAYOUT,
		.abi = MASQ_ABI,
		.version = MASQ_VERSION,
		.saved_ns = now.tv_sec * 1000000000ULL + now.tv_nsec,
		.now_ms = ward_now_ms(instance),
		.generation = policy.generation,
		.hz = instance->meta.hz,
		.max_flows = instance->meta.max_flows,
		.max_prefixes = instance->meta.max_prefixes,
		.features = instance->meta.features,
		.policy_flags = policy.flags,
	};
	snprintf(head->pin_dir, sizeof(head->pin_dir), "%s", instance->pin_dir);
	return policy.generation ? 0 : -ENODATA;
}

/* The newest first: it is what must fit. */
static int collect(struct writer *w, const struct instance *instance)
{
	const size_t summed = offsetof(struct saved_head, pin_dir);
	struct saved_head head;
	int err = read_head(instance, &head);
	uint32_t at;

	err = err ?: put(w, &head, sizeof(head));
	err = err ?: put_generation(w, instance, head.generation, true);
	if (!err && !w->items) /* it could not be kept: nothing can be saved */
		err = -EFBIG;
	err = err ?: put_generation(w, instance, HISTORY_BASELINE, false);
	for (at = head.generation - 1;
	     !err && (at = history_newest(instance, at)) &&
	     head.generation - at < HISTORY_KEPT;
	     at--) {
		size_t used = w->used;
		uint32_t items = w->items;

		err = put_generation(w, instance, at, true);
		if (!err && w->used > SIZE_WANTED) {
			w->used = used;
			w->items = items;
			break;
		}
	}
	if (err)
		return err;
	head.items = w->items;
	head.length = w->used;
	memcpy(w->bytes, &head, sizeof(head));
	head.sum = hash_of(w->bytes + summed, w->used - summed);
	memcpy(w->bytes, &head, sizeof(head));
	return 0;
}

static int write_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t n = write(fd, bytes, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		bytes += n;
		length -= n;
	}
	return 0;
}

int saved_write(struct instance *instance, const struct saved_place *place)
{
	struct writer w = {};
	char name[sizeof(place->name) + sizeof(TEMPORARY)];
	int err = place->err, there, fd;

	if (err)
		return err;
	/* were the pins removed since? Then nothing is in force, or saved */
	there = pin_is_there(instance, map_names[MAP_masq_meta]);
	if (there <= 0)
		return there;
	snprintf(name, sizeof(name), "%s" TEMPORARY, place->name);
	err = collect(&w, instance);
	if (err)
		goto out;
	/* what a killed writer left */
	if (unlinkat(place->dir, name, 0) && errno != ENOENT) {
		err = -errno;
		goto out;
	}
	fd = openat(place->dir, name,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0) {
		err = -errno;
		goto out;
	}
	err = write_all(fd, w.bytes, w.used);
	if (!err && fsync(fd))
		err = -errno;
	close(fd);
	if (!err && renameat(place->dir, name, place->dir, place->name))
		err = -errno;
	/* that the name is on the disk, too */
	if (!err && fsync(place->dir))
		err = -errno;
	if (err)
		unlinkat(place->dir, name, 0);
out:
	free(w.bytes);
	return err;
}

/* What is said not to be there is looked for again: left, it would come back. */
static int remove_file(const struct saved_place *place, const char *name)
{
	struct stat st;
	int err = unlinkat(place->dir, name, 0) ? -errno : 0;

	if (err == -ENOENT &&
	    !fstatat(place->dir, name, &st, AT_SYMLINK_NOFOLLOW))
		err = unlinkat(place->dir, name, 0) ? -errno : 0;
	return err;
}

int saved_forget(const char *pin_dir)
{
	char name[sizeof(((struct saved_place *)0)->name) + sizeof(TEMPORARY)];
	struct saved_place place;
	bool there, passed_over;
	int err;

	saved_open(pin_dir, false, &place);
	if (place.err == -ENOENT && !access(saved_dir(), F_OK))
		saved_open(pin_dir, false, &place);
	err = place.err;
	if (!err) {
		snprintf(name, sizeof(name), "%s" TEMPORARY, place.name);
		unlinkat(place.dir, name, 0);
		err = remove_file(&place, place.name);
	}
	there = !err;
	/* from such a place nothing is taken, while that is so */
	passed_over = place.err == -EUNTRUSTED || place.err == -ELOOP ||
		      place.err == -ENOTDIR || place.err == -EINVAL;
	if (passed_over && !access(place.path, F_OK))
		log_warn("%s: is not removed: %s", place.path,
			 saved_why(place.err));
	if (err == -ENOENT || passed_over)
		err = 0;
	if (err)
		log_error("%s: cannot be removed: %s: the next attach brings "
			  "that policy back",
			  place.path, saved_why(err));
	saved_close(&place);
	return err ?: there;
}

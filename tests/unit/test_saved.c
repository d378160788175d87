// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_saved.c - what pins lose with a reboot comes back from the file: policy,
 * history, notes of the guard, what was answered; and a file that is damaged,
 * cut short, somebody else's or no file at all brings nothing, and harms nothing.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "bare.h"
#include "base/log.h"
#include "plane/maps.h"
#include "policy/apply.h"
#include "policy/baseline.h"
#include "policy/history.h"
#include "policy/read.h"
#include "policy/saved.h"
#include "policy/ward.h"

#define PINS "/sys/fs/bpf/test-saved"

static char base[64], state[96], file[256];

/* --- a clock that people set --------------------------------------------- */

static int64_t stepped_s; /* the wall clock, by so much */

/* In the place of the C library's, for all that is linked here. */
int clock_gettime(clockid_t clock, struct timespec *out)
{
	int err = syscall(SYS_clock_gettime, clock, out);

	if (!err && clock == CLOCK_REALTIME)
		out->tv_sec += stepped_s;
	return err;
}

/* --- an instance and its policies --------------------------------------- */

/* With a directory in which it is pinned, as far as anybody looks. */
static struct instance *make_sized(uint32_t hz, uint32_t slots,
				   uint32_t features)
{
	struct instance *instance = bare_instance(slots);
	int fd;

	instance->meta.hz = hz;
	instance->meta.features = features;
	assert_int_equal(map_write(instance, MAP_masq_meta, 0, &instance->meta),
			 0);
	snprintf(instance->pin_dir, sizeof(instance->pin_dir), "%s", PINS);
	instance->lock_fd = open(base, O_RDONLY | O_DIRECTORY);
	assert_true(instance->lock_fd >= 0);
	fd = openat(instance->lock_fd, map_names[MAP_masq_meta],
		    O_WRONLY | O_CREAT, 0600);
	assert_true(fd >= 0);
	close(fd);
	return instance;
}

static struct instance *make_instance(uint32_t hz)
{
	return make_sized(hz, 1024, 0);
}

static void end_instance(struct instance *instance)
{
	close(instance->lock_fd);
	bare_free(instance);
}

static struct policy *make_policy(const struct instance *instance,
				  uint32_t count)
{
	struct policy *policy = calloc(1, sizeof(*policy));

	assert_non_null(policy);
	policy->head.port_min = 10240;
	policy->head.port_max = 65535;
	policy->head.max_flows = instance->meta.max_flows;
	for (int i = 0; i < MASQ_T_MAX; i++)
		policy->head.timeout[i] =
			ns_to_ticks(instance, (i + 1) * 60000000000ULL);
	strcpy(policy->source.config_path, "/etc/masqbpf.yaml");
	policy->source.config_hash = 4711;
	for (uint32_t i = 0; i < count; i++) {
		struct policy_entry entry = {
			.list = MASQ_L_DST,
			.action = i % 2 ? MASQ_KEEP : MASQ_MASQUERADE,
			.origin = MASQ_O_CONFIG,
			.line = i + 1,
			.cidr = { { 4, { htonl(10U << 24 | i << 8) } }, 24 },
		};

		assert_int_equal(policy_append(policy, &entry), 0);
	}
	assert_int_equal(policy_append_defaults(policy), 0);
	policy_sort(policy);
	return policy;
}

static uint32_t apply(struct instance *instance, uint32_t count)
{
	struct policy *policy = make_policy(instance, count);
	struct policy_change change;

	assert_int_equal(policy_apply(instance, policy, &change), 0);
	policy_free(policy);
	return change.generation;
}

static int save(struct instance *instance)
{
	struct saved_place place;
	int err;

	saved_open(PINS, true, &place);
	snprintf(file, sizeof(file), "%s/%s", state, place.name);
	err = saved_write(instance, &place);
	saved_close(&place);
	return err;
}

static bool of_another_version; /* what was written last */

static struct saved *read_saved(void)
{
	bool unknown;
	struct saved *saved = saved_read(PINS, &unknown);

	/* what is not to be used is known to be so */
	assert_true(!unknown || of_another_version);
	assert_true(!saved || !of_another_version);
	return saved;
}

/* What a new instance has after it; 0: nothing. */
static uint32_t restored(struct instance *instance)
{
	struct saved *saved = read_saved();
	struct policy *policy;
	uint32_t generation = 0;

	if (saved)
		saved_restore(instance, saved);
	saved_free(saved);
	if (!policy_read(instance, &policy)) {
		generation = policy->head.generation;
		policy_free(policy);
	}
	return generation;
}

static uint32_t restored_anew(void)
{
	struct instance *instance = make_instance(1000);
	uint32_t generation = restored(instance);

	end_instance(instance);
	return generation;
}

/* --- what comes back ---------------------------------------------------- */

static void all_comes_back(void **arg)
{
	struct instance *before = make_instance(1000), *after;
	struct policy *was, *is;
	struct history_note note;

	(void)arg;
	for (uint32_t g = 1; g <= 20; g++)
		assert_int_equal(apply(before, g), g);
	assert_int_equal(save(before), 0);
	after = make_instance(1000);
	assert_int_equal(restored(after), 20);
	assert_int_equal(policy_read(before, &was), 0);
	assert_int_equal(policy_read(after, &is), 0);
	assert_int_equal(was->count, is->count);
	assert_memory_equal(&was->head, &is->head, sizeof(was->head));
	assert_memory_equal(&was->source, &is->source, sizeof(was->source));
	for (size_t i = 0; i < was->count; i++) {
		const struct policy_entry *x = &was->entries[i];
		const struct policy_entry *y = &is->entries[i];

		assert_int_equal(cidr_cmp(&x->cidr, &y->cidr), 0);
		assert_int_equal(x->action, y->action);
		assert_int_equal(x->line, y->line);
		assert_int_equal(x->since, y->since);
	}
	for (uint32_t g = 20; g > 20 - HISTORY_KEPT; g--) {
		assert_int_equal(history_load(after, g, NULL, &note), 0);
		assert_non_null(strstr(note.command, "test_saved"));
	}
	assert_int_equal(history_load(after, 20 - HISTORY_KEPT, NULL, NULL),
			 -ENOENT);
	/* and the numbers go on */
	assert_int_equal(apply(after, 3), 21);
	policy_free(was);
	policy_free(is);
	end_instance(before);
	end_instance(after);
}

/* A kernel of another HZ counts in other ticks, and means the same times. */
static void other_ticks(void **arg)
{
	struct instance *before = make_instance(1000);
	struct instance *after = make_instance(250);
	struct policy *is, *old;

	(void)arg;
	apply(before, 1);
	apply(before, 2);
	assert_int_equal(save(before), 0);
	assert_int_equal(restored(after), 2);
	assert_int_equal(policy_read(after, &is), 0);
	assert_int_equal(history_load(after, 1, &old, NULL), 0);
	for (int i = 0; i < MASQ_T_MAX; i++) {
		assert_float_equal(ticks_to_seconds(after, is->head.timeout[i]),
				   (i + 1) * 60.0, 0.2);
		assert_int_equal(old->head.timeout[i], is->head.timeout[i]);
	}
	policy_free(is);
	policy_free(old);
	end_instance(before);
	end_instance(after);
}

static void sizes_come_back(void **arg)
{
	struct instance *before =
		make_sized(1000, 1024, MASQ_FEAT_NO_FLOW_COUNT);
	struct instance_options options = {};
	struct saved *saved;

	(void)arg;
	apply(before, 1);
	assert_int_equal(save(before), 0);
	saved = read_saved();
	assert_non_null(saved);
	saved_sizes(saved, &options);
	assert_true(options.configured && options.no_flow_counts);
	assert_int_equal(options.max_flows, BARE_MAX_FLOWS);
	assert_int_equal(options.max_prefixes, 512);
	/* a file that says otherwise is right */
	options = (struct instance_options){ .configured = true,
					     .max_flows = 64,
					     .max_prefixes = 9000 };
	saved_sizes(saved, &options);
	assert_int_equal(options.max_flows, 64);
	assert_int_equal(options.max_prefixes, 9000);
	saved_free(saved);
	end_instance(before);
}

/* What is too much for the file is left out, the oldest first. */
static void large_ones(void **arg)
{
	struct instance *before = make_sized(1000, 1 << 17, 0), *after;
	struct policy *policy;
	struct stat st;

	(void)arg;
	for (uint32_t g = 1; g <= 8; g++) {
		unsigned int seed = g;

		policy = make_policy(before, 0);
		for (uint32_t i = 0; i < 40000; i++) {
			struct policy_entry entry = {
				.list = MASQ_L_DST,
				.action = MASQ_KEEP,
				.origin = MASQ_O_CONFIG,
				.cidr = { { 6 }, 128 },
			};

			for (int k = 0; k < 4; k++)
				entry.cidr.addr.a[k] = rand_r(&seed);
			assert_int_equal(policy_append(policy, &entry), 0);
		}
		policy_sort(policy);
		policy->head.generation = g;
		history_save(before, policy,
			     &(struct policy_change){ .generation = g });
		if (g == 8)
			assert_int_equal(policy_restore(before, policy), 0);
		policy_free(policy);
	}
	assert_int_equal(save(before), 0);
	assert_int_equal(stat(file, &st), 0);
	assert_in_range(st.st_size, 1 << 20, 4 << 20);
	after = make_sized(1000, 1 << 17, 0);
	assert_int_equal(restored(after), 8);
	assert_int_equal(history_load(after, 7, NULL, NULL), 0);
	assert_int_equal(history_load(after, 1, NULL, NULL), -ENOENT);
	end_instance(before);
	end_instance(after);
}

/* The guard's times are of a clock that has begun anew. */
static void notes_come_back(void **arg)
{
	struct instance *before = make_instance(1000), *after;
	struct policy *from, *to;
	struct ward_state was, is;
	uint64_t now;

	(void)arg;
	from = make_policy(before, 1);
	to = make_policy(before, 2);
	assert_int_equal(policy_apply(before, from, &(struct policy_change){}),
			 0);
	assert_int_equal(policy_apply(before, to, &(struct policy_change){}),
			 0);
	assert_int_equal(ward_begin(before, from, to, 120000000000ULL, 0), 0);
	assert_int_equal(ward_note(before, 2, &was), 0);
	assert_int_equal(save(before), 0);
	/* as if the machine had been up for an hour less */
	after = make_instance(1000);
	after->clock_shift_ns -= 3600 * 1000000000ULL;
	assert_int_equal(restored(after), 2);
	now = ward_now_ms(after);
	assert_int_equal(ward_note(after, 2, &is), 0);
	assert_true(is.changed_ms <= now);
	assert_true(is.until_ms > now && is.until_ms <= now + 120000);
	assert_int_equal(is.from, 1);
	assert_true(!(is.flags & WARD_JUDGED));
	policy_free(from);
	policy_free(to);
	end_instance(before);
	end_instance(after);
}

/* Whoever sets the clock, by years and either way: the window is as long. */
static void clock_steps(void **arg)
{
	static const int64_t steps[] = { 10 * 365 * 86400LL,
					 -20 * 365 * 86400LL, 3600, -3600 };
	struct instance *instance = make_instance(1000);
	struct policy *from = make_policy(instance, 1);
	struct policy *to = make_policy(instance, 2);
	struct policy_change change;
	struct ward_state noted;
	struct ward *ward;
	uint64_t before;

	(void)arg;
	assert_int_equal(policy_apply(instance, from, &change), 0);
	assert_int_equal(policy_apply(instance, to, &change), 0);
	assert_int_equal(ward_begin(instance, from, to, 120000000000ULL, 0), 0);
	before = ward_now_ms(instance);
	for (int i = 0; i < 4; i++) {
		stepped_s = steps[i];
		assert_in_range(ward_now_ms(instance), before, before + 60000);
		assert_int_equal(ward_open(instance, &ward), 0);
		assert_int_equal(ward_look(ward, false), 0);
		assert_int_equal(ward_pace_ms(ward), 2000);
		assert_int_equal(ward_save(ward), 0);
		ward_close(ward);
		/* nor does it matter to what is saved and put back */
		assert_int_equal(save(instance), 0);
		assert_int_equal(restored_anew(), 2);
	}
	assert_int_equal(ward_note(instance, 2, &noted), 0);
	assert_true(!(noted.flags & WARD_JUDGED));
	assert_int_equal(noted.until_ms - noted.changed_ms, 120000);
	stepped_s = 0;
	policy_free(from);
	policy_free(to);
	end_instance(instance);
}

/* --- files that are none ------------------------------------------------ */

static char *read_all(size_t *length)
{
	FILE *f = fopen(file, "re");
	char *bytes = malloc(1 << 20);

	assert_non_null(f);
	assert_non_null(bytes);
	*length = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	return bytes;
}

static void write_all(const char *bytes, size_t length)
{
	FILE *f = fopen(file, "we");

	assert_non_null(f);
	assert_int_equal(fwrite(bytes, 1, length, f), length);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(file, 0600), 0);
}

/* As the file's own: what no chance makes, whoever is root can. */
static void seal(char *bytes, size_t length)
{
	uint64_t sum = 0xcbf29ce484222325ULL, size = length;

	if (length < 32)
		return;
	memcpy(bytes + 16, &size, sizeof(size));
	for (size_t i = 32; i < length; i++)
		sum = (sum ^ (uint8_t)bytes[i]) * 0x100000001b3ULL;
	memcpy(bytes + 24, &sum, sizeof(sum));
}

static void prepare(char **bytes, size_t *length)
{
	struct instance *before = make_instance(1000);

	apply(before, 3);
	apply(before, 40);
	assert_int_equal(save(before), 0);
	end_instance(before);
	*bytes = read_all(length);
	assert_int_equal(restored_anew(), 2);
}

static void damaged(void **arg)
{
	size_t length;
	char *bytes, *copy;

	(void)arg;
	prepare(&bytes, &length);
	copy = malloc(length);
	assert_non_null(copy);
	/* not one bit of it may differ */
	for (size_t i = 0; i < length; i += 1 + length / 61) {
		memcpy(copy, bytes, length);
		copy[i] ^= 1 << i % 8;
		write_all(copy, length);
		assert_null(read_saved());
	}
	/* nor any of it be missing, or be too much */
	for (size_t i = 0; i < length; i += 1 + length / 61) {
		write_all(bytes, i);
		assert_null(read_saved());
	}
	write_all(bytes, length);
	assert_int_equal(truncate(file, length + 8), 0);
	assert_null(read_saved());
	free(copy);
	free(bytes);
}

/* With a sum that fits: it may be taken or not, and nothing else happens. */
static void hostile(void **arg)
{
	unsigned int seed = 17, refused = 0, taken = 0;
	size_t length;
	char *bytes, *copy;

	(void)arg;
	prepare(&bytes, &length);
	copy = malloc(length);
	assert_non_null(copy);
	for (int i = 0; i < 300; i++) {
		size_t part = i % 4 ? length : length - rand_r(&seed) % length;

		memcpy(copy, bytes, length);
		for (int k = 0; k < 1 + i % 3; k++) {
			size_t at =
				rand_r(&seed) % (i % 2 ? length : length / 4);

			copy[at] = rand_r(&seed) % 3 ? rand_r(&seed) : 0xff;
		}
		seal(copy, part);
		write_all(copy, part);
		/* behind the magic number */
		of_another_version = memcmp(copy + 8, bytes + 8, 8);
		if (restored_anew())
			taken++;
		else
			refused++;
	}
	of_another_version = false;
	assert_true(refused > 20 && taken > 20);
	free(copy);
	free(bytes);
}

static void not_to_be_trusted(void **arg)
{
	char link[300];
	size_t length;
	char *bytes;

	(void)arg;
	prepare(&bytes, &length);
	assert_int_equal(chmod(file, 0620), 0);
	assert_null(read_saved());
	assert_int_equal(chmod(file, 0600), 0);
	assert_int_equal(chown(file, 4711, 0), 0);
	assert_null(read_saved());
	assert_int_equal(chown(file, 0, 0), 0);
	/* a link to a good one */
	snprintf(link, sizeof(link), "%s.elsewhere", file);
	assert_int_equal(rename(file, link), 0);
	assert_int_equal(symlink(link, file), 0);
	assert_null(read_saved());
	assert_int_equal(unlink(file), 0);
	/* nobody waits for a writer */
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_null(read_saved());
	assert_int_equal(unlink(file), 0);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_null(read_saved());
	assert_int_equal(rmdir(file), 0);
	/* another pin directory's, under our name */
	assert_int_equal(rename(link, file), 0);
	assert_int_equal(restored_anew(), 2);
	bytes[32 + strlen(PINS) - 1] = 'X';
	seal(bytes, length);
	write_all(bytes, length);
	assert_null(read_saved());
	free(bytes);
}

/* The directory is root's alone, whoever made it, or it is not used. */
static void directory(void **arg)
{
	struct instance *before = make_instance(1000);
	char link[128];
	struct stat st;

	(void)arg;
	apply(before, 1);
	assert_int_equal(chmod(state, 0755), 0);
	assert_int_equal(save(before), 0);
	assert_int_equal(stat(state, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	/* but for one that others have files in, be it /etc */
	snprintf(link, sizeof(link), "%s/other.yaml", state);
	close(open(link, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	assert_int_equal(chmod(state, 0755), 0);
	assert_int_equal(save(before), 0);
	assert_int_equal(stat(state, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(chmod(state, 0777), 0);
	assert_int_not_equal(save(before), 0);
	assert_null(read_saved());
	assert_int_equal(chmod(state, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", base);
	assert_int_equal(symlink(state, link), 0);
	setenv(SAVED_DIR_ENV, link, 1);
	assert_int_not_equal(save(before), 0);
	assert_int_equal(unlink(link), 0);
	/* a relative path would be another one elsewhere */
	setenv(SAVED_DIR_ENV, "state", 1);
	assert_int_equal(save(before), -EINVAL);
	/* none is kept, and nobody misses it */
	setenv(SAVED_DIR_ENV, "", 1);
	saved_keep(before, false);
	assert_false(saved_is_wanted());
	assert_null(read_saved());
	setenv(SAVED_DIR_ENV, state, 1);
	end_instance(before);
}

/* What cannot be written is said once, and noted, until it can be. */
static void unwritable(void **arg)
{
	struct instance *before = make_instance(1000);
	const char *todo;
	char why[640];

	(void)arg;
	apply(before, 1);
	saved_keep(before, false);
	assert_false(saved_problem(before, why, sizeof(why), &todo));
	setenv(SAVED_DIR_ENV, "/proc/masqbpf", 1);
	saved_keep(before, false);
	assert_true(saved_problem(before, why, sizeof(why), &todo));
	assert_non_null(strstr(why, "/proc/masqbpf"));
	setenv(SAVED_DIR_ENV, state, 1);
	saved_keep(before, false);
	assert_false(saved_problem(before, why, sizeof(why), &todo));
	end_instance(before);
}

/* A change that was killed before it was saved. */
static void behind(void **arg)
{
	struct instance *before = make_instance(1000);
	const char *todo;
	char why[640];

	(void)arg;
	apply(before, 1);
	/* nothing is noted: not even the first one came to it */
	assert_true(saved_is_behind(before));
	assert_true(saved_problem(before, why, sizeof(why), &todo));
	assert_non_null(strstr(why, "has nothing"));
	saved_keep(before, false);
	assert_false(saved_is_behind(before));
	apply(before, 2);
	assert_true(saved_is_behind(before));
	assert_true(saved_problem(before, why, sizeof(why), &todo));
	assert_non_null(strstr(why, "has generation 1"));
	/* whoever has the lock may be about to do it */
	assert_int_equal(flock(before->lock_fd, LOCK_EX), 0);
	assert_false(saved_problem(before, why, sizeof(why), &todo));
	assert_int_equal(flock(before->lock_fd, LOCK_UN), 0);
	assert_true(saved_problem(before, why, sizeof(why), &todo));
	saved_keep(before, false);
	assert_false(saved_is_behind(before));
	assert_false(saved_problem(before, why, sizeof(why), &todo));
	/* one that failed is another problem, and stays that, to be tried again */
	setenv(SAVED_DIR_ENV, "/proc/masqbpf", 1);
	apply(before, 3);
	saved_keep(before, false);
	assert_true(saved_is_behind(before));
	assert_true(saved_problem(before, why, sizeof(why), &todo));
	assert_non_null(strstr(why, "cannot be written"));
	setenv(SAVED_DIR_ENV, state, 1);
	saved_keep(before, false);
	assert_false(saved_is_behind(before));
	end_instance(before);
}

/* Its text in the history, which a rollback wants as well: also where nothing is
 * saved. */
static void text_is_kept(void **arg)
{
	const char *const dirs[] = { "", state };

	(void)arg;
	for (size_t i = 0; i < 2; i++) {
		struct instance *before = make_instance(1000);

		apply(before, 1);
		setenv(SAVED_DIR_ENV, dirs[i], 1);
		history_forget(before, 1);
		assert_false(history_is_kept(before, 1));
		saved_keep(before, false);
		assert_true(history_is_kept(before, 1));
		setenv(SAVED_DIR_ENV, state, 1);
		end_instance(before);
	}
}

/* What a killed writer left is in nobody's way; and gone is gone. */
static void leftovers(void **arg)
{
	struct instance *before = make_instance(1000);
	char name[300];

	(void)arg;
	apply(before, 1);
	assert_int_equal(save(before), 0);
	snprintf(name, sizeof(name), "%s.new", file);
	assert_int_equal(symlink("/etc/passwd", name), 0);
	apply(before, 2);
	assert_int_equal(save(before), 0);
	assert_int_equal(access(name, F_OK), -1);
	assert_int_equal(restored_anew(), 2);
	/* an instance whose pins are removed saves nothing any more */
	saved_forget(PINS);
	assert_int_equal(access(file, F_OK), -1);
	assert_int_equal(unlinkat(before->lock_fd, map_names[MAP_masq_meta], 0),
			 0);
	assert_int_equal(save(before), 0);
	assert_int_equal(access(file, F_OK), -1);
	end_instance(before);
}

/* Instances do not share one, however alike their directories are called. */
static void names(void **arg)
{
	static const char *const dirs[] = {
		"/sys/fs/bpf/masqbpf",	"/sys/fs/bpf/a/masqbpf",
		"/sys/fs/bpf/masqbpf ", "/sys/fs/bpf/masqbpf\n",
		"/sys/fs/bpf/../x",	"/"
	};
	struct saved_place place[6];

	(void)arg;
	for (int i = 0; i < 6; i++) {
		saved_open(dirs[i], true, &place[i]);
		saved_close(&place[i]);
		assert_null(strchr(place[i].name, '/'));
		assert_int_not_equal(place[i].name[0], '.');
		for (int k = 0; k < i; k++)
			assert_string_not_equal(place[i].name, place[k].name);
	}
}

/* --- all of it ---------------------------------------------------------- */

static int set_up(void **arg)
{
	(void)arg;
	strcpy(base, "/tmp/masqbpf-saved.XXXXXX");
	if (!mkdtemp(base))
		return -1;
	snprintf(state, sizeof(state), "%s/state", base);
	setenv(SAVED_DIR_ENV, state, 1);
	return mkdir(state, 0700);
}

static int tear_down(void **arg)
{
	char command[128];

	(void)arg;
	snprintf(command, sizeof(command), "rm -rf %s", base);
	return system(command);
}

#define ROW(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(all_comes_back),
		ROW(other_ticks),
		ROW(sizes_come_back),
		ROW(large_ones),
		ROW(notes_come_back),
		ROW(clock_steps),
		ROW(damaged),
		ROW(hostile),
		ROW(not_to_be_trusted),
		ROW(directory),
		ROW(unwritable),
		ROW(behind),
		ROW(text_is_kept),
		ROW(leftovers),
		ROW(names),
	};

	log_level = -2;
	return cmocka_run_group_tests(tests, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * instance.c - making, pinning, adopting and removing a dataplane.
 *
 * masq_meta is pinned last and removed first: a directory without it is the
 * remainder of a process that was killed, and is cleaned by the next one.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netns.h"
#include "plane/instance.h"
#include "plane/pindir.h"
#include "plane/pinname.h"
#include "masq.skel.h"
#include "masq_modern.skel.h"

#define PIN_PATH_MAX (sizeof(((struct instance *)0)->pin_dir) + 64)

/* Slots of the flow table are counted in 32 bits. */
#define MAX_FLOWS_LIMIT	   (1U << 28)
#define MAX_PREFIXES_LIMIT (1U << 24)

/* Of maxFlows, and at least: IPv6 flows as long as it is not translated. */
#define IDLE_IPV6_SHARE 16
#define IDLE_IPV6_FLOWS 64

static const char *const map_names[] = {
#define M(name) #name,
	MASQ_MAPS(M)
#undef M
};

static const char *const prog_names[] = {
#define P(name) #name,
	MASQ_PROGS(P)
#undef P
};

/* --- libbpf's words ---------------------------------------------------- */

/* The first that names what failed; empty again before each load. */
static char libbpf_complaint[256];

static int libbpf_print(enum libbpf_print_level level, const char *fmt,
			va_list ap)
{
	char text[4096], *line, *rest = text;

	if (level == LIBBPF_DEBUG) /* its own workings: a thousand lines */
		return 0;
	vsnprintf(text, sizeof(text), fmt, ap);
	while ((line = strsep(&rest, "\n"))) {
		if (!strncmp(line, "libbpf: ", 8))
			line += 8;
		if (!*line)
			continue;
		if (!*libbpf_complaint && strstr(line, "failed") &&
		    (!strncmp(line, "prog '", 6) || !strncmp(line, "map '", 5)))
			snprintf(libbpf_complaint, sizeof(libbpf_complaint),
				 "%s", line);
		log_debug("libbpf: %s", line);
	}
	return 0;
}

/* --- the embedded objects ---------------------------------------------- */

/* One of the two skeletons, opened. */
struct dataplane {
	struct masq *base;
	struct masq_modern *modern;
	struct bpf_object *obj;
};

static void dataplane_close(struct dataplane *d)
{
	masq__destroy(d->base);
	masq_modern__destroy(d->modern);
	*d = (struct dataplane){};
}

static int size_map(const struct dataplane *d, enum masq_map_id id,
		    uint64_t entries)
{
	struct bpf_map *map =
		bpf_object__find_map_by_name(d->obj, map_names[id]);

	return map ? bpf_map__set_max_entries(map, entries) : -ENOENT;
}

/* What the programs of either object read of *meta. */
#define FILL_RODATA(rodata, meta, seal)                                   \
	do {                                                              \
		(rodata)->masq_features = (meta)->features;               \
		(rodata)->masq_seal = seal;                               \
		(rodata)->masq_shape_v4 = (meta)->shape[0];               \
		(rodata)->masq_shape_v6 = (meta)->shape[1];               \
		memcpy((void *)(rodata)->masq_hash_key, (meta)->hash_key, \
		       sizeof((meta)->hash_key));                         \
	} while (0)

/* Opens the object for meta->features, its maps sized after *meta. */
static int dataplane_open(struct dataplane *d, const struct masq_meta *meta)
{
	uint32_t pages4 = masq_shape_pages(meta->shape[0]);
	uint32_t pages6 = masq_shape_pages(meta->shape[1]);
	uint32_t seal = 0;
	int err;

	*d = (struct dataplane){};
	while (!seal) /* 0 would be none */
		if (getrandom(&seal, sizeof(seal), 0) != sizeof(seal))
			return -errno;
	if (meta->features & MASQ_FEAT_LOOP) {
		d->modern = masq_modern__open();
		if (d->modern) {
			FILL_RODATA(d->modern->rodata, meta, seal);
			d->obj = d->modern->obj;
		}
	} else {
		d->base = masq__open();
		if (d->base) {
			FILL_RODATA(d->base->rodata, meta, seal);
			d->obj = d->base->obj;
		}
	}
	if (!d->obj)
		return -errno;
	err = size_map(d, MAP_masq_flows4, pages4) ?:
	      size_map(d, MAP_masq_flows6, pages6) ?:
	      size_map(d, MAP_masq_aside4, pages4) ?:
	      size_map(d, MAP_masq_aside6, pages6) ?:
	      size_map(d, MAP_masq_prefixes, meta->max_prefixes) ?:
	      size_map(d, MAP_masq_counters, meta->max_prefixes);
	if (err)
		dataplane_close(d);
	return err;
}

/* --- what this kernel can ---------------------------------------------- */

/*
 * Does bpf_fib_lookup know BPF_FIB_LOOKUP_SRC? It refuses flags that it does
 * not know before it looks at the address family, and no family is 0.
 */
static bool probe_fib_source(void)
{
	const int params_size = sizeof(struct bpf_fib_lookup);
	/* the name is not in every linux/bpf.h */
	const int fib_lookup_src = 1 << 4;
	struct bpf_insn insns[32], *i = insns;
	unsigned char packet[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet,
		    .data_size_in = sizeof(packet), .repeat = 1);
	int fd, err;

#define INSN(...) (*i++ = (struct bpf_insn){ __VA_ARGS__ })
	for (int offset = 8; offset <= params_size; offset += 8)
		INSN(.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10,
		     .off = -offset);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2,
	     .src_reg = BPF_REG_10);
	INSN(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2,
	     .imm = -params_size);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3,
	     .imm = params_size);
	INSN(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4,
	     .imm = fib_lookup_src);
	INSN(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_fib_lookup);
	INSN(.code = BPF_JMP | BPF_EXIT);
#undef INSN
	fd = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "masq_probe", "GPL", insns,
			   i - insns, NULL);
	if (fd < 0)
		return false;
	err = bpf_prog_test_run_opts(fd, &run);
	close(fd);
	return !err && (int)run.retval == -EAFNOSUPPORT;
}

static uint32_t probe_features(void)
{
	const enum bpf_prog_type type = BPF_PROG_TYPE_SCHED_CLS;
	uint32_t features = 0;

	if (libbpf_probe_bpf_helper(type, BPF_FUNC_loop, NULL) == 1)
		features |= MASQ_FEAT_LOOP;
	if (probe_fib_source())
		features |= MASQ_FEAT_FIB_SRC;
	return features;
}

/* --- requests and time ------------------------------------------------- */

int instance_ctl(struct instance *instance, struct masq_ctl *request)
{
	struct {
		unsigned char header[MASQ_CTL_OFFSET];
		struct masq_ctl ctl;
	} __attribute__((packed)) packet = { .ctl = *request };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &packet,
		    .data_size_in = sizeof(packet), .data_out = &packet,
		    .data_size_out = sizeof(packet), .repeat = 1);
	int err;

	packet.header[12] = MASQ_CTL_ETHERTYPE >> 8;
	packet.header[13] = MASQ_CTL_ETHERTYPE & 0xff;
	do {
		err = bpf_prog_test_run_opts(instance->prog[PROG_masq_ctl],
					     &run);
	} while (err == -EINTR || err == -EAGAIN);
	if (err)
		return err;
	if (run.data_size_out != sizeof(packet))
		return -EPROTO;
	*request = packet.ctl;
	return request->error;
}

static uint64_t own_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static int read_clock(struct instance *instance)
{
	struct masq_ctl clock = { .op = MASQ_CTL_CLOCK };
	int err = instance_ctl(instance, &clock);

	if (err) {
		log_error("%s: cannot ask for the time: %s", instance->pin_dir,
			  caps_strerror(err, CAPS_BPF));
		return err;
	}
	instance->clock_ns = clock.now_ns;
	instance->clock_jiffies = clock.jiffies;
	instance->clock_shift_ns = clock.now_ns - own_clock_ns();
	return 0;
}

/*
 * Jiffies a second, which the kernel tells nobody. jiffies64 is 2^32 - 300 s
 * at boot, so it has passed 2^32 by the uptime less 300 s. Too near to these
 * 300 s the quotient says nothing, and a tenth of a second is watched.
 */
static int read_hz(struct instance *instance, uint32_t *hz)
{
	static const uint32_t usual[] = { 100, 250, 300, 1000 };
	int64_t ns = instance->clock_ns - 300 * 1000000000ULL;
	int64_t jiffies = instance->clock_jiffies - (1ULL << 32);
	double rate;
	int err;

	if (llabs(ns) < 30 * 1000000000LL) {
		uint64_t ns0 = instance->clock_ns;
		uint64_t jiffies0 = instance->clock_jiffies;

		usleep(100000);
		err = read_clock(instance);
		if (err)
			return err;
		ns = instance->clock_ns - ns0;
		jiffies = instance->clock_jiffies - jiffies0;
	}
	rate = jiffies * 1e9 / ns;
	*hz = rate + 0.5;
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (rate > usual[i] * 0.9 && rate < usual[i] * 1.1)
			*hz = usual[i];
	if (*hz >= 10 && *hz <= 10000)
		return 0;
	log_error("clock: jiffies do not run like time: %.1f a second", rate);
	return -EPROTO;
}

uint64_t instance_now_ns(const struct instance *instance)
{
	return own_clock_ns() + instance->clock_shift_ns;
}

uint32_t instance_now(const struct instance *instance)
{
	uint64_t ns = instance_now_ns(instance) - instance->clock_ns;
	uint64_t hz = instance->meta.hz;

	return (instance->clock_jiffies + ns / 1000000000 * hz +
		ns % 1000000000 * hz / 1000000000) >>
	       MASQ_TICK_SHIFT;
}

uint32_t ns_to_ticks(const struct instance *instance, uint64_t ns)
{
	uint64_t hz = instance->meta.hz;
	uint64_t jiffies = ns / 1000000000 * hz +
			   (ns % 1000000000 * hz + 999999999) / 1000000000;

	return (jiffies + (1 << MASQ_TICK_SHIFT) - 1) >> MASQ_TICK_SHIFT;
}

double ticks_to_seconds(const struct instance *instance, int64_t ticks)
{
	return (double)ticks * (1 << MASQ_TICK_SHIFT) / instance->meta.hz;
}

/* --- pins -------------------------------------------------------------- */

static const char *pin_path(const struct instance *instance, const char *name,
			    char *buf)
{
	snprintf(buf, PIN_PATH_MAX, "%s/%s", instance->pin_dir, name);
	return buf;
}

static int pin(const struct instance *instance, int fd, const char *name)
{
	char path[PIN_PATH_MAX];
	int err = bpf_obj_pin(fd, pin_path(instance, name, path));

	if (err)
		log_error("%s: cannot pin: %s", path,
			  caps_strerror(err, CAPS_BPF));
	return err;
}

/*
 * Opens a pin that nobody but us or root can have put there. -ENOENT: the
 * directory that we hold has none of this name; everything else is printed,
 * and is not -ENOENT, whatever the kernel calls it.
 */
static int open_pin(const struct instance *instance, const char *name)
{
	char path[PIN_PATH_MAX];
	struct stat st;
	int fd;

	pin_path(instance, name, path);
	if (fstatat(instance->lock_fd, name, &st, AT_SYMLINK_NOFOLLOW)) {
		int err = -errno;

		if (err != -ENOENT)
			log_error("%s: cannot look at the pin: %s", path,
				  strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode) ||
	    (st.st_uid != geteuid() && st.st_uid != 0) ||
	    st.st_mode & (S_IWGRP | S_IWOTH)) {
		log_error("%s: not trusted: uid %u, mode %06o", path, st.st_uid,
			  st.st_mode);
		return -EPERM;
	}
	fd = bpf_obj_get(path);
	if (fd < 0)
		log_error("%s: cannot open the pin: %s", path,
			  caps_strerror(fd, CAPS_BPF));
	return fd == -ENOENT ? -EIO : fd;
}

/*
 * Removes every pin, masq_meta first, those of other layouts as well. What
 * else lies there is not ours, and the directory stays with it.
 */
static int remove_pins(struct instance *instance)
{
	struct dirent *entry;
	DIR *dir;
	int err = 0;

	if (unlinkat(instance->lock_fd, map_names[MAP_masq_meta], 0) &&
	    errno != ENOENT)
		err = -errno;
	dir = opendir(instance->pin_dir);
	if (!dir)
		return -errno;
	while (!err && (entry = readdir(dir)))
		if (pin_is_ours(entry->d_name) &&
		    unlinkat(instance->lock_fd, entry->d_name, 0))
			err = -errno;
	closedir(dir);
	return err;
}

int instance_remove(struct instance *instance)
{
	int err = remove_pins(instance);

	if (!err && unlinkat(instance->lock_fd, INSTANCE_AGENT, AT_REMOVEDIR) &&
	    errno != ENOENT)
		err = -errno;
	/* with somebody's pin in it, or mounted by itself */
	if (!err && rmdir(instance->pin_dir) && errno != ENOTEMPTY &&
	    errno != EBUSY)
		err = -errno;
	if (err)
		log_error("%s: cannot remove the pins: %s", instance->pin_dir,
			  strerror(-err));
	return err;
}

/* --- making ------------------------------------------------------------ */

static int keep_fd(int fd)
{
	int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	return kept < 0 ? -errno : kept;
}

/* Loads the object and takes over its descriptors. */
static int load(struct instance *instance)
{
	struct dataplane d;
	int err;

	*libbpf_complaint = '\0';
	err = dataplane_open(&d, &instance->meta);
	if (!err)
		err = bpf_object__load(d.obj);
	if (err) {
		log_error("load: %s%s; -v shows the kernel's words",
			  *libbpf_complaint ? libbpf_complaint : strerror(-err),
			  caps_hint(err, CAPS_LOAD));
		goto out;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		instance->map[i] = keep_fd(
			bpf_object__find_map_fd_by_name(d.obj, map_names[i]));
		err = instance->map[i] < 0 ? instance->map[i] : 0;
	}
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++) {
		struct bpf_program *prog =
			bpf_object__find_program_by_name(d.obj, prog_names[i]);

		instance->prog[i] = prog ? keep_fd(bpf_program__fd(prog))
					 : -ENOENT;
		err = instance->prog[i] < 0 ? instance->prog[i] : 0;
	}
	if (err)
		log_error("load: cannot take over maps and programs: %s",
			  strerror(-err));
out:
	dataplane_close(&d);
	return err;
}

static int pin_all(const struct instance *instance)
{
	int err = 0;

	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++)
		if (i != MAP_masq_meta)
			err = pin(instance, instance->map[i], map_names[i]);
	for (int i = 0; i < MASQ_PROG_COUNT && !err; i++)
		err = pin(instance, instance->prog[i], prog_names[i]);
	return err
		       ?: pin(instance, instance->map[MAP_masq_meta],
			      map_names[MAP_masq_meta]);
}

/* A power of two, twice what is asked for: reloads need room for new slots. */
static uint32_t prefix_slots(uint32_t asked)
{
	uint32_t slots = MASQ_MIN_PREFIX_SLOTS;

	while (slots < 2 * (uint64_t)asked)
		slots *= 2;
	return slots;
}

/* Sizes of the flow tables, and what their hash is seeded with. */
static int shape_tables(struct masq_meta *meta, bool ipv6)
{
	uint32_t flows6 = meta->max_flows;

	/* memory for what nobody asks for would be the larger table's half */
	if (!ipv6) {
		flows6 = meta->max_flows / IDLE_IPV6_SHARE;
		if (flows6 < IDLE_IPV6_FLOWS)
			flows6 = IDLE_IPV6_FLOWS;
		if (flows6 > meta->max_flows)
			flows6 = meta->max_flows;
	}
	meta->shape[0] = masq_shape_for(meta->max_flows);
	meta->shape[1] = masq_shape_for(flows6);
	if (getrandom(meta->hash_key, sizeof(meta->hash_key), 0) !=
	    sizeof(meta->hash_key))
		return -errno;
	return 0;
}

static int make(struct instance *instance,
		const struct instance_options *options)
{
	struct masq_meta *meta = &instance->meta;
	uint32_t zero = 0;
	int err;

	*meta = (struct masq_meta){
		.magic = MASQ_MAGIC,
		.abi = MASQ_ABI,
		.max_flows = options && options->max_flows
				     ? options->max_flows
				     : MASQ_DEFAULT_MAX_FLOWS,
		.netns = netns_self(),
		.version = MASQ_VERSION,
	};
	if (meta->max_flows > MAX_FLOWS_LIMIT ||
	    (options && options->max_prefixes > MAX_PREFIXES_LIMIT)) {
		log_error("load: too many flows (%u) or prefixes (%u)",
			  meta->max_flows, options ? options->max_prefixes : 0);
		err = -E2BIG;
		goto undo;
	}
	err = shape_tables(meta, options && options->ipv6);
	if (err) {
		log_error("load: no random numbers: %s", strerror(-err));
		goto undo;
	}
	meta->max_prefixes = prefix_slots(options ? options->max_prefixes : 0);
	meta->features = probe_features();
	if (options && options->no_flow_counts)
		meta->features |= MASQ_FEAT_NO_FLOW_COUNT;
	if (options && options->fast_path) {
		if (!(meta->features & MASQ_FEAT_LOOP)) {
			log_error("load: --fast-path needs bpf_loop (5.17)");
			err = -EOPNOTSUPP;
			goto undo;
		}
		meta->features |= MASQ_FEAT_FAST;
	}
	log_debug("features: bpf_loop %s, FIB source %s",
		  meta->features & MASQ_FEAT_LOOP ? "yes" : "no",
		  meta->features & MASQ_FEAT_FIB_SRC ? "yes" : "no");

	/* what a killed process left; without masq_meta it is nothing */
	err = remove_pins(instance);
	if (err) {
		log_error("%s: cannot clean up: %s", instance->pin_dir,
			  strerror(-err));
		goto undo;
	}
	err = load(instance) ?: read_clock(instance) ?:
	      read_hz(instance, &meta->hz);
	if (err)
		goto undo;
	err = bpf_map_update_elem(instance->map[MAP_masq_meta], &zero, meta,
				  BPF_ANY);
	if (err) {
		log_error("masq_meta: cannot write: %s",
			  caps_strerror(err, CAPS_BPF));
		goto undo;
	}
	err = pin_all(instance);
	if (err)
		goto undo;
	instance->is_new = true;
	return 0;
undo:
	remove_pins(instance);
	rmdir(instance->pin_dir);
	return err;
}

/* --- adopting ---------------------------------------------------------- */

/* Where the layout is ours; 0, also where it is another; or -errno, printed. */
static int peek_meta(struct instance *instance)
{
	struct masq_meta meta = {};
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), zero = 0;
	int fd = open_pin(instance, map_names[MAP_masq_meta]), err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	if (!err && info.value_size == sizeof(meta))
		err = bpf_map_lookup_elem(fd, &zero, &meta);
	if (err == -EINVAL) /* a program, or a map of another type */
		err = 0;
	if (!err && meta.magic == MASQ_MAGIC && meta.abi == MASQ_ABI)
		instance->meta = meta;
	if (err)
		log_error("%s/%s: cannot read: %s", instance->pin_dir,
			  map_names[MAP_masq_meta],
			  caps_strerror(err, CAPS_BPF));
	close(fd);
	return err;
}

static bool is_shape(struct masq_shape shape)
{
	return shape.stripes && shape.ways >= 2 &&
	       shape.ways <= MASQ_MAX_WAYS &&
	       (uint64_t)shape.stripes * (shape.ways + 1) * MASQ_PAGE_SLOTS <
		       MASQ_NO_SLOT;
}

static int check_meta(struct instance *instance)
{
	char path[PIN_PATH_MAX];
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info), zero = 0;
	struct masq_meta *meta;
	int fd = instance->map[MAP_masq_meta], err;

	pin_path(instance, map_names[MAP_masq_meta], path);
	err = bpf_obj_get_info_by_fd(fd, &info, &length);
	/* whatever the layout: one value, as long as the part that we read */
	if (err || info.type != BPF_MAP_TYPE_ARRAY || info.max_entries != 1 ||
	    info.value_size < offsetof(struct masq_meta, netns)) {
		log_error("%s: not an instance of masqbpf", path);
		return -EINVAL;
	}
	meta = calloc(1, info.value_size + sizeof(*meta));
	if (!meta)
		return -ENOMEM;
	err = bpf_map_lookup_elem(fd, &zero, meta);
	if (err) {
		log_error("%s: cannot read: %s", path,
			  caps_strerror(err, CAPS_BPF));
	} else if (meta->magic != MASQ_MAGIC) {
		log_error("%s: not an instance of masqbpf", path);
		err = -EINVAL;
	} else if (meta->abi != MASQ_ABI || info.value_size != sizeof(*meta)) {
		log_error("%s: made by masqbpf %.*s with layout %u; this is "
			  "layout %u: detach with that version or run "
			  "`masqbpf detach --all`",
			  instance->pin_dir, (int)sizeof(meta->version) - 1,
			  meta->version, meta->abi, MASQ_ABI);
		err = -EPROTO;
	} else if (!meta->hz || !meta->max_flows || !meta->max_prefixes ||
		   meta->max_flows > MAX_FLOWS_LIMIT ||
		   meta->max_prefixes > 4 * MAX_PREFIXES_LIMIT ||
		   !is_shape(meta->shape[0]) || !is_shape(meta->shape[1])) {
		log_error("%s: damaged", path);
		err = -EINVAL;
	} else {
		instance->meta = *meta;
		instance->meta.version[sizeof(meta->version) - 1] = '\0';
	}
	free(meta);
	return err;
}

static int check_map(const struct instance *instance, int fd,
		     const struct bpf_map *want)
{
	struct bpf_map_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	if (!err && info.type == bpf_map__type(want) &&
	    info.key_size == bpf_map__key_size(want) &&
	    info.value_size == bpf_map__value_size(want) &&
	    info.max_entries == bpf_map__max_entries(want) &&
	    info.map_flags == bpf_map__map_flags(want))
		return 0;
	log_error("%s/%s: not the map that belongs there: type %u, key %u, "
		  "value %u, entries %u, flags %#x",
		  instance->pin_dir, bpf_map__name(want), info.type,
		  info.key_size, info.value_size, info.max_entries,
		  info.map_flags);
	return -EINVAL;
}

static int check_prog(const struct instance *instance, int fd, const char *name)
{
	struct bpf_prog_info info = {};
	uint32_t length = sizeof(info);
	int err = bpf_obj_get_info_by_fd(fd, &info, &length);

	/* libbpf gives no name where its probe for names has failed */
	if (!err && info.type == BPF_PROG_TYPE_SCHED_CLS &&
	    (!*info.name || !strcmp(info.name, name)))
		return 0;
	log_error("%s/%s: not the program that belongs there",
		  instance->pin_dir, name);
	return -EINVAL;
}

/* Not -ENOENT: that would be "no instance here". */
static int say_gone(const struct instance *instance, const char *name)
{
	log_error("%s/%s: the pin is gone: run `masqbpf detach --all` and "
		  "attach again",
		  instance->pin_dir, name);
	return -EINVAL;
}

static int open_progs(struct instance *instance, bool all)
{
	for (int i = 0; i < MASQ_PROG_COUNT; i++) {
		int fd = open_pin(instance, prog_names[i]);

		if (fd == -ENOENT && !all)
			continue;
		if (fd == -ENOENT)
			return say_gone(instance, prog_names[i]);
		if (fd < 0)
			return fd;
		instance->prog[i] = fd;
		if (check_prog(instance, fd, prog_names[i]))
			return -EINVAL;
	}
	return 0;
}

/*
 * -ENOENT: there is no masq_meta, and so no instance. Nothing else is, least
 * of all something that this process cannot find while the instance runs.
 */
static int adopt(struct instance *instance)
{
	int fd = open_pin(instance, map_names[MAP_masq_meta]);
	struct dataplane d;
	int err;

	if (fd < 0)
		return fd;
	instance->map[MAP_masq_meta] = fd;
	err = check_meta(instance);
	if (err)
		return err;
	err = dataplane_open(&d, &instance->meta);
	if (err) {
		log_error("%s: cannot open the built-in programs: %s",
			  instance->pin_dir, strerror(-err));
		return err;
	}
	for (int i = 0; i < MASQ_MAP_COUNT && !err; i++) {
		if (instance->map[i] < 0)
			instance->map[i] = open_pin(instance, map_names[i]);
		err = instance->map[i];
		if (err == -ENOENT)
			err = say_gone(instance, map_names[i]);
		if (err < 0)
			break;
		err = check_map(instance, instance->map[i],
				bpf_object__find_map_by_name(d.obj,
							     map_names[i]));
	}
	dataplane_close(&d);
	err = err ?: open_progs(instance, true) ?: read_clock(instance);
	return err == -ENOENT ? -EIO : err;
}

/* --- opening ----------------------------------------------------------- */

static size_t prefixes_size(const struct instance *instance)
{
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = (size_t)instance->meta.max_prefixes *
		      sizeof(struct masq_prefix);

	return (size + page - 1) / page * page;
}

static int map_prefixes(struct instance *instance, bool writable)
{
	void *prefixes = mmap(NULL, prefixes_size(instance),
			      PROT_READ | (writable ? PROT_WRITE : 0),
			      MAP_SHARED, instance->map[MAP_masq_prefixes], 0);

	if (prefixes == MAP_FAILED) {
		int err = -errno;

		log_error("masq_prefixes: cannot map: %s", strerror(-err));
		return err;
	}
	instance->prefixes = prefixes;
	return 0;
}

static enum pindir_use use_of(enum instance_mode mode,
			      const struct instance_options *options)
{
	if (mode == INSTANCE_READ)
		return PINDIR_READ;
	return options && options->patient ? PINDIR_PATIENT : PINDIR_WRITE;
}

/* What there is of one that is to be removed, of whatever layout. */
static int open_for_removal(struct instance *instance)
{
	int err = peek_meta(instance);

	/* of another layout only the programs count */
	for (int i = 0; i < MASQ_MAP_COUNT && instance->meta.magic && !err;
	     i++) {
		instance->map[i] = open_pin(instance, map_names[i]);
		if (instance->map[i] < 0 && instance->map[i] != -ENOENT)
			err = instance->map[i];
	}
	return err ?: open_progs(instance, false);
}

/*
 * What has to be known before anything is opened or made: how many values a
 * per-CPU lookup has, and where we are.
 */
static int know_machine(struct instance *instance)
{
	if (!netns_self()) {
		log_error("%s: cannot know the network namespace: "
			  "/proc/self/ns/net: %s (is /proc mounted?)",
			  instance->pin_dir, strerror(errno));
		return -EIO;
	}
	instance->cpus = libbpf_num_possible_cpus();
	if (instance->cpus > 0)
		return 0;
	log_error("%s: cannot know the processors: "
		  "/sys/devices/system/cpu/possible: %s (is sysfs mounted?)",
		  instance->pin_dir, strerror(-instance->cpus));
	return -EIO;
}

int instance_open(const char *pin_dir, enum instance_mode mode,
		  const struct instance_options *options, struct instance **out)
{
	struct instance *instance = calloc(1, sizeof(*instance));
	int err;

	libbpf_set_print(libbpf_print);
	if (!instance) {
		log_error("%s: out of memory", pin_dir);
		return -ENOMEM;
	}
	instance->lock_fd = -1;
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		instance->map[i] = -1;
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		instance->prog[i] = -1;
	/* main.c has checked the length */
	snprintf(instance->pin_dir, sizeof(instance->pin_dir), "%s", pin_dir);

	err = mode == INSTANCE_REMOVE ? 0 : know_machine(instance);
	if (err)
		goto out;
	err = pindir_open(pin_dir, mode == INSTANCE_MAKE,
			  use_of(mode, options));
	if (err < 0)
		goto out;
	instance->lock_fd = err;
	if (mode == INSTANCE_REMOVE) {
		err = open_for_removal(instance);
	} else {
		err = adopt(instance);
		if (err == -ENOENT && mode == INSTANCE_MAKE)
			err = make(instance, options);
		if (!err)
			err = map_prefixes(instance, mode != INSTANCE_READ);
	}
	/* a reader keeps nobody waiting, whatever it does with what it reads */
	if (mode == INSTANCE_READ)
		instance_unlock(instance);
	if (err)
		goto out;
	if (mode != INSTANCE_MAKE && instance->meta.netns &&
	    instance_is_elsewhere(instance))
		netns_enter(instance->meta.netns);
	*out = instance;
	return 0;
out:
	instance_close(instance);
	return err;
}

void instance_close(struct instance *instance)
{
	if (!instance)
		return;
	if (instance->prefixes)
		munmap(instance->prefixes, prefixes_size(instance));
	for (int i = 0; i < MASQ_MAP_COUNT; i++)
		if (instance->map[i] >= 0)
			close(instance->map[i]);
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		if (instance->prog[i] >= 0)
			close(instance->prog[i]);
	if (instance->lock_fd >= 0)
		close(instance->lock_fd);
	free(instance);
}

void instance_unlock(const struct instance *instance)
{
	flock(instance->lock_fd, LOCK_UN);
}

bool instance_is_gone(const struct instance *instance)
{
	struct stat st;

	return !fstat(instance->lock_fd, &st) && !st.st_nlink;
}

bool instance_is_new(const struct instance *instance)
{
	return instance->is_new;
}

uint32_t instance_flows_max(const struct instance *instance, int family)
{
	struct masq_shape shape = instance->meta.shape[family == 6];
	/* as the dataplane reckons, see has_room() in bpf/room.h */
	uint64_t room = (uint64_t)shape.stripes * shape.ways * MASQ_PAGE_SLOTS /
			MASQ_SLOTS_PER_FLOW;

	return room < instance->meta.max_flows ? room
					       : instance->meta.max_flows;
}

bool instance_is_elsewhere(const struct instance *instance)
{
	return instance->meta.netns != netns_self();
}

int instance_say_elsewhere(const struct instance *instance)
{
	char path[PATH_MAX];

	if (netns_path(instance->meta.netns, path, sizeof(path)))
		log_error("%s: belongs to another network namespace: "
			  "nsenter --net=%s masqbpf ...",
			  instance->pin_dir, path);
	else
		log_error("%s: belongs to another network namespace (inode "
			  "%llu), or one that is gone",
			  instance->pin_dir,
			  (unsigned long long)instance->meta.netns);
	return -EXDEV;
}

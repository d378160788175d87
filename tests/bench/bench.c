// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench.c - one measurement a call, for scripts/bench.sh: COMMAND KEY=VALUE...
 * The result goes to stdout as one line of KEY=VALUE.
 *
 *   flood  frames from XDP (gen.bpf.c) received by `dev` of namespace `node`,
 *	    counted at `sink_dev` of namespace `sink`. Optionally the kernel's
 *	    run time per packet of the program pinned at `prog`, or of our own
 *	    `empty` or `bare` program attached to `hook_dev` of the node.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "masqbpf.h"
#include "bench.h"
#include "bench.skel.h"

#define TCX_INGRESS 46 /* BPF_TCX_INGRESS, 6.6 */
#define TCX_EGRESS  47
#define BATCH	    64

static int args;
static char **arg;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("bench: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	exit(1);
}

static const char *text(const char *key, const char *otherwise)
{
	size_t len = strlen(key);

	for (int i = 0; i < args; i++)
		if (!strncmp(arg[i], key, len) && arg[i][len] == '=')
			return arg[i] + len + 1;
	return otherwise;
}

static const char *need(const char *key)
{
	const char *value = text(key, NULL);

	if (!value)
		die("%s= is missing", key);
	return value;
}

static unsigned long number(const char *key, unsigned long otherwise)
{
	const char *value = text(key, NULL);
	unsigned long n;
	char *end;

	if (!value)
		return otherwise;
	n = strtoul(value, &end, 10);
	if (end == value || *end)
		die("%s=%s: not a number", key, value);
	return n;
}

static uint32_t address(const char *key, const char *otherwise)
{
	struct in_addr a;
	const char *value = text(key, otherwise);

	if (!value)
		return 0;
	if (inet_pton(AF_INET, value, &a) != 1)
		die("%s=%s: not an IPv4 address", key, value);
	return ntohl(a.s_addr);
}

static void enter(const char *ns)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("%s: %s", path, strerror(errno));
	close(fd);
}

/* In the current namespace. */
static unsigned int device(const char *name, uint8_t *mac)
{
	struct ifreq ifr = {};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr))
		die("%s: %s", name, strerror(errno));
	if (mac)
		memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	close(fd);
	return if_nametoindex(name);
}

static void hook(const struct bpf_program *prog, unsigned int ifindex,
		 unsigned int type)
{
	union bpf_attr attr = {};

	attr.link_create.prog_fd = bpf_program__fd(prog);
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = type;
	/* lives as long as this process */
	if (syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr)) < 0)
		die("TCX: %s", strerror(errno));
}

static void pin_to_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(number("cpu", sysconf(_SC_NPROCESSORS_ONLN) - 1), &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cpu: %s", strerror(errno));
}

static void read_job(struct bench_job *job)
{
	const char *order = text("order", "seq");

	job->src = address("src", "10.44.14.15");
	job->dst = address("dst", "198.18.0.1");
	job->dsts = number("dsts", 64);
	job->dport = number("dport", 7777);
	job->port = number("port", 33000); /* beyond NodePorts */
	job->ports = number("ports", 16384);
	job->spill = number("spill", 0);
	job->first = number("first", 0);
	job->flows = number("flows", 1);
	job->inwards = !strcmp(text("dir", "out"), "in");
	job->order = !strcmp(order, "random") ? BENCH_RANDOM : BENCH_SEQUENTIAL;
}

/* The keys that masq_flows4 holds for the same flows: FWD and REV. */
static void fill_bare(struct bench_skel *skel, const struct bench_job *job,
		      uint32_t node)
{
	enum {
		CHUNK = 4096
	};
	struct masq_key4 *keys = calloc(CHUNK, sizeof(*keys));
	struct masq_flow4 *values = calloc(CHUNK, sizeof(*values));
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	int fd = bpf_map__fd(skel->maps.bare_flows);
	uint32_t n = 0;

	for (uint32_t i = 0; i < job->flows; i++) {
		struct bench_flow f;

		bench_flow(job, job->first + i, &f);
		for (int rev = 0; rev < 2; rev++) {
			keys[n++] = (struct masq_key4){
				.in_addr = { htonl(rev ? node : f.src) },
				.rem_addr = { htonl(f.dst) },
				.in_port = htons(f.sport),
				.rem_port = htons(f.dport),
				.proto = IPPROTO_UDP,
			};
		}
		if (n < CHUNK && i + 1 < job->flows)
			continue;
		if (bpf_map_update_batch(fd, keys, values, &n, &opts))
			die("bare_flows: %s", strerror(errno));
		n = 0;
	}
	free(keys);
	free(values);
}

static void run_time(int fd, uint64_t *ns, uint64_t *runs)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		die("program info: %s", strerror(errno));
	*ns = info.run_time_ns;
	*runs = info.run_cnt;
}

static int flood(void)
{
	struct bench_skel *skel = bench_skel__open();
	const char *own = text("own", NULL), *pin = text("prog", NULL);
	const char *sink = text("sink", NULL);
	uint32_t count = number("count", 500000);
	uint64_t ns = 0, runs = 0, ns_end, runs_end;
	uint8_t frame[BENCH_FRAME] = {};
	struct xdp_md ctx = { .data_end = sizeof(frame) };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = sizeof(frame), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	struct bench_job job = {};
	struct timespec t0, t1, c0, c1;
	struct rusage r0, r1;
	int stats = -1, watched = -1;

	if (!skel)
		die("cannot open the programs");
	read_job(&job);
	enter(need("node"));
	ctx.ingress_ifindex = device(need("dev"), job.dst_mac);
	job.src_mac[0] = 2;
	memcpy((void *)&skel->rodata->job, &job, sizeof(job));
	skel->rodata->want_src = htonl(address("want_src", NULL));
	skel->rodata->want_dst = htonl(address("want_dst", NULL));
	skel->rodata->ingress = job.inwards;
	bpf_map__set_max_entries(skel->maps.bare_flows,
				 own ? number("table", 524288) : 1);
	if (bench_skel__load(skel))
		die("cannot load the programs");
	if (own) {
		struct bpf_program *prog = !strcmp(own, "bare")
						   ? skel->progs.bare
						   : skel->progs.empty;

		if (prog == skel->progs.bare)
			fill_bare(skel, &job,
				  address("node_addr", "10.142.0.6"));
		watched = bpf_program__fd(prog);
		hook(prog, device(need("hook_dev"), NULL),
		     job.inwards ? TCX_INGRESS : TCX_EGRESS);
	} else if (pin) {
		watched = bpf_obj_get(pin);
		if (watched < 0)
			die("%s: %s", pin, strerror(errno));
	}
	if (sink) {
		enter(sink);
		hook(skel->progs.sink, device(need("sink_dev"), NULL),
		     TCX_INGRESS);
		enter(need("node"));
	}
	pin_to_cpu();
	if (watched >= 0) {
		stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
		if (stats < 0)
			die("run time statistics: %s", strerror(errno));
		run_time(watched, &ns, &runs);
	}
	getrusage(RUSAGE_SELF, &r0);
	clock_gettime(CLOCK_MONOTONIC, &t0);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c0);
	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.gen), &opts))
		die("live frames: %s", strerror(errno));
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &c1);
	clock_gettime(CLOCK_MONOTONIC, &t1);
	getrusage(RUSAGE_SELF, &r1);
	/* what still lies in a backlog is received by now */
	usleep(1000);
	printf("ns=%u wall_ns=%.1f cpu_ns=%.1f sent=%u seen=%llu wrong=%llu "
	       "switches=%ld",
	       opts.duration,
	       ((t1.tv_sec - t0.tv_sec) * 1e9 + t1.tv_nsec - t0.tv_nsec) /
		       count,
	       ((c1.tv_sec - c0.tv_sec) * 1e9 + c1.tv_nsec - c0.tv_nsec) /
		       count,
	       count, skel->bss->seen, skel->bss->wrong,
	       r1.ru_nivcsw - r0.ru_nivcsw);
	if (watched >= 0) {
		run_time(watched, &ns_end, &runs_end);
		printf(" runs=%lu prog_ns=%.1f found=%llu",
		       (unsigned long)(runs_end - runs),
		       runs_end > runs
			       ? (double)(ns_end - ns) / (runs_end - runs)
			       : 0.0,
		       skel->bss->found);
		close(stats);
	}
	putchar('\n');
	bench_skel__destroy(skel);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} commands[] = {
	{ "flood", flood },
};

int main(int argc, char **argv)
{
	args = argc - 2;
	arg = argv + 2;
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands);
	     i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run();
	fputs("usage: bench COMMAND KEY=VALUE...\n", stderr);
	return 2;
}

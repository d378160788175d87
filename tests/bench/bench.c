// SPDX-License-Identifier: GPL-2.0-only
/*
 * bench.c - one measurement a call, for scripts/bench.sh: COMMAND KEY=VALUE...
 * The result goes to stdout as one line of KEY=VALUE.
 *
 *   flood  frames from XDP (gen.bpf.c) received by `dev` of namespace `node`,
 *	    counted at `sink_dev` of namespace `sink`. Optionally the kernel's
 *	    run time per packet of the program pinned at `prog`, or of our own
 *	    `empty`, `bare` or `line` program attached to `hook_dev` of the node.
 *	    With `via` the frames begin in that namespace and leave it by `via_dev`,
 *	    whose other end `dev` is.
 *   hook   a link of `kind` tc (the program pinned at `prog`) or xdp (our own,
 *	    with the maps of the pins in `pin_dir`) at ingress of `dev` in
 *	    namespace `node`, pinned at `pin`; xdp sends packets past the stack
 *	    to `into` (a device, its peer has `into_mac`) if that is given
 *   connect  TCP connections from `client` to `server`, opened and closed,
 *	    `parallel` at once, for `ms`
 *   rr	    TCP request and response of `size` bytes from `client` to `server`
 *   apply  makes `config` the running policy of the pins in `pin_dir`
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "masqbpf.h"
#include "config/config.h"
#include "plane/instance.h"
#include "policy/apply.h"
#include "policy/policy.h"
#include "bench.h"
#include "bench.skel.h"
#include "bench_xdp.skel.h"

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

/* Lives as long as this process, unless somebody pins it. */
static int hook(int prog, unsigned int ifindex, unsigned int type,
		unsigned int flags)
{
	union bpf_attr attr = {};
	int link;

	attr.link_create.prog_fd = prog;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = type;
	attr.link_create.flags = flags;
	link = syscall(SYS_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	if (link < 0)
		die("link: %s", strerror(errno));
	return link;
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
	const char *order = text("order", "seq"), *tcp = text("tcp", "");

	job->src = address("src", "10.44.14.15");
	job->dst = address("dst", "11.0.0.1");
	job->dsts = number("dsts", 64);
	job->dport = number("dport", 7777);
	job->port = number("port", 33000); /* beyond NodePorts */
	job->ports = number("ports", 16384);
	job->spill = number("spill", 0);
	job->first = number("first", 0);
	job->flows = number("flows", 1);
	job->inwards = !strcmp(text("dir", "out"), "in");
	job->order = !strcmp(order, "random") ? BENCH_RANDOM : BENCH_SEQUENTIAL;
	job->frame = number("frame", BENCH_FRAME);
	job->proto = !strcmp(text("proto", "udp"), "tcp") ? IPPROTO_TCP
							  : IPPROTO_UDP;
	job->tcp = !strcmp(tcp, "syn")	    ? BENCH_SYN
		   : !strcmp(tcp, "synack") ? BENCH_SYN_ACK
		   : !strcmp(tcp, "again")  ? BENCH_AGAIN
					    : BENCH_STREAM;
	if (job->frame < BENCH_FRAME || job->frame > BENCH_FRAME_MAX ||
	    (job->frame > BENCH_FRAME && job->proto == IPPROTO_UDP))
		die("frame=%u: no such frames", job->frame);
}

/* The keys of both records of the same flows: FWD and REV. */
static void fill_bare(struct bench_skel *skel, const struct bench_job *job,
		      uint32_t node)
{
	enum {
		CHUNK = 4096
	};
	struct masq_key4 *keys = calloc(CHUNK, sizeof(*keys));
	struct bench_record *values = calloc(CHUNK, sizeof(*values));
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
	const char *sink = text("sink", NULL), *via = text("via", NULL);
	uint32_t count = number("count", 300000);
	uint64_t ns = 0, runs = 0, ns_end, runs_end;
	uint8_t frame[BENCH_FRAME_MAX] = {};
	struct xdp_md ctx = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = count,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = BATCH);
	struct bench_job job = {};
	struct timespec t0, t1, c0, c1;
	struct rusage r0, r1;
	int stats = -1, watched = -1;
	uint32_t lines = own && !strcmp(own, "line") ? number("lines", 1 << 17)
						     : 1;

	if (!skel)
		die("cannot open the programs");
	read_job(&job);
	enter(need("node"));
	ctx.ingress_ifindex = device(need("dev"), job.dst_mac);
	job.src_mac[0] = 2;
	ctx.data_end = job.frame;
	opts.data_size_in = job.frame;
	if (via) {
		enter(via);
		ctx.ingress_ifindex = device(need("via_dev"), NULL);
		job.redirect = ctx.ingress_ifindex;
		enter(need("node"));
	}
	memcpy((void *)&skel->rodata->job, &job, sizeof(job));
	skel->rodata->want_src = htonl(address("want_src", NULL));
	skel->rodata->want_dst = htonl(address("want_dst", NULL));
	skel->rodata->verify = number("verify", 0);
	skel->rodata->ingress = job.inwards;
	bpf_map__set_max_entries(skel->maps.bare_flows,
				 own ? number("table", 524288) : 1);
	skel->rodata->lines_mask = lines - 1;
	bpf_map__set_max_entries(skel->maps.lines, lines);
	if (bench_skel__load(skel))
		die("cannot load the programs");
	if (own) {
		struct bpf_program *prog = skel->progs.empty;

		if (!strcmp(own, "bare"))
			prog = skel->progs.bare;
		else if (!strcmp(own, "line"))
			prog = skel->progs.one_line;

		if (prog == skel->progs.bare)
			fill_bare(skel, &job,
				  address("node_addr", "10.142.0.6"));
		watched = bpf_program__fd(prog);
		hook(watched, device(need("hook_dev"), NULL),
		     job.inwards ? TCX_INGRESS : TCX_EGRESS, 0);
	} else if (pin) {
		watched = bpf_obj_get(pin);
		if (watched < 0)
			die("%s: %s", pin, strerror(errno));
	}
	if (sink) {
		enter(sink);
		hook(bpf_program__fd(skel->progs.sink),
		     device(need("sink_dev"), NULL), TCX_INGRESS, 0);
	}
	enter(via ? via : need("node"));
	pin_to_cpu();
	if (!number("stats", 1))
		watched = -1; /* the accounting itself costs time */
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
	printf("ns=%u wall_ns=%.1f cpu_ns=%.1f sent=%u seen=%llu skbs=%llu "
	       "wrong=%llu switches=%ld",
	       opts.duration,
	       ((t1.tv_sec - t0.tv_sec) * 1e9 + t1.tv_nsec - t0.tv_nsec) /
		       count,
	       ((c1.tv_sec - c0.tv_sec) * 1e9 + c1.tv_nsec - c0.tv_nsec) /
		       count,
	       count, skel->bss->seen, skel->bss->skbs, skel->bss->wrong,
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

/* --- where the programs hang ---------------------------------------------- */

static int open_pin(const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", need("pin_dir"), name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static void pinned_map(struct bpf_map *map)
{
	int fd = open_pin(bpf_map__name(map));

	if (bpf_map__reuse_fd(map, fd))
		die("%s: %s", bpf_map__name(map), strerror(errno));
	close(fd);
}

/* What an instance says of itself. */
static void read_meta(struct masq_meta *meta)
{
	uint32_t zero = 0;
	int fd = open_pin("masq_meta");

	if (bpf_map_lookup_elem(fd, &zero, meta))
		die("masq_meta: %s", strerror(errno));
	close(fd);
}

/* xdp: native; with `into` (and its peer's `into_mac`) past the stack */
static int load_xdp(void)
{
	struct bench_xdp *skel = bench_xdp__open();
	const char *into = text("into", NULL);
	struct bench_redirect to = {};
	struct masq_meta meta;

	if (!skel)
		die("cannot open the XDP program");
	read_meta(&meta);
	skel->rodata->masq_shape_v4 = meta.shape[0];
	memcpy((void *)&skel->rodata->masq_hash_key, meta.hash_key,
	       sizeof(meta.hash_key));
	if (into) {
		to.ifindex = device(into, to.src_mac);
		if (sscanf(need("into_mac"), "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx",
			   &to.dst_mac[0], &to.dst_mac[1], &to.dst_mac[2],
			   &to.dst_mac[3], &to.dst_mac[4], &to.dst_mac[5]) != 6)
			die("into_mac: not a MAC address");
	}
	memcpy((void *)&skel->rodata->to, &to, sizeof(to));
	pinned_map(skel->maps.masq_flows4);
	pinned_map(skel->maps.masq_aside4);
	pinned_map(skel->maps.masq_locks);
	pinned_map(skel->maps.masq_policy);
	pinned_map(skel->maps.masq_active);
	pinned_map(skel->maps.masq_counters);
	if (bench_xdp__load(skel))
		die("cannot load the XDP program");
	return bpf_program__fd(skel->progs.xdp_ingress);
}

static int hook_pinned(void)
{
	unsigned int ifindex;
	int prog, link;

	enter(need("node"));
	ifindex = device(need("dev"), NULL);
	if (!strcmp(need("kind"), "xdp")) {
		prog = load_xdp();
		link = hook(prog, ifindex, BPF_XDP, XDP_FLAGS_DRV_MODE);
	} else {
		prog = bpf_obj_get(need("prog"));
		if (prog < 0)
			die("%s: %s", need("prog"), strerror(errno));
		link = hook(prog, ifindex, TCX_INGRESS, 0);
	}
	if (bpf_obj_pin(link, need("pin")))
		die("%s: %s", need("pin"), strerror(errno));
	return 0;
}

/* --- TCP ------------------------------------------------------------------ */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int tcp_socket(bool blocking)
{
	int one = 1;
	int fd = socket(
		AF_INET,
		SOCK_STREAM | SOCK_CLOEXEC | (blocking ? 0 : SOCK_NONBLOCK), 0);

	if (fd < 0)
		die("socket: %s", strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	return fd;
}

/* In the current namespace. */
static int listen_on(uint16_t port)
{
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons(port) };
	int fd = tcp_socket(false);

	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 4096))
		die("listen: %s", strerror(errno));
	return fd;
}

static int epoll_add(int epoll, int fd, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}

static int connect_to(uint32_t addr, uint16_t port, bool blocking)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(addr) };
	int fd = tcp_socket(blocking);

	if (!connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    errno == EINPROGRESS)
		return fd;
	close(fd);
	return -1;
}

/*
 * One thread does both sides, so that the rate is that of one processor. The
 * client closes first, as most do; who was reset or could not begin failed.
 */
static int tcp_connect(void)
{
	uint32_t dst = address("dst", "11.0.0.1"), dsts = number("dsts", 64);
	uint16_t port = number("dport", 7777);
	unsigned int parallel = number("parallel", 32);
	uint64_t done = 0, failed = 0, begin, end, started = 0;
	struct epoll_event events[64];
	int listener, epoll = epoll_create1(EPOLL_CLOEXEC);
	uint8_t *role =
		calloc(1, 1 << 20); /* by fd: 1 connecting, 2 accepted */

	pin_to_cpu();
	enter(need("server"));
	listener = listen_on(port);
	epoll_add(epoll, listener, EPOLLIN);
	enter(need("client"));
	begin = now_ns();
	end = begin + number("ms", 2000) * 1000000ULL;
	for (unsigned int live = 0; now_ns() < end;) {
		int n, fd;

		for (; live < parallel; live++) {
			fd = connect_to(dst + started++ % dsts, port, false);
			if (fd < 0) {
				failed++;
				break;
			}
			role[fd] = 1;
			epoll_add(epoll, fd, EPOLLOUT);
		}
		n = epoll_wait(epoll, events, 64, 100);
		for (int i = 0; i < n; i++) {
			char c;

			fd = events[i].data.fd;
			if (fd == listener) {
				fd = accept4(listener, NULL, NULL,
					     SOCK_NONBLOCK | SOCK_CLOEXEC);
				if (fd < 0)
					continue;
				role[fd] = 2;
				epoll_add(epoll, fd, EPOLLIN | EPOLLRDHUP);
			} else if (role[fd] == 1) {
				if (events[i].events & (EPOLLERR | EPOLLHUP))
					failed++;
				else
					done++;
				close(fd);
				live--;
			} else if (read(fd, &c, 1) <= 0) {
				close(fd);
			}
		}
	}
	printf("per_s=%.0f done=%lu failed=%lu\n",
	       done * 1e9 / (now_ns() - begin), (unsigned long)done,
	       (unsigned long)failed);
	return 0;
}

static void *echo(void *data)
{
	char buf[65536];
	int listener = *(int *)data, fd = -1;
	struct pollfd wait = { .fd = listener, .events = POLLIN };
	ssize_t n;

	pin_to_cpu();
	if (poll(&wait, 1, 10000) == 1)
		fd = accept(listener, NULL, NULL);
	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, n) != n)
			break;
	return NULL;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int tcp_rr(void)
{
	enum {
		MAX = 1 << 20
	};
	uint32_t *took = calloc(MAX, sizeof(*took)), n = 0;
	size_t size = number("size", 64);
	uint16_t port = number("dport", 7778);
	char buf[65536] = {};
	uint64_t end, t = 0;
	int listener, fd;
	pthread_t server;

	if (size > sizeof(buf))
		die("size: too large");
	enter(need("server"));
	listener = listen_on(port);
	pthread_create(&server, NULL, echo, &listener);
	enter(need("client"));
	pin_to_cpu();
	fd = connect_to(address("dst", "11.0.0.1"), port, true);
	if (fd < 0)
		die("connect: %s", strerror(errno));
	end = now_ns() + number("ms", 1500) * 1000000ULL;
	while (n < MAX && t < end) {
		uint64_t t0 = now_ns();
		size_t got = 0;
		ssize_t r;

		if (write(fd, buf, size) != (ssize_t)size)
			die("write: %s", strerror(errno));
		while (got < size && (r = read(fd, buf + got, size - got)) > 0)
			got += r;
		if (got < size)
			die("read: %s", strerror(errno));
		t = now_ns();
		took[n++] = t - t0;
	}
	close(fd);
	pthread_join(server, NULL);
	qsort(took, n, sizeof(*took), compare);
	printf("p50_us=%.2f p99_us=%.2f rounds=%u\n", took[n / 2] / 1e3,
	       took[n - 1 - n / 100] / 1e3, n);
	return 0;
}

/* --- policy --------------------------------------------------------------- */

/* User and system time of this process. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static int apply(void)
{
	struct instance_options options = {};
	struct policy_change change = {};
	struct instance *instance;
	struct config *config;
	struct policy *policy;
	uint64_t t[5], cpu[5];
	char err[512];

	t[0] = now_ns();
	cpu[0] = cpu_ns();
	if (config_load(need("config"), NULL, &config, err, sizeof(err)))
		die("%s", err);
	t[1] = now_ns();
	cpu[1] = cpu_ns();
	if (instance_open(need("pin_dir"), INSTANCE_WRITE, &options,
			  &instance) ||
	    policy_from_config(instance, config, false, &policy))
		die("no policy");
	t[2] = now_ns();
	cpu[2] = cpu_ns();
	if (policy_apply(instance, policy, &change))
		die("not applied");
	t[3] = now_ns();
	cpu[3] = cpu_ns();
	policy_settle(instance, policy, &change);
	t[4] = now_ns();
	cpu[4] = cpu_ns();
	printf("load_ms=%.1f build_ms=%.1f apply_ms=%.1f load_cpu_ms=%.1f "
	       "build_cpu_ms=%.1f apply_cpu_ms=%.1f settle_ms=%.1f "
	       "settle_cpu_ms=%.1f added=%zu removed=%zu changed=%zu\n",
	       (t[1] - t[0]) / 1e6, (t[2] - t[1]) / 1e6, (t[3] - t[2]) / 1e6,
	       (cpu[1] - cpu[0]) / 1e6, (cpu[2] - cpu[1]) / 1e6,
	       (cpu[3] - cpu[2]) / 1e6, (t[4] - t[3]) / 1e6,
	       (cpu[4] - cpu[3]) / 1e6, change.added, change.removed,
	       change.changed);
	policy_free(policy);
	config_free(config);
	instance_close(instance);
	return 0;
}

static const struct {
	const char *name;
	int (*run)(void);
} commands[] = {
	{ "flood", flood }, { "hook", hook_pinned }, { "connect", tcp_connect },
	{ "rr", tcp_rr },   { "apply", apply },
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

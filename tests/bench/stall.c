// SPDX-License-Identifier: GPL-2.0-only
/*
 * stall.c - do packets wait while a policy is applied? For scripts/bench.sh:
 *
 *   stall POD FAR DST PIN_DIR CONFIG OTHER ROUNDS PACKET_CPU APPLY_CPU
 *
 * One thread sends a small UDP packet every half millisecond from namespace
 * POD to an address at or above DST, and takes it from a socket in namespace
 * FAR; every second one begins a flow, which asks the tries. What counts is
 * the time from when it was due to when it was there, so a thread that was
 * kept from sending counts too. The other thread makes CONFIG and OTHER the
 * running policy in turns, and waits as long as that took before the next:
 * packets due in between are the comparison. Prints one line of KEY=VALUE.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "config/config.h"
#include "plane/instance.h"
#include "policy/apply.h"
#include "policy/policy.h"

#define PERIOD_NS 500000
#define LOST_NS	  1000000000ULL
#define PORT	  7790
#define MANY	  (1 << 20)

enum {
	QUIET,
	APPLYING,
	PHASES,
};

static struct {
	uint32_t *took;
	size_t count, lost;
} seen[PHASES];

static const char *pod, *far;
static uint32_t dst;
static int packet_cpu;
static atomic_int phase, end;

static void __attribute__((noreturn, format(printf, 1, 2)))
die(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	fputs("stall: ", stderr);
	vfprintf(stderr, format, ap);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void pin_to_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("processor %d: %s", cpu, strerror(errno));
}

/* A socket of another network namespace; this thread then is in there. */
static int socket_in(const char *ns)
{
	char path[256];
	int fd, sock;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		die("%s: %s", path, strerror(errno));
	close(fd);
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0)
		die("socket: %s", strerror(errno));
	return sock;
}

/* Sends packet `number` and waits for it; false: it did not come. */
static bool round_trip(int from, int to, uint64_t number, uint64_t due)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(PORT) };
	uint64_t got;

	/* an old flow, a new one, and so on */
	addr.sin_addr.s_addr = htonl(dst + (number & 1 ? number / 2 + 1 : 0));
	if (sendto(from, &number, sizeof(number), 0, (struct sockaddr *)&addr,
		   sizeof(addr)) < 0)
		die("sendto: %s", strerror(errno));
	/* a late one from before is not it */
	do {
		if (recv(to, &got, sizeof(got), 0) < 0)
			return false;
	} while (got != number && now_ns(CLOCK_MONOTONIC) < due + LOST_NS);
	return got == number;
}

static void *packets(void *unused)
{
	struct sched_param first = { .sched_priority = 50 };
	struct sockaddr_in any = { .sin_family = AF_INET,
				   .sin_port = htons(PORT) };
	struct timeval lost = { .tv_sec = 1 };
	int from = socket_in(pod), to = socket_in(far);
	uint64_t due = now_ns(CLOCK_MONOTONIC), number = 0;

	(void)unused;
	if (setsockopt(to, SOL_SOCKET, SO_RCVTIMEO, &lost, sizeof(lost)))
		die("setsockopt: %s", strerror(errno));
	if (bind(to, (struct sockaddr *)&any, sizeof(any)))
		die("bind: %s", strerror(errno));
	pin_to_cpu(packet_cpu);
	/* other work on this machine is not what is measured */
	if (sched_setscheduler(0, SCHED_FIFO, &first))
		die("real-time: %s", strerror(errno));
	while (!end) {
		struct timespec t;
		int before, after;
		bool came;

		due += PERIOD_NS;
		t.tv_sec = due / 1000000000;
		t.tv_nsec = due % 1000000000;
		before = phase;
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t,
				       NULL) == EINTR)
			;
		came = round_trip(from, to, number++, due);
		after = phase;
		/* one that saw both counts as one of the apply */
		before = before == APPLYING || after == APPLYING ? APPLYING
								 : QUIET;
		if (!came)
			seen[before].lost++;
		else if (seen[before].count < MANY)
			seen[before].took[seen[before].count++] =
				now_ns(CLOCK_MONOTONIC) - due;
	}
	return unused;
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void print_seen(const char *name, int which)
{
	uint32_t *took = seen[which].took;
	size_t n = seen[which].count;

	if (!n)
		die("no packet while %s", name);
	qsort(took, n, sizeof(*took), compare);
	printf("%s_p50_us=%.1f %s_p99_us=%.1f %s_p999_us=%.1f %s_max_us=%.1f "
	       "%s_packets=%zu %s_lost=%zu ",
	       name, took[n / 2] / 1e3, name, took[n - 1 - n / 100] / 1e3, name,
	       took[n - 1 - n / 1000] / 1e3, name, took[n - 1] / 1e3, name, n,
	       name, seen[which].lost);
}

static struct policy *read_policy(const struct instance *instance,
				  const char *path)
{
	struct config *config;
	struct policy *policy;
	char err[512];

	if (config_load(path, NULL, &config, err, sizeof(err)))
		die("%s", err);
	if (policy_from_config(instance, config, false, &policy))
		die("no policy");
	config_free(config);
	return policy;
}

int main(int argc, char **argv)
{
	struct instance_options options = {};
	struct instance *instance;
	struct policy *policy[2];
	pthread_t thread;
	int rounds;

	if (argc != 10)
		die("POD FAR DST PIN_DIR CONFIG OTHER ROUNDS PACKET_CPU APPLY_CPU");
	pod = argv[1];
	far = argv[2];
	dst = ntohl(inet_addr(argv[3]));
	if (instance_open(argv[4], INSTANCE_WRITE, &options, &instance))
		return 1;
	for (int i = 0; i < 2; i++)
		policy[i] = read_policy(instance, argv[5 + i]);
	rounds = atoi(argv[7]);
	packet_cpu = atoi(argv[8]);
	pin_to_cpu(atoi(argv[9]));
	for (int i = 0; i < PHASES; i++)
		seen[i].took = calloc(MANY, sizeof(uint32_t));
	if (pthread_create(&thread, NULL, packets, NULL))
		die("no thread");
	for (int i = 0; i < rounds; i++) {
		uint64_t start = now_ns(CLOCK_MONOTONIC);
		uint64_t cpu = now_ns(CLOCK_THREAD_CPUTIME_ID), took, pause;
		struct policy_change change;

		phase = APPLYING;
		if (policy_apply(instance, policy[i & 1], &change))
			die("not applied");
		took = now_ns(CLOCK_MONOTONIC) - start;
		cpu = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
		policy_settle(instance, policy[i & 1], &change);
		phase = QUIET;
		pause = now_ns(CLOCK_MONOTONIC) - start;
		fprintf(stderr,
			"stall: +%zu -%zu ~%zu: %.1f ms (%.1f ms processor)\n",
			change.added, change.removed, change.changed,
			took / 1e6, cpu / 1e6);
		usleep(pause / 1000);
	}
	end = 1;
	pthread_join(thread, NULL);
	print_seen("quiet", QUIET);
	print_seen("applying", APPLYING);
	putchar('\n');
	return 0;
}

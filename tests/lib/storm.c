// SPDX-License-Identifier: GPL-2.0-only
/* storm.c - see storm.h. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "rows.h"
#include "storm.h"

volatile bool storm_over;

/* Packets and requests of each side, so that a storm waits for both. */
static volatile unsigned long moves[2];
static __thread unsigned int own_side;

double storm_seconds(double usual)
{
	const char *text = getenv("MASQ_RACE_SECONDS");

	return text ? atof(text) : usual;
}

unsigned long storm_count(const char *variable, unsigned long usual)
{
	const char *text = getenv(variable);

	return text ? strtoul(text, NULL, 10) : usual;
}

/* An abort in a thread ends the test with its reason; cmocka's longjmp would
 * not leave it. */
static void __attribute__((noreturn)) give_up(const char *what, int error)
{
	fprintf(stderr, "%s: test run: %s\n", what, strerror(error));
	abort();
}

static int program(struct prog_lab *lab, const char *name)
{
	return bpf_program__fd(
		bpf_object__find_program_by_name(lab->obj, name));
}

int storm_send(struct prog_lab *lab, enum storm_hook hook, const uint8_t *frame,
	       size_t length, uint8_t *out)
{
	static __thread struct bpf_object *of;
	static __thread int egress, ingress;
	struct __sk_buff ctx = {
		.ifindex = lab->up,
		.ingress_ifindex = hook == STORM_EGRESS ? lab->pod : 0,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = length, .data_out = out,
		    .data_size_out = PACKET_MAX, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);
	int ret;

	if (of != lab->obj) {
		of = lab->obj;
		egress = program(lab, "masq_egress");
		ingress = program(lab, "masq_ingress");
	}
	ret = bpf_prog_test_run_opts(hook == STORM_INGRESS ? ingress : egress,
				     &opts);
	if (ret)
		give_up("packet", -ret);
	moves[own_side]++;
	return (int)opts.retval;
}

int storm_ctl(struct prog_lab *lab, struct masq_ctl *request)
{
	uint8_t data[MASQ_CTL_OFFSET + sizeof(*request)] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data,
		    .data_size_in = sizeof(data), .data_out = data,
		    .data_size_out = sizeof(data), .repeat = 1);
	int ret;

	data[12] = MASQ_CTL_ETHERTYPE >> 8;
	data[13] = MASQ_CTL_ETHERTYPE & 0xff;
	memcpy(data + MASQ_CTL_OFFSET, request, sizeof(*request));
	ret = bpf_prog_test_run_opts(program(lab, "masq_ctl"), &opts);
	if (ret)
		give_up("masq_ctl", -ret);
	moves[own_side]++;
	memcpy(request, data + MASQ_CTL_OFFSET, sizeof(*request));
	return request->error;
}

struct masq_ctl storm_request(unsigned int op, const char *in, uint16_t in_port,
			      const char *rem, uint16_t rem_port, uint8_t proto)
{
	bool v6 = strchr(in, ':');
	struct masq_ctl ctl = {
		.op = op,
		.family = v6 ? 6 : 4,
		.proto = proto,
		.in_port = htons(in_port),
		.rem_port = htons(rem_port),
	};

	inet_pton(v6 ? AF_INET6 : AF_INET, in, ctl.in_addr);
	inet_pton(v6 ? AF_INET6 : AF_INET, rem, ctl.rem_addr);
	return ctl;
}

#define STORM_PATIENCE 3000 /* times 10 ms */

struct side {
	void (*run)(void *);
	void *arg;
	int cpu;
	unsigned int number;
};

static void *on_its_processor(void *arg)
{
	struct side *side = arg;
	cpu_set_t set;

	own_side = side->number;
	CPU_ZERO(&set);
	CPU_SET(side->cpu, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
	side->run(side->arg);
	return NULL;
}

void storm_both(double seconds, void (*one)(void *), void (*two)(void *),
		void *arg)
{
	int cpus = (int)sysconf(_SC_NPROCESSORS_ONLN);
	struct side sides[2] = { { one, arg, 0, 0 },
				 { two, arg, cpus > 1, 1 } };
	struct timespec rest = {
		.tv_sec = (time_t)seconds,
		.tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9),
	};
	pthread_t threads[2];

	storm_over = false;
	moves[0] = moves[1] = 0;
	for (int i = 0; i < 2; i++)
		if (pthread_create(&threads[i], NULL, on_its_processor,
				   &sides[i]))
			fail_msg("no thread");
	if (seconds > 0) {
		nanosleep(&rest, NULL);
		/* on a busy machine one of them may not have had a turn */
		for (int i = 0; i < STORM_PATIENCE && !(moves[0] && moves[1]);
		     i++)
			usleep(10000);
		storm_over = true;
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	if (!moves[0] || !moves[1])
		fail_msg("one of the two sides had no turn");
}

uint32_t storm_draw(uint32_t *seed)
{
	*seed ^= *seed << 13;
	*seed ^= *seed >> 17;
	*seed ^= *seed << 5;
	return *seed;
}

#define SAME_KEY(f, in, rem)                                                   \
	((f)->what && !memcmp((f)->in_addr, in, sizeof((f)->in_addr)) &&       \
	 !memcmp((f)->rem_addr, rem, sizeof((f)->rem_addr)) &&                 \
	 (f)->in_port == htons(in_port) && (f)->rem_port == htons(rem_port) && \
	 (f)->proto == proto && !((f)->what & MASQ_W_ROLE))

long storm_slot(struct prog_lab *lab, const char *in, uint16_t in_port,
		const char *rem, uint16_t rem_port, uint8_t proto)
{
	struct masq_ctl key =
		storm_request(0, in, in_port, rem, rem_port, proto);

	for (unsigned int n = 0; n < lab->pages * MASQ_PAGE_SLOTS; n++) {
		unsigned int page = n / MASQ_PAGE_SLOTS,
			     at = n % MASQ_PAGE_SLOTS;

		if (key.family == 4 ? SAME_KEY(&lab->flows4[page].slot[at],
					       key.in_addr, key.rem_addr)
				    : SAME_KEY(&lab->flows6[page].slot[at],
					       key.in_addr, key.rem_addr))
			return n;
	}
	return -1;
}

void storm_expect_calm(struct prog_lab *lab, const char *file, int line)
{
	unsigned int elsewhere = 0, left;

	prog_age(lab, 86400);
	for (unsigned int i = 0; i < 2 * (lab->pages / 256 + 1); i++) {
		struct masq_ctl ctl = { .op = MASQ_CTL_RECLAIM, .count = 256 };

		storm_ctl(lab, &ctl);
	}
	for (unsigned int i = 0; i < lab->pages; i++)
		elsewhere += lab->flows4[i].label.elsewhere +
			     lab->flows6[i].label.elsewhere;
	left = prog_records(lab);
	if (left || elsewhere) {
		print_error("all has expired, yet %u records are left and %u "
			    "are said to lie elsewhere\n",
			    left, elsewhere);
		_fail(file, line);
	}
	prog_expect_totals(lab, file, line);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_stress.c - many flows: both processors making, ending and using again
 * what is in a table of 64, of 4,096 and of the default size, until a walk has
 * to agree with every total; and the load that the contract calls ordinary, of
 * which nothing may fail. By counts, not by time; scripts/torture.sh asks for
 * all of it, the test command for a part:
 *
 *   MASQ_STRESS_EVENTS  flows made and ended, per table
 *   MASQ_LOAD_SCALE     1: the contract's rates and the default maxFlows; n:
 *                       an n-th of both
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "rows.h"
#include "storm.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp

static struct prog_lab *lab;

/* Addresses of a family, and where a frame has them. */
static const struct family {
	const char *pod, *node, *far, *kept;
	unsigned int src, dst, size, port;
} families[] = {
	{ POD4, NODE4, FAR4, KEPT4, 26, 30, 4, 34 },
	{ POD6, NODE6, FAR6, KEPT6, 22, 38, 16, 54 },
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_port(uint8_t *at, uint32_t port)
{
	at[0] = port >> 8;
	at[1] = port & 0xff;
}

/* --- claims, ends and reuses ------------------------------------------------ */

/* Frames of every shape, of which only ports and the pod's last byte change. */
struct shape {
	enum storm_hook hook;
	bool to_pod; /* in: the inside is the destination */
	bool translated; /* the inside is the node's address */
	const struct family *fam;
	uint8_t frame[PACKET_MAX];
	size_t length;
};

#define SHAPES 64
static struct shape shapes[SHAPES];
static unsigned int n_shapes;

static void add_shape(const struct family *fam, enum storm_hook hook,
		      bool translated, const char *src, const char *dst,
		      uint8_t proto, uint8_t flags)
{
	struct shape *s = &shapes[n_shapes++];

	assert_true(n_shapes <= SHAPES);
	s->hook = hook;
	s->to_pod = hook == STORM_INGRESS;
	s->translated = translated;
	s->fam = fam;
	s->length = packet_build(PKT(.proto = proto, OUT(src, 53, dst, 53),
				     .flags = flags),
				 s->frame);
}

static void make_shapes(void)
{
	/* openers twice: they make flows, and end closed ones */
	static const uint8_t flags[] = { SYN, SYN, SYN, RST, FIN | ACK };
	static const uint8_t back[] = { SYN | ACK, RST };

	n_shapes = 0;
	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];

		for (size_t k = 0; k < ROWS(flags); k++) {
			add_shape(f, STORM_EGRESS, false, f->pod, f->far,
				  IPPROTO_TCP, flags[k]);
			add_shape(f, STORM_EGRESS, false, f->pod, f->kept,
				  IPPROTO_TCP, flags[k]);
		}
		add_shape(f, STORM_EGRESS, false, f->pod, f->far, IPPROTO_UDP,
			  0);
		add_shape(f, STORM_EGRESS, false, f->pod, f->kept, IPPROTO_UDP,
			  0);
		for (size_t k = 0; k < ROWS(back); k++) {
			add_shape(f, STORM_INGRESS, true, f->far, f->node,
				  IPPROTO_TCP, back[k]);
			add_shape(f, STORM_INGRESS, false, f->kept, f->pod,
				  IPPROTO_TCP, back[k]);
		}
		add_shape(f, STORM_INGRESS, false, f->far, f->pod, IPPROTO_TCP,
			  SYN);
		add_shape(f, STORM_INGRESS, false, f->far, f->pod, IPPROTO_UDP,
			  0);
		add_shape(f, STORM_INGRESS, true, f->far, f->node, IPPROTO_UDP,
			  0);
	}
}

struct churn {
	uint32_t seed[2];
	uint32_t ports; /* that the pods use: 10240 and more */
	unsigned long events; /* to be made */
	unsigned long packets[2];
};

/* Flows made in all, of the prefixes' counters; inbound ones come on top. */
static unsigned long flows_made(void)
{
	unsigned long sum = 0;

	for (uint32_t slot = 0; slot < 4; slot++)
		sum += prog_prefix(lab, slot).flows;
	return sum;
}

static void churn_side(struct churn *c, int side)
{
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	uint32_t *seed = &c->seed[side];

	while (!storm_over) {
		const struct shape *s = &shapes[storm_draw(seed) % n_shapes];
		/* every eighth packet meets the other side's in a few keys */
		uint32_t r = storm_draw(seed);
		bool few = !(r & 7);
		uint32_t port =
			10240 + (few ? r >> 8 & 7 : (r >> 8) % c->ports);
		uint8_t pod = 15 + (r >> 3 & (few ? 1 : 7));
		unsigned int at = s->fam->port + 2 * s->to_pod;

		memcpy(frame, s->frame, s->length);
		put_port(frame + at, port);
		if (!s->translated)
			frame[(s->to_pod ? s->fam->dst : s->fam->src) +
			      s->fam->size - 1] = pod;
		storm_send(lab, s->hook, frame, s->length, out);
		/* each that is made ends too, sooner or later */
		if (!(++c->packets[side] & 0xfff) &&
		    2 * flows_made() >= c->events)
			storm_over = true;
	}
}

static void churn_one(void *arg)
{
	churn_side(arg, 0);
}

static void churn_two(void *arg)
{
	churn_side(arg, 1);
}

static void churn(unsigned int flows)
{
	struct churn c = {
		.seed = { 1, 2 },
		.ports = flows / 4 > 50000 ? 50000 : flows / 4,
		.events = storm_count("MASQ_STRESS_EVENTS", 400000),
	};
	double start = now();
	uint64_t reclaimed;

	make_shapes();
	storm_both(0, churn_one, churn_two, &c);
	EXPECT_TOTALS();
	reclaimed = prog_stat(lab, MASQ_S_RECLAIMED);
	printf("# %u flows: %lu packets made and ended %lu flows (%lu for "
	       "others' sake, %lu expired) in %.0f s\n",
	       flows, c.packets[0] + c.packets[1], flows_made(),
	       (unsigned long)reclaimed,
	       (unsigned long)prog_stat(lab, MASQ_S_EXPIRED), now() - start);
	EXPECT_CALM();
}

static void a_table_of_64(void **state)
{
	(void)state;
	churn(64);
}

static void a_table_of_4096(void **state)
{
	(void)state;
	churn(4096);
}

static void a_table_of_the_default_size(void **state)
{
	(void)state;
	churn(MASQ_DEFAULT_MAX_FLOWS);
}

/* --- ordinary load ---------------------------------------------------------- */

#define MINUTES	    10
#define CONNECTIONS 2000 /* a second */
#define QUERIES	    5000
#define FAR_SIDES   16
#define RESOLVERS   2
#define STEP	    4 /* ticks that pass at once */

struct load {
	uint32_t seed;
	unsigned long packets, failed;
	char first[160]; /* failure */
};

enum treatment {
	MASQUERADED,
	KEPT,
	INBOUND,
	MIXED,
};

/* One exchange of packets between the pod and a far side. */
struct talk {
	enum treatment treatment;
	uint8_t proto;
	uint16_t pod_port, far_port;
	uint8_t far; /* last byte of its address */
	uint16_t seen_port; /* the pod's, as the far side has it */
};

static uint8_t talk_out[2][PACKET_MAX], talk_in[2][2][PACKET_MAX];
static size_t talk_length[2];

/* Templates: IPv4, by protocol; in: to the pod, to the node. */
static void make_talk(void)
{
	for (int udp = 0; udp < 2; udp++) {
		uint8_t proto = udp ? IPPROTO_UDP : IPPROTO_TCP;

		talk_length[udp] =
			packet_build(PKT(.proto = proto, OUT(POD4, 1, FAR4, 1)),
				     talk_out[udp]);
		packet_build(PKT(.proto = proto, OUT(FAR4, 1, POD4, 1)),
			     talk_in[udp][0]);
		packet_build(PKT(.proto = proto, OUT(FAR4, 1, NODE4, 1)),
			     talk_in[udp][1]);
	}
}

static void failed(struct load *l, const struct talk *t, const char *what)
{
	if (!l->failed++)
		snprintf(l->first, sizeof(l->first),
			 "%s, treatment %d, %s, pod's port %u, far port %u, "
			 "packet %lu",
			 what, t->treatment, t->proto == 6 ? "TCP" : "UDP",
			 t->pod_port, t->far_port, l->packets);
}

static const uint8_t kept_side[4] = { 172, 30, 12, 0 },
		     far_net[4] = { 198, 51, 100, 0 };

static void say(struct load *l, struct talk *t, bool from_pod, uint8_t flags)
{
	bool udp = t->proto == IPPROTO_UDP, xlat = t->treatment == MASQUERADED;
	uint8_t frame[PACKET_MAX], out[PACKET_MAX];
	size_t length = talk_length[udp];

	l->packets++;
	memcpy(frame, from_pod ? talk_out[udp] : talk_in[udp][xlat], length);
	memcpy(frame + (from_pod ? 30 : 26),
	       t->treatment == KEPT ? kept_side : far_net, 3);
	frame[from_pod ? 33 : 29] = t->far;
	put_port(frame + (from_pod ? 36 : 34), t->far_port);
	put_port(frame + (from_pod ? 34 : 36),
		 from_pod || !xlat ? t->pod_port : t->seen_port);
	if (!udp)
		frame[47] = flags;
	if (storm_send(lab, from_pod ? STORM_EGRESS : STORM_INGRESS, frame,
		       length, out) != NEXT) {
		failed(l, t, "dropped");
		return;
	}
	if (!xlat) {
		if (memcmp(frame, out, length))
			failed(l, t, "changed");
		return;
	}
	if (!from_pod) {
		if (memcmp(out + 30, talk_out[udp] + 26, 4) ||
		    memcmp(out + 36, &(uint16_t){ htons(t->pod_port) }, 2))
			failed(l, t, "not delivered");
		return;
	}
	if (memcmp(out + 26, talk_in[udp][1] + 30, 4))
		failed(l, t, "untranslated");
	t->seen_port = out[34] << 8 | out[35];
}

/* As Linux chooses them. */
static uint16_t some_port(struct load *l)
{
	return 32768 + storm_draw(&l->seed) % (61000 - 32768);
}

static enum treatment one_of(struct load *l, enum treatment t)
{
	return t == MIXED ? storm_draw(&l->seed) % 3 : t;
}

static void connection(struct load *l, enum treatment treatment)
{
	struct talk t = { one_of(l, treatment),
			  IPPROTO_TCP,
			  some_port(l),
			  443,
			  1 + storm_draw(&l->seed) % FAR_SIDES,
			  0 };
	bool pod = t.treatment != INBOUND; /* who opens it */

	if (!pod) {
		t.far_port = t.pod_port;
		t.pod_port = 80;
	}
	say(l, &t, pod, SYN);
	say(l, &t, !pod, SYN | ACK);
	say(l, &t, pod, ACK);
	say(l, &t, pod, FIN | ACK);
	say(l, &t, !pod, FIN | ACK);
	say(l, &t, pod, ACK);
}

static void query(struct load *l, enum treatment treatment)
{
	struct talk t = { one_of(l, treatment),
			  IPPROTO_UDP,
			  some_port(l),
			  53,
			  53 + storm_draw(&l->seed) % RESOLVERS,
			  0 };
	bool pod = t.treatment != INBOUND;

	if (!pod) {
		t.far_port = t.pod_port;
		t.pod_port = 53;
	}
	say(l, &t, pod, 0);
	say(l, &t, !pod, 0);
}

static uint32_t ticks_now(void)
{
	struct masq_ctl ctl = { .op = MASQ_CTL_CLOCK };

	storm_ctl(lab, &ctl);
	return ctl.jiffies >> MASQ_TICK_SHIFT;
}

/*
 * Ten minutes' worth, a step at a time: what comes in a step, and then as many
 * ticks as are missing until it is over.
 */
static void load(enum treatment treatment)
{
	unsigned long scale = storm_count("MASQ_LOAD_SCALE", 32);
	uint32_t a_second = prog_ticks(lab, 1000), start = ticks_now();
	uint32_t aged = 0, steps = MINUTES * 60 * a_second / 1000 / STEP;
	unsigned long late = 0, opened = 0, asked = 0;
	double began = now();
	struct load l = { .seed = 99 };

	make_talk();
	for (uint32_t step = 1; step <= steps; step++) {
		unsigned long c = (unsigned long)step * STEP * 1000 *
				  CONNECTIONS / a_second / scale;
		unsigned long q = (unsigned long)step * STEP * 1000 * QUERIES /
				  a_second / scale;
		uint32_t passed;

		while (opened < c || asked < q) {
			if (opened < c) {
				connection(&l, treatment);
				opened++;
			}
			for (int i = 0; i < 3 && asked < q; i++, asked++)
				query(&l, treatment);
		}
		passed = ticks_now() - start + aged;
		if (passed < step * STEP) {
			prog_age_ticks(lab, step * STEP - passed);
			aged += step * STEP - passed;
		} else if (passed > step * STEP) {
			late++;
		}
	}
	printf("# treatment %d: %lu connections and %lu queries, %lu packets, "
	       "in %.0f s; %lu steps of %u late; %u records at the end, %lu "
	       "made way\n",
	       treatment, opened, asked, l.packets, now() - began, late, steps,
	       prog_records(lab),
	       (unsigned long)prog_stat(lab, MASQ_S_RECLAIMED));
	for (uint32_t i = MASQ_R_NO_FLOW; i < MASQ_R_MAX && l.failed; i++)
		if (prog_stat(lab, i))
			printf("# reason %u: %lu\n", i,
			       (unsigned long)prog_stat(lab, i));
	if (l.failed)
		fail_msg("%lu of %lu packets failed; the first: %s", l.failed,
			 l.packets, l.first);
	assert_int_equal(REASON(KEEP_UNTRACKED), 0);
	assert_int_equal(REASON(INBOUND_UNTRACKED), 0);
	EXPECT_TOTALS();
	EXPECT_CALM();
}

static void ordinary_load_masqueraded(void **state)
{
	(void)state;
	load(MASQUERADED);
}

static void ordinary_load_kept(void **state)
{
	(void)state;
	load(KEPT);
}

static void ordinary_load_inbound(void **state)
{
	(void)state;
	load(INBOUND);
}

static void ordinary_load_mixed(void **state)
{
	(void)state;
	load(MIXED);
}

static int up(void **state)
{
	int ret = prog_lab_up(state);

	lab = *state;
	return ret;
}

#define ROW(f) cmocka_unit_test_setup(f, prog_lab_reset)

int main(int argc, char **argv)
{
	const struct CMUnitTest small[] = { ROW(a_table_of_64) };
	const struct CMUnitTest middle[] = { ROW(a_table_of_4096) };
	const struct CMUnitTest big[] = { ROW(a_table_of_the_default_size) };
	const struct CMUnitTest ordinary[] = {
		ROW(ordinary_load_masqueraded),
		ROW(ordinary_load_kept),
		ROW(ordinary_load_inbound),
		ROW(ordinary_load_mixed),
	};
	int bad;

	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	prog_max_flows = 64;
	bad = cmocka_run_group_tests(small, up, prog_lab_down);
	prog_max_flows = 4096;
	bad += cmocka_run_group_tests(middle, up, prog_lab_down);
	prog_max_flows = MASQ_DEFAULT_MAX_FLOWS;
	bad += cmocka_run_group_tests(big, up, prog_lab_down);
	prog_max_flows =
		MASQ_DEFAULT_MAX_FLOWS / storm_count("MASQ_LOAD_SCALE", 32);
	return bad + cmocka_run_group_tests(ordinary, up, prog_lab_down);
}

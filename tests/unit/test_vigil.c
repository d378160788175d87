// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_vigil.c - what the guard makes of traffic, by simulated time: the
 * incident, and days of ordinary traffic of many kinds with a change in every
 * window, none of which is to be turned back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <cmocka.h>
#include "policy/vigil.h"

/* --- a world ----------------------------------------------------------- */

#define CHANGE 1000000 /* ms; the change */
#define END    (CHANGE + VIGIL_WINDOW_MS)
#define FLOWS  4096

struct sim {
	struct vigil *v;
	struct vigil_flow flows[FLOWS];
	int count;
	uint64_t now;
	/* does the far side answer the node's question? -1: it may not ask */
	int (*probe)(const struct sim *sim, const struct addr *dest);
	enum vigil_verdict worst;
	uint64_t proven_ms;
};

static struct addr ip(const char *text)
{
	struct addr a = { .family = strchr(text, ':') ? 6 : 4 };

	inet_pton(a.family == 4 ? AF_INET : AF_INET6, text, a.a);
	return a;
}

static struct addr ip4(uint32_t host)
{
	return (struct addr){ 4, { htonl(host) } };
}

static struct addr pod(int n)
{
	return ip4(0x0a2c0e00 + n); /* 10.44.14.n */
}

static struct addr far(int net, int n)
{
	return ip4(0xac1e0000 + net * 256 + n); /* 172.30.net.n */
}

static void begin(struct sim *sim, bool first)
{
	memset(sim, 0, sizeof(*sim));
	sim->v = vigil_new(CHANGE, END, first);
	assert_non_null(sim->v);
}

static void end(struct sim *sim)
{
	vigil_free(sim->v);
}

static struct vigil_flow *flow(struct sim *sim, struct addr from,
			       struct addr to, uint16_t port, uint64_t begun)
{
	struct vigil_flow *f = &sim->flows[sim->count];

	assert_true(sim->count < FLOWS);
	*f = (struct vigil_flow){ .pod = from,
				  .dest = to,
				  .pod_port = 20000 + sim->count,
				  .port = port,
				  .proto = IPPROTO_TCP,
				  .trusted = true,
				  .begun_ms = begun };
	sim->count++;
	return f;
}

/* One of before: answered then; in use: answered at every look, too. */
static struct vigil_flow *old(struct sim *sim, struct addr from, struct addr to,
			      uint16_t port)
{
	struct vigil_flow *f = flow(sim, from, to, port, CHANGE - 60000);

	f->replied = true;
	f->answers = 100;
	assert_int_equal(vigil_before(sim->v, f), 0);
	return f;
}

static struct vigil_flow *new (struct sim *sim, struct addr from,
			       struct addr to, uint16_t port, uint64_t begun)
{
	struct vigil_flow *f = flow(sim, from, to, port, begun);

	f->after = true;
	return f;
}

/* A look, and the node's questions with what comes of them. */
static enum vigil_verdict look(struct sim *sim, uint64_t now)
{
	enum vigil_verdict verdict;
	struct vigil_service *s;

	sim->now = now;
	vigil_look(sim->v, now);
	for (int i = 0; i < sim->count; i++)
		if (sim->flows[i].begun_ms <= now)
			assert_int_equal(vigil_see(sim->v, &sim->flows[i]), 0);
	verdict = vigil_judge(sim->v);
	while (sim->probe && (s = vigil_probe(sim->v)))
		vigil_probed(sim->v, &s->dest, s->port,
			     sim->probe(sim, &s->dest) > 0 ? VIGIL_ANSWERED
							   : VIGIL_SILENT);
	if (verdict > sim->worst)
		sim->worst = verdict;
	if (verdict == VIGIL_PROVEN && !sim->proven_ms)
		sim->proven_ms = now;
	return verdict;
}

static enum vigil_verdict window(struct sim *sim)
{
	enum vigil_verdict verdict = VIGIL_QUIET;

	for (uint64_t t = CHANGE + 2000; t <= END; t += 2000)
		verdict = look(sim, t);
	return verdict;
}

/* In use until `until`: the far side's answers count up. */
static void window_alive(struct sim *sim, int alive, uint64_t until)
{
	for (uint64_t t = CHANGE + 2000; t <= END; t += 2000) {
		for (int i = 0; i < alive && t <= until; i++)
			sim->flows[i].answers += 10;
		look(sim, t);
	}
}

static int answers(const struct sim *sim, const struct addr *dest)
{
	(void)sim;
	(void)dest;
	return 1;
}

static int is_down(const struct sim *sim, const struct addr *dest)
{
	(void)sim;
	(void)dest;
	return 0;
}

/* --- the incident ------------------------------------------------------ */

/* Three attempts of each of two pods, two seconds apart. */
static void hang(struct sim *sim, struct addr to, bool probe)
{
	for (int p = 1; p <= 2; p++)
		for (int i = 0; i < 3; i++)
			new (sim, pod(p), to, 443, CHANGE + 1000 + 2000 * i)
				->old_probe = probe;
}

static void test_incident(void **state)
{
	struct sim sim;

	(void)state;
	/* connections that are in use */
	begin(&sim, false);
	old(&sim, pod(1), far(12, 110), 443);
	old(&sim, pod(2), far(12, 110), 443);
	hang(&sim, far(12, 110), false);
	window_alive(&sim, 2, END);
	assert_int_equal(sim.worst, VIGIL_PROVEN);
	assert_true(sim.proven_ms - CHANGE <= 15000);
	end(&sim);
	/* idle ones, or none that is left: the node is answered */
	begin(&sim, false);
	old(&sim, pod(3), far(12, 110), 443);
	hang(&sim, far(12, 110), true);
	sim.probe = answers;
	window(&sim);
	assert_int_equal(sim.worst, VIGIL_PROVEN);
	assert_true(sim.proven_ms - CHANGE <= 15000);
	end(&sim);
	/* IPv6, of a /64 */
	begin(&sim, false);
	old(&sim, ip("fd00:44::1"), ip("2001:db8:30::110"), 443);
	old(&sim, ip("fd00:44::1"), ip("2001:db8:30::1:111"), 443);
	for (int i = 0; i < 3; i++) {
		new (&sim, ip("fd00:44::1"), ip("2001:db8:30::110"), 443,
		     CHANGE + 1000);
		new (&sim, ip("fd00:44::2"), ip("2001:db8:30::1:111"), 443,
		     CHANGE + 1000);
	}
	window_alive(&sim, 2, END);
	assert_int_equal(sim.worst, VIGIL_PROVEN);
	assert_int_equal(sim.v->broken, 1);
	end(&sim);
}

/* Nothing but the third attempt, of two seconds, makes it broken. */
static void test_thresholds(void **state)
{
	struct sim sim;

	(void)state;
	begin(&sim, false);
	old(&sim, pod(1), far(12, 110), 443);
	for (int i = 0; i < 2; i++)
		new (&sim, pod(1), far(12, 110), 443, CHANGE + 1000);
	window(&sim);
	assert_int_equal(sim.worst, VIGIL_QUIET);
	new (&sim, pod(1), far(12, 110), 443, END - 1000);
	assert_int_equal(look(&sim, END + 500), VIGIL_QUIET);
	assert_int_equal(look(&sim, END + 1000), VIGIL_BROKEN);
	/* an answer ends it, at whatever time */
	new (&sim, pod(1), far(12, 7), 80, END + 1500)->replied = true;
	assert_int_equal(look(&sim, END + 2000), VIGIL_QUIET);
	end(&sim);
	/* one that begins after the window is nobody's evidence */
	begin(&sim, false);
	old(&sim, pod(1), far(12, 110), 443);
	for (int i = 0; i < 3; i++)
		new (&sim, pod(1), far(12, 110), 443, END + 1);
	assert_int_equal(look(&sim, END + 4000), VIGIL_QUIET);
	end(&sim);
	/* what has gone from the table has hung all the same */
	begin(&sim, false);
	old(&sim, pod(1), far(12, 110), 443);
	for (int i = 0; i < 3; i++)
		new (&sim, pod(1), far(12, 110), 443, CHANGE + 1000);
	assert_int_equal(look(&sim, CHANGE + 5000), VIGIL_BROKEN);
	sim.count = 1;
	assert_int_equal(look(&sim, CHANGE + 7000), VIGIL_BROKEN);
	end(&sim);
}

/* A host that answers says nothing about the next network, only its own. */
static void test_networks(void **state)
{
	struct sim sim;

	(void)state;
	begin(&sim, false);
	for (int net = 12; net <= 13; net++) {
		old(&sim, pod(1), far(net, 110), 443);
		hang(&sim, far(net, 110), false);
	}
	new (&sim, pod(1), far(13, 7), 443, CHANGE + 1000)->replied = true;
	window(&sim);
	assert_int_equal(sim.v->broken, 1);
	end(&sim);
}

/* --- what is not to be turned back -------------------------------------- */

/* Silent before: nobody can say that the change has done it. */
static void silent_before(struct sim *sim)
{
	struct vigil_flow *f = flow(sim, pod(1), far(12, 110), 443, CHANGE - 9);

	assert_int_equal(vigil_before(sim->v, f), 0); /* never answered */
	hang(sim, far(12, 110), true);
	sim->probe = answers;
	window(sim);
}

static void port_scan(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	for (int p = 1; p <= 3; p++)
		for (int port = 1; port < 300; port++)
			if (port != 443)
				new (sim, pod(p), far(12, 110), port,
				     CHANGE + 100 * port);
	window_alive(sim, 1, END);
}

/* Of the same port, over addresses that nobody has; until it meets the one. */
static void address_scan(struct sim *sim)
{
	for (int i = 1; i <= 5; i++)
		old(sim, pod(i), far(12, 200 + i), 443);
	for (int p = 1; p <= 2; p++)
		for (int n = 1; n < 200; n++)
			new (sim, pod(p), far(12, n), 443, CHANGE + 300 * n);
	sim->probe = answers;
	window_alive(sim, 5, END);
}

/* Many talk to many; one is dead, and all that want it hang there. */
static void dead_database(struct sim *sim)
{
	for (int n = 1; n <= 20; n++)
		for (int p = 1; p <= 3; p++)
			old(sim, pod(p), far(12, n), 5432);
	for (int p = 1; p <= 5; p++)
		for (int i = 0; i < 10; i++)
			new (sim, pod(p), far(12, 7), 5432,
			     CHANGE + 1000 + 2000 * i)
				->old_probe = true;
	sim->probe = is_down;
	for (uint64_t t = CHANGE + 2000; t <= END; t += 2000) {
		for (int i = 0; i < 60; i++)
			if (!addr_equal(&sim->flows[i].dest,
					&(struct addr){ 4,
							{ far(12, 7).a[0] } }))
				sim->flows[i].answers += 3;
		look(sim, t);
	}
}

static void new_deployment(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod(2), far(12, 110), 443);
	/* not up yet: their peers of another port do not answer */
	for (int p = 10; p < 20; p++)
		for (int i = 0; i < 10; i++)
			new (sim, pod(p), far(12, 50 + p), 8080,
			     CHANGE + 3000 * i);
	window_alive(sim, 2, END);
}

static void goes_down_with_it(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod(2), far(12, 110), 443);
	hang(sim, far(12, 110), true);
	sim->probe = is_down;
	window(sim);
}

/* Its last answers come after the change. */
static void goes_down_later(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod(2), far(12, 110), 443);
	for (int p = 1; p <= 2; p++)
		for (int i = 0; i < 5; i++)
			new (sim, pod(p), far(12, 110), 443,
			     CHANGE + 5000 + 2000 * i);
	window_alive(sim, 2, CHANGE + 4000);
}

/* What is connected lives, but nobody new is let in: nor is the node. */
static void overloaded(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod(2), far(12, 110), 443);
	hang(sim, far(12, 110), true);
	sim->probe = is_down;
	window_alive(sim, 2, END);
}

/* As many destinations, networks and attempts as it likes. */
static void one_pod_with_friends(struct sim *sim)
{
	for (int net = 1; net <= 8; net++)
		for (int n = 1; n <= 4; n++)
			old(sim, pod(1), far(net, n), 443);
	for (int net = 1; net <= 8; net++)
		for (int n = 1; n <= 4; n++)
			for (int i = 0; i < 5; i++)
				new (sim, pod(1), far(net, n), 443,
				     CHANGE + 1000 * i)
					->old_probe = true;
	sim->probe = answers;
	window_alive(sim, 32, END);
}

/* And by both its addresses. */
static void one_pod_of_both_families(struct sim *sim)
{
	const struct addr pod6 = ip("fd00:44::15"), far6 = ip("2001:db8::1");

	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod6, far6, 443);
	for (int i = 0; i < 5; i++) {
		new (sim, pod(1), far(12, 110), 443, CHANGE + 1000 * i)
			->old_probe = true;
		new (sim, pod6, far6, 443, CHANGE + 1000 * i)->old_probe = true;
	}
	sim->probe = answers;
	window_alive(sim, 2, END);
}

/* One that pretends to be many: their packets come by its interface. */
static void one_pod_that_forges(struct sim *sim)
{
	for (int p = 1; p <= 9; p++)
		old(sim, pod(p), far(12, 110), 443);
	for (int p = 1; p <= 9; p++)
		for (int i = 0; i < 5; i++)
			new (sim, pod(p), far(12, 110), 443, CHANGE + 1000 * i)
				->trusted = p == 1;
	window_alive(sim, 9, END);
}

/* One hangs at what it can make hang, another at what is really dead. */
static void one_pod_and_bad_luck(struct sim *sim)
{
	for (int p = 1; p <= 2; p++)
		for (int n = 1; n <= 2; n++)
			old(sim, pod(p), far(12, n), 443);
	for (int i = 0; i < 5; i++) {
		new (sim, pod(1), far(12, 1), 443, CHANGE + 1000 * i);
		new (sim, pod(2), far(12, 2), 443, CHANGE + 1000 * i);
	}
	for (uint64_t t = CHANGE + 2000; t <= END; t += 2000) {
		for (int i = 0; i < 4; i++)
			if (sim->flows[i].dest.a[0] == far(12, 1).a[0])
				sim->flows[i].answers += 3;
		look(sim, t);
	}
}

/* Telemetry that nobody answers, to where TCP was answered. */
static void one_way_udp(struct sim *sim)
{
	old(sim, pod(1), far(12, 110), 443);
	old(sim, pod(2), far(12, 110), 443);
	for (int p = 1; p <= 5; p++)
		for (int i = 0; i < 20; i++)
			new (sim, pod(p), far(12, 110), 8125, CHANGE + 1000 * i)
				->proto = IPPROTO_UDP;
	window_alive(sim, 2, END);
}

static void works(struct sim *sim)
{
	for (int n = 1; n <= 20; n++)
		old(sim, pod(n % 5), far(n, 1), 443);
	for (int n = 1; n <= 20; n++)
		for (int i = 0; i < 20; i++)
			new (sim, pod(n % 5), far(n, 1), 443, CHANGE + 900 * i)
				->replied = i % 7;
	window_alive(sim, 20, END);
}

static const struct {
	const char *name;
	void (*run)(struct sim *sim);
	enum vigil_verdict worst; /* at the most */
} kinds[] = {
	{ "silent before", silent_before, VIGIL_QUIET },
	{ "port scan", port_scan, VIGIL_QUIET },
	{ "address scan", address_scan, VIGIL_BROKEN },
	{ "one dead database among many", dead_database, VIGIL_BROKEN },
	{ "new deployments", new_deployment, VIGIL_QUIET },
	{ "goes down with the change", goes_down_with_it, VIGIL_BROKEN },
	{ "goes down a moment later", goes_down_later, VIGIL_BROKEN },
	{ "overloaded", overloaded, VIGIL_BROKEN },
	{ "one pod with friends", one_pod_with_friends, VIGIL_BROKEN },
	{ "one pod of both families", one_pod_of_both_families, VIGIL_BROKEN },
	{ "one pod that forges", one_pod_that_forges, VIGIL_BROKEN },
	{ "one pod and bad luck", one_pod_and_bad_luck, VIGIL_BROKEN },
	{ "one-way UDP", one_way_udp, VIGIL_QUIET },
	{ "it works", works, VIGIL_QUIET },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static void test_kinds(void **state)
{
	struct sim sim;

	(void)state;
	for (size_t i = 0; i < KINDS; i++) {
		begin(&sim, false);
		kinds[i].run(&sim);
		if (sim.worst > kinds[i].worst)
			fail_msg("%s: verdict %d", kinds[i].name, sim.worst);
		end(&sim);
	}
}

/* --- a day ------------------------------------------------------------- */

static uint32_t seed = 1;

static uint32_t any(uint32_t below)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % below;
}

/*
 * A change every two minutes, all day, in a node full of traffic: services
 * that live or are down, for pods and node alike, because the change is not
 * what does it; connections of before that are in use or idle; pods that begin
 * new ones to whatever there is, and to what there is not.
 */
#define SERVICES 40
static bool up[SERVICES];

static struct addr service(uint32_t n)
{
	return far(n / 8, 1 + n % 8);
}

static int as_it_is(const struct sim *sim, const struct addr *dest)
{
	(void)sim;
	for (uint32_t n = 0; n < SERVICES; n++) {
		struct addr a = service(n);

		if (addr_equal(&a, dest))
			return up[n];
	}
	return 0;
}

static void a_window(struct sim *sim, uint32_t *alarms)
{
	uint64_t falls[SERVICES];
	int olds;

	begin(sim, false);
	sim->probe = as_it_is;
	for (uint32_t n = 0; n < SERVICES; n++) {
		up[n] = any(10);
		/* some fall over in this window */
		falls[n] = !up[n]    ? 0
			   : any(20) ? UINT64_MAX
				     : CHANGE + any(60000);
	}
	for (int i = 0; i < 60; i++)
		/* those that are down were up a moment ago */
		old(sim, pod(1 + any(9)), service(any(SERVICES)), 443);
	olds = sim->count;
	for (int i = 0; i < 300; i++) {
		uint32_t n = any(SERVICES + 20);
		uint64_t at = CHANGE + any(VIGIL_WINDOW_MS);
		struct vigil_flow *f;

		f = new (sim, pod(1 + any(9)),
			 n < SERVICES ? service(n) : far(any(5), 100 + n),
			 any(9) ? 443 : 1 + any(1000), at);
		f->old_probe = any(2);
		/* a network is lossy, too; a SYN is sent again after a second,
		 * before it counts as one that hangs */
		f->replied = n < SERVICES && f->port == 443 && at < falls[n] &&
			     (any(50) || any(50));
	}
	for (uint64_t t = CHANGE + 2000; t <= END; t += 2000) {
		for (uint32_t n = 0; n < SERVICES; n++)
			up[n] &= t < falls[n];
		for (int i = 0; i < olds; i++)
			if (as_it_is(sim, &sim->flows[i].dest))
				sim->flows[i].answers += any(3);
		look(sim, t);
	}
	*alarms += sim->worst == VIGIL_BROKEN;
	if (sim->worst == VIGIL_PROVEN)
		fail_msg("turned back at %llu s of a window of seed %u",
			 (unsigned long long)(sim->proven_ms - CHANGE) / 1000,
			 seed);
	end(sim);
}

static void test_day(void **state)
{
	uint32_t alarms = 0;
	struct sim sim;

	(void)state;
	for (int i = 0; i < 24 * 30; i++)
		a_window(&sim, &alarms);
	print_message("a day, 720 changes: 0 turned back, %u alarms\n", alarms);
}

/* --- a first policy ---------------------------------------------------- */

static void test_first(void **state)
{
	struct sim sim;

	(void)state;
	/* one pod that hangs, the node is answered: half a minute */
	begin(&sim, true);
	new (&sim, pod(1), far(12, 110), 443, CHANGE + 3600000)->old_probe =
		true;
	sim.probe = answers;
	assert_int_equal(look(&sim, CHANGE + 3605000), VIGIL_QUIET);
	assert_int_equal(look(&sim, CHANGE + 3615000), VIGIL_BROKEN);
	/* nothing is ever turned back: there is nothing to go back to */
	new (&sim, pod(2), far(12, 110), 443, CHANGE + 3600000)->old_probe =
		true;
	assert_int_equal(look(&sim, CHANGE + 3625000), VIGIL_BROKEN);
	end(&sim);
	/* down for the node as well */
	begin(&sim, true);
	new (&sim, pod(1), far(12, 110), 443, CHANGE)->old_probe = true;
	sim.probe = is_down;
	window(&sim);
	assert_int_equal(sim.worst, VIGIL_QUIET);
	end(&sim);
	/* others are answered there */
	begin(&sim, true);
	new (&sim, pod(1), far(12, 110), 443, CHANGE)->old_probe = true;
	new (&sim, pod(2), far(12, 9), 443, CHANGE)->replied = true;
	sim.probe = answers;
	window(&sim);
	assert_int_equal(sim.worst, VIGIL_QUIET);
	end(&sim);
}

/* --- bounds ------------------------------------------------------------ */

/* Who floods the guard hides nobody else. */
static void test_crowd(void **state)
{
	struct sim sim;

	(void)state;
	begin(&sim, false);
	old(&sim, pod(1), far(12, 110), 443);
	old(&sim, pod(2), far(12, 110), 443);
	for (int i = 0; i < 1000; i++)
		new (&sim, pod(9), far(12, 1 + i % 100), 443, CHANGE + i);
	hang(&sim, far(12, 110), false);
	window_alive(&sim, 2, END);
	assert_int_equal(sim.worst, VIGIL_PROVEN);
	end(&sim);
	/* more networks than there is room for: those of before stay */
	begin(&sim, true);
	for (int i = 0; i < FLOWS; i++)
		new (&sim, pod(1), ip4(0xac000000 + i * 256), 443, CHANGE);
	look(&sim, CHANGE + 4000);
	sim.count = 0;
	for (int i = 0; i < 100; i++)
		new (&sim, pod(1), ip4(0xad000000 + i * 256), 443, CHANGE);
	look(&sim, CHANGE + 6000);
	assert_true(sim.v->more_nets);
	assert_int_equal(sim.v->net_count, VIGIL_NETS);
	end(&sim);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_incident),
		cmocka_unit_test(test_thresholds),
		cmocka_unit_test(test_networks),
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_day),
		cmocka_unit_test(test_first),
		cmocka_unit_test(test_crowd),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

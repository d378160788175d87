// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_differential.c - random packets through the programs and through
 * tests/lib/refnat.c: same verdict, same bytes, same checksums. Few addresses
 * and ports, so that packets meet each other's flows; every field may lie.
 *
 *	MASQ_FUZZ_CASES=N	how many packets (default 30000)
 *	MASQ_FUZZ_SEED=N	which (TEST_SEED, or the time); a failure prints it
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include "rows.h"
#include "base/cidr.h"
#include "prog.h"
#include "refnat.h"

/* packets before everybody starts anew */
#define EPOCH 1500

static uint64_t rng;

static uint32_t draw(uint32_t n)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 16) % n;
}

static bool chance(uint32_t percent)
{
	return draw(100) < percent;
}

#define PICK(list) ((list)[draw(ROWS(list))])

static const char *const pods4[] = { POD4, POD4B, "10.44.14.17" };
static const char *const pods6[] = { POD6, "fd00:44::16" };
static const char *const fars4[] = { FAR4,  FAR4,	 "198.51.100.8",
				     KEPT4, "192.0.2.9", "169.254.7.7" };
static const char *const fars6[] = { FAR6, FAR6, "2001:db8::8", KEPT6 };
static const char *const odd4[] = { NODE4, "224.0.0.5", "255.255.255.255",
				    "10.44.14.1", "169.254.9.9" };
static const char *const odd6[] = { NODE6, "ff02::1", "fe80::7", "fd00:44::1" };
static const uint16_t ports[] = { 0,	 53,	443,   40000, 40000,
				  40001, 30001, 65535, 1024 };
static const uint8_t flag_sets[] = { SYN,	SYN,	   SYN | ACK, ACK,
				     ACK,	ACK | PSH, FIN | ACK, FIN,
				     RST,	RST | ACK, 0,	      0x29,
				     SYN | FIN, 0xff };

static struct prog_lab *lab;
static struct refnat nat;

/* --- what both are told --------------------------------------------------- */

static struct ref_addr addr(const char *text)
{
	struct ref_addr a = { .v6 = strchr(text, ':') != NULL };

	inet_pton(a.v6 ? AF_INET6 : AF_INET, text, a.a);
	return a;
}

static bool keeps(const struct ref_addr *dst)
{
	static const uint8_t net6[] = { 0xfd, 0, 0, 0x30 };

	return dst->v6 ? !memcmp(dst->a, net6, 4)
		       : dst->a[0] == 172 && (dst->a[1] & 0xf0) == 16;
}

static bool is_local(const struct ref_addr *a)
{
	/* fd00:44:: and its like: subnet-router anycast, RFC 4291 2.6.1. The
	 * broadcast address of a network is nobody's own. */
	static const char *const locals[] = {
		NODE4,	      "10.44.14.1", NODE6,
		"fd00:44::1", "fd00:44::",  "fd00:142::",
	};

	/* nobody forwards IPv6 multicast */
	if (a->v6 ? a->a[0] == 0xff : a->a[0] == 127)
		return true;
	for (size_t i = 0; i < ROWS(locals); i++) {
		struct ref_addr l = addr(locals[i]);

		if (l.v6 == a->v6 && !memcmp(l.a, a->a, a->v6 ? 16 : 4))
			return true;
	}
	return false;
}

static bool port_allowed(uint16_t port)
{
	return port < 30000 || port > 32767;
}

/* --- packets -------------------------------------------------------------- */

static void anything(struct packet *p, bool egress, bool v6)
{
	static const uint8_t protos[] = { IPPROTO_TCP,	IPPROTO_TCP,
					  IPPROTO_TCP,	IPPROTO_UDP,
					  IPPROTO_UDP,	IPPROTO_UDPLITE,
					  IPPROTO_SCTP, IPPROTO_DCCP,
					  47,		50 };
	const char *pod = v6 ? PICK(pods6) : PICK(pods4);
	const char *far = v6 ? PICK(fars6) : PICK(fars4);

	memset(p, 0, sizeof(*p));
	if (chance(4))
		far = v6 ? PICK(odd6) : PICK(odd4);
	/* from outside mostly to the node, where translated flows are */
	if (!egress && chance(75))
		pod = v6 ? NODE6 : NODE4;
	p->src = egress ? pod : far;
	p->dst = egress ? far : pod;
	p->sport = PICK(ports);
	p->dport = PICK(ports);
	p->seq = chance(50) ? 1000 + draw(100) : draw(UINT32_MAX);
	p->ack = chance(80) ? 1000 : draw(UINT32_MAX);
	p->id = draw(6);
	p->length = draw(40);
	p->proto = PICK(protos);
	if (chance(20)) {
		p->proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		p->flags = v6 ? (chance(40)   ? 128
				 : chance(60) ? 129
					      : draw(256))
			      : (chance(40)   ? 8
				 : chance(60) ? 0
					      : draw(256));
		p->code = chance(90) ? 0 : draw(256);
	} else {
		p->flags = PICK(flag_sets);
	}
	if (p->proto == IPPROTO_UDP)
		p->udp_no_checksum = chance(15);
	if (chance(10))
		p->ip_options = v6 ? 8 : 4 + 4 * draw(10);
	p->bad_checksum = chance(5);
	if (chance(12)) {
		p->frag_off = chance(60) ? draw(6) : 0;
		p->more_fragments = chance(70);
		if (p->proto == IPPROTO_UDP && !p->frag_off)
			p->udp_len = 100;
	}
	if (chance(4))
		p->vlan = 5;
}

static size_t make(uint8_t *frame, bool egress)
{
	static const uint8_t errors4[] = { 3, 3, 4, 11, 12 };
	static const uint8_t errors6[] = { 1, 2, 3, 4 };
	bool v6 = chance(40);
	struct packet p, quoted;
	size_t length;

	anything(&p, egress, v6);
	if (chance(12)) {
		anything(&quoted, !egress, v6);
		if (!quoted.flags || quoted.flags > 129)
			quoted.flags = v6 ? 128 : 8;
		p.proto = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
		p.flags = v6 ? PICK(errors6) : PICK(errors4);
		p.code = draw(16);
		if (chance(85)) { /* to whoever sent it */
			p.dst = quoted.src;
		}
		quoted.vlan = 0;
		p.quoted = &quoted;
		p.quoted_length = chance(50) ? 0 : 20 + draw(60);
		p.rest = 1400;
		p.length = 0;
		p.frag_off = 0;
		p.more_fragments = false;
	}
	length = packet_build(&p, frame);
	/* lies */
	if (chance(8)) {
		size_t at = 14 + (p.vlan ? 4 : 0);
		uint32_t n = 1 + draw(3);

		while (n--)
			frame[at + draw(length - at)] ^= 1 << draw(8);
	}
	/* the kernel gives a test run no fewer than an L3 header */
	if (chance(5) && length > 80)
		length -= draw(length - 80);
	return length;
}

/* --- comparison ----------------------------------------------------------- */

static void show(const char *what, const uint8_t *frame, size_t length)
{
	print_error("%s: %s\n", what, packet_text(frame, length));
	for (size_t i = 14; i < length; i++)
		print_error("%02x%s", frame[i],
			    (i - 14) % 32 == 31 ? "\n" : "");
	print_error("\n");
}

static void restart(void **state)
{
	prog_lab_reset(state);
	refnat_init(&nat);
}

static void programs_and_reference_agree(void **state)
{
	const char *text = getenv("MASQ_FUZZ_CASES");
	const char *seed_text = getenv("MASQ_FUZZ_SEED")
					? getenv("MASQ_FUZZ_SEED")
					: getenv("TEST_SEED");
	unsigned long cases = text ? strtoul(text, NULL, 10) : 30000;
	uint64_t seed = seed_text ? strtoull(seed_text, NULL, 10)
				  : (uint64_t)time(NULL);
	unsigned long passed = 0, changed = 0;
	uint8_t frame[PACKET_MAX], want[PACKET_MAX];

	lab = *state;
	print_message("# seed %llu, %lu cases\n", (unsigned long long)seed,
		      cases);
	rng = seed * 2654435761u + 88172645463325252ull;
	for (unsigned long i = 0; i < cases; i++) {
		bool egress = chance(55), pass;
		const char *why;
		size_t length;

		if (i % EPOCH == 0)
			restart(state);
		memset(frame, 0, sizeof(frame));
		length = make(frame, egress);
		prog_run_raw(lab, egress ? "masq_egress" : "masq_ingress",
			     egress, frame, length, 0, 0);
		pass = refnat_packet(&nat, egress, frame, length, lab->frame,
				     want, &why);
		passed += pass;
		changed += pass && memcmp(want, frame, length);
		if (!why && pass == (lab->verdict == NEXT) &&
		    (!pass || (lab->length == length &&
			       !memcmp(lab->frame, want, length))))
			continue;
		for (uint32_t r = 0; r < MASQ_R_MAX; r++)
			if (prog_stat(lab, r))
				print_error("stat %u: %lu\n", r,
					    (unsigned long)prog_stat(lab, r));
		show(egress ? "out" : "in", frame, length);
		show("got", lab->frame, lab->length);
		show("want", want, length);
		fail_msg("MASQ_FUZZ_SEED=%llu, case %lu: verdict %d, the "
			 "reference %s; %s",
			 (unsigned long long)seed, i, lab->verdict,
			 pass ? "passes it" : "drops it", why ? why : "");
	}
	print_message("# %lu passed, %lu of them translated, %lu dropped\n",
		      passed, changed, cases - passed);
	/* the generator reaches what it is for */
	assert_true(passed > cases / 3 && passed < cases);
	assert_true(changed > cases / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_and_reference_agree),
	};
	static const char *const objects[] = { "modern", "legacy" };
	const char *only = getenv("MASQ_TEST_OBJECT");
	int failed = 0;

	nat.node4 = addr(NODE4);
	nat.node6 = addr(NODE6);
	nat.keeps = keeps;
	nat.is_local = is_local;
	nat.port_allowed = port_allowed;
	nat.port_min = 10240;
	nat.port_max = 65535;
	only = only ? strdup(only) : NULL;
	for (size_t i = 0; i < ROWS(objects); i++) {
		if ((only && strcmp(only, objects[i])) ||
		    !prog_loads(objects[i], tests, ROWS(tests)))
			continue;
		setenv("MASQ_TEST_OBJECT", objects[i], 1);
		failed += cmocka_run_group_tests_name(
			objects[i], tests, prog_lab_up, prog_lab_down);
	}
	return failed;
}

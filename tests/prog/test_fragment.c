// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_fragment.c - fragments follow their first one, in order and out of
 * order, both families; what could overwrite a header is dropped. Early ones
 * leave through the uplink's wire, where the test listens.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rows.h"
#include "prog.h"

#define PKT(...)	  (&(struct packet){ __VA_ARGS__ })
#define OUT(s, sp, d, dp) .src = s, .sport = sp, .dst = d, .dport = dp
#define UDP		  .proto = IPPROTO_UDP

struct family {
	const char *pod, *node, *far;
};

static const struct family families[] = {
	{ POD4, NODE4, FAR4 },
	{ POD6, NODE6, FAR6 },
};

/* A datagram of 64 + 8 bytes of L4 in three pieces. */
#define FIRST(f, s, sp, d, dp)                             \
	PKT(UDP, OUT(s, sp, d, dp), .id = 7, .length = 16, \
	    .more_fragments = true, .udp_len = 72)
#define SECOND(f, s, d)                                                    \
	PKT(UDP, .src = s, .dst = d, .id = 7, .frag_off = 3, .length = 24, \
	    .more_fragments = true)
#define LAST(f, s, d) \
	PKT(UDP, .src = s, .dst = d, .id = 7, .frag_off = 6, .length = 24)

static void in_order_both_ways(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];

		prog_lab_reset(state);
		SEND(EGRESS, NEXT, FIRST(f, f->pod, 40000, f->far, 53), NULL);
		SEND(EGRESS, NEXT, SECOND(f, f->pod, f->far),
		     SECOND(f, f->node, f->far));
		SEND(EGRESS, NEXT, LAST(f, f->pod, f->far),
		     LAST(f, f->node, f->far));
		SEND(INGRESS, NEXT, FIRST(f, f->far, 53, f->node, 40000), NULL);
		SEND(INGRESS, NEXT, SECOND(f, f->far, f->node),
		     SECOND(f, f->far, f->pod));
		SEND(INGRESS, NEXT, LAST(f, f->far, f->node),
		     LAST(f, f->far, f->pod));
		assert_int_equal(prog_prefix(lab, i).egress.packets, 3);
		assert_int_equal(prog_prefix(lab, i).ingress.packets, 3);
	}
}

/* The first one's checksum covers the whole datagram: only differences. */
static void first_fragment_is_rewritten_exactly(void **state)
{
	struct prog_lab *lab = *state;
	uint8_t payload[64], whole[PACKET_MAX], want[PACKET_MAX];
	struct packet p = { UDP, OUT(POD4, 40000, FAR4, 53), .id = 9,
			    .payload = payload, .length = 64 };
	size_t length;

	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (uint8_t)(i * 3);
	/* the whole datagram's checksum, put into a first fragment */
	packet_build(&p, whole);
	p.length = 16;
	p.more_fragments = true;
	p.udp_len = 72;
	length = packet_build(&p, want);
	memcpy(want + 14 + 20 + 6, whole + 14 + 20 + 6, 2);
	prog_run_raw(lab, "masq_egress", true, want, length, 0, 0);
	assert_int_equal(lab->verdict, NEXT);
	p.src = NODE4;
	p.length = 64;
	p.more_fragments = false;
	p.udp_len = 0;
	packet_build(&p, whole);
	assert_memory_equal(lab->frame + 34, whole + 34, 8); /* UDP header */
}

static int listen_on(const char *name)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET,
				  .sll_protocol = htons(ETH_P_ALL),
				  .sll_ifindex = if_nametoindex(name) };
	int fd = socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL));

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	return fd;
}

/* How many frames equal to p arrive within half a second of silence. */
static unsigned int heard(int fd, const struct packet *p)
{
	uint8_t want[PACKET_MAX], frame[PACKET_MAX];
	size_t length = packet_build(p, want);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	unsigned int n = 0;

	while (poll(&wait, 1, 500) > 0) {
		ssize_t got = recv(fd, frame, sizeof(frame), 0);

		n += got == (ssize_t)length && !memcmp(frame, want, length);
	}
	return n;
}

static void early_ones_are_held_then_sent(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		struct packet *first = FIRST(f, f->node, 40000, f->far, 53);
		int fd = listen_on("far0");

		prog_lab_reset(state);
		SEND(EGRESS, DROP, LAST(f, f->pod, f->far), NULL);
		SEND(EGRESS, DROP, SECOND(f, f->pod, f->far), NULL);
		assert_int_equal(prog_stat(lab, MASQ_S_FRAG_HELD), 2);
		SEND(EGRESS, NEXT, FIRST(f, f->pod, 40000, f->far, 53), NULL);
		assert_int_equal(lab->length,
				 packet_build(first, (uint8_t[PACKET_MAX]){}));
		assert_int_equal(prog_stat(lab, MASQ_S_FRAG_RELEASED), 2);
		/*
		 * Here no program is attached to the wire, so they come out as
		 * they were; attached, they pass through it once more.
		 */
		assert_int_equal(heard(fd, LAST(f, f->pod, f->far)), 1);
		close(fd);
		/* from now on the note is there */
		SEND(EGRESS, NEXT, LAST(f, f->pod, f->far),
		     LAST(f, f->node, f->far));
	}
}

static void early_ones_from_outside_go_to_the_stack_too(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT, PKT(UDP, OUT(POD4, 40000, FAR4, 53)), NULL);
	SEND(INGRESS, NEXT, LAST(, FAR4, NODE4), LAST(, FAR4, NODE4));
	assert_int_equal(prog_stat(lab, MASQ_S_FRAG_HELD), 1);
	SEND(INGRESS, NEXT, FIRST(, FAR4, 53, NODE4, 40000), NULL);
	assert_int_equal(prog_stat(lab, MASQ_S_FRAG_RELEASED), 1);
	SEND(INGRESS, NEXT, LAST(, FAR4, NODE4), LAST(, FAR4, POD4));
}

/* 64 KiB over 1500, last first; and once more, for what is left behind. */
static void a_whole_datagram_may_come_backwards(void **state)
{
	struct prog_lab *lab = *state;

	for (size_t i = 0; i < ROWS(families); i++) {
		const struct family *f = &families[i];
		int fd = listen_on("far0");

		prog_lab_reset(state);
		for (int again = 1; again <= 2; again++) {
			for (int n = 45; n > 0; n--)
				SEND(EGRESS, DROP,
				     PKT(UDP, .src = f->pod, .dst = f->far,
					 .id = 7, .frag_off = 2 * n,
					 .length = 16,
					 .more_fragments = n < 45),
				     NULL);
			SEND(EGRESS, NEXT,
			     PKT(UDP, OUT(f->pod, 40000, f->far, 53), .id = 7,
				 .length = 8, .more_fragments = true,
				 .udp_len = 46 * 16),
			     NULL);
			assert_int_equal(prog_stat(lab, MASQ_S_FRAG_HELD),
					 again * 45);
			assert_int_equal(prog_stat(lab, MASQ_S_FRAG_RELEASED),
					 again * 45);
			/* its note goes, as in half a minute */
			prog_forget_fragments(lab);
		}
		assert_int_equal(heard(fd, PKT(UDP, .src = f->pod,
					       .dst = f->far, .id = 7,
					       .frag_off = 90, .length = 16)),
				 2);
		close(fd);
	}
}

static void lone_ones_never_leave(void **state)
{
	struct prog_lab *lab = *state;

	for (int i = 0; i < 100; i++)
		SEND(EGRESS, DROP,
		     PKT(UDP, .src = POD4, .dst = FAR4, .id = 7,
			 .frag_off = 3 + i, .length = 8),
		     NULL);
	assert_int_equal(REASON(NO_FLOW), 100);
	assert_int_equal(prog_stat(lab, MASQ_S_FRAG_HELD), MASQ_HELD_EACH);
	/* towards a kept destination they pass */
	SEND(EGRESS, NEXT, LAST(, POD4, KEPT4), LAST(, POD4, KEPT4));
}

static void nothing_may_overwrite_a_header(void **state)
{
	struct prog_lab *lab = *state;

	/* tiny: no room for the header */
	SEND(EGRESS, DROP,
	     PKT(.proto = IPPROTO_TCP, OUT(POD4, 40000, FAR4, 443), .id = 7,
		 .more_fragments = true, .tot_len = 28),
	     NULL);
	assert_int_equal(REASON(FRAGMENT), 1);
	/* offset 1: the TCP flags */
	SEND(EGRESS, DROP,
	     PKT(.proto = IPPROTO_TCP, .src = POD4, .dst = FAR4, .id = 7,
		 .frag_off = 1, .length = 16),
	     NULL);
	assert_int_equal(REASON(FRAGMENT), 2);
}

static void what_is_not_translated_is_not_judged(void **state)
{
	struct prog_lab *lab = *state;
	struct packet *odd[] = {
		PKT(.proto = IPPROTO_TCP, .src = POD4, .dst = KEPT4, .id = 7,
		    .frag_off = 1, .length = 16),
		PKT(.proto = IPPROTO_TCP, .src = FAR4, .dst = POD4, .id = 7,
		    .frag_off = 1, .length = 16),
	};

	/* the first ones leave a note: E5 and I4, then E2 and I3 */
	SEND(EGRESS, NEXT,
	     PKT(.proto = IPPROTO_TCP, OUT(POD4, 40000, KEPT4, 443), .id = 7,
		 .flags = SYN, .more_fragments = true, .length = 24),
	     NULL);
	SEND(EGRESS, NEXT, odd[0], odd[0]);
	SEND(INGRESS, NEXT,
	     PKT(.proto = IPPROTO_TCP, OUT(FAR4, 443, POD4, 8080), .id = 7,
		 .flags = SYN, .more_fragments = true, .length = 24),
	     NULL);
	SEND(INGRESS, NEXT, odd[1], odd[1]);
	assert_int_equal(REASON(FRAGMENT), 0);
}

static void fragments_without_ports_name_their_flow(void **state)
{
	struct prog_lab *lab = *state;

	SEND(EGRESS, NEXT,
	     PKT(.proto = 47, .src = POD4, .dst = FAR4, .id = 7, .length = 32,
		 .more_fragments = true),
	     PKT(.proto = 47, .src = NODE4, .dst = FAR4, .id = 7, .length = 32,
		 .more_fragments = true));
	SEND(EGRESS, NEXT,
	     PKT(.proto = 47, .src = POD4, .dst = FAR4, .id = 7, .frag_off = 4,
		 .length = 32),
	     PKT(.proto = 47, .src = NODE4, .dst = FAR4, .id = 7, .frag_off = 4,
		 .length = 32));
}

#define ROW(f) cmocka_unit_test_setup(f, prog_lab_reset)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ROW(in_order_both_ways),
		ROW(first_fragment_is_rewritten_exactly),
		ROW(early_ones_are_held_then_sent),
		ROW(early_ones_from_outside_go_to_the_stack_too),
		ROW(a_whole_datagram_may_come_backwards),
		ROW(lone_ones_never_leave),
		ROW(nothing_may_overwrite_a_header),
		ROW(what_is_not_translated_is_not_judged),
		ROW(fragments_without_ports_name_their_flow),
	};

	return cmocka_run_group_tests(tests, prog_lab_up, prog_lab_down);
}

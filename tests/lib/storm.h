/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * storm.h - packets from two processors at once, through the programs of a
 * prog_lab: what prog.h does for one packet, for threads and for millions.
 */
#ifndef TEST_STORM_H
#define TEST_STORM_H

#include "prog.h"

enum storm_hook {
	STORM_EGRESS, /* from a pod */
	STORM_NODE, /* egress, from the node itself */
	STORM_INGRESS,
};

/* How long a race lasts: MASQ_RACE_SECONDS, or `usual`. */
double storm_seconds(double usual);
/* How much of something is done: the number in this environment variable. */
unsigned long storm_count(const char *variable, unsigned long usual);

/* Runs a frame; the verdict, and in `out` (PACKET_MAX) what came of it. */
int storm_send(struct prog_lab *lab, enum storm_hook hook, const uint8_t *frame,
	       size_t length, uint8_t *out);
/* Runs masq_ctl; its error. */
int storm_ctl(struct prog_lab *lab, struct masq_ctl *request);
/* A request about this key; addresses as text decide the family. */
struct masq_ctl storm_request(unsigned int op, const char *in, uint16_t in_port,
			      const char *rem, uint16_t rem_port,
			      uint8_t proto);

/*
 * Two sides at once, each on a processor of its own as far as there are two,
 * until `seconds` have gone by and both have sent something (0: until both return
 * by themselves). A side looks at storm_over between packets.
 */
extern volatile bool storm_over;
void storm_both(double seconds, void (*one)(void *), void (*two)(void *),
		void *arg);

/* A generator of its own for each side. */
uint32_t storm_draw(uint32_t *seed);

/* Number of the slot that has a record of this key, or -1. */
long storm_slot(struct prog_lab *lab, const char *in, uint16_t in_port,
		const char *rem, uint16_t rem_port, uint8_t proto);

/* Ages everything by a day and has the hand go round: fails unless nothing is
 * left then, in the tables and in every total. */
void storm_expect_calm(struct prog_lab *lab, const char *file, int line);
#define EXPECT_CALM() storm_expect_calm(lab, __FILE__, __LINE__)

#endif

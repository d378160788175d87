/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * refnat.h - the packet table of docs/design.md as plain C, for the tests to
 * compare the programs with. It shares no code with bpf/ and takes no heed of
 * speed: every checksum is computed, flows lie in an array, time stands still.
 *
 * The world that it knows: one uplink, pods behind it, a policy that keeps
 * some destinations, nothing of the node's own.
 */
#ifndef TEST_REFNAT_H
#define TEST_REFNAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REF_FLOWS 4096
#define REF_NOTES 4096

struct ref_addr {
	uint8_t a[16];
	bool v6;
};

struct ref_flow {
	enum {
		REF_NONE,
		REF_MASQ,
		REF_KEEP,
		REF_INBOUND
	} kind;
	struct ref_addr pod, rem;
	uint16_t pod_port, rem_port, node_port;
	uint8_t proto;
	bool asked_outside; /* an ICMP query of the far side */
	bool out, in, ack_out, ack_in, fin_out, fin_in, rst;
	uint32_t pod_ack;
};

struct ref_note {
	struct ref_addr in, rem;
	uint32_t id;
	uint8_t proto;
	bool egress, translate, used;
	struct ref_addr to;
};

struct ref_choice {
	bool used;
	struct ref_addr pod;
	uint16_t port, node_port;
	uint8_t proto;
};

struct refnat {
	struct ref_addr node4, node6;
	bool (*keeps)(const struct ref_addr *dst);
	bool (*is_local)(const struct ref_addr *addr);
	bool (*port_allowed)(uint16_t port);
	uint16_t port_min, port_max;
	struct ref_flow flows[REF_FLOWS];
	size_t n_flows;
	struct ref_note notes[REF_NOTES];
	size_t n_notes;
	struct ref_choice choices[REF_FLOWS];
	size_t n_choices;
};

void refnat_init(struct refnat *nat);

/*
 * What has to become of an Ethernet frame. `got` is what the programs made of
 * it: only a port or identifier that they chose is taken from there, after a
 * look whether they were allowed to. Returns whether it passes; then `want`
 * holds what it must look like. *why: NULL or what was wrong with the choice.
 */
bool refnat_packet(struct refnat *nat, bool egress, const uint8_t *frame,
		   size_t length, const uint8_t *got, uint8_t *want,
		   const char **why);

#endif

/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * bench.h - what gen.bpf.c and bench.c agree on: which packet belongs to flow
 * number i. Flow i goes to far address `dst + i % dsts`; i / dsts counts
 * through `ports` source ports from `port` on. What is left over goes on to
 * further destinations or, with `spill`, to further pods.
 */
#ifndef BENCH_H
#define BENCH_H

#include <linux/types.h>

#define BENCH_FRAME	60 /* 64 on a wire, with the checksum at its end */
#define BENCH_FRAME_MAX 1514

enum bench_order {
	BENCH_SEQUENTIAL,
	BENCH_RANDOM
};

/* What the TCP frames of a flow are. */
enum bench_tcp {
	BENCH_STREAM, /* in turn each follows on the last one: what GRO merges */
	BENCH_SYN,
	BENCH_SYN_ACK,
	BENCH_AGAIN /* the first bytes, as often as asked: within any window */
};

struct bench_job {
	__u32 src; /* host order, as everything here */
	__u32 dst;
	__u32 dsts;
	__u16 dport;
	__u16 port;
	__u32 ports;
	__u32 spill;
	__u32 first; /* number of the first flow */
	__u32 flows;
	__u32 order;
	__u32 inwards; /* as the far side answers: to `src` */
	__u32 frame; /* bytes: BENCH_FRAME, or more of TCP */
	__u32 redirect; /* out of this device instead of into the stack */
	__u8 proto; /* IPPROTO_UDP or IPPROTO_TCP */
	__u8 tcp; /* enum bench_tcp */
	__u8 pad[2];
	__u8 dst_mac[6];
	__u8 src_mac[6];
};

/* What is looked up by `bare`: as large as the old program's record. */
struct bench_record {
	__u64 words[8];
};

/* Where the XDP experiment (xdp.bpf.c) sends packets past the stack. */
struct bench_redirect {
	__u32 ifindex; /* 0: it does not */
	__u8 dst_mac[6];
	__u8 src_mac[6];
};

struct bench_flow {
	__u32 src;
	__u32 dst;
	__u16 sport;
	__u16 dport;
};

static inline __attribute__((always_inline)) void
bench_flow(const volatile struct bench_job *job, __u32 i, struct bench_flow *f)
{
	__u32 round = i / job->dsts, over = round / job->ports;

	f->dst = job->dst + i % job->dsts + (job->spill ? 0 : over * job->dsts);
	f->src = job->src + (job->spill ? over : 0);
	f->sport = job->port + round % job->ports;
	f->dport = job->dport;
}

#endif

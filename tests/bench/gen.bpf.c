// SPDX-License-Identifier: GPL-2.0-only
/*
 * gen.bpf.c - the packet source and what masqbpf is compared with. `gen` is
 * run by BPF_PROG_TEST_RUN with live frames: it writes the whole header of
 * every frame (recycled pages hold what the receiver made of the last one) and
 * passes the frame into the stack of the device that it was run for, or sends
 * it out of another one. `sink` counts and drops at the end of the way.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "masqbpf.h"
#include "bench.h"

#define TC_NEXT -1
#define TC_DROP 2

const volatile struct bench_job job = {
	.dsts = 1,
	.ports = 1,
	.flows = 1,
	.frame = BENCH_FRAME,
	.proto = IPPROTO_UDP,
};
__u32 next = 0;

/* sink */
const volatile __be32 want_src = 0; /* 0: any */
const volatile __be32 want_dst = 0;
const volatile __u32 verify = 0; /* the checksum of each UDP frame, too */
__u64 seen = 0; /* frames as they were sent */
__u64 skbs = 0; /* what GRO made of them */
__u64 wrong = 0;
/* bare */
const volatile __u32 ingress = 0;
__u64 found = 0;

static __always_inline __u32 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

SEC("xdp")
int gen(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data,
	     *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	const __u32 l3_len = job.frame - ETH_HLEN, l4_len = l3_len - 20;
	bool is_tcp = job.proto == IPPROTO_TCP;
	struct bench_flow f;
	__u32 i, sum, seq, ack, flags;

	if (data + BENCH_FRAME > end)
		return XDP_ABORTED;
	i = job.order == BENCH_RANDOM ? bpf_get_prandom_u32() : next++;
	seq = job.tcp == BENCH_STREAM  ? i / job.flows * (l4_len - sizeof(*tcp))
	      : job.tcp == BENCH_AGAIN ? 1
				       : 0;
	ack = job.tcp != BENCH_SYN;
	/* five words of header, SYN, ACK */
	flags = 0x5000 | (seq || job.tcp == BENCH_STREAM ? 0 : 0x02) |
		(ack ? 0x10 : 0);
	bench_flow(&job, job.first + i % job.flows, &f);
	for (int b = 0; b < ETH_ALEN; b++) {
		eth->h_dest[b] = job.dst_mac[b];
		eth->h_source[b] = job.src_mac[b];
	}
	eth->h_proto = bpf_htons(ETH_P_IP);
	*(__be32 *)ip = bpf_htonl(0x45000000 | l3_len);
	*(__be32 *)&ip->id = is_tcp ? bpf_htonl(0x4000) : 0; /* DF */
	ip->ttl = 64;
	ip->protocol = job.proto;
	ip->check = 0;
	ip->saddr = bpf_htonl(job.inwards ? f.dst : f.src);
	ip->daddr = bpf_htonl(job.inwards ? f.src : f.dst);
	udp->source = bpf_htons(job.inwards ? f.dport : f.sport);
	udp->dest = bpf_htons(job.inwards ? f.sport : f.dport);
	sum = (f.src >> 16) + (f.src & 0xffff) + (f.dst >> 16) +
	      (f.dst & 0xffff);
	ip->check = bpf_htons(~fold(sum + 0x4500 + l3_len + 0x4000 + job.proto +
				    (is_tcp ? 0x4000 : 0)));
	sum += job.proto + l4_len + f.sport + f.dport;
	if (is_tcp) {
		tcp->seq = bpf_htonl(seq);
		tcp->ack_seq = bpf_htonl(ack);
		/* the window; the payload stays all zeros */
		*((__be32 *)tcp + 3) = bpf_htonl(flags << 16 | 0x8000);
		*((__be32 *)tcp + 4) = 0;
		sum += (seq >> 16) + (seq & 0xffff) + ack + flags + 0x8000;
		tcp->check = bpf_htons(~fold(sum));
	} else {
		udp->len = bpf_htons(l4_len);
		udp->check = 0;
		__builtin_memset(udp + 1, 0, BENCH_FRAME - ETH_HLEN - 28);
		udp->check = bpf_htons(~fold(sum + l4_len));
	}
	return job.redirect ? bpf_redirect(job.redirect, 0) : XDP_PASS;
}

/* The one's complement sum over pseudo-header and UDP comes to all ones. */
static __always_inline bool udp_intact(struct iphdr *ip, void *end)
{
	const __u32 len = BENCH_FRAME - ETH_HLEN - sizeof(*ip);
	__s64 sum;

	if (ip->protocol != IPPROTO_UDP || (void *)(ip + 1) + len > end)
		return true;
	sum = bpf_csum_diff(NULL, 0, &ip->saddr, 8 + len,
			    bpf_htons(IPPROTO_UDP) + bpf_htons(len));
	return sum >= 0 && fold(sum) == 0xffff;
}

SEC("tc")
int sink(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end;
	struct iphdr *ip = data + ETH_HLEN;

	end = (void *)(long)skb->data_end;
	if (skb->protocol != bpf_htons(ETH_P_IP) || (void *)(ip + 1) > end)
		return TC_NEXT;
	skbs++;
	seen += skb->gso_segs > 1 ? skb->gso_segs : 1;
	if ((want_src && ip->saddr != want_src) ||
	    (want_dst && ip->daddr != want_dst) ||
	    (verify && !udp_intact(ip, end)))
		wrong++;
	return TC_DROP;
}

SEC("tc")
int empty(struct __sk_buff *skb)
{
	return TC_NEXT;
}

/* The kernel's hash map as the old program's flow table was: as many entries, as
 * large, with the same keys. See bench.c. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct masq_key4);
	__type(value, struct bench_record);
	__uint(max_entries, 1);
} bare_flows SEC(".maps");

/* What any dataplane with a flow table has to pay: the key and one lookup. */
SEC("tc")
int bare(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct masq_key4 key = {};

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return TC_NEXT;
	key.in_addr[0] = ingress ? ip->daddr : ip->saddr;
	key.rem_addr[0] = ingress ? ip->saddr : ip->daddr;
	key.in_port = ingress ? udp->dest : udp->source;
	key.rem_port = ingress ? udp->source : udp->dest;
	key.proto = ip->protocol;
	if (bpf_map_lookup_elem(&bare_flows, &key))
		found++;
	return TC_NEXT;
}

/*
 * The least that a table of any kind could cost: one cache line for each flow,
 * found without a hash table's bucket, in a direct-mapped array that holds the
 * key and two counts. It has no answer to two flows with one place, nor to two
 * processors, so nothing can be built from it; it is what a better table than
 * the kernel's could win at most.
 */
const volatile __u32 lines_mask = 0; /* of them, a power of two, less one */
struct line {
	struct masq_key4 key;
	__u64 packets;
	__u64 bytes;
	__u64 rest[4];
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__type(key, __u32);
	__type(value, struct line);
	__uint(max_entries, 1);
} lines SEC(".maps");

SEC("tc")
int one_line(struct __sk_buff *skb)
{
	const __u64 odd = 0x9e3779b97f4a7c15;
	void *data = (void *)(long)skb->data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct line *line;
	__u64 key[2], hash;
	__u32 at;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end)
		return TC_NEXT;
	key[0] = (__u64)ip->saddr << 32 | ip->daddr;
	key[1] = (__u64)udp->source << 32 | (__u64)udp->dest << 16 |
		 ip->protocol;
	hash = (key[0] ^ key[1] * odd) * odd;
	hash = (hash ^ hash >> 32) * odd;
	at = hash >> 40 & lines_mask;
	line = bpf_map_lookup_elem(&lines, &at);
	if (!line)
		return TC_NEXT;
	if (((__u64 *)&line->key)[0] != key[0] ||
	    ((__u64 *)&line->key)[1] != key[1])
		__builtin_memcpy(&line->key, key, sizeof(key));
	line->packets++;
	line->bytes += skb->len;
	found++;
	return TC_NEXT;
}

char _license[] SEC("license") = "GPL";

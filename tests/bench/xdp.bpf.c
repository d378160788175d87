// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp.bpf.c - an experiment, no part of masqbpf: what its tc ingress does for
 * replies to masqueraded flows, done by XDP on the maps of a running instance.
 * It is the best case for XDP: only IPv4 UDP and TCP without options, fragments
 * or VLAN, no policy, no timeouts, no events, and no second program behind it
 * for all that it leaves out. docs/performance.md has what came out.
 */
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

#define TCP_SYN_FIN_RST_ACK 0x17
#define TCP_ACK		    0x10

/* Both are those of the instance: bpf_map__reuse_fd(). */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, struct masq_key4);
	__type(value, struct masq_flow4);
	__uint(max_entries, 1);
} masq_flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__type(key, __u32);
	__type(value, struct masq_prefix_count);
	__uint(max_entries, 1);
} masq_counters SEC(".maps");

/* Past the stack, into the pod; with .ifindex 0 into the stack. */
const volatile struct bench_redirect to = {};

/* RFC 1624 eqn. 3, for a 32-bit and a 16-bit field that change; __be. */
static __always_inline __u16 replace(__u16 check, __u32 from, __u32 into,
				     __u16 from_port, __u16 into_port)
{
	__u64 sum = (__u64)(__u16)~check + (__u32)~from + into +
		    (__u16)~from_port + into_port;

	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* What the handshake changes; egress would else find the flow unanswered. */
static __noinline int answered(struct masq_key4 *key, struct masq_flow4 *rev)
{
	struct masq_key4 owner = *key;
	struct masq_flow4 *fwd;

	owner.in_addr[0] = rev->xlat_addr[0];
	owner.in_port = rev->xlat_port;
	fwd = bpf_map_lookup_elem(&masq_flows4, &owner);
	if (!fwd || fwd->kind != MASQ_K_FWD)
		return 0;
	rev->in_seen |= MASQ_SEEN_ONE | MASQ_SEEN_TWO | MASQ_SEEN_ACK;
	rev->out_seen = fwd->out_seen;
	fwd->in_seen = rev->in_seen;
	if (fwd->out_seen & MASQ_SEEN_ACK)
		rev->state = fwd->state = MASQ_ST_ESTABLISHED;
	return 0;
}

static __always_inline int into_pod(struct ethhdr *eth, struct iphdr *ip)
{
	__u32 check;

	if (ip->ttl <= 1)
		return XDP_PASS;
	ip->ttl--;
	check = (__u32)ip->check + bpf_htons(0x0100);
	ip->check = (__u16)(check + (check >= 0xffff));
	for (int i = 0; i < ETH_ALEN; i++) {
		eth->h_dest[i] = to.dst_mac[i];
		eth->h_source[i] = to.src_mac[i];
	}
	return bpf_redirect(to.ifindex, 0);
}

SEC("xdp")
int xdp_ingress(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	struct iphdr *ip = data + ETH_HLEN;
	struct udphdr *udp = (void *)(ip + 1);
	struct tcphdr *tcp = (void *)(ip + 1);
	struct masq_prefix_count *count;
	struct masq_key4 key = {};
	struct masq_flow4 *f;
	__u32 now, prefix;

	if ((void *)(udp + 1) > end || eth->h_proto != bpf_htons(ETH_P_IP) ||
	    *(__u8 *)ip != 0x45 || (ip->frag_off & bpf_htons(0x3fff)))
		return XDP_PASS;
	if (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP)
		return XDP_PASS;
	key.in_addr[0] = ip->daddr;
	key.rem_addr[0] = ip->saddr;
	key.in_port = udp->dest;
	key.rem_port = udp->source;
	key.proto = ip->protocol;
	f = bpf_map_lookup_elem(&masq_flows4, &key);
	now = bpf_jiffies64() >> MASQ_TICK_SHIFT;
	if (!f || f->kind != MASQ_K_REV || (__s32)(now - f->expires) >= 0)
		return XDP_PASS;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return XDP_PASS;
		if (((__u8 *)tcp)[13] & TCP_SYN_FIN_RST_ACK & ~TCP_ACK ||
		    f->state != MASQ_ST_ESTABLISHED)
			answered(&key, f);
		tcp->check = replace(tcp->check, ip->daddr, f->xlat_addr[0],
				     tcp->dest, f->xlat_port);
		tcp->dest = f->xlat_port;
	} else {
		if (udp->check) {
			udp->check = replace(udp->check, ip->daddr,
					     f->xlat_addr[0], udp->dest,
					     f->xlat_port);
			if (!udp->check)
				udp->check = 0xffff;
		}
		udp->dest = f->xlat_port;
	}
	ip->check = replace(ip->check, ip->daddr, f->xlat_addr[0], 0, 0);
	ip->daddr = f->xlat_addr[0];
	if (f->last_seen != now)
		f->last_seen = now;
	f->ingress.packets++;
	f->ingress.bytes += bpf_ntohs(ip->tot_len);
	prefix = f->prefix;
	count = bpf_map_lookup_elem(&masq_counters, &prefix);
	if (count) {
		count->ingress.packets++;
		count->ingress.bytes += bpf_ntohs(ip->tot_len);
	}
	return to.ifindex ? into_pod(eth, ip) : XDP_PASS;
}

char _license[] SEC("license") = "GPL";

// SPDX-License-Identifier: GPL-2.0-only
/*
 * xdp.bpf.c - an experiment, no part of masqbpf: what its tc ingress does for
 * replies to masqueraded flows, done by XDP on the maps of a running instance.
 * It is the best case for XDP: only IPv4 UDP and TCP without options, fragments
 * or VLAN, no policy, no timeouts, no events, and no second program behind it
 * for all that it leaves out. docs/performance.md has what came out.
 */
#include "common.h"

/* the rooms of the dataplane that find a record and change one; all their maps
 * that matter are those of the instance: bpf_map__reuse_fd() */
#define FAM	   4
#define FN(name)   MASQ_PASTE(name##_v, FAM)
#define KEY	   struct masq_key4
#define FLOW	   struct masq_flow4
#define PAGE	   struct masq_page4
#define TABLE	   masq_flows4
#define ASIDE	   masq_aside4
#define PKT	   struct FN(masq_pkt)
#define VIEW	   struct FN(masq_view)
#define MASQ_SHAPE FN(masq_shape)
#define WORDS	   1
#define L3_HLEN	   20
#define PROTO_ICMP IPPROTO_ICMP
#include "parse.h"
#include "event.h"
#include "table.h"
#include "record.h"
#include "timeout.h"
#include "flow.h"
#include "touch.h"
#include "bench.h"

#define TCP_SYN_FIN_RST_ACK 0x17
#define TCP_ACK		    0x10

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

/* What the handshake changes; egress would else find the flow unanswered. An
 * experiment may do without the lock. */
static __noinline int answered(VIEW *rev)
{
	const __u8 in = MASQ_SEEN_ONE | MASQ_SEEN_TWO | MASQ_SEEN_ACK;
	struct masq_aside *a = aside_v4(rev->slot);
	struct masq_flow4 *own = a ? slot_v4(a->peer) : NULL;

	if (!own || own->seq != a->peer_seq)
		return 0;
	own->in_seen |= in;
	rev->at->in_seen |= in;
	rev->at->out_seen = own->out_seen;
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
	struct masq_key4 key = {};
	__u32 now, bytes;
	VIEW v;

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
	now = masq_now();
	if (!see_v4(&key, &v) || v.kind != MASQ_K_REV || !live_v4(&v, now))
		return XDP_PASS;
	if (ip->protocol == IPPROTO_TCP) {
		if ((void *)(tcp + 1) > end)
			return XDP_PASS;
		if (((__u8 *)tcp)[13] & TCP_SYN_FIN_RST_ACK & ~TCP_ACK ||
		    masq_flow_state(key.proto, v.out_seen, v.in_seen) !=
			    MASQ_ST_ESTABLISHED)
			answered(&v);
		tcp->check = replace(tcp->check, ip->daddr, v.xlat_addr[0],
				     tcp->dest, v.xlat_port);
		tcp->dest = v.xlat_port;
	} else {
		if (udp->check) {
			udp->check = replace(udp->check, ip->daddr,
					     v.xlat_addr[0], udp->dest,
					     v.xlat_port);
			if (!udp->check)
				udp->check = 0xffff;
		}
		udp->dest = v.xlat_port;
	}
	ip->check = replace(ip->check, ip->daddr, v.xlat_addr[0], 0, 0);
	ip->daddr = v.xlat_addr[0];
	if (v.last_seen != now)
		v.at->last_seen = now;
	bytes = bpf_ntohs(ip->tot_len);
	masq_tally_add(&v.at->tally, 1, bytes);
	masq_count_prefix(v.prefix, MASQ_INGRESS, 1, bytes, 0);
	return to.ifindex ? into_pod(eth, ip) : XDP_PASS;
}

char _license[] SEC("license") = "GPL";

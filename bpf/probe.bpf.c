// SPDX-License-Identifier: GPL-2.0-only
/*
 * probe.bpf.c - for the time of a `masqbpf probe`, and with nothing to do with
 * flows: finds the answers to its attempts. One entry is the filter of the
 * socket that reads them; the other drops them before anybody else takes them
 * for his own. Who is killed leaves keys that have run out.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <stdbool.h>
#include "masqbpf.h"

#define INLINE	static __always_inline

#define TCP_RST 0x04
#define TCP_SYN 0x02
#define TCP_ACK 0x10

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MASQ_ATTEMPTS);
	__type(key, struct masq_attempt_key);
	__type(value, struct masq_attempt);
} masq_attempts SEC(".maps");

/* What an attempt of ours and its answer have in common. */
struct ends {
	__be16 source, dest; /* an echo: the identifier, 0 */
	__be32 seq, ack; /* TCP; an echo: its sequence number, 0 */
	__u8 flags; /* TCP */
};

INLINE bool load(struct __sk_buff *skb, __u32 at, void *to, __u32 size)
{
	return !bpf_skb_load_bytes_relative(skb, at, to, size,
					    BPF_HDR_START_NET);
}

/* Of the transport header at `at`; of a quote 8 bytes have to do. */
INLINE bool read_ends(struct __sk_buff *skb, __u32 at, __u8 proto, bool quote,
		      struct ends *e)
{
	__be16 word[8] = {};

	if (!load(skb, at, word, 8))
		return false;
	if (proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		e->source = word[2];
		e->seq = word[3];
		return true;
	}
	e->source = word[0];
	e->dest = word[1];
	if (proto != IPPROTO_TCP)
		return proto == IPPROTO_UDP;
	__builtin_memcpy(&e->seq, &word[2], sizeof(e->seq));
	if (quote)
		return true;
	if (!load(skb, at + 8, word, 8))
		return false;
	__builtin_memcpy(&e->ack, &word[0], sizeof(e->ack));
	e->flags = ((__u8 *)word)[5];
	return true;
}

/*
 * Is the packet an answer, or an error about an attempt? With `sure`: one that
 * nobody else can be waiting for.
 */
INLINE bool is_answer(struct __sk_buff *skb, const bool sure)
{
	struct masq_attempt_key key = {};
	struct masq_attempt *attempt;
	struct ends e = {};
	bool error = false;
	__u8 proto, type = 0;
	__u32 at;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (!load(skb, 0, &ip, sizeof(ip)) || ip.ihl < 5 ||
		    ip.frag_off & bpf_htons(0x1fff))
			return false;
		at = ip.ihl * 4;
		proto = ip.protocol;
		key.family = 4;
		key.local[0] = ip.daddr;
		key.remote[0] = ip.saddr;
		if (proto == IPPROTO_ICMP) {
			if (!load(skb, at, &type, 1))
				return false;
			/* unreachable, time exceeded, parameter problem */
			error = type == 3 || type == 11 || type == 12;
			if (!error && type != 0)
				return false;
		}
		if (error) {
			if (!load(skb, at + 8, &ip, sizeof(ip)) || ip.ihl < 5)
				return false;
			at += 8 + ip.ihl * 4;
			proto = ip.protocol;
			key.local[0] = ip.saddr;
			key.remote[0] = ip.daddr;
		}
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (!load(skb, 0, &ip, sizeof(ip)))
			return false;
		at = sizeof(ip);
		proto = ip.nexthdr;
		key.family = 6;
		__builtin_memcpy(key.local, &ip.daddr, 16);
		__builtin_memcpy(key.remote, &ip.saddr, 16);
		if (proto == IPPROTO_ICMPV6) {
			if (!load(skb, at, &type, 1))
				return false;
			error = type >= 1 && type <= 4;
			if (!error && type != 129)
				return false;
		}
		if (error) {
			if (!load(skb, at + 8, &ip, sizeof(ip)))
				return false;
			at += 8 + sizeof(ip);
			proto = ip.nexthdr;
			__builtin_memcpy(key.local, &ip.saddr, 16);
			__builtin_memcpy(key.remote, &ip.daddr, 16);
		}
	} else {
		return false;
	}
	if (!read_ends(skb, at, proto, error, &e))
		return false;
	key.proto = proto;
	if (error || proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6) {
		key.local_port = e.source;
		key.remote_port = e.dest;
	} else {
		key.local_port = e.dest;
		key.remote_port = e.source;
	}
	attempt = bpf_map_lookup_elem(&masq_attempts, &key);
	if (!attempt || bpf_ktime_get_ns() > attempt->until_ns)
		return false;
	if (error)
		return e.seq == attempt->seq || proto == IPPROTO_UDP;
	if (proto == IPPROTO_UDP)
		return true;
	if (proto != IPPROTO_TCP)
		return e.seq == attempt->seq;
	/* what answers another connection of the same ends is not ours */
	return !sure || (e.ack == attempt->ack && e.flags & TCP_ACK &&
			 e.flags & (TCP_SYN | TCP_RST));
}

SEC("socket")
int masq_answers(struct __sk_buff *skb)
{
	return skb->pkt_type != PACKET_OUTGOING && is_answer(skb, false) ? 512
									 : 0;
}

SEC("tc")
int masq_swallow(struct __sk_buff *skb)
{
	return is_answer(skb, true) ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char _license[] SEC("license") = "GPL";

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * ct.h - asks the node's own conntrack, where this kernel lets a program do so
 * (5.18, with nf_conntrack there when it was loaded), about TCP and UDP at a
 * flow's first packet: is it an answer to what came in by another interface,
 * and has netfilter or the node itself the port? Without it the reservations
 * and watches have to serve. The functions are not even named in the object for
 * where they cannot be had (masq_noct): libbpf would look for them through all
 * modules, which takes CAP_SYS_ADMIN. Included once per family by family.h.
 */
#ifndef MASQ_CT
#define MASQ_CT
enum masq_ct {
	MASQ_CT_NONE, /* it does not know, or cannot be asked */
	MASQ_CT_ORIGINAL, /* the far side opened it */
	MASQ_CT_REPLY, /* the far side answers */
};

#ifdef MASQ_ASKS_CT
/* as the kernel has them; only what is asked of them stands here */
struct nf_conn {
	unsigned long status;
} __attribute__((preserve_access_index));
struct nf_hook_entries;
struct net {
	struct {
		struct nf_hook_entries *hooks_ipv4[1], *hooks_ipv6[1];
	} nf;
} __attribute__((preserve_access_index));
struct net_device {
	struct {
		struct net *net;
	} nd_net;
} __attribute__((preserve_access_index));
struct sk_buff {
	struct net_device *dev;
} __attribute__((preserve_access_index));
struct masq_ct_opts {
	__s32 netns_id;
	__s32 error;
	__u8 l4proto;
	__u8 dir;
	__u8 reserved[2];
};
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *skb,
					 struct bpf_sock_tuple *tuple,
					 __u32 tuple_size,
					 struct masq_ct_opts *opts,
					 __u32 opts_size) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *ct) __ksym __weak;

#define MASQ_READ(var, at) bpf_probe_read_kernel(&(var), sizeof(var), at)
/* bpf_core_field_exists */
#define MASQ_HAS(field) __builtin_preserve_field_info(field, 2)

/*
 * Is conntrack not used in this network, so that there is nobody to ask? What
 * looks up packets for it hangs at NF_INET_PRE_ROUTING, the first place. A look
 * at the hash, whose memory nothing else uses then, is what a new flow would
 * wait for most. False also: not known.
 */
MASQ_NOINLINE bool masq_ct_idle(struct __sk_buff *skb, bool ipv6)
{
	const struct sk_buff *inside = (const void *)skb;
	struct nf_hook_entries *hooks;
	struct net_device *dev;
	struct net *net;

	if (MASQ_READ(dev, &inside->dev) || MASQ_READ(net, &dev->nd_net.net))
		return false;
	if (!ipv6)
		return !MASQ_READ(hooks, &net->nf.hooks_ipv4[0]) && !hooks;
	return MASQ_HAS(net->nf.hooks_ipv6) &&
	       !MASQ_READ(hooks, &net->nf.hooks_ipv6[0]) && !hooks;
}
#endif
#endif

/* What conntrack has of packets from key's far side to its inside. */
MASQ_NOINLINE int FN(ct_of)(struct __sk_buff *skb, const KEY *key)
{
#ifdef MASQ_ASKS_CT
	struct masq_ct_opts opts = { .netns_id = BPF_F_CURRENT_NETNS,
				     .l4proto = key->proto };
	struct bpf_sock_tuple t = {};
	struct nf_conn *ct;
	int dir;

	if (!(masq_features & MASQ_FEAT_CT) ||
	    (key->proto != IPPROTO_TCP && key->proto != IPPROTO_UDP) ||
	    masq_ct_idle(skb, FAM == 6))
		return MASQ_CT_NONE;
#if FAM == 4
	t.ipv4.saddr = key->rem_addr[0];
	t.ipv4.daddr = key->in_addr[0];
	t.ipv4.sport = key->rem_port;
	t.ipv4.dport = key->in_port;
	ct = bpf_skb_ct_lookup(skb, &t, sizeof(t.ipv4), &opts, sizeof(opts));
#else
	FN(addr_copy)(t.ipv6.saddr, key->rem_addr);
	FN(addr_copy)(t.ipv6.daddr, key->in_addr);
	t.ipv6.sport = key->rem_port;
	t.ipv6.dport = key->in_port;
	ct = bpf_skb_ct_lookup(skb, &t, sizeof(t.ipv6), &opts, sizeof(opts));
#endif
	if (!ct)
		return MASQ_CT_NONE;
	dir = opts.dir ? MASQ_CT_REPLY : MASQ_CT_ORIGINAL;
	bpf_ct_release(ct);
	return dir;
#else
	return MASQ_CT_NONE;
#endif
}

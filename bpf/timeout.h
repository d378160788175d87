/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * timeout.h - how long a flow may be idle, by what it has shown and by the
 * policy's timeouts. Included once per family by family.h.
 */

MASQ_INLINE bool FN(proto_is_udp)(__u8 proto)
{
	return proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;
}

/*
 * A service that asks and answers and has done (RFC 4787 REQ-5a): well-known
 * ports but those on which sessions go on, QUIC's and IKE's.
 */
MASQ_INLINE bool FN(is_brief)(const KEY *key, __u8 kind)
{
	__u16 port = bpf_ntohs(kind == MASQ_K_INBOUND ? key->in_port
						      : key->rem_port);

	return port && port < 1024 && port != 443 && port != 500;
}

/* Ticks that a flow may be idle: RFC 4787 REQ-5, 5382 REQ-5, 5508 REQ-2. */
MASQ_INLINE __u32 FN(flow_timeout)(const struct masq_policy *pol,
				   const KEY *key, __u8 kind, __u8 out, __u8 in)
{
	__u8 state;

	/* nobody answered a flow from outside: a quarter of the shortest */
	if (kind == MASQ_K_INBOUND && !out)
		return pol->timeout[MASQ_T_UDP_UNREPLIED] / 4;
	state = masq_flow_state(key->proto, out, in);
	if (key->proto == IPPROTO_TCP)
		return state == MASQ_ST_ESTABLISHED || state == MASQ_ST_CLOSING
			       ? pol->timeout[MASQ_T_TCP_ESTABLISHED]
			       : pol->timeout[MASQ_T_TCP_TRANSITORY];
	if (FN(proto_is_udp)(key->proto)) {
		__u32 brief = pol->timeout[MASQ_T_UDP_UNREPLIED] / 4;

		if (!out || !in)
			return pol->timeout[MASQ_T_UDP_UNREPLIED];
		return state != MASQ_ST_ESTABLISHED && FN(is_brief)(key, kind)
			       ? brief
			       : pol->timeout[MASQ_T_UDP];
	}
	return key->proto == PROTO_ICMP ? pol->timeout[MASQ_T_ICMP]
					: pol->timeout[MASQ_T_OTHER];
}

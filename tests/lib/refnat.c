// SPDX-License-Identifier: GPL-2.0-only
/* refnat.c - see refnat.h. */
#include <netinet/in.h>
#include <string.h>
#include "refnat.h"

enum what {
	OPENER,
	TCP_ACK, /* mid-stream */
	OTHER,
	ICMP_ERROR,
	PIECE, /* a later fragment */
	BROKEN,
};

struct view {
	struct ref_addr src, dst;
	uint16_t sport, dport; /* ICMP query: the identifier is sport */
	uint8_t proto, tcp_flags, icmp_type;
	uint32_t seq, ack, id;
	enum what what;
	bool query, reply;
	bool first; /* fragment, more to come */
	uint32_t l3, l4, end, piece_off;
};

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v & 0xff;
}

static bool same(const struct ref_addr *a, const struct ref_addr *b)
{
	return a->v6 == b->v6 && !memcmp(a->a, b->a, a->v6 ? 16 : 4);
}

static struct ref_addr addr_at(const uint8_t *p, bool v6)
{
	struct ref_addr a = { .v6 = v6 };

	memcpy(a.a, p, v6 ? 16 : 4);
	return a;
}

static bool with_ports(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP ||
	       proto == IPPROTO_SCTP || proto == IPPROTO_UDPLITE ||
	       proto == IPPROTO_DCCP;
}

static bool is_icmp(const struct view *v)
{
	return v->proto == (v->src.v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP);
}

static void read_l4(const uint8_t *f, struct view *v)
{
	uint32_t room = v->end - v->l4;
	const uint8_t *h = f + v->l4;

	v->what = BROKEN;
	if (v->proto == IPPROTO_TCP) {
		if (room < 20 || h[12] >> 4 < 5)
			return;
		v->tcp_flags = h[13];
		v->seq = get32(h + 4);
		v->ack = get32(h + 8);
		switch (h[13] & 0x17) { /* ACK, RST, SYN, FIN */
		case 0x02:
			v->what = OPENER;
			break;
		case 0x10:
			v->what = TCP_ACK;
			break;
		default:
			v->what = OTHER;
		}
	} else if (is_icmp(v)) {
		bool v6 = v->src.v6;

		if (room < 8)
			return;
		v->icmp_type = h[0];
		v->query = v6 ? h[0] == 128
			      : h[0] == 8 || h[0] == 13 || h[0] == 15 ||
					   h[0] == 17;
		v->reply = v6 ? h[0] == 129
			      : h[0] == 0 || h[0] == 14 || h[0] == 16 ||
					   h[0] == 18;
		if (v->query || v->reply)
			v->sport = get16(h + 4);
		if (v->query)
			v->what = OPENER;
		else if (v6 ? h[0] < 128
			    : h[0] == 3 || h[0] == 4 || h[0] == 11 ||
					 h[0] == 12)
			v->what = ICMP_ERROR;
		else
			v->what = OTHER;
		return;
	} else if (with_ports(v->proto)) {
		if (room < 8 || (v->proto == IPPROTO_UDP && get16(h + 4) < 8))
			return;
		v->what = OPENER;
	} else {
		v->what = OPENER;
		return;
	}
	v->sport = get16(h);
	v->dport = get16(h + 2);
}

/* False: not even addresses. */
static bool read_packet(const uint8_t *f, size_t length, uint32_t l3,
			struct view *v)
{
	const uint8_t *h = f + l3;
	uint32_t have = length - l3;

	memset(v, 0, sizeof(*v));
	v->l3 = l3;
	v->what = BROKEN;
	if (get16(f + l3 - 2) == 0x0800) {
		uint32_t hlen = (h[0] & 15) * 4, total = get16(h + 2);

		if (have < 20)
			return false;
		v->src = addr_at(h + 12, false);
		v->dst = addr_at(h + 16, false);
		v->proto = h[9];
		v->id = get16(h + 4);
		if (h[0] >> 4 != 4 || hlen < 20 || total < hlen || total > have)
			return true;
		v->l4 = l3 + hlen;
		v->end = l3 + total;
		v->piece_off = (get16(h + 6) & 0x1fff) * 8;
		v->first = get16(h + 6) & 0x2000;
	} else {
		uint32_t at = l3 + 40, total = get16(h + 4) + 40;
		bool done = false;

		if (have < 40)
			return false;
		v->src = addr_at(h + 8, true);
		v->dst = addr_at(h + 24, true);
		v->proto = h[6];
		if (h[0] >> 4 != 6 || total > have)
			return true;
		v->end = l3 + total;
		for (int i = 0; i < 8 && !done; i++) {
			switch (v->proto) {
			case IPPROTO_HOPOPTS:
			case IPPROTO_ROUTING:
			case IPPROTO_DSTOPTS:
			case IPPROTO_MH:
				if (at + 8 > length)
					return true;
				v->proto = f[at];
				at += (f[at + 1] + 1) * 8;
				break;
			case IPPROTO_FRAGMENT:
				if (at + 8 > length)
					return true;
				v->id = get32(f + at + 4);
				v->piece_off = get16(f + at + 2) & 0xfff8;
				v->first = f[at + 3] & 1;
				v->proto = f[at];
				at += 8;
				done = v->piece_off;
				break;
			default:
				done = true;
			}
		}
		v->l4 = at;
		if (!v->piece_off && (!done || at > v->end))
			return true;
	}
	if (v->piece_off) {
		v->what = PIECE;
		v->first = false;
		return true;
	}
	read_l4(f, v);
	return true;
}

/* --- flows ---------------------------------------------------------------- */

static bool closed(const struct ref_flow *f)
{
	return f->proto == IPPROTO_TCP && (f->rst || (f->fin_out && f->fin_in));
}

static struct ref_flow *find(struct refnat *nat, const struct view *v,
			     bool egress)
{
	const struct ref_addr *in = egress ? &v->src : &v->dst;
	const struct ref_addr *rem = egress ? &v->dst : &v->src;
	bool icmp = is_icmp(v);
	uint16_t in_port = egress || icmp ? v->sport : v->dport;
	uint16_t rem_port = icmp ? 0 : egress ? v->dport : v->sport;
	bool outside = icmp && (egress ? v->reply : v->query);

	if (icmp && !v->query && !v->reply)
		return NULL;
	for (size_t i = 0; i < nat->n_flows; i++) {
		struct ref_flow *f = &nat->flows[i];
		const struct ref_addr *node = rem->v6 ? &nat->node6
						      : &nat->node4;

		if (!f->kind || f->proto != v->proto || !same(&f->rem, rem) ||
		    f->rem_port != rem_port || f->asked_outside != outside)
			continue;
		if (f->kind == REF_MASQ && !egress) {
			if (same(node, in) && f->node_port == in_port)
				return f;
		} else if (same(&f->pod, in) && f->pod_port == in_port) {
			return f;
		}
	}
	return NULL;
}

/* RFC 5382, 5961 and 7857: what this packet shows of its connection. */
static void learn(struct ref_flow *f, const struct view *v, bool egress)
{
	bool tcp = v->proto == IPPROTO_TCP, believed = true;

	if (tcp && (v->tcp_flags & 5) && !egress) {
		bool handshake = !closed(f) && !(f->ack_out && f->ack_in);
		uint32_t ahead = v->seq - f->pod_ack;

		/* a FIN may come with data that the pod has had */
		believed = handshake || !f->pod_ack ||
			   (v->tcp_flags & 4 ? ahead + 1 <= 1 << 20
					     : ahead + (1 << 20) <= 2 << 20);
	}
	if (egress)
		f->out = true;
	else
		f->in = true;
	if (tcp && believed) {
		if (v->tcp_flags & 4)
			f->rst = true;
		else
			f->rst = false;
		if (v->tcp_flags & 1)
			*(egress ? &f->fin_out : &f->fin_in) = true;
		if (v->tcp_flags & 16)
			*(egress ? &f->ack_out : &f->ack_in) = true;
	}
	if (tcp && egress)
		f->pod_ack = v->ack;
}

static bool taken(const struct refnat *nat, const struct view *v,
		  uint16_t node_port)
{
	uint16_t rem_port = is_icmp(v) ? 0 : v->dport;

	for (size_t i = 0; i < nat->n_flows; i++) {
		const struct ref_flow *f = &nat->flows[i];

		if (f->kind == REF_MASQ && f->proto == v->proto &&
		    same(&f->rem, &v->dst) && f->rem_port == rem_port &&
		    f->node_port == node_port)
			return true;
	}
	return false;
}

static struct ref_flow *add(struct refnat *nat, const struct view *v,
			    bool egress, int kind)
{
	struct ref_flow *f = &nat->flows[nat->n_flows++];

	memset(f, 0, sizeof(*f));
	f->kind = kind;
	f->proto = v->proto;
	f->pod = egress ? v->src : v->dst;
	f->rem = egress ? v->dst : v->src;
	f->pod_port = egress || is_icmp(v) ? v->sport : v->dport;
	f->rem_port = is_icmp(v) ? 0 : egress ? v->dport : v->sport;
	f->asked_outside = is_icmp(v) && !egress;
	learn(f, v, egress);
	return f;
}

static struct ref_choice *choice_of(struct refnat *nat, const struct view *v)
{
	for (size_t i = 0; i < nat->n_choices; i++) {
		struct ref_choice *c = &nat->choices[i];

		if (c->proto == v->proto && c->port == v->sport &&
		    same(&c->pod, &v->src))
			return c;
	}
	return NULL;
}

/* E4, E6. NULL: nothing to translate to. */
static struct ref_flow *masquerade(struct refnat *nat, const struct view *v,
				   const uint8_t *got, const char **why)
{
	bool ports = with_ports(v->proto), icmp = is_icmp(v);
	bool may_change = v->proto == IPPROTO_TCP || v->proto == IPPROTO_UDP ||
			  icmp;
	struct ref_choice *c = may_change ? choice_of(nat, v) : NULL;
	struct ref_flow *f;
	uint16_t port;

	if (v->what == TCP_ACK)
		c = NULL;
	if (c && (!ports || nat->port_allowed(c->node_port)) &&
	    !taken(nat, v, c->node_port)) {
		port = c->node_port;
	} else if ((!ports || nat->port_allowed(v->sport)) &&
		   !taken(nat, v, v->sport)) {
		port = v->sport;
	} else if (!may_change || v->what == TCP_ACK) {
		return NULL;
	} else {
		port = get16(got + v->l4 + (icmp ? 4 : 0));
		if (taken(nat, v, port))
			*why = "it chose a port that is taken";
		if (ports && (!nat->port_allowed(port) ||
			      port < nat->port_min || port > nat->port_max))
			*why = "it chose a port that is not allowed";
	}
	if (may_change && (c || port != v->sport)) {
		if (!c) {
			c = &nat->choices[nat->n_choices++];
			*c = (struct ref_choice){ .used = true,
						  .pod = v->src,
						  .port = v->sport,
						  .proto = v->proto };
		}
		c->node_port = port;
	}
	f = add(nat, v, true, REF_MASQ);
	f->node_port = port;
	return f;
}

/* --- writing -------------------------------------------------------------- */

static uint32_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i + 1 < n; i += 2)
		s += get16(p + i);
	return n & 1 ? s + (p[n - 1] << 8) : s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

/*
 * A checksum field after the bytes that it covers have changed: right if it
 * was right, wrong by the same amount if it was wrong (RFC 1624).
 */
static uint16_t adjusted(uint16_t check, uint32_t before, uint32_t after)
{
	return (uint16_t)~fold((uint16_t)~check + (uint16_t)~fold(before) +
			       fold(after));
}

static int check_offset(uint8_t proto, bool v6)
{
	if (proto == IPPROTO_TCP)
		return 16;
	if (proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE ||
	    proto == IPPROTO_DCCP)
		return 6;
	if (proto == (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP))
		return 2;
	return -1;
}

static void put_check(uint8_t *p, uint8_t proto, uint32_t before,
		      uint32_t after)
{
	uint16_t check = get16(p);
	bool udp = proto == IPPROTO_UDP || proto == IPPROTO_UDPLITE;

	if (udp && !check)
		return;
	check = adjusted(check, before, after);
	put16(p, !check && udp ? 0xffff : check);
}

/*
 * Address (source or destination) and, with l4, the port at port_off of the
 * packet whose L3 header is at l3; limit: where the bytes end.
 */
static void translate(uint8_t *f, uint32_t l3, uint32_t l4, uint8_t proto,
		      bool source, const struct ref_addr *to, int port_off,
		      uint16_t port, uint32_t limit)
{
	size_t n = to->v6 ? 16 : 4;
	uint8_t *addr =
		f + l3 + (to->v6 ? (source ? 8 : 24) : (source ? 12 : 16));
	uint32_t before = sum(addr, n, 0), after = sum(to->a, n, 0);
	int check = l4 ? check_offset(proto, to->v6) : -1;
	bool pseudo = proto != IPPROTO_ICMP;

	if (!to->v6)
		put16(f + l3 + 10, adjusted(get16(f + l3 + 10), before, after));
	memcpy(addr, to->a, n);
	if (!pseudo)
		before = after = 0;
	if (port_off >= 0) {
		before += get16(f + l4 + port_off);
		after += port;
		put16(f + l4 + port_off, port);
	}
	if (check >= 0 && l4 + check + 2 <= limit)
		put_check(f + l4 + check, proto, before, after);
	/* The sum of nothing but zeros is 0, not its other form 0xffff, which
	 * RFC 1624's difference cannot tell: an echo reply can be that empty. */
	if (proto == IPPROTO_ICMP && l4 && !sum(f + l4, limit - l4, 0))
		put16(f + l4 + check, 0xffff);
}

static int port_offset(const struct view *v, bool source)
{
	if (is_icmp(v))
		return v->query || v->reply ? 4 : -1;
	return with_ports(v->proto) ? (source ? 0 : 2) : -1;
}

/* --- errors, fragments ---------------------------------------------------- */

/* An ICMP error: its flow, and what it quotes in *q. */
static struct ref_flow *error_flow(struct refnat *nat, const uint8_t *f,
				   size_t length, const struct view *v,
				   bool egress, struct view *q)
{
	uint32_t at = v->l4 + 8;
	bool v6 = v->src.v6;
	const uint8_t *h = f + at;

	memset(q, 0, sizeof(*q));
	q->l3 = at;
	q->end = v->end;
	if (at + (v6 ? 40 : 20) > length || h[0] >> 4 != (v6 ? 6 : 4))
		return NULL;
	q->src = addr_at(h + (v6 ? 8 : 12), v6);
	q->dst = addr_at(h + (v6 ? 24 : 16), v6);
	if (v6) {
		q->proto = h[6];
		at += 40;
		for (int i = 0; i < 4; i++) {
			bool piece = q->proto == IPPROTO_FRAGMENT;

			if (q->proto != IPPROTO_HOPOPTS &&
			    q->proto != IPPROTO_ROUTING &&
			    q->proto != IPPROTO_DSTOPTS && !piece)
				break;
			if (at + 4 > length ||
			    (piece && get16(f + at + 2) & 0xfff8))
				return NULL;
			q->proto = f[at];
			at += piece ? 8 : (f[at + 1] + 1) * 8;
		}
	} else {
		if ((h[0] & 15) < 5 || get16(h + 6) & 0x1fff)
			return NULL;
		q->proto = h[9];
		at += (h[0] & 15) * 4;
	}
	q->l4 = at;
	/* the quoted packet went the other way */
	if (is_icmp(q) || with_ports(q->proto)) {
		if (at + 8 > v->end)
			return NULL;
		if (is_icmp(q)) {
			q->query = f[at] == (v6 ? 128 : 8);
			q->reply = f[at] == (v6 ? 129 : 0);
			if (!q->query && !q->reply)
				return NULL;
			q->sport = get16(f + at + 4);
		} else {
			q->sport = get16(f + at);
			q->dport = get16(f + at + 2);
		}
	}
	/* errors go to whoever sent what they quote */
	if (!same(&v->dst, &q->src))
		return NULL;
	/*
	 * Errors that come in quote what the far side has seen; those that go
	 * out what the pod has got.
	 */
	for (size_t i = 0; i < nat->n_flows; i++) {
		struct ref_flow *r = &nat->flows[i];
		const struct ref_addr *in = egress ? &q->dst : &q->src;
		const struct ref_addr *rem = egress ? &q->src : &q->dst;
		bool icmp = is_icmp(q);
		uint16_t in_port = icmp || !egress ? q->sport : q->dport;
		uint16_t rem_port = icmp ? 0 : egress ? q->sport : q->dport;
		bool outside = icmp && (egress ? q->query : q->reply);
		const struct ref_addr *node = v6 ? &nat->node6 : &nat->node4;

		if (!r->kind || r->proto != q->proto || !same(&r->rem, rem) ||
		    r->rem_port != rem_port || r->asked_outside != outside)
			continue;
		if (r->kind == REF_MASQ && !egress) {
			if (same(in, node) && r->node_port == in_port)
				return r;
		} else if (same(&r->pod, in) && r->pod_port == in_port) {
			return r;
		}
	}
	return NULL;
}

static void write_error(const struct refnat *nat, const struct ref_flow *r,
			uint8_t *f, const struct view *v, const struct view *q,
			bool egress)
{
	bool v6 = v->src.v6;
	struct ref_addr to = egress ? (v6 ? nat->node6 : nat->node4) : r->pod;
	uint16_t port = egress ? r->node_port : r->pod_port;
	/* the ICMP checksum covers everything up to the end */
	uint32_t body = v->l4 + 4, before, after;
	size_t n = v->end - body;

	before = sum(f + body, n, v6 ? sum(f + v->l3 + 8, 32, 0) : 0);
	translate(f, v->l3, 0, 0, egress, &to, -1, 0, v->end);
	translate(f, q->l3, q->l4, q->proto, !egress, &to,
		  port_offset(q, !egress), port, v->end);
	after = sum(f + body, n, v6 ? sum(f + v->l3 + 8, 32, 0) : 0);
	put16(f + v->l4 + 2, adjusted(get16(f + v->l4 + 2), before, after));
}

static struct ref_note *note_of(struct refnat *nat, const struct view *v,
				bool egress, bool make)
{
	const struct ref_addr *in = egress ? &v->src : &v->dst;
	const struct ref_addr *rem = egress ? &v->dst : &v->src;

	for (size_t i = 0; i < nat->n_notes; i++) {
		struct ref_note *n = &nat->notes[i];

		if (n->egress == egress && n->id == v->id &&
		    n->proto == v->proto && same(&n->in, in) &&
		    same(&n->rem, rem))
			return n;
	}
	if (!make)
		return NULL;
	nat->notes[nat->n_notes] = (struct ref_note){
		.in = *in,
		.rem = *rem,
		.id = v->id,
		.proto = v->proto,
		.egress = egress,
	};
	return &nat->notes[nat->n_notes++];
}

/* --- the table ------------------------------------------------------------ */

void refnat_init(struct refnat *nat)
{
	nat->n_flows = nat->n_notes = nat->n_choices = 0;
}

static bool multicast(const struct ref_addr *a)
{
	return a->v6 ? a->a[0] == 0xff
		     : a->a[0] >> 4 == 14 || get32(a->a) == 0xffffffff;
}

static bool link_local(const struct ref_addr *a)
{
	return a->v6 ? a->a[0] == 0xfe && (a->a[1] & 0xc0) == 0x80
		     : a->a[0] == 169 && a->a[1] == 254;
}

/* Without a record. NULL with *pass: nothing to write. */
static struct ref_flow *without_record(struct refnat *nat, const uint8_t *f,
				       const struct view *v, bool egress,
				       const uint8_t *got, bool *pass,
				       const char **why)
{
	*pass = true;
	if (!egress) {
		if (multicast(&v->dst) || nat->is_local(&v->dst) ||
		    (v->what != OPENER && v->what != TCP_ACK))
			return NULL; /* I2 */
		return add(nat, v, false, REF_INBOUND); /* I4 */
	}
	if (v->src.v6 && is_icmp(v) && v->what == OTHER &&
	    ((v->icmp_type >= 130 && v->icmp_type <= 137) ||
	     v->icmp_type == 143) &&
	    f[v->l3 + 7] == 255)
		return NULL; /* discovery */
	if (link_local(&v->src) || (v->dst.v6 && link_local(&v->dst)) ||
	    nat->is_local(&v->src) || nat->is_local(&v->dst))
		return NULL;
	if (nat->keeps(&v->dst)) {
		if (v->what == OPENER || v->what == TCP_ACK)
			return add(nat, v, true, REF_KEEP); /* E5 */
		return NULL;
	}
	*pass = false;
	if (v->what != OPENER && v->what != TCP_ACK)
		return NULL; /* E7 */
	return masquerade(nat, v, got, why); /* E4, E6 */
}

bool refnat_packet(struct refnat *nat, bool egress, const uint8_t *frame,
		   size_t length, const uint8_t *got, uint8_t *want,
		   const char **why)
{
	struct ref_flow *f = NULL;
	struct ref_note *note;
	uint32_t l3 = 14;
	struct view v, q;
	struct ref_addr to;
	bool pass;

	*why = NULL;
	memcpy(want, frame, length);
	for (int tag = 0; tag < 2 && (get16(frame + l3 - 2) == 0x8100 ||
				      get16(frame + l3 - 2) == 0x88a8);
	     tag++)
		l3 += 4;
	if ((get16(frame + l3 - 2) != 0x0800 &&
	     get16(frame + l3 - 2) != 0x86dd) ||
	    !read_packet(frame, length, l3, &v))
		return true;
	if (egress && multicast(&v.dst))
		return true;
	if (v.what == ICMP_ERROR) {
		f = error_flow(nat, frame, length, &v, egress, &q);
		if (f) {
			if (f->kind == REF_MASQ)
				write_error(nat, f, want, &v, &q, egress);
			return true;
		}
	} else if (v.what == PIECE && (with_ports(v.proto) || is_icmp(&v))) {
		note = note_of(nat, &v, egress, false);
		if (note) {
			/* RFC 1858: it could replace the flags */
			if (note->translate && v.proto == IPPROTO_TCP &&
			    v.piece_off < 20)
				return false;
			if (note->translate)
				translate(want, v.l3, 0, 0, egress, &note->to,
					  -1, 0, v.end);
			return true;
		}
	} else if (v.what != BROKEN) {
		f = find(nat, &v, egress);
	}
	if (f && egress && v.what == OPENER && v.proto == IPPROTO_TCP &&
	    f->kind == REF_INBOUND && !f->out) {
		f->kind = REF_NONE; /* E2 asks for an answer: SYN or not */
		f = NULL;
	}
	if (f && v.what == OPENER && closed(f) &&
	    (egress || f->kind != REF_MASQ)) {
		f->kind = REF_NONE; /* a new connection on an old tuple */
		f = NULL;
	}
	if (f && v.what != PIECE) {
		learn(f, &v, egress);
	} else if (!f) {
		f = without_record(nat, frame, &v, egress, got, &pass, why);
		if (!f)
			return pass;
	}
	to = egress ? (v.src.v6 ? nat->node6 : nat->node4) : f->pod;
	if (f->kind == REF_MASQ)
		translate(want, v.l3, v.what == PIECE ? 0 : v.l4, v.proto,
			  egress, &to,
			  v.what == PIECE ? -1 : port_offset(&v, egress),
			  egress ? f->node_port : f->pod_port, v.end);
	if (v.first) {
		note = note_of(nat, &v, egress, true);
		note->translate = f->kind == REF_MASQ;
		note->to = to;
	}
	return true;
}

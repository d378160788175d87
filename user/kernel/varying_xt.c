// SPDX-License-Identifier: GPL-2.0-only
/* varying_xt.c - what matches and targets of xtables do to packets of a flow. */
#include <stdint.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/xt_CT.h>
#include <linux/netfilter/xt_DSCP.h>
#include <linux/netfilter/xt_connmark.h>
#include <linux/netfilter/xt_mark.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_set.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include "kernel/ipset.h"
#include "kernel/varying_xt.h"

bool varying_is_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

/* Of the flow, or of what every packet on the fast path has alike. */
static const char *const same_matches[] = {
	"comment",   "udp",	  "icmp",    "icmp6",	"mark",	 "connmark",
	"addrtype",  "multiport", "iprange", "physdev", "owner", "pkttype",
	"rpfilter",  "helper",	  "realm",   "dscp",	"ttl",	 "hl",
	"connlabel", "cgroup",	  "ipvs",    "sctp",	"dccp",	 "devgroup",
	"socket",    NULL
};

/*
 * What changes the packet is seen in it, and the packet has no consent then;
 * what sets a mark or priority is done again on the fast path.
 */
static const char *const same_targets[] = {
	"",	"standard", "ACCEPT", "DROP",	    "RETURN",	"REJECT",
	"MARK", "SNAT",	    "DNAT",   "MASQUERADE", "REDIRECT", "NETMAP",
	"CT",	"NOTRACK",  "TCPMSS", "CLASSIFY",   "SECMARK",	"CONNSECMARK",
	"DSCP", "TTL",	    "HL",     "ERROR",	    "CHECKSUM", NULL
};

/* Asks about a header of IPv6 that no packet on the fast path has. */
static const char *const never_matches[] = { "rt", "frag", "hbh", "dst", NULL };

#define ECN 0x03 /* of a TOS: queues write it, and it is not compared */

static enum varying_effect xt_tcp(const void *data, size_t size)
{
	const struct xt_tcp *tcp = data;

	if (size < sizeof(*tcp))
		return VARYING_VARIES;
	if (!(tcp->invflags & XT_TCP_INV_FLAGS) &&
	    (tcp->flg_cmp & tcp->flg_mask & VARYING_FLAGS_NEVER ||
	     tcp->flg_mask & ~tcp->flg_cmp & VARYING_ACK))
		return VARYING_NEVER;
	return tcp->option || tcp->flg_mask & VARYING_FLAGS ? VARYING_VARIES
							    : VARYING_SAME;
}

/* Of a match of these states. Where conntrack has not been yet, each packet is of
 * none, or (a zone was given) a new one. */
static enum varying_effect states(uint32_t mask)
{
	return mask & VARYING_ESTABLISHED ? VARYING_SAME : VARYING_UNKNOWN;
}

static enum varying_effect xt_conntrack(const void *data, size_t size,
					unsigned int rev)
{
	const struct xt_conntrack_mtinfo3 *ct = data;
	bool not ;

	/* the states have 8 bits before, at another place */
	if (rev < 2 || size < sizeof(struct xt_conntrack_mtinfo2))
		return VARYING_VARIES;
	if (ct->match_flags & XT_CONNTRACK_EXPIRES)
		return VARYING_VARIES;
	if (!(ct->match_flags & XT_CONNTRACK_STATE))
		return VARYING_SAME;
	not = ct->invert_flags & XT_CONNTRACK_STATE;
	return states(not ? ~(uint32_t)ct->state_mask : ct->state_mask);
}

static enum varying_effect xt_tos(const void *data, size_t size)
{
	const struct xt_tos_match_info *tos = data;

	return size < sizeof(*tos) || tos->tos_mask & ECN ? VARYING_VARIES
							  : VARYING_SAME;
}

static enum varying_effect xt_set(const void *data, size_t size,
				  unsigned int rev)
{
	struct xt_set_info_match_v3 three = {};
	struct xt_set_info_match_v4 four = {};

	/* of what comes from outside the sender's address is not compared; of
	 * which kind its set is a rule does not say */
	if (ipset_has_macs())
		return VARYING_VARIES;
	if (rev < 3)
		return VARYING_SAME;
	/* netlink aligns to 4 bytes, they want 8 */
	memcpy(&three, data, size < sizeof(three) ? size : sizeof(three));
	memcpy(&four, data, size < sizeof(four) ? size : sizeof(four));
	if (rev == 3)
		return size < sizeof(three) || three.packets.op ||
				       three.bytes.op
			       ? VARYING_VARIES
			       : VARYING_SAME;
	return rev > 4 || size < sizeof(four) || four.packets.op ||
			       four.bytes.op
		       ? VARYING_VARIES
		       : VARYING_SAME;
}

bool varying_xt_lets_all(const char *name, const void *data, size_t size,
			 unsigned int rev)
{
	const struct xt_conntrack_mtinfo3 *ct = data;

	if (!strcmp(name, "comment"))
		return true;
	if (!strcmp(name, "state"))
		return size >= sizeof(struct xt_state_info) &&
		       ((const struct xt_state_info *)data)->statemask &
			       VARYING_ESTABLISHED;
	return !strcmp(name, "conntrack") && rev >= 2 &&
	       size >= sizeof(struct xt_conntrack_mtinfo2) &&
	       ct->match_flags == XT_CONNTRACK_STATE && !ct->invert_flags &&
	       ct->state_mask & VARYING_ESTABLISHED;
}

bool varying_xt_by_state(const char *name)
{
	return !strcmp(name, "conntrack") || !strcmp(name, "state");
}

bool varying_xt_by_mark(const char *name, const void *data, size_t size)
{
	const struct xt_connmark_mtinfo1 *mark = data;

	return !strcmp(name, "connmark") &&
	       (size < sizeof(*mark) || (mark->mark && !mark->invert));
}

/* -1: not known. */
static int connmark_mode(const void *data, size_t size, unsigned int rev)
{
	const struct xt_connmark_tginfo2 *two = data;
	const struct xt_connmark_tginfo1 *one = data;

	if (rev == 1 && size >= sizeof(*one))
		return one->mode;
	return rev == 2 && size >= sizeof(*two) ? two->mode : -1;
}

bool varying_xt_marks(const char *name, const void *data, size_t size,
		      unsigned int rev)
{
	return !strcmp(name, "CONNMARK") &&
	       connmark_mode(data, size, rev) != XT_CONNMARK_RESTORE;
}

uint8_t varying_xt_mark(const char *name, const void *data, size_t size,
			unsigned int rev)
{
	const struct xt_mark_tginfo2 *mark = data;

	if (!strcmp(name, "MARK"))
		return size >= sizeof(*mark) && mark->mark & ~mark->mask
			       ? VARYING_TURNS
			       : 0;
	if (strcmp(name, "CONNMARK") != 0)
		return 0;
	switch (connmark_mode(data, size, rev)) {
	case XT_CONNMARK_SAVE:
		return VARYING_SAVES;
	case XT_CONNMARK_RESTORE:
		return VARYING_RESTORES;
	default:
		return 0;
	}
}

bool varying_xt_helps(const char *name, const void *data, size_t size)
{
	/* netlink aligns to 4 bytes, the struct wants 8 */
	const char *helper =
		(const char *)data + offsetof(struct xt_ct_target_info, helper);

	return !strcmp(name, "CT") &&
	       (size < sizeof(struct xt_ct_target_info) || *helper);
}

enum varying_effect varying_xt_match(const char *name, const void *data,
				     size_t size, unsigned int rev)
{
	if (!strcmp(name, "tcp"))
		return xt_tcp(data, size);
	if (!strcmp(name, "conntrack"))
		return xt_conntrack(data, size, rev);
	if (!strcmp(name, "state"))
		return size < sizeof(struct xt_state_info)
			       ? VARYING_VARIES
			       : states(((const struct xt_state_info *)data)
						->statemask);
	if (!strcmp(name, "tos"))
		return xt_tos(data, size);
	if (!strcmp(name, "set"))
		return xt_set(data, size, rev);
	if (varying_is_in(name, never_matches))
		return VARYING_NEVER;
	return varying_is_in(name, same_matches) ? VARYING_SAME
						 : VARYING_VARIES;
}

/* Does a connection's mark come out as another each time? */
static bool xt_connmark_turns(const void *data, size_t size, unsigned int rev)
{
	const struct xt_connmark_tginfo2 *two = data;
	const struct xt_connmark_tginfo1 *one = data;
	int mode = connmark_mode(data, size, rev);
	uint8_t shifts = mode >= 0 && rev == 2 ? two->shift_bits : 0;

	switch (mode) {
	case -1:
		return true;
	case XT_CONNMARK_SET:
		return one->ctmark & ~one->ctmask || (shifts && ~one->ctmask);
	case XT_CONNMARK_SAVE:
		return one->nfmask & ~one->ctmask || (shifts && ~one->ctmask);
	default:
		return false;
	}
}

bool varying_xt_target(const char *name, const void *data, size_t size,
		       unsigned int rev)
{
	const struct xt_tos_target_info *tos = data;

	if (!strcmp(name, "TOS"))
		return size >= sizeof(*tos) &&
		       !((tos->tos_mask | tos->tos_value) & ECN);
	/* a helper reads each packet for what it says of other connections */
	if (!strcmp(name, "CT"))
		return rev <= 2 && !varying_xt_helps(name, data, size);
	if (!strcmp(name, "CONNMARK"))
		return !xt_connmark_turns(data, size, rev);
	return varying_is_in(name, same_targets);
}

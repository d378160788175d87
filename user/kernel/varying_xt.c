// SPDX-License-Identifier: GPL-2.0-only
/* varying_xt.c - what matches and targets of xtables do to packets of a flow. */
#include <stdint.h>
#include <string.h>
#include <linux/netfilter.h>
#include <linux/netfilter/xt_conntrack.h>
#include <linux/netfilter/xt_state.h>
#include <linux/netfilter/xt_tcpudp.h>
#include "kernel/varying_xt.h"

static bool is_in(const char *name, const char *const *list)
{
	for (; *list; list++)
		if (!strcmp(name, *list))
			return true;
	return false;
}

/* Of the flow, or of what every packet on the fast path has alike. */
static const char *const same_matches[] = {
	"comment",  "udp",	 "icmp",    "icmp6",	"mark",	     "connmark",
	"addrtype", "multiport", "iprange", "physdev",	"mac",	     "owner",
	"pkttype",  "rpfilter",	 "policy",  "set",	"helper",    "realm",
	"tos",	    "dscp",	 "ttl",	    "hl",	"connlabel", "cgroup",
	"ipvs",	    "sctp",	 "dccp",    "devgroup", "eui64",     NULL
};

/*
 * What changes the packet is seen in it, and the packet has no consent then;
 * what sets a mark or priority is done again on the fast path.
 */
static const char *const same_targets[] = {
	"",	      "standard", "ACCEPT",   "DROP",	     "RETURN",
	"REJECT",     "MARK",	  "CONNMARK", "SNAT",	     "DNAT",
	"MASQUERADE", "REDIRECT", "NETMAP",   "CT",	     "NOTRACK",
	"TCPMSS",     "CLASSIFY", "SECMARK",  "CONNSECMARK", "DSCP",
	"TOS",	      "TTL",	  "HL",	      "ERROR",	     "CHECKSUM",
	NULL
};

static enum varying_effect xt_tcp(const void *data, size_t size)
{
	const struct xt_tcp *tcp = data;

	if (size < sizeof(*tcp))
		return VARYING_VARIES;
	if (!(tcp->invflags & XT_TCP_INV_FLAGS) &&
	    tcp->flg_cmp & tcp->flg_mask & VARYING_FLAGS_NEVER)
		return VARYING_NEVER;
	return tcp->option || tcp->flg_mask & VARYING_FLAGS ? VARYING_VARIES
							    : VARYING_SAME;
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
	not = ct->invert_flags & XT_CONNTRACK_STATE;
	if (ct->match_flags & XT_CONNTRACK_STATE &&
	    !!(ct->state_mask & VARYING_ESTABLISHED) == not )
		return VARYING_NEVER;
	return VARYING_SAME;
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

bool varying_xt_keeps_off(const char *target)
{
	return !strcmp(target, "CT") || !strcmp(target, "NOTRACK");
}

enum varying_effect varying_xt_match(const char *name, const void *data,
				     size_t size, unsigned int rev)
{
	if (!strcmp(name, "tcp"))
		return xt_tcp(data, size);
	if (!strcmp(name, "conntrack"))
		return xt_conntrack(data, size, rev);
	if (!strcmp(name, "state"))
		return size < sizeof(struct xt_state_info) ? VARYING_VARIES
		       : ((const struct xt_state_info *)data)->statemask &
				       VARYING_ESTABLISHED
			       ? VARYING_SAME
			       : VARYING_NEVER;
	return is_in(name, same_matches) ? VARYING_SAME : VARYING_VARIES;
}

bool varying_xt_target(const char *name)
{
	return is_in(name, same_targets);
}

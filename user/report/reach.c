// SPDX-License-Identifier: GPL-2.0-only
/* reach.c - from answers to causes, and the words for both. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include "report/reach.h"

/* "Port unreachable", from whom it was sent to. */
static bool is_closed(const struct trial *trial)
{
	bool v4 = trial->dest.family == 4;

	return trial->reply.answer == TRIAL_REFUSED &&
	       trial->proto == IPPROTO_UDP &&
	       trial->reply.type == (v4 ? 3 : 1) &&
	       trial->reply.code == (v4 ? 3 : 4) &&
	       addr_equal(&trial->reply.from, &trial->dest);
}

bool reach_is_answer(const struct trial *trial)
{
	return trial->reply.answer == TRIAL_OPEN ||
	       trial->reply.answer == TRIAL_RESET || is_closed(trial);
}

static bool is_unknown(const struct trial *trial)
{
	return trial->reply.answer == TRIAL_NOT_TRIED ||
	       trial->reply.answer == TRIAL_BUSY;
}

enum reach reach_judge(const struct trial *node, const struct trial *pod)
{
	enum trial_answer n = node->reply.answer;
	enum trial_answer p = pod ? pod->reply.answer : n;

	if (is_unknown(node) || (pod && is_unknown(pod)))
		return REACH_UNKNOWN;
	if (n == TRIAL_OPEN && p == TRIAL_OPEN)
		return pod ? REACH_BOTH : REACH_NODE;
	/* a reset, or "nobody listens", is no more than an answer where the
	 * other one is served */
	if (n == TRIAL_OPEN ||
	    (reach_is_answer(node) && !reach_is_answer(pod ?: node)))
		return REACH_ONLY_NODE;
	if (pod && (p == TRIAL_OPEN ||
		    (reach_is_answer(pod) && !reach_is_answer(node))))
		return REACH_ONLY_POD;
	if (n == TRIAL_RESET)
		return REACH_RESET;
	if (n == TRIAL_NO_WAY && p == TRIAL_NO_WAY)
		return REACH_NO_ROUTE;
	if (is_closed(node) && (!pod || is_closed(pod)))
		return REACH_CLOSED;
	if (n == TRIAL_REFUSED || p == TRIAL_REFUSED)
		return REACH_REFUSED;
	return REACH_NOBODY;
}

static const struct {
	const char *name, *text;
} words[] = {
	[REACH_BOTH] = { "both", "both are answered: the far side takes the "
				 "node's address and pods' addresses" },
	[REACH_ONLY_NODE] = { "only_node",
			      "only the node is answered: the far side's route "
			      "back, or its firewall, does not know pods; "
			      "masquerade it" },
	[REACH_ONLY_POD] = { "only_pod",
			     "only the pod is answered: the far side does not "
			     "take the node's address; keep it" },
	[REACH_RESET] = { "reset",
			  "both are reset: the way there and back works, and "
			  "nobody listens on that port, or a firewall resets "
			  "whoever comes" },
	[REACH_CLOSED] = { "closed",
			   "both are told that nobody listens on that port, by "
			   "the destination itself: the way there and back "
			   "works" },
	[REACH_REFUSED] = { "refused",
			    "refused on the way, by whom the ICMP error names: "
			    "a route is missing there, or a firewall says no; "
			    "no policy of this node helps" },
	[REACH_NOBODY] = { "nobody",
			   "nobody is answered, whatever the source: a route, "
			   "a tunnel or the host itself is down; no policy of "
			   "this node helps" },
	[REACH_NO_ROUTE] = { "no_route",
			     "it does not leave the node: no route, or nobody "
			     "at the next hop" },
	[REACH_NODE] = { "node", "the node is answered; no pod of this node is "
				 "known to ask as: name one with --source" },
	[REACH_UNKNOWN] = { "unknown", "could not be found out" },
};

const char *reach_name(enum reach reach)
{
	return words[reach].name;
}

const char *reach_text(enum reach reach, uint8_t proto)
{
	if (reach == REACH_NOBODY && proto == IPPROTO_UDP)
		return "nobody is answered; with UDP that may as well be a "
		       "service that does not understand the payload "
		       "(--payload), or a firewall that drops it";
	return words[reach].text;
}

static const char *error_name(uint8_t family, uint8_t type, uint8_t code)
{
	static const char *const v4[] = {
		[0] = "net unreachable",
		[1] = "host unreachable",
		[2] = "protocol unreachable",
		[3] = "port unreachable",
		[4] = "too large",
		[9] = "net prohibited",
		[10] = "host prohibited",
		[13] = "administratively prohibited",
	};
	static const char *const v6[] = {
		[0] = "no route",	  [1] = "administratively prohibited",
		[2] = "beyond scope",	  [3] = "address unreachable",
		[4] = "port unreachable", [5] = "source refused by policy",
		[6] = "reject route",
	};
	const char *name = NULL;

	if (type == (family == 4 ? 11 : 3))
		return "time exceeded";
	if (family == 4 && type == 3 && code < sizeof(v4) / sizeof(v4[0]))
		name = v4[code];
	else if (family == 6 && type == 1 && code < sizeof(v6) / sizeof(v6[0]))
		name = v6[code];
	return name ?: type == (family == 4 ? 3 : 1) ? "unreachable" : "error";
}

static const char *no_way_text(int err)
{
	switch (-err) {
	case EHOSTUNREACH:
		return "route: unreachable";
	case EACCES:
		return "route: prohibit";
	case EINVAL:
		return "route: blackhole";
	case EXDEV:
		return "refused by rp_filter";
	case EHOSTDOWN:
		return "nobody at the next hop";
	case EADDRNOTAVAIL:
		return "the node's own address";
	case EPROTOTYPE:
		return "no one host's address";
	case ENETUNREACH:
		return "no route";
	default:
		return strerror(-err);
	}
}

const char *reach_answer(const struct trial *trial, char *buf, size_t len)
{
	uint8_t family = trial->dest.family;
	char from[CIDR_STRLEN];

	switch (trial->reply.answer) {
	case TRIAL_OPEN:
		snprintf(buf, len, "%s",
			 trial->proto == IPPROTO_TCP   ? "SYN-ACK"
			 : trial->proto == IPPROTO_UDP ? "datagram"
						       : "echo reply");
		break;
	case TRIAL_RESET:
		snprintf(buf, len, "reset");
		break;
	case TRIAL_REFUSED:
		snprintf(buf, len, "ICMP %s from %s",
			 error_name(family, trial->reply.type,
				    trial->reply.code),
			 addr_format(&trial->reply.from, from, sizeof(from)));
		break;
	case TRIAL_NO_WAY:
		snprintf(buf, len, "%s", no_way_text(trial->err));
		break;
	case TRIAL_BUSY:
		snprintf(buf, len, "not tried: no free port");
		break;
	case TRIAL_NOT_TRIED:
		snprintf(buf, len, "not tried: %s",
			 trial->err == -EOPNOTSUPP
				 ? "the interface below is attached as well"
				 : strerror(-trial->err));
		break;
	case TRIAL_NOTHING:
		snprintf(buf, len, "no answer");
		break;
	}
	return buf;
}

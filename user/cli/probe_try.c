// SPDX-License-Identifier: GPL-2.0-only
/* probe_try.c - one attempt as the node, and one as a pod. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/probe_try.h"
#include "kernel/way.h"
#include "plane/inside.h"
#include "plane/node.h"

#define PODS_TRIED 16 /* until one of them is found to be there */
#define POD_MS	   500

/* Is somebody there who has this address? Then *device is where. */
static bool pod_is_there(const struct probe *p, const struct addr *pod,
			 const uint32_t *uplinks, size_t count,
			 uint32_t *device)
{
	struct way way = { .next = *pod };

	*device = inside_device(pod, &p->dest, uplinks, count);
	if (!*device || !if_indextoname(*device, way.name))
		return false;
	way.ifindex = *device;
	return !way_neighbour(&way, POD_MS);
}

/* The pod to ask as: never an address that nobody has. */
int probe_find_pod(struct probe *p)
{
	uint32_t *uplinks = NULL, device = 0;
	char text[PODNAME_STRLEN];
	struct addr pod = {};
	size_t count = 0;
	int err = node_uplinks(p->instance, &uplinks, &count);

	if (err)
		return CMD_FAILED;
	if (p->pod.family && addr_equal(&p->pod, &p->dest)) {
		log_error("probe: --source %s: is the destination itself",
			  podname_beside(&p->pod, text, sizeof(text)));
		err = CMD_FAILED;
		goto out;
	}
	if (p->pod.family) {
		if (!pod_is_there(p, &p->pod, uplinks, count, &p->device)) {
			log_error(
				"probe: --source %s: no pod of this node has this address%s",
				podname_beside(&p->pod, text, sizeof(text)),
				p->device ? ": nobody answers for it" : "");
			err = CMD_FAILED;
		}
		goto out;
	}
	for (int i = 0; i < PODS_TRIED &&
			inside_next_pod(p->instance, p->dest.family, &pod);
	     i++) {
		if (addr_equal(&pod, &p->dest) ||
		    !pod_is_there(p, &pod, uplinks, count, &device))
			continue;
		p->pod = pod;
		p->device = device;
		break;
	}
out:
	free(uplinks);
	return err;
}

/* What the policy in force makes of it, for `policy now` and the node's
 * address. */
static int ask_policy(struct probe *p, const struct way *way)
{
	struct masq_ctl *ctl = &p->now;
	uint32_t *uplinks = NULL;
	size_t count = 0;
	int err = node_uplinks(p->instance, &uplinks, &count);

	if (err)
		return err;
	p->attached = inside_is_uplink(uplinks, count, way->ifindex);
	ctl->op = MASQ_CTL_EXPLAIN;
	ctl->family = p->dest.family;
	ctl->proto = p->proto == IPPROTO_ICMP && p->dest.family == 6
			     ? IPPROTO_ICMPV6
			     : p->proto;
	ctl->rem_port = htons(p->port);
	memcpy(ctl->in_addr, p->pod.a, sizeof(ctl->in_addr));
	memcpy(ctl->rem_addr, p->dest.a, sizeof(ctl->rem_addr));
	ctl->device = p->device;
	ctl->ifindex = p->attached || !count ? way->ifindex : uplinks[0];
	free(uplinks);
	err = instance_ctl(p->instance, ctl);
	if (!err && ctl->reason >= MASQ_R_MAX)
		err = -EPROTO;
	if (err)
		log_error("probe: masq_ctl: %s", strerror(-err));
	for (size_t i = 0; !err && i < p->policy->count; i++)
		if (p->policy->entries[i].slot == ctl->prefix)
			p->entry = &p->policy->entries[i];
	return err;
}

/* The source that the far side sees where it is masqueraded. */
static int node_source(const struct probe *p, const struct way *own,
		       struct addr *out)
{
	*out = (struct addr){ .family = p->dest.family };
	memcpy(out->a, p->now.xlat_addr, sizeof(out->a));
	if (p->now.action == MASQ_MASQUERADE && !p->now.reason &&
	    (out->a[0] | out->a[1] | out->a[2] | out->a[3]))
		return 0;
	if (way_source(own, p->dest.family, out))
		return 0;
	log_error("probe: %s: the node has no IPv%d address to ask from",
		  own->name, p->dest.family);
	return -EADDRNOTAVAIL;
}

int probe_try(struct probe *p)
{
	struct trial *node = &p->trials[0], *pod = &p->trials[1];
	int no_pod_way = -ENETUNREACH, no_own_way;
	struct way own = {}, way;
	char text[CIDR_STRLEN];

	no_own_way = way_find(&p->dest, NULL, 0, &own);
	if (no_own_way == -EADDRNOTAVAIL || no_own_way == -EPROTOTYPE) {
		log_error("probe: %s: %s: nothing of it leaves the node",
			  addr_format(&p->dest, text, sizeof(text)),
			  no_own_way == -EADDRNOTAVAIL
				  ? "is an address of the node itself"
				  : "is no one host's address");
		return no_own_way == -EADDRNOTAVAIL ? CMD_FAILED : CMD_USAGE;
	}
	if (p->device)
		no_pod_way = way_find(&p->dest, &p->pod, p->device, &way);
	*node = (struct trial){
		.dest = p->dest,
		.proto = p->proto,
		.port = p->port,
		.payload = p->payload,
		.payload_length = p->payload_length,
	};
	*pod = *node;
	if (no_own_way && no_pod_way) {
		node->reply.answer = pod->reply.answer = TRIAL_NO_WAY;
		node->err = no_own_way;
		pod->err = no_pod_way;
		pod->source = p->pod;
		p->reach = reach_judge(node, p->device ? pod : NULL);
		return CMD_OK;
	}
	if (no_pod_way)
		way = own;
	if (ask_policy(p, &way) ||
	    node_source(p, no_own_way ? &way : &own, &node->source))
		return CMD_FAILED;
	/* what a masqueraded packet of the pod would be */
	if (!no_pod_way) {
		node->pod = p->pod;
		node->device = p->device;
	}
	pod->as_pod = true;
	pod->source = pod->pod = p->pod;
	pod->device = p->device;
	if (p->device)
		log_info("probe: as %s: past the policy in force, %s",
			 podname_beside(&p->pod, text, sizeof(text)),
			 p->proto == IPPROTO_TCP ? "a SYN and its reset"
						 : "one packet, or two");
	if (trials_run(p->instance, p->trials, p->device ? 2 : 1, p->timeout_ms,
		       NULL, NULL))
		return CMD_FAILED;
	p->reach = reach_judge(node, p->device ? pod : NULL);
	return CMD_OK;
}

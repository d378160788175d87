// SPDX-License-Identifier: GPL-2.0-only
/* vigil.c - see vigil.h for what is judged, and why so. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <netinet/in.h>
#include "policy/vigil.h"

/* --- networks ---------------------------------------------------------- */

#define TABLE (2 * VIGIL_NETS) /* a power of two; half full at most */

struct cidr vigil_net_of(const struct addr *addr)
{
	return cidr_of(addr, addr->family == 4 ? 24 : 64);
}

struct vigil *vigil_new(uint64_t changed_ms, uint64_t until_ms, bool first)
{
	struct vigil *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->nets = calloc(TABLE, sizeof(*v->nets));
	if (!v->nets) {
		free(v);
		return NULL;
	}
	v->changed_ms = changed_ms;
	v->until_ms = until_ms;
	v->first = first;
	return v;
}

void vigil_free(struct vigil *v)
{
	if (!v)
		return;
	for (uint32_t i = 0; i < TABLE; i++) {
		free(v->nets[i].services);
		free(v->nets[i].tries);
	}
	free(v->nets);
	free(v);
}

struct vigil_net *vigil_find(struct vigil *v, const struct cidr *net, bool make)
{
	const uint32_t *a = net->addr.a;
	uint32_t hash = (a[0] * 31 + a[1]) * 0x9e3779b1 + net->addr.family;
	struct vigil_net *at;

	hash ^= hash >> 15;
	for (;; hash++) {
		at = &v->nets[hash & (TABLE - 1)];
		if (!at->net.addr.family)
			break;
		if (!cidr_cmp(&at->net, net))
			return at;
	}
	if (!make)
		return NULL;
	if (v->net_count == VIGIL_NETS) {
		v->more_nets = true;
		return NULL;
	}
	v->net_count++;
	at->net = *net;
	return at;
}

static struct vigil_net *net_of(struct vigil *v, const struct addr *dest,
				bool make)
{
	struct cidr net = vigil_net_of(dest);

	return vigil_find(v, &net, make);
}

static void add_pod(struct vigil_net *net, const struct addr *pod)
{
	for (uint8_t i = 0; i < net->pod_count; i++)
		if (addr_equal(&net->pods[i], pod))
			return;
	if (net->pod_count < VIGIL_PODS_KEPT)
		net->pods[net->pod_count++] = *pod;
}

/* --- services ---------------------------------------------------------- */

struct vigil_service *vigil_service(struct vigil_net *net,
				    const struct addr *dest, uint8_t proto,
				    uint16_t port, bool make)
{
	struct vigil_service *s;

	for (uint16_t i = 0; i < net->service_count; i++) {
		s = &net->services[i];
		if (s->port == port && s->proto == proto &&
		    addr_equal(&s->dest, dest))
			return s;
	}
	if (!make)
		return NULL;
	if (net->service_count == VIGIL_SERVICES) {
		net->more_services = true;
		return NULL;
	}
	if (!(net->service_count & (net->service_count - 1))) {
		size_t room = net->service_count ? 2 * net->service_count : 1;

		s = reallocarray(net->services, room, sizeof(*s));
		if (!s)
			return NULL;
		net->services = s;
	}
	s = &net->services[net->service_count++];
	*s = (struct vigil_service){ .dest = *dest,
				     .proto = proto,
				     .port = port };
	return s;
}

/* Did anything of this kind answer there? */
static bool is_comparable(const struct vigil_net *net, uint8_t proto,
			  uint16_t port)
{
	/* what is not known of all of them cannot be held against one */
	if (net->more_services && proto == IPPROTO_TCP)
		return true;
	for (uint16_t i = 0; i < net->service_count; i++)
		if (net->services[i].before && net->services[i].port == port &&
		    net->services[i].proto == proto)
			return true;
	return false;
}

/* --- attempts ---------------------------------------------------------- */

static bool is_of(const struct vigil_try *t, const struct vigil_flow *flow)
{
	return t->pod_port == flow->pod_port && t->port == flow->port &&
	       t->proto == flow->proto && addr_equal(&t->pod, &flow->pod) &&
	       addr_equal(&t->dest, &flow->dest);
}

int vigil_add_try(struct vigil_net *net, const struct vigil_try *attempt)
{
	unsigned int own = 0;

	/* no pod uses up the others' room */
	for (uint16_t i = 0; i < net->try_count; i++)
		own += addr_equal(&net->tries[i].pod, &attempt->pod);
	if (own >= VIGIL_TRIES_A_POD || net->try_count == VIGIL_TRIES)
		return -ENOSPC;
	if (!(net->try_count & (net->try_count - 1))) {
		size_t room = net->try_count ? 2 * net->try_count : 1;
		void *tries =
			reallocarray(net->tries, room, sizeof(*net->tries));

		if (!tries)
			return -ENOMEM;
		net->tries = tries;
	}
	net->tries[net->try_count++] = *attempt;
	return 0;
}

static int see_unanswered(struct vigil *v, struct vigil_net *net,
			  const struct vigil_flow *flow)
{
	uint64_t hung = v->now_ms > flow->begun_ms ? v->now_ms - flow->begun_ms
						   : 0;
	struct vigil_try attempt = { .pod = flow->pod,
				     .dest = flow->dest,
				     .pod_port = flow->pod_port,
				     .port = flow->port,
				     .proto = flow->proto,
				     .trusted = flow->trusted,
				     .begun_ms = flow->begun_ms,
				     .hung_ms = hung };
	struct vigil_service *s;
	int err;

	if (!v->first && !is_comparable(net, flow->proto, flow->port))
		return 0;
	if (hung >= VIGIL_HANG_MS)
		net->hanging++;
	for (uint16_t i = 0; i < net->try_count; i++) {
		struct vigil_try *t = &net->tries[i];

		if (!is_of(t, flow))
			continue;
		/* the same ports again, after the record of before */
		if (flow->begun_ms > t->begun_ms + VIGIL_HANG_MS)
			*t = attempt;
		t->hung_ms = hung;
		t->trusted &= flow->trusted;
		goto probe;
	}
	err = vigil_add_try(net, &attempt);
	if (err == -ENOMEM)
		return err;
probe:
	s = vigil_service(net, &flow->dest, flow->proto, flow->port,
			  v->first && flow->old_probe);
	if (s && flow->old_probe && flow->proto == IPPROTO_TCP &&
	    hung >= VIGIL_HANG_MS)
		s->probe_wanted = true;
	return 0;
}

static void see_answered(struct vigil *v, struct vigil_net *net,
			 const struct vigil_flow *flow)
{
	net->answered++;
	net->answered_ms = v->now_ms;
	for (uint16_t i = 0; i < net->try_count; i++)
		if (is_of(&net->tries[i], flow)) {
			net->tries[i] = net->tries[--net->try_count];
			return;
		}
}

/* One that has the old treatment still. */
static void see_old(struct vigil *v, struct vigil_net *net,
		    const struct vigil_flow *flow)
{
	struct vigil_service *s;

	if (!flow->replied)
		return;
	s = vigil_service(net, &flow->dest, flow->proto, flow->port, false);
	if (!s)
		return;
	s->answers_now += flow->answers;
	if (flow->answered_ms > v->changed_ms &&
	    flow->answered_ms > s->lived_ms)
		s->lived_ms = flow->answered_ms;
}

/* --- looks ------------------------------------------------------------- */

int vigil_before(struct vigil *v, const struct vigil_flow *flow)
{
	struct vigil_service *s;
	struct vigil_net *net;

	if (!flow->replied)
		return 0;
	net = net_of(v, &flow->dest, true);
	if (!net)
		return 0;
	net->before += 1 + flow->more;
	add_pod(net, &flow->pod);
	s = vigil_service(net, &flow->dest, flow->proto, flow->port, true);
	if (!s)
		return net->more_services ? 0 : -ENOMEM;
	s->before += 1 + flow->more;
	s->answers += flow->answers;
	return 0;
}

void vigil_look(struct vigil *v, uint64_t now_ms)
{
	v->before_ms = v->looks++ ? v->now_ms : v->changed_ms;
	v->now_ms = now_ms;
	for (uint32_t i = 0; i < TABLE; i++) {
		struct vigil_net *net = &v->nets[i];

		if (!net->net.addr.family)
			continue;
		net->hanging = net->answered = 0;
		for (uint16_t k = 0; k < net->service_count; k++) {
			net->services[k].answers_now = 0;
			net->services[k].probe_wanted = false;
		}
	}
}

int vigil_see(struct vigil *v, const struct vigil_flow *flow)
{
	struct vigil_net *net = net_of(v, &flow->dest, v->first);

	if (!net)
		return 0;
	if (!flow->after) {
		see_old(v, net, flow);
		return 0;
	}
	if (flow->replied)
		see_answered(v, net, flow);
	/* what begins later is judged by nobody; an answer always helps */
	else if (v->first || flow->begun_ms <= v->until_ms)
		return see_unanswered(v, net, flow);
	return 0;
}

/* An answer that came between two looks: at the earlier, to be sure. */
static void note_answers(struct vigil *v, struct vigil_net *net)
{
	for (uint16_t k = 0; k < net->service_count; k++) {
		struct vigil_service *s = &net->services[k];

		if (s->answers_now > s->answers && v->before_ms > s->lived_ms)
			s->lived_ms = v->before_ms;
		s->answers = s->answers_now;
	}
}

/* Did the far side answer as before while this one hung? */
static bool lived_meanwhile(const struct vigil_service *s,
			    const struct vigil_try *t)
{
	uint64_t then = t->begun_ms + VIGIL_HANG_MS;

	/* what does not let in the node either is down for all, even if it
	 * serves whom it has: where the node can ask, that counts */
	if (s->probe == VIGIL_SILENT ||
	    (s->probe_wanted && s->probe == VIGIL_UNASKED))
		return false;
	return s->lived_ms >= then ||
	       (s->probe == VIGIL_ANSWERED && s->probe_answer_ms >= then);
}

struct pods {
	struct addr pods[64];
	uint32_t count, ipv6;
};

/* A pod has an address of each family, and is one pod. */
static uint32_t pods_at_least(const struct pods *pods)
{
	uint32_t ipv4 = pods->count - pods->ipv6;

	return ipv4 > pods->ipv6 ? ipv4 : pods->ipv6;
}

static void count_pod(struct pods *pods, const struct addr *pod)
{
	for (uint32_t i = 0; i < pods->count; i++)
		if (addr_equal(&pods->pods[i], pod))
			return;
	if (pods->count == sizeof(pods->pods) / sizeof(pods->pods[0]))
		return;
	pods->pods[pods->count++] = *pod;
	pods->ipv6 += pod->family == 6;
}

static void find_proof(struct vigil_net *net, struct pods *pods)
{
	for (uint16_t i = 0; i < net->try_count; i++) {
		const struct vigil_try *t = &net->tries[i];
		const struct vigil_service *s;

		if (!t->trusted || t->hung_ms < VIGIL_HANG_MS)
			continue;
		s = vigil_service(net, &t->dest, t->proto, t->port, false);
		if (s && s->before && lived_meanwhile(s, t))
			count_pod(pods, &t->pod);
	}
}

/* Nobody knows what was before: one that hangs, where the node does not. */
static bool is_first_broken(struct vigil_net *net)
{
	for (uint16_t i = 0; i < net->try_count; i++) {
		const struct vigil_try *t = &net->tries[i];
		const struct vigil_service *s =
			vigil_service(net, &t->dest, t->proto, t->port, false);

		if (s && lived_meanwhile(s, t) &&
		    (t->hung_ms >= VIGIL_ALONE_MS ||
		     net->hanging >= VIGIL_ATTEMPTS))
			return true;
	}
	return false;
}

static bool is_broken(const struct vigil *v, struct vigil_net *net)
{
	uint32_t hung = 0;

	if (net->answered_ms)
		return false;
	if (v->first)
		return is_first_broken(net);
	for (uint16_t i = 0; i < net->try_count; i++)
		hung += net->tries[i].hung_ms >= VIGIL_HANG_MS;
	if (net->hanging < hung)
		net->hanging = hung;
	return net->before && net->hanging >= VIGIL_ATTEMPTS;
}

enum vigil_verdict vigil_judge(struct vigil *v)
{
	struct pods pods = {};

	v->broken = 0;
	for (uint32_t i = 0; i < TABLE; i++) {
		struct vigil_net *net = &v->nets[i];

		if (!net->net.addr.family)
			continue;
		note_answers(v, net);
		net->broken = is_broken(v, net);
		if (!net->broken)
			continue;
		v->broken++;
		if (!v->first)
			find_proof(net, &pods);
	}
	v->proven_pods = pods_at_least(&pods);
	if (!v->broken)
		return VIGIL_QUIET;
	return v->proven_pods >= VIGIL_PODS ? VIGIL_PROVEN : VIGIL_BROKEN;
}

/* --- probes ------------------------------------------------------------ */

struct vigil_service *vigil_probe(struct vigil *v)
{
	for (uint32_t i = 0; i < TABLE; i++) {
		struct vigil_net *net = &v->nets[i];

		/* no question about what pods themselves are answered by */
		if (!net->net.addr.family || net->answered_ms)
			continue;
		for (uint16_t k = 0; k < net->service_count; k++) {
			struct vigil_service *s = &net->services[k];

			if (!s->probe_wanted ||
			    (s->probed_ms &&
			     v->now_ms - s->probed_ms < VIGIL_PROBE_MS))
				continue;
			s->probed_ms = v->now_ms;
			return s;
		}
	}
	return NULL;
}

void vigil_probed(struct vigil *v, const struct addr *dest, uint16_t port,
		  enum vigil_probe_result result)
{
	struct vigil_net *net = net_of(v, dest, false);
	struct vigil_service *s =
		net ? vigil_service(net, dest, IPPROTO_TCP, port, false) : NULL;

	if (!s)
		return;
	s->probe = result;
	if (result == VIGIL_ANSWERED)
		s->probe_answer_ms = v->now_ms;
}

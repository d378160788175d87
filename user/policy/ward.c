// SPDX-License-Identifier: GPL-2.0-only
/* ward.c - from the flow table to the judge, and into the history's notes. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "base/log.h"
#include "base/prefix.h"
#include "kernel/netdev.h"
#include "kernel/podname.h"
#include "plane/flows.h"
#include "policy/apply.h"
#include "policy/author.h"
#include "policy/baseline.h"
#include "policy/compare.h"
#include "policy/history.h"
#include "policy/live.h"
#include "policy/read.h"
#include "policy/ward.h"

#define NS_PER_MS 1000000ULL

/* While something may break; when it has; of a first policy, for ever. */
#define LOOK_MS	      2000
#define LOOK_LATER_MS 10000
/* A question to a far side is answered within this, or not at all. */
#define ANSWER_MS 3000
/* A command that watches has looked within this, or is gone. */
#define TENDED_MS 15000

/* Networks that are noted down: those in trouble first. */
#define NETS_NOTED 512

/* Changes with the layout of what is noted. */
#define MAGIC                                                          \
	(0x57415244 ^ (uint32_t)(sizeof(struct ward_state) +           \
				 sizeof(struct noted_net) * 64 +       \
				 sizeof(struct vigil_service) * 4096 + \
				 sizeof(struct vigil_try) * 262144))

/* --- notes ------------------------------------------------------------- */

struct noted_net {
	struct cidr net;
	uint32_t before;
	struct addr pods[VIGIL_PODS_KEPT];
	uint64_t answered_ms;
	uint16_t services, tries;
	uint8_t pod_count, more_services, broken, pad;
	uint32_t hanging;
};

uint64_t ward_now_ms(const struct instance *instance)
{
	return instance_now_ns(instance) / NS_PER_MS;
}

/* In trouble, else with many pods, else with many flows. */
static int compare_nets(const void *a, const void *b)
{
	const struct vigil_net *x = *(struct vigil_net *const *)a;
	const struct vigil_net *y = *(struct vigil_net *const *)b;

	if (!x->try_count != !y->try_count)
		return !x->try_count - !y->try_count;
	if (x->pod_count != y->pod_count)
		return y->pod_count - x->pod_count;
	return (y->before > x->before) - (y->before < x->before);
}

/* All that are used, in that order. malloc'ed; NULL: no memory. */
static struct vigil_net **nets_of(const struct vigil *v, size_t *count)
{
	struct vigil_net **nets = calloc(v->net_count + 1, sizeof(*nets));
	size_t n = 0;

	for (uint32_t i = 0; nets && n < v->net_count; i++)
		if (v->nets[i].net.addr.family)
			nets[n++] = &v->nets[i];
	if (nets)
		qsort(nets, n, sizeof(*nets), compare_nets);
	*count = n;
	return nets;
}

static size_t noted_size(const struct vigil_net *net)
{
	return sizeof(struct noted_net) +
	       net->service_count * sizeof(*net->services) +
	       net->try_count * sizeof(*net->tries);
}

static char *put(char *at, const void *bytes, size_t length)
{
	/* an array that is empty has no address */
	return length ? (char *)memcpy(at, bytes, length) + length : at;
}

static char *put_net(char *at, const struct vigil_net *net)
{
	struct noted_net noted = { .net = net->net,
				   .before = net->before,
				   .answered_ms = net->answered_ms,
				   .services = net->service_count,
				   .tries = net->try_count,
				   .pod_count = net->pod_count,
				   .more_services = net->more_services,
				   .broken = net->broken,
				   .hanging = net->hanging };

	memcpy(noted.pods, net->pods, sizeof(noted.pods));
	at = put(at, &noted, sizeof(noted));
	at = put(at, net->services, noted.services * sizeof(*net->services));
	return put(at, net->tries, noted.tries * sizeof(*net->tries));
}

static int write_note(struct ward *w)
{
	size_t count = 0, length = sizeof(w->state);
	struct vigil_net **nets = nets_of(w->vigil, &count);
	char *text = nets ? malloc(HISTORY_NOTE_MAX) : NULL, *at = text;
	int err = text ? 0 : -ENOMEM;

	if (!err) {
		at += sizeof(w->state);
		w->state.nets = 0;
		for (size_t i = 0; i < count && i < NETS_NOTED; i++) {
			if (length + noted_size(nets[i]) > HISTORY_NOTE_MAX)
				break;
			length += noted_size(nets[i]);
			at = put_net(at, nets[i]);
			w->state.nets++;
		}
		memcpy(text, &w->state, sizeof(w->state));
		err = history_note_write(w->instance, w->state.generation, text,
					 length);
	}
	free(nets);
	free(text);
	return err;
}

struct cursor {
	const char *at, *end;
};

static bool get(struct cursor *c, void *out, size_t length)
{
	if ((size_t)(c->end - c->at) < length)
		return false;
	memcpy(out, c->at, length);
	c->at += length;
	return true;
}

static int get_net(struct cursor *c, struct vigil *v)
{
	struct noted_net noted;
	struct vigil_net *net;

	if (!get(c, &noted, sizeof(noted)) || !cidr_is_sound(&noted.net) ||
	    noted.services > VIGIL_SERVICES || noted.tries > VIGIL_TRIES ||
	    noted.pod_count > VIGIL_PODS_KEPT)
		return -EBADMSG;
	net = vigil_find(v, &noted.net, true);
	if (!net)
		return 0;
	net->before = noted.before;
	net->answered_ms = noted.answered_ms;
	net->pod_count = noted.pod_count;
	net->more_services = noted.more_services;
	net->broken = noted.broken;
	net->hanging = noted.hanging;
	memcpy(net->pods, noted.pods, sizeof(net->pods));
	for (uint16_t i = 0; i < noted.services; i++) {
		struct vigil_service s, *made;

		if (!get(c, &s, sizeof(s)))
			return -EBADMSG;
		made = vigil_service(net, &s.dest, s.proto, s.port, true);
		if (!made)
			return -ENOMEM;
		*made = s;
	}
	for (uint16_t i = 0; i < noted.tries; i++) {
		struct vigil_try t;

		if (!get(c, &t, sizeof(t)))
			return -EBADMSG;
		if (vigil_add_try(net, &t) == -ENOMEM)
			return -ENOMEM;
	}
	return 0;
}

static int read_note(const struct instance *instance, uint32_t generation,
		     struct ward_state *state, struct vigil **vigil)
{
	struct vigil *v = NULL;
	struct cursor c;
	size_t length;
	void *text;
	int err = history_note_read(instance, generation, &text, &length);

	if (err)
		return err;
	c = (struct cursor){ text, (char *)text + length };
	if (!get(&c, state, sizeof(*state)) || state->magic != MAGIC)
		err = -ENOENT; /* of another version */
	if (!err && vigil) {
		v = vigil_new(state->changed_ms, state->until_ms,
			      state->flags & WARD_FIRST);
		err = v ? 0 : -ENOMEM;
		for (uint32_t i = 0; i < state->nets && !err; i++)
			err = get_net(&c, v);
		if (err)
			vigil_free(v);
		else
			*vigil = v;
	}
	free(text);
	return err;
}

int ward_note(const struct instance *instance, uint32_t generation,
	      struct ward_state *out)
{
	return read_note(instance, generation, out, NULL);
}

/* The same moment on a clock that began later: never 0, which is "never". */
static void rebase(uint64_t *ms, uint64_t then, uint64_t now)
{
	if (!*ms)
		return;
	*ms = *ms + now > then ? *ms + now - then : 1;
}

static void rebase_net(struct vigil_net *net, uint64_t then, uint64_t now)
{
	rebase(&net->answered_ms, then, now);
	/* their flows are gone, and so is what hung */
	net->try_count = 0;
	for (uint16_t i = 0; i < net->service_count; i++) {
		struct vigil_service *s = &net->services[i];

		rebase(&s->lived_ms, then, now);
		rebase(&s->probed_ms, then, now);
		rebase(&s->probe_answer_ms, then, now);
		s->answers = s->answers_now = 0;
	}
}

int ward_rebase(struct instance *instance, uint32_t generation,
		uint64_t then_ms, bool runs)
{
	uint64_t now = ward_now_ms(instance);
	struct ward w = { .instance = instance };
	int err = read_note(instance, generation, &w.state, &w.vigil);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (runs && (w.state.broken || !(w.state.flags & WARD_JUDGED))) {
		/* not at its end, or to be seen whether it still is so */
		w.state.until_ms = now + w.state.until_ms - w.state.changed_ms;
		w.state.changed_ms = now;
		w.state.flags &= ~WARD_JUDGED;
	} else {
		rebase(&w.state.changed_ms, then_ms, now);
		rebase(&w.state.until_ms, then_ms, now);
	}
	rebase(&w.state.tended_ms, then_ms, now);
	/* of the others the evidence stays as it was, to be looked at */
	for (uint32_t i = 0; runs && i < 2 * VIGIL_NETS; i++)
		if (w.vigil->nets[i].net.addr.family)
			rebase_net(&w.vigil->nets[i], then_ms, now);
	err = write_note(&w);
	vigil_free(w.vigil);
	return err;
}

/* --- flows ------------------------------------------------------------- */

static bool ports_differ(const struct policy *a, const struct policy *b)
{
	return a->head.port_min != b->head.port_min ||
	       a->head.port_max != b->head.port_max ||
	       ((a->head.flags ^ b->head.flags) & MASQ_P_STRICT_PORTS);
}

/* Does the change flip what becomes of it? *to: what it is from now on; *node:
 * it was masqueraded, as the node's own packets are. */
static bool flips(struct ward *w, const struct flow *flow, uint8_t *to,
		  bool *node)
{
	struct plan_flow f;

	if (flow->kind == MASQ_K_INBOUND || flow->role != MASQ_ROLE_FLOW)
		return false;
	if (!w->plan) {
		/* nobody knows what was before */
		*to = MASQ_K_KEEP;
		*node = true;
		return flow->kind == MASQ_K_KEEP;
	}
	if (plan_flow_flips(w->plan, flow, &f)) {
		*to = f.to.action == PLAN_MASQUERADE ? MASQ_K_FWD : MASQ_K_KEEP;
		*node = f.from.action == PLAN_MASQUERADE && !f.from.snat &&
			*to == MASQ_K_KEEP;
		return true;
	}
	*to = MASQ_K_FWD;
	*node = false;
	return w->ports && flow->kind == MASQ_K_FWD;
}

static uint64_t ms_ago(const struct ward *w, uint64_t now, uint32_t ticks)
{
	uint64_t ms = ticks_to_seconds(w->instance, ticks) * 1000;

	return ms < now ? now - ms : 0;
}

/* Who writes another pod's address into a packet is not that pod. */
static bool is_trusted(struct ward *w, const struct flow *flow)
{
	if (!addr_equal(&w->routed, &flow->in)) {
		w->routed = flow->in;
		if (netdev_route_to(&flow->in, &w->routed_by))
			w->routed_by = 0;
	}
	return w->routed_by && w->routed_by == flow->device;
}

struct look {
	struct ward *ward;
	uint64_t now;
	bool before; /* it is what was there before the change */
};

static int look_at(void *data, const struct flow *flow)
{
	struct look *look = data;
	struct ward *w = look->ward;
	struct vigil_flow f;
	uint8_t to;
	bool node;
	/* generations go up by one each time, and begin at 1 */
	bool old = (int32_t)(flow->generation - w->state.begin) < 0;
	bool new = w->state.flags &WARD_FIRST ||
		   (int32_t)(flow->generation - w->state.generation) >= 0;

	if ((look->before ? !old : !old && !new) ||
	    (look->before && !flow->replied) || !flips(w, flow, &to, &node))
		return 0;
	if (new && flow->kind != to)
		return 0;
	f = (struct vigil_flow){
		.pod = flow->in,
		.dest = flow->rem,
		.pod_port = flow->in_port,
		.port = proto_is_icmp(flow->proto) ? 0 : flow->rem_port,
		.proto = flow->proto,
		.after = new,
		.replied = flow->replied,
		.old_probe = node,
		.begun_ms = ms_ago(w, look->now, flow->age),
		.answers = flow->ingress.packets,
	};
	if (flow->answer_idle != UINT32_MAX)
		f.answered_ms = ms_ago(w, look->now, flow->answer_idle);
	if (look->before)
		return vigil_before(w->vigil, &f);
	if (new && !f.replied)
		f.trusted = is_trusted(w, flow);
	return vigil_see(w->vigil, &f);
}

/* After a reboot: what was answered there, as of flows that are no more. */
static int look_at_baseline(struct ward *w)
{
	struct baseline_item *items;
	uint32_t count;
	int err = baseline_before(w->instance, &items, &count);

	if (err)
		return err == -ENOMEM ? err : 0;
	for (uint32_t i = 0; i < count && !err; i++) {
		const struct baseline_item *item = &items[i];
		const struct flow flow = { .proto = item->proto,
					   .role = MASQ_ROLE_FLOW,
					   .kind = item->kind,
					   .replied = true,
					   .in = item->pod,
					   .rem = item->dest,
					   .rem_port = item->port };
		uint8_t to;
		bool node;

		if (!flips(w, &flow, &to, &node))
			continue;
		err = vigil_before(w->vigil, &(struct vigil_flow){
						     .pod = item->pod,
						     .dest = item->dest,
						     .port = item->port,
						     .proto = item->proto,
						     .replied = true,
						     .more = item->flows - 1 });
	}
	free(items);
	return err;
}

static int walk(struct ward *w, bool before)
{
	static const struct flow_filter all;
	struct look look = { w, ward_now_ms(w->instance), before };

	return flows_walk(w->instance, &all, look_at, &look);
}

/* --- begin ------------------------------------------------------------- */

static int prepare(struct ward *w)
{
	if (!w->from)
		return 0;
	w->ports = ports_differ(w->from, w->to);
	return plan_make(w->instance, w->from, w->to, &w->plan);
}

static bool flips_nothing(const struct ward *w)
{
	return w->plan && !w->plan->dests.count && !w->plan->sources.count &&
	       !w->ports;
}

/* A change on top of one that is watched still: both are judged together,
 * against what was before the first of them. */
static void join(struct ward *w, const struct policy *from, uint64_t now)
{
	struct ward_state before;
	struct vigil *vigil;
	struct policy *first = NULL;

	if (read_note(w->instance, from->head.generation, &before, &vigil))
		return;
	if (before.flags & (WARD_BACK | WARD_REFUSED | WARD_FIRST) ||
	    now >= before.until_ms ||
	    history_load(w->instance, before.from, &first, NULL)) {
		vigil_free(vigil);
		return;
	}
	w->from = first;
	w->state.from = before.from;
	w->state.begin = before.begin;
	w->state.flags |= WARD_ALARM_ONLY;
	vigil_free(w->vigil);
	vigil->until_ms = w->state.until_ms;
	w->vigil = vigil;
	/* what hung under the policy in between is no evidence against this */
	for (uint32_t i = 0; i < 2 * VIGIL_NETS; i++) {
		w->vigil->nets[i].try_count = 0;
		w->vigil->nets[i].answered_ms = 0;
		w->vigil->nets[i].broken = false;
	}
}

int ward_begin(struct instance *instance, struct policy *from,
	       struct policy *to, uint64_t window_ns, uint32_t flags)
{
	uint64_t now = ward_now_ms(instance);
	struct ward w = {
		.instance = instance,
		.from = from,
		.to = to,
		.state = { .magic = MAGIC,
			   .generation = to->head.generation,
			   .from = from ? from->head.generation : 0,
			   .begin = to->head.generation,
			   .changed_ms = now,
			   .until_ms = now + window_ns / NS_PER_MS,
			   .flags = flags | (from ? 0 : WARD_FIRST) },
	};
	int err;

	if (from && from->head.generation == to->head.generation)
		return 1;
	w.vigil = vigil_new(now, w.state.until_ms, !from);
	err = w.vigil ? 0 : -ENOMEM;
	if (!err && from)
		join(&w, from, now);
	err = err ?: prepare(&w);
	if (!err && flips_nothing(&w)) {
		/* nor does it end the watch over a first policy */
		struct ward_state before;

		if (!ward_note(instance, from->head.generation, &before) &&
		    before.flags & WARD_FIRST) {
			w.state.flags |= WARD_FIRST;
			w.state.from = 0;
		} else {
			err = 1;
		}
	}
	if (!err && !(w.state.flags & WARD_FIRST))
		err = walk(&w, true) ?: look_at_baseline(&w);
	if (!err)
		err = write_note(&w);
	if (err < 0)
		log_warn("guard: generation %u is in force and not watched: %s",
			 w.state.generation, strerror(-err));
	plan_free(w.plan);
	if (w.from != from)
		policy_free(w.from);
	vigil_free(w.vigil);
	return err;
}

/* --- watching ---------------------------------------------------------- */

void ward_close(struct ward *w)
{
	if (!w)
		return;
	for (int i = 0; i < WARD_PROBES; i++)
		if (w->probe[i].fd >= 0)
			close(w->probe[i].fd);
	plan_free(w->plan);
	policy_free(w->from);
	policy_free(w->to);
	vigil_free(w->vigil);
	free(w);
}

int ward_open(struct instance *instance, struct ward **out)
{
	struct ward *w = calloc(1, sizeof(*w));
	int err;

	if (!w)
		return -ENOMEM;
	w->instance = instance;
	for (int i = 0; i < WARD_PROBES; i++)
		w->probe[i].fd = -1;
	err = policy_read(instance, &w->to);
	err = err
		      ?: read_note(instance, w->to->head.generation, &w->state,
				   &w->vigil);
	if (!err && !(w->state.flags & (WARD_FIRST | WARD_BACK)))
		err = history_load(instance, w->state.from, &w->from, NULL);
	if (!err && !(w->state.flags & WARD_BACK))
		err = prepare(w);
	if (err) {
		ward_close(w);
		return err;
	}
	*out = w;
	return 0;
}

int ward_evidence(struct instance *instance, uint32_t generation,
		  struct ward **out)
{
	struct ward *w = calloc(1, sizeof(*w));
	int err = w ? 0 : -ENOMEM;

	if (err)
		return err;
	w->instance = instance;
	for (int i = 0; i < WARD_PROBES; i++)
		w->probe[i].fd = -1;
	err = read_note(instance, generation, &w->state, &w->vigil);
	if (err)
		ward_close(w);
	else
		*out = w;
	return err;
}

struct vigil_net **ward_nets(const struct ward *w, size_t *count)
{
	return nets_of(w->vigil, count);
}

/* --- questions as the node --------------------------------------------- */

static int ask(const struct addr *dest, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port) };
	struct sockaddr_in in4 = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = dest->a[0] };
	const struct linger reset = { 1, 0 };
	bool ipv4 = dest->family == 4;
	int fd = socket(ipv4 ? AF_INET : AF_INET6,
			SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	memcpy(&in6.sin6_addr, dest->a, sizeof(in6.sin6_addr));
	/* ends with a reset: the far side keeps nothing of it */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	if (connect(fd, ipv4 ? (void *)&in4 : (void *)&in6,
		    ipv4 ? sizeof(in4) : sizeof(in6)) &&
	    errno != EINPROGRESS) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

/* VIGIL_UNASKED: not yet. A refusal is an answer. */
static enum vigil_probe_result answer(const struct ward_probe *probe)
{
	struct pollfd fd = { .fd = probe->fd, .events = POLLOUT };
	socklen_t length = sizeof(int);
	int err = 0;

	if (poll(&fd, 1, 0) <= 0)
		return VIGIL_UNASKED;
	if (getsockopt(probe->fd, SOL_SOCKET, SO_ERROR, &err, &length))
		return VIGIL_UNKNOWN;
	return !err || err == ECONNREFUSED ? VIGIL_ANSWERED : VIGIL_SILENT;
}

/* What it means that a question cannot even be sent. */
static enum vigil_probe_result failure(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return VIGIL_ANSWERED;
	case ENETUNREACH:
	case EHOSTUNREACH:
	case ETIMEDOUT:
		return VIGIL_SILENT;
	default:
		return VIGIL_UNKNOWN;
	}
}

static void take_answers(struct ward *w, uint64_t now)
{
	for (int i = 0; i < WARD_PROBES; i++) {
		struct ward_probe *probe = &w->probe[i];
		enum vigil_probe_result result;

		if (probe->fd < 0)
			continue;
		result = answer(probe);
		if (result == VIGIL_UNASKED) {
			if (now - probe->since_ms < ANSWER_MS)
				continue;
			result = VIGIL_SILENT;
		}
		vigil_probed(w->vigil, &probe->dest, probe->port, result);
		w->news = true;
		close(probe->fd);
		probe->fd = -1;
	}
}

static void ask_more(struct ward *w, uint64_t now)
{
	for (int i = 0; i < WARD_PROBES; i++) {
		struct ward_probe *probe = &w->probe[i];
		struct vigil_service *s;

		if (probe->fd >= 0)
			continue;
		s = vigil_probe(w->vigil);
		if (!s)
			return;
		*probe = (struct ward_probe){ .dest = s->dest,
					      .port = s->port,
					      .since_ms = now };
		probe->fd = ask(&s->dest, s->port);
		if (probe->fd < 0) {
			vigil_probed(w->vigil, &s->dest, s->port,
				     failure(-probe->fd));
			probe->fd = -1;
		}
	}
}

/* --- looks ------------------------------------------------------------- */

int ward_look(struct ward *w, bool probe)
{
	uint64_t now = ward_now_ms(w->instance);
	enum vigil_verdict before = w->verdict;
	int err;

	if (w->state.flags & WARD_BACK)
		return 0;
	vigil_look(w->vigil, now);
	w->routed = (struct addr){};
	err = walk(w, false);
	if (err)
		return err;
	if (probe)
		take_answers(w, now);
	w->verdict = vigil_judge(w->vigil);
	if (probe)
		ask_more(w, now);
	if (w->verdict != before || w->state.broken != w->vigil->broken ||
	    (now >= w->state.until_ms && !(w->state.flags & WARD_JUDGED)))
		w->news = true;
	for (uint32_t i = 0; i < 2 * VIGIL_NETS && !w->news; i++)
		w->news = w->vigil->nets[i].try_count;
	return 0;
}

uint32_t ward_pace_ms(const struct ward *w)
{
	uint64_t now = ward_now_ms(w->instance);

	if (w->state.flags & WARD_BACK)
		return 0;
	for (int i = 0; i < WARD_PROBES; i++)
		if (w->probe[i].fd >= 0)
			return LOOK_MS;
	if (w->state.flags & WARD_FIRST)
		return LOOK_LATER_MS;
	if (now < w->state.until_ms || !(w->state.flags & WARD_JUDGED))
		return LOOK_MS;
	/* until it is answered again */
	return w->verdict == VIGIL_QUIET ? 0 : LOOK_LATER_MS;
}

int ward_save(struct ward *w)
{
	uint64_t now = ward_now_ms(w->instance);
	int err;

	if (!w->news)
		return 0;
	w->state.broken = w->vigil->broken;
	w->state.pods = w->vigil->proven_pods;
	if (w->verdict == VIGIL_PROVEN)
		w->state.flags |= WARD_PROVEN;
	if (now >= w->state.until_ms)
		w->state.flags |= WARD_JUDGED;
	err = write_note(w);
	w->news = err;
	return err;
}

int ward_is_current(const struct ward *w)
{
	struct masq_policy policy;
	uint32_t active;
	int err = map_read(w->instance, MAP_masq_active, 0, &active);

	err = err
		      ?: map_read(w->instance, MAP_masq_policy, active & 1,
				  &policy);
	return err ?: policy.generation == w->state.generation;
}

/* --- back -------------------------------------------------------------- */

int ward_go_back(struct ward *w, uint32_t *generation)
{
	struct policy *running = NULL, *old = NULL;
	struct policy_change change;
	char command[160];
	struct ward back = { .instance = w->instance };
	int err = policy_read(w->instance, &running);

	if (!err && running->head.generation != w->state.generation)
		err = -ESTALE;
	err = err ?: history_load(w->instance, w->state.from, &old, NULL);
	if (err)
		goto out;
	/* an agent is not to take the file for changed, and the way back back */
	old->source.config_hash = running->source.config_hash;
	old->source.options = running->source.options;
	snprintf(command, sizeof(command),
		 "guard: back from generation %u to %u: %u network%s broken",
		 w->state.generation, w->state.from, w->vigil->broken,
		 w->vigil->broken == 1 ? "" : "s");
	author_set_command(command);
	err = policy_apply(w->instance, old, &change);
	author_set_command(NULL);
	if (err)
		goto out;
	*generation = change.generation;
	policy_settle(w->instance, old, &change);
	/* what spoke against it stays with the one that is refused */
	w->state.flags |= WARD_REFUSED | WARD_PROVEN;
	w->state.other = change.generation;
	w->news = true;
	if (ward_save(w))
		log_warn("guard: the evidence could not be kept");
	back.state = (struct ward_state){
		.magic = MAGIC,
		.generation = change.generation,
		.from = w->state.generation,
		.flags = WARD_BACK,
		.other = w->state.generation,
		.refused = running->source.config_hash,
	};
	back.vigil = vigil_new(0, 0, false);
	if (!back.vigil || write_note(&back))
		log_warn("guard: generation %u: that it is a way back could "
			 "not be noted",
			 change.generation);
	vigil_free(back.vigil);
out:
	policy_free(running);
	policy_free(old);
	return err;
}

/* --- words ------------------------------------------------------------- */

size_t ward_broken(const struct ward *w, struct vigil_net ***out)
{
	struct vigil_net **nets;
	size_t count, kept = 0;

	*out = NULL;
	if (!w->vigil || !w->vigil->broken)
		return 0;
	nets = nets_of(w->vigil, &count);
	for (size_t i = 0; nets && i < count; i++)
		if (nets[i]->broken)
			nets[kept++] = nets[i];
	*out = nets;
	return nets ? kept : 0;
}

static int compare_pods(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

const char *ward_text(const struct ward *w, const struct vigil_net *net,
		      char *buf, size_t len)
{
	const struct policy_entry *match = policy_match(w->to, &net->net);
	char cidr[CIDR_STRLEN], by[CIDR_STRLEN], pods[400] = "";
	char pod[PODNAME_STRLEN];
	struct addr found[VIGIL_TRIES];
	size_t count = 0;

	for (uint16_t i = 0; i < net->try_count; i++) {
		bool known = false;

		for (size_t k = 0; k < count; k++)
			known |= addr_equal(&net->tries[i].pod, &found[k]);
		if (!known)
			found[count++] = net->tries[i].pod;
	}
	if (count) /* else there is nothing to sort, which qsort may not get */
		qsort(found, count, sizeof(*found), compare_pods);
	for (size_t i = 0; i < count && i < 3; i++) {
		size_t used = strlen(pods);

		/* a very long name does not push out what is said */
		if (strlen(podname_beside(&found[i], pod, sizeof(pod))) > 120)
			addr_format(&found[i], pod, sizeof(pod));
		snprintf(pods + used, sizeof(pods) - used, "%s%s",
			 i ? ", " : "", pod);
	}
	if (count > 3)
		snprintf(pods + strlen(pods), sizeof(pods) - strlen(pods),
			 " and %zu more", count - 3);
	snprintf(buf, len, "%s (%s by %s): new connections of %s hang, %s",
		 cidr_format(&net->net, cidr, sizeof(cidr)),
		 match ? action_name(match->action) : "?",
		 match ? cidr_format(&match->cidr, by, sizeof(by)) : "?",
		 *pods ? pods : "pods",
		 w->state.flags & WARD_FIRST
			 ? "the node itself is answered there"
			 : "answered before the change");
	return buf;
}

const char *ward_todo(const struct ward *w, char *buf, size_t len)
{
	if (w->state.flags & WARD_FIRST)
		snprintf(buf, len,
			 "masqbpf cidr add RANGE --masquerade, and the same "
			 "under masqueradeCIDRs in the file");
	else
		snprintf(buf, len, "masqbpf rollback %u", w->state.from);
	return buf;
}

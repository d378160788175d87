// SPDX-License-Identifier: GPL-2.0-only
/* ward_notes.c - what is noted of a generation, beside it in the history. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "policy/history.h"
#include "policy/ward_notes.h"

#define NS_PER_MS 1000000ULL

/* Networks that are noted down: those in trouble first. */
#define NETS_NOTED 512

/* Changes with the layout of what is noted. */
#define MAGIC                                                          \
	(0x57415244 ^ (uint32_t)(sizeof(struct ward_state) +           \
				 sizeof(struct noted_net) * 64 +       \
				 sizeof(struct vigil_service) * 4096 + \
				 sizeof(struct vigil_try) * 262144))

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

struct vigil_net **ward_nets(const struct ward *w, size_t *count)
{
	const struct vigil *v = w->vigil;
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

int ward_note_write(struct ward *w)
{
	size_t count = 0, length = sizeof(w->state);
	struct vigil_net **nets = ward_nets(w, &count);
	char *text = nets ? malloc(HISTORY_NOTE_MAX) : NULL, *at = text;
	int err = text ? 0 : -ENOMEM;

	if (!err) {
		at += sizeof(w->state);
		w->state.magic = MAGIC;
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

int ward_note_read(const struct instance *instance, uint32_t generation,
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
	return ward_note_read(instance, generation, out, NULL);
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
	int err = ward_note_read(instance, generation, &w.state, &w.vigil);

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
	err = ward_note_write(&w);
	vigil_free(w.vigil);
	return err;
}

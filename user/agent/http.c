// SPDX-License-Identifier: GPL-2.0-only
/* http.c - what the agent answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agent/agent.h"

/*
 * A walk over a full table takes a while: whoever asks often gets the same
 * numbers again, so that scrapes cost at most a fifth of the time.
 */
#define REUSE 4

int agent_metrics(struct agent *a)
{
	uint64_t start = follow_now_ms();
	int err;

	if (a->metrics.prefixes &&
	    start - a->metrics_ms < REUSE * a->metrics_cost_ms)
		return 0;
	metrics_free(&a->metrics);
	err = metrics_read(a->instance, &a->metrics);
	if (err)
		metrics_free(&a->metrics);
	a->metrics_ms = follow_now_ms();
	a->metrics_cost_ms = a->metrics_ms - start;
	return err;
}

static uint32_t due_bits(const struct agent *a)
{
	uint32_t bits = 0;

	for (int kind = 0; kind < MASQ_DUE_MAX; kind++)
		bits |= !!*a->due[kind] << kind;
	return bits;
}

void agent_metrics_state(const struct agent *a, struct metrics_uplink *uplinks,
			 struct metrics_state *out)
{
	for (size_t i = 0; i < a->link_count; i++) {
		const struct agent_link *link = &a->links[i];

		memcpy(uplinks[i].name, link->name, sizeof(uplinks[i].name));
		uplinks[i].hook = link->kind == HOOK_AUTO
					  ? "none"
					  : hook_kind_name(link->kind);
		uplinks[i].attached = link->whole;
	}
	*out = (struct metrics_state){ .reload_ok = a->reload_ok,
				       .reload_time = a->reload_time,
				       .stale = a->stale,
				       .due = due_bits(a),
				       .foreign_nat = a->foreign_count,
				       .uplinks = uplinks,
				       .uplink_count = a->link_count };
}

static int write_metrics(struct agent *a, FILE *file)
{
	struct metrics_uplink *uplinks =
		calloc(a->link_count + 1, sizeof(*uplinks));
	struct metrics_state state;
	int err = uplinks ? agent_metrics(a) : -ENOMEM;

	if (!err) {
		agent_metrics_state(a, uplinks, &state);
		metrics_write(file, &a->metrics, &state);
	}
	free(uplinks);
	return err;
}

static void answer_with(struct agent *a, struct http_reply *reply,
			int (*write)(struct agent *a, FILE *file),
			const char *type)
{
	FILE *file = open_memstream(&reply->body, &reply->length);
	int err = file ? write(a, file) : -ENOMEM;

	if (file && fclose(file))
		err = -ENOMEM;
	if (!err) {
		reply->status = 200;
		reply->type = type;
		return;
	}
	free(reply->body);
	http_text(reply, 503, "cannot read the dataplane: %s\n",
		  strerror(-err));
}

void agent_answer(void *data, const char *path, struct http_reply *reply)
{
	struct agent *a = data;
	struct agent_health health;

	if (!strcmp(path, "/metrics")) {
		answer_with(a, reply, write_metrics, METRICS_CONTENT_TYPE);
	} else if (!strcmp(path, "/healthz")) {
		/* the loop turns: what is wrong, a restart would not mend */
		http_text(reply, 200, "ok\n");
	} else if (!strcmp(path, "/readyz")) {
		agent_health(a, &health);
		http_text(reply, health.ready ? 200 : 503, "%s\n%s",
			  health.ready ? "ready" : "not ready", health.text);
	} else if (!strcmp(path, "/")) {
		answer_with(a, reply, agent_page, "text/html; charset=utf-8");
	}
}

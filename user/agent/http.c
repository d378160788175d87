// SPDX-License-Identifier: GPL-2.0-only
/* http.c - what the agent answers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "agent/health.h"
#include "agent/http.h"
#include "agent/page.h"
#include "agent/scrape.h"

#define PAGE_TYPE "text/html; charset=utf-8"

static char *memdup(const char *text, size_t length)
{
	char *copy = malloc(length + 1);

	return copy ? memcpy(copy, text, length) : NULL;
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

/*
 * A page reads the whole policy, which with a hundred thousand prefixes takes
 * a while: whoever asks at once again gets the same one.
 */
static void answer_page(struct agent *a, struct http_reply *reply)
{
	uint64_t start = follow_now_ms();

	if (a->page && start - a->page_ms < SCRAPE_REUSE * a->page_cost_ms) {
		reply->body = memdup(a->page, a->page_length);
		if (reply->body) {
			reply->status = 200;
			reply->type = PAGE_TYPE;
			reply->length = a->page_length;
			return;
		}
	}
	answer_with(a, reply, agent_page, PAGE_TYPE);
	free(a->page);
	a->page = reply->status == 200 ? memdup(reply->body, reply->length)
				       : NULL;
	a->page_length = reply->length;
	a->page_ms = follow_now_ms();
	a->page_cost_ms = a->page_ms - start;
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
		answer_page(a, reply);
	}
}

// SPDX-License-Identifier: GPL-2.0-only
/* history_evidence.c - networks, their flows of before, and what hung since. */
#include <stdlib.h>
#include "base/words.h"
#include "cli/history_evidence.h"
#include "cli/podname.h"
#include "cli/show.h"
#include "plane/flow.h"

#define LATE_MS 30000 /* that who watches may be */

/* What became of the change, as far as somebody watched. */
static const char *guard_verdict(const struct instance *instance,
				 const struct ward_state *s)
{
	return s->flags & WARD_BACK	 ? "the guard's way back"
	       : s->flags & WARD_REFUSED ? "broke traffic and was taken back"
	       : s->broken		 ? "broke traffic"
	       : s->flags & WARD_JUDGED	 ? "broke nothing"
	       : ward_now_ms(instance) > s->until_ms + LATE_MS
		       ? "not watched to its end: no agent, no --guard"
		       : "watched";
}

#define EVIDENCE_MAX 20 /* networks that are shown */

static void print_tries(const struct vigil_net *net)
{
	char pod[PODNAME_STRLEN], dest[END_STRLEN], proto[16];

	for (uint16_t i = 0; i < net->try_count; i++) {
		const struct vigil_try *t = &net->tries[i];

		words_print(stdout, 6, "    %s > %s %s: no answer for %.1f s\n",
			    podname_beside(&t->pod, pod, sizeof(pod)),
			    end_text(&t->dest, t->port, dest, sizeof(dest)),
			    proto_name(t->proto, proto, sizeof(proto)),
			    t->hung_ms / 1000.0);
	}
}

void evidence_print(const struct ward *w)
{
	size_t count, shown_count = 0;
	struct vigil_net **nets = ward_nets(w, &count);

	printf("\nguard: %s", guard_verdict(w->instance, &w->state));
	if (w->state.flags & (WARD_BACK | WARD_REFUSED))
		printf(w->state.flags & WARD_BACK ? ", from generation %u"
						  : ", by generation %u",
		       w->state.other);
	printf("\n");
	for (size_t i = 0; nets && i < count; i++) {
		const struct vigil_net *net = nets[i];
		char text[PODNAME_STRLEN];
		struct words words;
		FILE *out;

		if (shown_count++ == EVIDENCE_MAX) {
			printf("  and %zu more networks\n", count - i);
			break;
		}
		out = words_begin(&words);
		fprintf(out, "  %-20s %u answered flow%s before",
			cidr_format(&net->net, text, sizeof(text)), net->before,
			net->before == 1 ? "" : "s");
		for (uint8_t k = 0; k < net->pod_count; k++)
			fprintf(out, "%s%s", k ? ", " : " of ",
				podname_beside(&net->pods[k], text,
					       sizeof(text)));
		fprintf(out, "; since: %s%s\n",
			net->answered_ms ? "answered"
			: net->try_count ? "unanswered"
					 : "nothing new",
			net->broken ? ": broken" : "");
		words_end(&words, stdout, 4);
		print_tries(net);
	}
	free(nets);
}

void evidence_json(struct json *j, const struct ward *w)
{
	char text[CIDR_STRLEN], proto[16];
	struct vigil_net **nets;
	size_t count;

	if (!w) {
		json_null(j, "guard");
		return;
	}
	nets = ward_nets(w, &count);
	json_object(j, "guard");
	json_string(j, "verdict", guard_verdict(w->instance, &w->state));
	if (w->state.flags & (WARD_BACK | WARD_REFUSED))
		json_u64(j, "other", w->state.other);
	else
		json_null(j, "other");
	json_array(j, "networks");
	for (size_t i = 0; nets && i < count; i++) {
		const struct vigil_net *net = nets[i];

		json_object(j, NULL);
		json_string(j, "network",
			    cidr_format(&net->net, text, sizeof(text)));
		json_bool(j, "broken", net->broken);
		json_u64(j, "answered_before", net->before);
		json_array(j, "pods_before");
		for (uint8_t k = 0; k < net->pod_count; k++)
			json_string(j, NULL,
				    addr_format(&net->pods[k], text,
						sizeof(text)));
		json_array_end(j);
		json_bool(j, "answered_since", net->answered_ms);
		json_array(j, "unanswered");
		for (uint16_t k = 0; k < net->try_count; k++) {
			const struct vigil_try *t = &net->tries[k];

			json_object(j, NULL);
			json_string(j, "pod",
				    addr_format(&t->pod, text, sizeof(text)));
			podname_json(j, "pod_name", &t->pod);
			json_string(j, "destination",
				    addr_format(&t->dest, text, sizeof(text)));
			json_u64(j, "port", t->port);
			json_string(j, "proto",
				    proto_name(t->proto, proto, sizeof(proto)));
			json_double(j, "hung_s", t->hung_ms / 1000.0);
			json_object_end(j);
		}
		json_array_end(j);
		json_object_end(j);
	}
	json_array_end(j);
	json_object_end(j);
	free(nets);
}

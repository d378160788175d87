// SPDX-License-Identifier: GPL-2.0-only
/* ward_ask.c - questions to far sides, as the node: its own connections. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include "policy/ward_ask.h"

/* A question to a far side is answered within this, or not at all. */
#define ANSWER_MS 3000

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

void ward_take_answers(struct ward *w, uint64_t now)
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

void ward_ask_more(struct ward *w, uint64_t now)
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

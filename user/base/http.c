// SPDX-License-Identifier: GPL-2.0-only
/*
 * http.c - GET and HEAD over libmicrohttpd, in the caller's thread. Whoever
 * connects can hold at most this much of us: HTTP_CONNECTIONS of HTTP_MEMORY
 * each, HTTP_IDLE_S long when idle and HTTP_LIFE_MS in any case: a request that
 * dribbles in is never idle.
 *
 * Where all are held the oldest make room, after HTTP_PATIENCE_MS: others wait
 * in the kernel's queue, which is long and in order, and who has asked by the
 * time that it is let in is answered at once. There is no limit for each
 * address: at the loopback address all are one, and each has millions.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cidr.h"
#include "base/http.h"
#include "base/log.h"
#include "base/reject.h"

#define HTTP_CONNECTIONS 128
#define HTTP_QUEUE	 4096 /* net.core.somaxconn limits it, too */
#define HTTP_MEMORY	 16384
#define HTTP_PATIENCE_MS 100
#define HTTP_LIFE_MS	 10000
#define HTTP_IDLE_S	 5

struct peer {
	int fd; /* 0: no connection here */
	bool ended; /* by us: MHD has yet to see it */
	uint64_t since_ms;
};

struct http {
	struct http_address address;
	int listen_fd;
	bool bound;
	struct MHD_Daemon *daemon; /* NULL: it does not listen yet */
	int fd; /* epoll */
	struct peer peers[HTTP_CONNECTIONS];
	bool was_full; /* MHD listens no more, until it runs once more */
	http_answer answer;
	void *data;
};

/* --- addresses --------------------------------------------------------- */

int http_address_parse(const char *text, struct http_address *out, char *err,
		       size_t errlen)
{
	struct http_address address = {};
	const char *colon = strrchr(text, ':');
	char host[64];
	struct addr addr;
	uint64_t port;
	size_t length;

	if (!colon || colon == text)
		return reject(err, errlen,
			      "not ADDRESS:PORT (as " HTTP_DEFAULT_LISTEN ")");
	length = colon - text;
	if (text[0] == '[' && colon[-1] == ']') {
		text++;
		length -= 2;
	}
	if (length >= sizeof(host))
		return reject(err, errlen, "too long for an address");
	memcpy(host, text, length);
	host[length] = '\0';
	if (addr_parse(host, &addr, err, errlen) ||
	    number_parse(colon + 1, 0, 65535, &port, err, errlen))
		return -EINVAL;
	if (addr.family == 6 && text[length] != ']')
		return reject(err, errlen,
			      "an IPv6 address needs brackets: [%s]:%s", host,
			      colon + 1);
	if (addr.family == 4) {
		struct sockaddr_in *in = (void *)&address.addr;

		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		in->sin_addr.s_addr = addr.a[0];
		address.length = sizeof(*in);
		address.loopback = ntohl(addr.a[0]) >> 24 == 127;
	} else {
		struct sockaddr_in6 *in6 = (void *)&address.addr;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(port);
		memcpy(&in6->sin6_addr, addr.a, sizeof(in6->sin6_addr));
		address.length = sizeof(*in6);
		address.loopback = IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
	}
	*out = address;
	return 0;
}

static const char *address_text(const struct sockaddr_storage *addr, char *buf,
				size_t len)
{
	char host[INET6_ADDRSTRLEN] = "?";

	if (addr->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)addr;

		inet_ntop(AF_INET, &in->sin_addr, host, sizeof(host));
		snprintf(buf, len, "%s:%u", host, ntohs(in->sin_port));
	} else {
		const struct sockaddr_in6 *in6 = (const void *)addr;

		inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof(host));
		snprintf(buf, len, "[%s]:%u", host, ntohs(in6->sin6_port));
	}
	return buf;
}

const char *http_address_text(const struct http_address *address, char *buf,
			      size_t len)
{
	return address_text(&address->addr, buf, len);
}

static int listen_on(struct http *http)
{
	const struct http_address *address = &http->address;
	int one = 1;

	/* of two who may both be bound one may listen */
	if (!http->bound && (setsockopt(http->listen_fd, SOL_SOCKET,
					SO_REUSEADDR, &one, sizeof(one)) ||
			     bind(http->listen_fd, (const void *)&address->addr,
				  address->length)))
		return -errno;
	http->bound = true;
	return listen(http->listen_fd, HTTP_QUEUE) ? -errno : 0;
}

static void say_where(const struct http *http)
{
	struct sockaddr_storage bound = http->address.addr;
	socklen_t length = sizeof(bound);
	char text[80];

	/* a port that was left to the kernel */
	getsockname(http->listen_fd, (void *)&bound, &length);
	address_text(&bound, text, sizeof(text));
	if (http->address.loopback)
		log_info("http://%s/: listening", text);
	else
		log_warn("http://%s/: listening for everybody who can reach "
			 "this address: policy and counters are no secret then",
			 text);
}

/* --- requests ---------------------------------------------------------- */

void http_text(struct http_reply *reply, unsigned int status, const char *fmt,
	       ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&reply->body, fmt, ap);
	va_end(ap);
	if (n < 0) {
		reply->body = NULL;
		n = 0;
	}
	reply->status = status;
	reply->type = "text/plain; charset=utf-8";
	reply->length = n;
}

static enum MHD_Result send_reply(struct MHD_Connection *connection,
				  struct http_reply *reply)
{
	/* the page has one style sheet, in itself, and nothing else */
	static const char *const headers[][2] = {
		{ "Content-Security-Policy",
		  "default-src 'none'; style-src 'unsafe-inline'; "
		  "base-uri 'none'; form-action 'none'; "
		  "frame-ancestors 'none'" },
		{ "X-Content-Type-Options", "nosniff" },
		{ "Referrer-Policy", "no-referrer" },
		{ "Cache-Control", "no-store" },
	};
	struct MHD_Response *response;
	enum MHD_Result result;

	response = MHD_create_response_from_buffer(reply->length, reply->body,
						   MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(reply->body);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", reply->type);
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
		MHD_add_response_header(response, headers[i][0], headers[i][1]);
	if (reply->status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, "Allow", "GET, HEAD");
	result = MHD_queue_response(connection, reply->status, response);
	MHD_destroy_response(response);
	return result;
}

/* NAME or NAME:PORT, in any case, with or without the dot of the root. */
static bool is_host(const char *host, const char *name)
{
	size_t length = strlen(name);

	if (!length || strncasecmp(host, name, length))
		return false;
	host += length;
	host += *host == '.';
	return !*host || *host == ':';
}

/*
 * A page of some name that leads here is not ours, though its browser runs on
 * this node (DNS rebinding): who asks has an address, localhost or the node's
 * own name in mind. Programs may say nothing.
 */
static bool is_for_us(struct MHD_Connection *connection)
{
	const char *host = MHD_lookup_connection_value(
		connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_HOST);
	char name[HOST_NAME_MAX + 1] = "", text[INET6_ADDRSTRLEN + 1] = "";
	struct in6_addr addr;
	size_t length;
	bool six;

	if (!host || !*host || is_host(host, "localhost"))
		return true;
	gethostname(name, sizeof(name) - 1);
	if (is_host(host, name))
		return true;
	name[strcspn(name, ".")] = '\0';
	if (is_host(host, name))
		return true;
	six = *host == '[';
	host += six;
	length = strcspn(host, six ? "]%" : ":");
	if (length >= sizeof(text))
		return false;
	if (six && !host[length])
		return false;
	memcpy(text, host, length);
	return inet_pton(six ? AF_INET6 : AF_INET, text, &addr) == 1;
}

static enum MHD_Result handle(void *data, struct MHD_Connection *connection,
			      const char *url, const char *method,
			      const char *version, const char *upload,
			      size_t *upload_size, void **request)
{
	static int seen;
	struct http *http = data;
	struct http_reply reply = {};

	(void)version;
	(void)upload;
	/* the first call comes with the header, before any body */
	if (!*request) {
		*request = &seen;
		if (!is_for_us(connection)) {
			http_text(&reply, MHD_HTTP_MISDIRECTED_REQUEST,
				  "not a name of this node: ask by address, "
				  "localhost or the node's host name\n");
			return send_reply(connection, &reply);
		}
		if (!strcmp(method, "GET") || !strcmp(method, "HEAD"))
			return MHD_YES;
		http_text(&reply, MHD_HTTP_METHOD_NOT_ALLOWED,
			  "only GET and HEAD\n");
		return send_reply(connection, &reply);
	}
	if (*upload_size) { /* a body that nobody wants */
		*upload_size = 0;
		return MHD_YES;
	}
	http->answer(http->data, url, &reply);
	if (!reply.status)
		http_text(&reply, MHD_HTTP_NOT_FOUND, "not found\n");
	return send_reply(connection, &reply);
}

/* --- connections ------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000ULL + t.tv_nsec / 1000000;
}

static void note_connection(void *data, struct MHD_Connection *connection,
			    void **context,
			    enum MHD_ConnectionNotificationCode code)
{
	const union MHD_ConnectionInfo *info = MHD_get_connection_info(
		connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct http *http = data;
	struct peer *peer = *context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (peer)
			peer->fd = 0;
		return;
	}
	for (int i = 0; info && i < HTTP_CONNECTIONS; i++) {
		peer = &http->peers[i];
		if (peer->fd)
			continue;
		*peer = (struct peer){ .fd = info->connect_fd,
				       .since_ms = now_ms() };
		*context = peer;
		return;
	}
}

static void complain(void *data, const char *fmt, va_list ap)
{
	char text[256];

	(void)data;
	vsnprintf(text, sizeof(text), fmt, ap);
	text[strcspn(text, "\n")] = '\0';
	log_debug("http: %s", text);
}

int http_new(const struct http_address *address, http_answer answer, void *data,
	     struct http **out)
{
	struct http *http = calloc(1, sizeof(*http));
	int err;

	if (!http)
		return -ENOMEM;
	http->address = *address;
	http->answer = answer;
	http->data = data;
	http->fd = -1;
	http->listen_fd = socket(address->addr.ss_family,
				 SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (http->listen_fd < 0) {
		err = -errno;
		free(http);
		return err;
	}
	*out = http;
	return 0;
}

static bool is_same(int fd, int other)
{
	struct stat a, b;

	return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

int http_listen(struct http *http)
{
	const union MHD_DaemonInfo *info;
	int err = listen_on(http), fd;

	if (err)
		return err;
	/* one that cannot start may have closed what it was given */
	fd = fcntl(http->listen_fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	http->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, handle, http,
		MHD_OPTION_EXTERNAL_LOGGER, complain, NULL,
		MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_CONNECTION_LIMIT,
		(unsigned int)HTTP_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
		(unsigned int)HTTP_IDLE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
		(size_t)HTTP_MEMORY, MHD_OPTION_NOTIFY_CONNECTION,
		note_connection, http, MHD_OPTION_END);
	if (!http->daemon) {
		err = errno ? -errno : -EIO;
		if (is_same(fd, http->listen_fd))
			close(fd);
		return err;
	}
	info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	http->fd = info ? info->epoll_fd : -1;
	say_where(http);
	return 0;
}

int http_start(const struct http_address *address, http_answer answer,
	       void *data, struct http **out)
{
	struct http *http = NULL;
	int err = http_new(address, answer, data, &http) ?: http_listen(http);
	char text[80];

	if (err) {
		log_error("%s: cannot listen: %s",
			  address_text(&address->addr, text, sizeof(text)),
			  strerror(-err));
		http_stop(http);
		return err;
	}
	*out = http;
	return 0;
}

int http_fd(const struct http *http)
{
	return http ? http->fd : -1;
}

static bool is_full(const struct http *http)
{
	for (int i = 0; i < HTTP_CONNECTIONS; i++)
		if (!http->peers[i].fd)
			return false;
	return true;
}

/* How long a connection may last as things are. */
static uint64_t life_ms(const struct http *http)
{
	return is_full(http) ? HTTP_PATIENCE_MS : HTTP_LIFE_MS;
}

int http_timeout(const struct http *http)
{
	MHD_UNSIGNED_LONG_LONG ms;
	int64_t least = INT_MAX;
	uint64_t now = now_ms(), life;

	if (!http || !http->daemon)
		return -1;
	if (http->was_full && !is_full(http))
		return 0;
	if (MHD_get_timeout(http->daemon, &ms) == MHD_YES && ms < INT_MAX)
		least = ms;
	life = life_ms(http);
	for (int i = 0; i < HTTP_CONNECTIONS; i++) {
		const struct peer *peer = &http->peers[i];
		int64_t left = peer->since_ms + life - now;

		if (peer->fd && !peer->ended && left < least)
			least = left < 0 ? 0 : left;
	}
	return least == INT_MAX ? -1 : least;
}

void http_run(struct http *http)
{
	uint64_t now = now_ms(), life;

	if (!http || !http->daemon)
		return;
	life = life_ms(http);
	/* the connection is MHD's to close: it sees the end of the stream */
	for (int i = 0; i < HTTP_CONNECTIONS; i++) {
		struct peer *peer = &http->peers[i];

		if (peer->fd && !peer->ended && now - peer->since_ms >= life) {
			shutdown(peer->fd, SHUT_RDWR);
			peer->ended = true;
		}
	}
	http->was_full = is_full(http);
	MHD_run(http->daemon);
}

void http_stop(struct http *http)
{
	if (!http)
		return;
	if (http->daemon)
		MHD_stop_daemon(http->daemon);
	close(http->listen_fd);
	free(http);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * http.h - a small HTTP server for GET and HEAD, within bounds, driven by the
 * caller's own loop. libmicrohttpd reads the requests.
 */
#ifndef MASQ_HTTP_H
#define MASQ_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define HTTP_DEFAULT_LISTEN "127.0.0.1:9842"

/* Where to listen: "127.0.0.1:9842", "[::1]:9842", port 0: any. */
struct http_address {
	struct sockaddr_storage addr;
	socklen_t length;
	bool loopback;
};
/* 0, or -EINVAL and a clause in err. */
int http_address_parse(const char *text, struct http_address *out, char *err,
		       size_t errlen);

struct http_reply {
	unsigned int status;
	const char *type; /* Content-Type, a static string */
	char *body; /* malloc'ed, freed by the server */
	size_t length;
};

/* Answers a request for a path; a reply without a status is "not found". */
typedef void (*http_answer)(void *data, const char *path,
			    struct http_reply *reply);

struct http;
/* 0 or -errno, printed; a server that listens. */
int http_start(const struct http_address *address, http_answer answer,
	       void *data, struct http **out);
/* The same in two steps. The first needs a descriptor and memory, no port. */
int http_new(const struct http_address *address, http_answer answer, void *data,
	     struct http **out);
/*
 * 0; -errno, not printed: it may be called again. The address in use is
 * printed with log_info; one that others can reach with log_warn.
 */
int http_listen(struct http *http);
/* "127.0.0.1:9842" */
const char *http_address_text(const struct http_address *address, char *buf,
			      size_t len);
/*
 * Readable: call http_run; it is also due after http_timeout ms (-1: never).
 * -1, too, while it does not listen.
 */
int http_fd(const struct http *http);
int http_timeout(const struct http *http);
void http_run(struct http *http);
void http_stop(struct http *http);

/* A reply of one line of plain text. */
void http_text(struct http_reply *reply, unsigned int status, const char *fmt,
	       ...) __attribute__((format(printf, 3, 4)));

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_http.c - libFuzzer on HTTP requests, through the agent's own server: a
 * connection on the loopback, the bytes, the answer. It stays in bounds, and
 * goes on answering.
 */
#include <errno.h>
#include <sched.h>
#include <net/if.h>
#include <poll.h>
#include <unistd.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include "fuzz.h"
#include "base/http.h"
#include "base/log.h"

static struct http *http;
static struct sockaddr_in where = { .sin_family = AF_INET };
static int asked;

static void answer(void *data, const char *path, struct http_reply *reply)
{
	(void)data;
	asked++;
	if (!strcmp(path, "/metrics"))
		http_text(reply, 200, "masqbpf_flows 1\n");
}

/* A network of our own: nobody is met there, and no port is taken. */
static void begin(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct http_address address;
	char err[128];
	int fd;

	require(!unshare(CLONE_NEWNET));
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	require(fd >= 0 && !ioctl(fd, SIOCSIFFLAGS, &lo));
	close(fd);
	require(!http_address_parse("127.0.0.1:9842", &address, err,
				    sizeof(err)));
	memcpy(&where, &address.addr, sizeof(where));
	require(!http_start(&address, answer, NULL, &http));
}

/* Lets the server do all that it can do now. */
static void turn(void)
{
	struct pollfd pollfd = { http_fd(http), POLLIN, 0 };

	do
		http_run(http);
	while (poll(&pollfd, 1, 0) > 0);
}

static size_t request(const void *data, size_t size, char *reply, size_t room)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct linger linger = { 1, 0 };
	size_t got = 0;
	ssize_t n;

	require(fd >= 0);
	/* no port may rest: there are thousands a second */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	require(!connect(fd, (void *)&where, sizeof(where)) ||
		errno == EINPROGRESS);
	turn();
	/* in two pieces, as a network may cut it */
	if (send(fd, data, size / 2, MSG_NOSIGNAL) >= 0) {
		turn();
		(void)!send(fd, (const char *)data + size / 2, size - size / 2,
			    MSG_NOSIGNAL);
	}
	turn();
	while (got < room && (n = recv(fd, reply + got, room - got, 0)) > 0) {
		got += n;
		turn();
	}
	close(fd);
	turn();
	return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char good[] =
		"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static char reply[65536];
	static int runs;
	size_t got;

	if (!http) {
		log_level = -2;
		begin();
	}
	got = request(data, size, reply, sizeof(reply) - 1);
	require(got < sizeof(reply) - 1);
	if (++runs % 16)
		return 0;
	asked = 0;
	got = request(good, sizeof(good) - 1, reply, sizeof(reply) - 1);
	reply[got] = '\0';
	require(asked == 1 && strstr(reply, "masqbpf_flows 1"));
	return 0;
}

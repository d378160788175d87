/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * netlink.h - a kernel that answers every netlink request with what the
 * fuzzer made: libmnl's socket functions, defined here and so used instead of
 * the library's. An answer is cut out of the input: two bytes of length, the
 * bytes. Beyond them the caller's buffer is poisoned.
 */
#ifndef MASQ_FUZZ_NETLINK_H
#define MASQ_FUZZ_NETLINK_H

#include <errno.h>
#include <libmnl/libmnl.h>
#include <sanitizer/asan_interface.h>
#include "fuzz.h"

static const uint8_t *answers;
static size_t answers_left;
static void *poisoned;
static size_t poisoned_length;

static void unpoison(void)
{
	if (poisoned)
		ASAN_UNPOISON_MEMORY_REGION(poisoned, poisoned_length);
	poisoned = NULL;
}

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	(void)bus;
	(void)flags;
	return (struct mnl_socket *)&answers;
}

int mnl_socket_bind(struct mnl_socket *nl, unsigned int groups, pid_t pid)
{
	(void)nl;
	(void)groups;
	(void)pid;
	return 0;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *nl, const void *request,
			  size_t size)
{
	(void)nl;
	(void)request;
	unpoison();
	return size;
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *nl, void *buf, size_t size)
{
	size_t length;

	(void)nl;
	unpoison();
	if (answers_left < 2) {
		errno = EAGAIN;
		return -1;
	}
	length = answers[0] | answers[1] << 8;
	answers += 2;
	answers_left -= 2;
	if (length > answers_left)
		length = answers_left;
	if (length > size)
		length = size;
	memcpy(buf, answers, length);
	answers += length;
	answers_left -= length;
	poisoned = (char *)buf + length;
	poisoned_length = size - length;
	ASAN_POISON_MEMORY_REGION(poisoned, poisoned_length);
	return length;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *nl)
{
	(void)nl;
	return 0; /* libmnl takes messages to whomever then */
}

int mnl_socket_close(struct mnl_socket *nl)
{
	(void)nl;
	unpoison();
	return 0;
}

#endif

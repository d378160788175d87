// SPDX-License-Identifier: GPL-2.0-only
/* netlink.c - one dump over netlink; reading without trust. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <libmnl/libmnl.h>
#include "kernel/netlink.h"

/*
 * libmnl ends at the first message of an inconsistent dump. All of it is read
 * here, and said at the end: what is told is true even so.
 */
static bool was_interrupted(void *buf, int length)
{
	struct nlmsghdr *message = buf;
	bool interrupted = false;

	for (; mnl_nlmsg_ok(message, length);
	     message = mnl_nlmsg_next(message, &length)) {
		interrupted |= message->nlmsg_flags & NLM_F_DUMP_INTR;
		message->nlmsg_flags &= ~NLM_F_DUMP_INTR;
	}
	return interrupted;
}

int netlink_all(int bus, uint16_t type, const void *head, size_t length,
		size_t least, mnl_cb_t each, void *data)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	char buf[65536]; /* `each` may ask, too */
	struct nlmsghdr *request;
	uint32_t sequence = 1;
	bool interrupted = false;
	ssize_t got;
	int ret = -1, err;

	if (!socket)
		return -errno;
	request = mnl_nlmsg_put_header(buf);
	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	request->nlmsg_seq = sequence;
	memcpy(mnl_nlmsg_put_extra_header(request, length), head, length);
	if (mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) >= 0 &&
	    mnl_socket_sendto(socket, request, request->nlmsg_len) >= 0)
		do {
			got = mnl_socket_recvfrom(socket, buf, sizeof(buf));
			if (got >= 0 && !netlink_is_sound(buf, got, least)) {
				errno = EBADMSG;
				got = -1;
			}
			if (got >= 0)
				interrupted |= was_interrupted(buf, got);
			ret = got < 0 ? -1
				      : mnl_cb_run(
						buf, got, sequence,
						mnl_socket_get_portid(socket),
						each, data);
		} while (ret > 0);
	err = ret < 0 ? -errno : interrupted ? -EINTR : 0;
	mnl_socket_close(socket);
	return err;
}

bool netlink_is_sound(const void *buf, size_t length, size_t least)
{
	const char *at = buf;

	while (length >= sizeof(struct nlmsghdr)) {
		const struct nlmsghdr *message = (const void *)at;
		size_t size = message->nlmsg_len;

		if (size < sizeof(*message) || size > length)
			return false;
		/* below it are those that netlink itself makes */
		if (message->nlmsg_type >= NLMSG_MIN_TYPE &&
		    size < MNL_NLMSG_HDRLEN + least)
			return false;
		size = MNL_ALIGN(size);
		if (size > length)
			return true;
		at += size;
		length -= size;
	}
	return true;
}

uint8_t netlink_u8(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint8_t)
		       ? mnl_attr_get_u8(attr)
		       : 0;
}

uint16_t netlink_u16(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint16_t)
		       ? mnl_attr_get_u16(attr)
		       : 0;
}

uint32_t netlink_u32(const struct nlattr *attr)
{
	return mnl_attr_get_payload_len(attr) >= sizeof(uint32_t)
		       ? mnl_attr_get_u32(attr)
		       : 0;
}

const char *netlink_str(const struct nlattr *attr)
{
	return memchr(mnl_attr_get_payload(attr), '\0',
		      mnl_attr_get_payload_len(attr))
		       ? mnl_attr_get_str(attr)
		       : "";
}

uint32_t netlink_be32(const struct nlattr *attr)
{
	return attr ? ntohl(netlink_u32(attr)) : UINT32_MAX;
}

int netlink_collect(const struct nlattr *attr, void *data)
{
	const struct nlattr **attrs = data;

	if (mnl_attr_get_type(attr) < NETLINK_ATTRS)
		attrs[mnl_attr_get_type(attr)] = attr;
	return MNL_CB_OK;
}

struct ask {
	int (*each)(const struct nlmsghdr *message, void *data);
	void *data;
	int err;
};

static int ask_message(const struct nlmsghdr *message, void *data)
{
	struct ask *ask = data;

	ask->err = ask->each(message, ask->data);
	return ask->err ? MNL_CB_ERROR : MNL_CB_OK;
}

int netlink_ask(const struct nlmsghdr *request, size_t least,
		int (*each)(const struct nlmsghdr *message, void *data),
		void *data)
{
	/* answers of a dump are as large as the kernel finds room for */
	static char buffer[32768];
	struct ask state = { .each = each, .data = data };
	struct mnl_socket *nl;
	int more = MNL_CB_OK, err = 0;
	ssize_t n;

	/* a fresh socket: nothing of an interrupted dump is in it */
	nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	if (!nl)
		return -errno;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, request, request->nlmsg_len) < 0)
		err = -errno;
	while (!err && more > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, buffer, sizeof(buffer));
		if (n >= 0 && !netlink_is_sound(buffer, n, least)) {
			err = -EBADMSG;
			break;
		}
		if (n >= 0)
			more = mnl_cb_run(buffer, n, request->nlmsg_seq,
					  mnl_socket_get_portid(nl),
					  ask_message, &state);
		if (n < 0 || more == MNL_CB_ERROR)
			err = state.err ?: -errno;
	}
	mnl_socket_close(nl);
	return err;
}

int netlink_dump(uint16_t type, const void *header, size_t length,
		 int (*each)(const struct nlmsghdr *message, void *data),
		 void (*begin)(void *data), void *data)
{
	char buffer[256];
	struct nlmsghdr *request = mnl_nlmsg_put_header(buffer);
	int err = -EINTR;

	request->nlmsg_type = type;
	request->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	memcpy(mnl_nlmsg_put_extra_header(request, length), header, length);
	for (int i = 1; err == -EINTR && i <= NETLINK_TRIES; i++) {
		request->nlmsg_seq = i;
		begin(data);
		err = netlink_ask(request, length, each, data);
	}
	return err;
}

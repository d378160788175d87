// SPDX-License-Identifier: GPL-2.0-only
/* netlink.c - one dump over netlink. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "netlink.h"

int netlink_all(int bus, uint16_t type, const void *head, size_t length,
		mnl_cb_t each, void *data)
{
	struct mnl_socket *socket = mnl_socket_open2(bus, SOCK_CLOEXEC);
	static char buf[65536];
	struct nlmsghdr *request;
	uint32_t sequence = 1;
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
			ret = got < 0 ? -1
				      : mnl_cb_run(
						buf, got, sequence,
						mnl_socket_get_portid(socket),
						each, data);
		} while (ret > 0);
	err = ret < 0 ? -errno : 0;
	mnl_socket_close(socket);
	return err;
}

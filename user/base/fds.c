// SPDX-License-Identifier: GPL-2.0-only
/* fds.c - SCM_RIGHTS, see unix(7) and cmsg(3). */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "base/fds.h"

union control {
	char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct cmsghdr align;
};

int fds_send(int socket, const void *bytes, size_t length, const int *fds,
	     size_t count)
{
	struct iovec part = { (void *)bytes, length };
	union control control = {};
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen =
					  CMSG_SPACE(count * sizeof(int)) };
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);

	if (!count || count > FDS_MAX)
		return -EINVAL;
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(count * sizeof(int));
	memcpy(CMSG_DATA(head), fds, count * sizeof(int));
	return sendmsg(socket, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int fds_receive(int socket, void *bytes, size_t length, int *fds, size_t count)
{
	struct iovec part = { bytes, length };
	union control control;
	struct msghdr message = { .msg_iov = &part,
				  .msg_iovlen = 1,
				  .msg_control = control.bytes,
				  .msg_controllen = sizeof(control.bytes) };
	const struct cmsghdr *head;

	if (count > FDS_MAX ||
	    recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != (ssize_t)length)
		return -EPIPE;
	head = CMSG_FIRSTHDR(&message);
	if (!head || head->cmsg_len != CMSG_LEN(count * sizeof(int)))
		return -EPIPE;
	memcpy(fds, CMSG_DATA(head), count * sizeof(int));
	return 0;
}

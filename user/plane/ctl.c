// SPDX-License-Identifier: GPL-2.0-only
/* ctl.c - a packet that only masq_ctl understands, by way of a test run. */
#include <errno.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "plane/ctl.h"

int instance_ctl(struct instance *instance, struct masq_ctl *request)
{
	struct {
		unsigned char header[MASQ_CTL_OFFSET];
		struct masq_ctl ctl;
	} __attribute__((packed)) packet = { .ctl = *request };
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = &packet,
		    .data_size_in = sizeof(packet), .data_out = &packet,
		    .data_size_out = sizeof(packet), .repeat = 1);
	int err;

	packet.header[12] = MASQ_CTL_ETHERTYPE >> 8;
	packet.header[13] = MASQ_CTL_ETHERTYPE & 0xff;
	do {
		err = bpf_prog_test_run_opts(instance->prog[PROG_masq_ctl],
					     &run);
	} while (err == -EINTR || err == -EAGAIN);
	if (err)
		return err;
	if (run.data_size_out != sizeof(packet))
		return -EPROTO;
	*request = packet.ctl;
	return request->error;
}

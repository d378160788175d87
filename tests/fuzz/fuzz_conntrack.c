// SPDX-License-Identifier: GPL-2.0-only
/*
 * fuzz_conntrack.c - libFuzzer on a dump of the kernel's conntrack table. What
 * is handed on has both its addresses.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include "kernel/conntrack.h"
#include "netlink.h"

/* The module is there, whatever this machine has. */
int stat(const char *path, struct stat *out)
{
	return fstatat(AT_FDCWD, strstr(path, "nf_conntrack") ? "/" : path, out,
		       0);
}

static int each(void *data, const struct conntrack *ct)
{
	int *seen = data;

	require(ct->orig.src.family == 4 || ct->orig.src.family == 6);
	require(ct->reply.src.family == 4 || ct->reply.src.family == 6);
	conntrack_has_snat(ct);
	conntrack_has_dnat(ct);
	return ++*seen > 1000 ? -E2BIG : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int seen = 0;

	answers = data;
	answers_left = size;
	conntrack_walk(each, &seen);
	return 0;
}

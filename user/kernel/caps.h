/* SPDX-License-Identifier: GPL-2.0-only */
/* caps.h - what a refusal of the kernel lacks. */
#ifndef MASQ_CAPS_H
#define MASQ_CAPS_H

#define CAPS_BPF       0x1 /* bpf() at all */
#define CAPS_NET_ADMIN 0x2 /* hooks */
#define CAPS_PERFMON   0x4 /* what the verifier grants to our programs */
#define CAPS_SYS_ADMIN 0x8 /* mount */
#define CAPS_NET_RAW   0x10 /* packet sockets */
#define CAPS_LOAD      (CAPS_BPF | CAPS_NET_ADMIN | CAPS_PERFMON)

/*
 * For a refusal: " (...)" with those of the `needed` capabilities that are
 * missing, or what else is known to cause it; "" for other errors. The text
 * stays until the next call.
 */
const char *caps_hint(int err, unsigned int needed);
/* strerror(-err) with the hint; stays until the next call. */
const char *caps_strerror(int err, unsigned int needed);

#endif

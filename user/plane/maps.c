// SPDX-License-Identifier: GPL-2.0-only
/* maps.c - the names. */
#include "plane/maps.h"

const char *const map_names[] = {
#define M(name) #name,
	MASQ_MAPS(M)
#undef M
};

const char *const prog_names[] = {
#define P(name) #name,
	MASQ_PROGS(P)
#undef P
};

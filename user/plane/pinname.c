// SPDX-License-Identifier: GPL-2.0-only
/*
 * pinname.c - the names of our pins. Others may have theirs in the same
 * directory, and theirs may begin as ours do.
 */
#include <ctype.h>
#include <stddef.h>
#include <string.h>
#include "plane/maps.h"
#include "plane/pinname.h"

/* What MASQ_MAPS and MASQ_PROGS lose stays here: a detach of later finds it. */
static const char *const names[] = {
#define N(name) #name,
	MASQ_MAPS(N) MASQ_PROGS(N)
#undef N
		PIN_TEMPORARY,
	"masq_events",
	"masq_ring4",
	"masq_ring6",
	PIN_LIBERAL,
};

/* With the number of an interface behind. */
static const char *const heads[] = {
	"masq_clsact_",	      "masq_beside_",	  "tcx_ingress_",
	"tcx_egress_",	      "tcx_pod_ingress_", "tcx_pod_egress_",
	"tcx_other_ingress_", "masq_veth_",
};

static bool is_number(const char *text)
{
	if (!isdigit((unsigned char)*text))
		return false;
	while (isdigit((unsigned char)*text))
		text++;
	return !*text;
}

bool pin_is_ours(const char *name)
{
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(name, names[i]))
			return true;
	for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++)
		if (!strncmp(name, heads[i], strlen(heads[i])) &&
		    is_number(name + strlen(heads[i])))
			return true;
	return false;
}

// SPDX-License-Identifier: GPL-2.0-only
/* podname.c - what kernel/cni has read, for as long as it is fresh. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "kernel/podname.h"

#define FRESH_SECONDS 5

static struct cni *known;
static struct timespec read_at;
static bool handed; /* by somebody who may read them */

static const struct cni *names(void)
{
	struct timespec now;
	struct cni *fresh;

	if (handed)
		return known;
	clock_gettime(CLOCK_MONOTONIC, &now);
	if (known && now.tv_sec - read_at.tv_sec < FRESH_SECONDS)
		return known;
	/* without memory the old ones have to do, or none */
	if (!cni_read(cni_dir(), &fresh)) {
		cni_free(known);
		known = fresh;
	}
	read_at = now;
	return known;
}

void podname_take(struct cni *cni)
{
	cni_free(known);
	known = cni;
	handed = true;
}

const struct cni_pod *podname_of(const struct addr *addr)
{
	return addr->family ? cni_pod(names(), addr) : NULL;
}

const struct cni *podname_all(void)
{
	return names();
}

bool podname_known(void)
{
	const struct cni *cni = names();

	return cni && cni->count;
}

const char *podname_beside(const struct addr *addr, char *buf, size_t len)
{
	const struct cni_pod *pod = podname_of(addr);
	size_t used;

	addr_format(addr, buf, len);
	used = strlen(buf);
	if (pod)
		snprintf(buf + used, len - used, " %s/%s", pod->space,
			 pod->name);
	return buf;
}

const char *podname_only(const struct addr *addr, char *buf, size_t len)
{
	const struct cni_pod *pod = podname_of(addr);

	if (pod)
		snprintf(buf, len, "%s/%s", pod->space, pod->name);
	else
		snprintf(buf, len, "-");
	return buf;
}

bool podname_find(const char *text, uint8_t family, struct addr *out)
{
	return cni_find(names(), text, family, out);
}

bool podname_is_name(const char *text)
{
	const char *slash = strchr(text, '/');

	/* behind the slash of a prefix there are digits, and before it dots or
	 * colons; a namespace has neither */
	return slash && slash != text && !memchr(text, '.', slash - text) &&
	       !memchr(text, ':', slash - text);
}

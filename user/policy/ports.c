// SPDX-License-Identifier: GPL-2.0-only
/* ports.c - a bit for each port, in each half. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <bpf/bpf.h>
#include "base/log.h"
#include "policy/ports.h"

void ports_set(uint64_t *words, uint32_t from, uint32_t to)
{
	for (uint32_t port = from; port && port <= to && port < 65536; port++)
		words[port / 64] |= 1ULL << port % 64;
}

void ports_set_outside(uint64_t *words, uint32_t from, uint32_t to)
{
	words[0] |= 1; /* 0 is a port on the wire */
	ports_set(words, 1, from - 1);
	ports_set(words, to + 1, 65535);
}

void ports_set_reserved(uint64_t *words)
{
	const char *path = "/proc/sys/net/ipv4/ip_local_reserved_ports";
	FILE *file = fopen(path, "re");
	unsigned int from, to;
	int read;

	if (!file) {
		log_warn("%s: read: %s: reserved ports are not kept free", path,
			 strerror(errno));
		return;
	}
	while ((read = fscanf(file, "%u-%u", &from, &to)) > 0) {
		ports_set(words, from, read == 2 ? to : from);
		if (getc(file) != ',')
			break;
	}
	fclose(file);
}

uint32_t ports_left(const uint64_t *words, uint32_t from, uint32_t to)
{
	uint32_t left = 0;

	for (uint32_t port = from; port <= to && port < 65536; port++)
		left += !(words[port / 64] >> port % 64 & 1);
	return left;
}

int ports_read(const struct instance *instance, uint32_t half, uint64_t *words)
{
	uint32_t keys[MASQ_PORT_WORDS], last, count = MASQ_PORT_WORDS;
	uint32_t before = half * MASQ_PORT_WORDS - 1;

	if (bpf_map_lookup_batch(instance->map[MAP_masq_ports],
				 half ? &before : NULL, &last, keys, words,
				 &count, NULL) &&
	    errno != ENOENT)
		return -errno;
	return 0;
}

int ports_write(const struct work *w, uint32_t half)
{
	uint32_t keys[MASQ_PORT_WORDS], count = MASQ_PORT_WORDS;

	if (!ports_left(w->ports, w->policy->head.port_min,
			w->policy->head.port_max))
		log_warn("snat.portRange: %u-%u: no port is left: all are "
			 "snat.nodePortRange's or reserved "
			 "(net.ipv4.ip_local_reserved_ports): flows that need "
			 "one are dropped",
			 w->policy->head.port_min, w->policy->head.port_max);
	for (uint32_t i = 0; i < count; i++)
		keys[i] = half * MASQ_PORT_WORDS + i;
	return bpf_map_update_batch(w->instance->map[MAP_masq_ports], keys,
				    w->ports, &count, NULL)
		       ? -errno
		       : 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * walk.c - where the records of a filled flow table lie, and how many cache
 * lines a lookup reads. For scripts/bench.sh:
 *
 *   walk PIN_DIR
 *
 * Looks up every record's key, and a million keys that the table does not have,
 * as bpf/table.h does, in the table's own memory, and counts the lines. A
 * record that is not found where this file expects it ends the run: then it
 * does not know the table. IPv4 only. Prints one line of KEY=VALUE.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <bpf/bpf.h>
#include "masqbpf.h"

#define ABSENT 1000000

static struct masq_meta meta;
static const struct masq_page4 *table;

static void __attribute__((noreturn)) die(const char *what, const char *why)
{
	fprintf(stderr, "walk: %s: %s\n", what, why);
	exit(1);
}

static int open_pin(const char *dir, const char *name)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die(path, strerror(errno));
	return fd;
}

static uint64_t hash(const struct masq_key4 *key)
{
	const uint32_t *w = (const uint32_t *)key;
	uint64_t h = meta.hash_key[0];

	for (size_t i = 0; i < sizeof(*key) / 4; i++)
		h += meta.hash_key[i + 1] * w[i];
	h ^= h >> 33;
	h *= 0xff51afd7ed558ccdULL;
	h ^= h >> 33;
	h *= 0xc4ceb9fe1a85ec53ULL;
	return h ^ h >> 33;
}

struct lookup {
	uint32_t slot; /* MASQ_NO_SLOT: not found */
	unsigned int pages; /* that were looked into */
	unsigned int lines; /* of the table, that were read */
};

static bool is(const struct masq_flow4 *f, const struct masq_key4 *key)
{
	return f->what & MASQ_W_LIVE && f->in_addr[0] == key->in_addr[0] &&
	       f->rem_addr[0] == key->rem_addr[0] &&
	       f->in_port == key->in_port && f->rem_port == key->rem_port &&
	       f->proto == key->proto && (f->what & MASQ_W_ROLE) == key->role;
}

static struct lookup look_up(const struct masq_key4 *key)
{
	const uint32_t stripes = meta.shape[0].stripes,
		       ways = meta.shape[0].ways;
	struct lookup l = { .slot = MASQ_NO_SLOT };
	uint64_t h = hash(key);
	uint32_t stripe = (h & 0xffffffff) * stripes >> 32;
	uint32_t way = ((uint32_t)(h >> 32) & 0xffff) * ways >> 16;
	uint32_t other = ((uint32_t)(h >> 48) & 0x3ff) * (ways - 1) >> 10;
	uint32_t home = h >> 58, pages[3];

	if (other >= way)
		other++;
	pages[0] = way * stripes + stripe;
	pages[1] = other * stripes + stripe;
	pages[2] = ways * stripes + stripe;
	for (int i = 0; i < 3; i++) {
		const struct masq_page4 *p = &table[pages[i]];
		uint16_t hops = p->slot[home].hops;

		l.pages++;
		l.lines++; /* the home, for its hops */
		for (uint32_t d = 0; d < MASQ_HOPS; d++) {
			uint32_t at = (home + d) & (MASQ_PAGE_SLOTS - 1);

			if (!(hops >> d & 1))
				continue;
			l.lines += d > 0;
			if (is(&p->slot[at], key)) {
				l.slot = pages[i] * MASQ_PAGE_SLOTS + at;
				return l;
			}
		}
		if (!(hops & MASQ_HOP_ELSEWHERE))
			break;
	}
	return l;
}

int main(int argc, char **argv)
{
	uint64_t records = 0, home = 0, spilled = 0, over = 0, lines = 0,
		 absent = 0, most = 0;
	uint32_t pages, zero = 0;
	int fd;

	if (argc != 2)
		die("usage", "walk PIN_DIR");
	fd = open_pin(argv[1], "masq_meta");
	if (bpf_map_lookup_elem(fd, &zero, &meta))
		die("masq_meta", strerror(errno));
	pages = masq_shape_pages(meta.shape[0]);
	fd = open_pin(argv[1], "masq_flows4");
	table = mmap(NULL, sizeof(*table) * pages, PROT_READ, MAP_SHARED, fd,
		     0);
	if (table == MAP_FAILED)
		die("masq_flows4", strerror(errno));
	for (uint32_t i = 0; i < pages * MASQ_PAGE_SLOTS; i++) {
		const struct masq_flow4 *f =
			&table[i / MASQ_PAGE_SLOTS].slot[i % MASQ_PAGE_SLOTS];
		struct masq_key4 key = {
			.in_addr = { f->in_addr[0] },
			.rem_addr = { f->rem_addr[0] },
			.in_port = f->in_port,
			.rem_port = f->rem_port,
			.proto = f->proto,
			.role = f->what & MASQ_W_ROLE,
		};
		struct lookup l;

		if (!(f->what & MASQ_W_LIVE))
			continue;
		l = look_up(&key);
		if (l.slot != i)
			die("masq_flows4",
			    "a record is not where it should be");
		records++;
		home += l.lines == 1;
		spilled += l.pages > 1;
		over += l.pages > 2;
		lines += l.lines;
		if (l.lines > most)
			most = l.lines;
	}
	srand(1);
	for (int i = 0; i < ABSENT; i++) {
		struct masq_key4 key = {
			.in_addr = { rand() },
			.rem_addr = { rand() },
			.in_port = rand(),
			.rem_port = rand(),
			.proto = 17,
		};

		absent += look_up(&key).lines;
	}
	printf("slots=%lu records=%lu home=%.6f lines_hit=%.4f lines_most=%lu "
	       "lines_miss=%.4f spilled=%.8f overflowed=%.8f\n",
	       (unsigned long)meta.shape[0].stripes * meta.shape[0].ways *
		       MASQ_PAGE_SLOTS,
	       (unsigned long)records, records ? (double)home / records : 0,
	       records ? (double)lines / records : 0, (unsigned long)most,
	       (double)absent / ABSENT, records ? (double)spilled / records : 0,
	       records ? (double)over / records : 0);
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * iptables.h - tables of legacy iptables, read by getsockopt: no tool, and no
 * module is loaded by looking. Needs CAP_NET_ADMIN.
 */
#ifndef MASQ_IPTABLES_H
#define MASQ_IPTABLES_H

#include <stddef.h>
#include <stdint.h>
#include <linux/netfilter.h>
#include <linux/netfilter/x_tables.h>

/* A table as the kernel has it; entries by their offset. */
struct iptables {
	uint8_t family; /* 4 or 6 */
	uint32_t hooks; /* bit NF_INET_*: has a built-in chain */
	uint32_t begins[NF_INET_NUMHOOKS]; /* of these: first entry */
	uint32_t ends[NF_INET_NUMHOOKS]; /* policy */
	uint32_t count;
	uint32_t size; /* bytes */
	const char *entries;
	/* of each entry, in bytes from its beginning: */
	uint32_t head; /* what it asks of addresses and interfaces ends */
	uint32_t matches; /* its matches begin, up to its target */
	void *memory;
};

/* The entry is whole: its offset + `matches` lies within the table. */
struct iptables_entry {
	const char *at;
	uint32_t next; /* bytes to the next one; 0: there is none */
	uint32_t target;
};

/*
 * Calls `each` with the name of every table that is there, as asking for
 * another would load it; another answer than 0 ends it and is passed on.
 * 0 or -errno, not printed: who may not read the list does not know.
 */
int iptables_each(uint8_t family, int (*each)(void *data, const char *table),
		  void *data);
/* Is this table there? 1, 0 or -errno. */
int iptables_has(uint8_t family, const char *table);

/* 0 or -errno, not printed; -EAGAIN: it is changed all the time. */
int iptables_read(uint8_t family, const char *table, struct iptables *out);
void iptables_free(struct iptables *table);

struct iptables_entry iptables_entry(const struct iptables *from, uint32_t at);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/* iptables.c - tables of legacy iptables, of both families in the same words. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* before linux/if.h, which then leaves out what is the same */
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include "kernel/iptables.h"

/* A table that changed between its size and its entries is read anew. */
#define TRIES 16

/* What is asked for is laid out alike in both families. */
_Static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo) &&
		       offsetof(struct ipt_getinfo, size) ==
			       offsetof(struct ip6t_getinfo, size),
	       "getinfo");
_Static_assert(offsetof(struct ipt_get_entries, entrytable) ==
		       offsetof(struct ip6t_get_entries, entrytable),
	       "get_entries");
_Static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO &&
		       IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES,
	       "options");

int iptables_each(uint8_t family, int (*each)(void *data, const char *table),
		  void *data)
{
	FILE *file = fopen(family == 4 ? "/proc/net/ip_tables_names"
				       : "/proc/net/ip6_tables_names",
			   "re");
	char name[64];
	int ret = 0;

	if (!file) /* no such module; or no /proc, or one of processes alone */
		return errno == ENOENT && !access("/proc/net", F_OK) ? 0
								     : -errno;
	while (!ret && fgets(name, sizeof(name), file)) {
		name[strcspn(name, "\n")] = '\0';
		ret = each(data, name);
	}
	if (!ret && ferror(file))
		ret = -EIO;
	fclose(file);
	return ret;
}

static int is_named(void *data, const char *table)
{
	return !strcmp(data, table);
}

int iptables_has(uint8_t family, const char *table)
{
	return iptables_each(family, is_named, (char *)table);
}

static int read_once(int fd, uint8_t family, const char *table,
		     struct iptables *out)
{
	const int level = family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
	struct ipt_getinfo info = {};
	struct ipt_get_entries *all;
	socklen_t length = sizeof(info);

	snprintf(info.name, sizeof(info.name), "%s", table);
	if (getsockopt(fd, level, IPT_SO_GET_INFO, &info, &length))
		return -errno;
	length = sizeof(*all) + info.size;
	all = calloc(1, length);
	if (!all)
		return -ENOMEM;
	snprintf(all->name, sizeof(all->name), "%s", table);
	all->size = info.size;
	if (getsockopt(fd, level, IPT_SO_GET_ENTRIES, all, &length)) {
		int err = -errno; /* EAGAIN: it has another size by now */

		free(all);
		return err;
	}
	*out = (struct iptables){ .family = family,
				  .hooks = info.valid_hooks,
				  .count = info.num_entries,
				  .size = all->size,
				  .entries = (const char *)all->entrytable,
				  .memory = all };
	memcpy(out->begins, info.hook_entry, sizeof(out->begins));
	out->head = family == 4 ? offsetof(struct ipt_entry, nfcache)
				: offsetof(struct ip6t_entry, nfcache);
	out->matches = family == 4 ? sizeof(struct ipt_entry)
				   : sizeof(struct ip6t_entry);
	memcpy(out->ends, info.underflow, sizeof(out->ends));
	return 0;
}

int iptables_read(uint8_t family, const char *table, struct iptables *out)
{
	int fd = socket(family == 4 ? AF_INET : AF_INET6,
			SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int err = -EAGAIN;

	*out = (struct iptables){};
	if (fd < 0)
		return -errno;
	for (int i = 0; i < TRIES && err == -EAGAIN; i++)
		err = read_once(fd, family, table, out);
	close(fd);
	return err;
}

void iptables_free(struct iptables *table)
{
	free(table->memory);
	*table = (struct iptables){};
}

struct iptables_entry iptables_entry(const struct iptables *from, uint32_t at)
{
	struct iptables_entry e = { .at = from->entries + at };

	if (from->family == 4) {
		const struct ipt_entry *entry = (const void *)e.at;

		e.next = entry->next_offset;
		e.target = entry->target_offset;
	} else {
		const struct ip6t_entry *entry = (const void *)e.at;

		e.next = entry->next_offset;
		e.target = entry->target_offset;
	}
	return e;
}

// SPDX-License-Identifier: GPL-2.0-only
/* before4.c - this layout, of another size. */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include "plane/before.h"

static uint32_t stat4(uint32_t index)
{
	return index;
}

/* A record that changes hands meanwhile has met our programs. */
#define DEFINE_WALK(FAM, WORDS)                                           \
	static int walk##FAM(                                             \
		const struct masq_page##FAM *page, uint32_t count,        \
		int (*take)(void *data, const struct masq_ctl *key),      \
		void *data)                                               \
	{                                                                 \
		int err = 0;                                              \
                                                                          \
		for (uint32_t i = 0; i < count * MASQ_PAGE_SLOTS && !err; \
		     i++) {                                               \
			struct masq_flow##FAM f =                         \
				page[i / MASQ_PAGE_SLOTS]                 \
					.slot[i % MASQ_PAGE_SLOTS];       \
			struct masq_ctl key = {                           \
				.family = FAM,                            \
				.proto = f.proto,                         \
				.role = f.what & MASQ_W_ROLE,             \
				.in_port = f.in_port,                     \
				.rem_port = f.rem_port,                   \
			};                                                \
                                                                          \
			memcpy(key.in_addr, f.in_addr, 4 * WORDS);        \
			memcpy(key.rem_addr, f.rem_addr, 4 * WORDS);      \
			if (f.what & MASQ_W_LIVE &&                       \
			    f.what >> MASQ_W_KIND != MASQ_K_REV)          \
				err = take(data, &key);                   \
		}                                                         \
		return err;                                               \
	}
DEFINE_WALK(4, 1)
DEFINE_WALK(6, 4)

static int walk(const struct before *old, int family,
		int (*take)(void *data, const struct masq_ctl *key), void *data)
{
	uint32_t pages = masq_shape_pages(old->meta.shape[family == 6]);
	size_t page = sysconf(_SC_PAGESIZE);
	size_t size = pages * (family == 4 ? sizeof(struct masq_page4)
					   : sizeof(struct masq_page6));
	void *at;
	int err;

	size = (size + page - 1) / page * page;
	at = mmap(NULL, size, PROT_READ, MAP_SHARED, old->flows[family == 6],
		  0);
	if (at == MAP_FAILED)
		return -errno;
	err = family == 4 ? walk4(at, pages, take, data)
			  : walk6(at, pages, take, data);
	munmap(at, size);
	return err;
}

static const char *const only[] = { NULL };

const struct before_reader before4 = {
	.layout = 4,
	.meta_size = sizeof(struct masq_meta),
	.only = only,
	.stats = MASQ_S_MAX,
	.stat = stat4,
	.walk = walk,
};

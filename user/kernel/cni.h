/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cni.h - pods by name, as libcni noted them when it gave them their addresses
 * (/var/lib/cni/results: containerd and CRI-O, whatever the plugin). Optional:
 * who may not read it, or has none, has no names. Nothing forwards by it.
 */
#ifndef MASQ_KERNEL_CNI_H
#define MASQ_KERNEL_CNI_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/cidr.h"

#define CNI_RESULTS "/var/lib/cni/results" /* or $MASQBPF_CNI_RESULTS */

/* Names as Kubernetes allows them (RFC 1123): safe for whatever prints them. */
#define CNI_NAMESPACE_MAX 63
#define CNI_NAME_MAX	  253
struct cni_pod {
	struct addr addr;
	char space[CNI_NAMESPACE_MAX + 1];
	char name[CNI_NAME_MAX + 1];
	uint64_t written_ns; /* CLOCK_REALTIME, of its file */
};

struct cni {
	struct cni_pod *pods; /* by address, one for each */
	size_t count;
	size_t ignored; /* files that could not be read, or say nothing */
	size_t stale; /* left over: their network namespace is gone */
	bool truncated; /* there were more than are read */
};

/*
 * Reads it; at most CNI_FILES files of CNI_FILE_MAX bytes. 0, with nothing in
 * it where there is no such directory or it may not be read; -ENOMEM. To be
 * freed.
 */
#define CNI_FILES    4096
#define CNI_FILE_MAX (256 << 10)
int cni_read(const char *dir, struct cni **out);
void cni_free(struct cni *cni);

/*
 * The same in parts, for who may open the files and who reads them to be two:
 * the next file of the directory, to be closed, or -ENOENT: there is none; what
 * cannot be opened is passed over, and counted.
 */
int cni_open_next(DIR *files, size_t *passed);
/* Empty; NULL: out of memory. */
struct cni *cni_new(void);
/* What this file says: 0, or -ENOMEM. Then, once, cni_settle. */
int cni_add(struct cni *cni, int fd);
void cni_settle(struct cni *cni);

/* The directory that the environment names, else CNI_RESULTS. */
const char *cni_dir(void);

/* Who has this address; NULL: not known. cni may be NULL. */
const struct cni_pod *cni_pod(const struct cni *cni, const struct addr *addr);
/*
 * The address of this family (0: of either, IPv4 first) of "namespace/name";
 * false: not known.
 */
bool cni_find(const struct cni *cni, const char *text, uint8_t family,
	      struct addr *out);
/* "namespace/name", else the address; returns buf. */
#define CNI_STRLEN (CNI_NAMESPACE_MAX + CNI_NAME_MAX + 2)
const char *cni_text(const struct cni *cni, const struct addr *addr, char *buf,
		     size_t len);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * cni.c - one small file of JSON for each interface of a pod. They are not
 * written in one step, lie about after a crash, and several may name one
 * address: what does not parse is nothing, whose namespace is gone is stale, and
 * the newest one is right.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <jansson.h>
#include <sys/stat.h>
#include "kernel/cni.h"

#define NS_PER_SEC UINT64_C(1000000000)
/* Addresses of one pod: two families on a few networks. */
#define POD_ADDRS 32

const char *cni_dir(void)
{
	const char *dir = getenv("MASQBPF_CNI_RESULTS");

	return dir && *dir ? dir : CNI_RESULTS;
}

/* --- one file -------------------------------------------------------------- */

/* A label or labels of RFC 1123, of at most max bytes. */
static bool is_name(const char *text, size_t max)
{
	size_t length = text ? strlen(text) : 0;

	return length && length <= max && text[0] != '.' && text[0] != '-' &&
	       strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-.") == length;
}

static const char *text_of(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* [["K8S_POD_NAME", "cart-0"], ...] */
static const char *arg_of(const json_t *args, const char *key)
{
	for (size_t i = 0; i < json_array_size(args); i++) {
		const json_t *pair = json_array_get(args, i);
		const char *name = json_string_value(json_array_get(pair, 0));

		if (name && !strcmp(name, key))
			return json_string_value(json_array_get(pair, 1));
	}
	return NULL;
}

static uint64_t realtime_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

/* Are namespaces to be seen there at all? In a container they may not be. */
static bool knows_netns(const char *netns)
{
	const char *slash = strrchr(netns, '/');
	char *dir = slash && slash > netns ? strndup(netns, slash - netns)
					   : NULL;
	struct stat st;
	bool known = dir && !stat(dir, &st);

	free(dir);
	return known;
}

/*
 * Is the pod still there? Its namespace says so, which libcni names since 1.2,
 * and plugins beside the interface. Else: was it written before the start?
 */
static bool is_stale(const json_t *root, uint64_t written_ns)
{
	const json_t *interfaces =
		json_object_get(json_object_get(root, "result"), "interfaces");
	const char *netns = text_of(root, "netns");
	uint64_t up = realtime_ns(CLOCK_BOOTTIME);
	uint64_t now = realtime_ns(CLOCK_REALTIME);
	struct stat st;

	for (size_t i = 0; (!netns || !*netns) && i < POD_ADDRS &&
			   i < json_array_size(interfaces);
	     i++)
		netns = text_of(json_array_get(interfaces, i), "sandbox");
	if (netns && *netns && knows_netns(netns))
		return stat(netns, &st) != 0;
	return up < now && written_ns < now - up;
}

static bool is_loopback(const struct addr *a)
{
	if (a->family == 4)
		return *(const uint8_t *)a->a == 127;
	return !a->a[0] && !a->a[1] && !a->a[2];
}

static int add(struct cni *cni, const struct cni_pod *pod)
{
	size_t n = cni->count;

	if (!(n & (n - 1))) {
		void *pods =
			reallocarray(cni->pods, n ? 2 * n : 1, sizeof(*pod));

		if (!pods)
			return -ENOMEM;
		cni->pods = pods;
	}
	cni->pods[cni->count++] = *pod;
	return 0;
}

/* "10.44.0.5/24": the mask is the plugin's own business. */
static int add_address(struct cni *cni, struct cni_pod *pod, const char *text)
{
	char addr[CIDR_STRLEN];

	if (!text || strlen(text) >= sizeof(addr))
		return 0;
	snprintf(addr, sizeof(addr), "%.*s", (int)strcspn(text, "/"), text);
	if (addr_parse(addr, &pod->addr, NULL, 0) || is_loopback(&pod->addr))
		return 0;
	return add(cni, pod);
}

/* 0, -ENOMEM, or -EINVAL: it says nothing of a pod. */
static int read_root(struct cni *cni, const json_t *root, uint64_t written_ns)
{
	const json_t *args = json_object_get(root, "cniArgs");
	const json_t *result = json_object_get(root, "result");
	const json_t *ips = json_object_get(result, "ips");
	const char *space = arg_of(args, "K8S_POD_NAMESPACE");
	const char *name = arg_of(args, "K8S_POD_NAME");
	struct cni_pod pod = { .written_ns = written_ns };
	int err = 0;

	if (!is_name(space, CNI_NAMESPACE_MAX) || !is_name(name, CNI_NAME_MAX))
		return -EINVAL;
	if (is_stale(root, written_ns)) {
		cni->stale++;
		return 0;
	}
	snprintf(pod.space, sizeof(pod.space), "%s", space);
	snprintf(pod.name, sizeof(pod.name), "%s", name);
	for (size_t i = 0; i < json_array_size(ips) && i < POD_ADDRS && !err;
	     i++)
		err = add_address(cni, &pod,
				  text_of(json_array_get(ips, i), "address"));
	/* results before 0.3.0 */
	if (!err)
		err = add_address(cni, &pod,
				  text_of(json_object_get(result, "ip4"),
					  "ip"));
	if (!err)
		err = add_address(cni, &pod,
				  text_of(json_object_get(result, "ip6"),
					  "ip"));
	return err;
}

/* The same for a file; -EINVAL too where it cannot be read. */
static int read_file(struct cni *cni, int fd)
{
	char *text = NULL;
	size_t length = 0;
	json_t *root;
	struct stat st;
	ssize_t got;
	int err = -EINVAL;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    st.st_size > CNI_FILE_MAX)
		return -EINVAL;
	text = malloc(st.st_size);
	if (!text)
		return -ENOMEM;
	while (length < (size_t)st.st_size &&
	       (got = read(fd, text + length, st.st_size - length)) > 0)
		length += got;
	root = json_loadb(text, length, 0, NULL);
	if (root)
		err = read_root(cni, root,
				st.st_mtim.tv_sec * NS_PER_SEC +
					st.st_mtim.tv_nsec);
	json_decref(root);
	free(text);
	return err;
}

int cni_add(struct cni *cni, int fd)
{
	int err = read_file(cni, fd);

	if (err != -EINVAL)
		return err;
	cni->ignored++;
	return 0;
}

/* --- all of them ------------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
	const struct cni_pod *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	if (order)
		return order;
	return x->written_ns > y->written_ns ? -1
					     : x->written_ns < y->written_ns;
}

void cni_settle(struct cni *cni)
{
	size_t kept = 0;

	if (cni->count)
		qsort(cni->pods, cni->count, sizeof(*cni->pods), newest_first);
	for (size_t i = 0; i < cni->count; i++)
		if (!kept ||
		    !addr_equal(&cni->pods[kept - 1].addr, &cni->pods[i].addr))
			cni->pods[kept++] = cni->pods[i];
	cni->count = kept;
}

int cni_open_next(DIR *files, size_t *passed)
{
	const struct dirent *entry;

	while ((entry = readdir(files))) {
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		/* a fifo would wait for who writes, a link lead elsewhere */
		fd = openat(dirfd(files), entry->d_name,
			    O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
		if (fd >= 0)
			return fd;
		++*passed;
	}
	return -ENOENT;
}

struct cni *cni_new(void)
{
	return calloc(1, sizeof(struct cni));
}

int cni_read(const char *dir, struct cni **out)
{
	struct cni *cni = cni_new();
	DIR *files = NULL;
	size_t seen = 0;
	int err = 0, fd;

	if (!cni)
		return -ENOMEM;
	files = opendir(dir);
	while (files && !err &&
	       (fd = cni_open_next(files, &cni->ignored)) >= 0) {
		cni->truncated = seen++ == CNI_FILES;
		if (!cni->truncated)
			err = cni_add(cni, fd);
		close(fd);
		if (cni->truncated)
			break;
	}
	if (files)
		closedir(files);
	if (err) {
		cni_free(cni);
		return err;
	}
	cni_settle(cni);
	*out = cni;
	return 0;
}

void cni_free(struct cni *cni)
{
	if (cni)
		free(cni->pods);
	free(cni);
}

static int by_address(const void *key, const void *item)
{
	return addr_cmp(key, &((const struct cni_pod *)item)->addr);
}

const struct cni_pod *cni_pod(const struct cni *cni, const struct addr *addr)
{
	if (!cni || !cni->count)
		return NULL;
	return bsearch(addr, cni->pods, cni->count, sizeof(*cni->pods),
		       by_address);
}

bool cni_find(const struct cni *cni, const char *text, uint8_t family,
	      struct addr *out)
{
	const struct cni_pod *found = NULL;
	char name[CNI_STRLEN];

	/* the newest, of those that may have had its name one after the other;
	 * IPv4 comes first */
	for (size_t i = 0; cni && i < cni->count; i++) {
		const struct cni_pod *pod = &cni->pods[i];

		if (family && pod->addr.family != family)
			continue;
		snprintf(name, sizeof(name), "%s/%s", pod->space, pod->name);
		if (strcmp(name, text))
			continue;
		if (!found || (pod->addr.family == found->addr.family &&
			       pod->written_ns > found->written_ns))
			found = pod;
	}
	if (found)
		*out = found->addr;
	return found;
}

const char *cni_text(const struct cni *cni, const struct addr *addr, char *buf,
		     size_t len)
{
	const struct cni_pod *pod = cni_pod(cni, addr);

	if (!pod)
		return addr_format(addr, buf, len);
	snprintf(buf, len, "%s/%s", pod->space, pod->name);
	return buf;
}

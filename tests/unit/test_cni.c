// SPDX-License-Identifier: GPL-2.0-only
/*
 * test_cni.c - libcni's cache as it really lies about: what real libcni wrote
 * (tests/lib/cni), other runtimes' shapes, and what a crash, a reboot or a
 * hostile neighbour leaves.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include "rows.h"
#include "kernel/cni.h"

static char dir[64];

static void path_of(const char *name, char *buf, size_t len)
{
	snprintf(buf, len, "%s/%s", dir, name);
}

/* age: seconds ago */
static void put(const char *name, time_t age, const char *text, size_t length)
{
	struct timespec times[2] = { { time(NULL) - age, 0 },
				     { time(NULL) - age, 0 } };
	char path[512];
	FILE *file;

	path_of(name, path, sizeof(path));
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, length, file), length);
	fclose(file);
	assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void put_text(const char *name, time_t age, const char *text)
{
	put(name, age, text, strlen(text));
}

#define ARGS(space, name)                                                        \
	"\"cniArgs\":[[\"IgnoreUnknown\",\"1\"],[\"K8S_POD_NAMESPACE\",\"" space \
	"\"],[\"K8S_POD_NAME\",\"" name "\"]]"
#define HERE "\"netns\":\"/proc/self/ns/net\","

static void begin(void)
{
	snprintf(dir, sizeof(dir), "/tmp/masqbpf-cni.XXXXXX");
	assert_non_null(mkdtemp(dir));
}

static struct cni *end(void)
{
	char command[128];
	struct cni *cni = NULL;

	assert_int_equal(cni_read(dir, &cni), 0);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
	return cni;
}

static void has(const struct cni *cni, const char *addr, const char *want)
{
	char text[CNI_STRLEN];
	struct addr a;

	assert_int_equal(addr_parse(addr, &a, NULL, 0), 0);
	assert_string_equal(cni_text(cni, &a, text, sizeof(text)), want);
}

/* What libcni 1.1.2 wrote of Debian's plugins, with a namespace that is there. */
static void real_files(void **state)
{
	static const char *const files[] = { "bridge", "ptp" };
	struct addr a;
	struct cni *cni;

	(void)state;
	begin();
	for (int i = 0; i < 2; i++) {
		char path[64], text[4096], whole[4096] = "", *at;
		size_t length;
		FILE *file;

		snprintf(path, sizeof(path), "tests/lib/cni/%s", files[i]);
		file = fopen(path, "r");
		assert_non_null(file);
		length = fread(text, 1, sizeof(text) - 1, file);
		text[length] = '\0';
		fclose(file);
		at = strstr(text, "/var/run/netns/cni-pod");
		assert_non_null(at);
		snprintf(whole, sizeof(whole), "%.*s/proc/self/ns/net%s",
			 (int)(at - text), text,
			 at + strlen("/var/run/netns/cni-pod1"));
		put_text(files[i], 10 * (i + 1), whole);
	}
	cni = end();
	/* two networks gave the same one: the newest is right */
	assert_int_equal(cni->count, 2);
	has(cni, "10.44.14.2", "shop/cart-0");
	has(cni, "fd00:44::2", "shop/cart-0");
	assert_int_equal(cni->ignored, 0);
	assert_int_equal(cni->stale, 0);
	assert_true(cni_find(cni, "shop/cart-0", 6, &a));
	assert_int_equal(a.family, 6);
	assert_true(cni_find(cni, "shop/cart-0", 0, &a));
	assert_int_equal(a.family, 4);
	assert_false(cni_find(cni, "shop/cart", 0, &a));
	cni_free(cni);
}

/* As it is, the files' namespaces are gone: nothing of them is believed. */
static void left_over(void **state)
{
	struct cni *cni;

	(void)state;
	begin();
	put_text(
		"gone", 1,
		"{\"kind\":\"cniCacheV1\",\"netns\":\"/proc/self/ns/cni-1\"," ARGS(
			"a",
			"b") ",\"result\":{\"ips\":[{\"address\":\"10.0.0.1/8\"}]}}");
	put_text(
		"sandbox", 1,
		"{" ARGS(
			"a",
			"b") ",\"result\":{\"interfaces\":[{\"name\":\"cni0\"},"
			     "{\"sandbox\":\"/proc/self/ns/x\"}],"
			     "\"ips\":[{\"address\":\"10.0.0.2/8\"}]}}");
	put_text(
		"before-boot", 20 * 365 * 86400,
		"{" ARGS(
			"a",
			"b") ",\"result\":{\"ips\":[{\"address\":\"10.0.0.3/8\"}]}}");
	/* in a container namespaces are not to be seen: then time tells */
	put_text(
		"unseen-before-boot", 20 * 365 * 86400,
		"{\"netns\":\"/nowhere/cni-1\"," ARGS(
			"a",
			"b") ",\"result\":{\"ips\":[{\"address\":\"10.0.0.4/8\"}]}}");
	put_text(
		"unseen", 1,
		"{\"netns\":\"/nowhere/cni-1\"," ARGS(
			"a",
			"c") ",\"result\":{\"ips\":[{\"address\":\"10.0.0.5/8\"}]}}");
	cni = end();
	assert_int_equal(cni->count, 1);
	has(cni, "10.0.0.5", "a/c");
	assert_int_equal(cni->stale, 4);
	cni_free(cni);
}

static void shapes(void **state)
{
	struct cni *cni;

	(void)state;
	begin();
	/* a result before 0.3.0; several networks of one pod; loopback */
	put_text(
		"ip4", 1,
		"{" HERE ARGS(
			"old",
			"form") ",\"result\":{\"cniVersion\":\"0.2.0\","
				"\"ip4\":{\"ip\":\"10.0.0.1/24\"},\"ip6\":{\"ip\":\"fd00::1/64\"}}}");
	put_text("net1", 1,
		 "{" HERE ARGS(
			 "many",
			 "nets") ",\"ifName\":\"net1\",\"result\":"
				 "{\"ips\":[{\"address\":\"10.9.0.1/24\"}]}}");
	put_text(
		"eth0", 1,
		"{" HERE ARGS(
			"many",
			"nets") ",\"ifName\":\"eth0\",\"result\":"
				"{\"ips\":[{\"address\":\"10.9.0.2/24\"},{\"address\":\"10.9.0.3\"}]}}");
	put_text(
		"lo", 1,
		"{" HERE ARGS(
			"many",
			"nets") ",\"result\":{\"ips\":"
				"[{\"address\":\"127.0.0.1/8\"},{\"address\":\"::1/128\"}]}}");
	/* without kind, and the bare result of the very old form */
	put_text("bare", 1, "{\"ips\":[{\"address\":\"10.0.0.9/24\"}]}");
	put_text("no-args", 1,
		 "{\"kind\":\"cniCacheV1\",\"cniArgs\":null,\"result\":{}}");
	put_text("no-result", 1, "{" HERE ARGS("a", "b") ",\"result\":null}");
	cni = end();
	has(cni, "10.0.0.1", "old/form");
	has(cni, "fd00::1", "old/form");
	has(cni, "10.9.0.1", "many/nets");
	has(cni, "10.9.0.2", "many/nets");
	has(cni, "10.9.0.3", "many/nets");
	has(cni, "127.0.0.1", "127.0.0.1");
	has(cni, "10.0.0.9", "10.0.0.9");
	assert_int_equal(cni->ignored, 2);
	cni_free(cni);
}

/* Half a file, none, no JSON, no file; who is after the terminal or our memory. */
static void hostile(void **state)
{
	static const char good[] = "{" HERE ARGS(
		"shop", "cart-0") ",\"result\":{\"ips\":"
				  "[{\"address\":\"10.0.0.1/24\"}]}}";
	char path[512], *large = malloc(CNI_FILE_MAX + 1);
	struct cni *cni;

	(void)state;
	assert_non_null(large);
	begin();
	put_text("good", 100, good);
	put("half", 1, good, sizeof(good) / 2);
	put("empty", 1, "", 0);
	put("zeros", 1, "\0\0\0\0\0\0\0\0", 8);
	put_text("text", 1, "nothing");
	put_text("list", 1, "[]");
	put_text("\x1b[31mname\n", 1, "{}");
	put_text("escape", 1,
		 "{" HERE ARGS(
			 "shop",
			 "\\u001b[31mred") ",\"result\":{\"ips\":"
					   "[{\"address\":\"10.0.0.2/24\"}]}}");
	put_text("space", 1,
		 "{" HERE ARGS("a b", "c") ",\"result\":{\"ips\":"
					   "[{\"address\":\"10.0.0.3/24\"}]}}");
	put_text("slash", 1,
		 "{" HERE ARGS("..",
			       "c/d") ",\"result\":{\"ips\":"
				      "[{\"address\":\"10.0.0.4/24\"}]}}");
	put_text(
		"words", 1,
		"{" HERE ARGS(
			"a",
			"b") ",\"result\":{\"ips\":[{\"address\":7},"
			     "{\"address\":\"10.0.0\"},7,{\"address\":null}]}}");
	memset(large, ' ', CNI_FILE_MAX + 1);
	memcpy(large, good, sizeof(good) - 1);
	put("large", 1, large, CNI_FILE_MAX + 1);
	path_of("fifo", path, sizeof(path));
	assert_int_equal(mkfifo(path, 0600), 0);
	path_of("link", path, sizeof(path));
	assert_int_equal(symlink("good", path), 0);
	path_of("folder", path, sizeof(path));
	assert_int_equal(mkdir(path, 0700), 0);
	cni = end();
	assert_int_equal(cni->count, 1);
	has(cni, "10.0.0.1", "shop/cart-0");
	has(cni, "10.0.0.2", "10.0.0.2");
	assert_int_equal(cni->ignored, 13);
	cni_free(cni);
	free(large);
}

static void not_there(void **state)
{
	struct cni *cni;
	struct addr a;

	(void)state;
	assert_int_equal(cni_read("/nowhere/at/all", &cni), 0);
	assert_int_equal(cni->count, 0);
	has(cni, "10.0.0.1", "10.0.0.1");
	has(NULL, "10.0.0.1", "10.0.0.1");
	assert_false(cni_find(cni, "a/b", 0, &a));
	assert_false(cni_find(NULL, "a/b", 0, &a));
	cni_free(cni);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_files), cmocka_unit_test(left_over),
		cmocka_unit_test(shapes),     cmocka_unit_test(hostile),
		cmocka_unit_test(not_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

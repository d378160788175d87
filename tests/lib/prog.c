// SPDX-License-Identifier: GPL-2.0-only
/* prog.c - see prog.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>
#include "rows.h"
#include "base/cidr.h"
#include "prog.h"
#include "masq.skel.h"
#include "masq_modern.skel.h"

#define HZ_TICKS(s, hz) ((uint32_t)((s) * (hz) / (1 << MASQ_TICK_SHIFT)))

unsigned int prog_max_flows = 4096;

static uint32_t hz;

int prog_map(struct prog_lab *lab, const char *name)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, lab->obj)
	{
		bool mine = !strcmp(bpf_map__name(map), name);

		for (size_t i = 0; i < ROWS(lab->before); i++)
			mine = mine && map != lab->before[i];
		if (mine)
			return bpf_map__fd(map);
	}
	return -1;
}

int prog_ctl(struct prog_lab *lab, struct masq_ctl *request)
{
	uint8_t data[MASQ_CTL_OFFSET + sizeof(*request)] = {};
	struct bpf_program *prog =
		bpf_object__find_program_by_name(lab->obj, "masq_ctl");
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = data,
		    .data_size_in = sizeof(data), .data_out = data,
		    .data_size_out = sizeof(data));

	data[12] = MASQ_CTL_ETHERTYPE >> 8;
	data[13] = MASQ_CTL_ETHERTYPE & 0xff;
	memcpy(data + MASQ_CTL_OFFSET, request, sizeof(*request));
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(prog), &opts),
			 0);
	memcpy(request, data + MASQ_CTL_OFFSET, sizeof(*request));
	return request->error;
}

static void find_hz(struct prog_lab *lab)
{
	static const uint32_t known[] = { 100, 250, 300, 1000 };
	struct masq_ctl a = { .op = MASQ_CTL_CLOCK }, b = a;
	double got, best = 1e9;

	prog_ctl(lab, &a);
	usleep(200000);
	prog_ctl(lab, &b);
	got = (double)(b.jiffies - a.jiffies) * 1e9 / (b.now_ns - a.now_ns);
	for (size_t i = 0; i < ROWS(known); i++) {
		double off = got > known[i] ? got / known[i] : known[i] / got;

		if (off < best) {
			best = off;
			hz = known[i];
		}
	}
}

uint32_t prog_ticks(struct prog_lab *lab, double seconds)
{
	(void)lab;
	return HZ_TICKS(seconds, hz);
}

static const char setup[] =
	"set -e; ip link set lo up;"
	"ip link add up0 type veth peer name far0;"
	"ip link set up0 address 02:00:00:00:00:01;" /* packet.c sends there */
	"ip link add pod0 type veth peer name ctr0;"
	"for i in up0 far0 pod0 ctr0; do ip link set $i up; done;"
	"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
	" net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0;"
	"ip addr add 10.142.0.6/24 dev up0;"
	"ip addr add 10.44.14.1/24 dev pod0;"
	"ip -6 addr add fd00:142::6/64 dev up0 nodad;"
	"ip -6 addr add fd00:44::1/64 dev pod0 nodad;"
	"ip route add default via 10.142.0.1 dev up0;"
	"ip -6 route add default via fd00:142::1 dev up0";

static bool have_loop(void)
{
	return libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop,
				       NULL) == 1;
}

bool prog_loads(const char *object, const struct CMUnitTest *tests, size_t n)
{
	if (strcmp(object, "modern") || have_loop())
		return true;
	for (size_t i = 0; i < n; i++)
		printf("ok %zu - %s, %s # SKIP this kernel has no bpf_loop\n",
		       i + 1, tests[i].name, object);
	return false;
}

/* The table itself, as the dataplane has it. */
static void *map_memory(struct prog_lab *lab, const char *name, size_t size)
{
	void *at = mmap(NULL, size * lab->pages, PROT_READ | PROT_WRITE,
			MAP_SHARED, prog_map(lab, name), 0);

	return at == MAP_FAILED ? NULL : at;
}

static void map_forget(struct prog_lab *lab, void *at, size_t size)
{
	munmap(at, size * lab->pages);
}

/* What the object's constants begin with; NULL unless they are so many. */
static void *constants(struct bpf_object *obj, size_t size)
{
	struct bpf_map *map;

	if (!obj)
		return NULL;
	bpf_object__for_each_map(map, obj)
	{
		size_t has = 0;
		const void *at = bpf_map__initial_value(map, &has);

		if (at && strstr(bpf_map__name(map), ".rodata"))
			return has >= size ? (void *)at : NULL;
	}
	return NULL;
}

struct prog_lab *prog_before;
unsigned int prog_before_layout;

/* The tables that are taken over from, as masqbpf hands them over. */
static int use_before(struct prog_lab *lab)
{
	static const struct {
		const char *mine, *old;
	} maps[] = { { "masq_before4_4", "masq_flows4" },
		     { "masq_before4_6", "masq_flows6" },
		     { "masq_before4_aside4", "masq_aside4" },
		     { "masq_before4_aside6", "masq_aside6" } };
	struct bpf_map *map;
	int err = 0;

	map = bpf_object__find_map_by_name(lab->obj, "masq_before3_4");
	err = bpf_map__set_max_entries(map, 64);
	for (size_t i = 0; i < ROWS(maps) && prog_before && !err; i++) {
		map = bpf_object__find_map_by_name(lab->obj, maps[i].mine);
		lab->before[i] = map;
		err = bpf_map__reuse_fd(map,
					prog_map(prog_before, maps[i].old));
	}
	return err;
}

/* Runs in this process's own network namespace: nothing to clean up. */
int prog_lab_up(void **state)
{
	const char *which = getenv("MASQ_TEST_OBJECT");
	/* another build of it than the one in here: scripts/mutants.py */
	const char *file = getenv("MASQ_TEST_BPF");
	struct prog_lab *lab = calloc(1, sizeof(*lab));
	struct masq_shape shape = masq_shape_for(prog_max_flows);
	uint64_t keys[MASQ_HASH_KEYS];
	const struct prog_lab *old = prog_before;
	uint32_t features = 0;
	struct bpf_map *map;

	if (unshare(CLONE_NEWNET) || system(setup)) {
		print_error("cannot make the test's network namespace\n");
		return -1;
	}
	lab->up = if_nametoindex("up0");
	lab->pod = if_nametoindex("pod0");
	/* as masqbpf itself chooses, unless the test says */
	lab->modern = which ? strcmp(which, "legacy") != 0 : have_loop();
	if (getenv("MASQ_TEST_FIB_SRC"))
		features |= MASQ_FEAT_FIB_SRC;
	if (getenv("MASQ_TEST_FIB_MARK"))
		features |= MASQ_FEAT_FIB_SRC | MASQ_FEAT_FIB_MARK;
	if (getenv("MASQ_TEST_CT"))
		features |= MASQ_FEAT_CT;
	if (getenv("MASQ_TEST_FAST"))
		features |= MASQ_FEAT_FAST;
	if (getrandom(keys, sizeof(keys), 0) != sizeof(keys))
		return -1;
#define OPEN(name)                                                         \
	do {                                                               \
		struct name##__rodata *rodata = NULL;                      \
		struct name *skel = file ? NULL : name##__open();          \
                                                                           \
		if (skel) {                                                \
			lab->obj = skel->obj;                              \
			rodata = skel->rodata;                             \
		} else if (file) {                                         \
			lab->obj = bpf_object__open_file(file, NULL);      \
			rodata = constants(lab->obj, sizeof(*rodata));     \
		}                                                          \
		if (!rodata)                                               \
			return -1;                                         \
		rodata->masq_features = features;                          \
		rodata->masq_seal = PROG_SEAL;                             \
		rodata->masq_shape_v4 = shape;                             \
		rodata->masq_shape_v6 = shape;                             \
		memcpy((void *)rodata->masq_hash_key, keys, sizeof(keys)); \
		rodata->masq_before = old ? MASQ_ABI : prog_before_layout; \
		if (!old)                                                  \
			break;                                             \
		rodata->masq_before_shape_v4 = old->shape;                 \
		rodata->masq_before_shape_v6 = old->shape;                 \
		memcpy((void *)rodata->masq_before_hash_key, old->keys,    \
		       sizeof(old->keys));                                 \
	} while (0)
	if (lab->modern)
		OPEN(masq_modern);
	else
		OPEN(masq);
	lab->pages = masq_shape_pages(shape);
	lab->shape = shape;
	memcpy(lab->keys, keys, sizeof(keys));
	if (use_before(lab))
		return -1;
	bpf_object__for_each_map(map, lab->obj)
	{
		const char *name = bpf_map__name(map);

		for (size_t i = 0; i < ROWS(lab->before); i++)
			if (map == lab->before[i])
				name = "";
		if (!strncmp(name, "masq_flows", 10) ||
		    !strncmp(name, "masq_aside", 10))
			bpf_map__set_max_entries(map, lab->pages);
	}
	if (bpf_object__load(lab->obj))
		return -1;
	lab->flows4 = map_memory(lab, "masq_flows4", sizeof(*lab->flows4));
	lab->flows6 = map_memory(lab, "masq_flows6", sizeof(*lab->flows6));
	lab->aside4 = map_memory(lab, "masq_aside4", sizeof(*lab->aside4));
	lab->aside6 = map_memory(lab, "masq_aside6", sizeof(*lab->aside6));
	if (!lab->flows4 || !lab->flows6 || !lab->aside4 || !lab->aside6)
		return -1;
	*state = lab;
	find_hz(lab);
	return prog_lab_reset(state);
}

int prog_lab_down(void **state)
{
	struct prog_lab *lab = *state;

	if (!lab) /* it never came up */
		return -1;
	map_forget(lab, lab->flows4, sizeof(*lab->flows4));
	map_forget(lab, lab->flows6, sizeof(*lab->flows6));
	map_forget(lab, lab->aside4, sizeof(*lab->aside4));
	map_forget(lab, lab->aside6, sizeof(*lab->aside6));
	bpf_object__close(lab->obj);
	free(lab);
	return 0;
}

static void clear_hash(int fd, size_t key_size)
{
	uint8_t key[64], next[64];
	bool more = !bpf_map_get_next_key(fd, NULL, next);

	(void)key_size;
	while (more) {
		memcpy(key, next, sizeof(key));
		more = !bpf_map_get_next_key(fd, key, next);
		bpf_map_delete_elem(fd, key);
	}
}

static void put(struct prog_lab *lab, const char *map, uint32_t key,
		const void *value)
{
	assert_int_equal(
		bpf_map_update_elem(prog_map(lab, map), &key, value, 0), 0);
}

static void put_prefix(struct prog_lab *lab, uint8_t set,
		       const struct cidr *cidr,
		       const struct masq_lpm_value *value)
{
	struct masq_lpm_key key = {
		.plen = MASQ_LPM_SET_BITS + cidr->plen,
		.set = set,
	};

	memcpy(key.addr, cidr->addr.a, sizeof(key.addr));
	assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_trie_a"), &key,
					     value, 0),
			 0);
}

static void put_dst(struct prog_lab *lab, const char *text, int action,
		    uint32_t slot)
{
	struct masq_lpm_value value = { .prefix = slot, .action = action };
	struct cidr cidr;

	assert_int_equal(cidr_parse(text, &cidr, NULL, 0), 0);
	put_prefix(lab, cidr.addr.family == 6 ? MASQ_SET_DST6 : MASQ_SET_DST4,
		   &cidr, &value);
}

void prog_policy(struct prog_lab *lab, ...)
{
	const char *text;
	uint32_t slot = 2;
	va_list ap;

	clear_hash(prog_map(lab, "masq_trie_a"), sizeof(struct masq_lpm_key));
	put_dst(lab, "0.0.0.0/0", MASQ_MASQUERADE, 0);
	put_dst(lab, "::/0", MASQ_MASQUERADE, 1);
	va_start(ap, lab);
	while ((text = va_arg(ap, const char *)))
		put_dst(lab, text, va_arg(ap, int), slot++);
	va_end(ap);
}

void prog_policy_edit(struct prog_lab *lab, void (*edit)(struct masq_policy *))
{
	struct masq_policy policy;
	uint32_t key = 0;

	bpf_map_lookup_elem(prog_map(lab, "masq_policy"), &key, &policy);
	policy.generation++;
	if (edit)
		edit(&policy);
	put(lab, "masq_policy", 0, &policy);
}

/* As user space finds them; see setup. */
static void put_local(struct prog_lab *lab)
{
	static const char *const addrs[] = {
		"127.0.0.1", NODE4, "10.44.14.1", "::1", NODE6, "fd00:44::1",
	};
	/* the last two: subnet-router anycast, RFC 4291 section 2.6.1 */
	static const char *const nets[] = { "127.0.0.0/8", "fd00:44::/128",
					    "fd00:142::/128" };

	clear_hash(prog_map(lab, "masq_local"), 0);
	for (size_t i = 0; i < ROWS(addrs); i++) {
		struct masq_addr addr = {};
		uint32_t uses = 1;

		inet_pton(strchr(addrs[i], ':') ? AF_INET6 : AF_INET, addrs[i],
			  addr.a);
		assert_int_equal(
			bpf_map_update_elem(prog_map(lab, "masq_local"), &addr,
					    &uses, 0),
			0);
	}
	for (size_t i = 0; i < ROWS(nets); i++) {
		struct masq_lpm_key key = {};
		struct cidr cidr;
		uint32_t one = 1;

		assert_int_equal(cidr_parse(nets[i], &cidr, NULL, 0), 0);
		key.plen = MASQ_LPM_SET_BITS + cidr.plen;
		key.set = cidr.addr.family;
		memcpy(key.addr, cidr.addr.a, sizeof(key.addr));
		assert_int_equal(bpf_map_update_elem(prog_map(lab, "masq_nets"),
						     &key, &one, 0),
				 0);
	}
}

void prog_forget_fragments(struct prog_lab *lab)
{
	clear_hash(prog_map(lab, "masq_frags"), 0);
}

int prog_lab_reset(void **state)
{
	struct prog_lab *lab = *state;
	struct masq_policy policy = {
		.generation = 1,
		.flags = MASQ_P_IPV6,
		.port_min = 10240,
		.port_max = 65535,
		.max_flows = prog_max_flows,
		.max_flows_per_pod = prog_max_flows / 4,
	};
	static const double seconds[MASQ_T_MAX] = {
		7440, 240, 300, 120, 60, 600
	};
	struct masq_iface iface = {};
	struct masq_usage usage = {};
	struct masq_prefix_count *counts;
	uint64_t *stats;
	int cpus = libbpf_num_possible_cpus();

	lab->checksum_complete = false;
	memset(lab->flows4, 0, lab->pages * sizeof(*lab->flows4));
	memset(lab->flows6, 0, lab->pages * sizeof(*lab->flows6));
	memset(lab->aside4, 0, lab->pages * sizeof(*lab->aside4));
	memset(lab->aside6, 0, lab->pages * sizeof(*lab->aside6));
	clear_hash(prog_map(lab, "masq_pods"), 0);
	prog_forget_fragments(lab);
	clear_hash(prog_map(lab, "masq_held"), 0);
	clear_hash(prog_map(lab, "masq_awaited"), 0);
	put(lab, "masq_usage", 0, &usage);
	for (int t = 0; t < MASQ_T_MAX; t++)
		policy.timeout[t] = prog_ticks(lab, seconds[t]);
	policy.fragment = prog_ticks(lab, MASQ_FRAG_SECONDS);
	put(lab, "masq_policy", 0, &policy);
	put(lab, "masq_active", 0, &(uint32_t){ 0 });
	for (uint32_t word = 0; word < 2 * MASQ_PORT_WORDS; word++) {
		uint64_t bits = 0;

		for (uint32_t port = 0; port < 64; port++) {
			uint32_t p = word % MASQ_PORT_WORDS * 64 + port;

			if (p >= 30000 && p <= 32767) /* NodePorts */
				bits |= 1ULL << port;
		}
		put(lab, "masq_ports", word, &bits);
	}
	inet_pton(AF_INET, NODE4, &iface.addr4);
	inet_pton(AF_INET6, NODE6, iface.addr6);
	put(lab, "masq_ifaces", lab->up, &iface);
	put_local(lab);
	prog_policy(lab, "172.16.0.0/12", MASQ_KEEP, "fd00:30::/32", MASQ_KEEP,
		    NULL);
	counts = calloc(cpus, sizeof(*counts));
	for (uint32_t slot = 0; slot < 16; slot++)
		put(lab, "masq_counters", slot, counts);
	free(counts);
	stats = calloc(cpus, sizeof(*stats));
	for (uint32_t i = 0; i < MASQ_S_MAX; i++)
		put(lab, "masq_stats", i, stats);
	free(stats);
	return 0;
}

/* <linux/bpf.h> since 6.17: the skb comes with CHECKSUM_COMPLETE, and the
 * kernel looks afterwards whether skb->csum still is the packet's sum. */
#define TEST_SKB_CHECKSUM_COMPLETE (1U << 2)

/* 5.10 runs no test packet that came in over an interface: without that, none
 * is a pod's, and only the tests in namespaces show what happens to it. */
static bool can_forward(struct prog_lab *lab)
{
	struct bpf_program *prog =
		bpf_object__find_program_by_name(lab->obj, "masq_ctl");
	struct __sk_buff ctx = { .ingress_ifindex = lab->pod };
	uint8_t frame[64] = {};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = sizeof(frame), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .repeat = 1);

	return bpf_prog_test_run_opts(bpf_program__fd(prog), &opts) != -EINVAL;
}

void prog_needs_forwarding(struct prog_lab *lab)
{
	if (!can_forward(lab))
		skip_because("this kernel runs no test packet that came in "
			     "over an interface");
}

void prog_run_raw(struct prog_lab *lab, const char *name, bool forwarded,
		  const uint8_t *frame, size_t length, uint32_t gso_size,
		  uint32_t gso_segs)
{
	struct bpf_program *prog =
		bpf_object__find_program_by_name(lab->obj, name);
	/* one a direction */
	uint32_t seal = strstr(name, "ingress") ? ~PROG_SEAL : PROG_SEAL;
	struct __sk_buff out = {}, ctx = {
		.cb = { lab->seal_next	  ? seal
			: lab->seal_other ? ~seal
					  : 0 },
		.ifindex = lab->up,
		.ingress_ifindex = forwarded ? lab->pod : 0,
		.gso_size = gso_size,
		.gso_segs = gso_segs,
		.mark = lab->mark,
	};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = length, .data_out = lab->frame,
		    .data_size_out = sizeof(lab->frame), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx), .ctx_out = &out,
		    .ctx_size_out = sizeof(out), .repeat = 1);
	int ret;

	lab->seal_next = false;
	lab->seal_other = false;
	if (lab->checksum_complete)
		opts.flags = TEST_SKB_CHECKSUM_COMPLETE;
	if (!prog)
		fail_msg("no program %s", name);
	ret = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);
	if (ret == -EINVAL && forwarded)
		prog_needs_forwarding(lab);
	if (ret == -EINVAL && lab->checksum_complete)
		skip_because("CHECKSUM_COMPLETE in test runs came with 6.17");
	if (ret == -EBADMSG)
		fail_msg("%s: skb->csum is not the packet's sum any more: %s",
			 name, packet_text(frame, length));
	if (ret)
		fail_msg("%s: test run: %s", name, strerror(-ret));
	lab->sealed = out.cb[0] == seal;
	lab->verdict = (int)opts.retval;
	lab->length = opts.data_size_out;
	lab->duration = opts.duration;
}

void prog_run(struct prog_lab *lab, enum dir dir, const struct packet *p)
{
	uint8_t frame[PACKET_MAX];
	size_t length = packet_build(p, frame);
	bool host = !strcmp(p->src, NODE4) || !strcmp(p->src, NODE6);

	prog_run_raw(lab, dir == EGRESS ? "masq_egress" : "masq_ingress",
		     dir == EGRESS && !host, frame, length, 0, 0);
}

static void dump(const char *what, const uint8_t *frame, size_t length)
{
	print_error("%s: %s\n", what, packet_text(frame, length));
	for (size_t i = 0; i < length; i++)
		print_error("%02x%s", frame[i], i % 16 == 15 ? "\n" : " ");
	print_error("\n");
}

void prog_expect(struct prog_lab *lab, int verdict, const struct packet *want,
		 const char *file, int line)
{
	uint8_t frame[PACKET_MAX];
	size_t length;

	if (lab->verdict != verdict) {
		for (uint32_t i = 0; i < MASQ_S_MAX; i++)
			if (prog_stat(lab, i))
				print_error("stat %u: %lu\n", i,
					    (unsigned long)prog_stat(lab, i));
		print_error("%s:%d: verdict %d, want %d\n", file, line,
			    lab->verdict, verdict);
		_fail(file, line);
	}
	if (!want)
		return;
	length = packet_build(want, frame);
	if (length == lab->length && !memcmp(frame, lab->frame, length))
		return;
	dump("got ", lab->frame, lab->length);
	dump("want", frame, length);
	_fail(file, line);
}

uint64_t prog_stat(struct prog_lab *lab, uint32_t index)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t sum = 0, *values = calloc(cpus, sizeof(*values));

	bpf_map_lookup_elem(prog_map(lab, "masq_stats"), &index, values);
	for (int i = 0; i < cpus; i++)
		sum += values[i];
	free(values);
	return sum;
}

struct masq_prefix_count prog_prefix(struct prog_lab *lab, uint32_t slot)
{
	int cpus = libbpf_num_possible_cpus();
	struct masq_prefix_count sum = {}, *values;

	values = calloc(cpus, sizeof(*values));
	bpf_map_lookup_elem(prog_map(lab, "masq_counters"), &slot, values);
	for (int i = 0; i < cpus; i++) {
		sum.egress.packets += values[i].egress.packets;
		sum.egress.bytes += values[i].egress.bytes;
		sum.ingress.packets += values[i].ingress.packets;
		sum.ingress.bytes += values[i].ingress.bytes;
		sum.flows += values[i].flows;
	}
	free(values);
	return sum;
}

/*
 * Every record of a family, free slots left out. The families' pages differ
 * only in the size of a record.
 */
#define FOR_EACH_RECORD(lab, fam, f, a)                                      \
	for (unsigned int n_ = 0; n_ < (lab)->pages * MASQ_PAGE_SLOTS; n_++) \
		if ((f = &(lab)->flows##fam[n_ / MASQ_PAGE_SLOTS]            \
				  .slot[n_ % MASQ_PAGE_SLOTS],               \
		     a = &(lab)->aside##fam[n_ / MASQ_PAGE_SLOTS]            \
				  .slot[n_ % MASQ_PAGE_SLOTS],               \
		     (void)a, f->what))

unsigned int prog_records(struct prog_lab *lab)
{
	struct masq_aside *a;
	struct masq_flow4 *f4;
	struct masq_flow6 *f6;
	unsigned int n = 0;

	FOR_EACH_RECORD(lab, 4, f4, a)
	n++;
	FOR_EACH_RECORD(lab, 6, f6, a)
	n++;
	return n;
}

bool prog_flow4(struct prog_lab *lab, const char *in, uint16_t in_port,
		const char *rem, uint16_t rem_port, uint8_t proto,
		struct masq_flow4 *flow)
{
	uint32_t in_addr, rem_addr;
	struct masq_aside *a;
	struct masq_flow4 *f;

	inet_pton(AF_INET, in, &in_addr);
	inet_pton(AF_INET, rem, &rem_addr);
	FOR_EACH_RECORD(lab, 4, f, a)
	{
		if (f->in_addr[0] != in_addr || f->rem_addr[0] != rem_addr ||
		    f->in_port != htons(in_port) ||
		    f->rem_port != htons(rem_port) || f->proto != proto ||
		    f->what & MASQ_W_ROLE)
			continue;
		*flow = *f;
		lab->aside = *a;
		return true;
	}
	return false;
}

unsigned int prog_kind(const struct masq_flow4 *flow)
{
	return flow->what >> MASQ_W_KIND;
}

unsigned int prog_state(const struct masq_flow4 *flow)
{
	return masq_flow_state(flow->proto, flow->out_seen, flow->in_seen);
}

#define AGE_PAGE(page, away, ticks)                              \
	do {                                                     \
		(page)->label.soonest -= ticks;                  \
		for (uint64_t used_ = (page)->label.used; used_; \
		     used_ &= used_ - 1) {                       \
			int at_ = __builtin_ctzll(used_);        \
                                                                 \
			(page)->slot[at_].last_seen -= ticks;    \
			(page)->slot[at_].expires -= ticks;      \
			(away)->slot[at_].created -= ticks;      \
		}                                                \
	} while (0)

/* Ticks of looks for room that found none. */
static void age_looks(struct prog_lab *lab, uint32_t ticks)
{
	int fd = prog_map(lab, "masq_pods");
	struct masq_pod_usage pod;
	struct masq_usage usage;
	uint8_t key[64], next[64];
	uint32_t zero = 0;
	bool more;

	bpf_map_lookup_elem(prog_map(lab, "masq_usage"), &zero, &usage);
	for (int fam = 0; fam < 2; fam++) {
		usage.dry[fam].tick -= ticks;
		for (int b = 0; b < MASQ_B_MAX; b++)
			usage.barren[fam][b].tick -= ticks;
	}
	put(lab, "masq_usage", 0, &usage);
	for (more = !bpf_map_get_next_key(fd, NULL, next); more;) {
		memcpy(key, next, sizeof(key));
		more = !bpf_map_get_next_key(fd, key, next);
		if (bpf_map_lookup_elem(fd, key, &pod))
			continue;
		pod.barren.tick -= ticks;
		bpf_map_update_elem(fd, key, &pod, BPF_EXIST);
	}
}

void prog_age_ticks(struct prog_lab *lab, uint32_t ticks)
{
	age_looks(lab, ticks);
	for (unsigned int i = 0; i < lab->pages; i++) {
		AGE_PAGE(&lab->flows4[i], &lab->aside4[i], ticks);
		AGE_PAGE(&lab->flows6[i], &lab->aside6[i], ticks);
	}
}

void prog_age(struct prog_lab *lab, unsigned int seconds)
{
	prog_age_ticks(lab, prog_ticks(lab, seconds));
}

/* --- what a walk says ---------------------------------------------------- */

static void count_owner(struct prog_totals *t, int fam, unsigned int kind,
			unsigned int role)
{
	switch (kind) {
	case MASQ_K_FWD:
		t->flows[fam][role == MASQ_ROLE_HOST ? MASQ_B_NODE
						     : MASQ_B_MASQUERADE]++;
		t->host += role == MASQ_ROLE_HOST;
		break;
	case MASQ_K_KEEP:
		t->flows[fam][MASQ_B_KEEP]++;
		break;
	case MASQ_K_INBOUND:
		t->flows[fam][MASQ_B_INBOUND]++;
		break;
	case MASQ_K_RESERVED:
		t->flows[fam][MASQ_B_NODE]++;
		break;
	case MASQ_K_EIM:
		t->flows[fam][MASQ_B_EIM]++;
		break;
	}
}

/* A pair's records name each other, and one is there with the other. */
#define PAIR_IS_WHOLE(lab, fam, f, a)                                          \
	({                                                                     \
		uint32_t slot_ = n_, peer_ = (a)->peer;                        \
		bool ok_ = peer_ / MASQ_PAGE_SLOTS < (lab)->pages;             \
                                                                               \
		if (ok_) {                                                     \
			typeof(f) p_ =                                         \
				&(lab)->flows##fam[peer_ / MASQ_PAGE_SLOTS]    \
					 .slot[peer_ % MASQ_PAGE_SLOTS];       \
			struct masq_aside *q_ =                                \
				&(lab)->aside##fam[peer_ / MASQ_PAGE_SLOTS]    \
					 .slot[peer_ % MASQ_PAGE_SLOTS];       \
                                                                               \
			ok_ = p_->what & MASQ_W_LIVE &&                        \
			      p_->seq == (a)->peer_seq && q_->peer == slot_ && \
			      q_->peer_seq == (f)->seq &&                      \
			      p_->xlat_port == (f)->in_port &&                 \
			      !memcmp(p_->xlat_addr, (f)->in_addr,             \
				      sizeof((f)->in_addr));                   \
		}                                                              \
		ok_;                                                           \
	})

/* A pair that is whole: has the REV record what its owner has seen? */
#define COPIES_AGREE(lab, fam, f, a)                                           \
	({                                                                     \
		typeof(f) p_ = &(lab)->flows##fam[(a)->peer / MASQ_PAGE_SLOTS] \
					.slot[(a)->peer % MASQ_PAGE_SLOTS];    \
                                                                               \
		p_->out_seen == (f)->out_seen &&                               \
			p_->in_seen == (f)->in_seen &&                         \
			p_->expires == (f)->expires;                           \
	})

#define IS_CLOSED(f)                                                 \
	((f)->what >> MASQ_W_KIND == MASQ_K_FWD &&                   \
	 ((f)->what & MASQ_W_ROLE) == MASQ_ROLE_FLOW &&              \
	 masq_flow_state((f)->proto, (f)->out_seen, (f)->in_seen) == \
		 MASQ_ST_CLOSED)

/* The label against the slots, the neighbourhoods against the records. */
#define LABEL_IS_TRUE(page)                                                    \
	({                                                                     \
		uint64_t used_ = 0;                                            \
		int hops_ = 0;                                                 \
                                                                               \
		for (unsigned int j_ = 0; j_ < MASQ_PAGE_SLOTS; j_++) {        \
			used_ |= (uint64_t) !!(page)->slot[j_].what << j_;     \
			hops_ += __builtin_popcount((page)->slot[j_].hops &    \
						    (MASQ_HOP_ELSEWHERE - 1)); \
		}                                                              \
		used_ == (page)->label.used &&hops_ ==                         \
			__builtin_popcountll(used_);                           \
	})

#define IS_PAIRED(f)                               \
	((f)->what >> MASQ_W_KIND == MASQ_K_FWD || \
	 (f)->what >> MASQ_W_KIND == MASQ_K_REV)

struct prog_totals prog_walk(struct prog_lab *lab)
{
	struct prog_totals t = {};
	struct masq_aside *a;
	struct masq_flow4 *f4;
	struct masq_flow6 *f6;

	FOR_EACH_RECORD(lab, 4, f4, a)
	{
		count_owner(&t, 0, f4->what >> MASQ_W_KIND,
			    f4->what & MASQ_W_ROLE);
		t.unfinished += !(f4->what & MASQ_W_LIVE);
		t.closed += IS_CLOSED(f4);
		if (!IS_PAIRED(f4))
			continue;
		if (!PAIR_IS_WHOLE(lab, 4, f4, a))
			t.halves++;
		else
			t.copies += !COPIES_AGREE(lab, 4, f4, a);
	}
	FOR_EACH_RECORD(lab, 6, f6, a)
	{
		count_owner(&t, 1, f6->what >> MASQ_W_KIND,
			    f6->what & MASQ_W_ROLE);
		t.unfinished += !(f6->what & MASQ_W_LIVE);
		t.closed += IS_CLOSED(f6);
		if (!IS_PAIRED(f6))
			continue;
		if (!PAIR_IS_WHOLE(lab, 6, f6, a))
			t.halves++;
		else
			t.copies += !COPIES_AGREE(lab, 6, f6, a);
	}
	for (unsigned int i = 0; i < lab->pages; i++) {
		t.labels += !LABEL_IS_TRUE(&lab->flows4[i]) +
			    !LABEL_IS_TRUE(&lab->flows6[i]);
		t.elsewhere += lab->flows4[i].label.elsewhere +
			       lab->flows6[i].label.elsewhere;
	}
	return t;
}

void prog_expect_totals(struct prog_lab *lab, const char *file, int line)
{
	struct prog_totals t = prog_walk(lab);
	struct masq_pod_usage pod;
	struct masq_usage usage;
	uint8_t key[64], next[64];
	int fd = prog_map(lab, "masq_pods");
	bool more, bad = t.halves || t.copies || t.unfinished || t.labels;
	uint32_t zero = 0;
	long in_pods = 0, closed = 0;

	bpf_map_lookup_elem(prog_map(lab, "masq_usage"), &zero, &usage);
	for (int fam = 0; fam < 2; fam++)
		for (int b = 0; b < MASQ_B_MAX; b++)
			bad |= t.flows[fam][b] != usage.flows[fam][b];
	bad |= t.host != usage.host;
	for (more = !bpf_map_get_next_key(fd, NULL, next); more;) {
		memcpy(key, next, sizeof(key));
		more = !bpf_map_get_next_key(fd, key, next);
		if (bpf_map_lookup_elem(fd, key, &pod))
			continue;
		in_pods += pod.flows;
		closed += pod.closed;
		bad |= pod.closed < 0 || pod.closed > pod.flows;
	}
	bad |= in_pods !=
	       t.flows[0][MASQ_B_MASQUERADE] + t.flows[1][MASQ_B_MASQUERADE];
	bad |= closed != t.closed;
	if (!bad)
		return;
	print_error("walk (counted): ");
	for (int fam = 0; fam < 2; fam++)
		for (int b = 0; b < MASQ_B_MAX; b++)
			print_error("%ld (%ld) ", t.flows[fam][b],
				    (long)usage.flows[fam][b]);
	print_error("host %ld (%ld) pods (%ld) closed %ld (%ld); halves %u "
		    "copies %u unfinished %u labels %u\n",
		    t.host, (long)usage.host, in_pods, t.closed, closed,
		    t.halves, t.copies, t.unfinished, t.labels);
	_fail(file, line);
}

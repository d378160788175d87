/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * test_verifier.c - each program of each object, alone, before this kernel's
 * verifier: it has to be accepted, and at a cost that leaves room, because
 * every kernel counts differently and a refusal would come as a node without
 * masquerade. scripts/kernels.sh collects the lines that it prints.
 *
 * The stack of the deepest chain of calls is summed up here as 5.10 and 6.1 do
 * it, each frame rounded up to 32 bytes: newer kernels round to less, and take
 * what those refuse.
 *
 * A call reaches 32,767 instructions far: the kernel notes the distance in 16
 * bits, by which an interpreter (no JIT) goes, and whoever dumps the program.
 *
 * The object for newer kernels is skipped where masqbpf would not load it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include "masqbpf.h"
#include "plane/probe.h"
#include "masq.skel.h"
#include "masq_modern.skel.h"
#include "masq_noct.skel.h"
#include "rows.h"

/* The kernel gives up at 1,000,000. */
#define MAX_INSNS 500000

/* of 5.10 and 6.1 */
#define MAX_STACK   512
#define FRAME_ROUND 32

/* instructions between a call and the function that it calls */
#define MAX_FAR	  31500

#define PATH_SIZE 1024
#define MAX_ROWS  96
#define LOG_SIZE  (1 << 20)
#define LOG_STATS 4 /* BPF_LOG_STATS: the sums and why it was refused */

enum object {
	BASE,
	MODERN,
	NOCT,
};
static const char *const object_names[] = { "masq", "masq_modern",
					    "masq_noct" };

struct row {
	const char *program;
	enum object object;
	unsigned int before; /* layout that is taken over from; 0: none */
	char name[64];
};

static struct row rows[MAX_ROWS];
static struct CMUnitTest tests[MAX_ROWS];
static size_t n_rows;
static char verifier_log[LOG_SIZE];

static unsigned int number_after(const char *text, const char *word)
{
	const char *at = strstr(text, word);

	return at ? strtoul(at + strlen(word), NULL, 10) : 0;
}

/* --- stack ------------------------------------------------------------- */

struct func {
	unsigned int start; /* first instruction */
	unsigned int stack;
	const char *name;
};

/* A program as the kernel holds it, dead code gone. */
struct call_graph {
	struct bpf_insn *insns;
	size_t n_insns;
	struct func *funcs;
	size_t n_funcs;
	struct btf *btf;
};

/* The number of the function that instruction i calls or hands on, or 0. */
static unsigned int call_target(const struct bpf_insn *insns, size_t i)
{
	if (insns[i].code == (BPF_JMP | BPF_CALL) &&
	    insns[i].src_reg == BPF_PSEUDO_CALL)
		return insns[i].imm;
	if (insns[i].code == (BPF_LD | BPF_IMM | BPF_DW) &&
	    insns[i].src_reg == BPF_PSEUDO_FUNC)
		return insns[i + 1].imm;
	return 0;
}

/* The verifier tells the depths as a+b+c, one for each function. */
static void read_depths(struct call_graph *graph, const char *text)
{
	const char *at = strstr(text, "stack depth ");

	assert_non_null(at);
	at += strlen("stack depth ");
	for (size_t i = 0; i < graph->n_funcs; i++) {
		bool last = i + 1 == graph->n_funcs;
		char *end;

		graph->funcs[i].stack = strtoul(at, &end, 10);
		assert_true(end > at);
		assert_int_equal(*end, last ? '\n' : '+');
		at = end + 1;
	}
}

static void read_graph(struct call_graph *graph, int fd, const char *text)
{
	struct bpf_prog_info info = {};
	uint32_t size = sizeof(info);
	struct bpf_func_info *funcs;

	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	graph->n_insns = info.xlated_prog_len / sizeof(*graph->insns);
	graph->n_funcs = info.nr_func_info;
	graph->insns = calloc(graph->n_insns, sizeof(*graph->insns));
	graph->funcs = calloc(graph->n_funcs, sizeof(*graph->funcs));
	graph->btf = btf__load_from_kernel_by_id(info.btf_id);
	funcs = calloc(graph->n_funcs, sizeof(*funcs));
	assert_true(graph->insns && graph->funcs && graph->btf && funcs);

	info = (struct bpf_prog_info){
		.xlated_prog_insns = (uintptr_t)graph->insns,
		.xlated_prog_len = graph->n_insns * sizeof(*graph->insns),
		.func_info = (uintptr_t)funcs,
		.func_info_rec_size = sizeof(*funcs),
		.nr_func_info = graph->n_funcs,
	};
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &size), 0);
	for (size_t i = 0; i < graph->n_funcs; i++) {
		const struct btf_type *type =
			btf__type_by_id(graph->btf, funcs[i].type_id);

		graph->funcs[i].start = funcs[i].insn_off;
		graph->funcs[i].name =
			btf__name_by_offset(graph->btf, type->name_off);
	}
	free(funcs);
	read_depths(graph, text);
}

static void free_graph(struct call_graph *graph)
{
	btf__free(graph->btf);
	free(graph->funcs);
	free(graph->insns);
}

/* How far the farthest call goes; one that goes too far names no function. */
static size_t farthest(const struct call_graph *graph)
{
	size_t most = 0;

	for (size_t i = 0; i < graph->n_insns; i++) {
		unsigned int target = call_target(graph->insns, i);
		size_t to, far;

		if (!target)
			continue;
		if (target >= graph->n_funcs)
			return SIZE_MAX;
		to = graph->funcs[target].start;
		far = to > i ? to - i : i - to;
		if (far > most)
			most = far;
	}
	return most;
}

/* The deepest stack from function n on; `path` says by which calls. */
static unsigned int deepest(const struct call_graph *graph, unsigned int n,
			    char path[PATH_SIZE])
{
	const struct func *func = &graph->funcs[n];
	unsigned int most = 0, own = func->stack ?: 1;
	size_t end = n + 1 < graph->n_funcs ? func[1].start : graph->n_insns;
	char below[PATH_SIZE], most_below[PATH_SIZE] = "";

	for (size_t i = func->start; i < end; i++) {
		unsigned int target = call_target(graph->insns, i), depth;

		if (!target)
			continue;
		assert_in_range(target, 1, graph->n_funcs - 1);
		depth = deepest(graph, target, below);
		if (depth > most) {
			most = depth;
			strcpy(most_below, below);
		}
	}
	snprintf(path, PATH_SIZE, "\n%4u %s%s", func->stack, func->name,
		 most_below);
	return most + (own + FRAME_ROUND - 1) / FRAME_ROUND * FRAME_ROUND;
}

/* --- rows -------------------------------------------------------------- */

/* One of the skeletons, opened, with every feature on: what is off is code
 * that the verifier does not look at. */
struct skeleton {
	struct masq *base;
	struct masq_modern *modern;
	struct masq_noct *noct;
	struct bpf_object *obj;
};

static struct skeleton skeleton_open(enum object object, unsigned int before)
{
	struct skeleton s = {};
	/* but what calls a function that this kernel does not have */
	uint32_t features = ~0U & ~MASQ_FEAT_CT;

	features |= probe_features() & MASQ_FEAT_CT;
	if (object == NOCT) {
		s.noct = masq_noct__open();
		assert_non_null(s.noct);
		s.noct->rodata->masq_features = features & ~MASQ_FEAT_CT;
		s.noct->rodata->masq_before = before;
		s.obj = s.noct->obj;
	} else if (object == MODERN) {
		s.modern = masq_modern__open();
		assert_non_null(s.modern);
		s.modern->rodata->masq_features = features;
		/* as where the kernel tells: the rest is code like any */
		memset((void *)&s.modern->rodata->masq_offsets, 8,
		       sizeof(s.modern->rodata->masq_offsets));
		s.modern->rodata->masq_before = before;
		s.obj = s.modern->obj;
	} else {
		s.base = masq__open();
		assert_non_null(s.base);
		s.base->rodata->masq_features = features;
		s.base->rodata->masq_before = before;
		s.obj = s.base->obj;
	}
	return s;
}

static void skeleton_close(struct skeleton *s)
{
	masq__destroy(s->base);
	masq_modern__destroy(s->modern);
	masq_noct__destroy(s->noct);
}

static void small_maps(struct bpf_object *obj, unsigned int before)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		const char *name = bpf_map__name(map);

		/* as masqbpf does */
		if (!strncmp(name, "masq_before", 11) &&
		    (unsigned int)name[11] - '0' != before)
			bpf_map__set_autocreate(map, false);

		if (!strncmp(name, "masq_flows", 10) ||
		    !strncmp(name, "masq_aside", 10))
			bpf_map__set_max_entries(map, 16);
	}
}

static void verify(void **state)
{
	const struct row *row = *state;
	struct bpf_program *prog, *mine;
	struct call_graph graph;
	unsigned int insns, stack;
	struct skeleton skeleton;
	size_t far;
	char path[PATH_SIZE];
	int err;

	if (row->object != BASE &&
	    libbpf_probe_bpf_helper(BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop,
				    NULL) != 1)
		skip_because("this kernel has no bpf_loop");
	skeleton = skeleton_open(row->object, row->before);
	small_maps(skeleton.obj, row->before);
	bpf_object__for_each_program(prog, skeleton.obj)
		bpf_program__set_autoload(prog, false);
	mine = bpf_object__find_program_by_name(skeleton.obj, row->program);
	bpf_program__set_autoload(mine, true);
	bpf_program__set_log_level(mine, LOG_STATS);
	bpf_program__set_log_buf(mine, verifier_log, LOG_SIZE);
	verifier_log[0] = '\0';
	err = bpf_object__load(skeleton.obj);
	insns = number_after(verifier_log, "processed ");
	if (err) {
		printf("# verifier %s refused\n", row->name);
		fail_msg("%s: %s\n%s", row->name, strerror(-err), verifier_log);
	}
	read_graph(&graph, bpf_program__fd(mine), verifier_log);
	far = farthest(&graph);
	if (far > MAX_FAR)
		fail_msg("%s: a call goes %zu instructions far, %u at most",
			 row->name, far, MAX_FAR);
	stack = deepest(&graph, 0, path);
	free_graph(&graph);
	skeleton_close(&skeleton);
	printf("# verifier %s %u insns %u stack %u us\n", row->name, insns,
	       stack, number_after(verifier_log, "verification time "));
	assert_in_range(insns, 1, MAX_INSNS);
	if (stack > MAX_STACK)
		fail_msg(
			"%s: stack %u > %u, frames rounded as 5.10 and 6.1 do:%s",
			row->name, stack, MAX_STACK, path);
}

static void add_rows(enum object object, unsigned int before)
{
	struct skeleton skeleton = skeleton_open(object, before);
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, skeleton.obj)
	{
		struct row *row = &rows[n_rows];

		assert_in_range(n_rows, 0, MAX_ROWS - 1);
		row->object = object;
		row->before = before;
		row->program = strdup(bpf_program__name(prog));
		snprintf(row->name, sizeof(row->name), "%s %s%s",
			 object_names[object], row->program,
			 before == 3   ? " after layout 3"
			 : before == 4 ? " after layout 4"
				       : "");
		tests[n_rows++] = (struct CMUnitTest){
			.name = row->name,
			.test_func = verify,
			.initial_state = row,
		};
	}
	skeleton_close(&skeleton);
}

int main(void)
{
	libbpf_set_print(NULL); /* each row tells its own log */
	/* programs that take over are put in for a moment, and have to load */
	for (unsigned int before = 0; before <= 4; before += before ? 1 : 3) {
		for (enum object object = BASE; object <= NOCT; object++)
			add_rows(object, before);
	}
	return _cmocka_run_group_tests("verifier", tests, n_rows, NULL, NULL);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * cmd_top.c - `masqbpf top`: a live screen of prefixes, pods, flows and drops
 * by rate; with --once a single picture for scripts. It is laid out for 80 x
 * 24; a larger terminal shows longer names and more rows.
 */
#include <errno.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/json.h"
#include "base/log.h"
#include "base/prefix.h"
#include "base/table.h"
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/top.h"
#include "plane/counters.h"
#include "plane/tally.h"

#define HEAD_LINES   3
#define FOOT_LINES   1
#define ALL_SECTIONS TOP_SECTIONS /* which section is shown */
#define ONCE_ROWS    10

/* Looking may take this share of the time: a full table is a long walk. */
#define LOOKING_SHARE 0.2

enum colour {
	PLAIN,
	NOTE,
	BAD
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

/* --- numbers ----------------------------------------------------------- */

static const char *bytes_text(const struct top *top, double rate, char *buf,
			      size_t len)
{
	if (!top->flow_counts && rate <= 0)
		snprintf(buf, len, "-");
	else
		human_bytes(rate + 0.5, buf, len);
	return buf;
}

static const char *count_text(double rate, char *buf, size_t len)
{
	if (rate > 0 && rate < 9.95)
		snprintf(buf, len, "%.1f", rate);
	else
		human_count(rate + 0.5, buf, len);
	return buf;
}

static const char *row_action(const struct top *top, enum top_section section,
			      const struct top_row *row)
{
	if (section == TOP_PREFIXES)
		return action_name(top->instance->prefixes[row->slot].action);
	return section == TOP_FLOWS ? flow_action(&row->flow) : "";
}

static const char *const titles[TOP_SECTIONS] = {
	[TOP_PREFIXES] = "PREFIXES",
	[TOP_PODS] = "PODS",
	[TOP_FLOWS] = "FLOWS",
	[TOP_DROPS] = "DROPS",
};

/* --- the screen -------------------------------------------------------- */

struct screen {
	struct top *top;
	double interval;
	int section; /* or ALL_SECTIONS */
	size_t scroll; /* of a single section */
	bool paused;
};

static void set_colour(enum colour colour)
{
	attrset(colour == PLAIN ? A_NORMAL : COLOR_PAIR(colour));
	if (colour == BAD)
		attron(A_BOLD);
}

/* At line y; cut at the edge, and never onto the last cell's scrolling. */
static void __attribute__((format(printf, 4, 5)))
put(int y, int x, int width, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (x < COLS && width > 0)
		mvaddnstr(y, x, text, width < COLS - x ? width : COLS - x);
}

/* Too narrow for all columns: the name and one rate. */
static bool is_narrow(void)
{
	return COLS < 80;
}

/* Columns from the right edge: the name gets the rest. */
static void put_number(int y, int from_right, int width, const char *text)
{
	put(y, COLS - from_right, width, "%*s", width, text);
}

static void draw_title(const struct screen *s, int y, enum top_section section)
{
	const struct top_list *list = &s->top->lists[section];

	attrset(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	if (section == TOP_FLOWS && s->top->flows.all > list->count)
		put(y, 0, COLS, "%s (first %zu of %llu)", titles[section],
		    list->count, (unsigned long long)s->top->flows.all);
	else
		put(y, 0, COLS, "%s (%zu)", titles[section], list->count);
	if (section == TOP_DROPS) {
		put(y, 24, 8, "%8s", "PKT/s");
		put(y, 33, 10, "%10s", "TOTAL");
		put(y, 45, COLS - 45, "WHAT TO DO");
		return;
	}
	if (is_narrow()) {
		put_number(y, 9, 9, "OUT/s");
		return;
	}
	if (section != TOP_PODS)
		put_number(y, section == TOP_FLOWS ? 38 : 56, 10, "ACTION");
	put_number(y, section == TOP_FLOWS ? 27 : 45, 9, "OUT/s");
	put_number(y, section == TOP_FLOWS ? 17 : 35, 9, "IN/s");
	put_number(y, section == TOP_FLOWS ? 7 : 25, 7, "PKT/s");
	if (section == TOP_FLOWS)
		return;
	put_number(y, 17, 7, "LIVE");
	put_number(y, 9, 9, "UNREPLIED");
}

static void draw_drop(const struct top *top, int y, const struct top_row *row)
{
	const struct reason *reason = &reasons[row->reason];
	char text[32];

	(void)top;
	set_colour(row->rate.packets > 0 ? BAD : PLAIN);
	put(y, 0, 23, "%s", reason->name);
	put(y, 24, 8, "%8s", count_text(row->rate.packets, text, sizeof(text)));
	put(y, 33, 10, "%10llu", (unsigned long long)row->total);
	set_colour(PLAIN);
	put(y, 45, COLS - 45, "%s",
	    *reason->todo ? reason->todo : reason->what);
}

static void draw_row(const struct top *top, int y, enum top_section section,
		     const struct top_row *row)
{
	int shift = section == TOP_FLOWS ? 0 : 18;
	const char *action = row_action(top, section, row);
	char text[160];

	if (section == TOP_DROPS) {
		draw_drop(top, y, row);
		return;
	}
	set_colour(section == TOP_FLOWS && row->unreplied ? BAD : PLAIN);
	put(y, 0, COLS - (is_narrow() ? 10 : 39 + shift), "%s",
	    top_name(top, section, row, text, sizeof(text)));
	if (is_narrow()) {
		put_number(y, 9, 9,
			   bytes_text(top, row->rate.out_bytes, text,
				      sizeof(text)));
		return;
	}
	set_colour(!strcmp(action, "keep") ? NOTE : PLAIN);
	put_number(y, 38 + shift, 10, action);
	set_colour(PLAIN);
	put_number(y, 27 + shift, 9,
		   bytes_text(top, row->rate.out_bytes, text, sizeof(text)));
	put_number(y, 17 + shift, 9,
		   bytes_text(top, row->rate.in_bytes, text, sizeof(text)));
	put_number(y, 7 + shift, 7,
		   count_text(row->rate.packets, text, sizeof(text)));
	if (section == TOP_FLOWS)
		return;
	put_number(y, 17, 7, human_count(row->live, text, sizeof(text)));
	set_colour(row->unreplied ? BAD : PLAIN);
	put_number(y, 9, 9, human_count(row->unreplied, text, sizeof(text)));
	set_colour(PLAIN);
}

static void draw_head(const struct screen *s)
{
	const struct top *top = s->top;
	char out[32], in[32], packets[32], flows[32], drops[32];
	uint32_t percent;
	time_t now = time(NULL);
	struct tm tm;

	localtime_r(&now, &tm);
	if (is_narrow()) {
		put(0, 0, COLS, "flows %llu  unreplied %llu  drops %s/s",
		    (unsigned long long)top->flows.all,
		    (unsigned long long)top->unreplied,
		    count_text(top->drops, drops, sizeof(drops)));
		put(1, 0, COLS, "out %s/s  in %s/s",
		    human_bytes(top->sum.out_bytes + 0.5, out, sizeof(out)),
		    human_bytes(top->sum.in_bytes + 0.5, in, sizeof(in)));
		return;
	}
	attrset(A_BOLD);
	put(0, 0, COLS, "masqbpf");
	set_colour(PLAIN);
	flow_tally_fullest(top->instance, &top->flows, &percent);
	put(0, 8, COLS - 8, "generation %u   flows %llu   table %u %%",
	    top->generation, (unsigned long long)top->flows.all, percent);
	set_colour(top->unreplied ? BAD : PLAIN);
	put(0, getcurx(stdscr), COLS, "   unreplied %llu",
	    (unsigned long long)top->unreplied);
	set_colour(PLAIN);
	put(0, COLS - 8, 8, "%02d:%02d:%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
	put(1, 0, COLS, "out %s/s   in %s/s   packets %s/s   new flows %s/s",
	    human_bytes(top->sum.out_bytes + 0.5, out, sizeof(out)),
	    human_bytes(top->sum.in_bytes + 0.5, in, sizeof(in)),
	    count_text(top->sum.packets, packets, sizeof(packets)),
	    count_text(top->sum.flows, flows, sizeof(flows)));
	set_colour(top->drops > 0 ? BAD : PLAIN);
	put(1, getcurx(stdscr), COLS, "   drops %s/s",
	    count_text(top->drops, drops, sizeof(drops)));
	set_colour(PLAIN);
}

static void draw_foot(const struct screen *s)
{
	attrset(A_REVERSE);
	mvhline(LINES - 1, 0, ' ', COLS);
	put(LINES - 1, 0, COLS,
	    "%sq quit  1-4 one list  0 all  s sort:%s%s  r reverse  space pause  arrows scroll",
	    s->paused ? "PAUSED  " : "", s->top->reverse ? "-" : "",
	    top_key_name(s->top->key));
	attrset(A_NORMAL);
}

/* Rows for each section: a share, and what others leave over. */
static void share_rows(const struct top *top, int room, int rows[TOP_SECTIONS])
{
	static const int parts[TOP_SECTIONS] = { 5, 4, 5, 2 };
	int left = room;

	for (enum top_section s = 0; s < TOP_SECTIONS; s++) {
		rows[s] = room * parts[s] / 16;
		if ((size_t)rows[s] > top->lists[s].count)
			rows[s] = top->lists[s].count;
		left -= rows[s];
	}
	for (bool given = true; given && left > 0;) {
		given = false;
		for (enum top_section s = 0; s < TOP_SECTIONS && left > 0; s++)
			if ((size_t)rows[s] < top->lists[s].count) {
				rows[s]++;
				left--;
				given = true;
			}
	}
}

static void draw_all(const struct screen *s)
{
	int rows[TOP_SECTIONS], y = HEAD_LINES;

	share_rows(s->top, LINES - HEAD_LINES - FOOT_LINES - TOP_SECTIONS,
		   rows);
	for (enum top_section section = 0;
	     section < TOP_SECTIONS && y < LINES - FOOT_LINES; section++) {
		draw_title(s, y++, section);
		for (int i = 0; i < rows[section] && y < LINES - FOOT_LINES;
		     i++)
			draw_row(s->top, y++, section,
				 &s->top->lists[section].rows[i]);
	}
}

static void draw_one(struct screen *s)
{
	const struct top_list *list = &s->top->lists[s->section];
	size_t room = LINES > HEAD_LINES + FOOT_LINES + 1
			      ? LINES - HEAD_LINES - FOOT_LINES - 1
			      : 1;

	if (s->scroll + room > list->count)
		s->scroll = list->count > room ? list->count - room : 0;
	draw_title(s, HEAD_LINES, s->section);
	for (size_t i = 0; i < room && s->scroll + i < list->count; i++)
		draw_row(s->top, HEAD_LINES + 1 + i, s->section,
			 &list->rows[s->scroll + i]);
}

static void draw(struct screen *s)
{
	erase();
	draw_head(s);
	if (s->section == ALL_SECTIONS)
		draw_all(s);
	else
		draw_one(s);
	draw_foot(s);
	refresh();
}

/* False: quit. */
static bool on_key(struct screen *s, int key)
{
	int lines = LINES - HEAD_LINES - FOOT_LINES - 1;
	size_t page = lines > 1 ? lines : 1;

	switch (key) {
	case 'q':
	case 27: /* Escape */
		return false;
	case '0':
		s->section = ALL_SECTIONS;
		break;
	case '1':
	case '2':
	case '3':
	case '4':
		s->section = key - '1';
		s->scroll = 0;
		break;
	case '\t':
		s->section = (s->section + 1) % (TOP_SECTIONS + 1);
		s->scroll = 0;
		break;
	case 's':
		s->top->key = (s->top->key + 1) % TOP_KEYS;
		top_sort(s->top);
		break;
	case 'r':
		s->top->reverse = !s->top->reverse;
		top_sort(s->top);
		break;
	case ' ':
		s->paused = !s->paused;
		break;
	case KEY_DOWN:
		s->scroll++;
		break;
	case KEY_UP:
		s->scroll -= !!s->scroll;
		break;
	case KEY_NPAGE:
		s->scroll += page;
		break;
	case KEY_PPAGE:
		s->scroll = s->scroll > page ? s->scroll - page : 0;
		break;
	}
	return true;
}

static double clock_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static int watch_screen(struct screen *s)
{
	double next = clock_seconds();
	int err = 0;

	while (!stopped) {
		double left = next - clock_seconds();
		int key;

		if (left <= 0 && !s->paused) {
			if (instance_is_gone(s->top->instance))
				return -ENOENT;
			err = top_look(s->top);
			if (err)
				break;
			left = s->top->cost / LOOKING_SHARE;
			if (left < s->interval)
				left = s->interval;
			next = clock_seconds() + left;
		}
		draw(s);
		timeout(s->paused || left > 1 ? 1000 : left * 1000 + 1);
		key = getch();
		if (key != ERR && !on_key(s, key))
			break;
	}
	return err;
}

static int run_screen(struct top *top, double interval)
{
	struct sigaction on_stop = { .sa_handler = stop };
	struct screen s = { .top = top,
			    .interval = interval,
			    .section = ALL_SECTIONS };
	const char *no_color = getenv("NO_COLOR");
	SCREEN *terminal;
	int err;

	/* not LC_ALL: numbers keep their point */
	setlocale(LC_CTYPE, "");
	terminal = newterm(NULL, stdout, stdin);
	/* a dumb one is known, and cannot move its cursor */
	if (terminal && !tigetstr("cup")) {
		endwin();
		delscreen(terminal);
		terminal = NULL;
	}
	if (!terminal) {
		log_error(
			"top: terminal %s: not known, or not able to; --once needs none",
			getenv("TERM") ?: "(TERM is not set)");
		return CMD_FAILED;
	}
	sigaction(SIGINT, &on_stop, NULL);
	sigaction(SIGTERM, &on_stop, NULL);
	sigaction(SIGHUP, &on_stop, NULL);
	cbreak();
	noecho();
	curs_set(0);
	keypad(stdscr, TRUE);
	set_escdelay(50);
	if ((!no_color || !*no_color) && has_colors()) {
		start_color();
		use_default_colors();
		init_pair(NOTE, COLOR_YELLOW, -1);
		init_pair(BAD, COLOR_RED, -1);
	}
	err = watch_screen(&s);
	endwin();
	delscreen(terminal);
	if (err == -ENOENT)
		log_info("top: %s: detached", top->instance->pin_dir);
	else if (err)
		log_error("top: %s", strerror(-err));
	return err && err != -ENOENT ? CMD_FAILED : CMD_OK;
}

/* --- once -------------------------------------------------------------- */

static void print_section(const struct top *top, enum top_section section,
			  size_t rows)
{
	const char *const drops[] = { titles[section], ">PKT/s", ">TOTAL",
				      "WHAT TO DO", NULL };
	const char *const others[] = { titles[section], "ACTION", ">OUT/s",
				       ">IN/s",		">PKT/s", ">LIVE",
				       ">UNREPLIED",	NULL };
	const struct top_list *list = &top->lists[section];
	struct table *t = table_new(section == TOP_DROPS ? drops : others);
	char text[160];

	for (size_t i = 0; i < list->count && i < rows; i++) {
		const struct top_row *row = &list->rows[i];

		table_cell(t, "%s",
			   top_name(top, section, row, text, sizeof(text)));
		if (section == TOP_DROPS) {
			table_cell(t, "%s",
				   count_text(row->rate.packets, text,
					      sizeof(text)));
			table_cell(t, "%llu", (unsigned long long)row->total);
			table_cell(t, "%s", reasons[row->reason].todo);
			table_row_end(t);
			continue;
		}
		table_cell(t, "%s", row_action(top, section, row));
		table_cell(t, "%s",
			   bytes_text(top, row->rate.out_bytes, text,
				      sizeof(text)));
		table_cell(t, "%s",
			   bytes_text(top, row->rate.in_bytes, text,
				      sizeof(text)));
		table_cell(t, "%s",
			   count_text(row->rate.packets, text, sizeof(text)));
		table_cell(t, "%llu", (unsigned long long)row->live);
		table_cell(t, "%llu", (unsigned long long)row->unreplied);
		table_row_end(t);
	}
	putchar('\n');
	table_print(t, stdout);
}

static void print_once(const struct top *top, size_t rows)
{
	char out[32], in[32], packets[32], flows[32], drops[32];
	uint32_t percent;

	flow_tally_fullest(top->instance, &top->flows, &percent);
	printf("generation %u, flows %llu, table %u %%, unreplied %llu\n"
	       "out %s/s, in %s/s, packets %s/s, new flows %s/s, drops %s/s\n",
	       top->generation, (unsigned long long)top->flows.all, percent,
	       (unsigned long long)top->unreplied,
	       human_bytes(top->sum.out_bytes + 0.5, out, sizeof(out)),
	       human_bytes(top->sum.in_bytes + 0.5, in, sizeof(in)),
	       count_text(top->sum.packets, packets, sizeof(packets)),
	       count_text(top->sum.flows, flows, sizeof(flows)),
	       count_text(top->drops, drops, sizeof(drops)));
	for (enum top_section s = 0; s < TOP_SECTIONS; s++)
		if (top->lists[s].count)
			print_section(top, s, rows);
}

static void json_rate(struct json *j, const struct top_rate *rate)
{
	json_double(j, "out_bytes_per_s", rate->out_bytes);
	json_double(j, "in_bytes_per_s", rate->in_bytes);
	json_double(j, "packets_per_s", rate->packets);
}

static void json_section(struct json *j, const struct top *top,
			 enum top_section section, size_t rows)
{
	static const char *const keys[TOP_SECTIONS][2] = {
		[TOP_PREFIXES] = { "prefixes", "prefix" },
		[TOP_PODS] = { "pods", "pod" },
		[TOP_FLOWS] = { "flows", "flow" },
		[TOP_DROPS] = { "drops", "reason" },
	};
	const struct top_list *list = &top->lists[section];
	char text[160];

	json_array(j, keys[section][0]);
	for (size_t i = 0; i < list->count && i < rows; i++) {
		const struct top_row *row = &list->rows[i];

		json_object(j, NULL);
		json_string(j, keys[section][1],
			    top_name(top, section, row, text, sizeof(text)));
		if (section == TOP_DROPS) {
			json_double(j, "packets_per_s", row->rate.packets);
			json_u64(j, "total", row->total);
			json_object_end(j);
			continue;
		}
		if (section != TOP_PODS)
			json_string(j, "action", row_action(top, section, row));
		json_rate(j, &row->rate);
		json_u64(j, "live", row->live);
		json_u64(j, "unreplied", row->unreplied);
		json_object_end(j);
	}
	json_array_end(j);
}

static void print_json(const struct top *top, size_t rows)
{
	struct json j;

	json_begin(&j, stdout);
	json_object(&j, NULL);
	json_u64(&j, "generation", top->generation);
	json_double(&j, "seconds", top->seconds);
	json_u64(&j, "live_flows", top->flows.all);
	json_u64(&j, "unreplied_flows", top->unreplied);
	json_rate(&j, &top->sum);
	json_double(&j, "new_flows_per_s", top->sum.flows);
	json_double(&j, "drops_per_s", top->drops);
	for (enum top_section s = 0; s < TOP_SECTIONS; s++)
		json_section(&j, top, s, rows);
	json_object_end(&j);
	json_end(&j);
}

static int run_once(struct top *top, const struct cmd_line *line,
		    double interval, size_t rows)
{
	struct timespec pause = {
		.tv_sec = interval,
		.tv_nsec = (interval - (time_t)interval) * 1e9,
	};
	int err = top_look(top);

	if (!err) {
		nanosleep(&pause, NULL);
		err = top_look(top);
	}
	if (err) {
		log_error("top: %s", strerror(-err));
		return CMD_FAILED;
	}
	if (line->json)
		print_json(top, rows);
	else
		print_once(top, rows);
	return CMD_OK;
}

/* --- the command ------------------------------------------------------- */

static int parse_interval(const struct cmd_line *line, double *out)
{
	const char *text = cmd_value(line, "interval");
	char *end;

	*out = 1;
	if (!text)
		return CMD_OK;
	*out = strtod(text, &end);
	if (*end || !(*out >= 0.1 && *out <= 3600))
		return cmd_usage(line, "--interval %s: 0.1 to 3600 seconds",
				 text);
	return CMD_OK;
}

static int run(const struct cmd_line *line)
{
	const char *sort = cmd_value(line, "sort");
	const char *rows_text = cmd_value(line, "rows");
	bool once = cmd_flag(line, "once") || line->json;
	struct instance *instance = NULL;
	uint64_t rows = ONCE_ROWS;
	struct top top = {};
	double interval;
	char err[256];
	int result = parse_interval(line, &interval);

	if (result)
		return result;
	if (sort && top_key_parse(sort, &top.key))
		return cmd_usage(
			line,
			"--sort %s: not rate, packets, flows, unreplied or name",
			sort);
	if (rows_text &&
	    number_parse(rows_text, 1, 100000, &rows, err, sizeof(err)))
		return cmd_usage(line, "--rows %s: %s", rows_text, err);
	if (!once && !(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO)))
		return cmd_usage(line, "no terminal; --once needs none");

	result = cmd_open(line, INSTANCE_READ, &instance);
	if (result)
		goto out;
	if (top_open(&top, instance)) {
		log_error("top: out of memory");
		result = CMD_FAILED;
	} else if (once) {
		result = run_once(&top, line, interval, rows);
	} else {
		result = run_screen(&top, interval);
	}
out:
	top_close(&top);
	instance_close(instance);
	return result;
}

static const struct cmd_option options[] = {
	{ "once", NULL, "one picture as text (with --json: as JSON)" },
	{ "interval", "SECONDS", "between two looks (default: 1)" },
	{ "sort", "KEY", "rate (default), packets, flows, unreplied or name" },
	{ "rows", "N", "--once: of each list (default: 10)" },
	{},
};

const struct cmd cmd_top = {
	.name = "top",
	.args = "",
	.help = "a live screen: prefixes, pods, flows, drops by rate",
	.options = options,
	.run = run,
};

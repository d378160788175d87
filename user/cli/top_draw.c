// SPDX-License-Identifier: GPL-2.0-only
/* top_draw.c - lines of the live screen, as wide as the terminal is. */
#include <ncurses.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/units.h"
#include "cli/cmd.h"
#include "cli/podname.h"
#include "cli/top_draw.h"
#include "cli/top_text.h"
#include "plane/counters.h"
#include "plane/tally.h"

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

/*
 * Where the columns beside the name begin, from the right edge, and what the
 * name needs is taken from those on the left.
 */
enum {
	COL_ACTION,
	COL_OUT,
	COL_IN,
	COL_PACKETS,
	COL_LIVE,
	COL_UNREPLIED,
	COLUMNS_MAX
};
static const int edges[2][COLUMNS_MAX] = {
	{ 57, 46, 36, 26, 18, 10 }, { 39, 28, 18, 8 }, /* flows */
};

/* The first column that these rows leave room for. */
static int first_column(const struct top *top, enum top_section section,
			size_t from, size_t count)
{
	const struct top_list *list = &top->lists[section];
	const int *edge = edges[section == TOP_FLOWS];
	int last = section == TOP_FLOWS ? COL_PACKETS : COL_UNREPLIED;
	int first = section == TOP_PODS ? COL_OUT : COL_ACTION;
	size_t longest = 0;
	char text[PODNAME_STRLEN];

	for (size_t i = from; i < from + count && i < list->count; i++) {
		/* an address whole; the name behind it as far as it goes */
		size_t length = strlen(top_name(top, section, &list->rows[i],
						text, sizeof(text)));

		if (length > longest)
			longest = length;
	}
	while (first < last && COLS - edge[first] < (int)longest)
		first++;
	return first;
}

/*
 * What has no room as a whole is never cut to look like another one: a flow
 * loses its source, and says so; "~" stands for whatever else is missing.
 */
static const char *fit(char *name, int width)
{
	const char *to = strstr(name, " > ");
	size_t length = strlen(name);

	if (width < 1 || length <= (size_t)width)
		return name;
	if (to) {
		size_t proto = strcspn(name, " ");
		size_t rest = strlen(to);

		if (proto + 4 + rest <= (size_t)width) {
			memmove(name + proto + 4, to, rest + 1);
			memcpy(name + proto, " ...", 4);
			return name;
		}
		memmove(name, to + 1, rest);
		length = rest - 1;
	}
	if (length > (size_t)width) {
		name[width - 1] = '~';
		name[width] = '\0';
	}
	return name;
}

static void draw_title(const struct screen *s, int y, enum top_section section,
		       int first)
{
	const struct top_list *list = &s->top->lists[section];

	attrset(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	if (section == TOP_FLOWS && s->top->matched > list->count)
		put(y, 0, COLS, "%s (first %zu of %llu)", top_titles[section],
		    list->count, (unsigned long long)s->top->matched);
	else
		put(y, 0, COLS, "%s (%zu)", top_titles[section], list->count);
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
	if (section != TOP_PODS && first <= COL_ACTION)
		put_number(y, section == TOP_FLOWS ? 38 : 56, 10, "ACTION");
	if (first <= COL_OUT)
		put_number(y, section == TOP_FLOWS ? 27 : 45, 9, "OUT/s");
	if (first <= COL_IN)
		put_number(y, section == TOP_FLOWS ? 17 : 35, 9, "IN/s");
	if (first > COL_PACKETS)
		goto live;
	put_number(y, section == TOP_FLOWS ? 7 : 25, 7, "PKT/s");
	if (section == TOP_FLOWS)
		return;
live:
	if (first <= COL_LIVE)
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
	put(y, 24, 8, "%8s",
	    top_count_text(row->rate.packets, text, sizeof(text)));
	put(y, 33, 10, "%10llu", (unsigned long long)row->total);
	set_colour(PLAIN);
	put(y, 45, COLS - 45, "%s",
	    *reason->todo ? reason->todo : reason->what);
}

static void draw_row(const struct top *top, int y, enum top_section section,
		     const struct top_row *row, int first)
{
	int shift = section == TOP_FLOWS ? 0 : 18, width;
	const char *action = top_row_action(top, section, row);
	char text[PODNAME_STRLEN];

	if (section == TOP_DROPS) {
		draw_drop(top, y, row);
		return;
	}
	width = COLS - (is_narrow() ? 10 : edges[section == TOP_FLOWS][first]);
	set_colour(section == TOP_FLOWS && row->unreplied ? BAD : PLAIN);
	top_label(top, section, row, text, sizeof(text));
	put(y, 0, width, "%s", fit(text, width));
	set_colour(PLAIN);
	if (is_narrow()) {
		put_number(y, 9, 9,
			   top_bytes_text(top, row->rate.out_bytes, text,
					  sizeof(text)));
		return;
	}
	set_colour(!strcmp(action, "keep") ? NOTE : PLAIN);
	if (first <= COL_ACTION)
		put_number(y, 38 + shift, 10, action);
	set_colour(PLAIN);
	if (first <= COL_OUT)
		put_number(y, 27 + shift, 9,
			   top_bytes_text(top, row->rate.out_bytes, text,
					  sizeof(text)));
	if (first <= COL_IN)
		put_number(y, 17 + shift, 9,
			   top_bytes_text(top, row->rate.in_bytes, text,
					  sizeof(text)));
	if (first <= COL_PACKETS)
		put_number(y, 7 + shift, 7,
			   top_count_text(row->rate.packets, text,
					  sizeof(text)));
	if (section == TOP_FLOWS)
		return;
	if (first <= COL_LIVE)
		put_number(y, 17, 7,
			   human_count(row->live, text, sizeof(text)));
	set_colour(row->unreplied ? BAD : PLAIN);
	put_number(y, 9, 9, human_count(row->unreplied, text, sizeof(text)));
	set_colour(PLAIN);
}

/* What is cut there says so. */
static void __attribute__((format(printf, 3, 4)))
put_marked(int y, int width, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (width > 0 && strlen(text) > (size_t)width)
		strcpy(text + width - 1, "~");
	put(y, 0, width, "%s", text);
}

/* What status says: by colour, and what is worst in a line of its own. */
static void draw_verdict(const struct verdict *v)
{
	const struct verdict_item *worst = verdict_worst(v);

	attrset(A_BOLD);
	if (worst)
		set_colour(worst->level == VERDICT_BAD ? BAD : NOTE);
	put(0, 0, COLS, "masqbpf");
	if (worst)
		put_marked(2, COLS - 1, "%s: %s: %s",
			   verdict_level_name(v->level), worst->what,
			   worst->text);
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
		    top_count_text(top->drops, drops, sizeof(drops)));
		put(1, 0, COLS, "out %s/s  in %s/s",
		    human_bytes(top->sum.out_bytes + 0.5, out, sizeof(out)),
		    human_bytes(top->sum.in_bytes + 0.5, in, sizeof(in)));
		return;
	}
	draw_verdict(&top->verdict);
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
	    top_count_text(top->sum.packets, packets, sizeof(packets)),
	    top_count_text(top->sum.flows, flows, sizeof(flows)));
	set_colour(top->drops > 0 ? BAD : PLAIN);
	put(1, getcurx(stdscr), COLS, "   drops %s/s",
	    top_count_text(top->drops, drops, sizeof(drops)));
	set_colour(PLAIN);
}

#define PAUSE "space pause"

static void draw_foot(const struct screen *s)
{
	const struct top *top = s->top;
	char sort[32];
	const char *const keys[] = { "q quit",	  "? help", "/ filter",
				     "0-4 lists", sort,	    "r reverse",
				     PAUSE };
	int y = LINES - 1, x;

	attrset(A_REVERSE);
	mvhline(y, 0, ' ', COLS);
	if (s->types) {
		put(y, 0, COLS, "filter: %s_", s->typed);
		put(y, getcurx(stdscr), COLS,
		    "   (address, prefix, part of a name; Enter, Esc)");
		attrset(A_NORMAL);
		return;
	}
	if (s->paused)
		put(y, 0, COLS, "PAUSED, space goes on  ");
	if (*top->filter.text)
		put(y, s->paused ? getcurx(stdscr) : 0, COLS,
		    "filter: %s (Esc: none)  ", top->filter.text);
	snprintf(sort, sizeof(sort), "s sort:%s%s", top->reverse ? "-" : "",
		 top_key_name(top->key));
	x = s->paused || *top->filter.text ? getcurx(stdscr) : 0;
	for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
		int width = strlen(keys[i]);

		/* a key that is half there is none */
		if (x + width > COLS || (s->paused && !strcmp(keys[i], PAUSE)))
			continue;
		put(y, x, width, "%s", keys[i]);
		x += width + 2;
	}
	attrset(A_NORMAL);
}

/* In 24 lines. */
static void draw_help(void)
{
	static const char *const lines[] = {
		"q          quit",
		"? h        these keys",
		"/          filter: an address, a prefix (10.44.0.0/16), or a",
		"           part of a row, of a pod's name (shop/) say; Esc: none",
		"0          all lists",
		"1 2 3 4    prefixes, pods, flows, drops alone; Tab: the next",
		"s          sort by rate, packets, flows, unreplied, name",
		"r          the other way round",
		"space      stop and go on",
		"arrows     scroll a list that is alone; PgUp, PgDn: by pages",
		"",
		"red: sent and never answered, or dropped right now",
		"",
		"any key goes back",
	};

	attrset(A_REVERSE);
	mvhline(HEAD_LINES, 0, ' ', COLS);
	put(HEAD_LINES, 0, COLS, "KEYS");
	attrset(A_NORMAL);
	for (size_t i = 0; i < sizeof(lines) / sizeof(*lines) &&
			   HEAD_LINES + 1 + (int)i < LINES - FOOT_LINES;
	     i++)
		put(HEAD_LINES + 1 + i, 0, COLS, "%s", lines[i]);
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
		int first = first_column(s->top, section, 0, rows[section]);

		draw_title(s, y++, section, first);
		for (int i = 0; i < rows[section] && y < LINES - FOOT_LINES;
		     i++)
			draw_row(s->top, y++, section,
				 &s->top->lists[section].rows[i], first);
	}
}

static void draw_one(struct screen *s)
{
	const struct top_list *list = &s->top->lists[s->section];
	size_t room = LINES > HEAD_LINES + FOOT_LINES + 1
			      ? LINES - HEAD_LINES - FOOT_LINES - 1
			      : 1;
	int first;

	if (s->scroll + room > list->count)
		s->scroll = list->count > room ? list->count - room : 0;
	first = first_column(s->top, s->section, s->scroll, room);
	draw_title(s, HEAD_LINES, s->section, first);
	for (size_t i = 0; i < room && s->scroll + i < list->count; i++)
		draw_row(s->top, HEAD_LINES + 1 + i, s->section,
			 &list->rows[s->scroll + i], first);
}

void top_draw(struct screen *s)
{
	erase();
	draw_head(s);
	if (s->helps)
		draw_help();
	else if (s->section == ALL_SECTIONS)
		draw_all(s);
	else
		draw_one(s);
	draw_foot(s);
	refresh();
}

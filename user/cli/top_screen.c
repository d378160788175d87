// SPDX-License-Identifier: GPL-2.0-only
/* top_screen.c - the live screen: its keys, when it looks, how it ends. */
#include <errno.h>
#include <locale.h>
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/color.h"
#include "base/log.h"
#include "cli/cmd.h"
#include "cli/top.h"
#include "cli/top_draw.h"
#include "cli/top_screen.h"

/* Looking may take this share of the time: a full table is a long walk. */
#define LOOKING_SHARE 0.2

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void set_filter(struct screen *s, const char *text)
{
	if (!strcmp(text, s->top->filter.text))
		return;
	top_filter_set(s->top, text);
	s->scroll = 0;
	s->again = true;
}

static void on_typed(struct screen *s, int key)
{
	size_t length = strlen(s->typed);

	switch (key) {
	case '\n':
	case '\r':
	case KEY_ENTER:
		set_filter(s, s->typed);
		s->types = false;
		break;
	case 27: /* Escape: as it was */
		s->types = false;
		break;
	case KEY_BACKSPACE:
	case '\b':
	case 127:
		s->typed[length - !!length] = '\0';
		break;
	case 'U' & 31: /* ^U */
		*s->typed = '\0';
		break;
	default:
		if (key > ' ' && key < 127 && length + 1 < sizeof(s->typed)) {
			s->typed[length] = key;
			s->typed[length + 1] = '\0';
		}
	}
}

/* False: quit. */
static bool on_key(struct screen *s, int key)
{
	int lines = LINES - HEAD_LINES - FOOT_LINES - 1;
	size_t page = lines > 1 ? lines : 1;

	if (key == KEY_RESIZE)
		return true;
	if (s->types) {
		on_typed(s, key);
		return true;
	}
	if (s->helps && key != 'q') {
		s->helps = false;
		return true;
	}
	switch (key) {
	case 'q':
		return false;
	case 27: /* Escape */
		if (!*s->top->filter.text)
			return false;
		set_filter(s, "");
		break;
	case '?':
	case 'h':
		s->helps = true;
		break;
	case '/':
		s->types = true;
		snprintf(s->typed, sizeof(s->typed), "%s", s->top->filter.text);
		break;
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

		if ((left <= 0 && !s->paused) || s->again) {
			s->again = false;
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
		top_draw(s);
		timeout(s->paused || left > 1 ? 1000 : left * 1000 + 1);
		key = getch();
		if (key != ERR && !on_key(s, key))
			break;
	}
	return err;
}

int run_screen(struct top *top, double interval)
{
	struct sigaction on_stop = { .sa_handler = stop };
	struct screen s = { .top = top,
			    .interval = interval,
			    .section = ALL_SECTIONS };
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
	if (color_is_on(stdout) && has_colors()) {
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

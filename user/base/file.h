/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * file.h - reading a whole text file that somebody named, within bounds; and a
 * directory, of which "that was all" and "it cannot be read" are two answers.
 */
#ifndef MASQ_FILE_H
#define MASQ_FILE_H

#include <dirent.h>
#include <stddef.h>

/* 100,000 prefixes, each with a comment, fit in. */
#define FILE_MAX (16 << 20)

/*
 * Reads FILE ("-": standard input) whole. 0 and *text (a NUL is added behind
 * it; free it), or -errno and the clause in err: "no such file". Only regular
 * files: a FIFO or a device could keep us waiting or never end.
 */
int file_read(const char *path, char **text, size_t *length, char *err,
	      size_t errlen);

/* readdir(); NULL with *err 0: that was all, or -errno: it cannot be read. */
struct dirent *file_next(DIR *dir, int *err);

#endif

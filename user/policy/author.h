/* SPDX-License-Identifier: GPL-2.0-only */
/* author.h - who runs this process, and by which command line. */
#ifndef MASQ_POLICY_AUTHOR_H
#define MASQ_POLICY_AUTHOR_H

#include <stddef.h>

/* "root (login alice)", "uid 1000". */
void author_who(char *buf, size_t len);
/* Its words, the program without its path. */
void author_command(char *buf, size_t len);

/*
 * In the environment of a child: the line that people typed, where we run
 * ourselves for it.
 */
#define AUTHOR_ENV "MASQBPF_TYPED"
/* What author_command says from now on instead; NULL: the command line. Not
 * copied. */
void author_set_command(const char *command);

#endif

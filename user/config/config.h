/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * config.h - from a file, a text or the name of a preset to settings. No kernel
 * calls here: the same code serves `check`, `plan`, `attach` and the agent.
 */
#ifndef MASQ_CONFIG_H
#define MASQ_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include "config/settings.h"

/*
 * Reads FILE ("-": standard input). 0 and *out (owned by the caller, freed by
 * config_free), or -errno and in err a line for each thing that is wrong, in
 * the order of the file: "FILE:LINE:COL: what: why", with newlines between
 * them; lines without room in it are counted in the last one. *out is left alone
 * on failure.
 */
int config_load(const char *path, const struct config_options *options,
		struct config **out, char *err, size_t errlen);
/* The same from memory; name stands for the path in messages. */
int config_parse(const char *text, size_t length, const char *name,
		 const struct config_options *options, struct config **out,
		 char *err, size_t errlen);
/* The same; *errors: how many things are wrong, those without room included. */
int config_parse_counted(const char *text, size_t length, const char *name,
			 const struct config_options *options,
			 struct config **out, char *err, size_t errlen,
			 size_t *errors);
int config_preset(const char *name, struct config **out, char *err,
		  size_t errlen);
/* The first line of what config_parse_counted says; returns buf. */
const char *config_brief(const char *err, size_t errors, char *buf, size_t len);
/*
 * May it take the place of a policy that runs? Not where no known key is set:
 * a misspelt one would give the preset, which nobody has asked for. 0, or
 * -EINVAL with a complete line in err.
 */
int config_may_replace(const struct config *config, char *err, size_t errlen);
/* Tells one text from another; never 0. */
uint64_t config_hash(const char *text, size_t length);

#endif

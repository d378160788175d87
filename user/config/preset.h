/* SPDX-License-Identifier: GPL-2.0-only */
/* preset.h - the built-in lists of nonMasqueradeCIDRs. */
#ifndef MASQ_CONFIG_PRESET_H
#define MASQ_CONFIG_PRESET_H

struct preset {
	const char *name;
	const char *keep[12]; /* ended by NULL */
};

/* NULL: the default one. What is returned is static; NULL: there is none. */
const struct preset *preset_find(const char *name);
/* Comma-separated names for --help and messages. */
const char *config_preset_names(void);

#endif

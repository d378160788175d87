/* SPDX-License-Identifier: GPL-2.0-only */
/* check.h - what only the config as a whole can tell. */
#ifndef MASQ_CONFIG_CHECK_H
#define MASQ_CONFIG_CHECK_H

#include "config/loader.h"

/* 0 or -errno, said. */
int config_check(struct loader *l);
/* A part of it: the settings that are no lists. */
int config_check_settings(struct loader *l);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* keys.h - every key of the config file. */
#ifndef MASQ_CONFIG_KEYS_H
#define MASQ_CONFIG_KEYS_H

#include "config/loader.h"

/* The mapping at the top with all that is in it. 0 or -errno, said. */
int config_read_keys(struct loader *l, const struct node *root);

#endif

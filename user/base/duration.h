/* SPDX-License-Identifier: GPL-2.0-only */
/* duration.h - spans of time as Go's time.ParseDuration reads them. */
#ifndef MASQ_BASE_DURATION_H
#define MASQ_BASE_DURATION_H

#include <stddef.h>
#include <stdint.h>

/* Go duration ("1h30m", "1.5h", ".5s", "500ms"); 0 or -EINVAL with err. */
int duration_parse(const char *text, uint64_t *ns, char *err, size_t errlen);
/* As people write it: "1h30m", "90s" as "1m30s", "1.5s", "500ms"; returns buf. */
#define DURATION_STRLEN 32
const char *duration_format(uint64_t ns, char buf[static DURATION_STRLEN]);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/* notify.h - the service manager's notify protocol, sd_notify(3). */
#ifndef MASQ_AGENT_NOTIFY_H
#define MASQ_AGENT_NOTIFY_H

#include <stdint.h>

/* Connects to $NOTIFY_SOCKET. The descriptor; -1: nobody wants to know. */
int notify_open(void);
/* Sends "READY=1" and the like; several lines in one text. */
void notify(int fd, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* RELOADING=1 with the time that systemd wants beside it. */
void notify_reloading(int fd);
/* How often WATCHDOG=1 is due; 0: never. */
uint64_t notify_watchdog_ms(void);

#endif

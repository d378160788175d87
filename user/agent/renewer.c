// SPDX-License-Identifier: GPL-2.0-only
/* renewer.c - both ends of its socket, and when it is asked. */
#include <cap-ng.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include "agent/due.h"
#include "agent/renewer.h"
#include "agent/sandbox.h"
#include "base/log.h"
#include "plane/adopt.h"
#include "plane/fit.h"
#include "plane/probe.h"

/* Nobody tells when a module is loaded. */
#define LOOK_MS 2000
/* It was asked, and there was nothing that it could do. */
#define NOTHING_MS 600000

/* --- the privileged end ------------------------------------------------ */

/*
 * The agent has the lock. Nothing is open here between two requests: a table
 * that another one has taken the place of would stay in memory.
 */
static int renew(struct instance *instance)
{
	const struct instance_options as_it_is = {};
	int err = instance_adopt(instance) ?: instance_fit(instance, &as_it_is);

	maps_close(instance);
	maps_none(instance);
	return err;
}

static void serve(struct instance *instance, int fd)
{
	char request;

	while (recv(fd, &request, sizeof(request), 0) == sizeof(request)) {
		int32_t answer = renew(instance);

		if (send(fd, &answer, sizeof(answer), MSG_NOSIGNAL) < 0)
			break;
	}
}

static void be_renewer(struct agent *a, int fd)
{
	struct instance own = *a->instance;

	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	prctl(PR_SET_NAME, "masqbpf-renewer");
	/* the helper has to hear when the agent has ended */
	close(a->helper.fd);
	instance_unmap_prefixes(&own);
	maps_close(&own);
	maps_none(&own);
	if (!sandbox_renewer())
		serve(&own, fd);
}

/* --- the agent's end --------------------------------------------------- */

static bool is_of_use(const struct instance *instance)
{
	uint32_t features = instance->meta.features;

	if (!(features & MASQ_FEAT_LOOP) ||
	    (features & MASQ_FEAT_CT && !probe_conntrack_module()))
		return false;
	return !capng_get_caps_process() &&
	       capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
}

void renewer_start(struct agent *a)
{
	int fds[2], err;
	pid_t pid;

	if (!is_of_use(a->instance))
		return;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		err = -errno;
		goto fail;
	}
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(fds[0]);
		close(fds[1]);
		goto fail;
	}
	if (!pid) {
		close(fds[0]);
		be_renewer(a, fds[1]);
		_exit(0);
	}
	close(fds[1]);
	a->renewer.fd = fds[0];
	a->renewer.pid = pid;
	return;
fail:
	log_warn("agent: cannot start what renews the programs when "
		 "nf_conntrack comes: %s",
		 strerror(-err));
}

/* 1: other programs are in place; 0: nothing was to be done; -errno. */
static int ask(struct agent *a)
{
	const struct helper *renewer = &a->renewer;
	char request = 0;
	int32_t answer;
	int err;

	if (send(renewer->fd, &request, sizeof(request), MSG_NOSIGNAL) !=
	    sizeof(request))
		return -EPIPE;
	err = renewer->wait ? renewer->wait(renewer->data, renewer->fd) : 0;
	if (err)
		return err;
	if (recv(renewer->fd, &answer, sizeof(answer), 0) != sizeof(answer))
		return -EPIPE;
	return answer;
}

uint64_t renewer_due_ms(const struct agent *a)
{
	return a->renewer.fd < 0 || !a->has_policy ||
			       a->instance->meta.features & MASQ_FEAT_CT
		       ? UINT64_MAX
		       : a->renew_due_ms;
}

void renewer_update(struct agent *a)
{
	uint64_t now = follow_now_ms();
	int err;

	if (now < renewer_due_ms(a))
		return;
	a->renew_due_ms = now + LOOK_MS;
	if (!probe_conntrack_module() || agent_lock(a))
		return;
	err = ask(a);
	if (err == 1)
		agent_renew_now(a);
	instance_unlock(a->instance);
	if (err == -ECANCELED)
		return;
	if (err == -EPIPE) {
		log_warn("agent: what renews the programs is gone: `masqbpf "
			 "attach IFACE` as root does it");
		close(a->renewer.fd);
		a->renewer.fd = -1;
		return;
	}
	a->renew_failures = err < 0 ? a->renew_failures + 1 : 0;
	a->renew_due_ms =
		follow_now_ms() + (err < 0 ? agent_backoff_ms(a->renew_failures)
				   : err   ? LOOK_MS
					   : NOTHING_MS);
}

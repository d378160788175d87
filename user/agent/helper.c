// SPDX-License-Identifier: GPL-2.0-only
/*
 * helper.c - both ends of the socket between the agent and its
 * privileged process. A request has one size and a number that says what to
 * do; a link is named by what the kernel told the agent about it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "agent/helper.h"
#include "agent/sandbox.h"
#include "base/fds.h"
#include "base/log.h"
#include "plane/beside.h"
#include "plane/fit.h"
#include "plane/putback.h"
#include "policy/saved.h"
#include "takeover/takeover.h"

/* Of others that translate; one is enough for the alarm. */
#define RULES_MAX 256

enum verb {
	VERB_LOOK = 1,
	VERB_ATTACH,
	VERB_FAST,
	VERB_WATCH,
	VERB_UNWATCH,
	VERB_PRUNE,
	VERB_FOREIGN,
	VERB_FIT,
	VERB_RENEW,
	VERB_DETACH,
	VERB_NAMES,
	VERB_SAVE,
	VERB_PUTBACK,
};

struct request {
	uint32_t verb;
	uint32_t kind; /* enum hook_kind */
	uint32_t seed; /* enum seed_keep */
	uint32_t locked; /* RENEW: the agent has the lock */
	uint32_t begin; /* NAMES: from the first file on */
	uint64_t lease_ns; /* FAST */
	struct netdev_link link;
	struct instance_options want; /* FIT */
};

struct answer {
	int32_t error;
	uint32_t renewed; /* so many descriptors of the instance come next */
	uint32_t files; /* NAMES: so many come next, opened */
	uint32_t kind;
	uint32_t whole;
	uint32_t seeded;
	int32_t unreadable;
	struct fastpath_sum fast;
	uint32_t rule_count; /* only so many are sent */
	struct foreign_rule rules[RULES_MAX];
};

static size_t answer_size(const struct answer *answer)
{
	return offsetof(struct answer, rules[answer->rule_count]);
}

/* --- the privileged end ------------------------------------------------ */

static int look(const struct instance *instance, const struct request *request,
		struct answer *answer)
{
	struct hook_set set;
	int err = hook_find(instance, &request->link, &set);

	if (err)
		return err;
	answer->kind = hook_set_kind(&set);
	answer->whole = hook_set_whole(&set);
	return 0;
}

/* While flows are taken over: has the agent ended? */
static bool is_gone(void *fd)
{
	struct pollfd asker = { .fd = *(int *)fd, .events = POLLRDHUP };

	return poll(&asker, 1, 0) > 0;
}

static int attach(struct instance *instance, const struct request *request,
		  struct answer *answer, int fd)
{
	enum hook_kind kind = request->kind;
	int err, turn = hook_turn();
	struct hook_set added;
	bool seeded = false;

	err = hook_prune(instance) ?:
	      hook_check(instance, &request->link, &kind) ?:
	      takeover_attach(instance, &request->link, kind, request->seed,
			      &added, &seeded, is_gone, &fd);
	if (turn >= 0)
		close(turn);
	answer->kind = kind;
	answer->whole = !err;
	answer->seeded = seeded;
	return err;
}

static int detach(struct instance *instance, const struct request *request)
{
	struct hook_set set;

	return hook_find(instance, &request->link, &set)
		       ?: hook_detach(instance, &request->link, &set);
}

static int fast(struct instance *instance, const struct request *request,
		struct answer *answer)
{
	struct fastpath_view view = {};
	struct netdev *netdev = NULL;
	int err;

	if (!request->lease_ns)
		return fastpath_stop(instance);
	err = hook_prune(instance) ?:
	      netdev_read(&netdev) ?:
	      fastpath_sync(instance, netdev, request->lease_ns, &view);
	fastpath_sum_up(&view, &answer->fast);
	free(view.links);
	netdev_free(netdev);
	return err;
}

static int put_back(struct instance *instance, struct answer *answer)
{
	int ret = putback(instance);

	answer->whole = ret > 0;
	return ret < 0 ? ret : 0;
}

static int find_foreign(struct answer *answer)
{
	struct foreign_nat nat;
	int err = foreign_nat_find(&nat);

	for (size_t i = 0; i < nat.count; i++)
		if (nat.rules[i].reached && answer->rule_count < RULES_MAX)
			answer->rules[answer->rule_count++] = nat.rules[i];
	answer->unreadable = nat.unreadable;
	if (answer->rule_count == RULES_MAX && !nat.unreadable)
		answer->unreadable = -E2BIG;
	foreign_nat_free(&nat);
	return err;
}

/* --- files of pods' names ------------------------------------------------ */

#define FILES_AT_ONCE 64

/* The next ones, unread: what is in them others may have a say in. */
static void open_names(const struct request *request, struct answer *answer,
		       int *files)
{
	static DIR *names;
	static size_t seen;
	size_t passed = 0;
	int fd = -1;

	if (request->begin) {
		if (names)
			closedir(names);
		names = opendir(cni_dir());
		seen = 0;
	}
	while (names && answer->files < FILES_AT_ONCE && seen < CNI_FILES &&
	       (fd = cni_open_next(names, &passed)) >= 0) {
		files[answer->files++] = fd;
		seen++;
	}
	if (names && answer->files < FILES_AT_ONCE) {
		closedir(names);
		names = NULL;
	}
}

/* They are read and closed. 0, -ENOMEM, -EPIPE. */
static int receive_files(int fd, size_t count, struct cni *cni)
{
	uint8_t byte;
	int files[FILES_AT_ONCE], err;

	if (count > FILES_AT_ONCE)
		return -EPIPE;
	err = fds_receive(fd, &byte, 1, files, count);
	if (err)
		return err;
	for (size_t i = 0; i < count; i++) {
		err = err ?: cni_add(cni, files[i]);
		close(files[i]);
	}
	return err;
}

/* --- descriptors of an instance ------------------------------------------ */

#define FDS (MASQ_MAP_COUNT + MASQ_PROG_COUNT)

/* Of all maps, and of the programs that are loaded: so many descriptors. */
static size_t pack(const struct instance *instance, int fds[FDS])
{
	size_t count = MASQ_MAP_COUNT;

	memcpy(fds, instance->map, sizeof(instance->map));
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		if (!prog_is_left_out(&instance->meta, i))
			fds[count++] = instance->prog[i];
	return count;
}

static void unpack(struct instance *instance, const int fds[FDS])
{
	size_t count = MASQ_MAP_COUNT;

	memcpy(instance->map, fds, sizeof(instance->map));
	for (int i = 0; i < MASQ_PROG_COUNT; i++)
		instance->prog[i] = prog_is_left_out(&instance->meta, i)
					    ? -1
					    : fds[count++];
}

static int send_instance(int fd, const struct instance *instance)
{
	int fds[FDS];
	size_t count = pack(instance, fds);

	return fds_send(fd, &instance->meta, sizeof(instance->meta), fds,
			count);
}

/* What *instance has open becomes what comes there: so many descriptors. */
static int receive_instance(int fd, struct instance *instance, size_t count)
{
	struct instance fresh = *instance;
	int fds[FDS], all[FDS];
	int err = count > FDS ? -EPIPE
			      : fds_receive(fd, &fresh.meta, sizeof(fresh.meta),
					    fds, count);

	if (err)
		return err;
	if (count != pack(&fresh, all)) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return -EPIPE;
	}
	unpack(&fresh, fds);
	fresh.prefixes = NULL;
	err = instance_map_prefixes(&fresh, instance->writable);
	if (err) {
		maps_close(&fresh);
		return err;
	}
	instance_unmap_prefixes(instance);
	maps_close(instance);
	*instance = fresh;
	return 0;
}

/* It is asked for every second: what fails the same way again is said once. */
static int renew(struct instance *instance, bool locked)
{
	static int said;
	const int muted = said, level = log_level;
	int err;

	if (muted)
		log_level = -2;
	err = instance_renew(instance, locked);
	log_level = level;
	said = err < 0 && (!muted || err == muted) ? err : 0;
	return err;
}

static int fit(struct instance *instance, const struct request *request,
	       struct answer *answer)
{
	int err = request->verb == VERB_FIT
			  ? instance_fit(instance, &request->want)
			  : renew(instance, request->locked);
	int fds[FDS];

	if (err > 0)
		answer->renewed = pack(instance, fds);
	return err < 0 ? err : 0;
}

static void serve(struct instance *instance, int fd,
		  const struct saved_place *place)
{
	struct request request;

	while (recv(fd, &request, sizeof(request), 0) == sizeof(request)) {
		struct answer answer = {};
		int files[FILES_AT_ONCE], err;
		const uint8_t byte = 0;

		request.link.name[sizeof(request.link.name) - 1] = '\0';
		if (request.kind > HOOK_AUTO || request.seed > SEED_KEEP_ALL)
			answer.error = -EINVAL;
		else if (request.verb == VERB_LOOK)
			answer.error = look(instance, &request, &answer);
		else if (request.verb == VERB_ATTACH)
			answer.error = attach(instance, &request, &answer, fd);
		else if (request.verb == VERB_DETACH)
			answer.error = detach(instance, &request);
		else if (request.verb == VERB_FAST)
			answer.error = fast(instance, &request, &answer);
		else if (request.verb == VERB_WATCH)
			answer.error = beside_attach(instance, &request.link);
		else if (request.verb == VERB_UNWATCH)
			answer.error = beside_detach(instance, &request.link);
		else if (request.verb == VERB_PRUNE)
			answer.error = hook_prune(instance);
		else if (request.verb == VERB_PUTBACK)
			answer.error = put_back(instance, &answer);
		else if (request.verb == VERB_SAVE)
			answer.error = saved_write(instance, place);
		else if (request.verb == VERB_FOREIGN)
			answer.error = find_foreign(&answer);
		else if (request.verb == VERB_FIT || request.verb == VERB_RENEW)
			answer.error = fit(instance, &request, &answer);
		else if (request.verb == VERB_NAMES)
			open_names(&request, &answer, files);
		else
			answer.error = -EINVAL;
		err = send(fd, &answer, answer_size(&answer), 0) < 0;
		if (!err && answer.renewed)
			err = send_instance(fd, instance);
		if (!err && answer.files)
			err = fds_send(fd, &byte, 1, files, answer.files);
		for (uint32_t i = 0; i < answer.files; i++)
			close(files[i]);
		if (err)
			break;
	}
}

/* While it may be made: a helper that has no place cannot open it later. */
static void open_place(const struct instance *instance,
		       struct saved_place *place)
{
	for (int tries = AGENT_TRIES; tries; tries--) {
		saved_open(instance->pin_dir, true, place);
		if (!place->err || !saved_is_wanted())
			return;
		usleep(AGENT_TRY_MS * 1000);
	}
}

int helper_start(struct instance *instance, struct helper *out)
{
	struct saved_place place;
	int fds[2], err;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds)) {
		err = -errno;
		goto fail;
	}
	open_place(instance, &place);
	pid = fork();
	if (pid < 0) {
		err = -errno;
		saved_close(&place);
		close(fds[0]);
		close(fds[1]);
		goto fail;
	}
	if (!pid) {
		/* it goes with the agent, and not by a signal to the group */
		signal(SIGTERM, SIG_IGN);
		signal(SIGINT, SIG_IGN);
		signal(SIGHUP, SIG_IGN);
		prctl(PR_SET_NAME, "masqbpf-helper");
		close(fds[0]);
		if (!sandbox_helper(place.dir))
			serve(instance, fds[1], &place);
		_exit(0);
	}
	saved_close(&place);
	close(fds[1]);
	*out = (struct helper){ .fd = fds[0], .pid = pid };
	return 0;
fail:
	log_error("agent: cannot start the helper: %s", strerror(-err));
	return err;
}

/* --- the agent's end --------------------------------------------------- */

static int ask(const struct helper *helper, const struct request *request,
	       struct answer *answer)
{
	int err;

	if (send(helper->fd, request, sizeof(*request), MSG_NOSIGNAL) !=
	    sizeof(*request))
		return -EPIPE;
	err = helper->wait ? helper->wait(helper->data, helper->fd) : 0;
	if (err)
		return err;
	if (recv(helper->fd, answer, sizeof(*answer), 0) <
	    (ssize_t)offsetof(struct answer, rules))
		return -EPIPE;
	return answer->error;
}

int helper_look(const struct helper *helper, const struct netdev_link *link,
		enum hook_kind *kind, bool *whole)
{
	struct request request = { .verb = VERB_LOOK, .link = *link };
	struct answer answer = {};
	int err = ask(helper, &request, &answer);

	*kind = err ? HOOK_AUTO : answer.kind;
	*whole = !err && answer.whole;
	return err;
}

int helper_attach(const struct helper *helper, const struct netdev_link *link,
		  enum hook_kind *kind, enum seed_keep seed_what, bool *seeded)
{
	struct request request = { .verb = VERB_ATTACH,
				   .kind = *kind,
				   .seed = seed_what,
				   .link = *link };
	struct answer answer = {};
	int err = ask(helper, &request, &answer);

	if (!err)
		*kind = answer.kind;
	*seeded = !err && answer.seeded;
	return err;
}

int helper_detach(const struct helper *helper, const struct netdev_link *link)
{
	struct request request = { .verb = VERB_DETACH, .link = *link };
	struct answer answer = {};

	return ask(helper, &request, &answer);
}

int helper_watch(void *helper, const struct netdev_link *link)
{
	struct request request = { .verb = VERB_WATCH, .link = *link };
	struct answer answer = {};

	return ask(helper, &request, &answer);
}

int helper_unwatch(void *helper, const struct netdev_link *link)
{
	struct request request = { .verb = VERB_UNWATCH, .link = *link };
	struct answer answer = {};

	return ask(helper, &request, &answer);
}

int helper_fast(const struct helper *helper, uint64_t lease_ns,
		struct fastpath_sum *out)
{
	struct request request = { .verb = VERB_FAST, .lease_ns = lease_ns };
	struct answer answer = {};
	int err = ask(helper, &request, &answer);

	*out = answer.fast;
	return err;
}

int helper_save(struct instance *instance, void *helper)
{
	struct request request = { .verb = VERB_SAVE };
	struct answer answer = {};

	(void)instance;
	return ask(helper, &request, &answer);
}

int helper_prune(const struct helper *helper)
{
	struct request request = { .verb = VERB_PRUNE };
	struct answer answer = {};

	return ask(helper, &request, &answer);
}

int helper_putback(const struct helper *helper)
{
	struct request request = { .verb = VERB_PUTBACK };
	struct answer answer = {};
	int err = ask(helper, &request, &answer);

	return err ?: (int)answer.whole;
}

static int ask_fit(const struct helper *helper, struct instance *instance,
		   const struct request *request)
{
	struct answer answer = {};
	int err = ask(helper, request, &answer);

	if (answer.renewed)
		err = receive_instance(helper->fd, instance, answer.renewed)
			      ?: err;
	return err;
}

int helper_fit(struct instance *instance, const struct instance_options *want,
	       void *helper)
{
	const struct request request = { .verb = VERB_FIT, .want = *want };

	return ask_fit(helper, instance, &request);
}

int helper_renew(const struct helper *helper, struct instance *instance,
		 bool locked)
{
	const struct request request = { .verb = VERB_RENEW, .locked = locked };

	return ask_fit(helper, instance, &request);
}

int helper_names(const struct helper *helper, struct cni **out)
{
	struct request request = { .verb = VERB_NAMES, .begin = 1 };
	struct cni *cni = cni_new();
	struct answer answer;
	int err;

	if (!cni)
		return -ENOMEM;
	do {
		answer = (struct answer){};
		err = ask(helper, &request, &answer);
		if (!err && answer.files)
			err = receive_files(helper->fd, answer.files, cni);
		request.begin = 0;
	} while (!err && answer.files == FILES_AT_ONCE);
	if (err) {
		cni_free(cni);
		return err;
	}
	cni_settle(cni);
	*out = cni;
	return 0;
}

int helper_foreign(const struct helper *helper, struct foreign_nat *out)
{
	struct request request = { .verb = VERB_FOREIGN };
	struct answer answer = {};
	int err = ask(helper, &request, &answer);

	*out = (struct foreign_nat){ .unreadable = answer.unreadable };
	if (err || !answer.rule_count)
		return err;
	out->rules = calloc(answer.rule_count, sizeof(*out->rules));
	if (!out->rules)
		return -ENOMEM;
	out->count = answer.rule_count;
	memcpy(out->rules, answer.rules, out->count * sizeof(*out->rules));
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * trial.c - sends, waits, reads. A frame by a packet socket that bypasses the
 * queueing discipline meets no hook of egress: it is neither translated nor
 * counted. The node's port is taken like a flow's, by a socket that is bound to
 * it and a record that reserves it; the pod's is one that no record has, above
 * those that systems choose, and is given up when the pod begins to use it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/random.h>
#include <sys/socket.h>
#include "base/log.h"
#include "kernel/caps.h"
#include "kernel/netdev.h"
#include "plane/clock.h"
#include "plane/ctl.h"
#include "plane/inside.h"
#include "plane/node.h"
#include "plane/trial.h"
#include "plane/trial_catch.h"

/* Above net.ipv4.ip_local_port_range as it comes. */
#define POD_PORT_FIRST 61000
#define PORT_TRIES     16
#define AGAIN_NS       UINT64_C(1000000000) /* as TCP sends its SYN again */
#define LOOK_MS	       20 /* does the pod use that port by now? */
#define NEIGHBOUR_MS   1000
#define SEND_TRIES     3

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

static uint32_t random32(void)
{
	uint32_t value = 0;

	if (getrandom(&value, sizeof(value), 0) != sizeof(value))
		value = now_ns();
	return value;
}

/* --- ports ----------------------------------------------------------------- */

static void to_ctl(const struct trial *t, uint32_t op, struct masq_ctl *ctl)
{
	*ctl = (struct masq_ctl){ .op = op, .prefix = MASQ_NO_PREFIX };
	ctl->family = t->source.family;
	ctl->proto = t->ends.proto;
	ctl->in_port = htons(t->ends.local_port);
	ctl->rem_port = htons(t->ends.remote_port);
	memcpy(ctl->in_addr, t->source.a, sizeof(ctl->in_addr));
	memcpy(ctl->rem_addr, t->dest.a, sizeof(ctl->rem_addr));
}

/* Has a flow these ends? 1, 0 or -errno. */
static int is_taken(struct instance *instance, const struct trial *t)
{
	struct masq_ctl ctl;
	int err;

	to_ctl(t, MASQ_CTL_FIND, &ctl);
	err = instance_ctl(instance, &ctl);
	return err ?: ctl.kind != 0;
}

/* A port of the node that nobody's socket has, taken by one of ours. */
static int bind_port(struct trial *t)
{
	bool v4 = t->source.family == 4;
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	struct sockaddr *addr = v4 ? (struct sockaddr *)&sin
				   : (struct sockaddr *)&sin6;
	socklen_t length = v4 ? sizeof(sin) : sizeof(sin6);
	const int yes = 1;

	memcpy(&sin.sin_addr, t->source.a, sizeof(sin.sin_addr));
	memcpy(&sin6.sin6_addr, t->source.a, sizeof(sin6.sin6_addr));
	t->socket =
		socket(v4 ? AF_INET : AF_INET6,
		       (t->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) |
			       SOCK_CLOEXEC,
		       0);
	if (t->socket < 0)
		return -errno;
	/* an address of snat.addresses may be the node's by a route alone */
	setsockopt(t->socket, v4 ? SOL_IP : SOL_IPV6,
		   v4 ? IP_FREEBIND : IPV6_FREEBIND, &yes, sizeof(yes));
	if (bind(t->socket, addr, length) ||
	    getsockname(t->socket, addr, &length))
		return -errno;
	t->ends.local_port = ntohs(v4 ? sin.sin_port : sin6.sin6_port);
	return 0;
}

static void release(struct instance *instance, struct trial *t)
{
	struct masq_ctl ctl;

	if (t->claimed) {
		to_ctl(t, MASQ_CTL_DELETE, &ctl);
		instance_ctl(instance, &ctl);
		t->claimed = false;
	}
	if (t->socket >= 0)
		close(t->socket);
	t->socket = -1;
}

/* Both ends, new numbers; what the node uses is reserved so long. */
static int claim(struct instance *instance, struct trial *t, uint64_t for_ns)
{
	bool icmp = t->proto == IPPROTO_ICMP;
	int err = -EADDRINUSE;

	for (int i = 0; i < PORT_TRIES; i++) {
		struct masq_ctl ctl;

		t->ends = (struct trial_ends){
			.proto = icmp && t->source.family == 6 ? IPPROTO_ICMPV6
							       : t->proto,
			.local = t->source,
			.remote = t->dest,
			.remote_port = t->port,
			.seq = icmp ? random32() & 0xffff : random32(),
		};
		if (icmp)
			t->ends.local_port = random32();
		else if (t->as_pod)
			t->ends.local_port =
				POD_PORT_FIRST +
				random32() % (65536 - POD_PORT_FIRST);
		else if ((err = bind_port(t)))
			break;
		if (t->as_pod) {
			err = is_taken(instance, t);
			if (!err)
				return 0;
			if (err < 0)
				break;
		} else {
			to_ctl(t, MASQ_CTL_SEED, &ctl);
			ctl.kind = MASQ_K_RESERVED;
			ctl.timeout = ns_to_ticks(instance, for_ns);
			err = instance_ctl(instance, &ctl);
			t->claimed = !err;
			/* no room for a record: the socket has to do */
			if (!err || err == -ENOSPC)
				return 0;
			if (err != -EEXIST)
				break;
		}
		release(instance, t);
		err = -EADDRINUSE;
	}
	release(instance, t);
	return err;
}

/* --- one attempt ------------------------------------------------------------- */

struct run {
	struct instance *instance;
	struct catch *catch;
	int out; /* sends frames */
	struct netdev *netdev;
	uint32_t *uplinks; /* that are attached */
	size_t uplink_count;
	uint64_t end_ns;
};

static void to_key(const struct trial_ends *ends, struct masq_attempt_key *key)
{
	*key = (struct masq_attempt_key){
		.family = ends->local.family,
		.proto = ends->proto,
		.local_port = htons(ends->local_port),
		.remote_port = htons(ends->remote_port),
	};
	memcpy(key->local, ends->local.a, sizeof(key->local));
	memcpy(key->remote, ends->remote.a, sizeof(key->remote));
}

static int watch(struct run *run, const struct trial *t)
{
	bool tcp = t->ends.proto == IPPROTO_TCP;
	struct masq_attempt attempt = {
		/* as long as any answer may need that was under way */
		.until_ns =
			run->end_ns + AGAIN_NS + run->instance->clock_shift_ns,
		.seq = htonl(t->ends.seq),
		.ack = htonl(t->ends.seq + 1),
	};
	struct masq_attempt_key key;

	if (!tcp) /* as the number in the packet, in two bytes */
		attempt.seq = htons(t->ends.seq);
	to_key(&t->ends, &key);
	return catch_add(run->catch, &key, &attempt);
}

static int send_packet(const struct run *run, const struct trial *t,
		       const uint8_t *packet, size_t length)
{
	struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_protocol =
			htons(t->source.family == 4 ? ETH_P_IP : ETH_P_IPV6),
		.sll_ifindex = t->way.ifindex,
		.sll_halen = t->way.has_mac ? sizeof(t->way.mac) : 0,
	};

	memcpy(to.sll_addr, t->way.mac, sizeof(t->way.mac));
	for (int i = 0; i < SEND_TRIES; i++) {
		if (sendto(run->out, packet, length, 0, (struct sockaddr *)&to,
			   sizeof(to)) >= 0)
			return 0;
		/* the card's queue is full for a moment */
		if (errno != ENOBUFS)
			break;
		poll(NULL, 0, 1);
	}
	return -errno;
}

static void finish(struct trial *t, enum trial_answer answer, int err)
{
	t->reply.answer = answer;
	t->err = err;
	t->waiting = false;
}

static void open_attempt(struct run *run, struct trial *t)
{
	uint8_t packet[TRIAL_PACKET_MAX];
	size_t length;
	int err;

	length = trial_opener(&t->ends, t->payload, t->payload_length, packet);
	if (!t->sent)
		t->sent_ns = now_ns();
	err = send_packet(run, t, packet, length);
	if (err) {
		finish(t, TRIAL_NOT_TRIED, err);
		return;
	}
	t->sent = true;
	t->again_ns = now_ns() + AGAIN_NS;
}

/* A reset takes back what the far side has of it. Not where it has more. */
static void take_back(struct run *run, struct trial *t)
{
	uint8_t packet[TRIAL_PACKET_MAX];
	struct masq_attempt_key key;

	if (t->sent && t->ends.proto == IPPROTO_TCP &&
	    (t->reply.answer == TRIAL_OPEN ||
	     t->reply.answer == TRIAL_NOTHING ||
	     t->reply.answer == TRIAL_NOT_TRIED)) {
		size_t length = trial_reset(&t->ends, packet);

		send_packet(run, t, packet, length);
	}
	if (t->sent) {
		to_key(&t->ends, &key);
		catch_del(run->catch, &key);
	}
	release(run->instance, t);
	t->sent = false;
}

static void begin(struct run *run, struct trial *t)
{
	uint64_t now = now_ns();
	int err;

	t->tries++;
	err = claim(run->instance, t,
		    run->end_ns > now ? run->end_ns - now + AGAIN_NS
				      : AGAIN_NS);
	if (!err)
		err = watch(run, t);
	if (err) {
		release(run->instance, t);
		finish(t, TRIAL_NOT_TRIED, err);
		return;
	}
	t->waiting = true;
	open_attempt(run, t);
}

/*
 * A VLAN's frames meet the hooks of the interface below: attached as well, it
 * would translate the pod's, or know the node's.
 */
static bool is_hooked_below(const struct run *run, uint32_t ifindex)
{
	const struct netdev_link *link = netdev_by_index(run->netdev, ifindex);

	for (int depth = 0; link && link->lower && depth < 8; depth++) {
		if (inside_is_uplink(run->uplinks, run->uplink_count,
				     link->lower))
			return true;
		link = netdev_by_index(run->netdev, link->lower);
	}
	return false;
}

/* Route, neighbour, and programs where its answer may pass. */
static int prepare(struct run *run, struct trial *t)
{
	uint64_t now = now_ns();
	uint64_t left = run->end_ns > now ? (run->end_ns - now) / 1000000 : 0;
	int err;

	t->socket = -1;
	t->reply = (struct trial_reply){};
	err = t->device ? way_find(&t->dest, &t->pod, t->device, &t->way)
			: way_find(&t->dest, &t->source, 0, &t->way);
	/* an address that is no interface's is no source of an own packet */
	if (err == -EINVAL && !t->device)
		err = way_find(&t->dest, NULL, 0, &t->way);
	if (!err)
		err = way_neighbour(&t->way,
				    left < NEIGHBOUR_MS ? left : NEIGHBOUR_MS);
	if (err) {
		finish(t, TRIAL_NO_WAY, err);
		return 0;
	}
	if (is_hooked_below(run, t->way.ifindex)) {
		finish(t, TRIAL_NOT_TRIED, -EOPNOTSUPP);
		return 0;
	}
	err = catch_hold(run->catch, t->way.ifindex, HOOK_INGRESS);
	if (!err && t->as_pod)
		err = catch_hold(run->catch, t->device, HOOK_EGRESS);
	return err;
}

/* --- all of them ------------------------------------------------------------- */

static void receive(struct run *run, struct trial *trials, size_t count)
{
	uint8_t packet[2048];
	ssize_t length;

	while ((length = recv(catch_socket(run->catch), packet, sizeof(packet),
			      0)) > 0) {
		for (size_t i = 0; i < count; i++) {
			struct trial *t = &trials[i];
			struct trial_reply reply;

			if (!t->waiting)
				continue;
			reply = trial_read(&t->ends, packet, length);
			if (reply.answer == TRIAL_NOTHING)
				continue;
			t->reply = reply;
			if (reply.answer == TRIAL_BUSY &&
			    t->tries < PORT_TRIES) {
				take_back(run, t);
				begin(run, t);
				break;
			}
			t->rtt_ms = (now_ns() - t->sent_ns) / 1e6;
			t->waiting = false;
			break;
		}
	}
}

/* Sends what was not answered again; gives up what the pod has taken. */
static size_t look_after(struct run *run, struct trial *trials, size_t count)
{
	size_t waiting = 0;

	for (size_t i = 0; i < count; i++) {
		struct trial *t = &trials[i];

		if (t->waiting && t->as_pod && is_taken(run->instance, t) > 0) {
			finish(t, TRIAL_BUSY, 0);
			take_back(run, t);
			if (t->tries < PORT_TRIES)
				begin(run, t);
		}
		if (t->waiting && now_ns() >= t->again_ns)
			open_attempt(run, t);
		waiting += t->waiting;
	}
	return waiting;
}

/* Signals wait until all is taken back (cmd_uninterrupted): has one come? */
static bool is_interrupted(void)
{
	sigset_t pending;

	return !sigpending(&pending) && (sigismember(&pending, SIGINT) == 1 ||
					 sigismember(&pending, SIGTERM) == 1 ||
					 sigismember(&pending, SIGHUP) == 1);
}

static int hold_uplinks(struct run *run)
{
	int err =
		node_uplinks(run->instance, &run->uplinks, &run->uplink_count);

	for (size_t i = 0; i < run->uplink_count && !err; i++) {
		err = catch_hold(run->catch, run->uplinks[i], HOOK_INGRESS);
		/* gone a moment ago: nothing comes in by it */
		if (err == -ENODEV)
			err = 0;
	}
	return err;
}

static int open_out(struct run *run)
{
	const int yes = 1;

	run->out = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (run->out < 0 || setsockopt(run->out, SOL_PACKET,
				       PACKET_QDISC_BYPASS, &yes, sizeof(yes)))
		return -errno;
	return 0;
}

int trials_run(struct instance *instance, struct trial *trials, size_t count,
	       unsigned int timeout_ms, void (*each)(void *data, size_t done),
	       void *data)
{
	struct run run = {
		.instance = instance,
		.out = -1,
		.end_ns = now_ns() + timeout_ms * UINT64_C(1000000),
	};
	bool interrupted = false;
	size_t waiting = 0;
	int err = catch_open(&run.catch);

	if (err)
		return err;
	err = open_out(&run) ?: hold_uplinks(&run) ?: netdev_read(&run.netdev);
	for (size_t i = 0; i < count && !err; i++)
		err = prepare(&run, &trials[i]);
	if (err) {
		log_error("probe: cannot be tried: %s",
			  caps_strerror(err, CAPS_NET_RAW | CAPS_NET_ADMIN));
		goto out;
	}
	for (size_t i = 0; i < count; i++)
		if (trials[i].reply.answer == TRIAL_NOTHING)
			begin(&run, &trials[i]);
	for (;;) {
		struct pollfd in = { .fd = catch_socket(run.catch),
				     .events = POLLIN };

		waiting = look_after(&run, trials, count);
		if (each)
			each(data, count - waiting);
		interrupted = is_interrupted();
		if (!waiting || interrupted || now_ns() >= run.end_ns)
			break;
		poll(&in, 1, LOOK_MS);
		receive(&run, trials, count);
	}
	for (size_t i = 0; i < count; i++) {
		if (trials[i].waiting && interrupted)
			finish(&trials[i], TRIAL_NOT_TRIED, -EINTR);
		trials[i].waiting = false;
		take_back(&run, &trials[i]);
	}
out:
	if (run.out >= 0)
		close(run.out);
	netdev_free(run.netdev);
	free(run.uplinks);
	catch_close(run.catch);
	return err;
}

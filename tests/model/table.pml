/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * table.pml - the protocol of the flow table (bpf/table.h, record.h, flow.h,
 * touch.h, port.h, nat.h, met.h) for spin, which tries every order of its steps:
 * two processors with packets and a cleaner (clock hand, flush, change of policy)
 * over a table of a few slots. docs/model.md says what it shows and what it leaves out;
 * tests/model/test_table.sh runs it.
 *
 * A step is a load or store of what processors share. What stands for a
 * function of bpf/ has a line "C: ..." with its name above it, a property one
 * "PROPERTY (...)" with the functions; test_table.sh looks whether they are there.
 *
 * Memory: as the program order says it (nothing defined); -DTSO: stores wait in
 * a queue, as on x86; -DWEAK: and leave it in any order that locks allow, as on
 * arm64. The program's own barriers follow (ARM: `#ifndef __TARGET_ARCH_x86`).
 *
 * The environment sets: MUTANT (one of the M_* below: a decision taken out),
 * PACKETS (of each processor), CLEANS (what the cleaner does), MAX_FLOWS, STARTS
 * (bits: what is there when it begins, see init).
 */

#ifndef SLOTS
#define SLOTS 3
#endif
#ifndef STRIPES
#define STRIPES 1 /* 2: FWD and KEEP records in one, REV in the other */
#endif
#ifdef WEAK
#define ARM 1
#else
#define ARM 0
#endif
#define CPUS 2
#define NONE 7 /* no slot */

/* addresses */
#define POD_A 1
#define POD_B 2
#define NODE  3

/* what a slot is, and the kinds */
#define FREE 0
#define MADE 1
#define LIVE 2
#define FWD  1
#define REV  2
#define KEEP 3

/* the word of a record: both pods use port 1, and so may a REV record */
#define WORD(port, what, kind, seq) \
	((port) | ((what) << 2) | ((kind) << 4) | ((seq) << 6))
#define PORT(w) ((w) & 3)
#define WHAT(w) (((w) >> 2) & 3)
#define KIND(w) (((w) >> 4) & 3)
#define SEQ(w)	((w) >> 6)
#define SHOWN(w) (((w) & ~(3 << 2)) | (LIVE << 2))

/*
 * What a record says: FWD the port, REV the pod, KEEP how many packets came
 * (the union of struct masq_flow4). With it, unknown to the program, for whom
 * it was written: the record's address and seq.
 */
#define SAYS(v, address, seq) ((v) | ((address) << 3) | ((seq) << 5))
#define SAID(x)	    ((x) & 7)
#define SAID_OF(x)  (((x) >> 3) & 3)
#define SAID_SEQ(x) ((x) >> 5)

/* the pair's other record: peer and peer_seq of struct masq_aside */
#define REF(slot, seq) ((slot) | ((seq) << 3))
#define REF_SLOT(r)    ((r) & 7)
#define REF_SEQ(r)     ((r) >> 3)

/* what was seen of the flow */
#define ANSWERED 1
#define RESET	 2

/* answers of make_record */
#define OURS	  0
#define THERE	  1
#define UNDER_WAY 2
#define NO_PLACE  3

/* decisions that MUTANT takes out */
#define M_NO_SECOND_LOOK  1 /* view() does not look at the word again */
#define M_NO_LOCK	  2
#define M_NO_ROLL_BACK	  3
#define M_OWNER_FIRST	  4 /* FWD is published before REV */
#define M_REMOVE_ANY	  5 /* remove() does not look at seq */
#define M_VIEW_WORD_ONLY  6 /* view() does not look at the addresses */
#define M_END_ANY	  7 /* flow_end_any() believes what lies aside */
#define M_ADVANCE_ANY	  8 /* and advance() */
#define M_CLOSED_LATE	  9 /* closed counted for who has the slot by then */
#define M_APPROVE_ANY	  11 /* generation written without a look at seq */
#define M_NEW_TWICE	  12 /* who came second counts the new flow as well */
#define M_COPY_EARLY	  13 /* the owner is read before REV's lock is had */
#define M_ACCOUNT_LATE	  14 /* counted when it is published already */
#define M_JOIN_LATE	  15 /* REV is published before it knows its owner */
#define M_REV_FIRST	  16 /* flow_end() removes REV before FWD */
#define M_COUNT_ANY	  17 /* a kept flow's packet counted without the lock */
/* these are seen on arm64 alone (-DWEAK) */
#define M_SHOW_PLAIN	  20 /* publish() without the lock */
#define M_ASIDE_PLAIN	  21 /* put_aside() without the lock */
#define M_END_UNORDERED	  22 /* flow_end() loads the peer before the word */
#define M_VIEW_UNORDERED  23 /* view() loads the body before the word */

c_decl {
	static int model_size(const char *name, int otherwise)
	{
		const char *s = getenv(name);

		return s && *s ? atoi(s) : otherwise;
	}
};
#ifndef PORTS
#define PORTS 1
#endif

/* --- what processors share ------------------------------------------------ */

short word[SLOTS];
byte addr[SLOTS];
short x[SLOTS];
byte seen[SLOTS];
short aside[SLOTS]; /* REF */
byte gen[SLOTS];
bit locked[STRIPES];

byte in_force = 1; /* generation in force: masq_active */
/* by generation: pod A was kept, is masqueraded, and will be kept again */
#define POLICY(g, pod) ((g) != 1 && (pod) == POD_A -> KEEP : FWD)

/* totals: masq_usage.flows, masq_pods */
short flows, kept, pod_flows[3], pod_closed[3];
/* nobody's but the model's */
byte news, owners, done;

#if STRIPES == 2
#define FROM(a)	   ((a) == NODE -> 2 : 0)
#define UP_TO(a)   ((a) == NODE -> SLOTS : 2)
#define LOCK_OF(s) ((s) >= 2)
#define LOCK_FOR(a) ((a) == NODE)
#else
#define FROM(a)	   0
#define UP_TO(a)   SLOTS
#define LOCK_OF(s) 0
#define LOCK_FOR(a) 0
#endif

/* --- memory ---------------------------------------------------------------- */

#if defined(WEAK) || defined(TSO)
#define F_WORD	 1
#define F_ADDR	 2
#define F_X	 3
#define F_SEEN	 4
#define F_ASIDE	 5
#define F_GEN	 6
#define F_UNLOCK 7
#define SHOW	 -1 /* F_WORD: the byte `what` alone, as publish() stores it */
chan queue[3] = [8] of { byte, byte, short };
#define put_word(s, v)	 queue[me]!F_WORD, s, v
#define put_shown(s)	 queue[me]!F_WORD, s, SHOW
#define put_addr(s, v)	 queue[me]!F_ADDR, s, v
#define put_x(s, v)	 queue[me]!F_X, s, v
#define put_seen(s, v)	 queue[me]!F_SEEN, s, v
#define put_ref(s, v)	 queue[me]!F_ASIDE, s, v
#define put_gen(s, v)	 queue[me]!F_GEN, s, v
#define unlock(l)	 queue[me]!F_UNLOCK, l, 0
#ifdef TSO
#define FLUSHED empty(queue[me])
#else
/* stores stay in order over unlock and lock (the kernel's memory model) */
#define FLUSHED \
	(!(queue[me]??[F_UNLOCK, 0, 0]) && !(queue[me]??[F_UNLOCK, 1, 0]))
#endif

inline arrive()
{
	if
	:: f == F_WORD && v == SHOW -> word[at] = SHOWN(word[at])
	:: f == F_WORD && v != SHOW -> word[at] = v
	:: f == F_ADDR -> addr[at] = v
	:: f == F_X -> x[at] = v
	:: f == F_SEEN -> seen[at] = v
	:: f == F_ASIDE -> aside[at] = v
	:: f == F_GEN -> gen[at] = v
	:: f == F_UNLOCK -> locked[at] = 0
	fi;
	f = 0;
	at = 0;
	v = 0
}

#define ANY(field, s)                                                \
	:: atomic {                                                  \
		queue[me]??eval(field), eval(s), v -> f = field;     \
		at = s;                                              \
		arrive()                                             \
	}
#define ANY_OF(s)                                                    \
	ANY(F_WORD, s) ANY(F_ADDR, s) ANY(F_X, s)                    \
	ANY(F_SEEN, s) ANY(F_ASIDE, s) ANY(F_GEN, s)

/* The stores of one processor on their way: the first of the queue may arrive,
 * and on weakly ordered processors any other that is no unlock, the oldest of
 * each place first. An unlock comes after all that was stored before it. */
proctype Memory(byte me)
{
	byte f, at;
	short v;

end:	do
	:: atomic { queue[me]?f, at, v -> arrive() }
#ifdef WEAK
	ANY_OF(0)
	ANY_OF(1)
#if SLOTS > 2
	ANY_OF(2)
#endif
#if SLOTS > 3
	ANY_OF(3)
#endif
#endif
	od
}
#else
#define put_word(s, v)	word[s] = v
#define put_shown(s)	word[s] = SHOWN(word[s])
#define put_addr(s, v)	addr[s] = v
#define put_x(s, v)	x[s] = v
#define put_seen(s, v)	seen[s] = v
#define put_ref(s, v)	aside[s] = v
#define put_gen(s, v)	gen[s] = v
#define unlock(l)	locked[l] = 0
#define FLUSHED		true
#endif

#define lock(l)                                 \
	atomic {                                \
		!locked[l] && FLUSHED ->        \
		locked[l] = 1                   \
	}

/*
 * A section under a lock with one store: to all others it is one step, as long
 * as stores are seen in order.
 */
#if defined(WEAK) || defined(TSO)
#define LOCKED(l) lock(l);
#define UNLOCKED(l) unlock(l)
#else
#define LOCKED(l) atomic { !locked[l] ->
#define UNLOCKED(l) skip }
#endif

/* --- bpf/table.h, record.h: finding, making, showing, removing -------------- */

/*
 * C: see, find, is, view
 * The record of address a, port p: v_slot (NONE: there is none), v_seq, v_kind,
 * v_x, v_seen. To find it is one step here: who finds nothing while it moves is
 * as one that came before it, and what was found is not believed before view().
 * A reader that finds the record changed gives up; see() would look once more,
 * by the same steps.
 */
inline see(its_addr, its_port)
{
	v_slot = NONE;
	atomic {
		i = FROM(its_addr);
		do
		:: i < UP_TO(its_addr) ->
			if
			:: PORT(word[i]) == its_port &&
			   WHAT(word[i]) == LIVE && addr[i] == its_addr -> break
			:: else -> i++
			fi
		:: else -> break
		od
	}
	if
	:: i < UP_TO(its_addr) ->
#ifdef WEAK
		if
		:: mutant == M_VIEW_UNORDERED -> v_x = x[i]
		:: else
		fi;
#endif
		w = word[i];
		atomic {
			same = addr[i] == its_addr ||
			       mutant == M_VIEW_WORD_ONLY;
			if
			:: mutant != M_VIEW_UNORDERED -> v_x = x[i]
			:: else
			fi;
			v_seen = seen[i]
		}
		atomic {
			if
			:: (word[i] == w || mutant == M_NO_SECOND_LOOK) &&
			   same && PORT(w) == its_port && WHAT(w) == LIVE ->
				v_slot = i;
				v_seq = SEQ(w);
				v_kind = KIND(w);
				believed(its_addr)
			:: else -> v_x = 0; v_seen = 0
			fi;
			i = 0;
			w = 0;
			same = 0
		}
	:: else -> i = 0
	fi
}

/*
 * PROPERTY (view): no reader acts on a reused record. What it has read was
 * written for the very record whose word it looked at.
 * PROPERTY (flow_end, publish, make_owner): a FWD record that a reader believes
 * has its port: the REV record is there, of this pod.
 * PROPERTY (join): a REV record that a reader believes knows its owner.
 */
inline believed(found_addr)
{
	assert(SAID_OF(v_x) == found_addr && SAID_SEQ(v_x) == v_seq);
	if
	:: v_kind == FWD ->
		j = 0;
		do
		:: j < SLOTS ->
			if
			:: WHAT(word[j]) == LIVE && KIND(word[j]) == REV &&
			   PORT(word[j]) == SAID(v_x) && SAID(x[j]) == found_addr -> break
			:: else -> j++
			fi
		:: else -> break
		od;
		assert(j < SLOTS);
		j = 0
	:: v_kind == REV -> assert(REF_SLOT(aside[v_slot]) != NONE)
	:: v_kind == KEEP
	fi
}

/*
 * C: make_record, make_near, make_far, taken_around, nearest, take, fill,
 * put_aside
 * ret: OURS and the slot in n, or why not. Hops, pages and the label's bits
 * change under the lock alone, so they are one here: a slot is free or not.
 */
inline make_record(new_addr, new_port, new_kind, new_said, new_seen, new_gen, new_ref)
{
	lock(LOCK_FOR(new_addr));
	atomic {
		n = NONE;
		ret = OURS;
		i = FROM(new_addr);
		do
		:: i < UP_TO(new_addr) ->
			if
			/* from one end or the other, so that slots are used
			 * again for their like, and when they are few, not */
			:: WHAT(word[i]) == FREE &&
			   (n == NONE || new_addr == NODE) -> n = i
			:: WHAT(word[i]) != FREE && PORT(word[i]) == new_port &&
			   addr[i] == new_addr ->
				ret = (WHAT(word[i]) == LIVE -> THERE :
								UNDER_WAY)
			:: else
			fi;
			i++
		:: else -> break
		od;
		i = 0;
		if
		:: ret == OURS && n == NONE -> ret = NO_PLACE
		:: else
		fi;
		if
		:: ret != OURS || mutant == M_NO_LOCK ->
			unlock(LOCK_FOR(new_addr))
		:: else
		fi
	}
	if
	:: ret == OURS ->
		atomic {
			/* PROPERTY (take): nobody takes a slot that is taken */
			assert(WHAT(word[n]) == FREE);
			w = SEQ(word[n]);
			put_word(n, WORD(new_port, MADE, new_kind, w))
		}
		atomic {
			put_addr(n, new_addr);
			put_x(n, SAYS(new_said, new_addr, w));
			put_seen(n, new_seen);
			w = 0;
			if
			:: mutant != M_NO_LOCK -> unlock(LOCK_FOR(new_addr))
			:: else
			fi
		}
		if
		:: ARM && mutant != M_ASIDE_PLAIN -> lock(LOCK_FOR(new_addr))
		:: else
		fi;
		atomic {
			put_ref(n, new_ref);
			put_gen(n, new_gen);
			if
			:: ARM && mutant != M_ASIDE_PLAIN ->
				unlock(LOCK_FOR(new_addr))
			:: else
			fi
		}
	:: else -> n = NONE
	fi
}

/* C: publish */
inline publish(shown)
{
	if
	:: ARM && mutant != M_SHOW_PLAIN ->
		lock(LOCK_OF(shown));
		put_shown(shown);
		unlock(LOCK_OF(shown))
	:: else -> put_shown(shown)
	fi
}

/* C: join */
inline join(joined, to, to_seq)
{
	if
	:: ARM -> lock(LOCK_OF(joined))
	:: else
	fi;
	put_ref(joined, REF(to, to_seq));
	if
	:: ARM -> unlock(LOCK_OF(joined))
	:: else
	fi
}

/* C: remove
 * did: it was us; last: what had been seen of the flow. */
inline remove(gone, gone_seq)
{
	did = 0;
	if
	:: gone != NONE ->
		LOCKED(LOCK_OF(gone))
		if
		:: (SEQ(word[gone]) == gone_seq || mutant == M_REMOVE_ANY) &&
		   WHAT(word[gone]) != FREE ->
			last = seen[gone];
			did = 1;
			put_word(gone, WORD(0, FREE, 0, gone_seq + 1))
		:: else -> did = 0
		fi;
		UNLOCKED(LOCK_OF(gone))
	:: else
	fi
}

/* --- bpf/flow.h, touch.h: the end of a flow, what a packet changes ----------- */

/* C: account, pod_account */
inline account(of_kind, of_pod, more, more_closed)
{
	d_step {
		if
		:: of_kind == FWD ->
			flows = flows + more;
			pod_flows[of_pod] = pod_flows[of_pod] + more;
			pod_closed[of_pod] = pod_closed[of_pod] + more_closed;
			/* PROPERTY (make_owner): a flow is counted before
			 * anybody can end it; each processor may find room that
			 * another is about to take (has_room). */
			assert(flows >= 0 && pod_flows[of_pod] >= 0);
			assert(flows <= max_flows + CPUS - 1)
		:: of_kind == KEEP ->
			kept = kept + more;
			assert(kept >= 0)
		fi
	}
}

/* C: flow_end
 * Ends the flow whose owner lies in slot s and has seq q. ended: it was us. */
inline flow_end(old, old_seq)
{
	ended = 0;
#ifdef WEAK
	if
	:: mutant == M_END_UNORDERED && old != NONE -> e_ref = aside[old]
	:: else
	fi;
#endif
	/* one step: when remove() finds seq as it was, so was all of this */
	atomic {
		if
		:: old != NONE && SEQ(word[old]) == old_seq &&
		   WHAT(word[old]) == LIVE ->
			e_kind = KIND(word[old]);
			e_pod = addr[old];
			if
			:: mutant != M_END_UNORDERED -> e_ref = aside[old]
			:: else
			fi
		:: else -> e_kind = 0; e_ref = 0
		fi
	}
	if
	:: e_kind ->
		if
		:: mutant == M_REV_FIRST && e_kind == FWD ->
			remove(REF_SLOT(e_ref), REF_SEQ(e_ref))
		:: else
		fi;
		remove(old, old_seq);
		if
		:: did ->
			e_seen = last;
			ended = 1;
			if
			:: e_kind == FWD ->
				remove(REF_SLOT(e_ref), REF_SEQ(e_ref))
			:: else
			fi;
			account(e_kind, e_pod, 0 - 1, 0 - e_seen / RESET)
		:: else
		fi
	:: else
	fi;
	atomic {
		did = 0;
		last = 0;
		e_kind = 0;
		e_pod = 0;
		e_seen = 0
	}
}

/* C: flow_end_any, peer_of
 * Ends a flow by any of its records. */
inline flow_end_any(any, any_seq, any_kind)
{
	if
	:: any_kind == REV ->
		a_ref = aside[any];
		if
		:: SEQ(word[any]) == any_seq || mutant == M_END_ANY ->
			flow_end(REF_SLOT(a_ref), REF_SEQ(a_ref));
			/* PROPERTY (flow_end_any): who ends a flow by its port
			 * ends the flow that had the port. */
			assert(!ended || e_ref == REF(any, any_seq));
			if
			:: !ended && REF_SLOT(a_ref) != NONE &&
			   SEQ(word[REF_SLOT(a_ref)]) != REF_SEQ(a_ref) ->
				remove(any, any_seq)
			:: else
			fi
		:: else
		fi;
		a_ref = 0
	:: else -> flow_end(any, any_seq)
	fi;
	atomic {
		e_ref = 0;
		ended = 0;
		did = 0;
		last = 0
	}
}

/*
 * C: flow_copy
 * What the owner in slot `from` says now, in its REV record as well: whoever has
 * the lock last writes what all have seen.
 */
inline flow_copy(from, from_seq)
{
	c_ref = aside[from];
	if
	:: mutant == M_COPY_EARLY -> e_seen = seen[from]
	:: else
	fi;
	if
	:: REF_SLOT(c_ref) != NONE ->
		lock(LOCK_OF(REF_SLOT(c_ref)));
		if
		:: mutant != M_COPY_EARLY -> e_seen = seen[from]
		:: else
		fi;
		atomic {
			if
			:: SEQ(word[from]) == from_seq &&
			   SEQ(word[REF_SLOT(c_ref)]) == REF_SEQ(c_ref) &&
			   WHAT(word[REF_SLOT(c_ref)]) == LIVE ->
				/* PROPERTY (flow_copy): the pair's own record. */
				assert(aside[REF_SLOT(c_ref)] ==
				       REF(from, from_seq));
				put_seen(REF_SLOT(c_ref), e_seen)
			:: else
			fi
		}
		unlock(LOCK_OF(REF_SLOT(c_ref)))
	:: else
	fi;
	atomic {
		e_seen = 0;
		c_ref = 0
	}
}

/*
 * C: advance, approve, peer_of
 * A packet shows its flow something: `rst`, or that it is answered. The flow may
 * have to end (row E3), and then v_slot is NONE. `a` is the packet's address.
 */
inline advance(pkt_addr, pkt_in, pkt_rst)
{
	own = v_slot;
	own_seq = v_seq;
	a_ref = 0;
	if
	:: v_kind == REV ->
		a_ref = aside[v_slot];
		if
		:: SEQ(word[v_slot]) == v_seq || mutant == M_ADVANCE_ANY ->
			own = REF_SLOT(a_ref);
			own_seq = REF_SEQ(a_ref);
			if
			:: own == NONE -> skip
			:: own != NONE && SEQ(word[own]) != own_seq -> own = NONE
			:: else
			fi
		:: else -> own = NONE
		fi
	:: else
	fi;
	if
	:: own != NONE && !pkt_in && gen[own] != in_force &&
	   !(seen[own] & ANSWERED) ->
		/* E3: nobody answered; would today's policy decide otherwise? */
		g = in_force;
		if
		:: POLICY(g, pkt_addr) != v_kind ->
			flow_end(own, own_seq);
			e_ref = 0;
			ended = 0;
			own = NONE;
			v_slot = NONE
		:: else ->
			LOCKED(LOCK_OF(own))
			if
			:: (SEQ(word[own]) == own_seq &&
			    WHAT(word[own]) != FREE) ||
			   mutant == M_APPROVE_ANY ->
				put_gen(own, g)
			:: else
			fi;
			UNLOCKED(LOCK_OF(own))
		fi;
		g = 0
	:: else
	fi;
	if
	:: own == NONE
	:: own != NONE && !pkt_rst && !(v_seen & RESET) &&
	   (!pkt_in || v_seen & ANSWERED) /* nothing new */
	:: else ->
		LOCKED(LOCK_OF(own))
		delta = 0;
		did = 0;
		if
		:: SEQ(word[own]) == own_seq && WHAT(word[own]) != FREE ->
			/* PROPERTY (advance): pkt_addr packet changes its own flow. */
			assert(v_kind == REV -> aside[own] == REF(v_slot, v_seq)
					      : addr[own] == pkt_addr);
			did = 1;
			e_seen = (pkt_rst -> seen[own] | RESET : seen[own] & ~RESET);
			if
			:: pkt_in -> e_seen = e_seen | ANSWERED
			:: else
			fi;
			delta = (e_seen / RESET) - (seen[own] / RESET);
			e_pod = addr[own];
			put_seen(own, e_seen)
		:: else
		fi;
		UNLOCKED(LOCK_OF(own));
		if
		:: did && v_kind != KEEP ->
			if
			:: mutant == M_CLOSED_LATE -> e_pod = addr[own]
			:: else
			fi;
			if
			:: delta && e_pod != NODE ->
				pod_closed[e_pod] = pod_closed[e_pod] + delta
			:: else
			fi;
			flow_copy(own, own_seq)
		:: else
		fi
	fi;
	atomic {
		own = 0;
		own_seq = 0;
		a_ref = 0;
		e_seen = 0;
		e_pod = 0;
		did = 0;
		delta = 0
	}
}

/*
 * C: flow_count, count_back
 * What a packet writes without a lock after it has looked: last_seen, tally and
 * pod_ack are in places that decide nothing. A kept flow's other count is not:
 * it lies where FWD and REV records have their address and port.
 */
inline flow_count(count_in)
{
	if
	:: v_kind == KEEP && count_in ->
		if
		:: mutant == M_COUNT_ANY -> put_x(v_slot, x[v_slot] ^ 1)
		:: else ->
			LOCKED(LOCK_OF(v_slot))
			if
			:: SEQ(word[v_slot]) == v_seq &&
			   WHAT(word[v_slot]) == LIVE ->
				put_x(v_slot, x[v_slot] ^ 1)
			:: else
			fi;
			UNLOCKED(LOCK_OF(v_slot))
		fi
	:: else
	fi
}

/* --- bpf/room.h, port.h, nat.h: a new flow ---------------------------------------------- */

/* C: make_room, has_room, look, make_way, open_slot
 * Room in the budget, by ending any flow: which one is rank()'s to say. */
inline make_room()
{
	if
	:: flows >= max_flows ->
		if
		:: true -> i = 0
		:: true -> i = 1
		:: SLOTS > 2 -> i = 2
		:: SLOTS > 3 -> i = 3
		fi;
		own = i;
		i = 0;
		own_seq = SEQ(word[own]);
		if
		:: WHAT(word[own]) == LIVE && KIND(word[own]) == FWD ->
			flow_end(own, own_seq)
		:: else
		fi;
		atomic {
			own = 0;
			own_seq = 0;
			e_ref = 0;
			ended = 0
		}
	:: else
	fi
}

/* C: claim_port, look_at_port
 * Port p, if nobody has it or who has it may be ended: has expired, is closed,
 * unanswered. Its REV record is then in slot rev. */
inline claim_port(want, want_pod)
{
	see(NODE, want);
	ret = OURS;
	if
	:: v_slot != NONE ->
		if
		:: flow_end_any(v_slot, v_seq, v_kind)
		:: ret = THERE
		fi
	:: else
	fi;
	if
	:: ret == OURS ->
		make_record(NODE, want, REV, want_pod, 0, g, REF(NONE, 0));
		rev = n
	:: else
	fi;
	atomic {
		v_slot = NONE;
		v_seq = 0;
		v_kind = 0;
		v_x = 0;
		v_seen = 0;
		n = 0
	}
}

/* C: make_flow, make_owner, claim, claim_begin, claim_known
 * The records of a flow of this pod, as the policy of generation g says. */
inline make_flow(flow_pod)
{
	if
	:: POLICY(g, flow_pod) == FWD ->
		port = 1;
		claim_port(port, flow_pod);
#if PORTS > 1
		if
		:: ret == THERE || ret == UNDER_WAY ->
			port = 2;
			claim_port(port, flow_pod)
		:: else
		fi;
#endif
		if
		:: ret == OURS ->
			rev_seq = SEQ(word[rev]);
			make_record(flow_pod, 1, FWD, port, 0, g, REF(rev, rev_seq));
			if
			:: ret != OURS && mutant != M_NO_ROLL_BACK ->
				remove(rev, rev_seq)
			:: else
			fi
		:: else -> ret = NO_PLACE
		fi
	:: else -> make_record(flow_pod, 1, KEEP, 0, 0, g, REF(NONE, 0))
	fi;
	if
	:: ret == OURS ->
		own = n;
		if
		:: mutant != M_ACCOUNT_LATE ->
			atomic {
				owners++;
				account(POLICY(g, flow_pod), flow_pod, 1, 0)
			}
		:: else
		fi;
		if
		:: POLICY(g, flow_pod) == FWD && mutant == M_OWNER_FIRST ->
			publish(own);
			join(rev, own, SEQ(word[own]));
			publish(rev)
		:: POLICY(g, flow_pod) == FWD && mutant == M_JOIN_LATE ->
			publish(rev);
			join(rev, own, SEQ(word[own]));
			publish(own)
		:: POLICY(g, flow_pod) == FWD && mutant != M_OWNER_FIRST &&
		   mutant != M_JOIN_LATE ->
			join(rev, own, SEQ(word[own]));
			publish(rev);
			publish(own)
		:: else -> publish(own)
		fi;
		if
		:: mutant == M_ACCOUNT_LATE ->
			owners++;
			account(POLICY(g, flow_pod), flow_pod, 1, 0)
		:: else
		fi;
		news++
	:: ret == THERE && mutant == M_NEW_TWICE -> news++
	:: else
	fi;
	atomic {
		n = 0;
		own = 0;
		rev = 0;
		rev_seq = 0;
		port = 0;
		did = 0;
		last = 0;
		ret = 0
	}
}

/* --- the processors ---------------------------------------------------------------- */

#define SEES         \
	byte v_slot = NONE, v_seq, v_kind, v_seen, i, j; \
	short v_x, w;    \
	bit same
#define ENDS                                               \
	bit did, ended;                                    \
	byte last, e_kind, e_pod, e_seen;                 \
	short e_ref, a_ref, c_ref

/* C: hook, egress, ingress, egress_new */
proctype Processor(byte me; byte mutant; byte max_flows; byte left)
{
	SEES;
	ENDS;
	byte a, p, g, n, ret, own, own_seq, rev, rev_seq, port;
	bit ingress, rst;
	short delta;

	do
	:: left > 0 ->
		atomic {
			left--;
			if
			:: a = POD_A; p = 1; ingress = 0 /* from a pod */
			:: a = POD_B; p = 1; ingress = 0
			:: a = NODE; p = 1; ingress = 1 /* an answer */
			:: a = NODE; p = 1; ingress = 1; rst = 1
			:: a = POD_A; p = 1; ingress = 1 /* to a kept flow */
			fi
		}
		see(a, p);
		if
		:: v_slot == NONE
		:: v_slot != NONE && v_kind == FWD && ingress ->
			v_slot = NONE
		:: v_slot != NONE && !ingress -> /* it may have expired */
			flow_end_any(v_slot, v_seq, v_kind);
			v_slot = NONE
		:: v_slot != NONE && (v_kind != FWD || !ingress) ->
			advance(a, ingress, rst)
		fi;
		if
		:: v_slot != NONE -> flow_count(ingress)
		:: v_slot == NONE && !ingress ->
			g = in_force;
			if
			:: POLICY(g, a) == FWD -> make_room()
			:: else
			fi;
			if
			:: POLICY(g, a) == KEEP || flows < max_flows ->
				make_flow(a);
				/* as any packet that has a record */
				see(a, p)
			:: else
			fi;
			g = 0
		:: else
		fi;
		atomic {
			v_slot = NONE;
			v_seq = 0;
			v_kind = 0;
			v_x = 0;
			v_seen = 0;
			a = 0;
			p = 0;
			ingress = 0;
			rst = 0
		}
	:: else -> break
	od;
	done++
}

/* C: open_page, open_slot, ctl_delete
 * The clock hand, a flush, and a new policy. */
proctype Cleaner(byte me; byte mutant; byte max_flows; byte left)
{
	SEES;
	ENDS;
	byte s, q;

	do
	:: left > 0 ->
		left--;
		if
		:: in_force == 1 -> in_force = 2
		:: see(NODE, 1);
			if
			:: v_slot != NONE ->
				flow_end_any(v_slot, v_seq, v_kind)
			:: else
			fi
		:: atomic {
				if
				:: s = 0
				:: s = 1
				:: SLOTS > 2 -> s = 2
				:: SLOTS > 3 -> s = 3
				fi
			}
			q = SEQ(word[s]);
			if
			:: WHAT(word[s]) == LIVE && KIND(word[s]) != REV ->
				flow_end(s, q)
			:: else
			fi
		fi;
		atomic {
			v_slot = NONE;
			v_seq = 0;
			v_kind = 0;
			v_x = 0;
			v_seen = 0;
			s = 0;
			q = 0;
			e_ref = 0;
			ended = 0
		}
	:: else -> break
	od;
	done++
}

/* --- what has to be true when all is quiet ------------------------------------------ */

inline walk()
{
	byte s, t;
	short n_flows, n_kept, n_pod[3], n_closed[3];

	do
	:: s < SLOTS ->
		/* PROPERTY (make_owner, make_flow, remove): what was claimed
		 * and not published has been rolled back. */
		assert(WHAT(word[s]) != MADE);
		if
		:: WHAT(word[s]) == LIVE && KIND(word[s]) == FWD ->
			n_flows++;
			n_pod[addr[s]]++;
			n_closed[addr[s]] = n_closed[addr[s]] + seen[s] / RESET;
			t = REF_SLOT(aside[s]);
			/* PROPERTY (make_owner, flow_end): no half pairs. */
			assert(t != NONE && WHAT(word[t]) == LIVE &&
			       KIND(word[t]) == REV &&
			       SEQ(word[t]) == REF_SEQ(aside[s]));
			assert(aside[t] == REF(s, SEQ(word[s])));
			assert(PORT(word[t]) == SAID(x[s]) &&
			       SAID(x[t]) == addr[s]);
			/* PROPERTY (flow_copy): both have seen the same. */
			assert(seen[t] == seen[s])
		:: WHAT(word[s]) == LIVE && KIND(word[s]) == REV ->
			t = REF_SLOT(aside[s]);
			assert(t != NONE && WHAT(word[t]) == LIVE &&
			       KIND(word[t]) == FWD &&
			       SEQ(word[t]) == REF_SEQ(aside[s]))
		:: WHAT(word[s]) == LIVE && KIND(word[s]) == KEEP -> n_kept++
		:: else
		fi;
		if
		:: WHAT(word[s]) == LIVE ->
			/* PROPERTY (fill, flow_count): a record says what was
			 * written for it. */
			assert(SAID_OF(x[s]) == addr[s] &&
			       SAID_SEQ(x[s]) == SEQ(word[s]));
			/* PROPERTY (advance, approve): row E3. A flow
			 * that nobody answered is as the policy says of which it
			 * has the generation: so a change of policy heals it. */
			assert(KIND(word[s]) == REV || seen[s] & ANSWERED ||
			       KIND(word[s]) == POLICY(gen[s], addr[s]));
			/* PROPERTY (make_near, make_far): one record a key. */
			t = s + 1;
			do
			:: t < SLOTS ->
				assert(WHAT(word[t]) == FREE ||
				       addr[t] != addr[s] ||
				       PORT(word[t]) != PORT(word[s]));
				t++
			:: else -> break
			od
		:: else
		fi;
		s++
	:: else -> break
	od;
	/* PROPERTY (account, pod_account, flow_end): totals equal a walk. */
	assert(n_flows == flows && n_kept == kept);
	assert(n_pod[POD_A] == pod_flows[POD_A] &&
	       n_pod[POD_B] == pod_flows[POD_B]);
	assert(n_closed[POD_A] == pod_closed[POD_A] &&
	       n_closed[POD_B] == pod_closed[POD_B]);
	/* PROPERTY (make_flow): a new flow is told of once. */
	assert(news == owners)
}

/* A flow that is there from the beginning. */
inline begin(its_kind, its_pod, its_seen)
{
	word[0] = WORD(1, LIVE, its_kind, 0);
	addr[0] = its_pod;
	gen[0] = (its_kind == FWD -> 1 : 0);
	seen[0] = its_seen;
	if
	:: its_kind == FWD ->
		x[0] = SAYS(1, its_pod, 0);
		aside[0] = REF(SLOTS - 1, 0);
		word[REF_SLOT(aside[0])] = WORD(1, LIVE, REV, 0);
		addr[REF_SLOT(aside[0])] = NODE;
		x[REF_SLOT(aside[0])] = SAYS(its_pod, NODE, 0);
		aside[REF_SLOT(aside[0])] = REF(0, 0);
		seen[REF_SLOT(aside[0])] = its_seen;
		flows = 1;
		pod_flows[its_pod] = 1;
		pod_closed[its_pod] = its_seen / RESET
	:: else ->
		x[0] = SAYS(0, its_pod, 0);
		aside[0] = REF(NONE, 0);
		kept = 1
	fi
}

init {
	/* the processes have copies: what is their own alone costs no orders */
	byte mutant, packets, cleans, max_flows, starts;

	atomic {
		c_code {
			Pinit->mutant = model_size("MUTANT", 0);
			Pinit->packets = model_size("PACKETS", 1);
			Pinit->cleans = model_size("CLEANS", 1);
			Pinit->max_flows = model_size("MAX_FLOWS", 2);
			Pinit->starts = model_size("STARTS", 31);
		};
		if
		:: starts & 1
		:: starts & 2 -> begin(FWD, POD_A, 0)
		:: starts & 4 -> begin(FWD, POD_A, ANSWERED)
		:: starts & 8 -> begin(FWD, POD_B, 0)
		:: starts & 16 -> begin(KEEP, POD_A, 0)
		fi;
#if defined(WEAK) || defined(TSO)
		run Memory(0);
		run Memory(1);
		run Memory(2);
#endif
		run Processor(0, mutant, max_flows, packets);
		run Processor(1, mutant, max_flows, packets);
		run Cleaner(2, mutant, max_flows, cleans)
	}
	done == 3;
#if defined(WEAK) || defined(TSO)
	empty(queue[0]) && empty(queue[1]) && empty(queue[2]);
#endif
	d_step { walk() }
}

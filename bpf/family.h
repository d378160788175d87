/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * family.h - includes the rooms once for the address family FAM (4 or 6). The
 * keys and records of both families have the same field names, addresses are
 * arrays of WORDS words, so one source serves both; FN() names the functions.
 */
#define FN(name)   MASQ_PASTE(name##_v, FAM)
#define KEY	   struct MASQ_PASTE(masq_key, FAM)
#define FLOW	   struct MASQ_PASTE(masq_flow, FAM)
#define PAGE	   struct MASQ_PASTE(masq_page, FAM)
#define TABLE	   MASQ_PASTE(masq_flows, FAM)
#define ASIDE	   MASQ_PASTE(masq_aside, FAM)
#define PKT	   struct FN(masq_pkt)
#define VIEW	   struct FN(masq_view)

#define MASQ_SHAPE FN(masq_shape)

#if FAM == 4
#define WORDS		1
#define L3_HLEN		20
#define SADDR_OFF	12
#define DADDR_OFF	16
#define PROTO_ICMP	IPPROTO_ICMP
#define FIB_SOURCE(fib) (&(fib).ipv4_src)
#else
#define WORDS		4
#define L3_HLEN		40
#define SADDR_OFF	8
#define DADDR_OFF	24
#define PROTO_ICMP	IPPROTO_ICMPV6
#define FIB_SOURCE(fib) ((fib).ipv6_src)
#endif

#include "parse.h"
#include "event.h"
#include "table.h"
#include "record.h"
#include "timeout.h"
#include "flow.h"
#include "touch.h"
#include "fib.h"
#include "policy.h"
#include "ct.h"
#include "room.h"
#include "before3.h"
#include "before4.h"
#include "inherit.h"
#include "port.h"
#include "nat.h"
#include "rewrite.h"
#include "icmp.h"
#include "fragment.h"
#include "refuse.h"
#include "fast.h"
#include "met.h"
#include "decide.h"
#include "hook.h"
#include "ctl.h"
#include "other.h"

#undef FN
#undef KEY
#undef FLOW
#undef PAGE
#undef TABLE
#undef ASIDE
#undef PKT
#undef VIEW
#undef MASQ_SHAPE
#undef WORDS
#undef L3_HLEN
#undef SADDR_OFF
#undef DADDR_OFF
#undef PROTO_ICMP
#undef FIB_SOURCE

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * varying_payload.h - which bytes of a packet may differ between two that the
 * fast path takes for equal. See varying.h.
 */
#ifndef MASQ_VARYING_PAYLOAD_H
#define MASQ_VARYING_PAYLOAD_H

#include <stdbool.h>
#include <stdint.h>

/* Where a rule of nf_tables reads or writes. */
struct varying_place {
	uint32_t base; /* enum nft_payload_bases */
	uint32_t at;
	uint32_t size;
	uint8_t version; /* of IP, 4 or 6; 0: the rule has not asked */
};

/*
 * What a rule reads that may differ, or NULL. *loose: bits of it, as the first
 * four bytes lie, that may differ as well, and that the rule may yet leave out.
 */
const char *varying_payload_read(const struct varying_place *place,
				 uint32_t *loose);
/* Would what is written there be seen in the packet behind the stack? But for
 * bits that may differ all the same, which a rule has to leave as they are. */
bool varying_payload_is_seen(const struct varying_place *place);

#endif

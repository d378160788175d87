// SPDX-License-Identifier: GPL-2.0-only
/* varying_payload.c - see varying_payload.h; bpf/fast.h has what is compared. */
#include <stddef.h>
#include <string.h>
#include <linux/if_ether.h>
#include <linux/netfilter/nf_tables.h>
#include "kernel/varying_payload.h"

#define ALL 0xff
#define ECN 0x03

/* Bits of this byte of the IPv4 header, and of what comes behind it, that two
 * packets of a flow may have different. */
static uint8_t loose4(uint32_t at)
{
	if (at == 1)
		return ECN;
	if (at == 6)
		return 0xc0; /* DF; a fragment is on no fast path */
	if ((at >= 2 && at < 6) || at == 10 || at == 11)
		return ALL; /* length, identification, checksum */
	return at < 24 ? 0 : ALL; /* behind the ports */
}

static uint8_t loose6(uint32_t at)
{
	if (at == 1)
		return ECN << 4 | 0x0f;
	if (at >= 2 && at < 6)
		return ALL; /* flow label, length */
	return at < 44 ? 0 : ALL;
}

const char *varying_payload_read(const struct varying_place *place,
				 uint32_t *loose)
{
	uint8_t bits[sizeof(*loose)] = {};

	*loose = 0;
	if (place->at > 255 || place->size > 255)
		return "what a packet has behind its ports";
	switch (place->base) {
	case NFT_PAYLOAD_LL_HEADER:
		/* of what comes from outside the sender's is not compared */
		if (place->at + place->size > ETH_HLEN)
			return "what a packet has behind its Ethernet header";
		return place->at < 12 && place->at + place->size > 6
			       ? "the sender's Ethernet address"
			       : NULL;
	case NFT_PAYLOAD_NETWORK_HEADER:
		break;
	case NFT_PAYLOAD_TRANSPORT_HEADER:
		return place->at + place->size <= 4
			       ? NULL
			       : "what a packet has behind its ports";
	default:
		return "what a packet has behind its ports";
	}
	for (uint32_t i = 0; i < place->size; i++) {
		uint8_t at = 0;

		if (place->version != 6)
			at |= loose4(place->at + i);
		if (place->version != 4)
			at |= loose6(place->at + i);
		/* a flow label is all loose, and may yet be left out */
		if (i < sizeof(bits) && (at != ALL || place->at + i < 4))
			bits[i] = at;
		else if (at)
			return "a length, number or checksum of the packet";
	}
	memcpy(loose, bits, sizeof(*loose));
	return NULL;
}

bool varying_payload_is_seen(const struct varying_place *place)
{
	uint32_t end = place->at + place->size;

	if (place->base != NFT_PAYLOAD_NETWORK_HEADER || !place->version)
		return false;
	/* TOS, and TTL or hop limit with the protocol beside it */
	if (place->version == 4)
		return end <= 2 || (place->at >= 8 && end <= 10);
	return end <= 2 || (place->at >= 6 && end <= 8);
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * podname.h - the names of pods beside their addresses, where the node knows
 * them. Read once one is asked for; who runs long reads them again now and then.
 */
#ifndef MASQ_KERNEL_PODNAME_H
#define MASQ_KERNEL_PODNAME_H

#include <stdbool.h>
#include "kernel/cni.h"

/*
 * From here on these are the names, and nothing is read: who may not read them
 * got them from somebody who may. Owned from then on; NULL: none.
 */
void podname_take(struct cni *cni);

/* All of them; NULL: none. Good until the next question. */
const struct cni *podname_all(void);
/* Are any names known? */
bool podname_known(void);
/* Who has this address (family 0: nobody); NULL: not known. */
const struct cni_pod *podname_of(const struct addr *addr);
/* "10.44.0.5", or "10.44.0.5 shop/cart-0"; returns buf. */
#define PODNAME_STRLEN (CIDR_STRLEN + CNI_STRLEN)
const char *podname_beside(const struct addr *addr, char *buf, size_t len);
/* "shop/cart-0", or "-"; returns buf. */
const char *podname_only(const struct addr *addr, char *buf, size_t len);
/* Has the pod of this name an address of this family (0: of either)? */
bool podname_find(const char *text, uint8_t family, struct addr *out);
/* Is it meant as a name, not as an address? */
bool podname_is_name(const char *text);

#endif

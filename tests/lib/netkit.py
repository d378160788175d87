#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A pair of netkit that drops by policy, which an old iproute2 cannot make:

  netkit.py NAME POLICY PEER_POLICY     pass or drop: what is done with what no
                                        program decides, of either end

One message of rtnetlink by its numbers.
"""
import os
import socket
import struct
import sys

import netlink
from netlink import attr

RTM_NEWLINK = 16
IFLA_IFNAME, IFLA_LINKINFO, INFO_KIND, INFO_DATA = 3, 18, 1, 2
NETKIT_POLICY, NETKIT_PEER_POLICY = 3, 4
POLICIES = {"pass": 0, "drop": 2}


def number(kind, value):
    return attr(kind, struct.pack("=I", value))


def main(name, *policies):
    policy, peer_policy = (POLICIES[text] for text in policies)
    data = number(NETKIT_POLICY, policy) + \
        number(NETKIT_PEER_POLICY, peer_policy)
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + \
        attr(IFLA_IFNAME, name.encode() + b"\0") + \
        attr(IFLA_LINKINFO, attr(INFO_KIND, b"netkit") + attr(INFO_DATA, data))
    error = netlink.ask(socket.NETLINK_ROUTE, RTM_NEWLINK,
                        netlink.EXCL | netlink.CREATE, body)
    if error:
        sys.exit(f"netkit.py: {name}: {os.strerror(error)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

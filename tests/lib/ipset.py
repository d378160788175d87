#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""Sets of ipset, without its tool:

  ipset.py create NAME TYPE     of IPv4: hash:ip, bitmap:ip,mac ...
  ipset.py destroy NAME

Exits with 3 where the kernel has no ipset, or none of the type. Messages of
nfnetlink by their numbers.
"""
import errno
import os
import socket
import struct
import sys

import netlink
from netlink import attr

SUBSYSTEM, PROTOCOL = 6, 6
CREATE, DESTROY = 2, 3
ABSENT = errno.EINVAL, 4098  # no such subsystem, no such type
ATTR_PROTOCOL, ATTR_NAME, ATTR_TYPE, ATTR_REVISION = 1, 2, 3, 4
ATTR_FAMILY, ATTR_DATA = 5, 7
DATA_IP, DATA_CIDR, IP_V4 = 1, 3, 1


def text(kind, value):
    return attr(kind, value.encode() + b"\0")


def byte(kind, value):
    return attr(kind, bytes([value]))


def address(number):
    return netlink.nest(DATA_IP, attr(IP_V4 | netlink.NETWORK_ORDER,
                                      struct.pack("!I", number)))


def ask(command, name, *attrs):
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + \
        byte(ATTR_PROTOCOL, PROTOCOL) + text(ATTR_NAME, name) + b"".join(attrs)
    error = netlink.ask(netlink.NETFILTER, SUBSYSTEM << 8 | command, 0, body)
    if error:
        print(f"ipset.py: {name}: {os.strerror(error)}", file=sys.stderr)
        sys.exit(3 if error in ABSENT else 1)


def create(name, kind):
    span = address(0x0a000000) + byte(DATA_CIDR, 24)
    ask(CREATE, name, text(ATTR_TYPE, kind), byte(ATTR_REVISION, 0),
        byte(ATTR_FAMILY, socket.AF_INET),
        netlink.nest(ATTR_DATA, span if kind.startswith("bitmap:") else b""))


def destroy(name):
    ask(DESTROY, name)


if __name__ == "__main__":
    {"create": create, "destroy": destroy}[sys.argv[1]](*sys.argv[2:])

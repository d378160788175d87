#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A pair of netkit that drops by policy, which an old iproute2 cannot make:

  netkit.py NAME POLICY PEER_POLICY     pass or drop: what is done with what no
                                        program decides, of either end

Standard library only: one message of rtnetlink by its numbers.
"""
import os
import socket
import struct
import sys

RTM_NEWLINK = 16
FLAGS = 1 | 4 | 0x200 | 0x400  # request, acknowledge, exclusive, create
IFLA_IFNAME, IFLA_LINKINFO, INFO_KIND, INFO_DATA = 3, 18, 1, 2
NETKIT_POLICY, NETKIT_PEER_POLICY = 3, 4
POLICIES = {"pass": 0, "drop": 2}


def attr(kind, data):
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def number(kind, value):
    return attr(kind, struct.pack("=I", value))


def main(name, *policies):
    policy, peer_policy = (POLICIES[text] for text in policies)
    data = number(NETKIT_POLICY, policy) + \
        number(NETKIT_PEER_POLICY, peer_policy)
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0) + \
        attr(IFLA_IFNAME, name.encode() + b"\0") + \
        attr(IFLA_LINKINFO, attr(INFO_KIND, b"netkit") + attr(INFO_DATA, data))
    head = struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, FLAGS, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(head + body)
        error = -struct.unpack_from("=i", sock.recv(65536), 16)[0]
    if error:
        sys.exit(f"netkit.py: {name}: {os.strerror(error)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

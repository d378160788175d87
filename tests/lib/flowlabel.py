#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A routing rule by IPv6's flow label, which an old iproute2 cannot make:

  flowlabel.py LABEL PRIORITY     what has that label goes nowhere

Standard library only: one message of rtnetlink by its numbers. A kernel before
6.14 does not know them, and would take the rule for one of all packets.
"""
import os
import socket
import struct
import sys

RTM_NEWRULE = 32
FLAGS = 1 | 4 | 0x200 | 0x400  # request, acknowledge, exclusive, create
FRA_PRIORITY, FRA_FLOWLABEL, FRA_FLOWLABEL_MASK = 6, 26, 27
FR_ACT_BLACKHOLE = 6


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data


def main(label, priority):
    body = struct.pack("=8BI", socket.AF_INET6, 0, 0, 0, 0, 0, 0,
                       FR_ACT_BLACKHOLE, 0) + \
        attr(FRA_PRIORITY, struct.pack("=I", int(priority))) + \
        attr(FRA_FLOWLABEL, struct.pack("!I", int(label))) + \
        attr(FRA_FLOWLABEL_MASK, struct.pack("!I", 0xfffff))
    head = struct.pack("=IHHII", 16 + len(body), RTM_NEWRULE, FLAGS, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as sock:
        sock.send(head + body)
        error = -struct.unpack_from("=i", sock.recv(65536), 16)[0]
    if error:
        sys.exit(f"flowlabel.py: {os.strerror(error)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-only
"""A routing rule by IPv6's flow label, which an old iproute2 cannot make:

  flowlabel.py LABEL PRIORITY     what has that label goes nowhere

One message of rtnetlink by its numbers. A kernel before 6.14 does not know them,
and would take the rule for one of all packets.
"""
import os
import socket
import struct
import sys

import netlink
from netlink import attr

RTM_NEWRULE = 32
FRA_PRIORITY, FRA_FLOWLABEL, FRA_FLOWLABEL_MASK = 6, 26, 27
FR_ACT_BLACKHOLE = 6


def main(label, priority):
    body = struct.pack("=8BI", socket.AF_INET6, 0, 0, 0, 0, 0, 0,
                       FR_ACT_BLACKHOLE, 0) + \
        attr(FRA_PRIORITY, struct.pack("=I", int(priority))) + \
        attr(FRA_FLOWLABEL, struct.pack("!I", int(label))) + \
        attr(FRA_FLOWLABEL_MASK, struct.pack("!I", 0xfffff))
    error = netlink.ask(socket.NETLINK_ROUTE, RTM_NEWRULE,
                        netlink.EXCL | netlink.CREATE, body)
    if error:
        sys.exit(f"flowlabel.py: {os.strerror(error)}")


if __name__ == "__main__":
    main(*sys.argv[1:])

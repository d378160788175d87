#!/usr/bin/env python3
"""conntrack.py COUNT DEST [PORT] - connections into this namespace's conntrack
conntrack.py flush             - all that are there out of it

Makes COUNT entries as of answered UDP flows from 172.30.0.0/16 to DEST, each
from an address and a port of its own, as far as there are addresses, without
a packet. Prints how many are in the table then.
"""
import socket
import struct
import sys

import netlink
from netlink import attr, nest

NFNL_CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
NFNL_CT_DELETE = 1 << 8 | 2
ORIG, REPLY, STATUS, TIMEOUT = 1, 2, 3, 7  # CTA_*
SEEN_REPLY_CONFIRMED = 2 | 8  # IPS_*


def tuple_of(kind, src, dst, sport, dport):
    return nest(
        kind,
        nest(1, attr(1, src), attr(2, dst)),
        nest(
            2,
            attr(1, bytes([socket.IPPROTO_UDP])),
            attr(2, struct.pack(">H", sport)),
            attr(3, struct.pack(">H", dport)),
        ),
    )


def entry(number, dest, dport):
    far = socket.inet_aton(f"172.30.{number >> 8 & 0xff}.{number & 0xff}")
    port = 1024 + (number >> 16)
    body = (
        struct.pack(">BBH", socket.AF_INET, 0, 0)
        + tuple_of(ORIG, far, dest, port, dport)
        + tuple_of(REPLY, dest, far, dport, port)
        + attr(STATUS, struct.pack(">I", SEEN_REPLY_CONFIRMED))
        + attr(TIMEOUT, struct.pack(">I", 3600))
    )
    return netlink.message(NFNL_CT_NEW, netlink.CREATE | netlink.EXCL, body,
                           number)


def ask(sock, request):
    error = netlink.tell(sock, request)
    if error:
        sys.exit(f"conntrack.py: errno {error}")


def main():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW,
                         netlink.NETFILTER)
    sock.bind((0, 0))
    if sys.argv[1] == "flush":
        ask(sock, netlink.message(NFNL_CT_DELETE, 0, struct.pack(
            "BBH", socket.AF_UNSPEC, 0, 0), 0))
        return
    count, dest = int(sys.argv[1]), socket.inet_aton(sys.argv[2])
    dport = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    for number in range(count):
        ask(sock, entry(number, dest, dport))
    with open("/proc/sys/net/netfilter/nf_conntrack_count") as file:
        print(file.read().strip())


main()

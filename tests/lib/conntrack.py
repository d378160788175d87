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

NFNL_CT_NEW = 1 << 8  # NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_NEW
NFNL_CT_DELETE = 1 << 8 | 2
REQUEST, ACK, CREATE, EXCL = 1, 4, 0x400, 0x200
ORIG, REPLY, STATUS, TIMEOUT = 1, 2, 3, 7  # CTA_*
NESTED = 0x8000
SEEN_REPLY_CONFIRMED = 2 | 8  # IPS_*


def attr(kind, payload):
    length = 4 + len(payload)
    return struct.pack("=HH", length, kind) + payload + b"\0" * (-length % 4)


def nest(kind, *attrs):
    return attr(kind | NESTED, b"".join(attrs))


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
    head = struct.pack(
        "=IHHII", 16 + len(body), NFNL_CT_NEW, REQUEST | ACK | CREATE | EXCL,
        number, 0
    )
    return head + body


def ask(sock, request):
    sock.send(request)
    error = struct.unpack_from("=i", sock.recv(4096), 16)[0]
    if error:
        sys.exit(f"conntrack.py: errno {-error}")


def main():
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
    sock.bind((0, 0))
    if sys.argv[1] == "flush":
        ask(sock, struct.pack("=IHHIIBBH", 20, NFNL_CT_DELETE, REQUEST | ACK,
                              0, 0, socket.AF_UNSPEC, 0, 0))
        return
    count, dest = int(sys.argv[1]), socket.inet_aton(sys.argv[2])
    dport = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    for number in range(count):
        ask(sock, entry(number, dest, dport))
    with open("/proc/sys/net/netfilter/nf_conntrack_count") as file:
        print(file.read().strip())


main()

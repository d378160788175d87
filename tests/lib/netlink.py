# SPDX-License-Identifier: GPL-2.0-only
"""What all messages of netlink have alike. Standard library only."""
import socket
import struct

REQUEST, ACK, EXCL, CREATE = 1, 4, 0x200, 0x400
NETFILTER = 12
NESTED, NETWORK_ORDER = 0x8000, 0x4000  # beside an attribute's kind


def attr(kind, data):
    size = 4 + len(data)
    return struct.pack("=HH", size, kind) + data + bytes(-size % 4)


def nest(kind, *attrs):
    return attr(kind | NESTED, b"".join(attrs))


def message(kind, flags, body, number=1):
    return struct.pack("=IHHII", 16 + len(body), kind, REQUEST | ACK | flags,
                       number, 0) + body


def tell(sock, request):
    """The errno of the answer, 0: done."""
    sock.send(request)
    return -struct.unpack_from("=i", sock.recv(65536), 16)[0]


def ask(bus, *words):
    """The same of one message(), with a socket of its own."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, bus) as sock:
        return tell(sock, message(*words))

#!/usr/bin/python3
"""The far end of a tun device: answers pings, echoes UDP, and writes down who
it has heard.

  tun.py NETNS DEV LOG [VNET]

Makes the device in that namespace, up, without addresses. LOG gets a line a
packet: source, destination, protocol, and how its checksum came: `good`, `bad`
or `partial` (VNET: the device takes checksums that are not computed yet, as
virtio does). Answers carry checksums that are `needed` or done likewise.
"""
import fcntl
import os
import socket
import struct
import subprocess
import sys

import wire

TUNSETIFF, TUNSETOFFLOAD = 0x400454ca, 0x400454d0
IFF_TUN, IFF_NO_PI, IFF_VNET_HDR = 1, 0x1000, 0x4000
TUN_F_CSUM = 1
NEEDS_CSUM = 1


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def sums(packet):
    """The checksum field's offset, and the sum that belongs there."""
    v6 = packet[0] >> 4 == 6
    start = 40 if v6 else (packet[0] & 15) * 4
    proto = packet[6] if v6 else packet[9]
    offset = {6: 16, 17: 6, 1: 2, 58: 2}[proto]
    addresses = packet[8:40] if v6 else packet[12:20]
    body = packet[start:]
    pseudo = b"" if proto == 1 else addresses + struct.pack(
        "!IxxxB" if v6 else "!xBH",
        *((len(body), proto) if v6 else (proto, len(body))))
    zeroed = body[:offset] + b"\0\0" + body[offset + 2:]
    return start, offset, checksum(pseudo + zeroed), pseudo


def how(packet, header):
    start, offset, want, pseudo = sums(packet)
    got = struct.unpack_from("!H", packet, start + offset)[0]
    if header and header[0] & NEEDS_CSUM:
        # the sum of the pseudo-header is there already, the rest is to come
        return "partial" if got == ~checksum(pseudo) & 0xffff else \
            "partial-bad"
    return "good" if got == want or (got == 0xffff and want == 0) else "bad"


def reply(packet, vnet):
    v6 = packet[0] >> 4 == 6
    start, offset, _, _ = sums(packet)
    proto = packet[6] if v6 else packet[9]
    out = bytearray(packet)
    n, src, dst = (16, 8, 24) if v6 else (4, 12, 16)
    out[src:src + n], out[dst:dst + n] = \
        packet[dst:dst + n], packet[src:src + n]
    if proto == 17:
        out[start:start + 2] = packet[start + 2:start + 4]
        out[start + 2:start + 4] = packet[start:start + 2]
    elif packet[start] in (8, 128):
        out[start] = 0 if proto == 1 else 129
    else:
        return None
    _, _, want, pseudo = sums(bytes(out))
    header = b""
    if vnet:
        partial = proto == 17
        header = struct.pack("=BBHHHH", NEEDS_CSUM if partial else 0, 0, 0, 0,
                             start if partial else 0,
                             offset if partial else 0)
        if partial:
            want = ~checksum(pseudo) & 0xffff
    out[start + offset:start + offset + 2] = struct.pack("!H", want or 0xffff)
    return header + bytes(out)


def main(netns, dev, log, vnet=None):
    wire.enter(netns)
    fd = os.open("/dev/net/tun", os.O_RDWR)
    flags = IFF_TUN | IFF_NO_PI | (IFF_VNET_HDR if vnet else 0)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", dev.encode(), flags))
    if vnet:
        fcntl.ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM)
    subprocess.run(["ip", "link", "set", dev, "up"], check=True)
    with open(log, "w", buffering=1) as out:
        print("ready", file=out)
        while True:
            data = os.read(fd, 65536)
            header, packet = (data[:10], data[10:]) if vnet else (b"", data)
            v6 = packet[0] >> 4 == 6
            proto = packet[6] if v6 else packet[9]
            if proto not in (1, 6, 17, 58) or \
                    wire.destination(packet).startswith("ff02:"):
                continue
            print(wire.source(packet), wire.destination(packet), proto,
                  how(packet, header), file=out)
            answer = reply(packet, vnet) if proto != 6 else None
            if answer:
                os.write(fd, answer)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyboardInterrupt:
        pass
    except socket.error as error:
        sys.exit(f"tun.py: {error}")

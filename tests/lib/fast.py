#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What the fast path is tried with: a UDP flow that talks, frames that a pod or
an outsider makes up, and what really came over a wire.

fast.py talk DEST PORT SPORT SECONDS [SIZE [PROGRESS]]
    a datagram every 10 ms, each with a number, so long or until SIGTERM;
    "answered=N of=N late=N": late are the answers to those of the last second.
    An answer counts whenever it comes: what a busy machine delays is not lost.
    The file PROGRESS says how many were sent and answered so far
fast.py echo ADDR PORT
    sends back what comes; "ready" when it does
fast.py send DEV COUNT KEY=VALUE...
    frames with src, dst, sport, dport, text and, if named, size (of the IP
    packet), pad (bytes behind it), vlan, to and from (MAC), ttl, tos, gap (s),
    and what is wrong with it: headsum=bad, udplen, udpsum (0: none)
fast.py icmp DEST SECONDS KIND COUNT
    pings, all of one identifier, so long; then so many queries of another kind
    with it: "pings=N of=N others=N", what was answered
fast.py watch DEV SECONDS TEXT
    IPv4 frames that come in with the text in them, so long or until SIGTERM:
    "count=N tags=A,B macs=.. longest=N ttls=.."
"""
import os
import signal
import socket
import struct
import sys
import time

SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_IGNORE_OUTGOING = 23
VLAN_VALID = 0x10


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


class Stop:
    """Time is up, or somebody has said so (SIGTERM)."""

    def __init__(self, seconds):
        self.end = time.monotonic() + float(seconds)
        signal.signal(signal.SIGTERM, self.now)

    def now(self, *_):
        self.end = 0

    def __bool__(self):
        return time.monotonic() >= self.end


def talk(dest, port, sport, seconds, size="0", progress=None):
    v6 = ":" in dest
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET,
                         socket.SOCK_DGRAM)
    sock.bind(("", int(sport)))
    sock.connect((dest, int(port)))
    stop = Stop(seconds)
    sent, answered = [], set()

    def hear(until, enough):
        while not enough() and time.monotonic() < until:
            sock.settimeout(max(0.001, until - time.monotonic()))
            try:
                word = sock.recv(65536).split(b".")[0]
                if word.isdigit():  # else answers what others made up
                    answered.add(int(word))
            except TimeoutError:
                break
            except OSError:  # an ICMP error
                time.sleep(0.01)

    while not stop:
        number = len(sent)
        sent.append(time.monotonic())
        try:
            sock.send((b"%d.talk." % number).ljust(int(size), b"."))
        except OSError:
            pass
        hear(sent[-1] + 0.3, lambda n=number: n in answered)
        if progress:
            with open(progress + "~", "w", encoding="ascii") as file:
                print(len(sent), len(answered), file=file)
            os.replace(progress + "~", progress)
        time.sleep(0.01)
    late = [n for n, at in enumerate(sent) if at > sent[-1] - 1]
    if answered.intersection(late):  # else it has come to nothing
        hear(time.monotonic() + 3, lambda: len(answered) == len(sent))
    print(f"answered={len(answered)} of={len(sent)} "
          f"late={len(answered.intersection(late))}", flush=True)


def echo(addr, port):
    sock = socket.socket(socket.AF_INET6 if ":" in addr else socket.AF_INET,
                         socket.SOCK_DGRAM)
    sock.bind((addr, int(port)))
    print("ready", flush=True)
    while True:
        data, peer = sock.recvfrom(65536)
        try:
            sock.sendto(data, peer)
        except OSError:
            pass


def build(device_mac, k):
    payload = k["text"].encode()
    size = int(k.get("size", 0))
    if size:
        payload = payload.ljust(size - 28, b".")
    udp = struct.pack("!HHHH", int(k["sport"]), int(k["dport"]),
                      int(k.get("udplen", 8 + len(payload))),
                      int(k.get("udpsum", 0)))
    head = struct.pack("!BBHHHBBH4s4s", 0x45, int(k.get("tos", 0)),
                       28 + len(payload), 1, 0x4000, int(k.get("ttl", 64)), 17,
                       0, socket.inet_aton(k["src"]), socket.inet_aton(k["dst"]))
    check = checksum(head) ^ (1 if k.get("headsum") == "bad" else 0)
    head = head[:10] + struct.pack("!H", check) + head[12:]
    tag = struct.pack("!HH", 0x8100, int(k["vlan"])) if "vlan" in k else b""
    if "from" in k:
        device_mac = bytes.fromhex(k["from"].replace(":", ""))
    return (bytes.fromhex(k["to"].replace(":", "")) + device_mac + tag +
            b"\x08\x00" + head + udp + payload + b"#" * int(k.get("pad", 0)))


def send(dev, count, *words):
    k = dict(word.split("=", 1) for word in words)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((dev, 0))
    frame = build(sock.getsockname()[4], k)
    for _ in range(int(count)):
        sock.send(frame)
        time.sleep(float(k.get("gap", 0.01)))


def icmp(dest, seconds, kind, count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.settimeout(0.05)
    answers = {}

    def ask(kind, number):
        data = struct.pack("!BBHHH12s", kind, 0, 0, 7, number, b"")
        data = data[:2] + struct.pack("!H", checksum(data)) + data[4:]
        sock.sendto(data, (dest, 0))
        try:
            got = sock.recv(2000)[20]
            answers[got] = answers.get(got, 0) + 1
        except TimeoutError:
            pass

    stop, sent = Stop(seconds), 0
    while not stop:
        ask(8, sent)
        sent += 1
        time.sleep(0.01)
    for number in range(int(count)):
        ask(int(kind), number)
    print(f"pings={answers.pop(0, 0)} of={sent} others={sum(answers.values())}")


def watch(dev, seconds, text):
    # nothing before it is bound, or frames of other devices are among them
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    sock.bind((dev, 3))
    stop = Stop(seconds)
    print("ready", flush=True)
    count, longest, tags, macs, ttls = 0, 0, set(), set(), set()
    while True:
        ended = bool(stop)  # what has come by then is still looked at
        sock.settimeout(0 if ended else 0.02)
        try:
            frame, aux, _, _ = sock.recvmsg(65536, 256)
        except OSError:
            if ended:
                break
            continue
        if text.encode() not in frame:
            continue
        count += 1
        longest = max(longest, len(frame) - 14)
        macs.add(frame[:6].hex(":"))
        tag = "none"
        for _, _, data in aux:
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
            if status & VLAN_VALID:
                tag = str(tci & 0xfff)
        if frame[12:14] == b"\x81\x00":
            tag = str(struct.unpack("!H", frame[14:16])[0] & 0xfff)
        tags.add(tag)
        if frame[12:14] == b"\x08\x00":
            ttls.add(str(frame[22]))
    print(f"count={count} tags={','.join(sorted(tags))} "
          f"macs={','.join(sorted(macs))} longest={longest} "
          f"ttls={','.join(sorted(ttls))}", flush=True)


if __name__ == "__main__":
    {"talk": talk, "echo": echo, "send": send, "icmp": icmp,
     "watch": watch}[sys.argv[1]](*sys.argv[2:])

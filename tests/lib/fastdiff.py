#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Scripted random traffic, for the fast path and for the stack alike: what a
seed says is sent frame by frame, and what comes out is printed, a line each.
Two labs that treat packets alike print the same.

fastdiff.py PREFIX SEED
    in the namespaces PREFIX-node, -far, -pod1, -pod2, -pod3 of
    net/test_fastdiff, which has made them as this expects

Nobody's stack but the node's takes part: all frames are made here, and those
that come are taken off the wire. Each has a number in it, many times, so that a
fragment and a quote in an ICMP error have it, too. The lines have all bytes
from the IP header on, as a hash, of what is told apart by it.
"""
import ctypes
import fcntl
import hashlib
import ipaddress
import json
import os
import random
import re
import select
import socket
import struct
import subprocess
import sys
import time

CLONE_NEWNET = 0x40000000
PACKET_IGNORE_OUTGOING, SOL_PACKET, PACKET_AUXDATA, VLAN_VALID = 23, 263, 8, 16
PODS = 3
UDP, TCP = 17, 6
SYN, RST, PSH, ACK, FIN = 2, 4, 8, 16, 1
SETTLE = 1.3  # after it no consent of before is in force
NUMBER = re.compile(rb"#(\d{6})#")

libc = ctypes.CDLL(None, use_errno=True)


def sum16(data, start=0):
    if len(data) % 2:
        data += b"\0"
    total = start + sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


class Port:
    """An interface at the end of the lab: eth0 of a namespace."""

    def __init__(self, prefix, name):
        home = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{prefix}-{name}", os.O_RDONLY)
        if libc.setns(there, CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), name)
        self.name = name
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                  socket.htons(3))
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        self.sock.bind(("eth0", 0))
        self.sock.setblocking(False)
        self.mac = fcntl.ioctl(self.sock, 0x8927, b"eth0".ljust(40, b"\0"))[18:24]
        libc.setns(home, CLONE_NEWNET)
        os.close(home)
        os.close(there)


class Flow:
    def __init__(self, rng, index):
        self.pod = rng.randrange(PODS)
        self.v6 = rng.random() < 0.3
        self.proto = TCP if rng.random() < 0.4 else UDP
        self.sport = 40000 + rng.randrange(1500) * 16 + index
        self.dport = rng.choice((443, 8080, 5001, 53))
        pod = (f"fd00:44::{15 + self.pod}" if self.v6
               else f"10.44.14.{15 + self.pod}")
        rem = (f"2001:db8:30::{100 + rng.randrange(8)}" if self.v6
               else f"172.30.12.{100 + rng.randrange(8)}")
        node = "fd00:142::6" if self.v6 else "10.142.0.6"
        self.addr = [ipaddress.ip_address(a).packed for a in (pod, rem, node)]
        self.tos = rng.choice((0, 0, 0, 8, 0xb8))
        self.seq = [1000, 5000]

    def __str__(self):
        return (f"{'tcp' if self.proto == TCP else 'udp'}{6 if self.v6 else 4} "
                f"pod{self.pod + 1}:{self.sport} > {self.dport}")


class Lab:
    def __init__(self, prefix, seed):
        self.prefix = prefix
        self.rng = random.Random(seed)
        self.ports = {name: Port(prefix, name) for name in
                      ["far"] + [f"pod{i + 1}" for i in range(PODS)]}
        self.gates = {}  # the node's end of each link
        for link in json.loads(self.node("ip", "-j", "link")):
            self.gates[link["ifname"]] = bytes.fromhex(
                link.get("address", "").replace(":", ""))
        self.number = 0
        self.step = 0
        self.flows = []
        self.rules = 0

    def node(self, *command, check=True):
        return subprocess.run(
            ["nsenter", f"--net=/run/netns/{self.prefix}-node", "--", *command],
            check=check, stdout=subprocess.PIPE,
            stderr=None if check else subprocess.DEVNULL, text=True).stdout

    # --- what is sent --------------------------------------------------------

    def l4(self, flow, out, payload, k, ends):
        flags = k.get("flags", ACK)
        sport, dport = flow.sport, flow.dport
        if not out:
            sport, dport = dport, sport
        src, dst = ends
        if flow.proto == UDP:
            head = struct.pack("!HHHH", sport, dport,
                               8 + len(payload) + k.get("more", 0), 0)
        else:
            seq = flow.seq[0 if out else 1]
            ack = flow.seq[1 if out else 0]
            head = struct.pack("!HHIIBBHHH", sport, dport, seq, ack,
                               0xf0 if "more" in k else 0x50, flags,
                               65000, 0, 0)
            flow.seq[0 if out else 1] += (len(payload) +
                                          bool(flags & (SYN | FIN)))
        pseudo = src + dst + struct.pack("!I", flow.proto) + \
            struct.pack("!I", len(head) + len(payload))
        check = ~sum16(pseudo + head + payload) & 0xffff or 0xffff
        at = 6 if flow.proto == UDP else 16
        return head[:at] + struct.pack("!H", check) + head[at + 2:] + payload

    def l3(self, flow, src, dst, data, k):
        tos, ttl = k.get("tos", flow.tos), k.get("ttl", 64)
        if flow.v6:
            extra, kind = b"", flow.proto
            if k.get("options"):  # destination options: PadN
                extra, kind = struct.pack("!BBBBI", flow.proto, 0, 1, 4, 0), 60
            return struct.pack("!IHBB", 6 << 28 | tos << 20 | k.get("label", 0),
                               len(extra) + len(data), kind,
                               ttl) + src + dst + extra + data
        options = b"\x01\x01\x01\x00" if k.get("options") else b""
        head = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, tos,
                           20 + len(options) + len(data), self.number & 0xffff,
                           k.get("frag", 0x4000 if k.get("df", True) else 0),
                           ttl, flow.proto, 0) + src + dst + options
        check = (~sum16(head) & 0xffff) ^ k.get("wrong", 0)
        return head[:10] + struct.pack("!H", check) + head[12:] + data

    def send(self, flow, out, k):
        """One packet of the flow; k: in what it is not an ordinary one."""
        src, dst = (flow.addr[0], flow.addr[1]) if out else \
            (flow.addr[1], flow.addr[0 if k.get("direct") else 2])
        ends = (src, dst)
        self.number += 1
        size = k.get("size", 100)
        payload = (b"#%06d#" % self.number * (size // 8 + 1))[:size]
        if k.get("empty"):
            payload = b""
        data = self.l4(flow, out, payload, k, ends)
        name = f"pod{k.get('by', flow.pod) + 1}" if out else "far"
        port = self.ports[name]
        to = k.get("to", self.gates[name if out else "eth0"])
        packets = []
        if k.get("cut") and not flow.v6:  # fragments
            half = len(data) // 2 & ~7
            packets = [self.l3(flow, src, dst, data[:half],
                               dict(k, frag=0x2000)),
                       self.l3(flow, src, dst, data[half:],
                               dict(k, frag=half // 8))]
        else:
            packets = [self.l3(flow, src, dst, data, k)]
        tag = struct.pack("!HH", 0x8100, k["vlan"]) if "vlan" in k else b""
        kind = b"\x86\xdd" if flow.v6 else b"\x08\x00"
        for packet in packets:
            try:
                port.sock.send(to + k.get("from", port.mac) + tag + kind +
                               packet + b"~" * k.get("pad", 0))
            except OSError as error:
                print("cannot send:", error)

    # --- what comes ----------------------------------------------------------

    def hear(self):
        """Lines of what has come, until nothing comes for a moment."""
        lines = []
        by_fd = {p.sock.fileno(): p for p in self.ports.values()}
        poll = select.poll()
        for fd in by_fd:
            poll.register(fd, select.POLLIN)
        while True:
            ready = poll.poll(12)
            if not ready:
                return sorted(lines)
            for fd, _ in ready:
                port = by_fd[fd]
                try:
                    frame, aux, _, _ = port.sock.recvmsg(70000, 256)
                except OSError:
                    continue
                line = self.look(port, frame, aux)
                if line:
                    lines.append(line)

    def look(self, port, frame, aux):
        number = NUMBER.search(frame)
        if not number:
            return None  # ARP and the like
        kind, packet = frame[12:14], frame[14:]
        tag = ""
        for _, _, data in aux:
            status, _, _, _, _, tci, _ = struct.unpack("=IIIHHHH", data[:20])
            if status & VLAN_VALID:
                tag = f" tag {tci & 0xfff}"
        gate = self.gates["eth0" if port.name == "far" else port.name]
        wrong = "" if frame[:6] == port.mac else " to another"
        wrong += "" if frame[6:12] == gate else " from another"
        made = packet
        if kind == b"\x08\x00":
            text = f"ttl {packet[8]} tos {packet[1]}"
            if packet[9] == 1:  # the node's own: its number is by chance
                made = packet[:4] + packet[6:10] + packet[12:]
                text += f" icmp {packet[20]}/{packet[21]}"
            if sum16(packet[:(packet[0] & 15) * 4]) != 0xffff:
                text += " bad checksum"
        else:
            text = f"hops {packet[7]}"
            if packet[6] == 58:
                made = packet[4:]  # but for its flow label
                text += f" icmp {packet[40]}/{packet[41]}"
        return (f"  {port.name} {int(number[1])} {len(packet)} B {text}{tag}"
                f"{wrong} {hashlib.sha1(made).hexdigest()[:12]}")

    # --- the script ----------------------------------------------------------

    def event(self, text, packets):
        """packets: (flow, out, k) each"""
        self.step += 1
        print(f"{self.step} {text}")
        for packet in packets:
            self.send(*packet)
        for line in self.hear():
            print(line)

    def ordinary(self, flow, count, **k):
        return [(flow, i % 2 == 0, dict(k)) for i in range(count)]

    def warm(self):
        """All flows established, and known to have gone the whole way."""
        for flow in self.flows:
            if flow.proto == TCP:
                self.event(f"{flow} opens", [
                    (flow, True, {"flags": SYN, "empty": True})])
                self.event("answered", [
                    (flow, False, {"flags": SYN | ACK, "empty": True})])
                self.event("opened", [(flow, True, {"empty": True})])
        self.event("all", [p for f in self.flows
                           for p in self.ordinary(f, 2)])
        time.sleep(2.2)
        self.event("all again", [p for f in self.flows
                                 for p in self.ordinary(f, 4)])

    def odd(self, flow):
        """One way in which a packet is not like the others, as k and a name."""
        r = self.rng
        far = self.ports["far"].mac
        others = [i for i in range(PODS) if i != flow.pod]
        return r.choice((
            ("another pod forges it", True, {"by": r.choice(others)}),
            ("with the first one's Ethernet address", True,
             {"by": r.choice(others),
              "from": self.ports[f"pod{flow.pod + 1}"].mac}),
            ("another Ethernet address", True, {"from": bytes.fromhex(
                "0200000000%02x" % r.randrange(256))}),
            ("not to the node", True, {"to": bytes.fromhex("020000001234")}),
            ("to all", True, {"to": b"\xff" * 6}),
            ("a tag", True, {"vlan": r.randrange(1, 4000)}),
            ("a tag of priority", True, {"vlan": 0x2000}),
            ("a tag from outside", False, {"vlan": r.randrange(1, 4000)}),
            ("not to the node, from outside", False, {"to": far}),
            ("to all, from outside", False, {"to": b"\xff" * 6}),
            ("from outside to the pod's own address", False, {"direct": True}),
            ("a short life", True, {"ttl": r.randrange(1, 4)}),
            ("a short life from outside", False, {"ttl": r.randrange(1, 4)}),
            ("another life", r.random() < .5, {"ttl": r.randrange(4, 256)}),
            ("another tos", r.random() < .5, {"tos": r.randrange(256)}),
            ("ECN", r.random() < .5, {"tos": flow.tos | r.randrange(4)}),
            ("options", r.random() < .5, {"options": True}),
            ("fragments", r.random() < .5,
             {"cut": True, "df": False, "size": 400}),
            ("may be fragmented", r.random() < .5,
             {"df": False, "size": r.randrange(8, 1400)}),
            ("bytes behind it", r.random() < .5, {"pad": r.randrange(1, 64)}),
            ("nothing in it but its number", r.random() < .5, {"size": 8}),
            ("a size", r.random() < .5, {"size": r.randrange(8, 1440)}),
            ("a large one, then", True, {"size": 1420}),
            ("a flow label", True, {"label": r.randrange(1 << 20)}),
            ("a wrong checksum of the header", r.random() < .5,
             {"wrong": 1 << r.randrange(16)}),
            ("a length that is more than it has", r.random() < .5,
             {"more": r.randrange(1, 2000), "size": 8}),
            ("PSH, or whatever UDP makes of it", r.random() < .5,
             {"flags": PSH | ACK}),
        ))

    def change(self):
        """Something of the node becomes another; text, and what to run."""
        r = self.rng
        flow = r.choice(self.flows)
        fam = "ip6" if flow.v6 else "ip"
        proto = "tcp" if flow.proto == TCP else "udp"
        pod = f"pod{flow.pod + 1}"
        field = "hoplimit" if flow.v6 else "ttl"
        name = f"r{self.rules}"
        choices = [
            f"{proto} dport {flow.dport} counter name {name} drop",
            f"{proto} sport {flow.dport} counter name {name} drop",
            f"iifname {pod} {proto} sport {flow.sport} counter name {name} drop",
            f"oifname {pod} {proto} dport {flow.sport} counter name {name} drop",
            f"{fam} dscp {r.choice(('cs1', 'ef'))} counter name {name} drop",
            f"{fam} {field} < {r.choice((5, 60))} counter name {name} drop",
            f"{proto} dport {flow.dport} meta mark set {r.randrange(1, 9)}",
            f"iifname {pod} {fam} dscp 0 counter name {name} reject",
            f"{proto} dport {flow.dport} {fam} dscp set cs3",
        ]
        if r.random() < 0.25 and self.rules:
            return "rules go", ["nft", "flush", "chain", "inet", "diff", "some"]
        if r.random() < 0.25:
            mtu = r.choice((700, 1000, 1280, 1400)) if not flow.v6 else \
                r.choice((1280, 1400))
            dest = "2001:db8:30::/48" if flow.v6 else "172.30.0.0/16"
            via = "fd00:142::1" if flow.v6 else "10.142.0.1"
            return f"mtu {mtu} to {dest}", [
                "ip", "route", "replace", dest, "via", via, "mtu", str(mtu)]
        self.rules += 1
        self.node("nft", "add", "counter", "inet", "diff", name)
        rule = r.choice(choices)
        return rule, ["nft", "add", "rule", "inet", "diff", "some", rule]

    def run(self):
        r = self.rng
        self.node("nft", "add", "table", "inet", "diff")
        self.node("nft", "add", "chain", "inet", "diff", "forward",
                  "{ type filter hook forward priority 0; }")
        self.node("nft", "add", "chain", "inet", "diff", "some")
        for rule in r.sample((
                "ct state invalid drop", "counter", "meta mark set ct mark",
                'iifname "pod1" ip saddr != 10.44.14.15 drop',
                'iifname "pod2" ip saddr != 10.44.14.16 drop',
                'iifname "pod3" ip6 saddr != fd00:44::17 drop',
                "ip dscp cs1 drop", "ip6 dscp != 0 drop", "ip ttl < 40 drop",
                "ip6 hoplimit > 100 drop"), 4):
            self.node("nft", "add", "rule", "inet", "diff", "forward", rule)
        self.node("nft", "add", "rule", "inet", "diff", "forward", "jump some")
        self.node("sysctl", "-qw", "net.ipv4.conf.all.rp_filter="
                  f"{r.randrange(3)}")
        self.flows = [Flow(r, i) for i in range(r.randrange(3, 7))]
        self.warm()
        for _ in range(r.randrange(2, 4)):
            for _ in range(r.randrange(8, 16)):
                flow = r.choice(self.flows)
                if r.random() < 0.3:
                    self.event(f"{flow} goes on",
                               self.ordinary(flow, r.randrange(2, 12),
                                             size=r.choice((8, 100, 900, 1300))))
                    continue
                text, out, k = self.odd(flow)
                count = r.randrange(1, 4)
                shown = {key: value for key, value in k.items()
                         if isinstance(value, int)}
                self.event(f"{flow}: {text} {shown}",
                           [p for _ in range(count) for p in
                            self.ordinary(flow, 2) + [(flow, out, dict(k))]])
            text, command = self.change()
            print(f"-- {text}")
            self.node(*command)
            time.sleep(SETTLE)
            self.event("all", [p for f in self.flows
                               for p in self.ordinary(f, 4)])
        flow = r.choice(self.flows)
        if flow.proto == TCP:
            self.event(f"{flow} ends", [
                (flow, True, {"flags": r.choice((FIN | ACK, RST | ACK)),
                              "empty": True})] + self.ordinary(flow, 4))
        for entry in json.loads(self.node("nft", "-j", "list", "counters",
                                          "table", "inet", "diff"))["nftables"]:
            counter = entry.get("counter")
            if counter:
                print("dropped by", counter["name"], counter["packets"],
                      counter["bytes"])
        self.node("nft", "delete", "table", "inet", "diff")
        for dest in "172.30.0.0/16", "2001:db8:30::/48":
            self.node("ip", "route", "del", dest, check=False)


if __name__ == "__main__":
    Lab(sys.argv[1], int(sys.argv[2])).run()

#!/usr/bin/env python3
"""Random nat tables, and what they do to packets: before masqbpf and after.

usage: chains.py MASQBPF TOOL LAB SEED COUNT

TOOL is nft or legacy. LAB is the name of a lab that has the namespaces
LAB-node (uplink eth0), LAB-pod1 and LAB-far, and pod1 has every address of
SOURCES. For COUNT tables, drawn from SEED: packets of three protocols from
every source to every destination are sent and looked at on far's side, once
while netfilter translates and once while masqbpf does by what `import` made of
the table (every other one by `migrate`). Who is translated has to be the same.
What `import` refuses has to be refused with the name of a rule.
"""
import ctypes
import os
import random
import select
import socket
import struct
import subprocess
import sys
import tempfile
import time

SOURCES = {
    4: ["10.44.14.15", "10.44.14.16", "10.44.20.5", "10.44.200.9", "10.55.1.1"],
    6: ["fd00:44::15", "fd00:44:1::5", "fd00:55::1"],
}
DESTS = {
    4: ["172.30.12.110", "172.30.200.1", "172.31.0.9", "10.1.2.3",
        "10.1.200.3", "10.200.0.1", "8.8.8.8", "192.168.9.9", "169.254.7.7"],
    6: ["2001:db8:30::110", "2001:db8:40::1", "fd00:9::1", "fd12:3::4"],
}
NODE = {4: "10.142.0.6", 6: "fd00:142::6"}
SRC_POOL = {
    4: ["10.44.0.0/16", "10.44.14.0/24", "10.44.14.15/32", "10.44.128.0/17",
        "10.0.0.0/8", "10.55.0.0/16", "192.0.2.0/24"],
    6: ["fd00:44::/32", "fd00:44:1::/48", "fd00::/16", "fd00:55::1/128"],
}
DST_POOL = {
    4: ["10.0.0.0/8", "10.1.0.0/16", "10.1.200.0/24", "172.16.0.0/12",
        "172.30.0.0/16", "172.30.12.110/32", "192.168.0.0/16", "8.0.0.0/8",
        "169.254.0.0/16", "169.254.7.7/32", "128.0.0.0/1"],
    6: ["fd00::/8", "2001:db8::/32", "2001:db8:30::/48", "fd12:3::/32",
        "fe80::/10"],
}
CHAIN = "IP-MASQ-AGENT"
PROTOCOLS = ("udp", "tcp", "icmp")
libc = ctypes.CDLL(None, use_errno=True)


def enter(path):
    with open(path) as ns:
        if libc.setns(ns.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), path)


class Inside:
    """Sockets are made in the namespace that their maker is in."""

    def __init__(self, name):
        self.name = name

    def __enter__(self):
        enter("/run/netns/" + self.name)

    def __exit__(self, *why):
        enter("/proc/1/ns/net" if HOME is None else HOME)


HOME = None


class Wire:
    def __init__(self, lab):
        self.lab = lab
        self.mark = random.randrange(1 << 14)
        with Inside(lab + "-far"):
            self.far = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                     socket.htons(3))
            self.far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
            self.far.bind(("eth0", 0))

    def send(self, family, proto, src, dst, number):
        """number: says whose packet it is, in the ports or the echo's id"""
        af = socket.AF_INET if family == 4 else socket.AF_INET6
        if proto == "icmp":
            kind = socket.IPPROTO_ICMP if family == 4 else socket.IPPROTO_ICMPV6
            sock = socket.socket(af, socket.SOCK_RAW, kind)
            sock.bind((src, 0))
            head = struct.pack("!BBHHH", 8 if family == 4 else 128, 0, 0,
                               self.mark + 1000, number)
            if family == 4:
                total = sum(struct.unpack("!4H", head))
                total = (total & 0xffff) + (total >> 16)
                head = head[:2] + struct.pack("!H", ~total & 0xffff) + head[4:]
            sock.sendto(head, (dst, 0))
        elif proto == "udp":
            sock = socket.socket(af, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((src, 40000 + self.mark))
            sock.sendto(struct.pack("!H", number), (dst, 2000 + number))
        else:
            sock = socket.socket(af, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind((src, 40000 + self.mark))
            sock.connect_ex((dst, 2000 + number))
        return sock

    @staticmethod
    def parse(frame):
        kind = struct.unpack("!H", frame[12:14])[0]
        if kind == 0x0800:
            proto, rest = frame[23], frame[14 + 4 * (frame[14] & 15):]
            src, dst = (socket.inet_ntoa(frame[i:i + 4]) for i in (26, 30))
            family = 4
        elif kind == 0x86dd:
            proto, rest = frame[20], frame[54:]
            src, dst = (socket.inet_ntop(socket.AF_INET6, frame[i:i + 16])
                        for i in (22, 38))
            family = 6
        else:
            return None
        if proto in (6, 17):
            number = struct.unpack("!H", rest[2:4])[0] - 2000
            return family, "udp" if proto == 17 else "tcp", src, dst, number
        if (proto, rest[:1]) in ((1, b"\x08"), (58, b"\x80")):
            return family, "icmp", src, dst, struct.unpack("!H", rest[6:8])[0]
        return None

    def probe(self):
        """{(family, protocol, source, destination): source that far saw}"""
        self.mark = (self.mark + 1) % (1 << 14)
        seen, wanted, sockets = {}, {}, []
        while select.select([self.far], [], [], 0)[0]:
            self.far.recv(65536)
        with Inside(self.lab + "-pod1"):
            for family in (4, 6):
                for proto in PROTOCOLS:
                    for i, src in enumerate(SOURCES[family]):
                        for dst in DESTS[family]:
                            wanted[family, proto, i, dst] = src
                            sockets.append(self.send(family, proto, src, dst,
                                                     i))
        end = time.time() + 10 * int(os.environ.get("TEST_SLOW", 1))
        while len(seen) < len(wanted) and time.time() < end:
            if not select.select([self.far], [], [], 0.5)[0]:
                continue
            got = self.parse(self.far.recv(65536))
            if got and (got[0], got[1], got[4], got[3]) in wanted:
                seen.setdefault((got[0], got[1], got[4], got[3]), got[2])
        for sock in sockets:
            sock.close()
        return {(f, p, wanted[f, p, i, d], d):
                "the node" if seen.get((f, p, i, d)) == NODE[f] else
                "the pod" if seen.get((f, p, i, d)) == wanted[f, p, i, d] else
                str(seen.get((f, p, i, d)))
                for f, p, i, d in wanted}


def condition(rng, family, odd):
    words = []
    if rng.random() < 0.15:
        words += (["!"] if rng.random() < 0.3 else []) + \
            ["-s", rng.choice(SRC_POOL[family])]
    if rng.random() < 0.75:
        words += (["!"] if rng.random() < 0.1 else []) + \
            ["-d", rng.choice(DST_POOL[family])]
    if rng.random() < odd:
        words += rng.choice([["-m", "mark", "--mark", "0x1/0x1"],
                             ["-p", "tcp"], ["!", "-p", "udp"], ["-o", "eth0"],
                             ["!", "-o", "lo"],
                             ["-m", "statistic", "--mode", "random",
                              "--probability", "0.5"]])
    if rng.random() < 0.2:
        words += ["-m", "comment", "--comment",
                  rng.choice(['"-j RETURN"', '"\\"$(id)\\" x"', "-j"])]
    return words


def table(rng, family):
    """As iptables-restore reads it."""
    # one in three is as ip-masq-agent itself would make it, or nearly
    plain = rng.random() < 0.35
    odd = 0 if plain else 0.1
    own, post, sub = [], [], []
    for _ in range(rng.randrange(6)):
        words = condition(rng, family, odd)
        if plain:
            words = ["-d", rng.choice(DST_POOL[family])]
        own.append(words + ["-j", rng.choice(
            ["RETURN"] * 5 + ["ACCEPT"] +
            ([] if plain else ["MASQUERADE"] * 3 + ["SUB"]))])
    if plain or rng.random() < 0.8:
        own.append(["-j", "MASQUERADE"] +
                   (["--random-fully"] if rng.random() < 0.2 else []))
    for _ in range(rng.randrange(3)):
        sub.append(condition(rng, family, odd) + ["-j", rng.choice(
            ["RETURN", "ACCEPT", "MASQUERADE"])])
    for _ in range(rng.choice([1, 1, 1, 2, 3]) if rng.random() < 0.93 else 0):
        words = []
        if not plain and rng.random() < 0.5:
            words += ["-s", rng.choice(SRC_POOL[family])]
        if not plain and rng.random() < 0.1:
            words += ["-d", rng.choice(DST_POOL[family])]
        if rng.random() < odd:
            words += ["-o", "eth0"]
        if rng.random() < 0.5:
            words += ["-m", "addrtype", "!", "--dst-type", "LOCAL"]
        post.append(words + ["-g" if not plain and rng.random() < 0.1 else "-j",
                             CHAIN])
    if not plain and rng.random() < 0.25:
        post.insert(rng.randrange(len(post) + 1),
                    condition(rng, family, odd) +
                    ["-j", rng.choice(["ACCEPT", "RETURN", "MASQUERADE"])])
    if rng.random() < 0.4:  # kube-proxy's
        post.insert(0, ["-j", "KUBE-POSTROUTING"])
    lines = ["*nat", ":POSTROUTING ACCEPT [0:0]", f":{CHAIN} - [0:0]",
             ":SUB - [0:0]", ":KUBE-POSTROUTING - [0:0]"]
    lines += [f"-A {name} " + " ".join(rule)
              for name, rules in (("POSTROUTING", post), (CHAIN, own),
                                  ("SUB", sub)) for rule in rules]
    lines += ["-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN",
              "-A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0",
              "-A KUBE-POSTROUTING -j MASQUERADE"]
    return "\n".join(lines + ["COMMIT", ""])


def without_jumps(rules):
    return "\n".join(line for line in rules.split("\n")
                     if not (line.startswith("-A POSTROUTING") and
                             line.split()[-1] == CHAIN))


EMPTY = "*nat\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n"


class Node:
    def __init__(self, masqbpf, tool, lab):
        self.masqbpf, self.tool, self.lab = masqbpf, tool, lab

    def run(self, *command, stdin="", check=True):
        done = subprocess.run(
            ["nsenter", "--net=/run/netns/" + self.lab + "-node", "--",
             *command], input=stdin, capture_output=True, text=True)
        if check and done.returncode:
            raise RuntimeError(f"{command}: {done.stderr}")
        return done

    def masq(self, *args, **kwargs):
        return self.run(self.masqbpf, *args, **kwargs)

    def set_tables(self, tables):
        for family in (4, 6):
            self.run(("ip6" if family == 6 else "ip") +
                     f"tables-{self.tool}-restore",
                     stdin=tables.get(family, EMPTY))

    def clean(self):
        self.masq("detach", "--all", check=False)
        self.run("nft", "delete", "table", "inet", "masqbpf_migrate",
                 check=False)
        self.set_tables({})


def one(node, wire, rng, number):
    """None: the same before and after; a text: refused; or it fails."""
    tables = {family: table(rng, family)
              for family in rng.choice([(4,), (4,), (4,), (6,), (4, 6)])}
    if rng.random() < 0.1:  # a chain that nothing jumps to
        family = rng.choice((4, 6))
        if family not in tables:
            tables[family] = without_jumps(table(rng, family))
    node.set_tables(tables)
    text = "\n".join(tables.values())
    jumps = any(line.startswith("-A POSTROUTING") and CHAIN in line.split()
                for line in text.split("\n"))
    before = wire.probe()
    made = node.masq("import", "iptables", check=False)
    where = f"table {number}:\n{text}\n"
    if made.returncode:
        if "rule " not in made.stderr or "cannot be said" not in made.stderr \
                or made.stdout:
            raise RuntimeError(where + made.stderr)
        return made.stderr.strip()
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as config:
        config.write(made.stdout)
        config.flush()
        if not jumps:
            return None  # it says what the chain would do if it did
        if number % 2:
            node.masq("migrate", "eth0", "--no-wait")
        else:
            node.set_tables({family: without_jumps(rules)
                             for family, rules in tables.items()})
            node.masq("attach", "eth0", "--config", config.name)
    after = wire.probe()
    for key, saw in before.items():
        if saw != after[key]:
            family, proto, src, dst = key
            raise RuntimeError(
                f"{where}{made.stdout}{proto} from {src} to {dst}: far saw "
                f"{saw} before, {after[key]} after")
    if "the pod" not in before.values() and "the node" not in before.values():
        raise RuntimeError("far saw nothing")
    return None


def main():
    global HOME
    masqbpf, tool, lab, seed, count = sys.argv[1:]
    HOME = f"/proc/{os.getpid()}/ns/net"
    home = os.open(HOME, os.O_RDONLY)
    HOME = f"/proc/self/fd/{home}"
    node, wire = Node(masqbpf, tool, lab), Wire(lab)
    refused, same = [], 0
    for number in range(int(count)):
        rng = random.Random(f"{seed}-{number}")
        try:
            why = one(node, wire, rng, number)
        except RuntimeError as error:
            print(f"seed {seed}: {error}")
            return 1
        finally:
            node.clean()
        if why:
            refused.append(why)
        else:
            same += 1
    print(f"same={same} refused={len(refused)}")
    if os.environ.get("CHAINS_VERBOSE"):
        print("\n".join(refused))
    return 0


if __name__ == "__main__":
    sys.exit(main())

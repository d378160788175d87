#!/usr/bin/env python3
"""routes.py MASQBPF LAB_ID SEED NODES: random routing on the lab's node, and
for each pod and destination three answers side by side: what `masqbpf explain`
says, what arrives at the far side (address and interface), and what
`ip route get DEST from POD iif DEVICE` says. Ends at the first that differs,
with the seed and the commands that lead there.

The lab: namespaces node, far, pod1, pod2; uplinks eth0 and lb0 of the node end
in far by the same names; a third, side0, is not attached.
"""
import ctypes
import errno
import json
import os
import random
import socket
import subprocess
import sys
import time

MASQBPF, LAB, SEED, NODES = sys.argv[1], sys.argv[2], int(sys.argv[3]), \
    int(sys.argv[4])
LIBC = ctypes.CDLL(None, use_errno=True)
UPLINKS = ("eth0", "lb0", "side0")
ATTACHED = ("eth0", "lb0")
FAMILIES = {
    4: {
        "pods": {"pod1": "10.44.14.15", "pod2": "10.44.14.16"},
        "net": "10.44.0.0/16",
        "dests": ("172.30.12.110", "172.30.99.1", "172.30.200.7"),
        "some": "172.30.96.0/19",
        "via": {"eth0": "10.142.0.1", "lb0": "10.150.0.2",
                "side0": "10.151.0.2"},
        "own": ("10.142.0.6", "10.142.0.66", "10.150.0.1", "10.151.0.1"),
    },
    6: {
        "pods": {"pod1": "fd00:44::15", "pod2": "fd00:44::16"},
        "net": "fd00:44::/64",
        "dests": ("2001:db8:30::110", "2001:db8:30:1::9"),
        "some": "2001:db8:30:1::/64",
        "via": {"eth0": "fd00:142::1", "lb0": "fd00:150::2",
                "side0": "fd00:151::2"},
        "own": ("fd00:142::6", "fd00:150::1", "fd00:151::1"),
    },
}
NO_WAY = {"blackhole": "blackhole", "unreachable": "unreachable",
          "prohibit": "prohibit"}


def enter(name):
    with open("/run/netns/%s-%s" % (LAB, name)) as ns:
        if LIBC.setns(ns.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns " + name)


def in_node(*argv, check=True):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit("%s: %s" % (" ".join(argv), done.stderr))
    return done


# --- the far side ------------------------------------------------------------

def listen():
    """A packet socket for each interface of far."""
    enter("far")
    out = {}
    for dev in UPLINKS:
        s = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                          socket.htons(3))
        s.bind((dev, 3))
        s.setblocking(False)
        out[dev] = s
    return out


def read_packet(data):
    """(source, destination port) of a UDP datagram, or None."""
    if data[0] >> 4 == 4 and data[9] == 17:
        at = (data[0] & 15) * 4
        return (socket.inet_ntop(socket.AF_INET, data[12:16]),
                int.from_bytes(data[at + 2:at + 4], "big"))
    if data[0] >> 4 == 6 and data[6] == 17:
        return (socket.inet_ntop(socket.AF_INET6, data[8:24]),
                int.from_bytes(data[42:44], "big"))
    return None


def collect(far, wanted, seen):
    """Reads until all of wanted have come, or for a second; and a bit more."""
    until = time.monotonic() + 1.0 * float(os.environ.get("TEST_SLOW", 1))
    late = None
    while time.monotonic() < (late or until):
        for dev, s in far.items():
            try:
                while True:
                    data, addr = s.recvfrom(2048)
                    if addr[2] == socket.PACKET_OUTGOING:
                        continue
                    packet = read_packet(data)
                    if packet:
                        seen.setdefault(packet[1], []).append(
                            (dev, packet[0]))
            except BlockingIOError:
                pass
        if not late and wanted <= set(seen):
            late = time.monotonic() + 0.02
        time.sleep(0.002)


# --- random nodes -----------------------------------------------------------------

def random_route(rng, f, family, table, prefix="default"):
    """Words of `ip route add` for one way out, or none."""
    kind = rng.random()
    words = []
    if kind < 0.12:
        words = [rng.choice(list(NO_WAY)), prefix]
    elif kind < 0.17:
        words = ["throw", prefix]
    elif kind < 0.22 and table != "main":
        # what a rule leads there the node takes for its own
        words = ["local", prefix, "dev", "lo"]
    else:
        dev = rng.choice(UPLINKS if rng.random() < 0.3 else ATTACHED)
        words = [prefix]
        if family == 6 and rng.random() < 0.25:
            words += ["from", rng.choice((f["net"], "%s/128" % rng.choice(
                list(f["pods"].values()))))]
        kind = rng.random()
        if words == [prefix] and kind < 0.2:
            # as an object: 1 to 3, in the order of UPLINKS; 4 is a black hole
            words += ["nhid", str(rng.choice((
                1 + UPLINKS.index(dev), 1 + UPLINKS.index(dev), 4)))]
        else:
            words += ["via", f["via"][dev], "dev", dev]
            if kind > 0.9:
                words += ["onlink"]
        if rng.random() < 0.4:
            words += ["src", rng.choice(f["own"])]
    return words + ["table", table]


def random_rule(rng, f, table):
    words = []
    if rng.random() < 0.5:
        words += ["from", rng.choice((f["net"], *f["pods"].values()))]
    if rng.random() < 0.4:
        words += ["iif", rng.choice(list(f["pods"]))]
    if rng.random() < 0.4:
        words += ["to", rng.choice((f["some"], *f["dests"]))]
    if rng.random() < 0.2:
        words += ["ipproto", rng.choice(("udp", "udp", "tcp"))]
    if rng.random() < 0.2:
        # of the ports that packets go to, some
        first = rng.randrange(40000, 50000)
        words += ["dport", "%d-%d" % (first, first + rng.randrange(10000))]
    if rng.random() < 0.1:
        words += ["not"]
        if len(words) == 1:
            words += ["from", f["pods"]["pod1"]]
        words.insert(0, words.pop(words.index("not")))
    action = ["lookup", table] if rng.random() < 0.85 else \
        [rng.choice(list(NO_WAY))]
    if action[0] == "lookup" and rng.random() < 0.15:
        action += ["suppress_prefixlength", str(rng.choice((0, 0, 19)))]
    return words + ["priority", str(rng.randrange(100, 900))] + action


def make_node(rng, family):
    """The node's commands; those that the kernel refuses are left out."""
    f = FAMILIES[family]
    ip = ["ip", "-%d" % family]
    done = []
    commands = [ip + ["nexthop", "add", "id", str(1 + i), "via", f["via"][dev],
                      "dev", dev] for i, dev in enumerate(UPLINKS)]
    commands.append(ip + ["nexthop", "add", "id", "4", "blackhole"])
    if rng.random() < 0.4:
        commands.append(ip + ["route", "del", "default"])
        if rng.random() < 0.6:
            commands.append(ip + ["route", "add"] +
                            random_route(rng, f, family, "main"))
    for table in ("100", "101", "102"):
        if rng.random() < 0.8:
            commands.append(ip + ["route", "add"] +
                            random_route(rng, f, family, table))
        if rng.random() < 0.4:
            commands.append(ip + ["route", "add"] + random_route(
                rng, f, family, table, rng.choice(
                    (f["some"], f["dests"][0]))))
    for _ in range(rng.randrange(5)):
        commands.append(ip + ["rule", "add"] + random_rule(
            rng, f, rng.choice(("100", "101", "102", "main"))))
    for command in commands:
        if not in_node(*command, check=False).returncode:
            done.append(" ".join(command))
    # what is known of the node's addresses: as it was at first, or by now
    if rng.random() < 0.5:
        in_node(MASQBPF, "attach", "-q", "eth0")
        done.append("masqbpf attach eth0")
    return done


def clean_node(family):
    f = FAMILIES[family]
    ip = ["ip", "-%d" % family]
    while True:
        rules = json.loads(in_node(*ip, "-j", "rule").stdout)
        mine = [r for r in rules if 100 <= r["priority"] < 900]
        if not mine:
            break
        for rule in mine:
            in_node(*ip, "rule", "del", "priority", str(rule["priority"]))
    for table in ("100", "101", "102"):
        in_node(*ip, "route", "flush", "table", table, check=False)
    while not in_node(*ip, "route", "del", "default",
                      check=False).returncode:
        pass
    for kind in NO_WAY:
        in_node(*ip, "route", "del", kind, "default", check=False)
    in_node("ip", "nexthop", "flush")
    in_node(*ip, "route", "add", "default", "via", f["via"]["eth0"], "dev",
            "eth0")


# --- three answers ------------------------------------------------------------------

def explain(pod, dest, port):
    done = in_node(MASQBPF, "explain", dest, "--source", pod, "--proto", "udp",
                   "--port", str(port), "--json")
    return json.loads(done.stdout)


def route_get(family, pod, dev, dest, port):
    done = in_node("ip", "-%d" % family, "-j", "route", "get", dest, "from",
                   pod, "iif", dev, "ipproto", "udp", "dport", str(port),
                   check=False)
    if done.returncode:
        return None
    route = json.loads(done.stdout)[0]
    return None if route.get("type") in NO_WAY or "dev" not in route or \
        route["dev"] == "lo" else route["dev"]


class Ports:
    """Of the pods' sockets and of destinations: none twice in a row."""
    at = 0

    @classmethod
    def next(cls):
        cls.at = (cls.at + 1) % 20000
        return 40000 + cls.at


def send(family, pod, dest, port):
    f = FAMILIES[family]
    enter(pod)
    s = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,
                      socket.SOCK_DGRAM)
    s.bind((f["pods"][pod], port))
    try:
        s.sendto(b"x", (dest, port))
    except OSError as e:
        # an ICMP error of the packet before is told to the next one
        if e.errno not in (errno.EHOSTUNREACH, errno.ENETUNREACH,
                           errno.EACCES):
            raise
    s.close()


def differs(case, said, got, found):
    if len(got) > 1:
        return "came %d times" % len(got)
    if not found:
        if said["no_route"] is None and said["stays"] != "node":
            return "ip route get finds no way"
        return "came all the same" if got else None
    if said["stays"]:
        return "ip route get leads on"
    if said["no_route"]:
        return "ip route get finds one"
    if said["uplink"] != found:
        return "ip route get finds another uplink"
    if not got:
        return "did not come"
    dev, source = got[0]
    if dev != said["uplink"]:
        return "came by another uplink"
    want = said["source_seen"] if said["uplink_attached"] else case["source"]
    if source != want:
        return "came from another address"
    return None


def main():
    rng = random.Random(SEED)
    far = listen()
    enter("node")
    cases = counts = 0
    kinds = {"without a way": 0, "the node's own": 0, "not attached": 0,
             "by a hint": 0}
    for node in range(NODES):
        family = rng.choice((4, 4, 6))
        f = FAMILIES[family]
        enter("node")
        commands = make_node(rng, family)
        asked, wanted, seen = [], set(), {}
        for pod, source in f["pods"].items():
            for dest in f["dests"]:
                enter("node")
                port = Ports.next()
                said = explain(source, dest, port)
                found = route_get(family, source, pod, dest, port)
                asked.append(({"pod": pod, "source": source, "dest": dest,
                               "port": port}, said, found))
                if not said["no_route"] and not said["stays"]:
                    wanted.add(port)
                send(family, pod, dest, port)
        collect(far, wanted, seen)
        enter("node")
        for case, said, found in asked:
            got = seen.get(case["port"], [])
            why = differs(case, said, got, found)
            cases += 1
            kinds["without a way"] += bool(said["no_route"])
            kinds["the node's own"] += bool(said["stays"])
            kinds["not attached"] += not said["uplink_attached"] and \
                not said["no_route"] and not said["stays"]
            kinds["by a hint"] += said["source_seen"] not in (
                None, f["own"][0], case["source"])
            if why:
                print("# seed %d, node %d: %s to %s: %s" % (
                    SEED, node, case["source"], case["dest"], why))
                for command in commands:
                    print("#   " + command)
                print("#   explain: %s" % {k: said[k] for k in (
                    "action", "source_seen", "uplink", "uplink_attached",
                    "no_route", "stays", "reason")})
                print("#   ip route get: %s" % found)
                print("#   far side: %s" % got)
                clean_node(family)
                return 1
        counts += len(commands)
        clean_node(family)
    print("%d nodes, %d commands, %d packets, %s" % (
        NODES, counts, cases, ", ".join("%d %s" % (n, kind)
                                        for kind, n in kinds.items())))
    # by chance a few nodes have none of a kind
    if NODES >= 150 and not all(kinds.values()):
        print("# not all kinds were met")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

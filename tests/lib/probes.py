#!/usr/bin/python3
"""A scanner's strange probes, from a pod, and who the far side sees.

  probes.py POD_NS NODE_MAC FAR_NS DROPS_COMMAND...

Prints a line for every class of probes: its name, how many were sent, how many
arrived with a source that may be seen, how many with any other, and by how
much the counters of drops went up, which is what DROPS_COMMAND prints.
"""
import random
import subprocess
import sys

import wire

# its warnings are about the machine's routes, which no probe uses
import logging
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (IP, TCP, UDP, Raw,  # noqa: E402
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment,
                       IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, raw)

POD, FAR, KEPT, NODE = "10.44.14.15", "172.30.12.110", "10.142.0.1", \
    "10.142.0.6"
POD6, FAR6, KEPT6, NODE6 = "fd00:44::15", "2001:db8:30::110", \
    "fd00:142::1", "fd00:142::6"
PAY = bytes(range(40))
RANDOM = random.Random(7)


def ip(proto, dst=FAR, **more):
    return IP(src=POD, dst=dst, proto=proto, id=RANDOM.randrange(1, 65536),
              **more)


def ip6(next_header, dst=FAR6, **more):
    return IPv6(src=POD6, dst=dst, nh=next_header, **more)


def header(v6, proto, **more):
    return ip6(proto, **more) if v6 else ip(proto, **more)


def sport():
    return RANDOM.randrange(1024, 65536)


def tcp(flags, **more):
    return TCP(sport=sport(), dport=RANDOM.choice((80, 443, 9999)),
               flags=flags, seq=RANDOM.getrandbits(32),
               ack=RANDOM.getrandbits(32), **more)


def tcp_flags(v6, names):
    return [raw(header(v6, 6) / tcp(flags)) for flags in names]


def tcp_bad_checksum(v6):
    return [raw(header(v6, 6) / tcp(flags, chksum=0x1234))
            for flags in ("S", "A", "SA", "R", "F", "PA")]


def tcp_bad_length(v6):
    probes = [raw(header(v6, 6) / tcp("S", dataofs=n)) for n in range(16)]
    probes += [raw(header(v6, 6) / tcp("A", dataofs=n)) for n in range(16)]
    whole = raw(tcp("S"))
    probes += [raw(header(v6, 6) / Raw(whole[:n])) for n in range(20)]
    return probes


def tcp_ports(v6):
    return [raw(header(v6, 6) / TCP(sport=s, dport=d, flags=flags))
            for s, d in ((0, 80), (80, 0), (0, 0), (65535, 65535))
            for flags in ("S", "A", "R")]


def udp(v6):
    probes = []
    for more in ({"chksum": 0}, {"chksum": 0x1234}, {"len": 0}, {"len": 4},
                 {"len": 7}, {"len": 8}, {"len": 9}, {"len": 200},
                 {"len": 65535}, {}):
        probes.append(raw(header(v6, 17) /
                          UDP(sport=sport(), dport=53, **more) / Raw(PAY)))
    whole = raw(UDP(sport=sport(), dport=53))
    probes += [raw(header(v6, 17) / Raw(whole[:n])) for n in range(8)]
    probes += [raw(header(v6, 17) / UDP(sport=s, dport=d) / Raw(PAY))
               for s, d in ((0, 53), (53, 0), (0, 0))]
    return probes


def icmp_message(v6, kind, code=0, body=PAY, **more):
    """With the checksum that scapy does not know for every type."""
    if v6:
        head = ip6(58, **more)
        message = bytes([kind, code, 0, 0]) + body
        pseudo = wire_pseudo(head, len(message))
        check = internet_checksum(pseudo + message)
        return raw(head / Raw(bytes([kind, code]) +
                              check.to_bytes(2, "big") + body))
    message = bytes([kind, code, 0, 0]) + body
    check = internet_checksum(message)
    return raw(ip(1, **more) / Raw(bytes([kind, code]) +
                                   check.to_bytes(2, "big") + body))


def internet_checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(data[i:i + 2], "big")
                for i in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def wire_pseudo(head, length):
    built = raw(head)
    return built[8:40] + length.to_bytes(4, "big") + b"\0\0\0\x3a"


def icmp_types(v6):
    """Every type; the queries that begin a flow are there, too."""
    return [icmp_message(v6, kind) for kind in range(256)]


def icmp_hop_limit(v6):
    """Neighbour and router messages are for the link; a forwarded one is
    not."""
    kinds = (130, 131, 132, 133, 134, 135, 136, 137, 143) if v6 else (5, 9, 10)
    return [icmp_message(v6, kind, **({"hlim": hop} if v6 else {"ttl": hop}))
            for kind in kinds for hop in (2, 64, 255)]


def icmp_bad(v6):
    proto = 58 if v6 else 1
    echo = 128 if v6 else 8
    probes = [raw(header(v6, proto) / Raw(bytes([echo, 0, 0x12, 0x34]) + PAY)),
              raw(header(v6, proto) / Raw(bytes([0, 0, 0x12, 0x34]) + PAY))]
    probes += [raw(header(v6, proto) / Raw((bytes([echo]) + bytes(7))[:n]))
               for n in range(8)]
    probes += [icmp_message(v6, echo, code) for code in (1, 255)]
    return probes


def quotes(v6):
    """What errors quote: packets of flows that do not exist, that are kept,
    that lie about themselves."""
    far, kept = (FAR6, KEPT6) if v6 else (FAR, KEPT)
    pod = POD6 if v6 else POD
    make = (lambda s, d, p, **m: IPv6(src=s, dst=d, nh=p, **m)) if v6 else \
        (lambda s, d, p, **m: IP(src=s, dst=d, proto=p, **m))
    for rem in (far, kept):
        for sport_, dport in ((443, 40000), (53, 40001), (53, 7)):
            whole = raw(make(rem, pod, 6) / TCP(sport=sport_, dport=dport))
            yield whole
            yield whole[:28 if not v6 else 48]
            yield whole[:24 if not v6 else 44]
            yield raw(make(rem, pod, 17) / UDP(sport=sport_, dport=dport))
            yield raw(make(pod, rem, 17) / UDP(sport=dport, dport=sport_))
        yield raw(make(rem, pod, 58 if v6 else 1) /
                  Raw(bytes([128 if v6 else 8, 0, 0, 0, 0, 7, 0, 1])))
        yield raw(make(rem, pod, 47) / Raw(PAY))
    yield b""
    yield b"\0" * 40
    if v6:
        yield raw(make(kept, pod, 44) / IPv6ExtHdrFragment(nh=17, offset=3))
    else:
        yield raw(make(kept, pod, 17, frag=3) / Raw(PAY))
        yield raw(make(kept, pod, 17, ihl=4) / Raw(PAY))
        yield raw(make(kept, pod, 17, ihl=15) / Raw(PAY))


def icmp_errors(v6):
    kinds = (1, 2, 3, 4, 100, 127) if v6 else (3, 4, 5, 11, 12)
    return [icmp_message(v6, kind, code, bytes(4) + quote)
            for kind in kinds for code in (0, 4, 13) for quote in quotes(v6)]


def protocols(v6):
    """All 256, as nmap -sO and with some payload."""
    return [raw(header(v6, proto) / Raw(PAY[:n]))
            for proto in range(256) for n in (0, 8, 40)]


def fragment(v6, proto, offset, more, payload, ident=None):
    """offset in units of 8 bytes"""
    ident = ident or RANDOM.randrange(1, 65536)
    if v6:
        return raw(IPv6(src=POD6, dst=FAR6) /
                   IPv6ExtHdrFragment(nh=proto, offset=offset, m=int(more),
                                      id=ident) / Raw(payload))
    return raw(IP(src=POD, dst=FAR, proto=proto, id=ident, frag=offset,
                  flags="MF" if more else 0) / Raw(payload))


def fragments_lone(v6):
    probes = []
    for proto in (6, 17, 58 if v6 else 1, 47, 50, 132, 136, 33, 99):
        for offset in (1, 2, 3, 100, 8190):
            for more in (False, True):
                probes.append(fragment(v6, proto, offset, more, PAY))
    return probes


def fragments_tiny(v6):
    whole = raw(tcp("S"))
    probes = []
    for n in (0, 8, 16):
        ident = RANDOM.randrange(1, 65536)
        probes.append(fragment(v6, 6, 0, True, whole[:n], ident))
        probes.append(fragment(v6, 6, n // 8 or 1, False, whole[n:], ident))
    datagram = raw(UDP(sport=sport(), dport=53, len=48))
    ident = RANDOM.randrange(1, 65536)
    probes.append(fragment(v6, 17, 0, True, b"", ident))
    probes.append(fragment(v6, 17, 0, True, datagram[:4], ident))
    probes.append(fragment(v6, 17, 0, False, datagram + PAY, ident))
    return probes


def fragments_overlap(v6):
    """The second piece would replace the first one's header."""
    whole = raw(tcp("S", options=[("MSS", 1460)] * 4)) + PAY + bytes(20)
    probes = []
    for offset in range(1, 6):
        ident = RANDOM.randrange(1, 65536)
        probes.append(fragment(v6, 6, 0, True, whole[:48], ident))
        probes.append(fragment(v6, 6, offset, False, PAY, ident))
    return probes


def fragments_backwards(v6):
    """Last piece first; all of them must come out translated, or none."""
    probes = []
    for first in (True, False):
        ident = RANDOM.randrange(1, 65536)
        datagram = raw(UDP(sport=sport(), dport=53, len=8 + 88)) + bytes(88)
        pieces = [fragment(v6, 17, 6, False, datagram[48:], ident),
                  fragment(v6, 17, 3, True, datagram[24:48], ident)]
        if first:
            pieces.append(fragment(v6, 17, 0, True, datagram[:24], ident))
        probes += pieces
    return probes


def bad_ip(v6):
    probes = []
    if v6:
        for length in (0, 1, 7, 39, 41, 100, 65535):
            probes.append(raw(IPv6(src=POD6, dst=FAR6, nh=17, plen=length) /
                              UDP(sport=sport(), dport=53) / Raw(PAY[:32])))
        for version in (0, 4, 5, 15):
            probes.append(raw(IPv6(version=version, src=POD6, dst=FAR6, nh=17)
                              / UDP(sport=sport(), dport=53)))
        return probes
    for more in ({"ihl": n} for n in (0, 1, 4, 6, 15)):
        probes.append(raw(IP(src=POD, dst=FAR, **more) /
                          UDP(sport=sport(), dport=53) / Raw(PAY)))
    for length in (0, 1, 19, 20, 21, 27, 28, 67, 69, 65535):
        probes.append(raw(IP(src=POD, dst=FAR, len=length) /
                          UDP(sport=sport(), dport=53) / Raw(PAY)))
    for version in (0, 5, 6, 15):
        probes.append(raw(IP(version=version, src=POD, dst=FAR) /
                          UDP(sport=sport(), dport=53)))
    probes.append(raw(IP(src=POD, dst=FAR, chksum=0x1234) /
                      UDP(sport=sport(), dport=53)))
    for flags in ("evil", "DF", "evil+DF"):
        probes.append(raw(IP(src=POD, dst=FAR, flags=flags) /
                          UDP(sport=sport(), dport=53)))
    return probes


def with_options(packet, data):
    data += bytes(-len(data) % 4)
    head = bytearray(packet[:20])
    head[0] = 0x45 + len(data) // 4
    head[2:4] = (len(packet) + len(data)).to_bytes(2, "big")
    head[10:12] = b"\0\0"
    head[10:12] = internet_checksum(bytes(head) + data).to_bytes(2, "big")
    return bytes(head) + data + packet[20:]


def options(v6):
    """IPv4 options; IPv6 extension headers."""
    probes = []
    upper = [UDP(sport=sport(), dport=53) / Raw(PAY), tcp("S"), tcp("SF"),
             tcp("A", dataofs=3)]
    if v6:
        chains = [
            IPv6ExtHdrDestOpt(options=[PadN(optdata=b"\0" * 4)]),
            IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt() / IPv6ExtHdrDestOpt(),
            IPv6ExtHdrHopByHop(options=[PadN(optdata=b"\0" * 4)]),
            IPv6ExtHdrRouting(addresses=[FAR6], segleft=0),
            IPv6ExtHdrRouting(addresses=["2001:db8:30::1"], segleft=1),
            IPv6ExtHdrFragment(),
        ]
        deep = IPv6ExtHdrDestOpt()
        for _ in range(9):
            deep = deep / IPv6ExtHdrDestOpt()
        chains.append(deep)
        for chain in chains:
            for top in upper:
                probes.append(raw(IPv6(src=POD6, dst=FAR6) / chain / top))
        whole = raw(IPv6(src=POD6, dst=FAR6, plen=8, nh=60) / Raw(bytes(8)))
        for length in (1, 2, 8, 255):   # longer than the packet
            probes.append(whole[:41] + bytes([length]) + whole[42:])
        probes.append(raw(ip6(59) / Raw(PAY)))
        return probes
    for data in (b"\x01\x01\x01\x01", b"\x07\x07\x04\0\0\0\0\0",
                 b"\x44\x08\x05\0\0\0\0\0", b"\x94\x04\0\0", b"\x82\x0b" +
                 bytes(10), b"\0\0\0\0", b"\x86\x04\xff\xff",
                 b"\x01" * 40, b"\xff\x00\x00\x00"):
        for top in upper:
            probes.append(with_options(raw(IP(src=POD, dst=FAR) / top), data))
    return probes


def spoofed(v6):
    """Sources of other pods, of nobody, of the far side itself."""
    if v6:
        heads = [IPv6(src=s, dst=FAR6)
                 for s in ("fd00:44::99", "fd00:44:1::1", "2001:db8:ffff::1",
                           "fd00:142::77")]
    else:
        heads = [IP(src=s, dst=FAR)
                 for s in ("10.44.14.99", "10.44.255.1", "192.0.2.1",
                           "10.142.0.77")]
    return [raw(head / top) for head in heads
            for top in (UDP(sport=sport(), dport=53), tcp("S"), tcp("SF"),
                        tcp("R"), tcp("A"))]


CLASSES = {
    "SYN": lambda v: tcp_flags(v, ["S"] * 20),
    "NULL": lambda v: tcp_flags(v, [""] * 20),
    "FIN": lambda v: tcp_flags(v, ["F"] * 20),
    "XMAS": lambda v: tcp_flags(v, ["FPU"] * 20),
    "stray ACK": lambda v: tcp_flags(v, ["A", "PA", "UA", "AE"] * 5),
    "stray SYN-ACK": lambda v: tcp_flags(v, ["SA"] * 20),
    "stray RST": lambda v: tcp_flags(v, ["R", "RA"] * 10),
    "all sets of TCP flags": lambda v: tcp_flags(v, list(range(256))),
    "TCP, bad checksum": tcp_bad_checksum,
    "TCP, bad lengths": tcp_bad_length,
    "TCP, odd ports": tcp_ports,
    "UDP, odd": udp,
    "ICMP, all types": icmp_types,
    "discovery, forwarded": icmp_hop_limit,
    "ICMP, bad": icmp_bad,
    "ICMP errors of no flow, of kept flows": icmp_errors,
    "protocol scan": protocols,
    "lone fragments": fragments_lone,
    "tiny fragments": fragments_tiny,
    "overlapping fragments": fragments_overlap,
    "fragments backwards": fragments_backwards,
    "bad IP headers": bad_ip,
    "options, extension headers": options,
    "spoofed sources": spoofed,
}


def may_be_seen(source):
    """The node; the link; far itself, whose answers to sources that nobody
    has come back by the node's default route."""
    return source in (NODE, NODE6, FAR, FAR6) or source.startswith("fe80:")


def marker(v6, number):
    head = IPv6(src=POD6, dst=FAR6) if v6 else IP(src=POD, dst=FAR)
    mark = b"end of probes %d." % number
    return mark, raw(head / UDP(sport=7777, dport=7) / Raw(mark))


def main(pod_ns, node_mac, far_ns, *drops_command):
    wire.one_processor()
    far = wire.Wire(far_ns)
    pod = wire.Wire(pod_ns)
    pod.peer = bytes.fromhex(node_mac.replace(":", ""))
    number = 0

    def drops():
        if not drops_command:
            return 0
        return int(subprocess.run(drops_command, check=True,
                                  stdout=subprocess.PIPE).stdout)

    def exchange(v6, packets):
        """What arrives of them at the far side."""
        nonlocal number
        number += 1
        for packet in packets:
            pod.send(0x86dd if v6 else 0x0800, packet)
        mark, last = marker(v6, number)
        pod.send_ip(last)
        return far.until(mark)

    before = drops()
    for v6 in (False, True):
        # kept flows that errors may pretend to be about
        kept = IPv6(src=POD6, dst=KEPT6) if v6 else IP(src=POD, dst=KEPT)
        exchange(v6, [raw(kept / UDP(sport=40001, dport=53)),
                      raw(kept / TCP(sport=40000, dport=443, flags="S"))])
        for name, make in CLASSES.items():
            packets = make(v6)
            got = []
            far.drain()
            for i in range(0, len(packets), 200):   # queues hold 1,000
                got += exchange(v6, packets[i:i + 200])
            pod.drain()
            leaks = [p for p in got if not may_be_seen(wire.source(p))]
            after = drops()
            print("v6" if v6 else "v4", name.replace(" ", "_"), len(packets),
                  len(got) - len(leaks), len(leaks), after - before,
                  sep="\t", flush=True)
            for packet in leaks[:5]:
                print("v6" if v6 else "v4", name.replace(" ", "_"),
                      packet[:80].hex(), sep="\t", file=sys.stderr)
            before = after


if __name__ == "__main__":
    main(*sys.argv[1:])

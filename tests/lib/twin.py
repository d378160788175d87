#!/usr/bin/python3
"""A script of packets, from the pod and from far, and what came out on the
other side, field by field.

  twin.py POD_NS FAR_NS NODE_POD_MAC NODE_FAR_MAC

Prints a line for every step: its name, a tab, and for every packet that
arrived in between its headers in full, except what differs from run to run. A
port or identifier that is not the sender's own is printed as `chosen`; far
answers to it all the same.
"""
import logging
import sys

import wire

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (ICMP, IP, TCP, UDP, Raw, fragment,  # noqa: E402
                       raw)

POD, FAR, NODE, KEPT = "10.44.14.15", "172.30.12.110", "10.142.0.6", \
    "10.142.0.1"
ROUTER = "10.142.0.1"   # whose errors far sends
TEXT = b"what the two have to agree on, to the byte"


class Lab:
    def __init__(self, pod_ns, far_ns, node_pod_mac, node_far_mac):
        self.pod, self.far = wire.Wire(pod_ns), wire.Wire(far_ns)
        self.pod.peer = bytes.fromhex(node_pod_mac.replace(":", ""))
        self.far.peer = bytes.fromhex(node_far_mac.replace(":", ""))
        self.number = 0
        self.chosen = {}    # what far saw instead of the pod's own port

    def marker(self, outward):
        self.number += 1
        mark = b"twin %d." % self.number
        head = IP(src=POD, dst=KEPT) if outward else IP(src=KEPT, dst=POD)
        ports = {"sport": 7001, "dport": 7002} if outward else \
            {"sport": 7002, "dport": 7001}
        return mark, raw(head / UDP(**ports) / Raw(mark))

    def step(self, name, outward, *packets):
        """Sends them; prints what arrives."""
        to, at = (self.pod, self.far) if outward else (self.far, self.pod)
        at.drain()
        for packet in packets:
            to.send_ip(raw(packet))
        mark, last = self.marker(outward)
        to.send_ip(last)
        got = [IP(p) for p in at.until(mark) if p[0] >> 4 == 4]
        # what the two namespaces say of their own accord is not the step's
        got = [p for p in got if not (p.haslayer(UDP) and
                                      p[UDP].sport in (7001, 7002))
               and p.dst in ((FAR, KEPT, ROUTER) if outward else (POD,))]
        got.sort(key=lambda p: p.frag)  # their order is no field of theirs
        print(name, " | ".join(self.text(p, packets[-1]) for p in got) or
              "nothing", sep="\t", flush=True)
        return got

    def text(self, got, sent):
        """All fields; checksums as right or wrong."""
        words = [f"{got.src}>{got.dst} proto={got.proto} ttl={got.ttl} "
                 f"tos={got.tos} id={got.id} flags={got.flags} "
                 f"frag={got.frag} len={got.len} options="
                 f"{raw(got)[20:got.ihl * 4].hex()}"]
        fresh = raw(got)
        again = IP(fresh)
        del again.chksum
        words.append("ip-sum=" + good(IP(raw(again)).chksum == got.chksum))
        if got.frag:
            words.append("payload=" + raw(got.payload).hex())
            return " ".join(words)
        for layer in (TCP, UDP, ICMP):
            if got.getlayer(1).__class__ is not layer:
                continue
            top = got[layer]
            words += self.fields(top, sent)
            if not got.flags & 1:
                del again[layer].chksum
                words.append("sum=" + good(
                    IP(raw(again))[layer].chksum == top.chksum or
                    (layer is UDP and not top.chksum)))
        if not isinstance(got.payload, (TCP, UDP, ICMP)):
            words.append("payload=" + raw(got.payload).hex())
        return " ".join(words)

    def fields(self, top, sent):
        own = sent.getlayer(1)
        words = []
        for name in top.fields:
            if name in ("chksum", "options"):
                continue
            value = top.fields[name]
            if name in ("sport", "id") and value != getattr(own, name, value):
                value = "chosen"
            words.append(f"{name}={value}")
        if top.payload:
            words.append("payload=" + raw(top.payload).hex())
        return words


def good(right):
    return "good" if right else "bad"


def pod(dst=FAR, **more):
    return IP(src=POD, dst=dst, id=more.pop("id", 77), **more)


def far(src=FAR, dst=NODE, **more):
    return IP(src=src, dst=dst, id=more.pop("id", 78), **more)


def tcp(sport, dport, flags, seq=1000, ack=0, **more):
    return TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack,
               **more)


def handshake(lab, name, port):
    lab.step(f"{name}: SYN", True, pod() / tcp(
        port, 443, "S", options=[("MSS", 1460), ("SAckOK", b""),
                                 ("Timestamp", (1, 0)), ("WScale", 7)]))
    lab.step(f"{name}: SYN-ACK", False,
             far() / tcp(443, port, "SA", 5000, 1001))
    lab.step(f"{name}: ACK", True, pod() / tcp(port, 443, "A", 1001, 5001))


def flows(lab):
    step = lab.step
    handshake(lab, "TCP", 40000)
    step("TCP: data out", True,
         pod() / tcp(40000, 443, "PA", 1001, 5001) / Raw(TEXT))
    step("TCP: data in", False,
         far() / tcp(443, 40000, "PA", 5001, 1043) / Raw(TEXT))
    step("TCP: urgent, ECN, TOS", True, pod(tos=0xb9) / tcp(
        40000, 443, "PAUEC", 1043, 5043, urgptr=3) / Raw(TEXT))
    step("TCP: FIN out", True, pod() / tcp(40000, 443, "FA", 1085, 5043))
    step("TCP: FIN in", False, far() / tcp(443, 40000, "FA", 5043, 1086))
    step("TCP: last ACK", True, pod() / tcp(40000, 443, "A", 1086, 5044))
    step("TCP: new SYN on the closed tuple", True,
         pod() / tcp(40000, 443, "S", 900000))
    handshake(lab, "reset", 40001)
    step("reset: blind RST", False, far() / tcp(443, 40001, "R", 77))
    step("reset: data after it", True,
         pod() / tcp(40001, 443, "PA", 1001, 5001) / Raw(TEXT))
    step("reset: right RST", False, far() / tcp(443, 40001, "R", 5001))
    step("reset: data after that", True,
         pod() / tcp(40001, 443, "PA", 1043, 5001) / Raw(TEXT))
    for name, sum_ in (("UDP", None), ("UDP without checksum", 0)):
        port = 41000 + (sum_ is None)
        step(f"{name}: out", True, pod() / UDP(
            sport=port, dport=53, **({} if sum_ is None else
                                     {"chksum": sum_})) / Raw(TEXT))
        step(f"{name}: in", False,
             far() / UDP(sport=53, dport=port) / Raw(TEXT))
        step(f"{name}: from a stranger", False,
             far(src="172.30.1.1") / UDP(sport=53, dport=port) / Raw(TEXT))
    step("UDP: empty", True, pod() / UDP(sport=41002, dport=53))
    step("ping: request", True, pod() / ICMP(id=7, seq=1) / Raw(TEXT))
    step("ping: answer", False,
         far() / ICMP(type=0, id=7, seq=1) / Raw(TEXT))
    step("ping: answer to nobody", False,
         far() / ICMP(type=0, id=9, seq=1) / Raw(TEXT))
    step("ICMP timestamp request", True, pod() / ICMP(
        type=13, id=8, ts_ori=1, ts_rx=0, ts_tx=0))
    for proto in (47, 50, 132, 136, 33, 99):
        # GRE carrying IPv4; for others ports 49152 and 443
        out, in_ = (bytes([0, 0, 8, 0]),) * 2 if proto == 47 else \
            (bytes([0xc0, 0, 1, 0xbb]), bytes([1, 0xbb, 0xc0, 0]))
        step(f"protocol {proto}: out", True,
             pod(proto=proto) / Raw(out + bytes(12)))
        step(f"protocol {proto}: in", False,
             far(proto=proto) / Raw(in_ + bytes(12)))


def fragments(lab):
    whole = pod(id=500) / UDP(sport=42000, dport=53) / Raw(TEXT * 60)
    pieces = fragment(IP(raw(whole)), 800)
    lab.step("fragments: in order", True, *pieces)
    whole = pod(id=501) / UDP(sport=42000, dport=53) / Raw(TEXT * 60)
    pieces = fragment(IP(raw(whole)), 800)
    lab.step("fragments: backwards", True, *reversed(pieces))
    back = far(id=502) / UDP(sport=53, dport=42000) / Raw(TEXT * 60)
    lab.step("fragments: answer in order", False,
             *fragment(IP(raw(back)), 800))
    back = far(id=503) / UDP(sport=53, dport=42000) / Raw(TEXT * 60)
    lab.step("fragments: answer backwards", False,
             *reversed(fragment(IP(raw(back)), 800)))
    lab.step("fragments: a lone last one", True,
             pod(proto=17, id=504, frag=90) / Raw(TEXT))
    lab.step("fragments: a tiny first one", True,
             pod(proto=6, id=505, flags="MF") /
             Raw(raw(tcp(42001, 443, "S"))[:8]))


def errors(lab):
    lab.step("errors: a flow", True,
             pod() / UDP(sport=43000, dport=53) / Raw(TEXT))
    seen = IP(src=NODE, dst=FAR, id=77, ttl=60) / \
        UDP(sport=43000, dport=53) / Raw(TEXT)
    for kind, code in ((3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (4, 0),
                       (11, 0), (11, 1), (12, 0)):
        lab.step(f"errors: type {kind} code {code} in", False,
                 far(src=ROUTER) / ICMP(type=kind, code=code) /
                 Raw(raw(seen)))
    lab.step("errors: 8 bytes quoted", False, far(src=ROUTER) /
             ICMP(type=3, code=1) / Raw(raw(seen)[:28]))
    lab.step("errors: bad ICMP checksum", False, far(src=ROUTER) /
             ICMP(type=3, code=1, chksum=0x1234) / Raw(raw(seen)))
    nobody = IP(src=NODE, dst=FAR) / UDP(sport=43999, dport=53)
    lab.step("errors: about nobody", False, far(src=ROUTER) /
             ICMP(type=3, code=1) / Raw(raw(nobody)))
    reply = IP(src=FAR, dst=POD, id=78) / UDP(sport=53, dport=43000) / \
        Raw(TEXT)
    lab.step("errors: an answer first", False,
             far() / UDP(sport=53, dport=43000) / Raw(TEXT))
    lab.step("errors: port unreachable out", True,
             pod() / ICMP(type=3, code=3) / Raw(raw(reply)))


def odd(lab):
    step = lab.step
    for port, (name, flags) in enumerate((("NULL", ""), ("FIN", "F"), ("XMAS", "FPU"),
                        ("SYN-FIN", "SF"), ("stray ACK", "A"),
                        ("stray SYN-ACK", "SA"), ("stray RST", "R"))):
        step(f"odd: {name}", True, pod() / tcp(44000 + port, 443, flags))
    step("odd: SYN, bad checksum", True,
         pod() / tcp(44100, 443, "S", chksum=0x1234))
    step("odd: UDP, bad checksum", True,
         pod() / UDP(sport=44101, dport=53, chksum=0x1234) / Raw(TEXT))
    step("odd: UDP, length 4", True,
         pod() / UDP(sport=44102, dport=53, len=4) / Raw(TEXT))
    step("odd: UDP, length too long", True,
         pod() / UDP(sport=44103, dport=53, len=999) / Raw(TEXT))
    step("odd: TCP, data offset 3", True,
         pod() / tcp(44104, 443, "S", dataofs=3))
    step("odd: TCP header cut", True,
         pod(proto=6) / Raw(raw(tcp(44105, 443, "S"))[:12]))
    step("odd: echo reply of no request", True,
         pod() / ICMP(type=0, id=44106))
    step("odd: redirect", True, pod() / ICMP(type=5, code=1) / Raw(TEXT))
    step("odd: ICMP type 42", True, pod() / ICMP(type=42) / Raw(TEXT))
    step("odd: port 0", True, pod() / UDP(sport=0, dport=53) / Raw(TEXT))
    step("odd: a NodePort as source", True,
         pod() / UDP(sport=30123, dport=53) / Raw(TEXT))
    step("odd: a low port as source", True,
         pod() / UDP(sport=99, dport=53) / Raw(TEXT))
    step("kept: UDP out", True,
         pod(dst=KEPT) / UDP(sport=45000, dport=53) / Raw(TEXT))


def main(*names):
    wire.one_processor()
    lab = Lab(*names)
    for part in (flows, fragments, errors, odd):
        part(lab)


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/python3
"""Traffic for the network tests; standard library only.

A server tells every client which address and port it sees, so that a test
can judge translation by what the far side saw. A client prints one line of
`key=value` words and exits 1 when anything was not as it should be.
Nothing is ever sent twice by this program: what is lost counts as failed.

Bulk data is a fixed pseudo-random pattern, compared byte by byte where it
arrives. --netns takes names of namespaces (files in /run/netns): one process
then speaks for all of them.
"""
import argparse
import ctypes
import ipaddress
import json
import os
import random
import select
import selectors
import socket
import struct
import sys
import threading
import time

PERIOD = 1_000_003  # a prime: a shifted stream never looks right
CHUNK = 1 << 18
DATA = random.Random(1).randbytes(PERIOD) * 2
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33
IP_PKTINFO = 8
IP_RECVERR = 11
SLOW = int(os.environ.get("TEST_SLOW", 1))  # see lab.sh


def pattern(offset, length):
    start = offset % PERIOD
    return DATA[start:start + length]


def send_pattern(sock, count):
    sent = 0
    while sent < count:
        size = min(CHUNK, count - sent)
        sock.sendall(pattern(sent, size))
        sent += size
    return sent


def receive_pattern(sock, progress=lambda count: None):
    """Reads to the end; (bytes, offset of the first wrong chunk or None)."""
    got, wrong = 0, None
    while True:
        data = sock.recv(CHUNK)
        if not data:
            return got, wrong
        if wrong is None and data != pattern(got, len(data)):
            wrong = got
        got += len(data)
        progress(got)


def read_line(sock):
    line = b""
    while not line.endswith(b"\n"):
        byte = sock.recv(1)
        if not byte:
            raise EOFError("the other side closed")
        line += byte
    return line.decode().strip()


def enter(netns):
    fd = os.open("/run/netns/" + netns, os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET):
        errno = ctypes.get_errno()
        raise OSError(errno, f"setns {netns}: {os.strerror(errno)}")
    os.close(fd)


def ports(text):
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def report(good, **words):
    print(" ".join(f"{key}={value}" for key, value in words.items()),
          flush=True)
    return 0 if good else 1


# --- server ---------------------------------------------------------------

def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class Tally:
    """Datagrams that want no answer: how many, and from where."""
    def __init__(self):
        self.lock = threading.Lock()
        self.seen = set()
        self.sources = set()

    def add(self, source, data):
        with self.lock:
            self.seen.add(data)
            self.sources.add(source)

    def take(self):
        with self.lock:
            result = {"distinct": len(self.seen),
                      "sources": sorted(self.sources)}
            self.seen, self.sources = set(), set()
        return result


def serve_session(sock, peer, tally):
    who = f"{peer[0]} {peer[1]}"
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        words = read_line(sock).split()
        if words[0] == "who":       # tell, and again for every further line
            sock.sendall(f"{who}\n".encode())
            while data := sock.recv(4096):
                sock.sendall(f"{who}\n".encode() * data.count(b"\n"))
        elif words[0] == "up":
            got, wrong = receive_pattern(sock)
            sock.sendall(f"{who} {got} {wrong}\n".encode())
        elif words[0] == "down":
            sock.sendall(f"{who}\n".encode())
            send_pattern(sock, int(words[1]))
        elif words[0] == "echo":
            sock.sendall(f"{who}\n".encode())
            while data := sock.recv(CHUNK):
                sock.sendall(data)
        elif words[0] == "tally":
            sock.sendall(json.dumps(tally.take()).encode() + b"\n")
    except (OSError, EOFError) as error:
        print(f"{who}: {error}", flush=True)
    finally:
        sock.close()


def serve_udp(sock, tally):
    size = socket.CMSG_SPACE(12)
    while True:
        data, control, _, peer = sock.recvmsg(65535, size)
        if data.startswith(b"-"):
            tally.add(peer[0], data)
            continue
        answer = [f"{peer[0]} {peer[1]} ".encode(), data]
        if not control:  # IPv6: from the address that it is bound to
            send_back(sock, answer, [], peer)
            continue
        # Answer from the address that was asked, whichever it is.
        local = control[0][2][8:12]
        info = struct.pack("=I4s4s", 0, local, bytes(4))
        send_back(sock, answer, [(socket.IPPROTO_IP, IP_PKTINFO, info)], peer)


def send_back(sock, answer, control, peer):
    try:
        sock.sendmsg(answer, control, 0, peer)
    except OSError as error:  # no route back to whoever it is
        print(f"{peer[0]}: {error}", file=sys.stderr)


def serve(args):
    threading.stack_size(256 * 1024)
    tally = Tally()
    udp = socket.socket(family(args.address), socket.SOCK_DGRAM)
    if udp.family == socket.AF_INET:
        udp.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    udp.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    udp.bind((args.address, args.port))
    threading.Thread(target=serve_udp, args=(udp, tally), daemon=True).start()
    tcp = socket.socket(family(args.address), socket.SOCK_STREAM)
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    tcp.bind((args.address, args.port))
    tcp.listen(4096)
    print("ready", flush=True)
    while True:
        sock, peer = tcp.accept()
        threading.Thread(target=serve_session, args=(sock, peer, tally),
                         daemon=True).start()


# --- clients --------------------------------------------------------------

def dial(args):
    sock = socket.socket(family(args.dest), socket.SOCK_STREAM)
    if args.sport or args.source:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((args.source, args.sport or 0))
    sock.settimeout(args.connect_timeout or args.timeout)
    sock.connect((args.dest, args.port))
    sock.settimeout(args.timeout)
    return sock


def who(args):
    """One connection."""
    sock = dial(args)
    own = sock.getsockname()[1]
    sock.sendall(b"who\n")
    source, port = read_line(sock).split()
    if args.abort:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                        struct.pack("ii", 1, 0))
        sock.close()
    return report(True, source=source, port=port, own=own)


def talk(args):
    """One exchange over the same flow for every line on standard input;
    prints who the far side sees, or "none" when no answer comes."""
    if args.proto == "tcp":
        sock = dial(args)
    elif args.proto == "udp":
        sock = socket.socket(family(args.dest), socket.SOCK_DGRAM)
        sock.bind((args.source, args.sport or 0))
        sock.connect((args.dest, args.port))
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                             socket.IPPROTO_ICMP)
        sock.bind((args.source, 0))
        sock.connect((args.dest, 0))
    if args.tos and family(args.dest) == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, args.tos)
    elif args.tos:
        sock.setsockopt(socket.SOL_IP, socket.IP_TOS, args.tos)
    sock.settimeout(args.timeout)
    for number, _ in enumerate(sys.stdin):
        if args.proto == "tcp":
            sock.sendall(b"who\n")
        elif args.proto == "udp":
            sock.send(str(number).encode())
        else:
            sock.send(echo_request(args.sport, number, b"masqbpf"))
        try:
            if args.proto == "tcp":
                answer = read_line(sock)
            else:
                answer = sock.recv(65535)
                if args.proto == "udp":
                    answer = " ".join(answer.decode().split()[:2])
                else:               # the answer does not tell whom it saw
                    answer = "answer"
        except TimeoutError:
            answer = "none"
        print(answer, flush=True)
    return 0


def up(args):
    """Sends BYTES; the server says what arrived."""
    sock = dial(args)
    start = time.monotonic()
    sock.sendall(b"up\n")
    sent = send_pattern(sock, args.bytes)
    sock.shutdown(socket.SHUT_WR)
    source, _, got, wrong = read_line(sock).split()
    seconds = time.monotonic() - start
    good = int(got) == sent == args.bytes and wrong == "None"
    return report(good, source=source, sent=sent, got=got, wrong=wrong,
                  mbit=round(sent * 8 / seconds / 1e6))


def down(args):
    """Receives BYTES."""
    sock = dial(args)
    start = time.monotonic()
    sock.sendall(f"down {args.bytes}\n".encode())
    source, _ = read_line(sock).split()
    got, wrong = receive_pattern(sock)
    seconds = time.monotonic() - start
    return report(got == args.bytes and wrong is None, source=source, got=got,
                  wrong=wrong, mbit=round(got * 8 / seconds / 1e6))


def stream(args):
    """Sends and gets the same back until STOP exists. PROGRESS holds the
    number of bytes that have come back so far."""
    sock = dial(args)
    sock.sendall(b"echo\n")
    source, port = read_line(sock).split()
    sent = 0

    def progress(count):
        if time.monotonic() - progress.last >= 0.05:
            progress.last = time.monotonic()
            with open(args.progress + ".new", "w") as file:
                print(count, file=file)
            os.rename(args.progress + ".new", args.progress)

    def send():
        nonlocal sent
        while not os.path.exists(args.stop):
            sock.sendall(pattern(sent, args.chunk))
            sent += args.chunk
            if args.interval:
                time.sleep(args.interval)
        sock.shutdown(socket.SHUT_WR)

    progress.last = 0
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    got, wrong = receive_pattern(sock, progress)
    sender.join()
    return report(got == sent and wrong is None, source=source, port=port,
                  sent=sent, got=got, wrong=wrong)


def many(args):
    """From every namespace and every source port one connection. With
    --hold all stay open until the last one is answered."""
    todo = [(netns, port) for port in ports(args.sports)
            for netns in args.netns]
    todo.reverse()
    selector = selectors.DefaultSelector()
    sources, tuples, errors, held = set(), set(), [], []
    total, active, good = len(todo), 0, 0
    deadline = time.monotonic() + args.timeout
    home = None
    while (todo or active) and time.monotonic() < deadline:
        while todo and (args.hold or active < args.parallel):
            netns, port = todo.pop()
            if netns != home:
                enter(netns)
                home = netns
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", port))
            sock.setblocking(False)
            sock.connect_ex((args.dest, args.port))
            selector.register(sock, selectors.EVENT_WRITE, (netns, port))
            active += 1
        for key, event in selector.select(0.1):
            sock, name = key.fileobj, key.data
            try:
                if event & selectors.EVENT_WRITE:
                    error = sock.getsockopt(socket.SOL_SOCKET,
                                            socket.SO_ERROR)
                    if error:
                        raise OSError(error, os.strerror(error))
                    sock.send(b"who\n")
                    selector.modify(sock, selectors.EVENT_READ, name)
                    continue
                answer = sock.recv(100).decode()
                if not answer.endswith("\n"):
                    raise EOFError(f"answer {answer!r}")
                source, port = answer.split()
                sources.add(source)
                tuples.add((source, port))
                good += 1
            except (OSError, EOFError) as error:
                errors.append(f"{name[0]} port {name[1]}: {error}")
            selector.unregister(sock)
            active -= 1
            if args.hold:
                held.append(sock)
            else:
                sock.close()
    for error in errors[:10]:
        print(error)
    return report(good == total, ok=good, failed=total - good,
                  sources=",".join(sorted(sources)), distinct=len(tuples))


def receive_until(sock, deadline):
    sock.settimeout(max(0.001, deadline - time.monotonic()))
    return sock.recv(65535)


def udp(args):
    """From every namespace, the same source port, one datagram of every
    size; each must come back to the pod that sent it."""
    sizes = [int(size) for size in args.sizes.split(",")]
    socks = []
    for netns in args.netns:
        enter(netns)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", args.sport))
        sock.connect((args.dest, args.port))
        socks.append((netns, sock))
    sources, seen, good, total = set(), set(), 0, 0
    deadline = time.monotonic() + args.timeout
    for size in sizes:
        for index, (_, sock) in enumerate(socks):
            sock.send(pattern(index * 5000 + size, size))
        for index, (netns, sock) in enumerate(socks):
            total += 1
            try:
                answer = receive_until(sock, deadline)
                source, port, data = answer.split(b" ", 2)
            except OSError as error:
                print(f"{netns} size {size}: {error}")
                continue
            sources.add(source.decode())
            seen.add((source, port))
            if data == pattern(index * 5000 + size, size):
                good += 1
            else:
                print(f"{netns} size {size}: got another one's answer")
    return report(good == total, ok=good, failed=total - good,
                  sources=",".join(sorted(sources)), distinct=len(seen))


def icmp_error(args):
    """One datagram; prints the ICMP error that comes back for it."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    if args.ttl:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, args.ttl)
    sock.bind((args.source, args.sport or 0))
    sock.connect((args.dest, args.port))
    sock.send(b"masqbpf")
    poll = select.poll()
    poll.register(sock, select.POLLERR)
    if not poll.poll(args.timeout * 1000):
        return report(False, error="none")
    # struct sock_extended_err, then the address of who sent the error
    _, control, _, _ = sock.recvmsg(100, 512, socket.MSG_ERRQUEUE)
    data = control[0][2]
    kind, code = data[5:7]
    return report(True, error=f"{kind}/{code}",
                  sender=socket.inet_ntoa(data[20:24]))


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def echo_request(identifier, sequence, data):
    rest = struct.pack("!HH", identifier, sequence) + data
    return struct.pack("!BBH", 8, 0, checksum(b"\x08\0\0\0" + rest)) + rest


def ping(args):
    """From every namespace, the same identifier, one echo request of every
    size; each answer must come to the pod that asked, unchanged."""
    sizes = [int(size) for size in args.sizes.split(",")]
    socks = []
    for netns in args.netns:
        enter(netns)
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW,
                             socket.IPPROTO_ICMP)
        socks.append((netns, sock))
    good, total = 0, 0
    deadline = time.monotonic() + args.timeout
    for sequence, size in enumerate(sizes):
        want = []
        for index, (_, sock) in enumerate(socks):
            data = pattern(index * 5000 + size, size)
            request = echo_request(args.id, sequence, data)
            sock.sendto(request, (args.dest, 0))
            want.append(b"\0\0" + request[4:])
        for index, (netns, sock) in enumerate(socks):
            total += 1
            try:
                packet = receive_until(sock, deadline)
            except OSError as error:
                print(f"{netns} size {size}: {error}")
                continue
            message = packet[(packet[0] & 15) * 4:]
            if checksum(message) or message[:2] + message[4:] != want[index]:
                print(f"{netns} size {size}: wrong answer {message[:16].hex()}")
            else:
                good += 1
    return report(good == total, ok=good, failed=total - good)


def flood(args):
    """FLOWS short UDP flows at RATE a second, each towards another address
    of --net from a few sockets a namespace. Every second one wants no
    answer; those the server tallies."""
    net = ipaddress.ip_network(args.net)
    socks = []
    for netns in args.netns:
        enter(netns)
        for port in ports(args.sports):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            sock.bind(("", port))
            sock.setblocking(False)
            socks.append(sock)
    if -(-args.flows // len(socks)) > net.num_addresses - 2:
        sys.exit(f"{args.net} is too small for {args.flows} flows")
    base = int(net.network_address) + 1
    answered, sources = set(), set()

    def drain():
        for sock in socks:
            try:
                while True:
                    source, _, data = sock.recv(100).split(b" ", 2)
                    sources.add(source.decode())
                    answered.add(data)
            except BlockingIOError:
                pass

    # The queue between two namespaces holds 1,000, and on a loaded machine
    # it is not emptied at once: never more on their way than a part of it.
    # What was lost is never answered; then it goes on, and is told.
    def not_ahead():
        end = time.monotonic() + args.timeout
        while asked - len(answered) > 200 and time.monotonic() < end:
            drain()
            time.sleep(0.001)
        return asked - len(answered) <= 200

    start = time.monotonic()
    sent = asked = 0
    while sent < args.flows and not_ahead():
        due = min(args.flows, int((time.monotonic() - start) * args.rate) + 1)
        for number in range(sent, min(due, sent + 50)):
            sock = socks[number % len(socks)]
            dest = socket.inet_ntoa(
                struct.pack("!I", base + number // len(socks)))
            # pairs, so that both kinds go through every socket
            kind = "-" if number // len(socks) % 2 else "+"
            sock.sendto(f"{kind}{number}".encode(), (dest, args.port))
            sent = number + 1
            asked += kind == "+"
        drain()
        if sent >= due:
            time.sleep(0.002)
    seconds = time.monotonic() - start
    want = sum(1 for number in range(sent)
               if not number // len(socks) % 2)
    end = time.monotonic() + args.timeout
    while len(answered) < want and time.monotonic() < end:
        drain()
        time.sleep(0.01)
    return report(len(answered) == want and sent == args.flows, flows=sent,
                  rate=round(sent / seconds), answered=len(answered),
                  unanswered=sent - want, lost=want - len(answered),
                  sources=",".join(sorted(sources)))


def steady(args):
    """COUNT connections, one more every --pace seconds, each asked again and
    again who it comes from until STOP exists: an answer that changes or does
    not come is a failure. With --short a new connection (and a datagram) each
    time instead."""
    socks, good, failed, sources = [], 0, 0, set()

    def ask(sock, want):
        nonlocal good, failed
        try:
            sock.sendall(b"who\n")
            answer = read_line(sock)
            if want and answer != want:
                raise OSError(f"was {want}, is {answer}")
            sources.add(answer.split()[0])
            good += 1
            return answer
        except (OSError, EOFError) as error:
            failed += 1
            print(f"{sock}: {error}", flush=True)
            return want

    def datagram():
        nonlocal good, failed
        with socket.socket(family(args.dest), socket.SOCK_DGRAM) as sock:
            sock.settimeout(args.timeout)
            sock.connect((args.dest, args.port))
            sock.send(b"who")
            try:
                sources.add(sock.recv(100).split()[0].decode())
                good += 1
            except OSError as error:
                failed += 1
                print(f"datagram: {error}", flush=True)

    while not os.path.exists(args.stop):
        if args.short or len(socks) < args.count:
            try:
                sock = dial(args)
                if args.short:
                    ask(sock, None)
                    sock.close()
                    datagram()
                else:
                    socks.append([sock, ask(sock, None)])
            except OSError as error:
                failed += 1
                print(f"connect: {error}", flush=True)
            time.sleep(args.pace)
            if not args.short and len(socks) < args.count:
                continue
        for pair in socks:
            pair[1] = ask(*pair)
        with open(args.progress + ".new", "w") as file:
            print(good, file=file)
        os.rename(args.progress + ".new", args.progress)
        time.sleep(args.rest)
    return report(not failed, ok=good, failed=failed, open=len(socks),
                  sources=",".join(sorted(sources)))


def tally(args):
    """What the server counted of datagrams without answer, as JSON."""
    sock = dial(args)
    sock.sendall(b"tally\n")
    print(read_line(sock))
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)

    def command(function, client=True):
        sub = commands.add_parser(function.__name__, help=function.__doc__)
        sub.set_defaults(run=function)
        if client:
            sub.add_argument("dest")
        sub.add_argument("port", type=int)
        sub.add_argument("--timeout", type=float, default=10)
        return sub

    sub = command(serve, client=False)
    sub.add_argument("address", nargs="?", default="")
    for function in (who, talk, icmp_error, up, down, stream, steady, tally):
        sub = command(function)
        sub.add_argument("--sport", type=int)
        sub.add_argument("--source", default="")
        sub.add_argument("--connect-timeout", type=float)
        if function is who:
            sub.add_argument("--abort", action="store_true",
                             help="end the connection with a RST")
        if function is icmp_error:
            sub.add_argument("--ttl", type=int)
            sub.set_defaults(timeout=3)
        if function is talk:
            sub.add_argument("--proto", choices=("tcp", "udp", "icmp"),
                             default="tcp")
            sub.add_argument("--tos", type=int, default=0,
                             help="or traffic class; of TCP not its SYN's")
        if function in (up, down):
            sub.add_argument("bytes", type=int)
            sub.set_defaults(timeout=120, connect_timeout=10)
        if function in (stream, steady):
            sub.add_argument("--stop", required=True)
            sub.add_argument("--progress", required=True)
        if function is steady:
            sub.add_argument("--count", type=int, default=100)
            sub.add_argument("--pace", type=float, default=0)
            sub.add_argument("--rest", type=float, default=0.02,
                             help="between two rounds")
            sub.add_argument("--short", action="store_true")
        if function is stream:
            sub.add_argument("--chunk", type=int, default=CHUNK)
            sub.add_argument("--interval", type=float, default=0)
    for function in (many, udp, ping, flood):
        sub = command(function)
        sub.add_argument("--netns", type=lambda text: text.split(","),
                         required=True)
        if function is many:
            sub.add_argument("--sports", required=True)
            sub.add_argument("--hold", action="store_true")
            sub.add_argument("--parallel", type=int, default=200)
        if function in (udp, ping):
            sub.add_argument("--sizes", default="0,1,512,1400")
        if function is udp:
            sub.add_argument("--sport", type=int, required=True)
        if function is ping:
            sub.add_argument("--id", type=int, required=True)
        if function is flood:
            sub.add_argument("--net", default="172.30.0.0/16")
            sub.add_argument("--sports", required=True)
            sub.add_argument("--flows", type=int, required=True)
            sub.add_argument("--rate", type=int, required=True)
    args = parser.parse_args()
    args.timeout *= SLOW
    if getattr(args, "connect_timeout", None):
        args.connect_timeout *= SLOW
    try:
        return args.run(args)
    except (OSError, EOFError) as error:
        print(f"traffic.py: {args.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

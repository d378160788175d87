#!/usr/bin/python3
"""Traffic that comes and goes from pods that come and go, for the soak.

--pods is a file with a line `NAMESPACE ADDRESS` a pod, read again whenever it
changes. From pods drawn at random, at a fixed rate, it opens TCP connections
that end by FIN from either side or by RST, some that are held and asked again
and again who the far side sees, some towards a closed port and towards a
destination that never answers; it sends UDP and pings, each again after a
second as a resolver does. The same --seed and --rate draw the same traffic.

What belongs to a pod that went while it was on its way is "abandoned", and is
neither good nor failed. The result is JSON; failures go to standard output.
"""
import argparse
import asyncio
import collections
import json
import os
import random
import socket
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import traffic  # noqa: E402

PATIENCE = 30       # seconds for an answer over TCP; the kernel sends again
TRIES = 15          # of a datagram or a ping, a second each
KINDS = {           # of 100 openers
    "tcp_short": 20, "tcp_reset": 8, "tcp_down": 4, "tcp_held": 3,
    "tcp_refused": 3, "tcp_dead": 2, "udp": 50, "ping": 10,
}


class Gone(Exception):
    """The pod is no more."""


class Churn:
    def __init__(self, args):
        self.args = args
        self.random = random.Random(args.seed)
        self.counts = {kind: collections.Counter() for kind in KINDS}
        self.sources = collections.Counter()
        self.pods = {}
        self.pods_stamp = None
        self.asked = 0
        self.home = None

    def read_pods(self):
        stamp = os.stat(self.args.pods).st_mtime_ns
        if stamp == self.pods_stamp:
            return
        with open(self.args.pods) as file:
            self.pods = dict(line.split() for line in file)
        self.pods_stamp = stamp

    def socket(self, pod, *kind):
        """A socket of the pod's; it stays there whatever we enter next."""
        if self.home != pod:
            try:
                traffic.enter(pod)
            except OSError as error:
                raise Gone from error
            self.home = pod
        sock = socket.socket(socket.AF_INET, *kind)
        sock.setblocking(False)
        return sock

    # --- one of each kind ---------------------------------------------------

    async def dial(self, pod, dest, port, patience=PATIENCE):
        sock = self.socket(pod, socket.SOCK_STREAM)
        try:
            await asyncio.wait_for(
                self.loop.sock_connect(sock, (dest, port)), patience)
        except BaseException:
            sock.close()
            raise
        return sock

    async def line(self, sock):
        text = b""
        while not text.endswith(b"\n"):
            data = await asyncio.wait_for(
                self.loop.sock_recv(sock, 4096), PATIENCE)
            if not data:
                raise EOFError("the other side closed")
            text += data
        return text.decode().strip()

    async def ask(self, sock, pod):
        await self.loop.sock_sendall(sock, b"who\n")
        answer = await self.line(sock)
        self.saw(answer.split()[0], pod)
        return answer

    def saw(self, source, pod):
        """The far side sees the node, or this very pod."""
        if source == self.args.node:
            self.sources["node"] += 1
        elif source == self.pods.get(pod, source):
            self.sources["pod"] += 1
        else:
            raise OSError(f"seen as {source}")

    async def tcp_short(self, pod, dest):
        sock = await self.dial(pod, dest, self.args.port)
        with sock:
            await self.ask(sock, pod)

    async def tcp_reset(self, pod, dest):
        sock = await self.dial(pod, dest, self.args.port)
        with sock:
            await self.ask(sock, pod)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                            struct.pack("ii", 1, 0))

    async def tcp_down(self, pod, dest):
        """The far side ends it."""
        size = 65536
        sock = await self.dial(pod, dest, self.args.port)
        with sock:
            await self.loop.sock_sendall(sock, f"down {size}\n".encode())
            data = b""
            while more := await asyncio.wait_for(
                    self.loop.sock_recv(sock, 65536), PATIENCE):
                data += more
        head, _, body = data.partition(b"\n")
        self.saw(head.decode().split()[0], pod)
        if body != traffic.pattern(0, size):
            raise OSError(f"{len(body)} bytes, or not those that were sent")

    async def tcp_held(self, pod, dest, seconds):
        """Whatever happens to the policy meanwhile, it is the same one."""
        end = time.monotonic() + seconds
        sock = await self.dial(pod, dest, self.args.port)
        with sock:
            first = await self.ask(sock, pod)
            while time.monotonic() < end:
                await asyncio.sleep(2)
                if pod not in self.pods:
                    raise Gone
                answer = await self.ask(sock, pod)
                self.asked += 1
                if answer != first:
                    raise OSError(f"was {first}, is {answer}")

    async def tcp_refused(self, pod, dest):
        try:
            sock = await self.dial(pod, dest, self.args.port + 1)
        except ConnectionRefusedError:
            return
        sock.close()
        raise OSError("connected to a closed port")

    async def tcp_dead(self, pod, _):
        try:
            sock = await self.dial(pod, self.args.dead, self.args.port, 4)
        except asyncio.TimeoutError:
            return
        sock.close()
        raise OSError("connected to nobody")

    async def again(self, sock, data, good):
        """Sends it until what comes back is good."""
        for number in range(TRIES):
            await self.loop.sock_sendall(sock, data)
            end = time.monotonic() + 1
            while (left := end - time.monotonic()) > 0:
                try:
                    answer = await asyncio.wait_for(
                        self.loop.sock_recv(sock, 65536), left)
                except asyncio.TimeoutError:
                    break
                if good(answer):
                    return number
        raise OSError(f"no answer to {TRIES}")

    async def udp(self, pod, dest, number):
        data = f"masqbpf {number}".encode()

        def good(answer):
            source, _, rest = answer.split(b" ", 2)
            if rest != data:
                return False
            self.saw(source.decode(), pod)
            return True

        sock = self.socket(pod, socket.SOCK_DGRAM)
        with sock:
            sock.connect((dest, self.args.port))
            self.counts["udp"]["again"] += await self.again(sock, data, good)

    async def ping(self, pod, dest, number):
        request = traffic.echo_request(number & 0xffff, number >> 16,
                                       b"masqbpf")

        def good(packet):
            message = packet[(packet[0] & 15) * 4:]
            return message[0] == 0 and message[4:] == request[4:]

        sock = self.socket(pod, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        with sock:
            sock.connect((dest, 0))
            self.counts["ping"]["again"] += await self.again(
                sock, request, good)

    # --- all of them --------------------------------------------------------

    async def one(self, kind, pod, dest, *words):
        count = self.counts[kind]
        count["begun"] += 1
        try:
            await getattr(self, kind)(pod, dest, *words)
            count["ok"] += 1
            return
        except Gone:
            count["abandoned"] += 1
            return
        except (OSError, EOFError, ValueError, IndexError,
                asyncio.TimeoutError) as error:
            text = f"{kind} {pod} {dest}: {type(error).__name__} {error}"
        # Was it the pod that went, and the news are on their way?
        await asyncio.sleep(2)
        if pod in self.pods:
            count["failed"] += 1
            print(time.strftime("%H:%M:%S"), text, flush=True)
        else:
            count["abandoned"] += 1

    def draw(self, number):
        """All that is random is drawn here, so both labs draw the same."""
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        pick = self.random.random()
        host = self.random.randrange(1, 200)
        seconds = self.random.randrange(10, 50)
        pods = sorted(self.pods)
        if not pods:
            return None
        pod = pods[int(pick * len(pods))]
        words = {"tcp_held": [seconds], "udp": [number], "ping": [number]}
        return (kind, pod, self.args.dest.rpartition(".")[0] + f".{host}",
                *words.get(kind, []))

    def write(self):
        total = collections.Counter()
        for count in self.counts.values():
            total.update(count)
        with open(self.args.result + ".new", "w") as file:
            json.dump({"kinds": self.counts, "total": total,
                       "sources": self.sources, "asked": self.asked,
                       "processor_s": round(time.process_time(), 1)}, file)
        os.rename(self.args.result + ".new", self.args.result)

    async def run(self):
        self.loop = asyncio.get_running_loop()
        tasks, number = set(), 0
        begun = time.monotonic()
        while not os.path.exists(self.args.stop):
            self.read_pods()
            due = int((time.monotonic() - begun) * self.args.rate)
            # after a pause of the whole machine no burst makes up for it
            if due - number > self.args.rate:
                begun += (due - number) / self.args.rate - 1
                continue
            while number < due:
                number += 1
                what = self.draw(number)
                if what:
                    task = asyncio.create_task(self.one(*what))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
            if number % 100 < self.args.rate / 10:
                self.write()
            await asyncio.sleep(0.1)
        while tasks:
            self.read_pods()
            await asyncio.wait(tasks, timeout=1)
        self.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("dest", help="an address of the far side's /24")
    parser.add_argument("port", type=int)
    parser.add_argument("--dead", required=True, help="it never answers")
    parser.add_argument("--node", required=True, help="the node's address")
    parser.add_argument("--pods", required=True)
    parser.add_argument("--stop", required=True)
    parser.add_argument("--result", required=True)
    parser.add_argument("--rate", type=float, default=40)
    parser.add_argument("--seed", type=int, default=1)
    asyncio.run(Churn(parser.parse_args()).run())


if __name__ == "__main__":
    main()

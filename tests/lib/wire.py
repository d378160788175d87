"""Raw frames in and out of the namespaces of a lab, from one process.

A Wire is an interface in a namespace. What is sent from a pod and arrives at
the far side is told apart from what comes later by a marker: a datagram that
is sent last, on the same processor, and therefore arrives last.
"""
import ctypes
import os
import socket
import struct
import time

CLONE_NEWNET = 0x40000000
SOL_PACKET = 263
PACKET_IGNORE_OUTGOING = 23
SO_RCVBUFFORCE = 33
ETH_P_ALL = 3
SLOW = int(os.environ.get("TEST_SLOW", 1))  # see lab.sh
LIBC = ctypes.CDLL(None, use_errno=True)


def one_processor():
    """Packets of one processor do not overtake each other."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def enter(netns):
    fd = os.open("/run/netns/" + netns, os.O_RDONLY)
    if LIBC.setns(fd, CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, f"setns {netns}: {os.strerror(error)}")
    os.close(fd)


class Wire:
    def __init__(self, netns, dev="eth0"):
        enter(netns)
        self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW,
                                  socket.htons(ETH_P_ALL))
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.bind((dev, 0))
        self.mac = self.sock.getsockname()[4]
        self.peer = None        # whom frames go to

    def send(self, ethertype, packet):
        """An L3 packet to the peer's address."""
        self.sock.send(self.peer + self.mac + struct.pack("!H", ethertype) +
                       packet)

    def send_ip(self, packet):
        self.send(0x86dd if packet[0] >> 4 == 6 else 0x0800, packet)

    def frames(self, timeout):
        """The L3 packets that come in until nothing comes for so long."""
        while True:
            self.sock.settimeout(timeout)
            try:
                frame = self.sock.recv(65536)
            except (TimeoutError, BlockingIOError):
                return
            ethertype = frame[12] << 8 | frame[13]
            if ethertype in (0x0800, 0x86dd):
                yield frame[14:]

    def drain(self):
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.recv(65536)
        except BlockingIOError:
            pass

    def until(self, mark, timeout=5):
        """The packets up to the one that contains these bytes."""
        timeout *= SLOW
        got, end = [], time.monotonic() + timeout
        for packet in self.frames(timeout):
            if mark in packet:
                return got
            got.append(packet)
            if time.monotonic() > end:
                break
        raise TimeoutError(f"the marker {mark!r} never came")


def address(data, v6):
    return socket.inet_ntop(socket.AF_INET6 if v6 else socket.AF_INET, data)


def source(packet):
    v6 = packet[0] >> 4 == 6
    return address(packet[8:24] if v6 else packet[12:16], v6)


def destination(packet):
    v6 = packet[0] >> 4 == 6
    return address(packet[24:40] if v6 else packet[16:20], v6)

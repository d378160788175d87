#!/usr/bin/python3
"""Is every packet consistent with exactly one generation?

Reads what the far side captured (tcpdump -w, Ethernet) while a policy was
switched between "keep" and "masquerade", and the times of the switches: lines
`BEGIN END ACTION`, seconds since the epoch; from END of one to BEGIN of the
next only ACTION is in force. A connection is known by its source port and the
sequence number of its SYN, which no translation changes. Then

  openers   a SYN has the source that the generation in force at its time gives
            it; one that was sent during a switch may have either
  others    every later packet of a connection has the source of its last SYN
            that came before; a SYN that was sent again under another generation
            (row E3 of the contract) is "healed", and the node's own reset for
            an answer to the one before it is none of that connection

and whatever else is captured is counted as "stray" and is a failure.
"""
import bisect
import socket
import struct
import sys

SYN, RST, ACK = 2, 4, 16
# The packet is decided on the node a moment before it is captured.
DELAY = 0.25


def packets(path):
    with open(path, "rb") as file:
        head = file.read(24)
        magic = struct.unpack("=I", head[:4])[0]
        scale = {0xa1b2c3d4: 1e6, 0xa1b23c4d: 1e9}[magic]
        while len(record := file.read(16)) == 16:
            seconds, fraction, length, _ = struct.unpack("=IIII", record)
            data = file.read(length)
            if len(data) < length:
                return
            if data[12:14] != b"\x08\x00" or data[14] != 0x45:
                continue
            if data[23] != 6 or len(data) < 54:
                continue
            source = socket.inet_ntoa(data[26:30])
            sport, _, sequence = struct.unpack("!HHI", data[34:42])
            yield (seconds + fraction / scale, source, sport, sequence,
                   data[47])


class Policy:
    def __init__(self, path):
        with open(path) as file:
            self.changes = [(float(begin), float(end), action)
                            for begin, end, action in map(str.split, file)]
        self.begins = [change[0] for change in self.changes]

    def actions(self, since, until):
        """Which may have been in force at some time between."""
        first = bisect.bisect_right(self.begins, since) - 1
        last = bisect.bisect_right(self.begins, until) - 1
        allowed = {self.changes[i][2]
                   for i in range(max(first, 0), max(last, 0) + 1)}
        # the switch that was under way when it began
        if first > 0 and self.changes[first][1] >= since:
            allowed.add(self.changes[first - 1][2])
        return allowed


def main(capture, changes, node, pod):
    policy = Policy(changes)
    action_of = {node: "masquerade", pod: "keep"}
    opener = {}     # source port: source of its last SYN
    number = {}     # source port: sequence number of that SYN
    healed = set()
    count = dict(openers=0, others=0, healed=0, sharp=0)
    wrong = []
    for when, source, sport, sequence, flags in packets(capture):
        where = f"{when:.6f} {source}:{sport}"
        if source not in action_of:
            wrong.append(f"{where}: a stray")
        elif flags & (SYN | ACK) == SYN:
            count["openers"] += 1
            allowed = policy.actions(when - DELAY, when)
            count["sharp"] += len(allowed) == 1
            if action_of[source] not in allowed:
                wrong.append(f"{where}: SYN, but only {allowed} in force")
            if number.get(sport) == sequence and opener[sport] != source:
                count["healed"] += 1
                healed.add(sport)
            opener[sport], number[sport] = source, sequence
        elif opener.setdefault(sport, source) != source:
            if flags & RST and source == node and sport in healed:
                continue
            wrong.append(f"{where}: its SYN came from {opener[sport]}")
        else:
            count["others"] += 1
    for line in wrong[:20]:
        print(line)
    print(" ".join(f"{key}={value}" for key, value in count.items()),
          f"wrong={len(wrong)}")
    return 1 if wrong or not count["sharp"] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

#!/usr/bin/python3
"""One of each kind of system call, from a log of `strace -f -o LOG`.

    kinds.py LOG changes|calls [CALL...]

"CALL NUMBER" a line, to be given to strace's inject=CALL:when=NUMBER, from the
first flock() on: before that a command of ours has changed nothing. A kind is
the call, with bpf() its command, and what was called before it, which tells
one place of the program from another. Of calls that are many of a kind (one for
each prefix, one for each pin) the first, the last and MANY between.

changes: those that leave something outside of the process (pins, maps, links,
files, netlink), all but of loops: being killed anywhere between two of them is
being killed at the second. calls: those that are named, whatever they do.
"""
import re
import sys

MANY = {"changes": 6, "calls": 1}
# what leaves nothing behind when the process is gone
BPF_READS = ("OBJ_GET", "MAP_LOOKUP", "MAP_GET", "PROG_GET", "LINK_GET",
             "BTF_", "PROG_QUERY", "TASK_FD", "MAP_CREATE", "PROG_LOAD",
             "PROG_BIND_MAP")
CHANGES = {"sendto", "sendmsg", "rename", "renameat", "renameat2", "unlink",
           "unlinkat", "mkdir", "mkdirat", "rmdir", "write", "pwrite64",
           "ftruncate", "fchmod", "fchmodat", "fchown", "fsync", "flock",
           "link", "linkat", "symlink", "symlinkat", "exit_group"}
LINE = re.compile(r"(?:\d+ +)?([a-z_0-9]+)\((.*)")


def changes(name, command, arguments):
    if name == "bpf":
        return not command.startswith(BPF_READS)
    if name == "openat":
        return "O_CREAT" in arguments
    return name in CHANGES


def main():
    log, what, named = sys.argv[1], sys.argv[2], sys.argv[3:]
    seen, kinds, begun, before = {}, {}, False, None
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            met = LINE.match(line)
            if not met:
                continue
            name, arguments = met.groups()
            seen[name] = seen.get(name, 0) + 1
            begun = begun or name == "flock"
            command = ""
            if name == "bpf":
                command = re.match(r"(?:BPF_)?(\w+)", arguments)[1]
            kind, before = (name, command, before), (name, command)
            if not begun:
                continue
            if what == "changes":
                if not changes(name, command, arguments):
                    continue
            elif name not in named:
                continue
            kinds.setdefault(kind, []).append(seen[name])
    for kind, numbers in kinds.items():
        last, many = len(numbers) - 1, MANY[what] + 1
        chosen = sorted({last * i // many for i in range(many + 1)})
        for i in chosen:
            print(kind[0], numbers[i])


main()

#!/usr/bin/python3
"""Draws system calls to be refused or met by SIGKILL, from a log of strace.

    calls.py LOG KILL|ERROR POINTS SEED I/N [PID]

A line each: CALL NUMBER WHAT, WHAT being KILL or an errno that the call's man
page names; without those that tell of the caller's own memory and descriptors
(EFAULT, EBADF), which no kernel answers at random. POINTS of them, one of each
of so many equal parts; 0: every call, with ERROR every errno of it (ERRORS=1 in
the environment: one of each), in a drawn order, every Nth of them. PID: of a
log with strace -f that process alone. What the loader does before main() is
left out: it leaves nothing.

    calls.py sites LOG[,LOG...] KILL|ERROR COMMAND SEED I/N LEDGER

The same by kind: a kind is the place in the program that makes the call and the
one that called it (of bpf() its command, too), as strace -k shows them. A line
each: CALL NUMBER WHAT KIND. KILL: every kind once. ERROR: every kind with one
errno, and every place with each errno of the call's man page, whichever command
meets it (not with ERRORS=1). What LEDGER has (lines COMMAND WHAT KIND: what was done) is left out.
The logs are of the same command: drawn are calls that have the same number and
the same kind in all of them, where there are such.
"""
import collections
import os
import random
import re
import sys
import zlib

FILES = ["EACCES", "ENOENT", "ENOMEM", "ENOTDIR", "ELOOP", "EIO"]
ERRORS = {
    "access": FILES + ["EROFS"],
    "accept4": ["EAGAIN", "ECONNABORTED", "EINTR", "EMFILE", "ENFILE",
                "ENOBUFS", "ENOMEM", "EPERM", "EPROTO"],
    "bind": ["EACCES", "EADDRINUSE", "EINVAL", "ENOMEM"],
    "bpf": ["EPERM", "ENOMEM", "EINVAL", "E2BIG", "EACCES", "ENOENT", "EBUSY",
            "EAGAIN", "ENOSPC"],
    "capset": ["EPERM"],
    "chdir": FILES,
    "clock_nanosleep": ["EINTR"],
    "clone": ["EAGAIN", "ENOMEM", "EPERM"],
    # strace refuses it without closing, as no kernel does: then the other end
    # of a pipe waits for ever, and a link outlives its pin
    "close": [],
    "close_range": ["EMFILE", "ENOMEM"],
    "connect": ["EACCES", "EAGAIN", "ECONNREFUSED", "EINTR", "ETIMEDOUT"],
    "dup": ["EMFILE"],
    "dup3": ["EBUSY", "EMFILE"],
    "epoll_create1": ["EMFILE", "ENFILE", "ENOMEM"],
    "epoll_ctl": ["ENOMEM", "ENOSPC", "EEXIST"],
    "epoll_wait": ["EINTR"],
    "eventfd2": ["EMFILE", "ENFILE", "ENOMEM"],
    "fchmod": ["EPERM", "EROFS", "EIO"],
    "fcntl": ["EAGAIN", "EINTR", "EMFILE", "ENOLCK", "EPERM"],
    "fgetxattr": ["ENODATA", "ENOTSUP"],
    "flock": ["EINTR", "ENOLCK", "EAGAIN"],
    "fstat": ["ENOMEM", "EOVERFLOW"],
    "fstatfs": ["EINTR", "EIO", "ENOMEM", "ENOSYS"],
    "fsync": ["EINTR", "EIO", "ENOSPC", "EDQUOT", "EROFS"],
    "getcwd": ["ENOENT", "ENOMEM", "EACCES"],
    "getdents64": ["ENOENT", "EINVAL", "ENOTDIR"],
    "getpeername": ["ENOBUFS", "ENOTCONN"],
    "getrandom": ["EAGAIN", "EINTR", "ENOSYS"],
    "getsockname": ["ENOBUFS"],
    "getsockopt": ["ENOPROTOOPT", "EINVAL"],
    "inotify_add_watch": ["EACCES", "ENOENT", "ENOMEM", "ENOSPC"],
    "inotify_init1": ["EMFILE", "ENFILE", "ENOMEM"],
    "ioctl": ["EINVAL", "ENOTTY", "EPERM", "ENODEV"],
    "listen": ["EADDRINUSE"],
    "lseek": ["EINVAL", "EOVERFLOW", "ESPIPE"],
    # of who changes a policy within a tenth of a second of the change before
    "membarrier": ["EINVAL", "ENOSYS", "EPERM"],
    "memfd_create": ["EMFILE", "ENFILE", "ENOMEM"],
    "mkdir": ["EACCES", "EDQUOT", "EEXIST", "ENOSPC", "ENOMEM", "EROFS"],
    "mmap": ["ENOMEM", "EAGAIN", "ENFILE", "EPERM", "EACCES"],
    "mprotect": ["ENOMEM", "EACCES"],
    "mremap": ["ENOMEM", "EAGAIN"],
    "munmap": ["ENOMEM", "EINVAL"],
    "openat": FILES + ["EINTR", "EMFILE", "ENFILE", "EROFS", "ENOSPC", "EPERM",
                       "EEXIST"],
    "pidfd_open": ["EMFILE", "ENFILE", "ENODEV", "ENOMEM", "ESRCH"],
    "pipe2": ["EMFILE", "ENFILE"],
    "poll": ["EINTR", "ENOMEM"],
    "prctl": ["EINVAL", "EPERM"],
    "pread64": ["EINTR", "EIO", "EISDIR"],
    "prlimit64": ["EPERM", "EINVAL"],
    "read": ["EINTR", "EIO", "EINVAL", "EISDIR"],
    "readlink": FILES + ["EINVAL"],
    "recvfrom": ["EINTR", "ENOMEM", "EAGAIN", "ECONNREFUSED", "ENOBUFS"],
    "renameat": ["EACCES", "EBUSY", "EDQUOT", "ENOSPC", "EROFS", "EXDEV"],
    "rt_sigaction": ["EINVAL"],
    "rt_sigprocmask": ["EINVAL"],
    "seccomp": ["EACCES", "EINVAL", "ENOMEM"],
    "sendto": ["ENOBUFS", "ENOMEM", "EINTR", "EAGAIN", "ECONNRESET", "EPIPE",
               "EACCES"],
    "setgroups": ["EPERM", "ENOMEM"],
    "setresuid": ["EAGAIN", "EPERM"],
    "setsockopt": ["ENOPROTOOPT", "EINVAL", "EPERM"],
    "shutdown": ["ENOTCONN"],
    "signalfd4": ["EMFILE", "ENFILE", "ENOMEM"],
    "socket": ["EACCES", "EAFNOSUPPORT", "EMFILE", "ENFILE", "ENOBUFS",
               "ENOMEM", "EPROTONOSUPPORT"],
    "socketpair": ["EMFILE", "ENFILE"],
    "statfs": FILES + ["EINTR", "ENOSYS"],
    "timerfd_create": ["EMFILE", "ENFILE", "ENOMEM"],
    "timerfd_settime": ["EINVAL"],
    "unlinkat": ["EACCES", "EBUSY", "EIO", "ENOENT", "EPERM", "EROFS"],
    "wait4": ["EINTR"],
    "write": ["EINTR", "EIO", "ENOSPC", "EDQUOT", "EFBIG", "EPIPE"],
}
ALIKE = {
    "clone3": "clone", "dup2": "dup", "faccessat2": "access", "fork": "clone",
    "lstat": "access", "mkdirat": "mkdir", "newfstatat": "access",
    "open": "openat", "ppoll": "poll", "readlinkat": "readlink",
    "recvmsg": "recvfrom", "rmdir": "unlinkat", "sendmsg": "sendto",
    "setresgid": "setresuid", "setgid": "setresuid", "setuid": "setresuid",
    "stat": "access", "unlink": "unlinkat", "vfork": "clone",
    "pwrite64": "write", "fchdir": "chdir", "rename": "renameat",
}
# They do not fail, or what they start is another program. (A brk() that fails
# returns no errno but the old break. With one thread, futex() is the C library's
# wake-up of nobody, and it aborts should that ever fail.)
NEVER = {"brk", "exit", "exit_group", "execve", "getpid", "gettid", "getuid",
         "geteuid", "getppid", "getgid", "getegid", "rt_sigreturn", "umask",
         "restart_syscall", "set_robust_list", "set_tid_address", "rseq",
         "arch_prctl", "alarm", "sched_yield", "uname", "rt_sigpending", "capget",
         "clock_gettime", "sysinfo", "futex"}
LINE = re.compile(r"(?:(\d+) +)?([a-z_0-9]+)\((.*)")
FRAME = re.compile(r" > (?:.*/)?masqbpf(?:-[^/(]*)?\(([^)]*)\)")


def errors_of(name):
    return ERRORS.get(ALIKE.get(name, name))


def read_kinds(path):
    """(call, number) -> kind, of calls that the program makes"""
    found, seen, call, frames = {}, {}, None, []

    def end():
        # in the order of the log, that is of time
        if call and frames and call[0] not in NEVER:
            found[call[:2]] = call[2] + "@" + "<".join(frames[:2])

    with open(path, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith(" > "):
                met = FRAME.match(line)
                if met:
                    frames.append(met[1].replace(" ", ""))
                continue
            met = LINE.match(line)
            if not met:
                continue
            end()
            name = met[2]
            seen[name] = seen.get(name, 0) + 1
            text = name
            if name == "bpf":
                text += "/" + met[3].split(",")[0]
            call, frames = (name, seen[name], text), []
    end()
    return found


def place(kind):
    return kind.split("<")[0]


def sites():
    logs, what, command, seed, shard, ledger = sys.argv[2:8]
    rng = random.Random(int(seed))
    part, parts = map(int, shard.split("/"))
    all_logs = [read_kinds(log) for log in logs.split(",")]
    steady, any_of = collections.defaultdict(list), collections.defaultdict(list)
    for call, kind in all_logs[0].items():
        any_of[kind].append(call)
        if all(log.get(call) == kind for log in all_logs):
            steady[kind].append(call)
    unknown = sorted({call[0] for calls in any_of.values() for call in calls
                      if errors_of(call[0]) is None})
    if unknown and what != "KILL":
        sys.exit(f"calls.py: no errors are known of {unknown}")

    done, met = set(), set()  # (command, kind, what); (place, what)
    with open(ledger, encoding="utf-8") as lines:
        for line in lines:
            its_command, its_what, kind = line.split()
            done.add((its_command, kind, its_what == "KILL"))
            met.add((place(kind), its_what))

    first, second = [], []
    kinds = sorted(any_of, key=lambda kind: rng.random())
    mine = [kind for kind in kinds
            if zlib.crc32(place(kind).encode()) % parts == part]
    for kind in mine:
        if (command, kind, what == "KILL") in done:
            continue
        point = "KILL"
        if what != "KILL":
            errors = errors_of(any_of[kind][0][0])
            if not errors:
                continue
            new = [e for e in errors if (place(kind), e) not in met]
            point = rng.choice(new or errors)
            met.add((place(kind), point))
        first.append((kind, point))
    one = what == "KILL" or os.environ.get("ERRORS") == "1"
    for kind in [] if one else mine:
        for error in errors_of(any_of[kind][0][0]):
            if (place(kind), error) not in met:
                met.add((place(kind), error))
                second.append((kind, error))
    rng.shuffle(second)
    for kind, point in first + second:
        print(*rng.choice(steady[kind] or any_of[kind]), point, kind)
    print(f"{len(all_logs[0])} calls of {len(kinds)} kinds at "
          f"{len({place(kind) for kind in kinds})} places"
          f" ({len(kinds) - len(steady)} have no number that stays), this part: "
          f"{len(mine)} kinds", file=sys.stderr)


def main():
    if sys.argv[1] == "sites":
        sites()
        return
    log, what, points, seed, shard = sys.argv[1:6]
    pid = sys.argv[6] if len(sys.argv) > 6 else None
    points, rng = int(points), random.Random(int(seed))
    part, parts = map(int, shard.split("/"))
    one = points or os.environ.get("ERRORS") == "1"
    seen, calls, begun = {}, [], 0
    with open(log, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            met = LINE.match(line)
            if not met or (pid and met[1] != pid):
                continue
            name = met[2]
            seen[name] = seen.get(name, 0) + 1
            if re.search(r"\.so[.\"]|ld\.so|locale", met[3]) and len(calls) < 400:
                begun = len(calls)
            if name not in NEVER:
                calls.append((name, seen[name]))
    calls = calls[begun + 1:] if begun else calls
    out, unknown = [], set()
    for name, number in calls:
        errors = ["KILL"]
        if what != "KILL":
            errors = errors_of(name)
            if errors is None:
                unknown.add(name)
            if not errors:
                continue
            if one:
                errors = [rng.choice(errors)]
        out += [(name, number, error) for error in errors]
    if unknown:
        sys.exit(f"calls.py: no errors are known of {sorted(unknown)}")
    if points and points < len(out):
        out = [out[int(len(out) * (i + rng.random()) / points)]
               for i in range(points)]
    elif not points:
        rng.shuffle(out)
        out = out[part::parts]
    for point in out:
        print(*point)
    print(f"{len(calls)} calls", file=sys.stderr)


main()

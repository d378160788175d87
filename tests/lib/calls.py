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
"""
import os
import random
import re
import sys

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
    "close": ["EINTR", "EIO", "ENOSPC"],
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
    "futex": ["EAGAIN", "EINTR"],
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
    "memfd_create": ["EMFILE", "ENFILE", "ENOMEM"],
    "mkdir": ["EACCES", "EDQUOT", "EEXIST", "ENOSPC", "ENOMEM", "EROFS"],
    "mmap": ["ENOMEM", "EAGAIN", "ENFILE", "EPERM", "EACCES"],
    "mprotect": ["ENOMEM", "EACCES"],
    "mremap": ["ENOMEM", "EAGAIN"],
    "munmap": ["ENOMEM", "EINVAL"],
    "openat": FILES + ["EINTR", "EMFILE", "ENFILE", "EROFS", "ENOSPC", "EPERM",
                       "EEXIST"],
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
# returns no errno but the old break.)
NEVER = {"brk", "exit", "exit_group", "execve", "getpid", "gettid", "getuid",
         "geteuid", "getppid", "getgid", "getegid", "rt_sigreturn", "umask",
         "restart_syscall", "set_robust_list", "set_tid_address", "rseq",
         "arch_prctl", "alarm", "sched_yield", "uname", "rt_sigpending", "capget",
         "clock_gettime", "sysinfo"}
LINE = re.compile(r"(?:(\d+) +)?([a-z_0-9]+)\((.*)")


def main():
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
            errors = ERRORS.get(ALIKE.get(name, name))
            if not errors:
                unknown.add(name)
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

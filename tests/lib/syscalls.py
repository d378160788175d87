#!/usr/bin/python3
"""Makes another process call the kernel, and says what that answered.

    syscalls.py PID CALL...

ptrace stops it where it waits, lets it make each call, and lets it go on as
if nothing had been. A line each: CALL and the errno's name, or "ok". The
arguments are such that no call does anything, and that without a filter none
of them is refused with EPERM, whatever the process is not capable of.
x86-64 only.
"""
import ctypes
import errno
import os
import signal
import sys

AT_FDCWD, O_CREAT, O_WRONLY, PROT_EXEC, PROT_READ = -100, 0o100, 1, 4, 1
MAP_PRIVATE, MAP_ANONYMOUS, SOCK_STREAM = 2, 32, 1
BPF_MAP_LOOKUP_ELEM, BPF_OBJ_PIN = 1, 6

CALLS = {
    "getuid": (102,),
    "lookup": (321, BPF_MAP_LOOKUP_ELEM, 0, 0),
    "pin": (321, BPF_OBJ_PIN, 0, 0),
    "execve": (59, 0, 0, 0),
    "clone": (56, 1 << 16, 0, 0, 0, 0),  # CLONE_THREAD alone: EINVAL
    "inet": (41, 2, SOCK_STREAM, 0),
    "unix": (41, 1, SOCK_STREAM, 0),
    "connect": (42, -1, 0, 0),
    "create": (257, AT_FDCWD, 0, O_CREAT | O_WRONLY, 0),
    "write-open": (257, AT_FDCWD, 0, O_WRONLY, 0),
    "read-open": (257, AT_FDCWD, 0, 0, 0),
    "code": (9, 0, 4096, PROT_READ | PROT_EXEC,
             MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
    "mprotect-code": (10, 1, 4096, PROT_READ | PROT_EXEC),
    "ptrace": (101, 9999, 0, 0, 0),
    "kill": (62, 0, 0),
    "unlink": (87, 0),
    "memfd": (319, 0, 0),
    "io_uring": (426, 0, 0),
}

PTRACE_SINGLESTEP, PTRACE_GETREGS, PTRACE_SETREGS = 9, 12, 13
PTRACE_ATTACH, PTRACE_DETACH = 16, 17

REGISTERS = (
    "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip "
    "cs eflags rsp ss fs_base gs_base ds es fs gs").split()


class Regs(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in REGISTERS]


libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                        ctypes.c_void_p]
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, data=None):
    if libc.ptrace(request, pid, None, data) < 0:
        err = ctypes.get_errno()
        sys.exit(f"syscalls.py: ptrace {request}: {os.strerror(err)}")


def stopped(pid, by):
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        sys.exit(f"syscalls.py: process {pid} is gone: status {status}")
    if os.WSTOPSIG(status) != by:
        sys.exit(f"syscalls.py: process {pid} got signal "
                 f"{os.WSTOPSIG(status)}")


def call(pid, regs, number, *args):
    """From where it waits in a call: the two bytes before are "syscall"."""
    now = Regs.from_buffer_copy(regs)
    now.rip -= 2
    now.rax = number
    now.orig_rax = 2**64 - 1  # no call that is to be restarted
    for name, arg in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), args):
        setattr(now, name, arg & (2**64 - 1))
    ptrace(PTRACE_SETREGS, pid, ctypes.byref(now))
    ptrace(PTRACE_SINGLESTEP, pid)
    stopped(pid, signal.SIGTRAP)
    ptrace(PTRACE_GETREGS, pid, ctypes.byref(now))
    return ctypes.c_longlong(now.rax).value


def main():
    pid = int(sys.argv[1])
    names = sys.argv[2:] or CALLS
    regs = Regs()
    ptrace(PTRACE_ATTACH, pid)
    stopped(pid, signal.SIGSTOP)
    ptrace(PTRACE_GETREGS, pid, ctypes.byref(regs))
    try:
        with open(f"/proc/{pid}/mem", "rb") as memory:
            memory.seek(regs.rip - 2)
            if memory.read(2) != b"\x0f\x05":
                sys.exit(f"syscalls.py: process {pid} is in no call")
        for name in names:
            answer = call(pid, regs, *CALLS[name])
            print(name, errno.errorcode[-answer] if answer < 0 else "ok")
    finally:
        ptrace(PTRACE_SETREGS, pid, ctypes.byref(regs))
        ptrace(PTRACE_DETACH, pid)


main()

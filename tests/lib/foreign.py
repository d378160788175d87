#!/usr/bin/python3
"""Somebody else's tc program: counts packets and lets them go on.

  foreign.py load PROG MAP         loads it, pins program and map there
  foreign.py load-route PROG       one for a route (encap bpf xmit) that does
                                   nothing, and pins it
  foreign.py netfilter LINK input|forward|postrouting ipv4|ipv6
                                   attaches one that accepts all to that hook
                                   of netfilter's, by a pinned link
  foreign.py tcx PROG IFACE egress|ingress|primary LINK [last]
                                   attaches it by a pinned TCX link, as the
                                   first (or last) of its chain
  foreign.py tcx-list IFACE egress|ingress
                                   prints id and name of each program of a
                                   TCX chain, in order; nothing without TCX
  foreign.py count MAP             prints how many packets it has seen
  foreign.py tcx-supported         exit 0 when this kernel has TCX
  foreign.py peek MAP OFFSET SIZE  prints a number inside element 0 of any
                                   array map
  foreign.py poke MAP OFFSET SIZE NUMBER
                                   changes it

Standard library only: the bpf() system call by its numbers.
"""
import contextlib
import ctypes
import errno
import os
import platform
import resource
import socket
import struct
import sys

SYS_BPF = {"x86_64": 321, "aarch64": 280}[platform.machine()]
MAP_CREATE, MAP_LOOKUP, MAP_UPDATE = 0, 1, 2
PROG_LOAD, OBJ_PIN, OBJ_GET = 5, 6, 7
PROG_GET_FD_BY_ID, OBJ_GET_INFO_BY_FD, PROG_QUERY, LINK_CREATE = 13, 15, 16, 28
MAP_TYPE_ARRAY, PROG_TYPE_SCHED_CLS, PROG_TYPE_LWT_XMIT = 2, 3, 12
PROG_TYPE_NETFILTER, NETFILTER = 32, 45
TCX_INGRESS, TCX_EGRESS = 46, 47
NETKIT_PRIMARY = 54  # towards the pod; netkit's own hooks
BPF_F_BEFORE, BPF_F_AFTER = 1 << 3, 1 << 4

libc = ctypes.CDLL(None, use_errno=True)


def bpf_attr(command, attr):
    """The result, and the attributes as the kernel leaves them."""
    attr = ctypes.create_string_buffer(attr, 144)
    result = libc.syscall(SYS_BPF, command, attr, 144)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result, attr.raw


def bpf(command, attr):
    return bpf_attr(command, attr)[0]


def address(buffer):
    return ctypes.addressof(buffer)


def insn(code, dst=0, src=0, off=0, imm=0):
    return struct.pack("<BBhi", code, src << 4 | dst, off, imm)


def program(map_fd):
    return b"".join((
        insn(0x62, 10, off=-4),             # *(u32 *)(r10 - 4) = 0
        insn(0xbf, 2, 10),                  # r2 = r10
        insn(0x07, 2, imm=-4),              # r2 -= 4
        insn(0x18, 1, 1, imm=map_fd),       # r1 = map
        insn(0x00),
        insn(0x85, imm=1),                  # r0 = map_lookup_elem(r1, r2)
        insn(0x15, 0, off=2),               # if r0 == 0 skip
        insn(0xb7, 1, imm=1),               # r1 = 1
        insn(0xdb, 0, 1),                   # atomic *(u64 *)r0 += r1
        insn(0xb7, 0, imm=-1),              # TC_ACT_UNSPEC, TCX_NEXT
        insn(0x95),                         # exit
    ))


def pin(fd, path):
    name = ctypes.create_string_buffer(path.encode())
    bpf(OBJ_PIN, struct.pack("<QI", address(name), fd))


def get(path):
    name = ctypes.create_string_buffer(path.encode())
    return bpf(OBJ_GET, struct.pack("<Q", address(name)))


def lock_memory():
    # maps and programs count against it before 5.11; later it need not be permitted
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_MEMLOCK,
                           (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def load(prog_path, map_path):
    map_fd = bpf(MAP_CREATE, struct.pack("<IIII", MAP_TYPE_ARRAY, 4, 8, 1))
    code = ctypes.create_string_buffer(program(map_fd))
    licence = ctypes.create_string_buffer(b"GPL")
    prog_fd = bpf(PROG_LOAD, struct.pack(
        "<IIQQIIQII16s", PROG_TYPE_SCHED_CLS, (len(code) - 1) // 8,
        address(code), address(licence), 0, 0, 0, 0, 0, b"foreign"))
    pin(map_fd, map_path)
    pin(prog_fd, prog_path)


def load_route(prog_path):
    code = ctypes.create_string_buffer(
        insn(0xb7, 0, imm=0) + insn(0x95))  # BPF_OK
    licence = ctypes.create_string_buffer(b"GPL")
    pin(bpf(PROG_LOAD, struct.pack(
        "<IIQQIIQII16s", PROG_TYPE_LWT_XMIT, 2, address(code),
        address(licence), 0, 0, 0, 0, 0, b"foreign")), prog_path)


def netfilter(link_path, hook, family):
    code = ctypes.create_string_buffer(
        insn(0xb7, 0, imm=1) + insn(0x95))  # NF_ACCEPT
    licence = ctypes.create_string_buffer(b"GPL")
    prog = bpf(PROG_LOAD, struct.pack(
        "<IIQQIIQII16sII", PROG_TYPE_NETFILTER, 2, address(code),
        address(licence), 0, 0, 0, 0, 0, b"foreign", 0, NETFILTER))
    pin(bpf(LINK_CREATE, struct.pack(
        "<IIIIIIiI", prog, 0, NETFILTER, 0,
        {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}[family],
        {"input": 1, "forward": 2, "postrouting": 4}[hook], 7, 0)), link_path)


def attach_tcx(prog_path, ifindex, direction, link_path, place="first"):
    kind = {"ingress": TCX_INGRESS, "egress": TCX_EGRESS,
            "primary": NETKIT_PRIMARY}[direction]
    fd = bpf(LINK_CREATE, struct.pack(
        "<IIII", get(prog_path), ifindex, kind,
        BPF_F_AFTER if place == "last" else BPF_F_BEFORE))
    pin(fd, link_path)


def tcx_supported():
    try:
        bpf_attr(PROG_QUERY, struct.pack(
            "<II", socket.if_nametoindex("lo"), TCX_INGRESS))
    except OSError as error:
        return error.errno != errno.EINVAL  # no such kind of attachment
    return True


def tcx_list(ifindex, direction):
    ids = (ctypes.c_uint32 * 64)()
    which = TCX_EGRESS if direction == "egress" else TCX_INGRESS
    try:
        attr = bpf_attr(PROG_QUERY, struct.pack(
            "<IIIIQI", ifindex, which, 0, 0, address(ids), len(ids)))[1]
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return  # no TCX; nothing was ever attached
        raise
    for number in ids[:struct.unpack_from("<I", attr, 24)[0]]:
        fd = bpf(PROG_GET_FD_BY_ID, struct.pack("<I", number))
        print(number, object_info(fd)[64:80].rstrip(b"\0").decode())
        os.close(fd)


def object_info(fd):
    info = ctypes.create_string_buffer(80)
    bpf(OBJ_GET_INFO_BY_FD, struct.pack("<IIQ", fd, 80, address(info)))
    return info.raw


def value_size(fd):
    return struct.unpack_from("<I", object_info(fd), 12)[0]


def read_value(fd):
    key = ctypes.create_string_buffer(4)
    value = ctypes.create_string_buffer(value_size(fd))
    bpf(MAP_LOOKUP, struct.pack("<IIQQ", fd, 0, address(key), address(value)))
    return value


def write_value(fd, value):
    key = ctypes.create_string_buffer(4)
    bpf(MAP_UPDATE, struct.pack("<IIQQQ", fd, 0, address(key),
                                address(value), 0))


def main(command, *args):
    lock_memory()
    if command == "load":
        load(*args)
    elif command == "load-route":
        load_route(*args)
    elif command == "netfilter":
        netfilter(*args)
    elif command == "tcx":
        prog, iface, *rest = args
        attach_tcx(prog, socket.if_nametoindex(iface), *rest)
    elif command == "tcx-list":
        tcx_list(socket.if_nametoindex(args[0]), args[1])
    elif command == "count":
        print(struct.unpack("<Q", read_value(get(args[0])))[0])
    elif command == "tcx-supported":
        return 0 if tcx_supported() else 1
    elif command == "peek":
        value, offset, size = read_value(get(args[0])), *map(int, args[1:])
        print(int.from_bytes(value[offset:offset + size], sys.byteorder))
    elif command == "poke":
        offset, size, number = map(int, args[1:])
        fd = get(args[0])
        value = read_value(fd)
        value[offset:offset + size] = number.to_bytes(size, sys.byteorder)
        write_value(fd, value)
    else:
        sys.exit(__doc__)
    return 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))

"""One real connection: attempt.py tcp|udp|icmp ADDRESS PORT SECONDS

Prints open, refused or silent: what a program on this machine would see.
"""
import os
import socket
import subprocess
import sys


def main():
    proto, dest, port, seconds = sys.argv[1:]
    family = socket.AF_INET6 if ":" in dest else socket.AF_INET
    if proto == "icmp":
        done = subprocess.run(
            ["ping", "-n", "-c1", "-W", seconds, dest],
            stdout=subprocess.PIPE, check=False, env=dict(os.environ, LC_ALL="C"))
        said = done.stdout.decode()
        if done.returncode == 0:
            return "open"
        return "refused" if "From " in said else "silent"
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    with socket.socket(family, kind) as s:
        s.settimeout(float(seconds))
        try:
            s.connect((dest, int(port)))
            if proto == "udp":
                s.send(b"hello")
                s.recv(2000)
            return "open"
        except (socket.timeout, TimeoutError):
            return "silent"
        except OSError:
            return "refused"


print(main())

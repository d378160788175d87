#!/usr/bin/env python3
"""A shell on a terminal of its own, and somebody who presses Tab and Enter.

usage: tabs.py SHELL SCRIPT DIR

SCRIPT is the completion for SHELL (bash, zsh, fish). DIR is empty. Interfaces
and files with names that shells would run, split or expand are made; each is
completed from its first letter. The command has to be called with just that
name, and nothing else may have happened: a name that was run leaves a file.
Needs a network namespace of its own with a /sys of its own (ip netns exec).
"""
import os
import pty
import select
import signal
import subprocess
import sys
import time

SLOW = int(os.environ.get("TEST_SLOW", 1))
# an interface's name has 15 bytes, no blank, slash or colon
LINKS = ["a$(id>TAB)", "b`id>TAB`", "c'd", 'd"e', "e*", "f?x", "g[ab]",
         "h;id>TAB", "i&id>TAB", "j|id>TAB", "k~", "m!x", "n#x", "o$HOME",
         "p{a,b}", "q\\b", "r=b", "s<TAB", "t>TAB", "v$((1+1))", "w\x1b[31m"]
# where nothing is typed before it
BARE = ["$(id>TAB)", "`id>TAB`", "*", "~root", "'", '"']
FILES = ["A$(id>TAB)", "B`id>TAB`", "C d e", "D'e", 'E"f', "F*", "G;id>TAB",
         "H[ab]", "I$HOME", "J\\k", "K(x)", "L{a,b}"]


class Terminal:
    def __init__(self, shell, script, cwd):
        self.shell = shell
        env = dict(os.environ, TERM="dumb", PS1="", HOME=cwd + "/home",
                   PATH=cwd + "/bin:" + os.environ["PATH"], HISTFILE="",
                   XDG_CONFIG_HOME=cwd + "/home", XDG_DATA_HOME=cwd + "/home",
                   INPUTRC="/dev/null")
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.chdir(cwd + "/cwd")
            argv = {"bash": ["bash", "--norc", "--noprofile", "-i"],
                    "zsh": ["zsh", "-f", "-i"],
                    "fish": ["fish", "--no-config", "-i"]}[shell]
            os.execvpe(shell, argv, env)
        if shell == "zsh":
            self.type("autoload -U compinit; compinit -u -D\n")
        self.type(f"source {script}\n")
        self.type(f"touch {cwd}/ready\n")
        self.wait(lambda: os.path.exists(cwd + "/ready"), "it never began")

    def type(self, text):
        os.write(self.fd, text.encode())

    def read(self, seconds):
        """What it shows until it has been quiet for so long."""
        shown = b""
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                shown += os.read(self.fd, 65536)
            except OSError:
                break
        return shown

    def wait(self, condition, why):
        end = time.time() + 20 * SLOW
        while not condition():
            if time.time() > end:
                raise RuntimeError(f"{self.shell}: {why}")
            self.read(0.05)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self.fd)


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def check_clean(cwd, before, what):
    left = set(os.listdir(cwd + "/cwd")) - before
    if left or os.path.exists(cwd + "/home/TAB"):
        raise RuntimeError(f"{what}: something was run: {left}")


def complete(terminal, cwd, before, typed, name):
    calls = cwd + "/calls"
    if os.path.exists(calls):
        os.unlink(calls)
    for part in typed.split("\t"):
        terminal.type(part + "\t")
        terminal.read(0.25 * SLOW)
        check_clean(cwd, before, f"{terminal.shell}: Tab behind {typed!r}")
    terminal.type("\n")
    terminal.wait(lambda: os.path.exists(calls),
                  f"{typed!r} and Tab: the command was not called")
    with open(calls, "rb") as file:
        got = file.read().split(b"\0")[:-1]
    want = [word.encode() for word in typed.split("\t")[0].split()[1:-1]]
    want.append(name.encode())
    if got != want:
        raise RuntimeError(f"{terminal.shell}: {typed!r} and Tab: {got}, "
                           f"not {want}")
    check_clean(cwd, before, f"{terminal.shell}: Enter behind {typed!r}")


def main():
    shell, script, cwd = sys.argv[1:]
    for name in ("bin", "cwd", "home"):
        os.mkdir(f"{cwd}/{name}")
    with open(cwd + "/bin/masqbpf", "w") as stub:
        stub.write("#!/bin/sh\nprintf '%s\\0' \"$@\" "
                   f">{cwd}/calls.new\nmv {cwd}/calls.new {cwd}/calls\n")
    os.chmod(cwd + "/bin/masqbpf", 0o755)
    for name in FILES:
        open(f"{cwd}/cwd/{name}", "w").close()
    os.mkdir(f"{cwd}/cwd/M$(id>TAB)")
    open(f"{cwd}/cwd/M$(id>TAB)/N$(id>TAB)", "w").close()
    before = set(os.listdir(cwd + "/cwd"))
    for name in LINKS:
        run("ip", "link", "add", "name", name, "type", "bridge")
    terminal = Terminal(shell, script, cwd)
    try:
        for name in LINKS:
            complete(terminal, cwd, before, "masqbpf attach " + name[0], name)
        for name in FILES:
            complete(terminal, cwd, before, "masqbpf check " + name[0], name)
        # an option's value, and a name within a directory's
        complete(terminal, cwd, before, "masqbpf reload --config A", FILES[0])
        complete(terminal, cwd, before, "masqbpf check M\tN",
                 "M$(id>TAB)/N$(id>TAB)")
    except RuntimeError as error:
        print(error)
        return 1
    finally:
        terminal.end()
    for name in LINKS:
        run("ip", "link", "del", "dev", name)
    for name in BARE:
        run("ip", "link", "add", "name", name, "type", "bridge")
    terminal = Terminal(shell, script, cwd)
    try:
        for typed in ("masqbpf attach ", "masqbpf detach ", "masqbpf agent "):
            terminal.type(typed + "\t\t\t")
            terminal.read(0.25 * SLOW)
            terminal.type("\x03\n")
            terminal.read(0.1 * SLOW)
            check_clean(cwd, before, f"{shell}: Tabs behind {typed!r}")
    except RuntimeError as error:
        print(error)
        return 1
    finally:
        terminal.end()
    print(f"{len(LINKS)} interfaces, {len(FILES)} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())

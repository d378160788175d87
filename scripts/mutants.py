#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""mutants.py - takes out or turns round one decision of the program at a time
and sees whether a test notices. The lists are tests/mutants/*.list; how they
are written stands at the top of each."""

import argparse
import hashlib
import os
import queue
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

LISTS = "tests/mutants"
# What is no source, and not needed to build from.
NOT_COPIED = {"build", "build/asan", "build/mutants", "build/torture"}
# What has no decisions of its own; every other room must be on a list.
NO_ROOM = {"bpf/maps.h", "bpf/family.h"}
ROW = re.compile(r"^not ok \d+ (?:- )?(.*)")
# A program that the kernel refuses shows nothing of the tests.
REFUSED = re.compile(r"BPF program load failed|failed to load object")


class Mutant:
    """One block of a list."""

    def __init__(self, where, name, path, tests):
        self.where, self.name, self.path, self.tests = where, name, path, tests
        self.old, self.new, self.why = [], [], []

    def text(self):
        return "\n".join([self.path, *self.tests, *self.old, "\0", *self.new,
                          "\0", *self.why])

    def find(self, source):
        """Where its snippet is in the source, whatever the white space."""
        words = " ".join(self.old).split()
        return list(re.finditer(r"\s+".join(map(re.escape, words)), source))

    def apply(self, source):
        at = self.find(source)[0]
        return source[:at.start()] + "\n".join(self.new) + source[at.end():]


class Test:
    """A test as a list names it: [VARIABLE=VALUE:]KIND/NAME."""

    def __init__(self, text):
        *variables, self.name = text.split(":")
        self.text = text
        self.env = dict(v.split("=", 1) for v in variables)
        self.source = f"tests/{self.name}.c"
        self.program = self.target = f"build/tests/{self.name}"
        self.needs = [self.program]
        self.object = None
        if self.name.startswith("net/"):
            self.source = self.program = f"tests/{self.name}.sh"
            self.needs = ["all", "tests"]
            self.target = "build/masqbpf"
        if self.name.startswith("prog/"):
            which = self.env.setdefault("MASQ_TEST_OBJECT", "modern")
            self.object = ("build/masq.bpf.o" if which == "legacy"
                           else "build/masq_modern.bpf.o")
            self.target = self.object

    def environment(self):
        env = {k: v for k, v in os.environ.items()
               if not k.startswith("MASQ")}
        env["CMOCKA_MESSAGE_OUTPUT"] = "TAP"
        if self.object:  # not the one that the test has inside
            env["MASQ_TEST_BPF"] = self.object
        env.update(self.env)
        return env


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def parse(path):
    mutants, errors = [], []
    for number, line in enumerate(read(path).split("\n"), 1):
        where = f"{path}:{number}"
        if line.startswith("@@"):
            words = line[2:].split()
            if len(words) < 3:
                errors.append(f"{where}: @@ NAME FILE TEST...")
                words += ["?"] * 3
            mutants.append(Mutant(where, words[0], words[1], words[2:]))
        elif not line or line.startswith("#"):
            continue
        elif not mutants or line[0] not in " -+?":
            errors.append(f"{where}: neither @@, a line of a snippet, nor ?")
        elif line[0] == "?":
            mutants[-1].why.append(line[1:].strip())
        else:
            if line[0] != "+":
                mutants[-1].old.append(line[1:])
            if line[0] != "-":
                mutants[-1].new.append(line[1:])
    return mutants, errors


def check(mutants):
    """What is wrong with the lists, as they meet the tree."""
    errors, names = [], set()
    for m in mutants:
        if m.name in names:
            errors.append(f"{m.where}: {m.name}: the name is there twice")
        names.add(m.name)
        if not os.path.exists(m.path):
            errors.append(f"{m.where}: {m.name}: no file {m.path}")
            continue
        if not "".join(m.old).strip() or m.old == m.new:
            errors.append(f"{m.where}: {m.name}: it changes nothing")
            continue
        found = len(m.find(read(m.path)))
        if found != 1:
            errors.append(f"{m.where}: {m.name}: its snippet is {found} times "
                          f"in {m.path}, not once")
        for test in map(Test, m.tests):
            if not os.path.exists(test.source):
                errors.append(f"{m.where}: {m.name}: no test {test.source}")
    rooms = {f"bpf/{name}" for name in os.listdir("bpf")
             if name.endswith(".h")} - NO_ROOM
    for room in sorted(rooms - {m.path for m in mutants}):
        errors.append(f"{room}: no decision of it is on a list")
    return errors


class Stopped(Exception):
    pass


class Runner:
    """Runs commands, and ends them all when it is told to stop."""

    def __init__(self):
        self.lock = threading.Lock()
        self.running = set()
        self.stopped = False

    def start(self, command, **how):
        with self.lock:
            if self.stopped:
                raise Stopped
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT,
                                     start_new_session=True, **how)
            self.running.add(child)
        return child

    def end(self, child):
        """With time for a test of the network to take its labs away."""
        for how in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(child.pid, how)
                child.wait(30)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass
        child.wait()
        child.stdout.close()
        with self.lock:
            self.running.discard(child)

    def stop(self):
        """All of them, and each has the time to clean up."""
        with self.lock:
            self.stopped = True
            running = list(self.running)
        end = time.monotonic() + 30
        for child in running:
            self.signal(child, signal.SIGTERM)
        for child in running:
            try:
                child.wait(max(0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                pass
            self.signal(child, signal.SIGKILL)

    @staticmethod
    def signal(child, how):
        try:
            os.killpg(child.pid, how)
        except ProcessLookupError:
            pass

    def still_going(self):
        """What ended because everything was stopped has noticed nothing."""
        with self.lock:
            if self.stopped:
                raise Stopped

    def make(self, tree, target, jobs=1):
        """None, or what make said when it failed."""
        child = self.start(["make", "-s", f"-j{jobs}", target], cwd=tree)
        said = child.stdout.read().decode(errors="replace")
        failed = child.wait()
        self.end(child)
        self.still_going()
        return said if failed else None

    def run(self, tree, test, seconds):
        """What the test says until its first failed row: (noticed, text)."""
        child = self.start([f"./{test.program}"], cwd=tree,
                           env=test.environment())
        selector = selectors.DefaultSelector()
        selector.register(child.stdout, selectors.EVENT_READ)
        until = time.monotonic() + seconds
        said = b""
        try:
            while True:
                left = until - time.monotonic()
                if left <= 0:
                    return True, f"no end within {seconds:.0f} s", said
                if not selector.select(left):
                    continue
                more = os.read(child.stdout.fileno(), 65536)
                said += more
                for line in said.decode(errors="replace").split("\n")[:-1]:
                    row = ROW.match(line)
                    if row and "# SKIP" not in line:
                        return True, row.group(1), said
                if not more:
                    break
            status = child.wait()
            return status != 0, f"exit status {status}", said
        finally:
            selector.close()
            self.end(child)
            self.still_going()


class Results:
    """What was found before, and is true as long as nothing of it changed."""

    def __init__(self, path, again):
        self.path = path
        self.known = {}
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if again or not os.path.exists(path):
            open(path, "w", encoding="utf-8").close()
        for line in read(path).splitlines():
            key, *rest = line.split("\t")
            self.known[key] = rest

    @staticmethod
    def key(mutant):
        digest = hashlib.sha256(mutant.text().encode())
        files = ["Makefile"] + [Test(t).source for t in mutant.tests]
        side = mutant.path.split("/")[0]
        folders = [side] if side in ("bpf", "user") else ["bpf", "user"]
        for folder in [*folders, "include", "tests/lib"]:
            files += [f"{where}/{name}" for where, _, names in os.walk(folder)
                      for name in names if name.endswith((".c", ".h"))]
        for path in sorted(files):
            digest.update(path.encode())
            with open(path, "rb") as file:
                digest.update(file.read())
        return digest.hexdigest()

    def add(self, key, name, verdict, detail):
        fields = [key, name, verdict, detail.replace("\t", " ")]
        with open(self.path, "a", encoding="utf-8") as file:
            file.write("\t".join(fields) + "\n")


def copy_tree(to):
    """The tree, and what is built of it already."""
    os.makedirs(f"{to}/build")
    paths = [name for name in os.listdir(".") if not name.startswith(".")]
    if os.path.exists("build"):
        paths += [f"build/{name}" for name in os.listdir("build")]
    for path in paths:
        if path not in NOT_COPIED:
            subprocess.run(["cp", "-a", path, f"{to}/{path}"], check=True)


class Hunt:
    def __init__(self, mutants, args):
        self.mutants, self.args = mutants, args
        self.runner = Runner()
        self.results = Results(f"{args.output}/results.tsv", args.again)
        self.bounds = {}
        self.found = {}
        self.lock = threading.Lock()

    def say(self, mutant, verdict, detail, before=""):
        with self.lock:
            self.found[mutant.name] = (verdict, detail)
            place = mutant.path + ":" + str(self.line(mutant))
            print(f"{verdict:12} {mutant.name:44} {place:24} {detail}{before}",
                  flush=True)

    @staticmethod
    def line(mutant):
        source = read(mutant.path)
        return source[:mutant.find(source)[0].start()].count("\n") + 1

    def judge(self, tree, mutant):
        """(verdict, detail) of one mutant, built and run in the tree."""
        path = f"{tree}/{mutant.path}"
        source = read(path)
        with open(path, "w", encoding="utf-8") as file:
            file.write(mutant.apply(source))
        try:
            for test in map(Test, mutant.tests):
                said = self.runner.make(tree, test.target)
                if said is not None:
                    return "no build", said.strip().replace("\n", " | ")[:600]
                noticed, what, said = self.runner.run(
                    tree, test, self.bounds[test.text])
                said = said.decode(errors="replace")
                if REFUSED.search(said):
                    return "no load", said.replace("\n", " | ")[-600:]
                if noticed:
                    return ("MATTERS" if mutant.why else "noticed",
                            f"{test.text}: {what}")
        finally:
            # with the time of now: what was built is older
            with open(path, "w", encoding="utf-8") as file:
                file.write(source)
        if mutant.why:
            return "no matter", " ".join(mutant.why)
        return "SURVIVED", " ".join(mutant.tests)

    def work(self, tree, todo):
        try:
            while True:
                mutant = todo.get_nowait()
                verdict, detail = self.judge(tree, mutant)
                self.results.add(self.results.key(mutant), mutant.name,
                                 verdict, detail)
                self.say(mutant, verdict, detail)
        except (queue.Empty, Stopped):
            pass
        except BaseException as error:  # the others need not go on
            self.runner.stop()
            print(f"mutants: {error!r}", file=sys.stderr)

    def baseline(self, tree, tests):
        """Every test has to pass before anything is changed."""
        for test in tests:
            said = None
            for target in test.needs:
                said = said or self.runner.make(tree, target, self.args.jobs)
            if said is not None:
                raise SystemExit(f"mutants: {test.name} does not build:\n"
                                 f"{said}")
            began = time.monotonic()
            failed, what, said = self.runner.run(tree, test, 600)
            if failed:
                print(said.decode(errors="replace"))
                raise SystemExit(f"mutants: {test.text} fails as it is: "
                                 f"{what}")
            took = time.monotonic() - began
            self.bounds[test.text] = 60 + 4 * took
            print(f"# {test.text} passes in {took:.1f} s", flush=True)

    def go(self):
        todo = queue.Queue()
        again = []
        for m in self.mutants:
            known = self.results.known.get(self.results.key(m))
            if known and known[1] not in ("no build", "no load"):
                self.say(m, known[1], known[2], " (before)")
            else:
                again.append(m)
        # those of one file one after the other: less to build
        for m in again:
            todo.put(m)
        if again:
            with tempfile.TemporaryDirectory(prefix="masqbpf-mutants.") as top:
                try:
                    self.hunt(top, again, todo)
                finally:
                    self.runner.stop()
        return self.sum()

    def hunt(self, top, mutants, todo):
        tests = list(dict.fromkeys(t for m in mutants for t in m.tests))
        first = f"{top}/0"
        copy_tree(first)
        self.baseline(first, map(Test, tests))
        trees = [first]
        for i in range(1, min(self.args.jobs, len(mutants))):
            trees.append(f"{top}/{i}")
            subprocess.run(["cp", "-a", first, trees[-1]], check=True)
        threads = [threading.Thread(target=self.work, args=(tree, todo))
                   for tree in trees]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def sum(self):
        verdicts = [verdict for verdict, _ in self.found.values()]
        bad = [v for v in verdicts if v not in ("noticed", "no matter")]
        missing = len(self.mutants) - len(verdicts)
        words = ", ".join(f"{verdicts.count(v)} {v}"
                          for v in dict.fromkeys(verdicts))
        print(f"{len(self.mutants)} mutants: {words}"
              + (f", {missing} not run" if missing else ""))
        return 1 if bad or missing else 0


def main():
    parser = argparse.ArgumentParser(
        description="Takes out or turns round one decision at a time, in a "
        "copy of the tree, and runs the tests that must notice. Exits 1 when "
        "one survives. What has not changed since it was found is not run "
        "again.")
    parser.add_argument("-k", metavar="PATTERN", default="",
                        help="only those whose name or file matches")
    parser.add_argument("-j", metavar="N", dest="jobs", type=int, default=2,
                        help="so many at a time (2)")
    parser.add_argument("-o", metavar="DIR", dest="output",
                        default="build/mutants", help="where results are kept")
    parser.add_argument("--again", action="store_true",
                        help="forget what was found before")
    parser.add_argument("--list", action="store_true", help="names only")
    parser.add_argument("--check", action="store_true",
                        help="only whether the lists fit the tree")
    parser.add_argument("lists", nargs="*", metavar="LIST",
                        help=f"default: {LISTS}/*.list")
    args = parser.parse_args()
    args.output = os.path.abspath(args.output)
    lists = [os.path.abspath(path) for path in args.lists]
    os.chdir(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    lists = lists or sorted(f"{LISTS}/{name}" for name in os.listdir(LISTS)
                            if name.endswith(".list"))
    mutants, errors = [], []
    for path in lists:
        some, wrong = parse(path)
        mutants += some
        errors += wrong
    errors += check(mutants)
    if errors:
        print("\n".join(errors), file=sys.stderr)
        return 2
    if args.check:
        print(f"{len(mutants)} mutants fit the tree")
        return 0
    pattern = re.compile(args.k)
    mutants = [m for m in mutants
               if pattern.search(m.name) or pattern.search(m.path)]
    if args.list:
        for m in mutants:
            print(m.name, m.path, *m.tests)
        return 0
    if not mutants:
        print(f"mutants: none matches '{args.k}'", file=sys.stderr)
        return 2
    if os.geteuid() and any("prog/" in t for m in mutants for t in m.tests):
        print("mutants: BPF needs root", file=sys.stderr)
        return 2

    hunt = Hunt(mutants, args)

    def stop(number, _frame):
        hunt.runner.stop()
        raise SystemExit(128 + number)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        return hunt.go()
    except Stopped:  # in the middle of a test
        return 1


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Does user/ keep its layers? From the includes: a file may use its own folder
and the folders below it, and no two files use each other, not even by way of
a third one (x.c and x.h are one). A line for each arrow that breaks this.

usage: layers.py [FOLDER]    (of the program's sources; user)
"""
import os
import re
import sys

# From the ground up: each may use those before it.
LAYERS = ["base", "kernel", "config", "plane", "policy", "takeover", "report",
          "agent", "cli"]

INCLUDE = re.compile(r'\s*#\s*include\s*"([^"]+)"')


def sources(root):
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            if name.endswith((".c", ".h")):
                yield os.path.relpath(os.path.join(folder, name), root)


def includes(root, path):
    """(line, target) of what is ours; the rest is generated or the system's"""
    with open(os.path.join(root, path), encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            found = INCLUDE.match(line)
            if found and ("/" in found[1] or os.path.exists(
                    os.path.join(root, os.path.dirname(path), found[1]))):
                yield number, found[1]


def folder_of(path):
    return path.split("/")[0] if "/" in path else ""


def wrong(path, target, known):
    """Why the arrow may not be; "" where it may."""
    here, there = folder_of(path), folder_of(target)
    if here not in LAYERS:
        return "is in no layer's folder"
    if target not in known:
        return "is not there: write it from the sources' folder on"
    if there not in LAYERS:
        return f"{there or 'the top'} is no layer"
    if LAYERS.index(there) > LAYERS.index(here):
        return f"{there} is above {here}"
    return ""


def circle(arrows):
    """A circle of modules as a list, the first also last; [] where none is."""
    state, way = {}, []

    def visit(module):
        state[module] = "open"
        way.append(module)
        for target in sorted(arrows.get(module, {})):
            if state.get(target) == "open":
                return way[way.index(target):] + [target]
            if target not in state:
                found = visit(target)
                if found:
                    return found
        way.pop()
        state[module] = "done"
        return []

    for module in sorted(arrows):
        if module not in state:
            found = visit(module)
            if found:
                return found
    return []


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    root = sys.argv[1] if len(sys.argv) == 2 else "user"
    known = set(sources(root))
    arrows, bad = {}, []
    for path in sorted(known):
        if folder_of(path) not in LAYERS:
            bad.append(f"{root}/{path}: {wrong(path, path, known)}")
            continue
        for number, target in includes(root, path):
            why = wrong(path, target, known)
            if why:
                bad.append(f"{root}/{path}:{number}: -> {target}: {why}")
            from_, to = path[:-2], target[:-2]
            if from_ != to and not why:
                arrows.setdefault(from_, {}).setdefault(to, (path, number))
    while True:
        found = circle(arrows)
        if not found:
            break
        path, number = arrows[found[-2]].pop(found[-1])
        bad.append(f"{root}/{path}:{number}: -> {found[-1]}.h: a circle: "
                   + " -> ".join(found))
    for line in bad:
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

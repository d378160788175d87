#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""Is a file of user/, bpf/ or include/ longer than 500 lines without a reason?
The reasons are a list in docs/design.md, "- `FILE`: why." A line for each long
file that is not there, and for each that is there and need not be.

usage: sizes.py [FOLDER]    (of the tree; .)
"""
import os
import re
import sys

MOST = 500
REASON = re.compile(r"^- `((?:user|bpf|include)/[^`]+\.[ch])`: *\S", re.M)


def lengths(root):
    for top in ("user", "bpf", "include"):
        for folder, _, names in os.walk(os.path.join(root, top)):
            for name in names:
                if name.endswith((".c", ".h")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as file:
                        yield os.path.relpath(path, root), sum(1 for _ in file)


def main():
    if len(sys.argv) > 2 or sys.argv[1:] in (["-h"], ["--help"]):
        print(__doc__)
        return 0 if len(sys.argv) == 2 else 2
    root = sys.argv[1] if len(sys.argv) == 2 else "."
    with open(os.path.join(root, "docs/design.md"), encoding="utf-8") as file:
        reasons = set(REASON.findall(file.read()))
    found = dict(lengths(root))
    bad = [f"{path}: {lines} lines: part it, or say in docs/design.md why not"
           for path, lines in found.items()
           if lines > MOST and path not in reasons]
    for path in reasons:
        if path not in found:
            bad.append(f"docs/design.md: {path}: is not there")
        elif found[path] <= MOST:
            bad.append(f"docs/design.md: {path}: has {found[path]} lines: "
                       "needs no reason")
    for line in sorted(bad):
        print(line)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

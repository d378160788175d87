#!/usr/bin/env python3
"""spdx.py - the bill of materials of an image's root: which files, of which
packages, as SPDX 2.3 in JSON on stdout.

	spdx.py ROOT VERSION SECONDS

Every file of ROOT is hashed; whose it is, is asked from dpkg on this machine,
by the file's path here and its contents: a file that dpkg does not know, or
that is not what lies here, is named without a package. SECONDS since 1970 is
when it was created, so that the same root gives the same text.
"""
import hashlib
import json
import os
import re
import subprocess
import sys
import time

OURS = "usr/sbin/masqbpf"


def digest(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def owner(path):
    """the Debian package that has this file, by the name that it has there"""
    real = os.path.realpath("/" + path)
    names = {real, "/" + path}
    # libraries may be known by their name before /lib became a link
    names |= {name[4:] for name in names if name.startswith("/usr/lib")}
    names |= {"/usr" + name for name in names if name.startswith("/lib")}
    try:
        found = subprocess.run(["dpkg-query", "-S", *sorted(names)], text=True,
                               stdout=subprocess.PIPE, check=False,
                               stderr=subprocess.DEVNULL).stdout
    except FileNotFoundError:
        return None
    owners = {line.split(": ")[0] for line in found.splitlines()
              if not line.startswith("diversion ")}
    return owners.pop() if len(owners) == 1 else None


def described(package):
    text = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package}\t${Version}\t${Architecture}\t"
         "${source:Package}\t${source:Version}", package],
        text=True, stdout=subprocess.PIPE, check=True).stdout
    return dict(zip(("name", "version", "arch", "source", "source_version"),
                    text.split("\t")))


def spdx_id(text):
    return "SPDXRef-" + re.sub(r"[^A-Za-z0-9.]", "-", text)


def package_element(name, version, **more):
    return {"SPDXID": spdx_id("Package-" + name), "name": name,
            "versionInfo": version, "downloadLocation": "NOASSERTION",
            "filesAnalyzed": False, "licenseConcluded": "NOASSERTION",
            "licenseDeclared": "NOASSERTION", "copyrightText": "NOASSERTION",
            **more}


def main(root, version, seconds):
    packages = {}
    files = []
    relations = []

    def relate(one, kind, other):
        relations.append({"spdxElementId": one, "relationshipType": kind,
                          "relatedSpdxElement": other})

    image = spdx_id("Package-masqbpf")
    relate("SPDXRef-DOCUMENT", "DESCRIBES", image)
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            full = os.path.join(folder, name)
            path = os.path.relpath(full, root)
            entry = {"SPDXID": spdx_id("File-" + path), "fileName": "./" + path,
                     "checksums": [{"algorithm": "SHA256",
                                    "checksumValue": digest(full)}],
                     "licenseConcluded": "NOASSERTION",
                     "copyrightText": "NOASSERTION"}
            files.append(entry)
            holder = image
            if path != OURS and os.path.exists("/" + path):
                package = owner(path)
                if package and digest("/" + path) == digest(full):
                    holder = spdx_id("Package-" + package)
                    packages[package] = described(package)
            relate(holder, "CONTAINS", entry["SPDXID"])
    elements = [package_element(
        "masqbpf", version, supplier="NOASSERTION",
        licenseDeclared="GPL-2.0-only", primaryPackagePurpose="CONTAINER")]
    for package, told in sorted(packages.items()):
        url = (f"pkg:deb/debian/{told['name']}@{told['version']}"
               f"?arch={told['arch']}")
        element = package_element(
            package, told["version"], supplier="Organization: Debian",
            primaryPackagePurpose="LIBRARY",
            sourceInfo=f"built from {told['source']} {told['source_version']}",
            externalRefs=[{"referenceCategory": "PACKAGE-MANAGER",
                           "referenceType": "purl",
                           "referenceLocator": url}])
        elements.append(element)
        relate(image, "CONTAINS", element["SPDXID"])
        relate(image, "DYNAMIC_LINK", element["SPDXID"])
    sums = hashlib.sha256("".join(
        file["checksums"][0]["checksumValue"] for file in files).encode())
    json.dump({
        "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT", "name": f"masqbpf-{version}",
        # a name, no address: the same for the same files, as it has to be
        "documentNamespace":
            f"urn:masqbpf:spdx:{version}:{sums.hexdigest()}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ",
                                     time.gmtime(int(seconds))),
            "creators": [f"Tool: masqbpf-spdx.py-{version}"]},
        "packages": elements, "files": files, "relationships": relations,
    }, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])

#!/usr/bin/python3
"""Compares the two labs of the soak: a table in Markdown on standard output,
exit code 1 when the one with faults did worse than its twin, or when
something did not come back to where it began."""
import json
import sys

# What a process may hold more at the end: pages that its allocator keeps.
RSS_SLACK_KB = 1024


def load(path):
    with open(path) as file:
        return json.load(file)


def main(twin_path, faults_path):
    labs = {"twin": load(twin_path), "faults": load(faults_path)}
    wrong = []

    def row(name, *cells):
        print("|", " | ".join([name, *map(str, cells)]), "|")

    def both(name, value):
        row(name, *(value(lab) for lab in labs.values()))

    print("| | twin | with faults |\n|---|---|---|")
    both("seconds", lambda lab: lab["seconds"])
    for name, key in (("pods replaced", "pods"), ("uplink down and up",
                      "flaps"), ("config edits", "edits"),
                      ("`cidr add`, `cidr del`", "runtime"),
                      ("`reload` in storms", "reloads")):
        both(name, lambda lab: lab[key])
    both("changes refused because another was at work",
         lambda lab: lab["refused"])
    both("agent killed and started again", lambda lab: lab["agents"] - 1)
    traffic = {who: lab["traffic"][0] for who, lab in labs.items()}
    for kind in traffic["twin"]["kinds"]:
        counts = [lab["kinds"][kind] for lab in traffic.values()]
        row(f"`{kind}` ok / failed / their pod went", *(
            f"{count.get('ok', 0)} / {count.get('failed', 0)} / "
            f"{count.get('abandoned', 0)}" for count in counts))
    failed = {who: lab["total"].get("failed", 0)
              for who, lab in traffic.items()}
    row("**failed**", *failed.values())
    row("answers seen from the node / from the pod", *(
        f"{lab['sources'].get('node', 0)} / {lab['sources'].get('pod', 0)}"
        for lab in traffic.values()))
    row("held connections asked again: same source each time",
        *(lab["asked"] for lab in traffic.values()))
    row("datagrams and pings sent again", *(
        lab["total"].get("again", 0) for lab in traffic.values()))
    both("drops by reason", lambda lab: ", ".join(
        f"{name} {count}" for name, count in lab["drops"].items() if count)
        or "none")
    if failed["faults"] > failed["twin"]:
        wrong.append(f"{failed['faults']} failed with faults, "
                     f"{failed['twin']} without")
    for who, lab in labs.items():
        if not traffic[who]["total"]["ok"]:
            wrong.append(f"{who}: no traffic")
        if lab["status"] != "ok":
            wrong.append(f"{who}: health {lab['status']}")
    print("\n| at the beginning → at the end | twin | with faults |\n"
          "|---|---|---|")
    for key, name in (("flow_entries", "entries of masq_flows4"),
                      ("pod_entries", "entries of masq_pods"),
                      ("flows", "live flows (those that end the test)"),
                      ("pins", "pins"), ("hooks", "uplinks attached"),
                      ("agent_fds", "file descriptors of the agent"),
                      ("helper_fds", "... of its helper"),
                      ("namespaces", "namespaces")):
        both(name, lambda lab: f"{lab['before'][key]} → {lab['after'][key]}")
        for who, lab in labs.items():
            if lab["before"][key] != lab["after"][key]:
                wrong.append(f"{who}: {name} do not come back")
    both("ids of the maps", lambda lab: "the same" if
         lab["before"]["map_ids"] == lab["after"]["map_ids"] else "others")
    for who, lab in labs.items():
        if lab["before"]["map_ids"] != lab["after"]["map_ids"]:
            wrong.append(f"{who}: maps were made anew")
    for key, name in (("agent_rss_kb", "resident memory of the agent, kB"),
                      ("helper_rss_kb", "... of its helper, kB")):
        # an agent that was killed is compared with its successor when young
        start = {"twin": labs["twin"]["before"][key],
                 "faults": labs["faults"]["before"][key]}
        if key == "agent_rss_kb" and labs["faults"]["young_rss_kb"]:
            start["faults"] = labs["faults"]["young_rss_kb"]
        row(name, *(f"{start[who]} → {lab['after'][key]}"
                    for who, lab in labs.items()))
        for who, lab in labs.items():
            if lab["after"][key] > start[who] + RSS_SLACK_KB:
                wrong.append(f"{who}: {name}: grows")
    print()
    for line in wrong:
        print("**Wrong:**", line)
    if not wrong:
        print("No connection failed that the twin's did not, and everything "
              "came back.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

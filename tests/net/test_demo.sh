#!/usr/bin/env bash
# README's first command, as it stands there: whoever types it sees no failure,
# with a terminal and without one.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT

demo() { # COMMAND...
	"$@" >"$out" 2>&1 </dev/null || fail "$(tail -n 20 "$out")"
	grep -q 'Done.* in [0-9]* seconds' "$out" || fail "$(tail -n 20 "$out")"
	! grep 'FAILED' "$out" || fail "$(tail -n 20 "$out")"
}

row "the demo" demo scripts/demo.sh
row "the demo, in a terminal" demo script -qec scripts/demo.sh /dev/null
tap_done

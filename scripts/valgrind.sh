#!/usr/bin/env bash
# valgrind.sh - the unit tests under valgrind, and each command, as tests of the
# network use it; a row each. What valgrind says is judged, not what becomes of
# the test under it: that is only told.
# VALGRIND_NET: names of tests/net. Not the agent: its filter allows no memory
# that is code, and valgrind makes such (scripts/sanitize.sh has the agent).
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/tap.sh

NET=${VALGRIND_NET:-attach check cli detach doctor golden insight migrate
	policy seed}
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-valgrind.XXXXXX")
trap 'rm -rf "$LOGS"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
valgrind=(valgrind -q --leak-check=full --errors-for-leak-kinds=definite
	"--suppressions=$PWD/tests/lib/valgrind.supp")

build() {
	make -j2 all tests
	printf '#!/bin/bash\nexec %s "$@"\n' \
		"${valgrind[*]@Q} --log-file=$LOGS/log.%p ${PWD@Q}/build/masqbpf" \
		>"$LOGS/masqbpf"
	chmod 755 "$LOGS" "$LOGS/masqbpf"
}

# complaints: what it said, of all processes. Beside that it names calls that it
# does not know.
complaints() {
	local log
	for log in "$LOGS"/log.*; do
		! grep -q '^==' "$log" || grep -v '^--' "$log" | head -n 60
		rm -f "$log"
	done
}

unit() {
	local said
	# beyond its own time limits it is slow here
	MASQBPF_SLOW_TESTS=1 "${valgrind[@]}" --log-file="$LOGS/log.%p" \
		"build/tests/unit/$1"
	said=$(complaints)
	[ -z "$said" ] || fail "$said"
}

net() {
	local said processes
	MASQBPF=$LOGS/masqbpf TEST_SLOW=${TEST_SLOW:-4} \
		bash "tests/net/test_$1.sh" >"$LOGS/out" 2>&1 || true
	processes=$(find "$LOGS" -name 'log.*' | wc -l)
	said=$(complaints)
	[ -z "$said" ] || fail "$said"
	note "$processes processes; the test: $(tail -n 1 "$LOGS/out")"
	[ "$processes" -gt 0 ]
}

row "valgrind: build" build
if row_ok; then
	for test in tests/unit/test_*.c; do
		test=$(basename "$test" .c)
		row "valgrind: unit/$test" unit "$test"
	done
	for name in $NET; do
		row "valgrind: net/test_$name" net "$name"
	done
fi
tap_done

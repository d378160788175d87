#!/usr/bin/env bash
# sanitize.sh - the unit tests under AddressSanitizer (with leaks) and
# UndefinedBehaviorSanitizer, and every fuzzer for a moment; a row each.
# FUZZ_MOMENT (2): seconds of each fuzzer
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/tap.sh

build() {
	make -j2 SANITIZE=1 tests fuzzers
}

unit() {
	local bin=build/asan/tests/unit/$1 status=0
	CMOCKA_MESSAGE_OUTPUT=TAP "$bin" || status=$?
	is "exit code" $status 0
}

# The corpus, in which every finding stays, and what comes to mind in a moment.
fuzz() {
	local long=()
	[ "$1" != netdev ] || long=(-max_len=70000)
	"build/asan/tests/fuzz/fuzz_$1" -runs=0 "${long[@]}" \
		"tests/fuzz/corpus/$1"
	mkdir -p "$TAP_DIR/$1"
	"build/asan/tests/fuzz/fuzz_$1" -max_total_time="${FUZZ_MOMENT:-2}" \
		-artifact_prefix="$TAP_DIR/$1." "${long[@]}" "$TAP_DIR/$1" \
		"tests/fuzz/corpus/$1"
}

row "sanitizers: build" build
if row_ok; then
	for test in tests/unit/test_*.c; do
		test=$(basename "$test" .c)
		row "sanitizers: unit/$test" unit "$test"
	done
	for name in tests/fuzz/fuzz_*.c; do
		name=$(basename "$name" .c)
		row "sanitizers: $name" fuzz "${name#fuzz_}"
	done
fi
tap_done

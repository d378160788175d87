#!/usr/bin/env bash
# sanitize.sh - AddressSanitizer (with leaks) and UndefinedBehaviorSanitizer:
# the unit tests, every fuzzer for a moment, and the program itself in tests of
# the network; a row each.
# FUZZ_MOMENT (2): seconds of each fuzzer
# SANITIZE_NET (detach): names of tests/net, or "all": those that have much to
# do with the program
set -euo pipefail
cd "$(dirname "$0")/.."
. tests/lib/tap.sh

NET=${SANITIZE_NET:-detach}
[ "$NET" != all ] || NET="agent attach check cli detach devices doctor expiry
	fastpath golden hardship import inbound insight metrics migrate policy seed
	trust watch"
LOGS=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-sanitize.XXXXXX")
trap 'rm -rf "$LOGS"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
chmod 1777 "$LOGS" # the agent writes there as nobody

build() {
	make -k -j2 SANITIZE=1 all tests fuzzers
}

# built TARGET: what could not be built fails by itself
built() {
	$all_built || make -q SANITIZE=1 "$1" >/dev/null 2>&1 ||
		fail "$1 was not built"
}

unit() {
	local bin=build/asan/tests/unit/$1 status=0
	built "$bin"
	CMOCKA_MESSAGE_OUTPUT=TAP "$bin" || status=$?
	is "exit code" $status 0
}

# The corpus, in which every finding stays, and what comes to mind in a moment.
fuzz() {
	local long=()
	built "build/asan/tests/fuzz/fuzz_$1"
	[ "$1" != netdev ] || long=(-max_len=70000)
	"build/asan/tests/fuzz/fuzz_$1" -runs=0 "${long[@]}" \
		-artifact_prefix="$TAP_DIR/$1." "tests/fuzz/corpus/$1"
	mkdir -p "$TAP_DIR/$1"
	"build/asan/tests/fuzz/fuzz_$1" -max_total_time="${FUZZ_MOMENT:-2}" \
		-artifact_prefix="$TAP_DIR/$1." "${long[@]}" "$TAP_DIR/$1" \
		"tests/fuzz/corpus/$1"
}

# Sanitizers speak into files: what a test does with stderr hides nothing.
net() {
	local file status=0 leaks=1
	built build/asan/masqbpf
	rm -f "$LOGS"/*
	# who is traced cannot look for leaks
	! grep -q strace "tests/net/test_$1.sh" || leaks=0
	MASQBPF=$PWD/build/asan/masqbpf TEST_SLOW=${TEST_SLOW:-4} \
		ASAN_OPTIONS=log_path=$LOGS/log:detect_leaks=$leaks \
		UBSAN_OPTIONS=log_path=$LOGS/log:print_stacktrace=1 \
		bash "tests/net/test_$1.sh" || status=$?
	for file in "$LOGS"/log.*; do
		[ ! -e "$file" ] || fail "$(head -n 60 "$file")"
	done
	is "exit code" $status 0
	[ $leaks = 1 ] || note "leaks not looked for, as it uses strace"
}

all_built=true
row "sanitizers: build" build
row_ok || all_built=false
for test in tests/unit/test_*.c; do
	test=$(basename "$test" .c)
	row "sanitizers: unit/$test" unit "$test"
done
for name in tests/fuzz/fuzz_*.c; do
	name=$(basename "$name" .c)
	row "sanitizers: $name" fuzz "${name#fuzz_}"
done
for name in $NET; do
	row "sanitizers: net/test_$name" net "$name"
done
tap_done

#!/usr/bin/env bash
# fuzz.sh - runs the fuzzers of tests/fuzz, each for FUZZ_SECONDS, as many at a
# time as there are processors, at the lowest priority. They begin with
# tests/fuzz/corpus; what they find lies in build/fuzz/NAME.
set -euo pipefail
cd "$(dirname "$0")/.."

usage() {
	cat <<-EOT
		usage: ${0##*/} [NAME...]

		  FUZZ_SECONDS  of each, default 600
		  FUZZ_CASES    packets against the reference NAT, default 2,000,000
		  FUZZ_FROM     the corpora, default tests/fuzz/corpus
		Exits 1 when there is a finding: the input lies beside its log.
	EOT
}

case ${1-} in
-h | --help)
	usage
	exit
	;;
esac
SECONDS_EACH=${FUZZ_SECONDS:-600}
CASES=${FUZZ_CASES:-2000000}
FROM=${FUZZ_FROM:-tests/fuzz/corpus}
OUT=build/fuzz
BIN=build/asan/tests/fuzz

make -s -j2 SANITIZE=1 fuzzers
[ $# -gt 0 ] || {
	for name in tests/fuzz/fuzz_*.c; do
		name=${name##*/fuzz_}
		set -- "$@" "${name%.c}"
	done
	set -- "$@" packets
}
mkdir -p $OUT

# one NAME: its exit code is that of the fuzzer
one() {
	local dir=$OUT/$1 long=()
	mkdir -p "$dir/corpus"
	if [ "$1" = packets ]; then
		MASQ_FUZZ_CASES=$CASES MASQ_FUZZ_SEED=$RANDOM \
			CMOCKA_MESSAGE_OUTPUT=TAP \
			timeout -k 5 $((SECONDS_EACH + 60)) \
			build/tests/prog/test_differential >"$dir/log" 2>&1
		return
	fi
	# answers of a kernel may be as large as the buffer for them
	[ "$1" != netdev ] || long=(-max_len=70000)
	"$BIN/fuzz_$1" -max_total_time="$SECONDS_EACH" -timeout=10 \
		-rss_limit_mb=1024 -print_final_stats=1 "${long[@]}" \
		-artifact_prefix="$dir/" "$dir/corpus" "$FROM/$1" \
		>"$dir/log" 2>&1
}

pids=()
names=()
failed=0
trap '[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
renice -n 19 $$ >/dev/null

finish_first() {
	local status=0 runs
	wait "${pids[0]}" || status=$?
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' \
		"$OUT/${names[0]}/log")
	if [ $status -eq 0 ]; then
		echo "ok   ${names[0]}: ${runs:-$CASES} runs"
	else
		failed=1
		echo "FAIL ${names[0]}: see $OUT/${names[0]}/log"
		tail -40 "$OUT/${names[0]}/log"
	fi
	pids=("${pids[@]:1}")
	names=("${names[@]:1}")
}

for name; do
	[ ${#pids[@]} -lt "$(nproc)" ] || finish_first
	one "$name" &
	pids+=($!)
	names+=("$name")
done
while [ ${#pids[@]} -gt 0 ]; do
	finish_first
done
exit $failed

#!/usr/bin/env bash
# torture.sh - what takes too long for the test command: an hour of churn with
# its twin, every system call killed and refused, the program with sanitizers
# and under valgrind, every decision taken out alone, two builds compared,
# README's commands and every compiler on bare machines.
set -euo pipefail
cd "$(dirname "$0")/.."

STAGES=(soak stress faults upgrade memory model routes fast mutants rebuild bare)
declare -A TITLES=([soak]="Soak" [stress]="Stress" [faults]="Every system call"
	[upgrade]="Take-over" [memory]="Memory" [model]="Model" [routes]="Routes" [fast]="The fast path"
	[mutants]="Mutants"
	[rebuild]="Two builds" [bare]="Bare machines")
OUT=${OUT:-build/torture}
usage() {
	cat <<-EOT
		usage: ${0##*/} [STAGE...]

		Needs root, and a build (make). Writes docs/torture.md; exits 1 when
		a stage failed. Every stage is polite: at the lowest priority, well
		under one processor together.

		  soak     two labs side by side with the same traffic, one of them with
		           policy edits, storms and an agent that is killed;
		           SOAK_SECONDS=${SOAK_SECONDS:-3600}, SOAK_RATE=${SOAK_RATE:-40} openers a second in each
		  stress   both processors make and end STRESS_EVENTS=${STRESS_EVENTS:-100000000}
		           flows in a table of 64, of 4,096 and of the default size; races of
		           RACE_SECONDS=${RACE_SECONDS:-5} each; the contract's ordinary load, ten
		           minutes' worth of it
		  faults   attach, attach again, reload, detach, migrate, the agent's set-up
		           and its helper killed at every kind of system call (by the place
		           in the program that makes it and its caller), and each refused with
		           every errno of its man page, in an order that FAULT_SEED (random)
		           gives, for at most FAULT_SECONDS=${FAULT_SECONDS:-600} a row. What was done
		           of this build is noted in build/torture/, and the next run goes
		           on from there. Then, without kinds, bpf and netlink calls one by
		           one
		  upgrade  a take-over of an older layout, of another size and of other
		           programs killed before every change that it makes, and each kind
		           of its calls refused once (or UPGRADE_POINTS calls, drawn), for at
		           most UPGRADE_SECONDS=${UPGRADE_SECONDS:-1200} a row
		  memory   the unit tests and the commands with sanitizers and under
		           valgrind, the agent with sanitizers
		  model    every order of the flow table's steps (tests/model), in full
		  routes   ROUTES_NODES=${ROUTES_NODES:-1000} nodes with random rules, tables and
		           ways out: explain, the far side and the kernel's own answer
		  fast     FAST_SEEDS=${FAST_SEEDS:-1000} nodes with random rules and traffic: does
		           the fast path what the stack does? From FAST_SEED (random) on,
		           half of them by tc
		  mutants  one decision taken out or turned round at a time: does a test
		           notice? MUTANTS (all): those whose name or file matches
		  rebuild  two clones in different folders: is it the same binary?
		  bare     scripts/demo.sh and scripts/test.sh in new roots of Debian 12
		           and 13; built with every gcc and clang of theirs and of sid;
		           the Debian package built, installed, upgraded, removed
	EOT
}

case ${1-} in
-h | --help)
	usage
	exit
	;;
esac
for stage; do
	[[ " ${STAGES[*]} " = *" $stage "* ]] || {
		usage >&2
		exit 2
	}
done
[ $# -gt 0 ] || set -- "${STAGES[@]}"
[ "$(id -u)" -eq 0 ] || {
	echo "${0##*/}: namespaces and BPF need root" >&2
	exit 2
}
unset MASQBPF MASQBPF_PIN_DIR
mkdir -p "$OUT"
WORK=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-torture.XXXXXX")
pids=()
# shellcheck disable=SC2317 # traps call it
finish() {
	trap '' INT TERM
	[ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	rm -rf "$WORK"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
renice -n 19 $$ >/dev/null

# Sources and binary as they are now: what is edited or built meanwhile does
# not meet a script that runs for an hour.
copy() {
	mkdir -p "$WORK/tree/build"
	cp -r tests "$WORK/tree/"
	cp build/masqbpf "$WORK/tree/build/"
}

# section STAGE: the head of its part of the document
section() {
	echo "## ${TITLES[$1]}"
	echo
	echo "$(date -u +%F), revision $REVISION, kernel $(uname -r)," \
		"$(nproc) processors"
	echo
}

# wait_all: for all of $pids; fails when one did
wait_all() {
	local pid status=0
	for pid in "${pids[@]}"; do
		wait "$pid" || status=1
	done
	pids=()
	return $status
}

soak() {
	local who status=0
	export SOAK_SECONDS=${SOAK_SECONDS:-3600} SOAK_RATE=${SOAK_RATE:-40}
	export SOAK_SEED=${SOAK_SEED:-1}
	for who in twin faults; do
		bash "$WORK/tree/tests/torture/soak.sh" $who "$WORK/$who.json" &
		pids+=($!)
	done
	wait_all || return 1
	cp "$WORK"/*.json "$WORK"/*.tsv "$WORK"/*.failures "$OUT/"
	{
		section soak
		echo "Two labs, $SOAK_RATE openers a second in each, the same pods" \
			"and draws (seed $SOAK_SEED)."
		echo
		python3 tests/torture/compare.py "$OUT/twin.json" \
			"$OUT/faults.json" || status=1
	} >"$OUT/soak.md"
	cat "$OUT/soak.md"
	return $status
}

# By counts: how long it takes is the machine's affair.
stress() {
	local status=0
	{
		MASQ_RACE_SECONDS=${RACE_SECONDS:-5} \
			build/tests/prog/test_race || status=1
		MASQ_STRESS_EVENTS=${STRESS_EVENTS:-100000000} \
			MASQ_LOAD_SCALE=1 build/tests/prog/test_stress ||
			status=1
	} >"$WORK/stress" 2>&1
	{
		section stress
		grep -v RUN "$WORK/stress" | sed 's/^/    /'
	} >"$OUT/stress.md"
	cat "$OUT/stress.md"
	return $status
}

faults() {
	local seed=${FAULT_SEED:-$RANDOM} shard status=0
	local shards done_of_build
	shards=$(nproc)
	done_of_build=$(realpath "$OUT")/calls.$(sha256sum build/masqbpf | head -c 12)
	touch "$done_of_build"
	for ((shard = 0; shard < shards; shard++)); do
		FAULT_POINTS=0 FAULT_ROWS=call FAULT_SEED=$seed \
			FAULT_SHARD=$shard/$shards \
			FAULT_SECONDS=${FAULT_SECONDS:-600} TEST_SLOW=3 \
			bash "$WORK/tree/tests/net/test_faults.sh" \
			>"$WORK/faults.$shard" 2>&1 &
		pids+=($!)
	done
	wait_all || status=1
	for ((shard = 0; shard < shards; shard++)); do
		CALL_SITES=$done_of_build \
			CALL_SEED=$seed CALL_SHARD=$shard/$shards \
			CALL_SECONDS=${FAULT_SECONDS:-600} TEST_SLOW=3 \
			bash "$WORK/tree/tests/net/test_calls.sh" \
			>"$WORK/faults.calls.$shard" 2>&1 &
		pids+=($!)
	done
	wait_all || status=1
	{
		section faults
		echo "FAULT_SEED=$seed, $shards shards, at most" \
			"${FAULT_SECONDS:-600} s a row; of this build now" \
			"$(grep -c ' KILL ' "$done_of_build" || true) kills and" \
			"$(grep -vc ' KILL ' "$done_of_build" || true) refusals," \
			"by kind, are done:"
		echo
		sed 's/^/    /' "$WORK"/faults.*
	} >"$OUT/faults.md"
	cat "$OUT/faults.md"
	return $status
}

upgrade() {
	local seed=${FAULT_SEED:-$RANDOM} status=0
	# the revision that is taken over from is built in the tree
	UPGRADE_POINTS=${UPGRADE_POINTS:-0} UPGRADE_ROWS=call \
		UPGRADE_SEED=$seed UPGRADE_SECONDS=${UPGRADE_SECONDS:-1200} \
		TEST_SLOW=3 bash tests/net/test_upgrade.sh \
		>"$WORK/upgrade" 2>&1 || status=1
	{
		section upgrade
		sed 's/^/    /' "$WORK/upgrade"
	} >"$OUT/upgrade.md"
	cat "$OUT/upgrade.md"
	return $status
}

# In the tree itself: it is built, not measured.
memory() {
	local status=0
	FUZZ_MOMENT=1 SANITIZE_NET=all scripts/sanitize.sh \
		>"$WORK/sanitize" 2>&1 || status=1
	scripts/valgrind.sh >"$WORK/valgrind" 2>&1 || status=1
	{
		section memory
		sed 's/^/    /' "$WORK/sanitize" "$WORK/valgrind"
	} >"$OUT/memory.md"
	cat "$OUT/memory.md"
	return $status
}

model() {
	local status=0
	MODEL=full tests/model/test_table.sh >"$WORK/model" 2>&1 || status=1
	{
		section model
		sed 's/^/    /' "$WORK/model"
	} >"$OUT/model.md"
	cat "$OUT/model.md"
	return $status
}

mutants() {
	local status=0
	# the whole list goes into the log, the document gets what is not as it
	# should be, and the sum
	scripts/mutants.py -o "$OUT/mutants" -k "${MUTANTS:-.}" \
		>"$OUT/mutants.log" 2>&1 || status=1
	{
		section mutants
		sed -E '/^(#|noticed )/d; s/^/    /' "$OUT/mutants.log"
	} >"$OUT/mutants.md"
	cat "$OUT/mutants.md"
	return $status
}

routes() {
	local status=0
	ROUTES_NODES=${ROUTES_NODES:-1000} tests/net/test_routes.sh \
		>"$WORK/routes" 2>&1 || status=1
	{
		section routes
		sed 's/^/    /' "$WORK/routes"
	} >"$OUT/routes.md"
	cat "$OUT/routes.md"
	return $status
}

fast() {
	local i first=${FAST_SEED:-$RANDOM$RANDOM} status=0 hooks=(auto tc auto tc)
	local each=$(((${FAST_SEEDS:-1000} + 3) / 4))
	# they mostly wait
	for i in 0 1 2 3; do
		FASTDIFF_SEEDS="$((first + i * each)) $((first + (i + 1) * each - 1))" \
			FAST_HOOK=${hooks[i]} \
			tests/net/test_fastdiff.sh >"$WORK/fast.$i" 2>&1 &
		pids+=($!)
	done
	wait_all || status=1
	{
		section fast
		echo "$((4 * each)) seeds from $first on."
		echo
		for i in 0 1 2 3; do
			grep -v "^ok .*the same" "$WORK/fast.$i"
		done | sed 's/^/    /'
	} >"$OUT/fast.md"
	cat "$OUT/fast.md"
	return $status
}

rebuild() {
	local clone sums status=0
	# both first: the branch may move while they are built
	for clone in one another/folder; do
		git clone -q . "$WORK/$clone"
	done
	git -C "$WORK/another/folder" checkout -q \
		"$(git -C "$WORK/one" rev-parse HEAD)"
	for clone in one another/folder; do
		make -C "$WORK/$clone" -j2 >/dev/null || return 1
	done
	cmp "$WORK/one/build/masqbpf" "$WORK/another/folder/build/masqbpf" ||
		status=1
	sums=$(cd "$WORK" &&
		sha256sum one/build/masqbpf another/folder/build/masqbpf)
	{
		section rebuild
		echo "Of the committed revision, in two clones:"
		echo
		echo "    ${sums//$'\n'/$'\n'    }"
	} >"$OUT/rebuild.md"
	cat "$OUT/rebuild.md"
	return $status
}

bare() {
	local status=0
	scripts/bare.sh readme >"$WORK/readme" 2>&1 || status=1
	scripts/bare.sh compilers >"$WORK/compilers" 2>&1 || status=1
	scripts/bare.sh package >"$WORK/package" 2>&1 || status=1
	{
		section bare
		echo "New roots with git and certificates and nothing else:"
		echo
		sed 's/^/    /' "$WORK/readme" "$WORK/compilers" "$WORK/package"
	} >"$OUT/bare.md"
	cat "$OUT/bare.md"
	return $status
}

# kept STAGE: its part of the document as it is
kept() {
	awk -v title="## ${TITLES[$1]}" '/^## / { on = $0 == title } on' \
		docs/torture.md
}

document() {
	local stage part
	cat <<-EOT
		# Torture

		What \`make torture\` (scripts/torture.sh) measured last, written by
		it; a stage that ran alone has its own date.
	EOT
	for stage in "${STAGES[@]}"; do
		part=$(cat "$OUT/$stage.md" 2>/dev/null || kept "$stage")
		[ -z "$part" ] || printf '\n%s\n' "$part"
	done
}

REVISION=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
[ -z "$(git status --porcelain 2>/dev/null)" ] || REVISION+=" with changes"
failed=0
copy
for stage; do
	echo "--- $stage"
	case $stage in
	soak) soak || failed=1 ;;
	stress) stress || failed=1 ;;
	faults) faults || failed=1 ;;
	upgrade) upgrade || failed=1 ;;
	memory) memory || failed=1 ;;
	model) model || failed=1 ;;
	routes) routes || failed=1 ;;
	fast) fast || failed=1 ;;
	mutants) mutants || failed=1 ;;
	rebuild) rebuild || failed=1 ;;
	bare) bare || failed=1 ;;
	esac
done
document >"$WORK/document"
cp "$WORK/document" docs/torture.md
[ $failed -eq 0 ] || echo "torture: a stage FAILED"
[ $failed -ne 0 ] || echo "torture: all is well"
exit $failed

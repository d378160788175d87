#!/usr/bin/env bash
# The protocol of the flow table, every order of its steps (table.pml); and does
# the model notice when a decision is taken out? MODEL=full: all sizes (make
# model); else those that take a moment.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/lib/tap.sh
cd tests/model

MODEL=${MODEL-}
WORK=$(mktemp -d "${TMPDIR:-/tmp}/masqbpf-model.XXXXXX")
trap 'rm -rf "$WORK" "$TAP_DIR"' EXIT

# build NAME FLAG...: the search, of a model with these -D flags
build() {
	local name=$1
	shift
	mkdir "$WORK/$name"
	cp table.pml "$WORK/$name"
	cd "$WORK/$name"
	spin "$@" -a table.pml
	gcc -O1 -w -DSAFETY -DCOLLAPSE -DMEMLIM=6000 -o pan pan.c
}

# search NAME VARIABLE=VALUE...: into $WORK/out; it looked everywhere or failed
search() {
	local name=$1
	shift
	cd "$WORK/$name"
	env MAX_FLOWS=1 "$@" ./pan -m100000 >"$WORK/out" 2>&1 || true
	grep -q 'states, stored' "$WORK/out" || fail "$(tail -5 "$WORK/out")"
}

holds() {
	search "$@"
	if ! grep -q 'errors: 0$' "$WORK/out" ||
		grep -qE 'not completed|max search depth|out of memory' \
			"$WORK/out"; then
		fail "$(head -30 "$WORK/out")"
	fi
	note "$(awk '/states, stored/ { print $1 }' "$WORK/out") states"
}

# noticed NAME MUTANT STARTS [VARIABLE=VALUE...]: an assertion fails
noticed() {
	local name=$1 mutant=$2 starts=$3
	shift 3
	mutant=$(sed -nE "s/^#define M_${mutant}[[:space:]]+([0-9]+).*/\1/p" table.pml)
	[ "$mutant" ] || fail "no such mutant"
	search "$name" MUTANT="$mutant" STARTS="$starts" "$@"
	grep -q 'assertion violated' "$WORK/out" ||
		fail "not noticed: $(grep -E 'errors:|states' "$WORK/out")"
}

# Every function that the model speaks of is one of bpf/'s.
names() {
	local name count=0
	while read -r name; do
		grep -qE "FN\($name\)\(" ../../bpf/*.h ||
			fail "the model stands for $name, which bpf/ has not"
		count=$((count + 1))
	done < <(tr '\n' ' ' <table.pml | sed 's/\*[[:space:]]/ /g' |
		grep -oE '(C: |PROPERTY \()[a-z_]+(,[[:space:]]+[a-z_]+)*' |
		sed -E 's/^(C: |PROPERTY \()//' | tr -s ', \t' '\n' | sort -u)
	[ $count -gt 30 ] || fail "only $count names found"
	note "$count"
}

row "the model's functions are the program's" names
command -v spin >/dev/null || {
	row "spin" fail "spin is missing: apt-get install spin"
	tap_done
	exit
}
row "build, in program order" build order
row "build, arm64" build weak -DWEAK
row "holds: nothing there at first" holds order STARTS=1
row "holds on arm64: nothing there at first" holds weak STARTS=1 CLEANS=0
for what in NO_SECOND_LOOK:2 NO_LOCK:1 NO_ROLL_BACK:1 OWNER_FIRST:1 \
	REMOVE_ANY:2 VIEW_WORD_ONLY:2 END_ANY:2 APPROVE_ANY:8 NEW_TWICE:1 \
	ACCOUNT_LATE:1 JOIN_LATE:1 REV_FIRST:2 COUNT_ANY:16; do
	row "noticed: ${what%:*}" noticed order "${what%:*}" "${what#*:}"
done
for what in SHOW_PLAIN VIEW_UNORDERED; do
	row "noticed on arm64: $what" noticed weak $what 1 CLEANS=0
done
if [ "$MODEL" = full ]; then
	row "build, x86" build x86 -DTSO
	row "build, two locks" build two -DSTRIPES=2 -DSLOTS=4
	for what in ADVANCE_ANY CLOSED_LATE COPY_EARLY; do
		row "noticed: $what" noticed order $what 2
	done
	for starts in 2 4 8 16; do
		row "holds: start $starts" holds order STARTS=$starts
		row "holds: start $starts, room for two" \
			holds order STARTS=$starts MAX_FLOWS=2
		row "holds on x86: start $starts" holds x86 STARTS=$starts CLEANS=0
		row "holds on arm64: start $starts" \
			holds weak STARTS=$starts CLEANS=0
	done
	row "holds on arm64, with a cleaner" holds weak STARTS=1
	row "holds with two locks" holds two STARTS=1
fi
tap_done

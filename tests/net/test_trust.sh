#!/usr/bin/env bash
# What docs/faults.md and docs/security.md say: every test that they name
# exists, each command works with exactly the capabilities of the table, and
# others read nothing that names pods.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15

# names: `KIND/FILE ROW` between backquotes, one a line
# shellcheck disable=SC2016 # no expansion is meant
names() {
	grep -o '`[a-z]*/test_[a-z]* [^`]*`' "$LAB_ROOT/docs/faults.md" |
		tr -d '`' | sort -u
}

exists() {
	local test name file
	while read -r test name; do
		file=$LAB_ROOT/tests/$test
		if [ -e "$file.c" ]; then
			grep -qE "unit_test[a-z_]*\(${name}[,)]|ROW\(${name}\)" \
				"$file.c" || fail "$test has no row $name"
		else
			# names of rows may begin with or hold a variable
			sed -E 's/\$[a-zA-Z_]+|\$\{[^}]*\}/@/g' "$file.sh" |
				grep -E '^\s*((table_|tidy_)?row|when|rare|refused)' |
				grep -qF -- "$name" ||
				fail "$test has no row '$name'"
		fi
	done < <(names)
	note "$(names | wc -l) rows"
}

every_fault() {
	local i
	for i in {1..40}; do
		grep -q "^| F$i |" "$LAB_ROOT/docs/faults.md" ||
			fail "F$i is missing"
	done
}

with_caps() { # "CAP..." COMMAND...
	local cap caps=-all
	for cap in $1; do
		caps+=,+$cap
	done
	# before 5.11 maps count against it, and CAP_SYS_RESOURCE is dropped
	ulimit -l unlimited 2>/dev/null || true
	lab_in node setpriv --bounding-set "$caps" --inh-caps "$caps" \
		"$MASQBPF" "${@:2}"
}

# Before 5.19 whoever reads the instance wants CAP_BPF beside the table's.
always=
! lab_kernel_before 5.19 || always=bpf

capable() { # COMMAND CAPS
	local cap status words
	read -ra words <<<"$1"
	for cap in $2; do
		status=0
		with_caps "$(tr ' ' '\n' <<<"$2 $always" | grep -vx "$cap")" \
			"${words[@]}" >out 2>err || status=$?
		is "without $cap: exit code" $status 1
		grep -qi "missing: .*cap_$cap" err || fail "$(cat err)"
	done
	with_caps "$2 $always" "${words[@]}" >out || fail "with $2 $always"
	[ -z "$always" ] || note "and $always"
}

modes() {
	local found
	found=$(find "$MASQBPF_PIN_DIR" -perm /077)
	[ -z "$found" ] || fail "others may use: $found"
}

hardened() {
	command -v readelf >/dev/null || skip "no readelf"
	readelf -hW "$MASQBPF" | grep -q 'Type: *DYN'
	readelf -lW "$MASQBPF" >segments
	grep -q GNU_RELRO segments
	grep 'GNU_STACK' segments | grep -q ' RW ' || fail "executable stack"
	readelf -dW "$MASQBPF" | grep -q 'FLAGS.*NOW'
	readelf -sW "$MASQBPF" >symbols
	grep -q __stack_chk_fail symbols
	grep -q '__snprintf_chk\|__vsnprintf_chk' symbols
	# a library that has a function of the same name would call ours
	readelf --dyn-syms -W "$MASQBPF" |
		awk '$4 == "FUNC" && $7 != "UND"' >exported
	[ ! -s exported ] || fail "exported: $(cat exported)"
}

# What names pods is for root alone; what others may read names none.
report() {
	local members
	masq doctor -q --report report.tar >/dev/null || true # findings
	is "mode of the report" "$(stat -c %a report.tar)" 600
	members=$(tar tvf report.tar | cut -c1-10 | sort -u)
	is "modes inside" "$members" "-rw-------"
	tar xOf report.tar masqbpf-report/flows.json | grep -q $POD ||
		fail "the pod's flow is not in it"
	: >there.tar
	masq doctor -q --report there.tar >/dev/null 2>err &&
		fail "somebody else's file was taken"
	is "size of the file that was there" "$(stat -c %s there.tar)" 0
}

textfile() {
	masq metrics --textfile masqbpf.prom
	grep -q '^masqbpf_flows 1$' masqbpf.prom
	! grep -e $POD -e $FAR_ADDR masqbpf.prom ||
		fail "a file for everybody names who talks to whom"
}

# Of the whole program make torture tells; this is its BPF and one other
# object, in folders of different length.
same_objects() {
	local folder objects="build/masq.bpf.o build/masq_modern.bpf.o
		build/user/plane/hook.o"
	for folder in a another/one; do
		mkdir -p $folder
		cp -r "$LAB_ROOT"/{Makefile,bpf,include,user} $folder
		# shellcheck disable=SC2086 # words
		make -s -C $folder $objects >make.log 2>&1 ||
			fail "$(cat make.log)"
	done
	for folder in $objects; do
		cmp a/"$folder" another/one/"$folder"
	done
}

row "docs/faults.md: every named row exists" exists
row "docs/faults.md: F1 to F40" every_fault
lab_begin
cd "$LAB_DIR"
row "hardened" hardened
row "two folders, the same objects" same_objects
lab_node_far
echo 'nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/16]' >keep.yaml
disabled=$(sysctl -n kernel.unprivileged_bpf_disabled)
while IFS='|' read -r _ command caps _; do
	caps=$(xargs <<<"${caps/none/}")
	name="$(xargs <<<"${command//\`/}") (${caps:-none})"
	command=${command#*\`}
	command=${command%%\`*}
	if [ "$disabled" -eq 0 ]; then
		row_skip "capabilities: $name" "needs unprivileged_bpf_disabled"
		[ "$command" != "attach eth0" ] || masq attach -q eth0
	else
		row "capabilities: $name" capable "$command" "$caps"
		[ "$caps" != "bpf net_admin perfmon" ] ||
			row "pins are nobody else's" modes
	fi
done < <(sed -n '/^| command/,/^$/{/^| `/p}' "$LAB_ROOT/docs/security.md")
masq detach -q --all 2>/dev/null || true
lab_pod pod1 $POD
lab_serve far 443
lab_nat masqbpf 2>/dev/null
traffic pod1 who $FAR_ADDR 443 >/dev/null
row "doctor --report is nobody else's" report
row "a textfile names no pod" textfile
masq detach -q --all
tap_done

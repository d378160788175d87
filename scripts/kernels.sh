#!/usr/bin/env bash
# What works on which kernel: runs the tests that meet the kernel (prog, net)
# on Debian's kernels in qemu and on the running one, and writes
# docs/kernels.md from what they said.
set -euo pipefail
cd "$(dirname "$0")/.."
doc=docs/kernels.md
logs=build/kernels
kernels=(5.10 6.1 6.12 running)
pattern='^(prog|net)/'

usage() {
	cat <<-END
	usage: scripts/kernels.sh [-k PATTERN] [KERNEL...]
	Run the tests on ${kernels[*]} (default: all of these, one after
	the other; about half an hour each under emulation), keep what they print in
	$logs/KERNEL.log and write $doc from all such logs.
	  -k PATTERN  only tests whose KIND/NAME matches; $doc is left alone
	  -n          run nothing, write $doc
	END
}

# Runs on the kernel in question: prints "kernel", "uses" and "# verifier"
# lines, then what scripts/test.sh says.
here() {
	. tests/lib/tap.sh
	. tests/lib/lab.sh
	lab_begin
	lab_node_far
	echo "kernel $(uname -r)"
	masq -v attach eth0 --preset ip-masq-agent 2>"$LAB_DIR/log" || {
		cat "$LAB_DIR/log" >&2
		exit 1
	}
	sed -n 's/.*features: //p' "$LAB_DIR/log" | tr ',' '\n' |
		sed 's/^ */uses /'
	echo "uses hook $(masq status --json | jq -r '.interfaces[0].hook')"
	masq detach --all
	build/tests/prog/test_verifier 2>/dev/null | grep '^# verifier' || true
	scripts/test.sh --no-deps -j 1 -k "$1"
}

run() {
	local kernel=$1 status=0
	echo "== $kernel" >&2
	if [ "$kernel" = running ]; then
		scripts/kernels.sh --here "$pattern"
	else
		# qemu without KVM is five to ten times slower
		scripts/vm.sh -k "$kernel" -t 14400 -- \
			env TEST_SLOW=8 scripts/kernels.sh --here "$pattern"
	fi | tee "$logs/$kernel.log" || status=$?
	# the last line of a run that was not cut short
	grep -qE '^[0-9]+ passed, [0-9]+ failed' "$logs/$kernel.log" ||
		echo "died" >>"$logs/$kernel.log"
	return $status
}

# --- the document ----------------------------------------------------------

# A table: the row names come from all logs, in the order of first sight; what
# stands in a cell is printed by the awk program $2, which gets the row's name
# as `row` and the kernel's log.
table() { # ROWS-AWK CELL-AWK
	local row file
	printf '| |'
	for file in "${files[@]}"; do
		printf ' %s |' "$(sed -n 's/^kernel //p' "$file")"
	done
	printf '\n|---|'
	printf -- '---|%.0s' "${files[@]}"
	echo
	awk "$1" "${files[@]}" | awk '!seen[$0]++' | while read -r row; do
		printf '| %s |' "$row"
		for file in "${files[@]}"; do
			printf ' %s |' "$(awk -v row="$row" "$2" "$file")"
		done
		echo
	done
}

# shellcheck disable=SC2016 # the $ are awk's
write_doc() {
	local kernel files=() file
	for kernel in "${kernels[@]}"; do
		[ ! -s "$logs/$kernel.log" ] || files+=("$logs/$kernel.log")
	done
	[ ${#files[@]} -gt 0 ] || {
		echo "kernels.sh: no logs in $logs: nothing to write $doc from" >&2
		exit 1
	}
	{
		cat <<-'END'
		# Kernels

		Written by `scripts/kernels.sh`, which runs the tests that meet the kernel
		on Debian's kernels (in qemu, without KVM) and on the running one. Change
		the script, not this file.

		## What masqbpf found and uses

		Found by probing, never by the version's number.

		END
		table '/^uses / { sub(/^uses /, ""); sub(/ [^ ]*$/, ""); print }' '
			$1 == "uses" { last = $NF; sub(/^uses /, ""); sub(/ [^ ]*$/, "") }
			$0 == row { print last }'
		cat <<-'END'

		Where something is missing:

		| missing | instead |
		|---|---|
		| TCX (6.6) | a clsact filter of our own handle and priority; others can remove it, so the agent looks after it |
		| `bpf_loop` (5.17) | loops of fixed length: 32 ports are tried for a new flow in place of 512, and 16 records looked at when the table is full in place of 64 |
		| source address from the FIB (6.7) | the uplink's address as masqbpf last read it; the agent follows changes |

		## Tests

		passed / failed / skipped; the rows that failed or were skipped are below.

		END
		table '$1 == "ok" || $1 == "FAIL" { if ($2 ~ "/") print $2 }' '
			($1 == "ok" || $1 == "FAIL") && $2 == row {
				failed = skipped = 0
				for (i = 3; i < NF; i++) {
					if ($(i + 1) ~ /^failed/) failed = $i
					if ($(i + 1) ~ /^skipped/) skipped = $i
				}
				cell = $3 " / " failed " / " skipped
			}
			END { print cell ? cell : "not run" }'
		for file in "${files[@]}"; do
			printf '\n%s: %s\n' "$(sed -n 's/^kernel //p' "$file")" \
				"$(tail -n 1 "$file" |
					sed 's/^died$/**the run was cut short**/')"
			awk '/^not ok/ { sub(/^not ok [0-9]+ (- )?/, "")
					print "- failed: " $0 }
				/^     skipped:/ { sub(/^ *skipped: */, "")
					print "- skipped: " $0 }' "$file" |
				sed '1s/^/\n/'
		done
		cat <<-'END'

		## What the programs cost the verifier

		Instructions that it processed, and the deepest stack in bytes. The kernel
		gives up at 1,000,000 and 512; `tests/prog/test_verifier.c` fails beyond
		500,000 and 512. `masq_modern` is loaded where there is `bpf_loop`.

		END
		table '/^# verifier/ { print $3, $4 }' '
			/^# verifier/ && $3 " " $4 == row {
				print $5 == "refused" ? "refused" : $5 " / " $7 }'
	} >"$doc.new"
	mv "$doc.new" "$doc"
	echo "$doc is written" >&2
}

write=true
while [ $# -gt 0 ]; do
	case $1 in
	--here)
		here "$2"
		exit
		;;
	-k)
		[ $# -gt 1 ] || { usage >&2 && exit 2; }
		pattern=$2 write=false
		shift
		;;
	-n)
		write_doc
		exit
		;;
	-h | --help)
		usage
		exit
		;;
	-*)
		usage >&2
		exit 2
		;;
	*) break ;;
	esac
	shift
done

[ "$(id -u)" -eq 0 ] || {
	echo "kernels.sh: namespaces and BPF need root" >&2
	exit 2
}
make -j2 all tests
mkdir -p "$logs"
worst=0
for kernel in "${@:-${kernels[@]}}"; do
	run "$kernel" || worst=1
done
! $write || write_doc
exit $worst

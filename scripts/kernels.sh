#!/usr/bin/env bash
# What works on which kernel: runs the tests that meet the kernel (unit, prog,
# net) on Debian's kernels in qemu, amd64's and arm64's, and on the running one,
# and writes docs/kernels.md from what they said. Every file of tests has a boot
# of its own and a result of its own, so that a run can be cut short and go on.
set -euo pipefail
cd "$(dirname "$0")/.."
doc=docs/kernels.md
results=build/kernels
tree=$results/tree
kernels=(5.10 6.1 6.12 arm64-5.10 arm64-6.1 arm64-6.12 running)
pattern=.
jobs=$(nproc)
go_on=false
# qemu without KVM is ten times slower, and shares its processors
slow=${TEST_SLOW:-12}

# In this order: first what a kernel without masqbpf working would fail, and
# what is done soon.
tests=(
	features unit prog/test_verifier prog/test_nat prog/test_table
	prog/test_icmp prog/test_fragment prog/test_explain prog/test_node
	net/test_inbound net/test_icmp net/test_errors net/test_nodeport
	net/test_detach net/test_seed net/test_leak net/test_devices
	net/test_twin net/test_agent net/test_policy net/test_attach
	net/test_traffic net/test_expiry net/test_fastpath net/test_fastsafe
	net/test_fastdiff prog/test_ports
	prog/test_differential net/test_trust net/test_migrate net/test_cni
	net/test_metrics net/test_insight net/test_faults net/test_node
	net/test_routes net/test_conntrack net/test_beside net/test_names
	net/test_doctor
)
# What these look at is the same on every kernel: texts, files, arguments, a
# browser, a container's image, programs of Kubernetes, the test command itself.
left_out=(
	net/test_chart net/test_check net/test_cli net/test_help net/test_image
	net/test_kubectl net/test_packaging net/test_page net/test_rfc
	net/test_runner
)

usage() {
	cat <<-END
	usage: scripts/kernels.sh [-c] [-j N] [-k PATTERN] [KERNEL...]
	Run the tests of the last commit on ${kernels[*]} (default:
	all of these), keep what they print in $results/KERNEL/, and
	write $doc from all results that are there. A kernel in qemu takes
	an hour or two; -k net/test_inbound is there in two minutes.
	  -c          go on: only tests without a result of this commit
	  -j N        so many virtual machines at a time (default: $jobs, one a
	              processor; each has one processor and 2 GB)
	  -k PATTERN  only tests whose KIND/NAME matches (grep -E)
	  -n          run nothing, write $doc
	TEST_SLOW (default $slow) is how many times more patience the tests have in
	qemu. Exit status: 1 when a test failed.
	END
}

# --- running -----------------------------------------------------------------

# tree_of KERNEL: arm64 has a build of its own
tree_of() {
	case $1 in
	arm64-*) echo "$tree-arm64" ;;
	*) echo "$tree" ;;
	esac
}

# prepare_tree DIR: the last commit, built, in a folder of its own: a run takes
# long, and what is edited meanwhile is none of its business. With its history:
# net/test_upgrade takes over from a revision of it, which is built here, since
# a compiler in qemu takes its time.
prepare_tree() {
	local tree=$1
	revision=$(git rev-parse --short=10 HEAD)
	[ -z "$(git status --porcelain)" ] ||
		echo "kernels.sh: what is not committed is not tested" >&2
	if [ "$(cat "$tree/revision" 2>/dev/null)" != "$revision" ]; then
		rm -rf "$tree"
		mkdir -p "${tree%/*}"
		git clone -q --no-hardlinks . "$tree"
		case $tree in
		*-arm64) VM_CACHE=$cache "$tree/scripts/vm/cross" -C "$tree" \
			-j2 all tests >&2 ;;
		*)
			make -C "$tree" -j2 all tests >&2
			(
				. tests/lib/revision.sh
				LAB_ROOT=$(realpath "$tree")
				masq_of_revision "$(sed -n 's/^REVISION=//p' \
					tests/net/test_upgrade.sh)"
			) >&2
			;;
		esac
		echo "$revision" >"$tree/revision"
	fi
}

# What masqbpf found by probing, as "uses NAME VALUE". In the tree.
features() {
	. "$PWD/tests/lib/tap.sh"
	. "$PWD/tests/lib/lab.sh"
	lab_begin
	lab_node_far
	masq -v attach eth0 --preset ip-masq-agent 2>"$LAB_DIR/log" || {
		cat "$LAB_DIR/log" >&2
		exit 1
	}
	sed -n 's/.*features: //p' "$LAB_DIR/log" | tr ',' '\n' |
		sed 's/^ */uses /'
	echo "uses hook $(masq status --json | jq -r '.interfaces[0].hook')"
	masq detach --all
}

# The guest's (or our) end of a result. In the tree.
here() {
	local status=0 test
	echo "kernel $(uname -r)"
	case $1 in
	features)
		features & # its -e would be ignored in a condition
		wait $! || status=$?
		;;
	unit)
		# cmocka begins to count anew in each
		for test in build/tests/unit/test_*; do
			[[ $test != *.* ]] || continue
			CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 \
				$((300 * TEST_SLOW)) "$test" || status=$?
		done
		;;
	prog/*) CMOCKA_MESSAGE_OUTPUT=TAP timeout -k 10 $((300 * TEST_SLOW)) \
		"build/tests/$1" || status=$? ;;
	net/*) timeout -k 10 $((300 * TEST_SLOW)) \
		bash "tests/$1.sh" || status=$? ;;
	esac
	# the last line of a result that is complete
	echo "exit $status"
}

result() { # KERNEL TEST
	echo "$results/$1/${2//\//_}"
}

# has_result KERNEL TEST: a complete one, of whatever commit
has_result() {
	local file
	file=$(result "$1" "$2")
	tail -n 1 "$file" 2>/dev/null | grep -q '^exit '
}

# sum FILE: "PASSED FAILED SKIPPED" of a result
sum() {
	awk '/^(not )?ok [0-9]+ .*# SKIP/ { skipped++; next }
		/^ok [0-9]/ { passed++ }
		/^not ok [0-9]/ { failed++ }
		$1 == "exit" { status = $2 }
		END {
			if (status && !failed)
				failed = 1
			print passed + 0, failed + 0, skipped + 0
		}' "$1"
}

# run KERNEL TEST
run() {
	local kernel=$1 file command began=$EPOCHSECONDS passed failed skipped
	file=$(result "$1" "$2")
	rm -f "$file"
	mkdir -p "$results/$kernel"
	echo "revision $revision" >"$file.new"
	if [ "$kernel" = running ]; then
		command=(env TEST_SLOW=1 scripts/kernels.sh --here "$2")
	else
		command=(env "VM_CACHE=$cache" scripts/vm.sh -k "$kernel"
			-t $((400 * slow)) -- env "TEST_SLOW=$slow"
			scripts/kernels.sh --here "$2")
	fi
	(cd "$(tree_of "$kernel")" && exec "${command[@]}") >>"$file.new" 2>&1 </dev/null &
	# shellcheck disable=SC2064 # this process
	trap "kill $!; wait; exit 143" TERM
	wait $! || true
	# what ran has said "exit" last; vm.sh may have more to say
	{
		grep -v '^exit [0-9]' "$file.new" || true
		echo "seconds $((EPOCHSECONDS - began))"
		grep '^exit [0-9]' "$file.new" || true
	} >"$file"
	rm "$file.new"
	if ! has_result "$1" "$2"; then
		echo "$kernel $2: no result; $file says why"
		return 1
	fi
	read -r passed failed skipped < <(sum "$file")
	echo "$kernel $2: $passed passed, $failed failed, $skipped skipped" \
		" $((EPOCHSECONDS - began)) s"
	[ "$failed" = 0 ]
}

# due KERNEL TEST: is it to be run?
due() {
	! $go_on || ! has_result "$1" "$2" ||
		[ "$(sed -n 's/^revision //p' "$(result "$1" "$2")")" != "$revision" ]
}

run_all() {
	local kernel test running=0 at_most worst=0
	for kernel; do
		# the tests of the running kernel measure nothing; still, one
		# after the other is how they are known
		at_most=$jobs
		[ "$kernel" != running ] || at_most=1
		for test in "${tests[@]}"; do
			grep -qE -- "$pattern" <<<"$test" || continue
			due "$kernel" "$test" || continue
			if [ $running -ge "$at_most" ]; then
				wait -n || worst=1
				running=$((running - 1))
			fi
			run "$kernel" "$test" 9>&- &
			running=$((running + 1))
		done
		while [ $running -gt 0 ]; do
			wait -n || worst=1
			running=$((running - 1))
		done
	done
	return $worst
}

# --- the document ------------------------------------------------------------

# table ROWS FUNCTION: a line for each row, a cell by FUNCTION KERNEL ROW
table() {
	local row kernel
	printf '| |'
	for kernel in "${have[@]}"; do
		printf ' %s |' "$(release "$kernel")"
	done
	printf '\n|---|'
	printf -- '---|%.0s' "${have[@]}"
	echo
	while read -r row; do
		printf '| %s |' "$row"
		for kernel in "${have[@]}"; do
			printf ' %s |' "$("$2" "$kernel" "$row")"
		done
		echo
	done <<<"$1"
}

release() {
	sed -n 's/^kernel //p' "$results/$1"/* | head -n 1
}

# shellcheck disable=SC2317 # table calls it
uses() { # KERNEL FEATURE
	awk -v row="$2" '{ last = $NF; sub(/^uses /, ""); sub(/ [^ ]*$/, "") }
		$0 == row { print last }' "$(result "$1" features)" 2>/dev/null ||
		true
}

# shellcheck disable=SC2317
rows() { # KERNEL TEST
	local passed failed skipped
	if has_result "$1" "$2"; then
		read -r passed failed skipped < <(sum "$(result "$1" "$2")")
		echo "$passed / $failed / $skipped"
	else
		echo "not run"
	fi
}

# shellcheck disable=SC2317
verifier() { # KERNEL "OBJECT PROGRAM"
	awk -v row="$2" '/^# verifier/ && $3 " " $4 == row {
		print $5 == "refused" ? "refused" : $5 " / " $7 }' \
		"$(result "$1" prog/test_verifier)" 2>/dev/null || true
}

# What failed, what was skipped, what was not run, and of which commits.
details() { # KERNEL
	local test file passed=0 failed=0 skipped=0 seconds=0 p f s not_run=()
	local done=()
	for test in "${tests[@]}"; do
		file=$(result "$1" "$test")
		if ! has_result "$1" "$test"; then
			not_run+=("\`$test\`")
			continue
		fi
		done+=("$file")
		[ "$test" != features ] || continue
		read -r p f s < <(sum "$file")
		passed=$((passed + p)) failed=$((failed + f))
		skipped=$((skipped + s))
		seconds=$((seconds + $(sed -n 's/^seconds //p' "$file")))
	done
	printf '\n### %s\n\n' "$(release "$1")"
	echo "$passed passed, $failed failed, $skipped skipped;" \
		"$(((seconds + 59) / 60)) minutes added up over the files," \
		"with whatever else the machine did meanwhile."
	echo "Commits: $(sed -n 's/^revision //p' "${done[@]}" | sort |
		uniq -c | sort -rn |
		awk '{ print $2 " (" $1 " files)" }' | paste -sd, | sed 's/,/, /g')."
	! grep -q '^revision .*+$' "${done[@]}" ||
		echo "+: with changes that were not committed yet."
	[ ${#not_run[@]} = 0 ] || echo "**Not run: ${not_run[*]}.**"
	echo
	for test in "${tests[@]}"; do
		has_result "$1" "$test" || continue
		file=$(result "$1" "$test")
		awk -v test="$test" '
			/^# skip: / { why = substr($0, 9) }
			/^(not )?ok [0-9]+ .*# SKIP/ {
				name = $0
				sub(/^(not )?ok [0-9]+ (- )?/, "", name)
				if (sub(/^# SKIP /, "", name)) {
					reason = why ? why : "no reason given"
				} else {
					reason = name
					sub(/.*# SKIP /, "", reason)
					sub(/ *# SKIP.*/, "", name)
				}
				if (!rows[reason]++)
					order[++reasons] = reason
				named[reason] = name
				why = ""
				next
			}
			/^not ok [0-9]/ {
				sub(/^not ok [0-9]+ (- )?/, "")
				print "- failed: `" test "` " $0
				failed++
			}
			$1 == "exit" && $2 && !failed {
				print "- failed: `" test "` exit status " $2
			}
			END {
				for (i = 1; i <= reasons; i++) {
					reason = order[i]
					n = rows[reason]
					print "- skipped: `" test "` " \
						(n > 1 ? n " rows" : named[reason]) \
						": " reason
				}
			}' "$file"
		! grep -q '^vm.sh: .*the kernel complained' "$file" ||
			echo "- the kernel complained: \`$test\`," \
				"$(grep -aoE -m 1 '(BUG|WARNING|Oops|general protection|INFO: task).*' \
					"$file")"
	done
}

write_doc() {
	local kernel have=() test
	for kernel in "${kernels[@]}"; do
		for test in "${tests[@]}"; do
			if has_result "$kernel" "$test"; then
				have+=("$kernel")
				break
			fi
		done
	done
	[ ${#have[@]} -gt 0 ] || {
		echo "kernels.sh: no results in $results: nothing to write" >&2
		exit 1
	}
	{
		cat <<-'END'
		# Kernels

		Written by `scripts/kernels.sh`, which runs the tests that meet the kernel
		on Debian's kernels (in qemu, without KVM, on one processor) and on the
		running one. Change the script, not this file.

		## What masqbpf found and uses

		Found by probing, never by the version's number.

		END
		table "$(cat "$results"/*/features 2>/dev/null |
			sed -n 's/^uses \(.*\) [^ ]*$/\1/p' |
			awk '!seen[$0]++')" uses
		cat <<-'END'

		Where something is missing:

		| missing | instead |
		|---|---|
		| TCX (6.6) | a clsact filter of our own handle and priority; others can remove it, so the agent looks after it |
		| `bpf_loop` (5.17) | loops of fixed length: 32 ports are tried for a new flow in place of 640, and for who has to make room 32 pages of the flow table are read at most in place of 128 |
		| source address from the FIB (6.7) | the uplink's address as masqbpf last read it; the agent follows changes |
		| routes by mark in the FIB (6.10) | the route without the mark, where it leads out of the same uplink; else the uplink's address |
		| a program may ask conntrack (5.18, nf_conntrack loaded) | reservations and watches alone: docs/node.md |

		## Tests

		passed / failed / skipped; the rows that failed or were skipped are below.
		A test has a fresh boot of the kernel for each of these files, and more
		patience in qemu (`TEST_SLOW`), but the same assertions. Two quantities are
		others there: `net/test_traffic` transfers 128 MiB in place of 1 GiB, and
		`net/test_expiry` opens its flows at a twelfth of the rate, with timeouts
		twelve times as long, so that as many of them live at once.

		END
		table "$(printf '%s\n' "${tests[@]:1}")" rows
		printf '\nLeft out, as what they look at is the same on every kernel'
		# shellcheck disable=SC2016 # backquotes of the text
		printf ' (texts, files,\narguments, a browser, an image, kubectl): %s.\n' \
			"$(printf '`%s`, ' "${left_out[@]}" | sed 's/, $//')"
		cat <<-'END'

		By 6.1 with lockdown=integrity and lockdown=confidentiality
		(`scripts/vm.sh -a`) `attach`, `status` and `doctor` do what they do
		elsewhere; under the latter the fast path is off, and they say so.
		END
		for kernel in "${have[@]}"; do
			details "$kernel"
		done | cat -s | sed '${/^$/d}'
		cat <<-'END'

		## What the programs cost the verifier

		Instructions that it processed, and the deepest stack in bytes. The kernel
		gives up at 1,000,000 and 512; `tests/prog/test_verifier.c` fails beyond
		500,000 and 512. `masq_modern` is loaded where there is `bpf_loop`.

		END
		table "$(cat "$results"/*/prog_test_verifier 2>/dev/null |
			awk '/^# verifier/ && !seen[$3, $4]++ {
				print $3, $4 }')" verifier
	} >"$doc.new"
	mv "$doc.new" "$doc"
	echo "$doc is written" >&2
}

# Tests that the lists do not know come last.
complete_list() {
	local name
	while read -r name; do
		tests+=("$name")
	done < <(scripts/test.sh --list | grep -E '^(prog|net)/' |
		grep -vxF -f <(printf '%s\n' "${tests[@]}" "${left_out[@]}"))
}

main() {
	local write=false kernel worst=0
	while [ $# -gt 0 ]; do
		case $1 in
		--here)
			here "$2"
			exit
			;;
		-c) go_on=true ;;
		-j)
			[[ ${2-} =~ ^[1-9]$ ]] || { usage >&2 && exit 2; }
			jobs=$2
			shift
			;;
		-k)
			[ $# -gt 1 ] || { usage >&2 && exit 2; }
			pattern=$2
			shift
			;;
		-n) write=true ;;
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

	complete_list
	if $write; then
		write_doc
		exit
	fi
	[ "$(id -u)" -eq 0 ] || {
		echo "kernels.sh: namespaces and BPF need root" >&2
		exit 2
	}
	for kernel in "$@"; do
		[[ " ${kernels[*]} " == *" $kernel "* ]] || {
			echo "kernels.sh: $kernel: there is only: ${kernels[*]}" >&2
			exit 2
		}
	done
	mkdir -p "$results"
	cache=${VM_CACHE:-$PWD/build/vm}
	# two runs would mix their results
	exec 9>"$results/lock"
	flock -n 9 || {
		echo "kernels.sh: another one is at work" >&2
		exit 1
	}
	for kernel in "${@:-${kernels[@]}}"; do
		prepare_tree "$(tree_of "$kernel")"
	done
	# background jobs do not hear a ^C
	trap 'trap - TERM; kill $(jobs -p) 2>/dev/null; wait; exit 143' INT TERM HUP
	run_all "${@:-${kernels[@]}}" || worst=1
	write_doc
	exit $worst
}

# bash reads a script as it goes, and this one may be edited meanwhile
main "$@"

#!/usr/bin/env bash
# --help, the completions and the man page: one table is behind the first two,
# and the third has to say all that it says, and no more.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.."
MASQBPF=${MASQBPF:-build/masqbpf}
PAGE=docs/masqbpf.8

commands() {
	"$MASQBPF" --help | sed -n '/^commands:/,/^$/s/^  \([a-z]*\) .*/\1/p'
}

# options [COMMAND]: its own, or the common ones
options() {
	if [ $# -eq 0 ]; then
		"$MASQBPF" --help | sed '1,/^common options:/d'
	else
		"$MASQBPF" "$1" --help | sed '/^common options:/,$d'
	fi | sed -n 's/^  --\([a-z0-9-]*\).*/\1/p'
}

# section NAME: that .Ss or .Sh of the man page
section() {
	awk -v name="$1" '/^\.S[sh] /{on = substr($0, 5) == name} on' "$PAGE"
}

# documented SECTION: options with an item of their own there
documented() {
	section "$1" | sed -n 's/^\.It Fl -\([a-z0-9-]*\).*/\1/p'
}

every_command() {
	is "commands of the man page" \
		"$(sed -n '/^\.Sh COMMANDS/,/^\.Sh CONF/s/^\.Ss //p' "$PAGE" |
			sort | xargs)" "$(commands | sort | xargs)"
}

every_option() {
	local command
	is "common options" "$(documented 'COMMON OPTIONS' | sort | xargs)" \
		"$(options | sort | xargs)"
	for command in $(commands); do
		is "options of $command" \
			"$(documented "$command" | sort | xargs)" \
			"$(options "$command" | sort | xargs)"
	done
}

every_key() {
	local key
	section CONFIGURATION >"$TAP_DIR/section"
	while read -r key; do
		grep -qw "${key##*.}" "$TAP_DIR/section" ||
			fail "$PAGE: config key $key is missing"
	done < <(grep -oE '\b(KEY|CIDRS|DURATION|TIMEOUT|GROUP)\("[^"]+"' \
		user/config/keys.c | cut -d'"' -f2)
}

every_reason() {
	is "reasons of the man page" \
		"$(section REASONS | sed -n 's/^\.It Cm \([a-z_]*\) .*/\1/p' |
			xargs)" \
		"$(grep -oE '\bR\([A-Z_0-9]+, "[a-z_]+"' include/masqbpf.h |
			cut -d'"' -f2 | xargs)"
}

# Fields of --json that contract and scripts rely on.
every_field() {
	local command field
	for command in plan watch top doctor history explain; do
		section "$command" >"$TAP_DIR/section"
		while read -r field; do
			grep -qw -- "$field" "$TAP_DIR/section" ||
				fail "$PAGE: $command: field $field is missing"
		done < <(find user/cli \( -name "cmd_$command.c" \
			-o -name "${command}_*.c" \) -exec cat {} + |
			grep -oE 'json_[a-z0-9]+\(&?j, "[a-z_]+"' |
			cut -d'"' -f2 | sort -u |
			grep -vxE 'src|sport|dst|dport|packets|bytes')
	done
}

help_fits() {
	local command
	for command in '' $(commands); do
		# shellcheck disable=SC2086 # no command: none
		"$MASQBPF" $command --help >"$TAP_DIR/help"
		[ -s "$TAP_DIR/help" ] || fail "$command: no help"
	done
}

# said WANT ARG...: exit status 2, and that text on stderr
said() {
	local status=0
	"$MASQBPF" "${@:2}" >/dev/null 2>"$TAP_DIR/err" || status=$?
	is "exit status of ${*:2}" "$status" 2
	grep -qF -- "$1" "$TAP_DIR/err" || fail "${*:2}: $(cat "$TAP_DIR/err")"
}

nearest() {
	said 'flws: no such command: did you mean flows?' flws
	said 'statsu: no such command: did you mean status?' statsu
	said 'no such option: did you mean --unreplied?' flows --unrepied
	said 'no such option: did you mean --json?' counters --jsno
	said 'no such option before the command: did you mean --version?' \
		--verzion
	said 'plna: no such command: did you mean plan?' help plna
	# what resembles nothing, and what nobody mistyped
	said 'xyzzy: no such command (see' xyzzy
	said ': no such command (see' "$(printf 'f%.0s' {1..5000})"
	said 'no such option (see' flows --"$(printf 'p%.0s' {1..5000})"
	said '\x1b[31mflows: no such command' $'\e[31mflows'
}

help_of() {
	local command
	for command in $(commands); do
		"$MASQBPF" help "$command" >"$TAP_DIR/one"
		"$MASQBPF" "$command" --help | cmp - "$TAP_DIR/one"
	done
	"$MASQBPF" help >"$TAP_DIR/one"
	"$MASQBPF" --help | cmp - "$TAP_DIR/one"
}

# Every example is a command line that is taken.
examples() {
	local n=0 command words
	for command in $(commands); do
		while read -r words; do
			n=$((n + 1))
			# words apart from a remark behind them
			# shellcheck disable=SC2086 # words
			"$MASQBPF" ${words%%   *} --help >/dev/null ||
				fail "$command: $words"
			[[ $words == "$command "* ]] || fail "$command: $words"
		done < <("$MASQBPF" help "$command" |
			sed -n '/^examples:/,/^$/s/^  masqbpf //p')
	done
	[ "$n" -gt 20 ] || fail "$n examples"
}

unknown_shell() {
	local status=0
	"$MASQBPF" completion tcsh 2>"$TAP_DIR/err" || status=$?
	is "exit status" "$status" 2
	grep -q 'not bash, zsh or fish' "$TAP_DIR/err"
}

# complete WORD...: what bash would offer for the last one
complete_bash() {
	# shellcheck disable=SC2016 # the inner shell expands it
	bash -c '
		source /dev/stdin <<<"$("$1" completion bash)"
		shift
		COMP_WORDS=(masqbpf "$@") COMP_CWORD=$#
		_masqbpf
		echo "${COMPREPLY[*]}"' bash "$MASQBPF" "$@"
}

bash_completes() {
	is command "$(complete_bash rollb)" rollback
	is option "$(complete_bash plan --aga)" --against
	is "value of an option" "$(complete_bash flows --state cl)" \
		"closing closed"
	is "word of an operand" "$(complete_bash cidr se)" set
	is file "$(complete_bash plan docs/masqb)" docs/masqbpf.8
	is "command behind an option" \
		"$(complete_bash --pin-dir /x doctor --rep)" --report
	is "interface" "$(complete_bash detach lo)" lo
}

complete_fish() {
	# shellcheck disable=SC2016 # fish expands it
	fish --no-config -c 'source (eval $argv[1] completion fish | psub)
		complete -C $argv[2]' "$MASQBPF" "masqbpf $1" | cut -f1 | xargs
}

fish_completes() {
	command -v fish >/dev/null || skip "no fish"
	is command "$(complete_fish rollb)" rollback
	is option "$(complete_fish 'plan --aga')" --against
	is value "$(complete_fish 'flows --state cl')" "closed closing"
}

zsh_reads() {
	command -v zsh >/dev/null || skip "no zsh"
	"$MASQBPF" completion zsh >"$TAP_DIR/_masqbpf"
	zsh -f -n "$TAP_DIR/_masqbpf"
	# shellcheck disable=SC2016 # zsh expands it
	is "its function" "$(zsh -f -c 'autoload -U compinit
		compinit -u -D; source $1; print $_comps[masqbpf]' zsh \
		"$TAP_DIR/_masqbpf")" _masqbpf
}

# complete_zsh WORDS REST: an interactive zsh on a terminal of its own is typed
# WORDS and a Tab; it has to add REST, which is no part of what was typed.
complete_zsh() {
	# shellcheck disable=SC2016 # zsh expands it
	timeout $((20 * ${TEST_SLOW:-1})) zsh -f -c '
		zmodload zsh/zpty
		zpty z zsh -f -i
		zpty -w z "autoload -U compinit; compinit -u -D; source $1; echo re\$((1))ady"
		zpty -r z out "*re1ady*"
		zpty -w -n z "$2"$'"'\\t'"'
		zpty -r z out "*$3*"
		zpty -d z' zsh "$TAP_DIR/_masqbpf" "$1" "$2" ||
		fail "zsh: '$1' is not completed by '$2'"
}

zsh_completes() {
	command -v zsh >/dev/null || skip "no zsh"
	"$MASQBPF" completion zsh >"$TAP_DIR/_masqbpf"
	complete_zsh 'masqbpf rollb' ack
	complete_zsh 'masqbpf plan --aga' inst
	complete_zsh 'masqbpf flows --state est' ablished
}

# A shell on a terminal, names that it would run, split or expand, Tab, Enter:
# in a network namespace of its own, with a /sys that shows it.
hostile_names() {
	local shell=$1 line
	command -v "$shell" >/dev/null || skip "no $shell"
	mkdir "$TAP_DIR/$shell"
	"$MASQBPF" completion "$shell" >"$TAP_DIR/hostile.$shell"
	# shellcheck disable=SC2016 # the inner shell expands it
	line=$(unshare --net --mount sh -ec \
		'mount -t sysfs sysfs /sys && exec "$@"' sh \
		/usr/bin/python3 tests/lib/tabs.py "$shell" \
		"$TAP_DIR/hostile.$shell" "$TAP_DIR/$shell") || fail "$line"
	note "$line"
}

row "the man page has every command" every_command
row "the man page has every option of each" every_option
row "the man page has every config key" every_key
row "the man page has every reason" every_reason
row "the man page has every field of --json" every_field
row "every command has --help" help_fits
row "the nearest command or option is named" nearest
row "help COMMAND" help_of
row "examples are taken" examples
row "completion: an unknown shell" unknown_shell
row "completion: bash" bash_completes
row "completion: fish" fish_completes
row "completion: zsh" zsh_reads
row "completion: zsh, on a terminal" zsh_completes
for shell in bash zsh fish; do
	row "completion: $shell, hostile names, on a terminal" \
		hostile_names $shell
done
tap_done

# shellcheck shell=bash
# stack.sh - UDP of a pod in the background, and how much of it the node's stack
# has seen. After tap.sh and lab.sh; there is a counter `seen` in the node's nft
# table `ip stack` for both directions.

# stack_talk POD ADDR PORT SPORT SECONDS: until `hush`; the row ends by its own
# `undo`. TALK: the process
stack_talk() {
	rm -f "$LAB_DIR/progress"
	(exec nsenter --net="$(lab_netns "$1")" -- "$PYTHON" \
		"$LAB_LIB/fast.py" talk "$2" "$3" "$4" $(($5 * TEST_SLOW)) 0 \
		"$LAB_DIR/progress") >"$LAB_DIR/talk" 2>&1 &
	TALK=$!
	trap undo EXIT
	lab_wait 10 test -e "$LAB_DIR/progress" || fail "$(cat "$LAB_DIR/talk")"
}

hush() {
	kill -TERM "$TALK"
	wait "$TALK" || fail "ended with $?: $(cat "$LAB_DIR/talk")"
	TALK=
}

# Forwarded packets that the stack has seen.
stack_count() {
	lab_in node nft -j list counter ip stack seen |
		jq '.nftables[1].counter.packets'
}

# What the stack sees of it for a moment, in SEEN, of the SENT and as many
# answers; fails when next to nothing was sent.
look() {
	local before sent_before sent rest
	before=$(stack_count)
	read -r sent_before rest <"$LAB_DIR/progress"
	sleep 0.5
	SEEN=$(($(stack_count) - before))
	# shellcheck disable=SC2034 # rest: a word of the line
	read -r sent rest <"$LAB_DIR/progress"
	SENT=$((sent - sent_before))
	[ $SENT -ge 10 ]
}

# Nearly nothing of it: a packet a second in each direction.
is_fast() {
	look && [ "$SEEN" -lt $((SENT / 2)) ]
}

is_slow() {
	look && [ "$SEEN" -gt "$SENT" ]
}

# shellcheck shell=bash
# talks.sh - pods at work until all is quiet: what the guard looks at.
# After tap.sh and lab.sh; the far side serves the port.

# talk POD DEST [PORT=443]: one connection that is in use
talk() {
	local progress=$LAB_DIR/talk-$1-${2//[:.]/-}
	rm -f "$LAB_DIR/stop" "$progress"
	lab_spawn "$1" "$PYTHON" "$LAB_LIB/traffic.py" stream "$2" "${3:-443}" \
		--chunk 4000 --interval 0.2 --stop "$LAB_DIR/stop" \
		--progress "$progress" >/dev/null 2>&1
	lab_process "$LAB_PID" >>"$LAB_DIR/talks"
	lab_wait 20 test -s "$progress"
}

# knock POD DEST [PORT=443]: new connections, one after the other;
# LAB_DIR/knock-POD has a line for each that was answered
knock() {
	: >"$LAB_DIR/knock-$1"
	# shellcheck disable=SC2016
	lab_spawn "$1" bash -c 'while :; do
		timeout 1 bash -c ": </dev/tcp/$1/$2" && echo answered
		sleep 0.2
	done' - "$2" "${3:-443}" >>"$LAB_DIR/knock-$1" 2>/dev/null
	lab_process "$LAB_PID" >>"$LAB_DIR/talks"
}

# All of them end.
quiet() {
	local process
	touch "$LAB_DIR/stop"
	[ -e "$LAB_DIR/talks" ] || return 0
	while read -r process; do
		lab_kill KILL "$process"
	done <"$LAB_DIR/talks"
	rm "$LAB_DIR/talks"
}

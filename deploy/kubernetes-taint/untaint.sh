#!/bin/sh
# untaint.sh - takes the start-up taint TAINT from NODE when masqbpf on it says
# at READY that it is: a policy is in force and an uplink attached. Once: the
# kubelet taints a node when it registers, not when the machine starts again.
set -eu
: "${NODE:?the name of this node}"
: "${TAINT:=masqbpf/agent-not-ready}"
: "${READY:=http://127.0.0.1:9842/readyz}"
: "${PAUSE:=1}" # seconds between two looks

ready() {
	wget -q -O /dev/null -T 5 "$READY"
}

until ready; do
	sleep "$PAUSE"
done
echo "$READY: ready"
# the API server may be slow while a cluster starts; a taint that is not there
# is one that was taken away before
until keys=$(kubectl get node "$NODE" \
	-o jsonpath='{range .spec.taints[*]}{.key}{"\n"}{end}') &&
	{
		! echo "$keys" | grep -qxF "$TAINT" ||
			kubectl taint node "$NODE" "$TAINT-"
	}; do
	sleep "$PAUSE"
done
echo "$NODE: without $TAINT"
[ -n "${ONCE:-}" ] || exec sleep infinity

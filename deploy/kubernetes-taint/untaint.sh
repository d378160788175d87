#!/bin/sh
# untaint.sh - takes the start-up taint TAINT from NODE when masqbpf on it says
# that it is ready: a policy is in force and an uplink attached. Once: the
# kubelet taints a node when it registers, not when the machine starts again.
# The agent listens at PORT of the loopback address or, with metrics for all, of
# NODE_ADDRESS: both are asked.
set -eu
: "${NODE:?the name of this node}"
: "${TAINT:=masqbpf/agent-not-ready}"
: "${PORT:=9842}"
: "${PAUSE:=1}" # seconds between two looks
case ${NODE_ADDRESS:=} in
*:*) NODE_ADDRESS="[$NODE_ADDRESS]" ;;
esac

ready() {
	for address in 127.0.0.1 $NODE_ADDRESS; do
		READY=http://$address:$PORT/readyz
		! wget -q -O /dev/null -T 5 "$READY" || return 0
	done
	return 1
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

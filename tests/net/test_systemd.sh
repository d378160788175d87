#!/usr/bin/env bash
# The units under a systemd that is process 1: attach at boot, the agent's
# READY, RELOADING and WATCHDOG, what happens when it is killed or hangs.
#
# The machine is this one's root under an overlay, in namespaces of its own,
# with the lab's node as its network: nothing of the host is written.
#
# With DEB=FILE it is the Debian package that is installed there, and then
# upgraded, removed and purged.
set -euo pipefail
. "$(dirname "$0")/../lib/tap.sh"
. "$(dirname "$0")/../lib/lab.sh"

POD=10.44.14.15
PORT=443
UNIT=masqbpf-agent.service

if ! [ -x /lib/systemd/systemd ]; then
	row_skip "units under systemd" "no systemd: apt-get install systemd"
	tap_done
	exit
fi

lab_begin
CGROUP=$LAB_DIR/cgroup
ROOT=$LAB_DIR/root
trap systemd_end EXIT
lab_node_far
lab_pod pod1 $POD
lab_serve far $PORT

# What systemd has put into its cgroup is ended with it.
systemd_end() {
	local status=$?
	[ "$BASHPID" = "$LAB_SHELL" ] || return 0
	[ ! -e "$LAB_DIR/systemd" ] ||
		lab_kill KILL "$(cat "$LAB_DIR/systemd")"
	if mountpoint -q "$CGROUP"; then
		lab_wait 10 rmdir_all "$CGROUP/$LAB_ID" || true
		umount "$CGROUP"
	fi
	(exit $status)
	lab_end
}

rmdir_all() {
	[ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +
}

# The script that becomes process 1; $ROOT is its machine.
cat >"$LAB_DIR/init" <<'INIT'
#!/bin/bash
set -eu
root=$1 repo=$2 deb=$3 next=$4
mkdir "$root"
mount -t tmpfs -o mode=755 masqbpf-test "$root"
mkdir "$root/up" "$root/work" "$root/new"
mount -t overlay overlay "$root/new" \
	-o "lowerdir=/,upperdir=$root/up,workdir=$root/work"
root=$root/new
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t bpf bpf "$root/sys/fs/bpf"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
for device in full null random tty urandom zero; do
	touch "$root/dev/$device"
	mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
# What a machine may have: units that are broken, wherever units come from.
broken() { # FILE
	mkdir -p "${1%/*}"
	printf '[Service]\nType=oneshot\nExecStart=/bin/false\n' >"$1"
}
for folder in etc usr/local/lib usr/lib; do
	name=broken-${folder//\//-}.service
	broken "$root/$folder/systemd/system/$name"
	mkdir -p "$root/$folder/systemd/system/multi-user.target.wants"
	ln -s "../$name" "$root/$folder/systemd/system/multi-user.target.wants/"
done
mkdir -p "$root/etc/init.d" "$root/etc/rc3.d" \
	"$root/etc/systemd/system-generators"
printf '#!/bin/sh\n### BEGIN INIT INFO\n# Provides: broken\n%s\n### END INIT INFO\nexit 1\n' \
	'# Default-Start: 2 3 4 5' >"$root/etc/init.d/broken"
printf '#!/bin/sh\nd=$1/multi-user.target.wants\nmkdir -p $d && %s\n' \
	'cp /etc/systemd/broken.service $d/broken-generated.service' \
	>"$root/etc/systemd/system-generators/broken"
broken "$root/etc/systemd/broken.service"
chmod 755 "$root/etc/init.d/broken" "$root/etc/systemd/system-generators/broken"
ln -s ../init.d/broken "$root/etc/rc3.d/S01broken"
# nothing but ours is started
rm -rf "$root"/etc/{systemd,init.d,rc?.d,fstab} \
	"$root"/usr/local/lib/systemd "$root"/lib/systemd/system-generators \
	"$root"/lib/systemd/system/*.wants \
	"$root"/lib/systemd/system/*.requires
mkdir -p "$root/etc/systemd/system"
if [ -z "$deb" ]; then
	make -sC "$repo" install DESTDIR="$root" PREFIX=/usr
	chroot "$root" systemd-sysusers masqbpf.conf
else
	cp "$deb" "$root/this.deb"
	cp "$next" "$root/next.deb"
	# images for containers have one that forbids services
	rm -f "$root/usr/sbin/masqbpf" "$root/usr/sbin/policy-rc.d"
	chroot "$root" dpkg -i /this.deb
	# no traffic changes because something was installed
	for unit in agent attach; do
		said=$(systemctl --root="$root" is-enabled "masqbpf-$unit" || true)
		[ "$said" = disabled ] || { echo "masqbpf-$unit: $said"; exit 1; }
	done
fi
mkdir -p "$root/etc/masqbpf" "$root/etc/systemd/journald.conf.d" \
	"$root/etc/systemd/system/masqbpf-agent.service.d"
printf '[Journal]\nStorage=volatile\nRateLimitBurst=0\n' \
	>"$root/etc/systemd/journald.conf.d/test.conf"
echo 'nonMasqueradeCIDRs: [10.0.0.0/8]' >"$root/etc/masqbpf/masqbpf.yaml"
cat >"$root/etc/default/masqbpf" <<-TEXT
	MASQBPF_ATTACH="--config /etc/masqbpf/masqbpf.yaml eth0"
	MASQBPF_AGENT="--config /etc/masqbpf/masqbpf.yaml eth0"
TEXT
# a minute is long for a test
printf '[Service]\nWatchdogSec=2s\n' \
	>"$root/etc/systemd/system/masqbpf-agent.service.d/test.conf"
systemctl -q --root="$root" enable masqbpf-attach.service
# what starts containers, for all that the units know
cat >"$root/etc/systemd/system/kubelet.service" <<-TEXT
	[Service]
	Type=oneshot
	RemainAfterExit=yes
	ExecStart=sh -c 'masqbpf status --json >/run/kubelet-saw || true'
	[Install]
	WantedBy=multi-user.target
TEXT
systemctl -q --root="$root" enable kubelet.service
cat >"$root/etc/systemd/system/boot.target" <<-TEXT
	[Unit]
	Requires=multi-user.target systemd-journald.service
	After=multi-user.target
TEXT
: >"$root/etc/machine-id"
mkdir "$root/old"
cd "$root"
pivot_root . old
umount -l old
exec env -i container=masqbpf-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --unit=boot.target --log-level=debug \
	--log-target=journal
INIT

# there COMMAND...: inside
there() {
	env -u MASQBPF_PIN_DIR nsenter \
		--target "$(cut -d : -f 1 "$LAB_DIR/systemd")" --mount --pid --net \
		--uts --ipc --cgroup -- "$@"
}

journal() { # PATTERN: how many lines of the agent's unit and about it
	there journalctl -o cat --no-pager | grep -cE -- "$1" || true
}

journal_says() {
	[ "$(journal "$1")" -ge "${2:-1}" ]
}

property() { # NAME [UNIT]
	there systemctl show --value -p "$1" "${2:-$UNIT}"
}

property_is() {
	[ "$(property "$1" "${3:-$UNIT}")" = "$2" ]
}

running() {
	[ "$(there systemctl is-system-running || true)" = running ]
}

settled() {
	case $(there systemctl is-system-running || true) in
	running | degraded) ;;
	*) return 1 ;;
	esac
}

boots() {
	local pid
	mkdir "$CGROUP"
	mount -t cgroup2 cgroup2 "$CGROUP" || skip "no cgroup2"
	mkdir "$CGROUP/$LAB_ID"
	# shellcheck disable=SC2016 # for the shell inside
	lab_spawn node bash -c 'echo $$ >"$1/cgroup.procs" && shift &&
		exec unshare --mount --pid --fork --uts --ipc --cgroup \
			--kill-child "$@"' - "$CGROUP/$LAB_ID" \
		bash "$LAB_DIR/init" "$ROOT" "$LAB_ROOT" "${DEB-}" \
		"$LAB_DIR/next.deb" \
		>"$LAB_DIR/boot" 2>&1 </dev/null
	lab_wait 5 pgrep -P "$LAB_PID"
	pid=$(pgrep -P "$LAB_PID")
	lab_process "$pid" >"$LAB_DIR/systemd"
	lab_own "$pid"
	lab_wait 60 settled || fail "$(cat "$LAB_DIR/boot")"
	running || fail "$(there journalctl -p info --no-pager | tail -40)"
	is "process 1" "$(there cat /proc/1/comm)" systemd
}

source_is() {
	is "source" "$(word source "$(traffic pod1 who $FAR_ADDR $PORT)")" "$1"
}

attached_at_boot() {
	property_is ActiveState active masqbpf-attach.service ||
		fail "$(there systemctl --no-pager status masqbpf-attach)"
	source_is $NODE_ADDR
	is "what a reboot needs" "$(there find /var/lib/masqbpf -name \
		'masqbpf-*' -size +1k -perm 0600 | wc -l)" 1
	is mode "$(there stat -c %a /var/lib/masqbpf)" 700
	# its reload reads the file
	there sh -c 'echo "nonMasqueradeCIDRs: [10.0.0.0/8, 172.30.0.0/16]" \
		>/etc/masqbpf/masqbpf.yaml'
	there systemctl reload masqbpf-attach
	source_is $POD
	there systemctl stop masqbpf-attach
	source_is $POD # and stays so
	there systemctl start masqbpf-attach
}

before_containers() {
	is "what the kubelet saw" "$(there jq -c '[.generation,
		.interfaces[0].attached]' /run/kubelet-saw)" '[1,true]'
	for unit in masqbpf-attach masqbpf-agent; do
		is "$unit before the kubelet" "$(property Before $unit.service |
			grep -cw kubelet.service)" 1
	done
}

agent_starts() {
	there sh -c 'echo "nonMasqueradeCIDRs: [10.0.0.0/8]" \
		>/etc/masqbpf/masqbpf.yaml'
	# returns when it is ready, and not before
	there systemctl start $UNIT
	is state "$(property ActiveState)" active
	is "attach unit" "$(property ActiveState masqbpf-attach.service)" inactive
	is status "$(property StatusText)" "all is well"
	journal_says "$UNIT: Got notification message.*READY=1" ||
		fail "$(there journalctl --no-pager -u masqbpf-agent)"
	source_is $NODE_ADDR
	there curl -sf http://127.0.0.1:9842/readyz
	is "user" "$(there ps -o user= -p "$(property MainPID)")" masqbpf
	is "capabilities" "$(there sed -n 's/^CapEff:\t//p' \
		"/proc/$(property MainPID)/status")" 0000000000000000
}

keeps() {
	there masqbpf cidr list --json |
		jq -e ".prefixes | any(.prefix == \"$1\")" >/dev/null
}

agent_reloads() {
	there masqbpf cidr add 198.51.100.0/24
	there systemctl reload $UNIT
	lab_wait 10 journal_says "$UNIT: Got notification.*RELOADING=1"
	lab_wait 10 property_is ActiveState active
	! keeps 198.51.100.0/24 || fail "not reloaded"
	# the file's own change needs nobody
	there sh -c 'echo "nonMasqueradeCIDRs: [10.0.0.0/8, 192.0.2.0/24]" \
		>/etc/masqbpf/masqbpf.yaml'
	lab_wait 10 keeps 192.0.2.0/24
}

watchdog() {
	local before
	before=$(journal "$UNIT: Got notification.*WATCHDOG=1")
	lab_wait 10 journal_says "$UNIT: Got notification.*WATCHDOG=1" \
		$((before + 3))
	is restarts "$(property NRestarts)" 0
}

# again RESTARTS COMMAND...: it ends the agent under a transfer; systemd starts
# another
again() {
	local pid want=$1
	shift
	pid=$(property MainPID)
	stream_start pod1 $FAR_ADDR $PORT
	there "$@" "$pid"
	stream_more 4
	lab_wait 30 property_is NRestarts "$want"
	lab_wait 30 property_is ActiveState active
	lab_wait 10 there curl -sf http://127.0.0.1:9842/readyz
	[ "$(property MainPID)" != "$pid" ] || fail "the same process"
	stream_more 4
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	keeps 192.0.2.0/24
}

stopped() {
	there systemctl stop $UNIT
	is state "$(property ActiveState)" inactive
	source_is $NODE_ADDR
	there masqbpf detach --all
	source_is $POD
}

# next_deb: the same package with a higher version
next_deb() {
	dpkg-deb -R "$DEB" "$LAB_DIR/deb"
	sed -i 's/^Version: .*/&+next/' "$LAB_DIR/deb/DEBIAN/control"
	dpkg-deb -b "$LAB_DIR/deb" "$LAB_DIR/next.deb"
}

package_version() {
	# shellcheck disable=SC2016 # dpkg-query fills it in
	there dpkg-query -W -f '${Version}' masqbpf
}

# The package is another, the agent too, and the transfer goes on.
upgraded() {
	local before pid
	there systemctl start $UNIT
	pid=$(property MainPID)
	before=$(package_version)
	stream_start pod1 $FAR_ADDR $PORT
	there dpkg -i /next.deb
	stream_more 4
	is version "$(package_version)" "$before+next"
	lab_wait 30 property_is ActiveState active
	[ "$(property MainPID)" != "$pid" ] || fail "the same process"
	stream_more 4
	stream_end
	is "source of the transfer" "$(word source "$STREAM_LINE")" $NODE_ADDR
	keeps 192.0.2.0/24
	is "attach unit" "$(property UnitFileState masqbpf-attach.service)" enabled
	is "attach unit" "$(property ActiveState masqbpf-attach.service)" inactive
}

removed() {
	there dpkg -r masqbpf
	is state "$(property ActiveState)" inactive
	there test ! -e /usr/sbin/masqbpf
	there test ! -e /sys/fs/bpf/masqbpf
	source_is $POD
	there test -e /etc/masqbpf/masqbpf.yaml
}

purged() {
	there dpkg -P masqbpf
	is left "$(there find /etc /var/lib /usr/share /usr/lib -xdev \
		-name '*masqbpf*' ! -path '/etc/systemd/system/masqbpf-agent.service.d*')" ""
	if there dpkg-query -W masqbpf; then
		fail "dpkg knows it"
	fi
}

lab_in far ip route add $POD_NET via $NODE_ADDR
[ -z "${DEB-}" ] || row "package: another version" next_deb
# The guard asks by connections whether a far side lives: they have to leave,
# and their answers to come, from where the agent is.
asks_far_sides() {
	local cgroup
	cgroup=$(find "$CGROUP/$LAB_ID" -type d -name $UNIT)
	(
		echo "$BASHPID" >"$cgroup/cgroup.procs"
		traffic node who $FAR_ADDR $PORT
	) >"$LAB_DIR/asked"
	is source "$(word source "$(cat "$LAB_DIR/asked")")" $NODE_ADDR
}

row "boots" boots
row_ok || { tap_done; exit; }
row "attach unit: at boot, reload, stop" attached_at_boot
row "it is attached before containers start" before_containers
row "agent unit: READY, and without privileges" agent_starts
row "agent unit: what the guard asks goes out" asks_far_sides
row "agent unit: RELOADING" agent_reloads
row "agent unit: WATCHDOG" watchdog
row "agent unit: SIGKILL under a transfer" again 1 kill -KILL
row "agent unit: one that hangs is replaced" again 2 kill -STOP
row "agent unit: stop leaves traffic alone" stopped
if [ "${DEB-}" ]; then
	row "package: upgraded under a transfer" upgraded
	row "package: removed" removed
	row "package: purged" purged
fi
tap_done

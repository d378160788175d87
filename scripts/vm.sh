#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Runs a command under another Linux kernel: boots Debian's own kernel in qemu
# (no KVM needed) on top of this machine's root directory, read-only with a
# tmpfs over it, so that the command finds the same programs and the same
# repository. Kernels come from the mirror that this machine's apt uses
# already; they are unpacked, never installed. An arm64 kernel has a root of
# Debian's arm64 packages (scripts/vm/root), with this directory in it.
set -euo pipefail

top=$(cd "$(dirname "$0")/.." && pwd -P)
cache=${VM_CACHE:-$top/build/vm}
kernels=(5.10 6.1 6.12 arm64-5.10 arm64-6.1 arm64-6.12)
. "$top/scripts/vm/apt.sh"

kernel=6.1
cpus=1
limit=900
boot_limit=120
log=
more=
run=
pids=()

usage() {
	cat <<-END
	usage: scripts/vm.sh [-k KERNEL] [-a WORDS] [-c CPUS] [-t SECONDS] [-l FILE] [--]
	                     COMMAND [ARG...]
	Run COMMAND as root under another kernel, in this directory, with its output
	and exit status as ours. What it writes to files is gone when it ends.
	  -k KERNEL   ${kernels[*]},
	              or all of amd64 in turn (default $kernel): what is built for
	              the one does not run under the other
	  -a WORDS    more for the kernel's command line: lockdown=integrity
	  -c CPUS     so many processors (default $cpus: with more, emulation is
	              slower, and now and then the kernel dies as it patches itself)
	  -t SECONDS  give up after so long (default $limit)
	  -l FILE     keep the kernel's log there
	Exit status: COMMAND's; 124 too slow; 125 no such kernel, or it died.
	VM_CACHE (default build/vm) keeps the kernels, about 200 MB each.
	END
}

say() {
	echo "vm.sh: kernel $kernel: $*" >&2
}

die() {
	say "$@"
	exit 125
}

need() {
	command -v "$1" >/dev/null ||
		die "no $1: install the package $2 (scripts/deps.sh kernels does)"
}

# Debian's suites that have the kernel; apt takes the newest of it.
suites() {
	case ${1#arm64-} in
	5.10) echo bullseye bullseye-security ;;
	6.1) echo bookworm bookworm-security ;;
	6.12) echo bookworm-backports ;;
	esac
}

# The ELF kernel inside the bzImage $1: qemu starts it at once by its PVH note,
# where unpacking it under emulation takes longer than the rest of the boot.
# arm64's is not packed.
unpack_vmlinux() {
	[ $arch = amd64 ] || {
		cat "$1"
		return
	}
	local setup offset length
	setup=$(od -An -tu1 -j 497 -N 1 "$1")
	read -r offset length < <(od -An -tu4 -j 584 -N 8 "$1")
	# after the compressed stream come four bytes that are not part of it
	length=$((length - 4))
	head -c "$(((setup + 1) * 512 + offset + length))" "$1" |
		tail -c "$length" >"$1.payload"
	xz -dc <"$1.payload" 2>/dev/null || zstd -dcq <"$1.payload"
}

# fetch_kernel KERNEL SUITE...: the newest one there into $apt; sets $package
fetch_kernel() {
	own_apt_begin "$apt" $arch "${@:2}" || return
	package=$(own_apt apt-cache depends "linux-image-$arch" | awk '
		$1 == "Depends:" && !seen++ { print $2 }')
	[[ $package == linux-image-${1#arm64-}.* ]] || {
		say "the mirror has ${package:-no kernel} in ${*:2}"
		return 1
	}
	(cd "$apt" && own_apt apt-get download "$package") >"$apt/log" 2>&1 || {
		cat "$apt/log" >&2
		return 1
	}
}

# Makes the folder $cache/$1 with vmlinux, modules/ and initramfs/ of kernel $1.
prepare() {
	local new=$cache/$1.new apt package release module
	apt=$new/apt
	rm -rf "$new"
	mkdir -p "$new/initramfs/"{bin,modules}
	say "fetching it from $(suites "$1"), this once"
	# shellcheck disable=SC2046 # a word each
	fetch_kernel "$1" $(suites "$1") || {
		# a mirror may list what it has no more: then the first release's
		say "not there; the release's first one"
		fetch_kernel "$1" $(suites "$1" | cut -d ' ' -f 1)
	} || die "cannot be fetched"

	# A node has more modules; tests of networking in qemu need no more.
	dpkg-deb --fsys-tarfile "$apt/$package"_*.deb |
		tar -x -C "$new" --wildcards --transform 's,^\./,modules/,' \
			--exclude '*/drivers/net/ethernet' \
			--exclude '*/drivers/net/wireless' \
			'./boot/vmlinuz-*' './lib/modules/*/modules.*' \
			'./lib/modules/*/kernel/'{arch,crypto,fs,lib,net} \
			'./lib/modules/*/kernel/drivers/'{block,char,net,virtio}
	release=${package#linux-image-}
	unpack_vmlinux "$new/modules/boot/vmlinuz-$release" >"$new/vmlinux"
	find "$new/modules" -name '*.ko.xz' -exec xz -d {} +
	depmod -b "$new/modules" "$release"

	cp "$busybox" "$new/initramfs/bin/busybox"
	for module in virtio_pci virtio_console 9pnet_virtio 9p overlay; do
		modprobe -S "$release" -d "$new/modules" --show-depends "$module"
	done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$new/order"
	xargs -a "$new/order" cp -t "$new/initramfs/modules"
	sed 's,.*/,,' "$new/order" >"$new/initramfs/modules/order"

	rm -rf "$apt" "$new/order" "$new/modules/boot"
	mv "$new" "$cache/$1"
}

# shellcheck disable=SC2317 # called by trap
cleanup() {
	[ ${#pids[@]} = 0 ] || kill "${pids[@]}" 2>/dev/null || true
	wait
	[ -z "$run" ] || rm -rf "$run"
}

# qemu with one virtio port for each of stdout, stderr and the exit status.
# No option for speed turns off what programs can see: with mitigations=off the
# verifier would accept from the unprivileged what it refuses on a node.
# norandmaps lets qemu reuse translated code from one process to the next;
# clearing pages twice and retpolines cost a quarter of the time.
boot() {
	local append="panic=-1 norandmaps nowatchdog" machine
	append+=" rcupdate.rcu_cpu_stall_suppress=1 init_on_alloc=0 $more"
	case $arch in
	amd64)
		append+=" console=ttyS0 tsc=reliable spectre_v2=off"
		machine=(qemu-system-x86_64 -cpu qemu64 -M pc)
		;;
	arm64)
		append+=" console=ttyAMA0"
		machine=(qemu-system-aarch64 -cpu cortex-a72 -M virt)
		;;
	esac
	cd "$run"
	# timeout's TERM reaches qemu, and neither outlives this script
	exec setpriv --pdeathsig TERM timeout -k 5 "$limit" \
		setpriv --pdeathsig KILL \
		"${machine[@]}" -accel tcg,thread=multi -m 2G -smp "$cpus" \
		-nodefaults -no-user-config -nographic \
		-no-reboot -monitor none -serial file:console \
		-kernel vmlinux -initrd initrd -append "$append" \
		-device virtio-serial \
		-chardev file,id=out,path=out \
		-device virtserialport,chardev=out,nr=1 \
		-chardev file,id=err,path=err \
		-device virtserialport,chardev=err,nr=2 \
		-chardev file,id=status,path=status \
		-device virtserialport,chardev=status,nr=3 \
		-fsdev local,id=root,path=/,security_model=none,readonly=on,multidevs=remap \
		-device virtio-9p,fsdev=root,mount_tag=root \
		</dev/null >qemu.log 2>&1
}

# The files that the guest is to have in memory, as a tar; which ones is looked
# up once. (With arm64 the files are other ones, and few.)
hot() {
	local list=$cache/hot
	[ $arch = amd64 ] || {
		tar -cf "$run/hot.tar" -T /dev/null
		return
	}
	if [ ! -s "$list" ] || [ "$top/scripts/vm/hot" -nt "$list" ]; then
		"$top/scripts/vm/hot" >"$run/hot"
		mv "$run/hot" "$list"
	fi
	# what has gone since is found by 9p, or not, as without this
	tar -cPf "$run/hot.tar" --no-recursion --ignore-failed-read \
		-T "$list" 2>"$run/hot.log" || {
		cat "$run/hot.log" >&2
		die "cannot make $run/hot.tar"
	}
}

# One boot: leaves two lines in $run/status, "started" and the exit status of
# the command; fewer when it did not get so far. $rc is qemu's exit status,
# $hung whether it was ended for that.
attempt() {
	local patience=$((boot_limit * 5))
	rm -f "$run"/{out,err}
	mkfifo "$run/out" "$run/err"
	truncate -s 0 "$run/status" "$run/console"
	cat "$run/out" &
	readers=($!)
	cat "$run/err" >&2 &
	readers+=($!)
	boot &
	pids=("${readers[@]}" $!)
	while [ $((patience--)) -gt 0 ] && [ ! -s "$run/status" ] &&
		kill -0 "${pids[-1]}" 2>/dev/null; do
		sleep 0.2
	done
	hung=false
	if [ ! -s "$run/status" ] && kill "${pids[-1]}" 2>/dev/null; then
		hung=true
	fi
	rc=0
	wait "${pids[-1]}" || rc=$?
	# a reader still waits if qemu never opened its end
	: <>"$run/out" <>"$run/err"
	wait "${readers[@]}" || true
	pids=()
	[ -z "$log" ] || cp "$run/console" "$log"
}

# Runs the command "$@" under $kernel and exits with its status.
run() {
	local home=$cache/$kernel part rc hung readers
	mkdir -p "$cache"
	if [ $arch != amd64 ]; then
		system=$cache/$arch
		"$top/scripts/vm/root" "$system"
		busybox=$system/bin/busybox
	fi
	(
		flock 9
		if [ ! -d "$home" ]; then prepare "$kernel"; fi
	) 9>"$cache/$kernel.lock"

	run=$(mktemp -d "$cache/run.XXXXXX")
	mkdir "$run/initramfs"
	ln -s "$home/vmlinux" "$run/vmlinux"
	cp "$top/scripts/vm/init" "$run/initramfs/init"
	printf '%s\n' "$home" "$run" "$system" "$PWD" >"$run/initramfs/paths"
	for part in "$home/initramfs" "$run/initramfs"; do
		(cd "$part" && find . | cpio -o -H newc --quiet)
	done >"$run/initrd"
	printf 'cd %q &&\n%s\n' "$PWD" "${*@Q}" >"$run/command"

	hot
	attempt "$@"
	# One boot in many hangs or dies: time is not what it was in an
	# emulator. Nothing of the command has run.
	if [ ! -s "$run/status" ]; then
		say "not booted in $boot_limit s, or died; once more"
		attempt "$@"
	fi
	if [ "$(wc -l <"$run/status")" != 2 ]; then
		cp "$run/console" "$cache/$kernel.log"
		tail -n 30 "$run/console" >&2
		cat "$run/qemu.log" >&2
		say "its log: $cache/$kernel.log"
		[ "$rc" != 124 ] || {
			say "not done after $limit seconds"
			exit 124
		}
		die "$(grep -ao 'Kernel panic.*' "$run/console" ||
			{ $hung && echo "does not boot"; } ||
			echo "ended before the command did (qemu: $rc)")"
	fi
	# A command that passes while the kernel complains has found something.
	! grep -aE '\] (BUG|WARNING|Oops|general protection|INFO: task)' \
		"$run/console" >&2 || say "the kernel complained (above)"
	exit "$(tail -n 1 "$run/status")"
}

while getopts k:a:c:t:l:h option; do
	case $option in
	k) kernel=$OPTARG ;;
	a) more=$OPTARG ;;
	c) cpus=$OPTARG ;;
	t) limit=$OPTARG ;;
	l) log=$OPTARG ;;
	h) usage && exit 0 ;;
	*) usage >&2 && exit 125 ;;
	esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { usage >&2 && exit 125; }

if [ "$kernel" = all ]; then
	worst=0
	for kernel in "${kernels[@]}"; do
		[[ $kernel != arm64-* ]] || continue
		echo "== $kernel" >&2
		"$0" -k "$kernel" -c "$cpus" -t "$limit" ${log:+-l "$log.$kernel"} -- "$@" ||
			worst=$?
	done
	exit $worst
fi

[ -n "$(suites "$kernel")" ] || die "there is only: ${kernels[*]}"
[[ $limit =~ ^[1-9][0-9]*$ ]] || die "-t $limit: not a number of seconds"
[[ $cpus =~ ^[1-9]$ ]] || die "-c $cpus: not a number of processors"
[ "$(uname -m)" = x86_64 ] || die "needs an amd64 machine: it shares its programs"
arch=amd64
[[ $kernel != arm64-* ]] || arch=arm64
# the root that the command sees
system=/
case $arch in
amd64) need qemu-system-x86_64 qemu-system-x86 ;;
arm64) need qemu-system-aarch64 qemu-system-arm ;;
esac
need busybox busybox-static
busybox=$(command -v busybox)
need cpio cpio
need depmod kmod
need setpriv util-linux
need zstd zstd
! ldd "$busybox" >/dev/null 2>&1 ||
	die "busybox is not static: install the package busybox-static"
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
run "$@"

#!/usr/bin/env bash
# Runs targets of make in another release of Debian: tests/debian/run.sh trixie demo test
#
# The release is installed by debootstrap into build/debian/RELEASE once, and kept; the checkout is
# copied into it each time. All mounts are in a mount namespace and all processes in a process
# namespace of their own, so the kernel unmounts and ends everything when the first process is gone,
# however that came about. MIRROR= names a mirror where the machine's own apt has none of Debian.
set -euo pipefail
release=${1:?a release of Debian, such as trixie}
targets=("${@:2}")
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
home=$here/build/debian
root=$home/$release

fail() { echo "tests/debian/run.sh: $*" >&2; exit 1; }

debian_mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(SITE)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" {print $3; exit}'
}

install_release() {
  [ -e "$root.installed" ] && return
  local mirror=${MIRROR:-$(debian_mirror)}
  [ -n "$mirror" ] || fail "apt names no mirror of Debian here; name one by MIRROR="
  rm -rf "$root"
  debootstrap --variant=minbase --include=ca-certificates,make "$release" "$root" "$mirror" \
    >"$home/$release.log" 2>&1 || { tail -n 20 "$home/$release.log" >&2; fail "debootstrap failed"; }
  touch "$root.installed"
}

# What this machine needs to reach mirrors and registries, the chroot needs, too.
copy_network() {
  cp -L /etc/resolv.conf /etc/hosts "$root/etc/"
  apt-config dump | grep -E '^Acquire::([a-z]+::Proxy|Check-)' >"$root/etc/apt/apt.conf.d/90machine" || true
  if [ -e /etc/ssl/certs/ca-certificates.crt ]; then
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/machine.crt"
  fi
  [ ! -e /etc/pip.conf ] || cp -L /etc/pip.conf "$root/etc/pip.conf"
}

copy_checkout() {
  mkdir -p "$root/src"
  # What make has built there before stays: it knows what is out of date.
  find "$root/src" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
  git -C "$here" -c safe.directory="$here" ls-files -z --cached --others --exclude-standard |
    (cd "$here" && xargs -0 ls -d 2>/dev/null) |
    tar -C "$here" -c --no-recursion -T - | tar -C "$root/src" -x --no-same-owner
}

# Runs as the first process of the namespaces.
inside() {
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  mkdir "$root/dev/shm" "$root/dev/pts"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  for link in fd:/proc/self/fd stdin:/proc/self/fd/0 stdout:/proc/self/fd/1 stderr:/proc/self/fd/2 \
    ptmx:pts/ptmx; do
    ln -s "${link#*:}" "$root/dev/${link%%:*}"
  done
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  local variables=(HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  [ ! -e "$root/etc/ssl/machine.crt" ] || variables+=(PIP_CERT=/etc/ssl/machine.crt)
  for name in CI http_proxy https_proxy no_proxy PIP_INDEX_URL PIP_DEFAULT_TIMEOUT; do
    [ -z "${!name:-}" ] || variables+=("$name=${!name}")
  done
  # Not by chroot, where nobody is let into a user namespace, as tests are.
  cd "$root" && pivot_root . . && umount -l . && cd /
  env -i "${variables[@]}" make -C /src "${targets[@]}"
}

if [ "${AUTHSRV_NAMESPACES:-}" = made ]; then
  inside
  exit
fi

[ "$(id -u)" = 0 ] || fail "mounts need root: sudo $0 $*"
mkdir -p "$home"
exec 9>"$root.lock"
flock 9
install_release
copy_network
copy_checkout
# unshare takes no signal while it waits: whoever ends this script ends it, and it ends the rest.
trap 'kill -KILL "$child" 2>/dev/null || true' EXIT
trap 'exit 143' TERM
trap 'exit 130' INT
trap 'exit 129' HUP
AUTHSRV_NAMESPACES=made setpriv --pdeathsig KILL \
  unshare --mount --ipc --pid --fork --kill-child "$0" "$@" </dev/null &
child=$!
wait "$child"

#!/bin/bash
# Runs a command where libvirt's folders are private and empty, so that no test touches the host's own guests:
#   sandbox.sh ROOT COMMAND...
# ROOT is the root of the system whose libvirt is tested: / or a folder made by debootstrap.
set -eu
if [ "${1-}" != --inside ]; then
  exec unshare --mount --pid --fork --kill-child --net --mount-proc --propagation private "$0" --inside "$@"
fi
shift
root=${1%/}
shift

private() { # an empty folder of our own, with what is there now if asked for
  local folder=$root$1 keep=${2-} copy
  mkdir -p "$folder"
  copy=$(mktemp -d)
  if [ "$keep" = keep ]; then cp -a "$folder/." "$copy"; fi
  mount -t tmpfs -o mode="$(stat -c %a "$folder")" tmpfs "$folder"
  if [ "$keep" = keep ]; then cp -a "$copy/." "$folder"; fi
  rm -rf "$copy"
}

private /run
private /etc/libvirt keep
private /var/lib/libvirt keep
private /var/log/libvirt keep
private /var/cache/libvirt keep
rm -rf "$root"/etc/libvirt/{hooks,qemu}/*
rm -rf "$root"/var/lib/libvirt/{images,qemu/save}/*
if [ -n "$root" ]; then
  mount -t proc proc "$root/proc"
  mount --rbind /sys "$root/sys"
fi

# libvirt looks for /dev/kvm before each start, for seconds where it is there and unusable.
dev=$(mktemp -d)
mount -t tmpfs -o mode=755 tmpfs "$dev"
for node in null zero full random urandom tty; do
  touch "$dev/$node"
  mount --bind "/dev/$node" "$dev/$node"
done
mkdir "$dev/pts" "$dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$dev/pts"
ln -s pts/ptmx "$dev/ptmx"
ln -s /proc/self/fd "$dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$dev/shm"
mount --move "$dev" "$root/dev"
rmdir "$dev"

cat >> "$root/etc/libvirt/qemu.conf" <<'CONF'
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
CONF
cat >> "$root/etc/libvirt/libvirtd.conf" <<'CONF'
auth_unix_rw = "none"
auth_unix_ro = "none"
CONF

export ROOT=$root
"$@"

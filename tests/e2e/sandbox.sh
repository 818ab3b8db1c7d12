#!/bin/bash
# Runs a command where libvirt's folders are private and empty, so that no test touches the host's own guests:
#   sandbox.sh ROOT[+ROOT] COMMAND...
# ROOT is the root of the system whose libvirt is tested: / or a folder made by debootstrap. With a second one there are
# two hosts, which share the folder of the images.
set -eu
if [ "${1-}" != --inside ]; then
  exec unshare --mount --pid --fork --kill-child --net --mount-proc --propagation private "$0" --inside "$@"
fi
shift
roots=$1
shift

private() { # ROOT FOLDER [keep]: an empty folder of our own, with what is there now if asked for
  local folder=$1$2 keep=${3-} copy
  mkdir -p "$folder"
  copy=$(mktemp -d)
  if [ "$keep" = keep ]; then cp -a "$folder/." "$copy"; fi
  mount -t tmpfs -o mode="$(stat -c %a "$folder")" tmpfs "$folder"
  if [ "$keep" = keep ]; then cp -a "$copy/." "$folder"; fi
  rm -rf "$copy"
}

system() { # ROOT: where a libvirtd can run, and has no guests
  local root=$1 dev node
  private "$root" /run
  # The time of the boot (type 2, the second 1): without it each libvirtd works it out, two of them may be a second apart, and take whom
  # the other has given an image for what an earlier boot has left.
  { printf '\2'; head -c 339 /dev/zero; printf '\1'; head -c 43 /dev/zero; } > "$root/run/utmp"
  private "$root" /etc/libvirt keep
  private "$root" /var/lib/libvirt keep
  private "$root" /var/log/libvirt keep
  private "$root" /var/cache/libvirt keep
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
  # For a file system whose power can be cut.
  mknod -m 600 "$dev/loop-control" c 10 237
  for node in {0..31}; do mknod -m 600 "$dev/loop$node" b 7 "$node"; done
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
}

first=${roots%%+*}
export ROOT=${first%/}
system "$ROOT"
if [ "$roots" != "$first" ]; then
  # A layer of its own: both may be the same system.
  ip link set lo up
  layer=/run/second
  mkdir -p "$layer"/{upper,work,root}
  mount -t overlay -o "lowerdir=${roots#*+},upperdir=$layer/upper,workdir=$layer/work" overlay "$layer/root"
  export SECOND=$layer/root
  system "$SECOND"
  mount --bind "$ROOT/var/lib/libvirt/images" "$SECOND/var/lib/libvirt/images"
  number=0
  for root in "$ROOT" "$SECOND"; do
    number=$((number + 1))
    # For a QEMU that is root's: post-copy needs userfaultfd(2).
    echo 'clear_emulator_capabilities = 0' >> "$root/etc/libvirt/qemu.conf"
    # Both are on one machine; to libvirt they must not be one host.
    echo "host_uuid = \"00000000-0000-4000-8000-00000000000$number\"" >> "$root/etc/libvirt/libvirtd.conf"
  done
fi
"$@"

"""The fixed scripts that make a sandbox: everything that differs comes in as a positional parameter."""

from __future__ import annotations

from typing import Final

ISOLATED: Final = r"""
set -eu
root=$1 data=$2 tmp_mb=$3 folders=$4
shift 4
seen() { mount --bind "$1" "$root$1"; mount -o remount,bind,ro,nosuid,nodev "$root$1"; }
mount -t tmpfs -o nosuid,nodev,mode=0755,size=256k root "$root"
for name in bin sbin lib lib32 lib64 libx32; do
  if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" "$root/$name"
  elif [ -d "/$name" ]; then mkdir "$root/$name"; seen "/$name"; fi
done
mkdir "$root/usr" "$root/etc" "$root/etc/ssl" "$root/tmp" "$root/proc" "$root/dev" "$root/.old"
seen /usr
for name in alternatives ssl/certs; do
  if [ -d "/etc/$name" ]; then mkdir "$root/etc/$name"; seen "/etc/$name"; fi
done
for name in passwd group nsswitch.conf hosts resolv.conf ld.so.cache localtime services protocols ssl/openssl.cnf; do
  if [ -f "/etc/$name" ]; then : >"$root/etc/$name"; seen "/etc/$name"; fi
done
mount -t tmpfs -o "nosuid,nodev,mode=1777,size=${tmp_mb}m" tmp "$root/tmp"
while [ "$folders" -gt 0 ]; do
  mkdir -p "$root$1"; seen "$1"; shift; folders=$((folders - 1))
done
if [ -d "$root$data" ]; then mount -t tmpfs -o ro,mode=0000,size=4k hidden "$root$data"; fi
for name in null zero full random urandom; do : >"$root/dev/$name"; mount --bind "/dev/$name" "$root/dev/$name"; done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
ln -s /tmp "$root/dev/shm"
mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
cd "$root"
pivot_root . .old
umount -l /.old
rmdir /.old
mount -o remount,bind,ro,nosuid,nodev /
cd /tmp
code=0
"$@" </dev/null || code=$?
exit "$code"
"""
"""Parameters: where the new root goes, the data directory, MiB of ``/tmp``, how many folders, these, and the
command. It runs with the rights to mount, in namespaces of its own; the command has no such rights any more.
"""

UNISOLATED: Final = r"""
set -eu
root=$1
shift 4
cd "$root"
code=0
"$@" </dev/null || code=$?
exit "$code"
"""
"""The same parameters; only the command's folder is its own."""

BEGINS: Final = 'printf "%s\\n" "$0"; exec "$@"'
"""Says the mark, its name, as the last thing before the command: all limits hold, and all rights are gone by then."""

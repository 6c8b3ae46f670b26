#!/bin/busybox sh
# The first program of the guest: shows it the host's root, read-only, below an overlay in memory.
set -e
/bin/busybox --install -s /bin
. /boot.conf
mount -t proc none /proc
mount -t devtmpfs none /dev
while read -r module; do insmod "/modules/$module"; done < /modules.order
mount -t 9p -o trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144 host /host
mount -t tmpfs none /written
mkdir /written/upper /written/work
mount -t overlay -o lowerdir=/host,upperdir=/written/upper,workdir=/written/work none /new
umount /proc
mount --move /dev /new/dev
exec switch_root /new /bin/sh "$CHECKOUT/tests/vm/inside/start.sh" "$CHECKOUT" "$PYTHON" "$RELEASE" "$MODULES"

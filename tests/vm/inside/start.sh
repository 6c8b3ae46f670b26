# Starts the agent in the guest, and turns the guest off when it ends. Arguments: checkout, Python, kernel's release
# and the folder of its modules.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc none /proc
mount -t sysfs none /sys
ln -s /proc/self/fd /dev/fd
mkdir -p "/lib/modules/$3" /state /mnt/share
mount --bind "$4" "/lib/modules/$3"
modprobe -a virtio_blk ext4 virtio_console tun
mount -t ext4 /dev/vda /state
ip link set lo up
# The kernel makes the agent's port when QEMU has named it.
until port=$(ls /dev/vport*p1); do sleep 0.1; done 2>/dev/null
cd /state
"$2" "$1/tests/vm/inside/agent.py" "$port"
cd /
umount /state
busybox poweroff -f

#!/bin/busybox sh
# First process of the virtual machine: mounts, cgroup v2 for all controllers, the tests, their results on a disk.
# /dev/vda is the root (changes are lost), vdb takes the results, vdc holds the checkout and what to run.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
echo guest is up
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/mqueue
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /var/lib
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ln -sf /proc/self/fd /dev/fd
ip link set lo up
hostname vm
for module in overlay veth bridge nf_tables nft_chain_nat tun loop erofs; do modprobe -q $module; done
mkdir -p /run/checkout /run/out
mount -t ext4 -o ro /dev/vdc /run/checkout
cp -a /run/checkout /tmp/checkout
cd /tmp/checkout
uname -r >/run/out/kernel
cat /sys/fs/cgroup/cgroup.controllers >/run/out/controllers
cut -d' ' -f1 /proc/uptime >/run/out/booted
export PYTHONPATH=/tmp/checkout/src PYTHONDONTWRITEBYTECODE=1 CORTEN_TEST_VM=1
timeout -s INT -k 20 560 python3 -m pytest -n 2 --dist loadfile --timeout 90 -p no:cacheprovider -q --junitxml=/run/out/results.xml $(cat arguments) >/run/out/log 2>&1
echo $? >/run/out/status
tail -n 5 /run/out/log
cut -d' ' -f1 /proc/uptime >/run/out/ended
tar -C /run/out -cf - . | dd of=/dev/vdb bs=64k 2>/dev/null
sync
poweroff -f

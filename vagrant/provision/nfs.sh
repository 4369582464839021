#!/bin/bash
# The NFS server: one volume, NFSv4 only, a lease of 10 s. HOSTS: see the Vagrantfile.
set -euo pipefail
if ! command -v exportfs >/dev/null; then
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install nfs-kernel-server
fi
{ echo "127.0.0.1 localhost"; tr , '\n' <<<"$HOSTS"; } >/etc/hosts

# With NFSv3 its lock manager's own grace period would hold up NFSv4's locks, too, for a minute and longer.
mkdir -p /etc/nfs.conf.d
cat >/etc/nfs.conf.d/drill.conf <<'END'
[nfsd]
vers3=n
vers4=y
vers4.2=y
threads=4
lease-time=10
grace-time=10
END
# A file system of its own, small, so that it can be filled up without harming the machine.
if ! [ -e /srv/volume.img ]; then
    truncate -s 192M /srv/volume.img
    /sbin/mke2fs -q -F -t ext4 -m 0 /srv/volume.img
fi
mkdir -p /srv/export
# Not a mount unit: where nothing else loads modules, the loop device must be asked for.
cat >/etc/systemd/system/drill-volume.service <<'END'
[Unit]
Description=the drills' volume
Before=nfs-server.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'modprobe loop; mountpoint -q /srv/export || mount -o loop /srv/volume.img /srv/export'
[Install]
WantedBy=multi-user.target
RequiredBy=nfs-server.service
END
echo '/srv/export 10.98.0.0/24(rw,sync,no_root_squash,no_subtree_check,fsid=0)' >/etc/exports
systemctl daemon-reload
systemctl enable --quiet drill-volume.service nfs-server.service
systemctl restart drill-volume.service
systemctl restart nfs-server.service
grep -q '+4.2' /proc/fs/nfsd/versions

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
cat >/etc/systemd/system/srv-export.mount <<'END'
[Unit]
Before=nfs-server.service
[Mount]
What=/srv/volume.img
Where=/srv/export
Type=ext4
Options=loop
[Install]
WantedBy=multi-user.target
RequiredBy=nfs-server.service
END
echo '/srv/export 10.98.0.0/24(rw,sync,no_root_squash,no_subtree_check,fsid=0)' >/etc/exports
systemctl daemon-reload
modprobe loop 2>/dev/null || true
echo loop >/etc/modules-load.d/drill.conf
systemctl enable --quiet srv-export.mount nfs-server.service
systemctl start srv-export.mount
systemctl restart nfs-server.service
grep -q '+4.2' /proc/fs/nfsd/versions

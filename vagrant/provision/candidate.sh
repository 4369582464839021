#!/bin/bash
# A candidate: the volume mounted, primacy as a service. HOSTS, ZOOKEEPERS, NODE: see the Vagrantfile.
set -euo pipefail
[ -e /tmp/primacy-stage.tar ] || { echo "no stage.tar: run vagrant/stage first" >&2; exit 1; }
if ! command -v mount.nfs >/dev/null && ! [ -e /sbin/mount.nfs ]; then
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install nfs-common
fi
{ echo "127.0.0.1 localhost"; tr , '\n' <<<"$HOSTS"; } >/etc/hosts
mkdir -p /run/stage
tar -C /run/stage -xf /tmp/primacy-stage.tar
if [ -e /run/stage/primacy ]; then
    install -m 755 /run/stage/primacy /run/stage/vm-guest /usr/bin/
fi

# Hard: an error instead of a wait would lose locks. And what must hold its lock over a server's restart needs NFSv4.
mkdir -p /mnt/metadata
cat >/etc/systemd/system/mnt-metadata.mount <<'END'
[Unit]
Wants=network-online.target
After=network-online.target
[Mount]
What=nfs:/
Where=/mnt/metadata
Type=nfs4
Options=vers=4.2,proto=tcp,hard
TimeoutSec=180
[Install]
WantedBy=multi-user.target
END

# The coordinator's signs of life go to the machine that runs the drill, past every network that a drill cuts.
gateway=$(ip -4 route show default | awk '{ print $3; exit }')
own=$(hostname -I | tr ' ' '\n' | grep '^10\.98\.' | head -n 1 || true)
[ -n "$own" ] || own=$(ip -4 -o addr show | awk '$4 ~ /^10\.98\./ { sub("/.*", "", $4); print $4; exit }')
# An emulated processor has less time for signs of life and for writing: milliseconds.
tick=5 write=50
[ "$(systemd-detect-virt || true)" != qemu ] || tick=10 write=200
mkdir -p /etc/primacy
cat >/etc/primacy/primacy.toml <<END
cluster = "drill"
node = "$NODE"

[zookeeper]
servers = "$(sed 's/,/:2181,/g; s/$/:2181/' <<<"$ZOOKEEPERS")"

[lock]
directory = "/mnt/metadata/.primacy"

[coordinator]
command = ["/usr/bin/vm-guest", "coordinator", "--to", "$gateway:7000", "--journal", "/mnt/metadata/journal", "--tick", "$tick", "--write", "$write"]
stop_timeout = "10s"

[api]
listen = "0.0.0.0:9090"
advertise = "http://$own:9090"
END
install -m 644 /run/stage/primacy.service /etc/systemd/system/primacy.service
mkdir -p /etc/systemd/system/primacy.service.d
# Without the volume there is nothing to wait for. A mount that fails is tried again with the service.
printf '[Unit]\nWants=mnt-metadata.mount\nAfter=mnt-metadata.mount\n' >/etc/systemd/system/primacy.service.d/volume.conf
systemctl daemon-reload
systemctl enable --quiet mnt-metadata.mount primacy.service
systemctl restart --no-block primacy.service

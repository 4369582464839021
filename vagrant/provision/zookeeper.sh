#!/bin/bash
# One ZooKeeper server, as a service. HOSTS, ZOOKEEPERS, NODE: see the Vagrantfile.
set -euo pipefail
if ! [ -e /usr/share/java/zookeeper.jar ] || ! command -v java >/dev/null; then
    apt-get -q update
    DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install zookeeper default-jre-headless
fi
{ echo "127.0.0.1 localhost"; tr , '\n' <<<"$HOSTS"; } >/etc/hosts

mkdir -p /etc/primacy-drill /var/lib/zookeeper-drill
echo "${NODE##*-}" >/var/lib/zookeeper-drill/myid
IFS=, read -ra servers <<<"$ZOOKEEPERS"
{
    printf '%s\n' tickTime=2000 initLimit=10 syncLimit=5 dataDir=/var/lib/zookeeper-drill clientPort=2181 \
        admin.enableServer=false '4lw.commands.whitelist=*' maxClientCnxns=0
    # One alone is not a quorum of one, but a standalone server.
    if [ ${#servers[@]} -gt 1 ]; then
        for index in "${!servers[@]}"; do echo "server.$((index + 1))=${servers[$index]}:2888:3888"; done
    fi
} >/etc/primacy-drill/zoo.cfg
cat >/etc/systemd/system/drill-zookeeper.service <<'END'
[Unit]
Description=ZooKeeper
After=network-online.target
[Service]
# The serial collector and the first compiler alone: a small machine starts much sooner.
ExecStart=/usr/bin/java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xshare:auto \
    -cp /etc/zookeeper/conf:/usr/share/java/zookeeper.jar org.apache.zookeeper.server.quorum.QuorumPeerMain \
    /etc/primacy-drill/zoo.cfg
SuccessExitStatus=143
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
END
systemctl daemon-reload
systemctl enable --quiet drill-zookeeper
systemctl restart drill-zookeeper

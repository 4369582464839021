# Nothing is started, stopped or restarted: an installed candidate is started when its configuration is written, and a running
# one keeps its coordinator over an upgrade of the package.
# A configuration that is there stays.
[ -e /etc/primacy/primacy.toml ] || install -D -m 644 /usr/share/primacy/primacy.toml /etc/primacy/primacy.toml || :
if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers primacy.conf || :
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    if [ "$1" -gt 1 ] && systemctl --quiet is-active primacy.service; then
        echo "primacy runs on as it was, with its coordinator. Another program is taken up by 'primacy upgrade', or by a restart."
    fi
fi

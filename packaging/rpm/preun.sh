# Only a removal stops it: in order, with its coordinator.
if [ "$1" -eq 0 ] && [ -d /run/systemd/system ]; then
    systemctl --no-reload disable --now primacy.service || :
fi

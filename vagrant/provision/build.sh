#!/bin/bash
# primacy and the drill's coordinator, built by cargo here (PRIMACY_BUILD=guest). Debian 12's own Rust is too old.
set -euo pipefail
[ -e /tmp/primacy-stage.tar ] || { echo "no stage.tar: run vagrant/stage first" >&2; exit 1; }
apt-get -q update
DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install build-essential ca-certificates curl
command -v /root/.cargo/bin/cargo >/dev/null || curl -sSf https://sh.rustup.rs | sh -s -- -q -y --profile minimal --default-toolchain none
mkdir -p /var/cache/primacy/source /run/stage
tar -C /run/stage -xf /tmp/primacy-stage.tar
tar -C /var/cache/primacy/source -xzf /run/stage/source.tar.gz
cd /var/cache/primacy/source
# rust-toolchain.toml names the toolchain; rustup fetches it.
/root/.cargo/bin/cargo build --release --locked -p primacy -p primacy-vm-drill --bin primacy --bin vm-guest
install -m 755 target/release/primacy target/release/vm-guest /usr/bin/

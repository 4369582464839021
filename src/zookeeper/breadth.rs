//! Whether a connection carries more than small packets. Where something on the way drops large ones and nobody is told (a
//! path MTU that is not found out), pings and heartbeats go on and the first list of a larger cluster hangs: a standby that
//! looks ready would fail at the moment at which it is needed.

use zookeeper_client::Client;

use crate::moment::in_words;

/// More than an Ethernet frame of 1,500 bytes holds, twice over.
const LENGTH: usize = 4096;

/// How often a connection that lasts is tried again, in sessions: routes change.
pub const SESSIONS: u32 = 6;

/// One exchange that is large both ways: a server answers `sync` with its path, which need not exist.
pub async fn exchange(client: &Client) -> bool {
    let path = format!("/{}", "-".repeat(LENGTH));
    client.sync(&path).await.is_ok()
}

/// As [`exchange`]; an error says what is wrong. Waits for a third of the session: the client crate breaks a connection on
/// which it has heard nothing for two fifths, and then nobody could tell one reason from another.
pub async fn prove(client: &Client) -> Result<(), String> {
    let within = client.session_timeout() / 3;
    match tokio::time::timeout(within, exchange(client)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err("the connection broke at the first large packet".to_owned()),
        Err(_) => Err(format!(
            "ZooKeeper answers small packets, but none of {LENGTH} bytes (waited {}): something on the way drops large \
             ones; compare the MTU along the path",
            in_words(within)
        )),
    }
}

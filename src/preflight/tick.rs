//! The servers' tick, as a server itself tells it: the word `conf`, where `4lw.commands.whitelist` permits it. A grant betrays another
//! tick only where it bumps into a limit; this is exact.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// For all of it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes; an answer has about five hundred.
const LONGEST: u64 = 16 * 1024;

/// `None` where the server does not say.
pub async fn told(address: SocketAddr) -> Option<Duration> {
    timeout(PATIENCE, ask(address)).await.ok().flatten()
}

async fn ask(address: SocketAddr) -> Option<Duration> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream.write_all(b"conf").await.ok()?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await.ok()?;
    tick_in(&String::from_utf8_lossy(&answer))
}

fn tick_in(answer: &str) -> Option<Duration> {
    let tick = answer.lines().find_map(|line| line.trim().strip_prefix("tickTime="))?;
    tick.parse().ok().filter(|tick| *tick > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_read_where_the_server_tells_it() {
        let answer = "clientPort=2181\ndataDir=/var/lib/zookeeper/version-2\ntickTime=2000\nmaxClientCnxns=60\n";
        assert_eq!(tick_in(answer), Some(Duration::from_secs(2)));
        for answer in ["", "conf is not executed because it is not in the whitelist.\n", "tickTime=0", "tickTime=soon"]
        {
            assert_eq!(tick_in(answer), None, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_or_is_not_there_tells_nothing() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (answer, _) = tokio::join!(told(address), async { drop(listener.accept().await) });
        assert_eq!(answer, None);
        drop(listener);
        assert_eq!(told(address).await, None);
    }
}

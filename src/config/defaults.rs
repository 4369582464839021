//! What applies where the file says nothing. Every number with its unit and its origin.
//!
//! "Published" means: part of the documented interface, so that a change is a breaking one.

use std::time::Duration;

/// Where the configuration is looked for without `-c` and `PRIMACY_CONFIG`.
pub const CONFIG_FILE: &str = "/etc/primacy/primacy.toml";

/// A label only. Published.
pub const ENVIRONMENT: &str = "production";

/// Published.
pub const ZOOKEEPER_ROOT: &str = "/primacy";
/// Asked for. Five default ticks: a restart of one ZooKeeper server fits in, and a dead host is replaced after 10 to
/// 12 s (measured: 9.7–11.8 s). Published.
pub const SESSION_TIMEOUT: Duration = Duration::from_secs(10);
/// What fits into the 31 bits of ZooKeeper's protocol. Beyond them its client would ask for a negative time.
pub const LONGEST_SESSION: Duration = Duration::from_millis(i32::MAX as u64);
/// `tickTime` in the configuration that ZooKeeper ships. Published.
pub const TICK_TIME: Duration = Duration::from_secs(2);
/// One heartbeat in so many parts of the session: 1 s of 10 s. Published.
pub const HEARTBEATS_PER_SESSION: u32 = 10;
/// For what the arithmetic cannot see: scheduling, the kill itself. Measured kills of a tree take milliseconds; half a
/// second is two orders above. Published.
pub const MARGIN: Duration = Duration::from_millis(500);

/// One small write and fsync on the volume. Published.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Above the stalls of an NFS server's restart that the lock survives (measured: 3–7 s, most of them below 5 s).
/// Published.
pub const PROBE_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes. Published.
pub const MIN_FREE_SPACE: u64 = 100 << 20;

/// Published.
pub const STOP_SIGNAL: &str = "SIGTERM";
/// What `bin/dremio stop` waits before it kills. Published.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(120);
/// None: another node with a warm machine starts as fast as this one. Published.
pub const RESTARTS_MAX: u32 = 0;
/// Published.
pub const RESTARTS_WITHIN: Duration = Duration::from_secs(600);
/// Published.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Published.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Published.
pub const BACKOFF_RESET: Duration = Duration::from_secs(600);

/// A large catalogue takes minutes to open. Published.
pub const HEALTH_STARTUP_TIMEOUT: Duration = Duration::from_secs(600);
/// Published.
pub const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// Published.
pub const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);
/// In a row. Published.
pub const HEALTH_FAILURES: u32 = 3;

/// Two rounds of a load balancer that checks every 5 s. Published.
pub const DRAIN_GRACE_PERIOD: Duration = Duration::from_secs(10);
/// Longer than a fail-over by a session's end and the coordinator's start, as a rule.
pub const NO_LEADER_AFTER: Duration = Duration::from_secs(60);
/// Published.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(600);

/// Published.
pub const FENCING_TIMEOUT: Duration = Duration::from_secs(30);
/// Published.
pub const WATCHDOG_DEVICE: &str = "/dev/watchdog";

/// Published.
pub const PRIORITY: u32 = 100;

/// Where packages keep what a service writes. Published.
pub const RECORDER_DIRECTORY: &str = "/var/lib/primacy/recorder";
/// Some four days of an idle cluster, or a thousand fail-overs. Published.
pub const RECORDER_LIMIT: u64 = 64 << 20;
/// A fail-over has to fit in with what led to it, in bytes.
pub const RECORDER_LEAST: u64 = 1 << 20;

/// All interfaces: load balancers and the other members ask here. Published.
pub const API_LISTEN: &str = "0.0.0.0:9090";

/// No duration may be longer: sums of any few of them stay far from overflow on every clock.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Of `standby.warm`, in bytes: a Java machine with a coordinator's libraries is some 500 MB. Published.
pub const WARM_LIMIT: u64 = 1 << 30;

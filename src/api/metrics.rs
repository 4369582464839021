//! `/metrics`: Prometheus' text format, version 0.0.4.
//!
//! Everything is derived at the scrape from the snapshot, so there is no registry to keep in step; what is unknown has
//! no sample, but its name is always declared.

use std::fmt::Write as _;

use crate::api::process::Tree;
use crate::api::snapshot_at::SnapshotAt;
use crate::output;
use crate::status::{BUCKETS, ContactWord, Histogram, Role};

pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of this node.
pub fn encode(seen: &SnapshotAt, tree: Option<Tree>) -> String {
    let server = seen.server();
    let metrics = &seen.snapshot.metrics;
    let mut page = Page { text: String::with_capacity(8 * 1024), cluster: &server.cluster, node: &server.node };
    let flag = |value: bool| if value { 1.0 } else { 0.0 };

    page.family("primacy_role", "gauge", "1 for the role that this node has, else 0.");
    for role in Role::ALL {
        page.sample("primacy_role", &[("role", role.as_str())], flag(server.role == role));
    }
    page.gauge("primacy_active", "1 while this node leads with a valid lease.", Some(flag(seen.leads())));
    page.gauge("primacy_epoch", "This node's epoch, else the last one it knows of.", server.epoch.map(|e| e as f64));
    page.gauge("primacy_coordinator_up", "1 while a coordinator runs.", Some(flag(server.coordinator.pid.is_some())));
    page.gauge("primacy_coordinator_ready", "1 while it is ready.", Some(flag(server.coordinator.ready)));
    let left = seen.lease_remaining().unwrap_or_default().as_secs_f64();
    page.gauge("primacy_lease_remaining_seconds", "What is left of the lease; 0 without one.", Some(left));
    let connected = server.zookeeper.state.map(|state| flag(state == ContactWord::Connected && seen.alive()));
    page.gauge("primacy_zookeeper_connected", "1 while connected; absent without ZooKeeper.", connected);
    page.family("primacy_heartbeat_seconds", "histogram", "From sending a heartbeat to its acknowledgement.");
    page.histogram("primacy_heartbeat_seconds", &[], &metrics.heartbeat_seconds);
    page.gauge("primacy_lock_held", "1 while this node's guardian holds the lock.", Some(flag(server.lock.held)));
    page.family("primacy_lock_probe_seconds", "histogram", "How long a write and fsync through the lock took.");
    page.histogram("primacy_lock_probe_seconds", &[], &metrics.lock_probe_seconds);
    page.family(
        "primacy_kill_seconds",
        "histogram",
        "From ordering SIGKILL to the proof that nothing of the tree lives.",
    );
    page.histogram("primacy_kill_seconds", &[], &metrics.kill_seconds);
    page.family("primacy_transitions_total", "counter", "Changes of the role.");
    for ((from, to, cause), count) in &metrics.transitions {
        let labels = [("from", from.as_str()), ("to", to.as_str()), ("cause", cause.as_str())];
        page.sample("primacy_transitions_total", &labels, *count as f64);
    }
    page.family("primacy_failover_gap_seconds", "histogram", "From a coordinator's end to its successor's readiness.");
    for (cause, histogram) in &metrics.failover_gap_seconds {
        page.histogram("primacy_failover_gap_seconds", &[("cause", cause.as_str())], histogram);
    }
    let restarts = Some(metrics.coordinator_restarts as f64);
    page.counter("primacy_coordinator_restarts_total", "Local restarts of the coordinator.", restarts);
    let holds = server.coordinator.holds_lock.map(flag);
    page.gauge(
        "primacy_coordinator_holds_lock",
        "1 while every process of it has the lock's descriptor; absent without one.",
        holds,
    );
    let armed = (server.watchdog.mode != "off").then(|| flag(server.watchdog.armed));
    page.gauge("primacy_watchdog_armed", "1 while the watchdog is armed; absent where none is configured.", armed);
    let free = metrics.volume_free_bytes.map(|bytes| bytes as f64);
    page.gauge("primacy_volume_free_bytes", "Free space on the shared volume.", free);
    let cpu = tree.map(|tree| tree.cpu_seconds);
    page.counter("primacy_coordinator_cpu_seconds_total", "CPU time of the coordinator's processes.", cpu);
    let resident = tree.map(|tree| tree.resident_bytes as f64);
    page.gauge("primacy_coordinator_resident_bytes", "Resident memory of the coordinator's processes.", resident);
    let dropped = Some(output::dropped_lines() as f64);
    page.counter("primacy_log_lines_dropped_total", "Log lines that standard error did not take.", dropped);
    page.gauge("primacy_paused", "1 while the cluster is paused.", Some(flag(server.paused)));
    page.family("primacy_build_info", "gauge", "Always 1; the version is in the label.");
    page.sample("primacy_build_info", &[("version", &server.version)], 1.0);
    page.text
}

struct Page<'a> {
    text: String,
    cluster: &'a str,
    node: &'a str,
}

impl Page<'_> {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        push(&mut self.text, format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn gauge(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.single(name, "gauge", help, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: Option<f64>) {
        self.single(name, "counter", help, value);
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: Option<f64>) {
        self.family(name, kind, help);
        if let Some(value) = value {
            self.sample(name, &[], value);
        }
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let (cluster, node) = (escape(self.cluster), escape(self.node));
        push(&mut self.text, format_args!("{name}{{cluster=\"{cluster}\",node=\"{node}\""));
        for (label, text) in labels {
            push(&mut self.text, format_args!(",{label}=\"{}\"", escape(text)));
        }
        push(&mut self.text, format_args!("}} {value}\n"));
    }

    fn histogram(&mut self, name: &str, labels: &[(&str, &str)], histogram: &Histogram) {
        let mut below = 0;
        let bounds = BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(histogram.counts) {
            below += count;
            let labels: Vec<_> = labels.iter().copied().chain([("le", bound.as_str())]).collect();
            self.sample(&format!("{name}_bucket"), &labels, below as f64);
        }
        self.sample(&format!("{name}_sum"), labels, histogram.sum);
        self.sample(&format!("{name}_count"), labels, below as f64);
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes any text");
}

/// A label's value: backslash, quote and line feed are escaped, as the format demands.
fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

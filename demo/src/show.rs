//! The show itself: start, break, tell, and the table at the end.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use testbed::clock;

use crate::cluster::Cluster;
use crate::faults::{Fault, Outcome};
use crate::problem::Problem;
use crate::running::{PERIOD, overlap};
use crate::screen::Style;

/// How long a cluster may take to have one active and one standby: starts, back-off after a crash, a slow machine.
const SETTLE_LIMIT: Duration = Duration::from_secs(60);
/// Time to read what comes next, and for the cluster to be quiet.
const BREATH: Duration = Duration::from_millis(700);

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Leave the cluster up after the faults, until Ctrl-C.
    pub keep: bool,
    /// With ZooKeeper, or with `election = "lock"`.
    pub zookeeper: bool,
    /// Which faults to make, in this order.
    pub faults: Vec<Fault>,
    /// The program whose `run` is shown; by default the one beside this one.
    pub binary: Option<PathBuf>,
}

/// The program that is shown: it lies beside this one.
fn primacy() -> Result<PathBuf, Problem> {
    let itself = std::env::current_exe().map_err(Problem::io("this program's own path"))?;
    let primacy = itself.with_file_name("primacy");
    if primacy.exists() {
        return Ok(primacy);
    }
    Err(Problem::Failed(format!(
        "no {} here. Build it: cargo build --bin primacy; or take ./scripts/demo",
        primacy.display()
    )))
}

/// Runs the demo; true if no two coordinators ever ran and each fault was recovered from.
pub fn run(options: &Options) -> Result<bool, Problem> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // A second one ends the demo at once; the kernel then kills its children.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(&interrupted))
            .and_then(|_| signal_hook::flag::register(signal, Arc::clone(&interrupted)))
            .map_err(Problem::io("signal handler"))?;
    }
    let binary = options.binary.clone().map_or_else(primacy, Ok)?;
    let mut cluster = Cluster::new(binary, options.zookeeper, interrupted)?;
    introduce(&mut cluster, options)?;

    let faults: Vec<Fault> =
        options.faults.iter().copied().filter(|fault| options.zookeeper || !fault.needs_zookeeper()).collect();
    let mut outcomes = Vec::new();
    let ended = make_all(&mut cluster, &faults, options.zookeeper, &mut outcomes);
    if matches!(ended, Err(Problem::Interrupted)) {
        return Err(Problem::Interrupted);
    }
    let two = overlap(&cluster.log);
    let good = two.is_zero() && outcomes.iter().all(Outcome::is_good);
    if !(faults.is_empty() && two.is_zero()) {
        conclude(&mut cluster, &outcomes, two);
    }
    ended?;
    if options.keep {
        keep(&mut cluster)?;
    } else {
        cluster.screen.line(&cluster.screen.paint(Style::Quiet, "Clearing up."));
    }
    Ok(good)
}

/// All faults, one after the other; what came of those that were made is in `outcomes`, also after an error.
fn make_all(
    cluster: &mut Cluster,
    faults: &[Fault],
    zookeeper: bool,
    outcomes: &mut Vec<Outcome>,
) -> Result<(), Problem> {
    for (index, fault) in faults.iter().enumerate() {
        outcomes.push(one(cluster, index + 1, *fault, zookeeper)?);
        settle(cluster)?;
    }
    Ok(())
}

fn introduce(cluster: &mut Cluster, options: &Options) -> Result<(), Problem> {
    let judge =
        if options.zookeeper { "elected through ZooKeeper (session 4 s)" } else { "elected by the shared lock alone" };
    cluster.screen.line(&format!("Starting two candidates, node-a and node-b, {judge} …"));
    for index in 0..cluster.nodes.len() {
        cluster.start(index)?;
    }
    settle(cluster)?;
    let pages: Vec<String> = cluster.nodes.iter().map(|node| format!("{} http://{}/", node.name, node.web)).collect();
    cluster.screen.line(&format!("   The coordinator's page, on whichever node runs it: {}", pages.join(", ")));
    Ok(())
}

/// Waits until a fault may come.
fn settle(cluster: &mut Cluster) -> Result<(), Problem> {
    let since = clock::now();
    let two = |cluster: &Cluster| overlap(&cluster.log);
    cluster.until(SETTLE_LIMIT, "there was not one active and one standby node", |cluster| {
        cluster.is_settled(since) || !two(cluster).is_zero()
    })?;
    if !two(cluster).is_zero() {
        return Err(Problem::Failed(format!("two coordinators ran at once, for {}", milliseconds(two(cluster)))));
    }
    cluster.pass(BREATH)
}

/// One fault, from the announcement to its verdict.
fn one(cluster: &mut Cluster, number: usize, fault: Fault, zookeeper: bool) -> Result<Outcome, Problem> {
    let active = cluster.the_one().map_or("nobody", |(index, _)| cluster.nodes[index].name);
    let (what, why) = fault.story(zookeeper);
    let title = format!("\n{number}. {}", capital(fault.title()));
    cluster.screen.line(&cluster.screen.paint(Style::Title, &title));
    cluster.screen.line(&format!("   {}", what.replace("{}", active)));
    cluster.screen.line(&format!("   {why}"));
    cluster.pass(BREATH)?;
    let outcome = fault.perform(cluster)?;
    let gap =
        outcome.gap.map_or("nobody took over".to_owned(), |gap| format!("{} without a coordinator", milliseconds(gap)));
    let two = if outcome.overlap.is_zero() {
        "at no time two".to_owned()
    } else {
        format!("TWO AT ONCE for {}", milliseconds(outcome.overlap))
    };
    let style = if outcome.is_good() { Style::Good } else { Style::Bad };
    cluster.screen.line(&cluster.screen.paint(style, &format!("   => {gap}, {two}")));
    Ok(outcome)
}

fn conclude(cluster: &mut Cluster, outcomes: &[Outcome], two: Duration) {
    let head = format!("\n   {:<30} {:>12} {:>12}   {}", "fault", "nobody ran", "two ran", "from -> to");
    cluster.screen.line(&cluster.screen.paint(Style::Title, &head));
    for outcome in outcomes {
        let row = format!(
            "   {:<30} {:>12} {:>12}   {} -> {}",
            outcome.fault.title(),
            outcome.gap.map_or("for ever".to_owned(), milliseconds),
            milliseconds(outcome.overlap),
            outcome.from,
            outcome.to.as_deref().unwrap_or("nobody")
        );
        let row = if outcome.is_good() { row } else { cluster.screen.paint(Style::Bad, &row) };
        cluster.screen.line(&row);
    }
    let runs = cluster.log.runs().len();
    let (style, verdict) = match (two.is_zero(), outcomes.iter().all(Outcome::is_good)) {
        (true, true) => {
            (Style::Good, format!("{runs} coordinators ran, never two at once; after each fault one ran again."))
        }
        (true, false) => (Style::Bad, "Never two at once, but a fault was not recovered from.".to_owned()),
        (false, _) => {
            let text = "Two coordinators ran at once, for {}. That must never happen: please report it.";
            (Style::Bad, text.replace("{}", &milliseconds(two)))
        }
    };
    cluster.screen.line("");
    cluster.screen.line(&cluster.screen.paint(style, &format!("   {verdict}")));
    if runs > outcomes.len() + 1 {
        let text = "   More of them than faults: the role also moved without need.";
        cluster.screen.line(&cluster.screen.paint(Style::Bad, text));
    }
    let source = format!("   (Read from the coordinators' own log, a line every {} ms.)", PERIOD.as_millis());
    cluster.screen.line(&cluster.screen.paint(Style::Quiet, &source));
}

/// Leaves the cluster to the user until Ctrl-C.
fn keep(cluster: &mut Cluster) -> Result<(), Problem> {
    let apis: Vec<&str> = cluster.nodes.iter().map(|node| node.api.as_str()).collect();
    let apis = apis.join(",");
    let program = primacy()?.display().to_string();
    let mut lines = vec![
        "\nThe cluster stays up until Ctrl-C. To try from another terminal:".to_owned(),
        format!("   {program} status --api {apis} -w"),
        format!("   {program} which-active --api {apis}"),
        format!("   {program} history --api {apis}"),
    ];
    for node in &cluster.nodes {
        let (name, api, web) = (node.name, &node.api, node.web);
        lines.push(format!("   {name}: curl -i {api}/server_status   its coordinator's page: http://{web}/"));
        if let Some(pid) = node.pid() {
            lines.push(format!("     its supervisor: kill -9 {pid} ; kill -STOP {pid} ; kill -CONT {pid}"));
        }
    }
    lines.push(format!("   Configuration, logs and the shared folder: {}", cluster.folder.display()));
    lines.push("   A supervisor that ends is started again, as by systemd.".to_owned());
    for line in lines {
        cluster.screen.line(&line);
    }
    loop {
        match cluster.step() {
            Err(Problem::Interrupted) => return Ok(()),
            other => other?,
        }
    }
}

fn milliseconds(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

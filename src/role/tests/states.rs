//! docs/reference/states.md is generated from the exploration.

use std::fmt::Write;
use std::path::Path;

use super::table;
use crate::role::{Cause, End, Role};

const COMMAND: &str = "PRIMACY_REGENERATE=1 cargo test --lib role::tests::states";

const ROLES: &[(Role, &str)] = &[
    (Role::Standby, "Runs no coordinator. Stands in the queue if it can take over."),
    (Role::Promoting, "Elected: gets the lock, fences the former active, takes the epoch, starts its coordinator."),
    (Role::Active, "Its coordinator runs and is ready."),
    (
        Role::Demoting,
        "Ends its leadership in order: stops its coordinator, clears what a crash has left, or takes back a promotion.",
    ),
    (Role::Fencing, "Kills its coordinator: leadership is lost, or patience has run out."),
];

const CAUSES: &[(Cause, &str)] = &[
    (Cause::Elected, "First in the queue, proven in ZooKeeper."),
    (Cause::AlwaysOn, "With `mode = \"always-on\"`: it runs on every host, and there was nothing to be elected to."),
    (Cause::Ready, "The coordinator runs and its probe, if there is one, says that it is ready."),
    (Cause::Restarting, "The coordinator ended and is started again here, under the same epoch."),
    (Cause::Ended(End::Stopped), "Asked for by a person or the service manager."),
    (Cause::Ended(End::Isolated), "Somebody wants this node not to lead."),
    (Cause::Ended(End::Switchover), "Somebody wants another node to lead."),
    (Cause::Ended(End::CoordinatorExited), "The coordinator ended and no local restart is left."),
    (Cause::Ended(End::CoordinatorUnhealthy), "The health probe failed too often."),
    (Cause::Ended(End::StartFailed), "A step on the way up failed or took too long."),
    (Cause::Ended(End::SupervisorLost), "The guardian died or fell silent."),
    (Cause::Ended(End::LeaseExpired), "No heartbeat was acknowledged in time."),
    (Cause::Ended(End::SessionExpired), "ZooKeeper has ended the session."),
    (Cause::Ended(End::VolumeLost), "The lock or the volume failed under the coordinator."),
    (Cause::Ended(End::ElectionNodeDeleted), "The election node was deleted, or somebody took a later epoch."),
];

fn document() -> String {
    let edges = table::edges(&table::explore());
    let mut text = String::from("# Roles and how they change\n\n");
    let _ = writeln!(text, "<!-- Generated from the core. Do not edit: {COMMAND} -->\n");
    text.push_str("A node plays one of five roles. What it does in them, step by step, is in\n");
    text.push_str("`src/role/tests/snapshots/`, the table of every stage and every event.\n\n");
    text.push_str("| role | what the node does |\n|---|---|\n");
    for (role, meaning) in ROLES {
        let _ = writeln!(text, "| `{}` | {meaning} |", role.as_str());
    }
    text.push_str("\n```mermaid\nstateDiagram-v2\n    [*] --> standby\n");
    for (from, to) in edges.keys() {
        let _ = writeln!(text, "    {} --> {}", from.as_str(), to.as_str());
    }
    text.push_str("```\n\n| from | to | causes |\n|---|---|---|\n");
    for ((from, to), causes) in &edges {
        let causes: Vec<String> = causes.iter().map(|cause| format!("`{cause}`")).collect();
        let _ = writeln!(text, "| `{}` | `{}` | {} |", from.as_str(), to.as_str(), causes.join(", "));
    }
    text.push_str("\n| cause | meaning | the coordinator is | the node then |\n|---|---|---|---|\n");
    for (cause, meaning) in CAUSES {
        let (how, then) = match cause {
            Cause::Ended(end) => (
                match end {
                    End::CoordinatorExited => "gone; what it left is killed",
                    End::SupervisorLost => "killed",
                    end if end.is_loss() => "killed",
                    _ => "stopped",
                },
                match end {
                    End::Stopped => "exits with 0",
                    End::Isolated => "stands again once it is activated",
                    End::Switchover => "stands again, behind those who wait",
                    end if end.backs_off() => "backs off, then stands again",
                    _ => "exits with 3 if it killed a coordinator, else stands again",
                },
            ),
            Cause::Elected | Cause::AlwaysOn | Cause::Ready | Cause::Restarting => ("-", "-"),
        };
        let _ = writeln!(text, "| `{}` | {meaning} | {how} | {then} |", cause.as_str());
    }
    text.push_str(
        "\nThe first cause counts: a coordinator that was being stopped is killed when leadership is lost meanwhile.\n",
    );
    text.push_str(
        "With `fencing.after_loss = \"rejoin\"` a node that killed its coordinator stands again instead of exiting.\n",
    );
    text
}

#[test]
fn the_reference_of_states_is_up_to_date() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference/states.md");
    let wanted = document();
    if std::env::var_os("PRIMACY_REGENERATE").is_some() {
        std::fs::write(&path, &wanted).expect("docs/reference can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == wanted, "docs/reference/states.md is out of date; regenerate it with: {COMMAND}");
}

#[test]
fn every_edge_that_is_legal_is_also_taken() {
    let taken = table::edges(&table::explore());
    let roles = [Role::Standby, Role::Promoting, Role::Active, Role::Demoting, Role::Fencing];
    for from in roles {
        for to in roles {
            let legal = crate::role::machine::legal(from, to);
            assert_eq!(legal, taken.contains_key(&(from, to)), "{} -> {}", from.as_str(), to.as_str());
        }
    }
}

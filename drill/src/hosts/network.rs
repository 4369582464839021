//! The network of a lab: a switch in a namespace of its own, and what stops packets at a host.
//!
//! Nothing of it is in the machine's own namespace, so all labs use the same addresses and none can be seen from outside.
//! Packets are dropped by nftables in the host's namespace, both ways separately: connections stall, as they do when a
//! cable is pulled, instead of being closed, as they are when a process ends.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::Direction;

/// The table that the drill makes in a host's namespace.
const TABLE: &str = "drill";

/// A network namespace, bound to a file.
#[derive(Clone, Debug)]
pub struct Net {
    /// The file.
    pub path: PathBuf,
}

impl Net {
    /// Makes one with nothing but a loopback.
    pub fn new(directory: &Path, name: &str) -> Result<Self> {
        let path = directory.join(name);
        std::fs::write(&path, "").with_context(|| format!("cannot make {}", path.display()))?;
        let mut unshare = Command::new("unshare");
        finish(unshare.arg(format!("--net={}", path.display())).args(["ip", "link", "set", "lo", "up"]))?;
        Ok(Self { path })
    }

    /// A command inside.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.path.display())).arg(program);
        command
    }

    /// Lines for `ip -batch`.
    pub fn ip(&self, lines: &str) -> Result<()> {
        feed(self.command("ip").args(["-batch", "-"]), lines)
    }

    /// Takes the name away; it ends with its last process.
    pub fn remove(&self) -> Result<()> {
        nix::mount::umount2(&self.path, nix::mount::MntFlags::MNT_DETACH).context("cannot let go of a network")?;
        std::fs::remove_file(&self.path).context("cannot remove a network's file")
    }

    /// Replaces all rules by these; each is (chain, rule), chains are `input` and `output`.
    pub fn rules(&self, rules: &[(&str, String)]) -> Result<()> {
        // The first line makes the second succeed in any case.
        let mut text = format!("table inet {TABLE}\ndelete table inet {TABLE}\n");
        if !rules.is_empty() {
            let _ = writeln!(text, "table inet {TABLE} {{");
            for chain in ["input", "output"] {
                let _ = writeln!(text, "chain {chain} {{ type filter hook {chain} priority 0; policy accept;");
                for (_, rule) in rules.iter().filter(|(of, _)| *of == chain) {
                    let _ = writeln!(text, "{rule}");
                }
                text.push_str("}\n");
            }
            text.push_str("}\n");
        }
        feed(self.command("nft").args(["-f", "-"]), &text)
    }
}

/// The rules that drop what comes from or goes to `peers` (everybody, if empty).
pub fn cut(peers: &[Ipv4Addr], direction: Direction) -> Vec<(&'static str, String)> {
    let set = peers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let rule = |field: &str, lo: &str| {
        if peers.is_empty() { format!("{lo} != \"lo\" drop") } else { format!("ip {field} {{ {set} }} drop") }
    };
    let inward = ("input", rule("saddr", "iifname"));
    let outward = ("output", rule("daddr", "oifname"));
    match direction {
        Direction::Both => vec![inward, outward],
        Direction::In => vec![inward],
        Direction::Out => vec![outward],
    }
}

/// Runs a command, and makes its failure an error with its own words.
pub fn finish(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{:?} failed: {}",
        command,
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr }).trim()
    );
    Ok(())
}

fn feed(command: &mut Command, text: &str) -> Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    child.stdin.take().context("no standard input")?.write_all(text.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{command:?} refused {text:?}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The lab's switch, with an address for the runner itself.
#[derive(Debug)]
pub struct Switch {
    net: Net,
    directory: PathBuf,
}

impl Switch {
    /// In `directory`, which must be on a private mount.
    pub fn new(directory: &Path, address: Ipv4Addr) -> Result<Self> {
        std::fs::create_dir_all(directory)?;
        let net = Net::new(directory, "switch")?;
        net.ip(&format!("link add switch type bridge\naddr add {address}/24 dev switch\nlink set switch up\n"))?;
        Ok(Self { net, directory: directory.to_owned() })
    }

    /// This thread, and all that it starts from here on, speaks from the switch.
    pub fn enter(&self) -> Result<()> {
        enter(&self.net.path)
    }

    /// A namespace with a cable to the switch.
    pub fn connect(&self, name: &str, address: Ipv4Addr) -> Result<Net> {
        let net = Net::new(&self.directory, name)?;
        let path = net.path.display();
        self.net.ip(&format!(
            "link add {name} type veth peer name eth0 netns {path}\nlink set {name} master switch up\n"
        ))?;
        net.ip(&format!("addr add {address}/24 dev eth0\nlink set eth0 up\n"))?;
        Ok(net)
    }

    /// Pulls the cable out for good.
    pub fn disconnect(&self, name: &str) -> Result<()> {
        self.net.ip(&format!("link del {name}\n"))
    }
}

/// Moves this thread into a network.
pub fn enter(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).context("cannot enter a network")
}

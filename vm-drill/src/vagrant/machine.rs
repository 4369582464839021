//! One of Vagrant's machines: services by systemd, power and cables by `vagrant/machine`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::shell::Shell;
use crate::clock;
use crate::cluster::{API_PORT, MOUNT_POINT};
use crate::host::{self, Answer, Order, Service, Stop};
use crate::network::Network;

/// Until somebody can log in. Emulated, on two busy cores, machines took up to a minute.
const BOOT: Duration = Duration::from_secs(240);
/// For a service to start or stop, or an orderly shutdown.
const ORDER: Duration = Duration::from_secs(180);
/// A new connection is made this often while a machine boots.
const TRY: Duration = Duration::from_secs(30);

pub struct Machine {
    name: String,
    number: u8,
    /// `vagrant/machine`.
    script: PathBuf,
    shell: Shell,
    /// What Vagrant reaches it by: its own, or this host's where VirtualBox forwards ports.
    reach: Ipv4Addr,
    gateway: OnceLock<Ipv4Addr>,
}

impl Machine {
    pub fn new(name: &str, number: u8, reach: Ipv4Addr, script: &Path, shell: Shell) -> Self {
        let gateway = OnceLock::new();
        Self { name: name.to_owned(), number, script: script.to_owned(), shell, reach, gateway }
    }

    fn outside(&self, action: &str, more: &[&str]) -> Result<String> {
        outside(&self.script, &[&[action, &self.name], more].concat())
    }

    pub fn must(&self, command: &str, limit: Duration) -> Result<String> {
        let answer = self.shell.run(command, limit)?;
        ensure!(answer.succeeded(), "`{command}` ended with {}: {}", answer.code, answer.text);
        Ok(answer.text)
    }

    /// By ourselves: what counts from a thaw is over in less time than a script takes to start.
    fn signal(&self, signal: Signal, action: &str) -> Result<()> {
        match host::Machine::pid(self) {
            Some(pid) => Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?),
            None => self.outside(action, &[]).map(drop),
        }
    }

    fn unit(&self, unit: &str, order: Order, options: &str) -> Result<()> {
        let verb = if order == Order::Start { "start" } else { "stop" };
        self.must(&format!("systemctl {verb} {options} {unit}"), ORDER).map(drop)
    }
}

/// What `vagrant/machine` says.
pub fn outside(script: &Path, arguments: &[&str]) -> Result<String> {
    let output = Command::new(script).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| script.display().to_string())?;
    ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

impl host::Machine for Machine {
    fn run(&self, command: &str, limit: Duration) -> Result<Answer> {
        self.shell.run(command, limit)
    }

    fn service(&self, service: Service, order: Order) -> Result<()> {
        match (service, order) {
            // Ready only once ZooKeeper has been reached, which a drill may have cut.
            (Service::Primacy, Order::Start) => self.unit("primacy", order, "--no-block"),
            (Service::Primacy, Order::Stop) => self.unit("primacy", order, ""),
            (Service::Volume, Order::Start) => self.unit("mnt-metadata.mount", order, ""),
            (Service::Volume, Order::Stop) => self.must(&format!("umount {MOUNT_POINT}"), ORDER).map(drop),
            (Service::Nfs, _) => self.unit("nfs-server", order, ""),
        }
    }

    fn supervisor_log(&self) -> Result<String> {
        self.must("journalctl -u primacy -o cat --no-pager", ORDER)
    }

    fn address(&self) -> Ipv4Addr {
        Network::Nfs.address(self.number)
    }

    fn api(&self) -> SocketAddr {
        // As the Vagrantfile forwards it.
        let port = if self.reach.is_loopback() { 19_000 + u16::from(self.number) } else { API_PORT };
        SocketAddr::new(IpAddr::V4(self.reach), port)
    }

    fn drill(&self) -> Result<Ipv4Addr> {
        if let Some(known) = self.gateway.get() {
            return Ok(*known);
        }
        let said = self.must("ip -4 route show default | awk '{ print $3; exit }'", ORDER)?;
        let gateway = said.parse().with_context(|| format!("no default route: {said}"))?;
        Ok(*self.gateway.get_or_init(|| gateway))
    }

    fn is_on(&self) -> bool {
        self.outside("state", &[]).is_ok_and(|state| state != "shut off")
    }

    fn power_on(&mut self) -> Result<()> {
        self.shell.forget();
        self.outside("power-on", &[]).map(drop)
    }

    fn wait(&mut self) -> Result<()> {
        let until = clock::now() + BOOT;
        while let Err(error) = self.must("true", TRY) {
            ensure!(clock::now() < until, "it has not come up within {BOOT:?}: {error:#}");
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn power_off(&mut self) -> Result<()> {
        self.shell.forget();
        if self.is_on() { self.outside("power-off", &[]).map(drop) } else { Ok(()) }
    }

    fn shut_down(&mut self) -> Result<()> {
        self.must("systemctl poweroff --no-block", ORDER)?;
        let until = clock::now() + ORDER;
        while self.is_on() {
            ensure!(clock::now() < until, "it does not switch itself off");
            std::thread::sleep(Duration::from_millis(200));
        }
        self.shell.forget();
        Ok(())
    }

    fn stop(&mut self, how: Stop) -> Result<()> {
        match how {
            Stop::Freeze => self.signal(Signal::SIGSTOP, "freeze"),
            Stop::Pause => self.outside("pause", &[]).map(drop),
        }
    }

    fn go(&mut self, how: Stop) -> Result<()> {
        match how {
            Stop::Freeze => self.signal(Signal::SIGCONT, "thaw"),
            Stop::Pause => self.outside("resume", &[]).map(drop),
        }
    }

    fn connect(&mut self, network: Network, connected: bool) -> Result<()> {
        let word = network.word().to_ascii_lowercase();
        self.outside(if connected { "heal" } else { "cut" }, &[&word]).map(drop)
    }

    fn pid(&self) -> Option<u32> {
        // libvirt's; only root may look.
        let text = fs::read_to_string(format!("/run/libvirt/qemu/primacy-{}.pid", self.name)).ok()?;
        text.trim().parse().ok()
    }
}

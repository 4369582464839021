//! One of Vagrant's machines: services by systemd, power and cables by `vagrant/machine`.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use drill::hosts::{Answer, Cut, Deed, Host, Kind, Network, Provider, Stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::shell::Shell;
use crate::clock;
use crate::cluster::{API_PORT, MOUNT_POINT};
use crate::host::{Guest, Order, Service};
use crate::resets::Resets;

/// Until somebody can log in. Emulated, on two busy cores, machines took up to a minute.
const BOOT: Duration = Duration::from_secs(240);
/// For a service to start or stop, or an orderly shutdown.
const ORDER: Duration = Duration::from_secs(180);
/// A new connection is made this often while a machine boots.
const TRY: Duration = Duration::from_secs(30);

pub struct VagrantHost {
    name: String,
    number: u8,
    provider: Provider,
    /// `vagrant/machine`.
    script: PathBuf,
    shell: Shell,
    /// What Vagrant reaches it by: its own, or this host's where VirtualBox forwards ports.
    reach: Ipv4Addr,
    gateway: OnceLock<Ipv4Addr>,
}

impl VagrantHost {
    pub fn new(name: &str, number: u8, provider: Provider, reach: Ipv4Addr, script: &Path, shell: Shell) -> Self {
        let gateway = OnceLock::new();
        Self { name: name.to_owned(), number, provider, script: script.to_owned(), shell, reach, gateway }
    }

    fn outside(&self, action: &str, more: &[&str]) -> Result<String> {
        outside(&self.script, &[&[action, &self.name], more].concat())
    }

    pub fn must(&self, command: &str, limit: Duration) -> Result<String> {
        let answer = self.shell.run(command, limit)?;
        ensure!(answer.succeeded(), "`{command}` ended with {}: {}", answer.code, answer.text);
        Ok(answer.text)
    }

    fn cable(&self, action: &str, cut: &Cut) -> Result<()> {
        match cut {
            Cut::Card(network) => self.outside(action, &[&network.word().to_ascii_lowercase()]).map(drop),
            Cut::Packets(..) => Ok(self.kind().can(cut.deed())?),
        }
    }

    /// By ourselves: what counts from a thaw is over in less time than a script takes to start.
    fn signal(&self, signal: Signal, action: &str) -> Result<()> {
        match self.pid() {
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

impl Host for VagrantHost {
    fn kind(&self) -> Kind {
        Kind::Vagrant(self.provider)
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> Ipv4Addr {
        Network::Nfs.address(self.number)
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
        self.kind().can(how.deed())?;
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

    fn cut(&mut self, cut: &Cut) -> Result<()> {
        self.cable("cut", cut)
    }

    fn heal(&mut self, cut: &Cut) -> Result<()> {
        self.cable("heal", cut)
    }

    fn run(&self, command: &str, limit: Duration) -> Result<Answer> {
        self.shell.run(command, limit)
    }
}

impl Guest for VagrantHost {
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

    fn console(&self) -> Result<Vec<u8>> {
        self.kind().can(Deed::KeepConsole)?;
        bail!("{}: no console is kept", self.name)
    }

    fn resets(&self) -> Resets {
        Resets::default()
    }

    fn pid(&self) -> Option<u32> {
        // libvirt's; only root may look.
        let text = fs::read_to_string(format!("/run/libvirt/qemu/primacy-{}.pid", self.name)).ok()?;
        text.trim().parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use drill::hosts::{Direction, Refusal};

    use super::*;

    #[test]
    fn what_a_vagrant_machine_cannot_do_is_refused_by_name_before_anything_is_done() {
        let shell = || Shell::new("node-a", PathBuf::new(), PathBuf::new());
        let nowhere = Path::new("/nonexistent/machine");
        let host = |provider| VagrantHost::new("node-a", 11, provider, Ipv4Addr::LOCALHOST, nowhere, shell());
        let refused = |found: Result<()>| found.unwrap_err().downcast_ref::<Refusal>().map(|refusal| refusal.deed);
        let packets = Cut::Packets(Vec::new(), Direction::In);
        assert_eq!(refused(host(Provider::Libvirt).cut(&packets)), Some(Deed::CutPackets));
        assert_eq!(refused(host(Provider::Libvirt).console().map(drop)), Some(Deed::KeepConsole));
        assert_eq!(refused(host(Provider::VirtualBox).stop(Stop::Freeze)), Some(Deed::Freeze));
        // This one is tried, and there is no such script.
        assert_eq!(refused(host(Provider::Libvirt).cut(&Cut::Card(Network::Nfs))), None);
    }
}

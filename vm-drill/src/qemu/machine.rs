//! A virtual machine: QEMU with a kernel and an initramfs, KVM where it works, emulation elsewhere.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use drill::hosts::{Answer, Cut, Host, Kind, Network, Stop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::acceleration::{Acceleration, QEMU};
use super::{agent, bridges};
use crate::clock;
use crate::cluster::{API_PORT, CONFIG, MOUNT_OPTIONS, MOUNT_POINT, SERVER};
use crate::host::{Guest, Order, Service};
use crate::resets::Resets;

/// Until the agent answers. Emulated, on two busy cores, three machines took up to 16 s.
const BOOT: Duration = Duration::from_secs(90);
/// For a service to stop.
const ORDER: Duration = Duration::from_secs(60);

/// What all machines of a run share.
#[derive(Debug)]
pub struct Rack {
    pub acceleration: Acceleration,
    /// Logs, disks, sockets.
    pub directory: PathBuf,
    /// `vmlinuz` and `initrd`.
    pub image: PathBuf,
}

pub struct QemuHost {
    name: String,
    /// Last octet of all its addresses.
    number: u8,
    role: &'static str,
    /// More words for the kernel's command line: `vm.v3=1`.
    options: String,
    networks: Vec<Network>,
    memory: u32,
    disk: Option<PathBuf>,
    rack: Arc<Rack>,
    process: Option<Child>,
    resets: Resets,
}

impl QemuHost {
    pub fn server(rack: &Arc<Rack>, options: &str) -> Result<Self> {
        let disk = rack.directory.join("nfs.img");
        let mut machine = Self::plugged(rack, "nfs", SERVER, "nfs", &[Network::Management, Network::Nfs])?;
        options.clone_into(&mut machine.options);
        format_disk(&disk, 128)?;
        machine.disk = Some(disk);
        Ok(machine)
    }

    pub fn candidate(rack: &Arc<Rack>, name: &str, number: u8) -> Result<Self> {
        Self::plugged(rack, name, number, "candidate", &Network::ALL)
    }

    fn plugged(rack: &Arc<Rack>, name: &str, number: u8, role: &'static str, networks: &[Network]) -> Result<Self> {
        for network in networks {
            bridges::plug(*network, number)?;
        }
        Ok(Self {
            name: name.to_owned(),
            number,
            role,
            options: String::new(),
            networks: networks.to_vec(),
            memory: 256,
            disk: None,
            rack: rack.clone(),
            process: None,
            resets: Resets::default(),
        })
    }

    fn boot(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} is on", self.name);
        let rack = &self.rack;
        let Self { name, number, role, options, .. } = &*self;
        // Dies with the drill, however that ends: by the thread that started it, which is the main one.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", QEMU]).args(rack.acceleration.arguments()).args([
            "-M",
            "pc",
            "-smp",
            "1",
            "-display",
            "none",
            "-nodefaults",
            "-device",
            "virtio-rng-pci",
        ]);
        command.arg("-m").arg(self.memory.to_string());
        command.arg("-kernel").arg(rack.image.join("vmlinuz")).arg("-initrd").arg(rack.image.join("initrd"));
        command.arg("-append").arg(format!(
            "console=ttyS0 quiet loglevel=4 panic=1 mitigations=off random.trust_cpu=on tsc=reliable nowatchdog \
             rcupdate.rcu_cpu_stall_suppress=1 \
             vm.name={name} vm.n={number} vm.role={role} {options}"
        ));
        let path = |suffix: &str| self.path(suffix);
        command.arg("-chardev").arg(format!("file,id=console,append=on,path={}", path("console").display()));
        command.args(["-serial", "chardev:console"]);
        for monitor in ["qmp", "events"] {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", path(monitor).display()));
        }
        // Does nothing until a driver opens it.
        command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        for network in &self.networks {
            let (word, tap) = (network.word(), bridges::tap(*network, *number));
            command.arg("-netdev").arg(format!("tap,id={word},ifname={tap},script=no,downscript=no"));
            let mac = bridges::hardware_address(*network, *number);
            command.arg("-device").arg(format!("virtio-net-pci,netdev={word},mac={mac},romfile="));
        }
        if let Some(disk) = &self.disk {
            command.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=writeback", disk.display()));
        }
        let log = File::create(path("qemu"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("setpriv")?;
        self.process = Some(child);
        self.resets.follow(self.path("events"));
        Ok(())
    }

    fn monitor(&self, command: &str) -> Result<()> {
        let mut connection = UnixStream::connect(self.rack.directory.join(format!("{}.qmp", self.name)))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let orders = format!("{{\"execute\":\"qmp_capabilities\"}}\n{{\"execute\":\"{command}\"}}\n");
        connection.write_all(orders.as_bytes())?;
        let mut answers = String::new();
        let mut buffer = [0; 4096];
        while answers.matches("\"return\"").count() < 2 {
            let count = connection.read(&mut buffer)?;
            ensure!(count > 0, "QEMU's monitor closed: {answers}");
            answers.push_str(&String::from_utf8_lossy(&buffer[..count]));
            ensure!(!answers.contains("\"error\""), "QEMU: {answers}");
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.process.as_ref().with_context(|| format!("{} is off", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    fn reach(&self) -> Ipv4Addr {
        Network::Management.address(self.number)
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.rack.directory.join(format!("{}.{suffix}", self.name))
    }

    fn must(&self, command: &str) -> Result<()> {
        let answer = agent::run(self.reach(), command, ORDER)?;
        ensure!(answer.succeeded(), "`{command}` ended with {}: {}", answer.code, answer.text);
        Ok(())
    }
}

impl Host for QemuHost {
    fn kind(&self) -> Kind {
        Kind::Qemu
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn address(&self) -> Ipv4Addr {
        self.reach()
    }

    fn is_on(&self) -> bool {
        self.process.is_some()
    }

    fn power_on(&mut self) -> Result<()> {
        self.boot()
    }

    fn wait(&mut self) -> Result<()> {
        let until = clock::now() + BOOT;
        loop {
            if agent::run(self.reach(), "true", Duration::from_secs(5)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                bail!("QEMU ended with {status}: {}", fs::read_to_string(self.path("qemu"))?.trim());
            }
            ensure!(clock::now() < until, "it has not come up within {BOOT:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL to QEMU.
    fn power_off(&mut self) -> Result<()> {
        if let Some(mut child) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    fn shut_down(&mut self) -> Result<()> {
        self.service(Service::Primacy, Order::Stop)?;
        self.must(&format!("umount {MOUNT_POINT} && sync"))?;
        self.power_off()
    }

    fn stop(&mut self, how: Stop) -> Result<()> {
        match how {
            Stop::Freeze => self.signal(Signal::SIGSTOP),
            Stop::Pause => self.monitor("stop"),
        }
    }

    fn go(&mut self, how: Stop) -> Result<()> {
        match how {
            Stop::Freeze => self.signal(Signal::SIGCONT),
            Stop::Pause => self.monitor("cont"),
        }
    }

    fn cut(&mut self, cut: &Cut) -> Result<()> {
        match cut {
            Cut::Card(network) => bridges::connect(*network, self.number, false),
            Cut::Packets(..) => Ok(self.kind().can(cut.deed())?),
        }
    }

    fn heal(&mut self, cut: &Cut) -> Result<()> {
        match cut {
            Cut::Card(network) => bridges::connect(*network, self.number, true),
            Cut::Packets(..) => Ok(self.kind().can(cut.deed())?),
        }
    }

    fn run(&self, command: &str, limit: Duration) -> Result<Answer> {
        agent::run(self.reach(), command, limit)
    }
}

impl Guest for QemuHost {
    fn service(&self, service: Service, order: Order) -> Result<()> {
        match (service, order) {
            (Service::Primacy, Order::Start) => {
                // As a service manager would: again after every end but a clean one.
                let command = format!(
                    "cd /; [ -e /proc/$(cat /run/service 2>/dev/null || echo none) ] && exit; echo $$ >/run/service; \
                     rm -f /run/stop; while [ ! -e /run/stop ]; do primacy run -c {CONFIG} & echo $! >/run/supervisor; \
                     wait $!; code=$?; echo \"primacy ended with $code\"; [ $code = 0 ] && break; sleep 0.5; done"
                );
                agent::start(self.reach(), &command, &self.path("primacy"))
            }
            // SIGTERM once to each supervisor that there still is.
            (Service::Primacy, Order::Stop) => self.must(
                "touch /run/stop; service=$(cat /run/service 2>/dev/null || echo none) told=none; \
                 while [ -e /proc/$service ]; do pid=$(cat /run/supervisor); \
                 [ \"$pid\" = $told ] || { told=$pid; kill $pid; }; sleep 0.05; done",
            ),
            (Service::Volume, Order::Start) => {
                let server = Network::Nfs.address(SERVER);
                self.must(&format!(
                    "grep -q ' {MOUNT_POINT} nfs4 ' /proc/mounts || \
                     {{ mkdir -p {MOUNT_POINT} && /sbin/mount.nfs {server}:/ {MOUNT_POINT} -o {MOUNT_OPTIONS}; }}"
                ))
            }
            (Service::Volume, Order::Stop) => self.must(&format!("umount {MOUNT_POINT}")),
            (Service::Nfs, Order::Start) => self.must("nfs-server start"),
            (Service::Nfs, Order::Stop) => self.must("nfs-server stop"),
        }
    }

    fn supervisor_log(&self) -> Result<String> {
        // Not there before its first start.
        Ok(String::from_utf8_lossy(&fs::read(self.path("primacy")).unwrap_or_default()).into_owned())
    }

    fn api(&self) -> SocketAddr {
        SocketAddr::from((self.reach(), API_PORT))
    }

    fn drill(&self) -> Result<Ipv4Addr> {
        Ok(Network::Management.address(1))
    }

    fn console(&self) -> Result<Vec<u8>> {
        Ok(fs::read(self.path("console"))?)
    }

    fn resets(&self) -> Resets {
        self.resets.clone()
    }

    fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }
}

impl Drop for QemuHost {
    fn drop(&mut self) {
        let _ = Host::power_off(self);
    }
}

fn format_disk(path: &Path, mebibytes: u64) -> Result<()> {
    File::create(path)?.set_len(mebibytes << 20)?;
    let output = Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(path).output().context("mke2fs")?;
    ensure!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

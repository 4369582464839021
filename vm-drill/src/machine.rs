//! A virtual machine: QEMU with a kernel and an initramfs, KVM where it works, emulation elsewhere.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::agent::{self, Answer};
use crate::clock::{self, At};
use crate::network::{self, Network};
use crate::resets::Resets;

const QEMU: &str = "qemu-system-x86_64";
/// Until the agent answers. Emulated, on two busy cores, three machines took up to 16 s.
const BOOT: Duration = Duration::from_secs(90);
/// With KVM a machine boots and ends within 2 s.
const PROBE: Duration = Duration::from_secs(8);
const COMMAND: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceleration {
    Kvm,
    Emulation,
}

impl Acceleration {
    /// Whether KVM really runs this kernel, found out by booting it: a `/dev/kvm` that opens may still belong to a
    /// hypervisor that runs only kernels made for it, or miss a register that QEMU wants to set.
    pub fn find(image: &Path) -> Result<Self> {
        // A hypervisor without the processor's help runs nothing but kernels made for it, and is long to kill.
        let hardware = ["kvm_intel", "kvm_amd"].iter().any(|module| Path::new("/sys/module").join(module).exists());
        if !hardware || File::options().read(true).write(true).open("/dev/kvm").is_err() {
            return Ok(Self::Emulation);
        }
        let mut child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", QEMU])
            .args(Self::Kvm.arguments())
            .args(["-M", "pc", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot", "-append"])
            .arg("quiet panic=1 mitigations=off vm.name=probe vm.n=2 vm.role=probe")
            .arg("-kernel")
            .arg(image.join("vmlinuz"))
            .arg("-initrd")
            .arg(image.join("initrd"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("setpriv")?;
        let until = clock::now() + PROBE;
        while clock::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(if status.success() { Self::Kvm } else { Self::Emulation });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill()?;
        child.wait()?;
        Ok(Self::Emulation)
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Kvm => "KVM",
            Self::Emulation => "emulation",
        }
    }

    /// How often coordinators tick, and how often they write. Emulated processors have less time for it.
    pub fn periods(self) -> (Duration, Duration) {
        match self {
            Self::Kvm => (Duration::from_millis(2), Duration::from_millis(10)),
            Self::Emulation => (Duration::from_millis(10), Duration::from_millis(100)),
        }
    }

    fn arguments(self) -> [&'static str; 4] {
        match self {
            // A nested KVM may not let this register be set, which ends QEMU.
            Self::Kvm => ["-accel", "kvm", "-cpu", "host,-arch-capabilities"],
            Self::Emulation => ["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "max"],
        }
    }
}

/// What all machines of a run share.
#[derive(Debug)]
pub struct Rack {
    pub acceleration: Acceleration,
    /// Logs, disks, sockets.
    pub directory: PathBuf,
    /// `vmlinuz` and `initrd`.
    pub image: PathBuf,
}

/// How a machine was stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// SIGSTOP to QEMU.
    Signal,
    /// By its monitor.
    Pause,
}

pub struct Machine {
    pub name: String,
    /// Last octet of all its addresses.
    pub number: u8,
    role: &'static str,
    /// More words for the kernel's command line: `vm.v3=1`.
    options: String,
    networks: Vec<Network>,
    memory: u32,
    disk: Option<PathBuf>,
    rack: Arc<Rack>,
    process: Option<Child>,
    frozen: Option<(At, Stop)>,
    /// From when to when nothing ran on it.
    pub freezes: Vec<(At, At)>,
    cut: Vec<Network>,
    pub resets: Resets,
    peak: u64,
}

impl Machine {
    pub fn server(rack: &Arc<Rack>, options: &str) -> Result<Self> {
        let disk = rack.directory.join("nfs.img");
        let mut machine = Self::plugged(rack, "nfs", 10, "nfs", &[Network::Management, Network::Nfs])?;
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
            network::plug(*network, number)?;
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
            frozen: None,
            freezes: Vec::new(),
            cut: Vec::new(),
            resets: Resets::default(),
            peak: 0,
        })
    }

    pub fn address(&self) -> Ipv4Addr {
        Network::Management.address(self.number)
    }

    /// QEMU's.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    pub fn is_on(&self) -> bool {
        self.process.is_some()
    }

    /// Switches it on. [`Machine::wait`] until it is up.
    pub fn boot(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "{} is on", self.name);
        let rack = &self.rack;
        let Self { name, number, role, options, .. } = self;
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
        let path = |suffix: &str| rack.directory.join(format!("{name}.{suffix}"));
        command.arg("-chardev").arg(format!("file,id=console,append=on,path={}", path("console").display()));
        command.args(["-serial", "chardev:console"]);
        for monitor in ["qmp", "events"] {
            command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", path(monitor).display()));
        }
        // Does nothing until a driver opens it.
        command.args(["-device", "i6300esb", "-action", "watchdog=reset"]);
        for network in &self.networks {
            let (word, tap) = (network.word(), network.tap(*number));
            command.arg("-netdev").arg(format!("tap,id={word},ifname={tap},script=no,downscript=no"));
            let card = format!("virtio-net-pci,netdev={word},mac={},romfile=", network.hardware_address(*number));
            command.arg("-device").arg(card);
        }
        if let Some(disk) = &self.disk {
            command.arg("-drive").arg(format!("file={},if=virtio,format=raw,cache=writeback", disk.display()));
        }
        let log = File::create(path("qemu"))?;
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn().context("setpriv")?;
        self.process = Some(child);
        self.resets.follow(path("events"));
        Ok(())
    }

    /// Until its agent answers.
    pub fn wait(&mut self) -> Result<()> {
        let until = clock::now() + BOOT;
        loop {
            if agent::run(self.address(), "true", Duration::from_secs(5)).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.process.as_mut().map(Child::try_wait).transpose()?.flatten() {
                let log = self.rack.directory.join(format!("{}.qemu", self.name));
                bail!("{}: QEMU ended with {status}: {}", self.name, fs::read_to_string(log)?.trim());
            }
            ensure!(clock::now() < until, "{} has not come up within {BOOT:?}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Power loss: SIGKILL to QEMU. The moment at which it was gone.
    pub fn power_off(&mut self) -> Result<At> {
        self.note_memory();
        if let Some((since, _)) = self.frozen.take() {
            self.freezes.push((since, clock::now()));
        }
        if let Some(mut child) = self.process.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(clock::now())
    }

    /// Stops everything on it, and not its clock: after the thaw the guest sees that time has passed. As a host does
    /// that was suspended or starved.
    pub fn freeze(&mut self) -> Result<At> {
        self.signal(Signal::SIGSTOP)?;
        let at = clock::now();
        self.frozen = Some((at, Stop::Signal));
        Ok(at)
    }

    pub fn thaw(&mut self) -> Result<At> {
        let at = clock::now();
        self.signal(Signal::SIGCONT)?;
        if let Some((since, _)) = self.frozen.take() {
            self.freezes.push((since, at));
        }
        Ok(at)
    }

    /// Stops it by way of the hypervisor, its clock included: the guest learns from nothing of its own that time has
    /// passed. As a snapshot or a migration does.
    pub fn pause(&mut self) -> Result<At> {
        self.monitor("stop")?;
        let at = clock::now();
        self.frozen = Some((at, Stop::Pause));
        Ok(at)
    }

    pub fn resume(&mut self) -> Result<At> {
        let at = clock::now();
        self.monitor("cont")?;
        if let Some((since, _)) = self.frozen.take() {
            self.freezes.push((since, at));
        }
        Ok(at)
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

    pub fn cut(&mut self, network: Network) -> Result<At> {
        network::connect(network, self.number, false)?;
        self.cut.push(network);
        Ok(clock::now())
    }

    pub fn heal(&mut self) -> Result<At> {
        for network in std::mem::take(&mut self.cut) {
            network::connect(network, self.number, true)?;
        }
        Ok(clock::now())
    }

    /// Ends whatever was done to it, except having been switched off.
    pub fn restore(&mut self) -> Result<()> {
        self.heal()?;
        match self.frozen {
            Some((_, Stop::Signal)) => self.thaw().map(drop),
            Some((_, Stop::Pause)) => self.resume().map(drop),
            None => Ok(()),
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.process.as_ref().with_context(|| format!("{} is off", self.name))?;
        Ok(kill(Pid::from_raw(i32::try_from(child.id())?), signal)?)
    }

    /// Runs a shell command on it, whatever it comes to.
    pub fn run(&self, command: &str) -> Result<Answer> {
        self.run_within(command, COMMAND)
    }

    pub fn run_within(&self, command: &str, limit: Duration) -> Result<Answer> {
        agent::run(self.address(), command, limit).with_context(|| self.name.clone())
    }

    /// Runs a shell command on it that must succeed.
    pub fn must(&self, command: &str) -> Result<String> {
        let answer = self.run(command)?;
        ensure!(answer.succeeded(), "{}: `{command}` ended with {}: {}", self.name, answer.code, answer.text);
        Ok(answer.text)
    }

    /// Starts a shell command on it that stays; its output goes to a log of that name.
    pub fn start(&self, command: &str, log: &str) -> Result<()> {
        agent::start(self.address(), command, &self.log(log))
    }

    pub fn log(&self, name: &str) -> PathBuf {
        self.rack.directory.join(format!("{}.{name}", self.name))
    }

    /// The most memory that its QEMU has ever had, in bytes.
    pub fn peak_memory(&mut self) -> u64 {
        self.note_memory();
        self.peak
    }

    fn note_memory(&mut self) {
        if let Some(child) = &self.process {
            self.peak = self.peak.max(peak_memory(child.id()));
        }
    }
}

/// The most memory that a process has ever had, in bytes.
pub fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
    kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) << 10
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.power_off();
    }
}

fn format_disk(path: &Path, mebibytes: u64) -> Result<()> {
    File::create(path)?.set_len(mebibytes << 20)?;
    let output = Command::new("/sbin/mke2fs").args(["-q", "-F", "-t", "ext4"]).arg(path).output().context("mke2fs")?;
    ensure!(output.status.success(), "mke2fs: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

//! Whether machines run on the processor or are emulated.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::clock;

/// The program.
pub const QEMU: &str = "qemu-system-x86_64";

/// With KVM a machine boots and ends within 2 s.
const PROBE: Duration = Duration::from_secs(8);

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

    pub fn arguments(self) -> [&'static str; 4] {
        match self {
            // A nested KVM may not let this register be set, which ends QEMU.
            Self::Kvm => ["-accel", "kvm", "-cpu", "host,-arch-capabilities"],
            Self::Emulation => ["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "max"],
        }
    }
}

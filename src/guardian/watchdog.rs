//! The watchdog: a device that resets the host unless it is fed. It protects where nothing else of primacy can: a tree
//! that SIGKILL does not end, because it hangs in the kernel, and a guardian that is dead or frozen together with its
//! supervisor.
//!
//! # Theory of operation
//! *Armed* means: a tree may live. The device is opened (which arms it) before the fork, and closed with the magic `V`
//! once the tree is proven dead. In between it is fed, by writing a byte, only while that cannot make it fire after the
//! moment at which another node can be elected: a device fed at `t` fires at `t + timeout`, so feeding ends at
//! `deadline + grace − timeout`, and at the deadline at the latest ([`lease::feed_until`]). When the servers cut the session, a
//! device that is armed is set to a shorter time-out, too. Every other end of this process closes the device
//! without the `V`, which leaves it armed: the kernel calls that an unexpected close, and the host is reset.
//!
//! The kernel feeds a device once more at such a close, and that may be long after the last feeding that was permitted.
//! So the tree inherits the descriptor: a device is closed when the last process that has it open is gone, which is when
//! the guardian *and* what it should have killed are gone, and nothing is left that the reset has to end.
//!
//! A standby never opens the device, for that arms it, and some cannot be disarmed. It looks at the device's node and at
//! what sysfs says of it.
//!
//! Rejected: one guardian feeding all the time, armed or not (a standby's host would be reset for nothing); feeding by
//! ioctl (a write does the same, and works with whatever a test puts in the device's place).

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::{AccessFlags, access};

use super::protocol::{WatchdogSettings, WatchdogTerms, WatchdogView};
use crate::moment::{Moment, in_words};
use crate::role::lease;
use crate::syscalls;

/// For tests: the device may be any file that can be written, takes every time-out, and records what it is fed.
const STAND_IN: &str = "PRIMACY_TEST_WATCHDOG_IS_A_FILE";

/// A device is fed so many times within its time-out.
const FEEDINGS: u32 = 4;
/// The last feeding is this much before its end, so that a late wake-up does not miss it.
const EARLY: Duration = Duration::from_millis(20);
/// Between two looks of a standby.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The guardian's watchdog, if one is configured.
pub struct Watchdog {
    settings: Option<WatchdogSettings>,
    terms: Option<WatchdogTerms>,
    armed: Option<Armed>,
    view: WatchdogView,
    next_look: Moment,
}

struct Armed {
    device: File,
    timeout: Duration,
    grace: Duration,
    fed: Moment,
    /// Feeding failed: said once.
    failed: bool,
}

impl Armed {
    /// Until when it may be fed.
    fn feed_until(&self, deadline: Moment) -> Moment {
        lease::feed_until(self.timeout, self.grace, deadline)
    }

    /// Sets it to a shorter time-out, which feeds it. Refused where the deadline would not let it fire in time.
    fn shorten(&mut self, path: &Path, terms: WatchdogTerms, deadline: Moment, now: Moment) -> Result<(), String> {
        self.grace = self.grace.min(terms.grace);
        let left = (deadline + self.grace).since(now);
        let wanted =
            (1..=terms.seconds).rev().find(|seconds| lease::fires_within(Duration::from_secs(*seconds)) <= left);
        if let Some(seconds) = wanted {
            self.timeout = set(&self.device, path, WatchdogTerms { seconds, ..terms })?;
            self.fed = now;
        }
        if self.fed + lease::fires_within(self.timeout) <= deadline + self.grace {
            return Ok(());
        }
        let fires = in_words(self.timeout);
        Err(format!("{} fires up to {fires} after it was fed, later than the lease permits", path.display()))
    }

    fn next(&self, deadline: Option<Moment>) -> Option<Moment> {
        let last = self.feed_until(deadline?) - EARLY;
        (self.fed < last).then(|| (self.fed + self.timeout / FEEDINGS).min(last))
    }
}

impl Watchdog {
    pub fn none() -> Self {
        Self {
            settings: None,
            terms: None,
            armed: None,
            view: WatchdogView::default(),
            next_look: Moment::from_nanos(0),
        }
    }

    pub fn new(settings: Option<WatchdogSettings>) -> Self {
        Self { settings, ..Self::none() }
    }

    /// Takes the terms of the lease that is granted. A device that is armed for a longer lease is set anew. `Some`: that did
    /// not succeed.
    pub fn set_terms(&mut self, terms: WatchdogTerms, deadline: Option<Moment>, now: Moment) -> Option<String> {
        self.terms = Some(terms);
        let (armed, settings, deadline) = (self.armed.as_mut()?, self.settings.as_ref()?, deadline?);
        if Duration::from_secs(terms.seconds) >= armed.timeout {
            return None;
        }
        let shortened = armed.shorten(&settings.device, terms, deadline, now);
        self.view.armed = Some(armed.timeout);
        shortened
            .err()
            .map(|problem| format!("the session was cut, but the watchdog is still set for a longer one: {problem}"))
    }

    pub const fn is_armed(&self) -> bool {
        self.armed.is_some()
    }

    /// For the tree to inherit, so that the device stays open as long as any process of it lives.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.armed.as_ref().map(|armed| armed.device.as_raw_fd())
    }

    /// What there is to be told.
    pub fn view(&self) -> WatchdogView {
        self.view.clone()
    }

    /// When [`Watchdog::look`] or [`Watchdog::feed`] has something to do.
    pub fn due(&self, deadline: Option<Moment>) -> Option<Moment> {
        match &self.armed {
            Some(armed) => armed.next(deadline),
            None => self.settings.as_ref().map(|_| self.next_look),
        }
    }

    /// While nothing is armed: whether it could be. True if the view has changed.
    pub fn look(&mut self, now: Moment) -> bool {
        let Some(settings) = &self.settings else { return false };
        if self.armed.is_some() || now < self.next_look {
            return false;
        }
        let first = self.next_look == Moment::from_nanos(0);
        self.next_look = now + LOOK_AGAIN;
        let view = seen(&settings.device);
        let changed = first || view != self.view;
        self.view = view;
        changed
    }

    /// Arms the device for a tree that is about to live under this deadline.
    ///
    /// # Errors
    /// With the reason why nothing may be started. A device that is not required and cannot be armed is no error:
    /// [`Watchdog::view`] has the problem then.
    pub fn arm(&mut self, deadline: Moment, now: Moment) -> Result<(), String> {
        let Some(settings) = &self.settings else { return Ok(()) };
        let armed = match self.terms {
            Some(terms) => open(&settings.device, terms, deadline, now),
            None => Err("fencing.watchdog: no lease was granted to reckon its time-out by".to_owned()),
        };
        match armed {
            Ok(armed) => {
                self.view.problem = None;
                self.view.armed = Some(armed.timeout);
                self.armed = Some(armed);
                Ok(())
            }
            Err(problem) => {
                self.view.problem = Some(problem.clone());
                if settings.required { Err(problem) } else { Ok(()) }
            }
        }
    }

    /// Feeds if it is time, and if the deadline allows it. `Some`: it failed, which is said once.
    pub fn feed(&mut self, deadline: Option<Moment>, now: Moment) -> Option<String> {
        let armed = self.armed.as_mut()?;
        if armed.next(deadline).is_none_or(|next| now < next) || deadline.is_none_or(|at| now > armed.feed_until(at)) {
            return None;
        }
        // Also after a failure, so that a broken device is not tried in a busy loop.
        armed.fed = now;
        match armed.device.write_all(b".") {
            Ok(()) => {
                armed.failed = false;
                None
            }
            Err(_) if armed.failed => None,
            Err(error) => {
                armed.failed = true;
                Some(format!("the watchdog cannot be fed ({error}): it is about to reset this host"))
            }
        }
    }

    /// Only for a tree that is proven dead. `Some`: it could not be disarmed.
    pub fn disarm(&mut self) -> Option<String> {
        let mut armed = self.armed.take()?;
        self.view.armed = None;
        let error = armed.device.write_all(b"V").err()?;
        Some(format!("the watchdog cannot be disarmed ({error}): it is about to reset this host"))
    }
}

/// Opens and sets the device. Whatever fails after the open disarms it again.
fn open(path: &Path, terms: WatchdogTerms, deadline: Moment, now: Moment) -> Result<Armed, String> {
    let seen = seen(path);
    if let Some(problem) = seen.problem {
        return Err(problem);
    }
    // Not blocking: a FIFO without a reader would wait for one.
    let device = OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(path);
    let mut device = device.map_err(|error| cannot_open(path, &error))?;
    let timeout = set(&device, path, terms).and_then(|timeout| {
        let armed = (deadline + terms.grace).since(now);
        let fires = lease::fires_within(timeout);
        if fires <= armed {
            Ok(timeout)
        } else {
            Err(format!(
                "{} fires {} after it was fed, but the lease has only {} left: {} are needed",
                path.display(),
                in_words(fires),
                in_words(deadline.since(now)),
                in_words(fires.saturating_sub(terms.grace))
            ))
        }
    });
    match timeout {
        Ok(timeout) => Ok(Armed { device, timeout, grace: terms.grace, fed: now, failed: false }),
        Err(problem) => match device.write_all(b"V") {
            Ok(()) => Err(problem),
            Err(error) => Err(format!("{problem}; and it cannot be disarmed: {error}")),
        },
    }
}

/// Sets the shortest time-out from the wanted one on that the device takes, and reads back what counts.
fn set(device: &File, path: &Path, terms: WatchdogTerms) -> Result<Duration, String> {
    let at = path.display();
    if stand_in() {
        return Ok(Duration::from_secs(terms.seconds));
    }
    let info = syscalls::watchdog_info(device.as_fd()).map_err(|error| match error.raw_os_error() {
        Some(libc::ENOTTY) => format!("{at} is no watchdog; set fencing.watchdog_device"),
        _ => format!("{at} does not answer as a watchdog: {error}; set fencing.watchdog_device"),
    })?;
    if !info.has_magic_close() {
        return Err(format!(
            "{at} would stop when the process that feeds it dies (no magic close), so it protects from nothing; load its \
             driver with nowayout=1, or use another one (softdog)"
        ));
    }
    for seconds in terms.seconds..=terms.longest.as_secs().max(terms.seconds) {
        let Ok(wanted) = i32::try_from(seconds) else { break };
        if syscalls::set_watchdog_timeout(device.as_fd(), wanted).is_ok() {
            break;
        }
    }
    let counts = syscalls::watchdog_timeout(device.as_fd())
        .map_err(|error| format!("{at} does not tell its time-out: {error}; use another device"))?;
    let timeout = Duration::from_secs(u64::try_from(counts).unwrap_or(u64::MAX));
    if timeout.is_zero() || timeout > terms.longest {
        return Err(format!(
            "{at} fires {counts} s after it was fed, and {} is the longest that the lease permits; use a device with a \
             shorter time-out (softdog), or a longer session (zookeeper.session_timeout, and maxSessionTimeout on its servers)",
            in_words(terms.longest)
        ));
    }
    Ok(timeout)
}

fn stand_in() -> bool {
    std::env::var_os(STAND_IN).is_some()
}

fn cannot_open(path: &Path, error: &io::Error) -> String {
    let remedy = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EBUSY) => "another process has it (systemd? watchdogd?): stop that, or name another device",
        Some(Errno::EACCES | Errno::EPERM) => "let the user that primacy runs as write there",
        _ => "load a driver (modprobe softdog), or set fencing.watchdog_device",
    };
    format!("the watchdog {} cannot be opened: {error}; {remedy}", path.display())
}

/// The device as it can be seen without opening it.
pub fn seen(path: &Path) -> WatchdogView {
    let problem = |text: String| WatchdogView { problem: Some(text), ..WatchdogView::default() };
    let at = path.display();
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return problem(cannot_open(path, &error)),
    };
    if let Err(error) = access(path, AccessFlags::W_OK) {
        return problem(cannot_open(path, &error.into()));
    }
    if stand_in() {
        return WatchdogView { warning: Some(format!("{at} stands in for a watchdog")), ..WatchdogView::default() };
    }
    if !found.file_type().is_char_device() {
        return problem(format!("{at} is no character device; set fencing.watchdog_device"));
    }
    let Some(sysfs) = sysfs_of(found.rdev()) else { return WatchdogView::default() };
    let attribute = |name: &str| std::fs::read_to_string(sysfs.join(name)).ok().map(|text| text.trim().to_owned());
    if attribute("state").as_deref() == Some("active") {
        return problem(format!(
            "the watchdog {at} is in use, or was left armed by a killed guardian and is about to reset this host; stop what \
             feeds it (systemd's RuntimeWatchdogSec? watchdogd?), or name another device"
        ));
    }
    let warning = (attribute("nowayout").as_deref() == Some("1")).then(|| {
        format!("{at} cannot be disarmed (nowayout): each end of a leadership, a clean stop too, resets this host")
    });
    WatchdogView { problem: None, warning, armed: None }
}

/// Where sysfs describes it. `/dev/watchdog` (10:130) is an alias of the first device.
fn sysfs_of(number: u64) -> Option<PathBuf> {
    const CLASS: &str = "/sys/class/watchdog";
    let number = (libc::major(number), libc::minor(number));
    if number == (10, 130) {
        return Some(Path::new(CLASS).join("watchdog0")).filter(|path| path.exists());
    }
    let wanted = format!("{}:{}", number.0, number.1);
    std::fs::read_dir(CLASS)
        .ok()?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| std::fs::read_to_string(path.join("dev")).is_ok_and(|text| text.trim() == wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn armed(timeout: u64) -> Armed {
        Armed {
            device: tempfile::tempfile().unwrap(),
            timeout: Duration::from_secs(timeout),
            grace: Duration::from_millis(1_500),
            fed: Moment::from_millis(100_000),
            failed: false,
        }
    }

    #[test]
    fn feeding_ends_so_early_that_it_fires_at_the_graces_end_and_never_goes_on_past_the_deadline() {
        let deadline = Moment::from_millis(107_500);
        let fires = armed(5).feed_until(deadline) + lease::fires_within(Duration::from_secs(5));
        assert_eq!(fires, deadline + Duration::from_millis(1_500));
        assert_eq!(armed(1).feed_until(deadline), deadline);
    }

    #[test]
    fn it_is_fed_at_intervals_and_once_more_just_before_the_end() {
        let deadline = Moment::from_millis(107_500);
        let mut armed = armed(5);
        assert_eq!(armed.next(Some(deadline)), Some(Moment::from_millis(101_250)));
        armed.fed = Moment::from_millis(103_000);
        let last = armed.feed_until(deadline) - EARLY;
        assert_eq!(armed.next(Some(deadline)), Some(last));
        armed.fed = last;
        assert_eq!(armed.next(Some(deadline)), None);
        assert_eq!(armed.next(None), None);
    }

    #[test]
    fn it_is_fed_only_before_the_deadline_and_only_a_disarmed_one_got_its_letter() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = || std::fs::read_to_string(file.path()).unwrap();
        let device = OpenOptions::new().write(true).open(file.path()).unwrap();
        let mut watchdog = Watchdog { armed: Some(Armed { device, ..armed(5) }), ..Watchdog::none() };
        let deadline = Some(Moment::from_millis(107_500));
        for (now, fed) in
            [(101_249, ""), (101_250, "."), (101_300, "."), (103_835, ".."), (104_001, ".."), (108_000, "..")]
        {
            assert_eq!(watchdog.feed(deadline, Moment::from_millis(now)), None);
            assert_eq!(written(), fed, "at {now}");
        }
        // The deadline moved: it is fed again.
        assert_eq!(watchdog.feed(Some(Moment::from_millis(115_000)), Moment::from_millis(108_000)), None);
        assert_eq!(written(), "...");
        assert_eq!(watchdog.feed(None, Moment::from_millis(110_000)), None);
        assert_eq!(watchdog.disarm(), None);
        assert_eq!(written(), "...V");
        assert_eq!(watchdog.disarm(), None);
    }

    #[test]
    fn what_cannot_be_a_watchdog_is_named_without_opening_it() {
        let directory = tempfile::tempdir().unwrap();
        assert!(seen(&directory.path().join("none")).problem.unwrap().contains("modprobe softdog"));
        assert!(seen(directory.path()).problem.unwrap().contains("no character device"));
        assert_eq!(seen(Path::new("/dev/null")).problem, None);
    }

    #[test]
    fn a_character_device_that_is_no_watchdog_is_refused_when_it_is_armed() {
        let terms = WatchdogTerms { seconds: 5, longest: Duration::from_secs(7), grace: Duration::from_secs(1) };
        let now = Moment::from_millis(100_000);
        let arm = |required| {
            let settings = WatchdogSettings { device: "/dev/null".into(), required };
            let mut watchdog = Watchdog::new(Some(settings));
            assert_eq!(watchdog.set_terms(terms, None, now), None);
            let result = watchdog.arm(now + Duration::from_secs(60), now);
            (result, watchdog)
        };
        let (refused, watchdog) = arm(true);
        assert!(refused.unwrap_err().contains("is no watchdog"));
        assert!(!watchdog.is_armed());
        let (let_pass, watchdog) = arm(false);
        assert_eq!(let_pass, Ok(()));
        assert!(!watchdog.is_armed());
        assert!(watchdog.view().problem.unwrap().contains("is no watchdog"));
    }
}

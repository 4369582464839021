//! What permits a start, as a value that only what permits it can give.
//!
//! A guardian is made for one of two kinds of coordinator ([`PermissionKind`], in its settings) and never starts one of the
//! other. Where one coordinator of the cluster may run, nothing starts without the lock, the record of that epoch in its file
//! and a deadline that lies ahead: [`Permission::Lock`]. An always-on coordinator runs on every host, and nothing is held
//! for it: [`Permission::AlwaysOn`]. A start takes a permission, and there is no other way to one than [`Permission::ask`].

use std::os::fd::RawFd;

use super::protocol::PermissionKind;
use crate::moment::Moment;

/// What a start was ordered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    InEpoch(u64),
    AlwaysOn,
}

/// What this guardian has to go by.
#[derive(Clone, Copy, Debug)]
pub struct Ground {
    pub kind: PermissionKind,
    /// The lock's descriptor.
    pub held: Option<RawFd>,
    pub lost: bool,
    /// The epoch whose record is in the lock file.
    pub written: Option<u64>,
    pub deadline: Option<Moment>,
}

/// That a coordinator may be started now.
#[derive(Debug, PartialEq, Eq)]
pub enum Permission {
    Lock(UnderLock),
    AlwaysOn(WithoutLock),
}

/// The lock is held, the record is written, and the deadline lies ahead.
#[derive(Debug, PartialEq, Eq)]
pub struct UnderLock {
    fd: RawFd,
    epoch: u64,
    deadline: Moment,
}

/// This guardian has no volume, and will never have the lock.
#[derive(Debug, PartialEq, Eq)]
pub struct WithoutLock(());

impl UnderLock {
    pub const fn fd(&self) -> RawFd {
        self.fd
    }

    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    pub const fn deadline(&self) -> Moment {
        self.deadline
    }
}

impl Permission {
    /// Whether that may be started now.
    ///
    /// # Errors
    /// Why not, in one sentence.
    pub fn ask(asked: Asked, ground: &Ground, now: Moment) -> Result<Self, String> {
        match (ground.kind, asked) {
            (PermissionKind::AlwaysOn, Asked::AlwaysOn) if ground.held.is_some() => {
                Err("a guardian of an always-on coordinator holds the lock".to_owned())
            }
            (PermissionKind::AlwaysOn, Asked::AlwaysOn) => Ok(Self::AlwaysOn(WithoutLock(()))),
            (PermissionKind::AlwaysOn, Asked::InEpoch(epoch)) => {
                Err(format!("this guardian was made for an always-on coordinator, and none runs in epoch {epoch}"))
            }
            (PermissionKind::Lock, Asked::AlwaysOn) => {
                Err("this guardian was made for a coordinator that runs under the lock only".to_owned())
            }
            (PermissionKind::Lock, Asked::InEpoch(epoch)) => Self::under_lock(epoch, ground, now),
        }
    }

    fn under_lock(epoch: u64, ground: &Ground, now: Moment) -> Result<Self, String> {
        let fd = ground.held.ok_or("the lock is not held")?;
        if ground.lost {
            return Err("the lock was lost".to_owned());
        }
        if ground.written != Some(epoch) {
            return Err(format!("the record of epoch {epoch} is not in the lock file"));
        }
        let deadline = ground.deadline.filter(|deadline| now < *deadline).ok_or("the lease has ended")?;
        Ok(Self::Lock(UnderLock { fd, epoch, deadline }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Moment = Moment::from_millis(1000);

    fn ground(kind: PermissionKind) -> Ground {
        let deadline = Some(Moment::from_millis(2000));
        Ground { kind, held: Some(7), lost: false, written: Some(3), deadline }
    }

    #[test]
    fn nothing_starts_without_lock_record_and_deadline() {
        let whole = ground(PermissionKind::Lock);
        let lacking = [
            Ground { held: None, ..whole },
            Ground { lost: true, ..whole },
            Ground { written: Some(2), ..whole },
            Ground { written: None, ..whole },
            Ground { deadline: None, ..whole },
            Ground { deadline: Some(NOW), ..whole },
        ];
        for ground in lacking {
            assert!(Permission::ask(Asked::InEpoch(3), &ground, NOW).is_err(), "{ground:?}");
        }
        let Ok(Permission::Lock(permission)) = Permission::ask(Asked::InEpoch(3), &whole, NOW) else { panic!() };
        assert_eq!((permission.fd(), permission.epoch()), (7, 3));
    }

    #[test]
    fn a_guardian_starts_only_the_kind_that_it_was_made_for() {
        assert!(Permission::ask(Asked::AlwaysOn, &ground(PermissionKind::Lock), NOW).is_err());
        let always_on = Ground { held: None, written: None, deadline: None, ..ground(PermissionKind::AlwaysOn) };
        assert!(Permission::ask(Asked::InEpoch(3), &ground(PermissionKind::AlwaysOn), NOW).is_err());
        assert!(Permission::ask(Asked::AlwaysOn, &ground(PermissionKind::AlwaysOn), NOW).is_err(), "it holds a lock");
        assert_eq!(Permission::ask(Asked::AlwaysOn, &always_on, NOW), Ok(Permission::AlwaysOn(WithoutLock(()))));
    }
}

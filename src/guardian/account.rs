//! Who the coordinator is to be, as this host's name services say. They may be slow, or not answer at all (LDAP, sssd): so a
//! thread of its own asks them, early, and nobody waits for it without a limit.
//!
//! Rejected: a process of its own. It would be a child that the proof of the tree's death has to tell from the tree.

use std::ffi::{CString, OsString};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use nix::sys::eventfd::EventFd;
use nix::unistd::{Gid, Uid, User};

use crate::moment::Moment;
use crate::syscalls::Identity;

/// From when on it is worth saying that a name service is slow.
const SLOW: Duration = Duration::from_secs(2);

/// How long a start waits for it. sssd and nslcd give up on a server of theirs after 6 to 30 s.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Who somebody is.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// `None`: stays who this process is.
    pub identity: Option<Identity>,
    pub variables: Vec<(&'static str, OsString)>,
}

/// `coordinator.user`, looked up or being looked up.
pub struct Lookup {
    user: Option<String>,
    bell: Arc<EventFd>,
    asked: Moment,
    /// Said to be slow.
    said: bool,
    answer: Answer,
}

enum Answer {
    Awaited(Receiver<Result<Account, String>>),
    Known(Result<Account, String>),
}

impl Lookup {
    /// Asks for the account of `coordinator.user`, a name or a number. The bell rings when the answer is there.
    pub fn begin(user: Option<&str>, bell: Arc<EventFd>, now: Moment) -> Self {
        let mut lookup = Self {
            user: user.map(str::to_owned),
            bell,
            asked: now,
            said: false,
            answer: Answer::Known(Ok(Account::default())),
        };
        lookup.ask(now, look_up);
        lookup
    }

    fn ask(&mut self, now: Moment, look_up: fn(&str) -> Result<Account, String>) {
        let Some(user) = self.user.clone() else { return };
        let (sender, answer) = channel();
        let bell = Arc::clone(&self.bell);
        let thread = std::thread::Builder::new().name("account".to_owned()).spawn(move || {
            let _ = sender.send(look_up(&user));
            drop(sender);
            // It only fails if it rings already.
            let _ = bell.write(1);
        });
        (self.asked, self.said) = (now, false);
        self.answer = match thread {
            Ok(_) => Answer::Awaited(answer),
            Err(error) => Answer::Known(Err(format!("cannot look up coordinator.user: no thread can be had: {error}"))),
        };
    }

    /// Takes in the answer, if it is there. A sentence to be told, once, if that takes long.
    pub fn hear(&mut self, now: Moment) -> Option<String> {
        let Answer::Awaited(answer) = &self.answer else { return None };
        match answer.try_recv() {
            Ok(account) => self.answer = Answer::Known(account),
            Err(TryRecvError::Disconnected) => {
                self.answer = Answer::Known(Err("the look-up of coordinator.user ended without an answer".to_owned()));
            }
            Err(TryRecvError::Empty) if !self.said && now >= self.asked + SLOW => {
                self.said = true;
                return Some(self.silence(now));
            }
            Err(TryRecvError::Empty) => {}
        }
        None
    }

    /// `None`: not known yet.
    pub fn account(&self) -> Option<Result<&Account, String>> {
        match &self.answer {
            Answer::Awaited(_) => None,
            Answer::Known(account) => Some(account.as_ref().map_err(String::clone)),
        }
    }

    /// Asks once more where the last answer was a failure.
    pub fn retry(&mut self, now: Moment) {
        if let Answer::Known(Err(_)) = self.answer {
            self.ask(now, look_up);
        }
    }

    /// When [`Lookup::hear`] has something to say.
    pub fn due(&self) -> Option<Moment> {
        (!self.said && matches!(self.answer, Answer::Awaited(_))).then(|| self.asked + SLOW)
    }

    /// That there is no answer yet.
    pub fn silence(&self, now: Moment) -> String {
        let (user, seconds) = (self.user.as_deref().unwrap_or(""), now.since(self.asked).as_secs());
        format!(
            "this host's name service has not said for {seconds} s who coordinator.user \"{user}\" is; \
             does `getent passwd {user}` answer? nsswitch.conf names the services (LDAP, sssd) that are asked"
        )
    }
}

/// May take as long as a name service likes.
fn look_up(user: &str) -> Result<Account, String> {
    let found = match user.parse::<u32>() {
        Ok(uid) => User::from_uid(Uid::from_raw(uid)),
        Err(_) => User::from_name(user),
    };
    let found = found
        .map_err(|error| format!("cannot look up coordinator.user \"{user}\": {error}"))?
        .ok_or_else(|| format!("coordinator.user \"{user}\" does not exist on this host; create it"))?;
    let variables = vec![
        ("HOME", found.dir.into_os_string()),
        ("USER", OsString::from(&found.name)),
        ("LOGNAME", OsString::from(&found.name)),
    ];
    if Uid::effective() == found.uid && Gid::effective() == found.gid && !found.uid.is_root() {
        return Ok(Account { identity: None, variables });
    }
    if !Uid::effective().is_root() {
        return Err(format!("coordinator.user \"{user}\" needs primacy to run as root, or as that user"));
    }
    let name = CString::new(found.name.as_str()).map_err(|_| format!("coordinator.user \"{user}\" contains NUL"))?;
    let groups = nix::unistd::getgrouplist(&name, found.gid)
        .map_err(|error| format!("cannot look up the groups of coordinator.user \"{user}\": {error}"))?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Account { identity: Some(Identity { uid: found.uid.as_raw(), gid: found.gid.as_raw(), groups }), variables })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    fn asked(look_up: fn(&str) -> Result<Account, String>) -> Lookup {
        let mut lookup = Lookup::begin(None, Arc::new(EventFd::new().unwrap()), clock::now());
        lookup.user = Some("dremio".to_owned());
        lookup.ask(clock::now(), look_up);
        lookup
    }

    #[test]
    fn nobody_waits_for_a_name_service_that_does_not_answer_and_it_is_named_once() {
        let mut lookup = asked(|_| {
            std::thread::sleep(Duration::from_secs(3600));
            Err(String::new())
        });
        let now = clock::now();
        assert_eq!(lookup.hear(now), None);
        assert!(lookup.account().is_none());
        let due = lookup.due().unwrap();
        let said = lookup.hear(due).unwrap();
        assert!(said.contains("name service") && said.contains("getent passwd dremio"), "{said}");
        assert_eq!((lookup.hear(due + SLOW), lookup.due()), (None, None));
    }

    #[test]
    fn the_bell_rings_with_the_answer_and_a_failure_may_be_asked_again() {
        let mut lookup = asked(|user| Err(format!("{user} is unknown")));
        assert!(lookup.bell.read().is_ok(), "it waits for the bell");
        assert_eq!(lookup.hear(clock::now()), None);
        assert_eq!(lookup.account().unwrap().unwrap_err(), "dremio is unknown");
        lookup.user = Some("0".to_owned());
        lookup.retry(clock::now());
        assert!(lookup.bell.read().is_ok());
        lookup.hear(clock::now());
        let known = lookup.account().unwrap();
        assert!(known.is_ok() || !Uid::effective().is_root(), "{known:?}");
    }

    #[test]
    fn a_look_up_that_fails_badly_is_a_failure() {
        let mut lookup = asked(|_| panic!("a defect"));
        while lookup.account().is_none() {
            lookup.hear(clock::now());
            std::thread::yield_now();
        }
        assert!(lookup.account().unwrap().is_err());
    }
}

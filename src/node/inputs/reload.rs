//! A configuration that is read again: when, and what of it takes effect.

use std::sync::Arc;
use std::time::Duration;

use crate::config::{self, Config};
use crate::guardian::protocol::NoteLevel;
use crate::moment::Moment;
use crate::node::Node;
use crate::node::input::Reread;
use crate::node::output::Output;
use crate::node::reload::Reloading;
use crate::node::say::{Say, Unchanged};
use crate::role::Event;
use crate::status::Reloaded;

impl Node {
    /// `by`: what asks for it.
    pub(in crate::node) fn ask_for_reload(&mut self, by: &str) {
        if self.reloading == Reloading::No {
            self.text(NoteLevel::Info, format!("{by}: reading the configuration again"));
            self.reloading = Reloading::Reading;
            self.reload_requests.reading = self.reload_requests.latest;
            self.outputs.push_back(Output::ReadConfiguration);
        } else {
            let text = format!("{by}: the configuration is being read already; it is read once more after that");
            self.text(NoteLevel::Info, text);
            self.reloading = Reloading::ReadingAndAgain;
        }
    }

    pub(in crate::node) fn hear_reread(&mut self, read: Result<Box<Reread>, String>, now: Moment) -> Option<Event> {
        let covers = self.reload_requests.reading;
        if std::mem::take(&mut self.reloading) == Reloading::ReadingAndAgain {
            let by = if self.reload_requests.latest > covers { "POST /reload" } else { "SIGHUP" };
            self.ask_for_reload(by);
        }
        self.facts.reloaded = Some(Reloaded { covers, ..Reloaded::default() });
        self.changed = true;
        let read = match read {
            Ok(read) => *read,
            Err(problems) => {
                let text = format!("the configuration was not reloaded, everything stays as it was:\n{problems}");
                self.text(NoteLevel::Error, text);
                self.facts.reloaded = Some(Reloaded { covers, problems: Some(problems), ..Reloaded::default() });
                return None;
            }
        };
        let config = Arc::new(self.merge(read));
        let timeout = self.facts.session_timeout_ms.map(Duration::from_millis);
        self.go_by(self.timing.reckon(&config, timeout).rules);
        self.facts.config_shown = Arc::new(config::effective(&config));
        let former = std::mem::replace(&mut self.facts.config, Arc::clone(&config));
        let tls = config.zookeeper.tls.is_some();
        self.outputs.push_back(Output::Reconfigured(config));
        if tls && let Some(will) = self.will.clone() {
            // Whoever sends it adds the certificates that are in force by then.
            self.hand_over_the_will(Some(will));
        }
        self.changed = true;
        Some(self.probe_anew(&former.health, now).unwrap_or(Event::TimePassed))
    }

    /// Takes over what takes effect at run time, and says of every key that differs which it is.
    fn merge(&mut self, read: Reread) -> Config {
        let Reread { config: read, level_applies } = read;
        let current = Arc::clone(&self.facts.config);
        for change in config::reload_differences(&current, &read) {
            let key = change.key;
            if let Some(reloaded) = &mut self.facts.reloaded {
                let applies = change.takes_effect && (key != "log_level" || level_applies);
                let list = if applies { &mut reloaded.applied } else { &mut reloaded.needs_restart };
                list.push(key.clone());
            }
            self.say(if key == "log_level" && !level_applies {
                Say::NotReloaded { key, why: Unchanged::Overruled }
            } else if change.takes_effect {
                Say::Reloaded { key }
            } else {
                Say::NotReloaded { key, why: Unchanged::NeedsRestart }
            });
        }
        for text in read.without_effect.iter().filter(|text| !current.without_effect.contains(text)) {
            self.text(NoteLevel::Warn, text.clone());
        }
        config::merge(&current, &read)
    }
}

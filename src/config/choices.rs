//! Keys with a few words to choose from: each is one type, which has the words. The table of keys, the parser and the
//! effective configuration take them from there, so that no word can be accepted and then mean something else: with the
//! words in three lists, one that is missing from the parser's would have switched a watchdog off.

macro_rules! choice {
    ($(#[$about:meta])* $name:ident { $($(#[$word_about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$about])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
        )]
        pub enum $name {
            $($(#[$word_about])* $variant,)+
        }

        impl $name {
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            pub const WORDS: &[&str] = &[$($word),+];

            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            pub fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|choice| choice.as_str() == word)
            }
        }
    };
}

choice! {
    /// `election`
    ElectionKind {
        #[default]
        ZooKeeper = "zookeeper",
        Lock = "lock",
    }
}

choice! {
    /// `mode`
    Mode {
        /// One coordinator in the cluster.
        #[default]
        ActiveStandby = "active-standby",
        /// One on every host.
        AlwaysOn = "always-on",
    }
}

choice! {
    /// `log_level`, quietest first.
    LogLevel {
        Error = "error",
        Warn = "warn",
        #[default]
        Info = "info",
        Debug = "debug",
        Trace = "trace",
    }
}

choice! {
    /// `coordinator.kind`
    CoordinatorKind {
        #[default]
        Foreground = "foreground",
        Forking = "forking",
    }
}

choice! {
    /// `fencing.watchdog`
    WatchdogUse {
        #[default]
        Off = "off",
        /// Used where there is one.
        Automatic = "automatic",
        /// Without one this node never becomes active.
        Required = "required",
    }
}

choice! {
    /// `fencing.after_loss`
    AfterLoss {
        #[default]
        Exit = "exit",
        Rejoin = "rejoin",
    }
}

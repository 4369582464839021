//! Below systemd: its protocol, and the packaged unit under a real one.

mod booted;
mod notify;
mod unit;

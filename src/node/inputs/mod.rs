//! What each thing that is heard means: facts are noted, and the role's machine is told an event.

mod commands;
mod election;
mod guardian;
mod health;
mod leaving;
mod peers;
mod reload;
mod requests;

pub use self::election::ASK_AGAIN;

//! The guardian: the small process between supervisor and coordinator. See [`protocol`] for what is said to it.

pub mod frames;
pub mod protocol;

//! `drill`: breaks a cluster in a box and judges what happened.
fn main() {}

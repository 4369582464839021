//! What is in recordings: the lines of a supervisor's and of a guardian's, and how they are read.

pub mod guardian;
pub mod reading;
pub mod supervisor;

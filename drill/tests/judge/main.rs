//! The judge is judged: forged histories that it must convict, and innocent ones that it must not.

mod acquittals;
mod convictions;
mod files;
mod forge;
mod forgeries;
mod machines;
mod page;
mod property;
mod scribe;

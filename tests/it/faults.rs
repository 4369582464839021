//! Faults against the whole program, end to end. Whatever happens: never two coordinators; and where it is possible at
//! all, one runs again.

mod stops;

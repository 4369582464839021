//! `election = "lock"`: the shared lock alone decides.

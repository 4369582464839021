//! The ZooKeeper backend.

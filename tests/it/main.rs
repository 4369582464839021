//! Everything that needs real processes, sockets and servers, in one binary.

mod election;
mod proxy;
mod zookeeper;

//! An address that says nothing at all, as one behind a firewall that drops what is sent to it: a listener whose queue is full.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, socket};

pub struct Deaf {
    _socket: OwnedFd,
    _queue: Vec<TcpStream>,
}

impl Deaf {
    pub fn at(address: SocketAddr) -> Self {
        let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        let socket = socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).unwrap();
        bind(socket.as_raw_fd(), &SockaddrStorage::from(address)).unwrap();
        listen(&socket, Backlog::new(0).unwrap()).unwrap();
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
            queue.push(stream);
            assert!(queue.len() < 20, "its queue has no end");
        }
        Self { _socket: socket, _queue: queue }
    }
}

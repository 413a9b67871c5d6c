//! A program on a host: sends its bytes over TCP and collects what comes.

use std::net::{Ipv4Addr, SocketAddrV4};

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration;
use smoltcp::wire::IpAddress;

use crate::host::Host;

/// One end of a TCP connection.
pub(crate) struct Stream {
    host: usize,
    socket: SocketHandle,
    sending: Vec<u8>,
    sent: usize,
    expecting: usize,
    /// What came so far.
    pub(crate) received: Vec<u8>,
    /// Who is at the other end, once there is one.
    pub(crate) peer: Option<SocketAddrV4>,
}

impl Stream {
    /// Host `index` connects, sends, and expects so many bytes.
    pub(crate) fn connect(
        hosts: &mut [Host],
        index: usize,
        port: u16,
        remote: SocketAddrV4,
        sending: Vec<u8>,
        expecting: usize,
    ) -> Self {
        let stream = Self::new(hosts, index, sending, expecting);
        let host = &mut hosts[index];
        let socket = host.sockets.get_mut::<Socket>(stream.socket);
        let remote = (IpAddress::Ipv4(*remote.ip()), remote.port());
        socket.connect(host.interface.context(), remote, port).expect("the port is free");
        stream
    }

    /// Host `index` takes one connection, sends, and expects so many bytes.
    pub(crate) fn listen(
        hosts: &mut [Host],
        index: usize,
        port: u16,
        sending: Vec<u8>,
        expecting: usize,
    ) -> Self {
        let stream = Self::new(hosts, index, sending, expecting);
        hosts[index].sockets.get_mut::<Socket>(stream.socket).listen(port).expect("a port");
        stream
    }

    fn new(hosts: &mut [Host], host: usize, sending: Vec<u8>, expecting: usize) -> Self {
        let buffer = || SocketBuffer::new(vec![0; 16 * 1024]);
        let mut socket = Socket::new(buffer(), buffer());
        // smoltcp sometimes stops its retransmission timer with bytes unacknowledged; the answers to these probes are
        // duplicate acknowledgements, which make it go on.
        socket.set_keep_alive(Some(Duration::from_secs(1)));
        let socket = hosts[host].sockets.add(socket);
        Self { host, socket, sending, sent: 0, expecting, received: Vec::new(), peer: None }
    }

    /// Does what can be done now; `true` when all is sent and acknowledged, and what was expected has come.
    pub(crate) fn work(&mut self, hosts: &mut [Host]) -> bool {
        let socket = hosts[self.host].sockets.get_mut::<Socket>(self.socket);
        if let (None, Some(peer)) = (self.peer, socket.remote_endpoint()) {
            let IpAddress::Ipv4(address) = peer.addr;
            self.peer = Some(SocketAddrV4::new(Ipv4Addr::from(address.octets()), peer.port));
        }
        if socket.can_send() && self.sent < self.sending.len() {
            self.sent += socket.send_slice(&self.sending[self.sent..]).expect("can send");
        }
        while socket.can_recv() {
            let received = &mut self.received;
            let take = |bytes: &mut [u8]| {
                received.extend_from_slice(bytes);
                (bytes.len(), ())
            };
            socket.recv(take).expect("can receive");
        }
        let all_acknowledged = self.sent == self.sending.len() && socket.send_queue() == 0;
        all_acknowledged && self.received.len() >= self.expecting
    }

    /// Closes this end. To be used where nothing is lost: smoltcp sometimes does not send a lost FIN again.
    pub(crate) fn close(&self, hosts: &mut [Host]) {
        hosts[self.host].sockets.get_mut::<Socket>(self.socket).close();
    }

    /// Whether both ends have closed.
    pub(crate) fn is_closed(&self, hosts: &[Host]) -> bool {
        let state = hosts[self.host].sockets.get::<Socket>(self.socket).state();
        matches!(state, State::Closed | State::TimeWait)
    }
}

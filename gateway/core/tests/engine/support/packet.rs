//! A packet as a value: what tests send, and what they compare with what came out.

use std::net::SocketAddrV4;

use etherparse::{
    Ethernet2Header, Icmpv4Header, Icmpv4Type, IpHeaders, IpNumber, Ipv4Header, MacAddr as _, NetHeaders,
};

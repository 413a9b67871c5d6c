//! Frames for tests of what cuts packets and puts them together, made and read by code that is not ours.

use etherparse::{
    IpHeaders, IpNumber, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6FlowLabel, Ipv6Header,
    Ipv6RawExtHeader, Ipv6RoutingExtensions, NetSlice, PacketBuilder, SlicedPacket, TcpHeader,
    TransportSlice,
};

use crate::VNET_LEN;

/// How a sample's IP header looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Net {
    V4,
    /// With hop-by-hop options, routing and destination options, if chosen.
    V6 {
        hop_by_hop: bool,
        routing: bool,
        destination: bool,
    },
}

/// IPv6 without extension headers.
pub(crate) const V6: Net = Net::V6 { hop_by_hop: false, routing: false, destination: false };

/// IPv6 with all the extension headers that there are.
pub(crate) const V6_FULL: Net = Net::V6 { hop_by_hop: true, routing: true, destination: true };

/// The id of IPv4 samples.
pub(crate) const ID: u16 = 0xfffe;

/// A UDP datagram, its vnet header all zero and its checksum complete. The last octet of its source address is
/// `host`.
pub(crate) fn udp_from(host: u8, net: Net, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; VNET_LEN];
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ip(ip(host, net));
    step.udp(1000, 2000).write(&mut frame, payload).expect("the sample can be written");
    frame
}

pub(crate) fn udp(net: Net, payload: &[u8]) -> Vec<u8> {
    udp_from(1, net, payload)
}

/// A TCP packet with the flags that segments share out, and options.
pub(crate) fn tcp(net: Net, payload: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(1000, 2000, u32::MAX - 1000, 512);
    (header.ack, header.psh, header.fin, header.cwr) = (true, true, true, true);
    header.set_options_raw(&[1, 1, 1, 1]).expect("four bytes fit");
    let mut frame = vec![0; VNET_LEN];
    let step = PacketBuilder::ethernet2([2; 6], [4; 6]).ip(ip(1, net));
    step.tcp_header(header).write(&mut frame, payload).expect("the sample can be written");
    frame
}

fn ip(host: u8, net: Net) -> IpHeaders {
    match net {
        Net::V4 => {
            let mut header =
                Ipv4Header::new(0, 64, IpNumber(0), [10, 0, 0, host], [192, 0, 2, 1]).expect("empty so far");
            (header.identification, header.dont_fragment) = (ID, false);
            IpHeaders::Ipv4(header, Ipv4Extensions::default())
        }
        Net::V6 { hop_by_hop, routing, destination } => {
            // Options that pad; a routing header with no segments left.
            let options = || Ipv6RawExtHeader::new_raw(IpNumber(0), &[1, 4, 0, 0, 0, 0]).expect("8 bytes");
            let route = || Ipv6RawExtHeader::new_raw(IpNumber(0), &[4, 0, 0, 0, 0, 0]).expect("8 bytes");
            let extensions = Ipv6Extensions {
                hop_by_hop_options: hop_by_hop.then(options),
                destination_options: destination.then(options),
                routing: routing.then(|| Ipv6RoutingExtensions {
                    routing: route(),
                    final_destination_options: destination.then(options),
                }),
                fragment: None,
                auth: None,
            };
            let mut source = [0xfd; 16];
            source[15] = host;
            let header = Ipv6Header {
                traffic_class: 0,
                flow_label: Ipv6FlowLabel::ZERO,
                payload_length: 0,
                next_header: IpNumber(0),
                hop_limit: 64,
                source,
                destination: [0xfc; 16],
            };
            IpHeaders::Ipv6(header, extensions)
        }
    }
}

/// What is in a frame, by a parser that is not ours.
pub(crate) fn read(frame: &[u8]) -> SlicedPacket<'_> {
    SlicedPacket::from_ethernet(&frame[VNET_LEN..]).expect("the frame can be parsed")
}

/// Panics unless every checksum of a frame with TCP or UDP is complete and right.
pub(crate) fn assert_checksums(frame: &[u8]) {
    let packet = read(frame);
    let (found, right) = match (packet.net, packet.transport) {
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let right = tcp.calc_checksum_ipv4(ip.header().source(), ip.header().destination());
            (tcp.checksum(), right.expect("not too long"))
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Tcp(tcp))) => {
            let right = tcp.calc_checksum_ipv6(ip.header().source(), ip.header().destination());
            (tcp.checksum(), right.expect("not too long"))
        }
        (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Udp(udp))) => {
            let ip = ip.header();
            let right = udp.to_header().calc_checksum_ipv4_raw(ip.source(), ip.destination(), udp.payload());
            (udp.checksum(), right.expect("not too long"))
        }
        (Some(NetSlice::Ipv6(ip)), Some(TransportSlice::Udp(udp))) => {
            let ip = ip.header();
            let right = udp.to_header().calc_checksum_ipv6_raw(ip.source(), ip.destination(), udp.payload());
            (udp.checksum(), right.expect("not too long"))
        }
        other => panic!("neither TCP nor UDP: {other:?}"),
    };
    assert_eq!(found, right, "transport checksum");
    if let Some(NetSlice::Ipv4(ip)) = read(frame).net {
        assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
    }
}

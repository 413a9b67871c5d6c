//! A glance never sees more, nor anything else, than a parse does.

use etherparse::{PacketBuilder, TcpOptionElement};
use proptest::prelude::*;

use super::*;
use crate::packet::{Packet, Transport};
use crate::wire::{Family, VNET_LEN};
use crate::{Protocol, packet};

/// A good frame.
fn frame(v6: bool, tcp: bool, options: bool, payload: usize, padding: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let builder = if v6 {
        builder.ipv6([0xfd; 16], [0xfc; 16], 64)
    } else {
        builder.ipv4([10, 0, 0, 2], [192, 0, 2, 1], 64)
    };
    let (mut frame, payload) = (vec![0; VNET_LEN], vec![0xa5; payload]);
    if tcp {
        let builder = builder.tcp(4000, 80, 7, 1000).ack(9);
        let options = if options { &[TcpOptionElement::Timestamp(1, 2)][..] } else { &[] };
        builder.options(options).unwrap().write(&mut frame, &payload).unwrap();
    } else {
        builder.udp(4000, 53).write(&mut frame, &payload).unwrap();
    }
    frame.extend(vec![0; padding]);
    frame
}

/// Asks for a checksum, and for segments of `size` if that is not 0.
fn ask(frame: &mut [u8], v6: bool, tcp: bool, size: u16) {
    let start: u16 = 14 + if v6 { 40 } else { 20 };
    let gso = match (size, tcp, v6) {
        (0, ..) => 0,
        (_, true, false) => GSO_TCPV4,
        (_, true, true) => GSO_TCPV6,
        (_, false, _) => GSO_UDP_L4,
    };
    (frame[0], frame[1]) = (1, gso);
    let words = [0, size, start, if tcp { 16 } else { 6 }];
    frame[2..VNET_LEN].copy_from_slice(words.map(u16::to_ne_bytes).as_flattened());
}

/// Fails unless the parse says the same as the glance. Returns whether there was one.
fn agree<V: Version>(frame: &[u8], family: Family) -> Result<bool, TestCaseError> {
    let Some(glance) = Glance::of::<V>(frame) else { return Ok(false) };
    let Ok(Some(packet)) = Packet::parse(frame, family) else {
        return Err(TestCaseError::fail(format!("only a glance accepts {frame:02x?}")));
    };
    let tuple = packet.tuple().expect("TCP and UDP have one");
    let ports = u32::from(tuple.source.port()) << 16 | u32::from(tuple.destination.port());
    prop_assert_eq!(glance.is_tcp, tuple.protocol == Protocol::Tcp);
    prop_assert_eq!(glance.ports, ports);
    prop_assert_eq!((V::AT, packet.ttl > 1), (packet.at, true));
    prop_assert_eq!(usize::from(glance.length), packet.end - packet.at);
    prop_assert_eq!(glance.may_be_fragmented, !packet.dont_fragment);
    prop_assert_eq!(glance.partial_checksum, packet.vnet.partial_checksum);
    prop_assert_eq!(glance.is_super_packet(), packet.vnet.is_super_packet());
    prop_assert_eq!(glance.header_len::<V>(frame), packet.transport.header_len());
    prop_assert_eq!(glance.payload::<V>(frame), packet.payload_len());
    prop_assert_eq!(glance.on_wire::<V>(frame), packet.largest_on_wire());
    prop_assert_eq!(usize::from(glance.segments::<V>(frame)), packet.segments());
    let syn =
        matches!(packet.transport, Transport::Tcp(packet::Tcp { flags, .. }) if flags & tcp_flag::SYN != 0);
    prop_assert!(!syn);
    Ok(true)
}

fn glance_agrees(frame: &[u8], v6: bool) -> Result<bool, TestCaseError> {
    if v6 { agree::<V6>(frame, Family::V6) } else { agree::<V4>(frame, Family::V4) }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_glance_accepts_is_what_a_parse_says(
        (v6, tcp, options) in any::<(bool, bool, bool)>(),
        payload in 0..200_usize,
        padding in 0..8_usize,
        asks in prop::option::of(0..60_u16),
        // Mostly in the headers.
        mutations in prop::collection::vec((0..90_usize, any::<u8>()), 0..3),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut frame = frame(v6, tcp, options, payload, padding);
        if let Some(size) = asks {
            ask(&mut frame, v6, tcp, size);
        }
        for (at, value) in mutations {
            if let Some(byte) = frame.get_mut(at) {
                *byte = value;
            }
        }
        // A header that was changed has its checksum made good in half of the cases.
        if !v6 && payload % 2 == 0 && frame.len() >= V4::AT {
            frame[IP + 10..IP + 12].fill(0);
            let checksum = crate::checksum::checksum(&frame[IP..V4::AT]);
            frame[IP + 10..IP + 12].copy_from_slice(&checksum.to_be_bytes());
        }
        if let Some(cut) = cut.filter(|_| payload % 3 == 0) {
            frame.truncate(cut.index(frame.len()));
        }
        glance_agrees(&frame, v6)?;
    }
}

#[test]
fn simple_packets_are_accepted() {
    for (v6, tcp, options, asks) in (0..16)
        .map(|i| (i & 1 != 0, i & 2 != 0, i & 4 != 0, i & 8 != 0))
        .filter(|&(_, tcp, options, _)| tcp || !options)
    {
        let mut frame = frame(v6, tcp, options, 100, 0);
        if asks {
            ask(&mut frame, v6, tcp, 40);
        }
        assert_eq!(glance_agrees(&frame, v6).ok(), Some(true), "{:?}", (v6, tcp, options, asks));
    }
}

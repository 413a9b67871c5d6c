use etherparse::{NetSlice, TransportSlice, defrag::IpDefragPool};
use proptest::prelude::*;

use super::*;
use crate::checksum::sum;
use crate::fragment::Reassembly;
use crate::fragment::samples::{ID, Net, V6, V6_FULL, assert_checksums, read, tcp, udp};

use crate::{Instant, Link, UplinkId};

fn nets() -> impl Strategy<Value = Net> {
    let v6 = any::<(bool, bool, bool)>().prop_map(|(hop_by_hop, routing, destination)| Net::V6 {
        hop_by_hop,
        routing,
        destination,
    });
    prop_oneof![Just(Net::V4), v6]
}

/// etherparse looks for extension headers in fragments that are not the first, if the first has some.
fn nets_with_nothing_shared_out() -> impl Strategy<Value = Net> {
    nets().prop_map(|net| match net {
        Net::V4 => Net::V4,
        Net::V6 { hop_by_hop, routing, .. } => Net::V6 { hop_by_hop, routing, destination: false },
    })
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

/// Leaves the checksum of a sample, and its segmentation if `size` is not 0, to somebody later.
fn unfinished(mut frame: Vec<u8>, size: u16) -> Vec<u8> {
    let (family, protocol, start, covered) = {
        let packet = read(&frame);
        let (protocol, transport) = match packet.transport {
            Some(TransportSlice::Tcp(tcp)) => (protocol::TCP, tcp.slice()),
            Some(TransportSlice::Udp(udp)) => (protocol::UDP, udp.slice()),
            other => panic!("neither TCP nor UDP: {other:?}"),
        };
        let family = if matches!(packet.net, Some(NetSlice::Ipv4(_))) { Family::V4 } else { Family::V6 };
        (family, protocol, frame.len() - transport.len(), transport.len())
    };
    let (offset, gso) = match (protocol, family) {
        (protocol::TCP, Family::V4) => (checksum_at::TCP, vnet::GSO_TCPV4),
        (protocol::TCP, Family::V6) => (checksum_at::TCP, vnet::GSO_TCPV6 | vnet::GSO_ECN),
        _ => (checksum_at::UDP, vnet::GSO_UDP_L4),
    };
    let addresses = if family == Family::V4 { IP + 12..IP + 20 } else { IP + 8..IP + 40 };
    let pseudo_header = sum(&frame[addresses], u32::from(protocol) + covered as u32);
    put_u16(&mut frame, start + offset, pseudo_header);
    frame[0] = 1;
    frame[1] = if size > 0 { gso } else { 0 };
    for (at, word) in [(4, size), (6, (start - ETHERNET) as u16), (8, offset as u16)] {
        frame[at..at + 2].copy_from_slice(&word.to_ne_bytes());
    }
    frame
}

fn segments(frame: &[u8]) -> Result<Vec<Vec<u8>>, Reason> {
    let mut out = Vec::new();
    segment(frame, |segment| out.push(segment))?;
    Ok(out)
}

fn fragments(frame: &[u8], limit: usize) -> Result<Vec<Vec<u8>>, Reason> {
    let mut out = Vec::new();
    fragment(frame, limit, 0x0102_0304, |fragment| out.push(fragment))?;
    Ok(out)
}

fn payload_of(frame: &[u8]) -> Vec<u8> {
    match read(frame).transport {
        Some(TransportSlice::Tcp(tcp)) => tcp.payload().to_vec(),
        Some(TransportSlice::Udp(udp)) => udp.payload().to_vec(),
        other => panic!("neither TCP nor UDP: {other:?}"),
    }
}

proptest! {
    #[test]
    fn a_partial_checksum_completed_is_the_one_that_was_left_out(net in nets(), is_tcp: bool, length in 0..3000_usize) {
        let whole = if is_tcp { tcp(net, &bytes(length)) } else { udp(net, &bytes(length)) };
        let mut frame = unfinished(whole.clone(), 0);
        prop_assert_ne!(&frame, &whole);
        prop_assert_eq!(complete_checksum(&mut frame), Ok(()));
        prop_assert_eq!(frame, whole);
    }

    #[test]
    fn segments_carry_all_the_payload_in_order_with_right_headers(net in nets(), is_tcp: bool, length in 1..20_000_usize, size in 100..3000_u16) {
        let payload = bytes(length);
        let frame = if is_tcp { tcp(net, &payload) } else { udp(net, &payload) };
        let segments = segments(&unfinished(frame.clone(), size)).unwrap();
        prop_assert_eq!(segments.len(), length.div_ceil(size.into()));
        let last = segments.len() - 1;
        for (index, segment) in segments.iter().enumerate() {
            assert_checksums(segment);
            prop_assert_eq!(&segment[..IP - 2], [&[0; VNET_LEN], &frame[VNET_LEN..IP - 2]].concat());
            prop_assert!(index == last || payload_of(segment).len() == usize::from(size));
            let packet = read(segment);
            if let Some(NetSlice::Ipv4(ip)) = packet.net {
                prop_assert_eq!(ip.header().identification(), ID.wrapping_add(index as u16));
            }
            if let Some(TransportSlice::Tcp(tcp)) = packet.transport {
                let sequence = (u32::MAX - 1000).wrapping_add(index as u32 * u32::from(size));
                prop_assert_eq!(tcp.sequence_number(), sequence);
                prop_assert_eq!((tcp.fin(), tcp.psh(), tcp.cwr()), (index == last, index == last, index == 0));
                prop_assert_eq!((tcp.ack(), tcp.options()), (true, &[1, 1, 1, 1][..]));
            }
        }
        prop_assert_eq!(segments.iter().flat_map(|segment| payload_of(segment)).collect::<Vec<_>>(), payload);
    }

    #[test]
    fn fragments_fit_and_another_implementation_puts_them_together(net in nets_with_nothing_shared_out(), length in 0..20_000_usize, limit in 104..3000_usize, dont_fragment: bool) {
        let mut frame = udp(net, &bytes(length));
        if net == Net::V4 && dont_fragment {
            frame[IP + 6] |= 0x40;
            set_header_checksum(&mut frame);
        }
        let fragments = fragments(&frame, limit).unwrap();
        if frame.len() - IP <= limit {
            prop_assert_eq!(fragments, vec![frame]);
            return Ok(());
        }
        let mut pool = IpDefragPool::<(), ()>::new();
        let mut whole = None;
        for fragment in &fragments {
            prop_assert!(fragment.len() - IP <= limit);
            prop_assert_eq!(&fragment[..IP], &frame[..IP]);
            prop_assert!(whole.is_none());
            let packet = read(fragment);
            if let Some(NetSlice::Ipv4(ip)) = &packet.net {
                prop_assert_eq!(ip.header().identification(), 0x0304);
                prop_assert_eq!(ip.header().dont_fragment(), dont_fragment);
                prop_assert_eq!(ip.header().header_checksum(), ip.header().to_header().calc_header_checksum());
            }
            whole = pool.process_sliced_packet(&packet, (), ()).unwrap();
        }
        let whole = whole.expect("the last fragment completes it").payload;
        prop_assert_eq!(&whole, &frame[frame.len() - length - 8..]);
        // All but the last are as large as they can be.
        prop_assert!(fragments[..fragments.len() - 1].iter().all(|f| f.len() - IP + 8 > limit));
    }

    #[test]
    fn nothing_that_comes_in_makes_it_panic(net in nets(), is_tcp: bool, length in 0..300_usize, size in 0..200_u16, limit in 0..400_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6), cut in any::<prop::sample::Index>())
    {
        let frame = if is_tcp { tcp(net, &bytes(length)) } else { udp(net, &bytes(length)) };
        let mut frame = unfinished(frame, size);
        for (at, value) in changes {
            let at = at.index(frame.len().min(120));
            frame[at] = value;
        }
        // Nearly all changes are noticed by the checksum, unless it is made right again.
        if frame[IP] == 0x45 {
            set_header_checksum(&mut frame);
        }
        frame.truncate(frame.len() - cut.index(frame.len()) / 8);
        if let Ok(segments) = segments(&frame) {
            prop_assert!(segments.len() <= SEGMENTS_PER_SUPER_PACKET);
        }
        let _ = complete_checksum(&mut frame);
        frame[..VNET_LEN].fill(0);
        if let Ok(fragments) = fragments(&frame, limit) {
            prop_assert!(fragments.iter().all(|fragment| fragment.len() - IP <= limit));
        }
    }
}

#[test]
fn a_udp_checksum_that_comes_out_as_zero_is_sent_as_all_ones() {
    for net in [Net::V4, V6] {
        // A payload word of what is missing to all ones makes the checksum zero.
        let missing = payload_word_for_zero(net);
        let frame = udp(net, &missing.to_be_bytes());
        let field = frame.len() - 4;
        assert_eq!(u16_at(&frame, field), 0xffff, "etherparse agrees");
        let mut partial = unfinished(frame.clone(), 0);
        complete_checksum(&mut partial).unwrap();
        assert_eq!(partial, frame);
        assert_eq!(segments(&unfinished(frame.clone(), 1400)).unwrap(), [frame]);
    }
}

fn payload_word_for_zero(net: Net) -> u16 {
    let frame = udp(net, &[0, 0]);
    u16_at(&frame, frame.len() - 4)
}

#[test]
fn a_complete_checksum_is_left_alone_and_padding_is_not_summed() {
    let frame = udp(Net::V4, b"x");
    let mut again = frame.clone();
    again[0] = 2;
    complete_checksum(&mut again).unwrap();
    assert_eq!(again, frame);
    let mut padded = unfinished(frame.clone(), 0);
    padded.extend([0xee; 20]);
    complete_checksum(&mut padded).unwrap();
    assert_eq!(padded[..frame.len()], frame);
}

#[test]
fn super_packets_are_not_completed_nor_fragmented_and_single_packets_not_segmented() {
    let frame = tcp(Net::V4, &bytes(3000));
    let mut large = unfinished(frame.clone(), 1000);
    assert_eq!(complete_checksum(&mut large), Err(Reason::VnetHeaderInvalid));
    assert_eq!(fragments(&large, 1500), Err(Reason::VnetHeaderInvalid));
    assert_eq!(fragments(&unfinished(frame.clone(), 0), 1500), Err(Reason::VnetHeaderInvalid));
    assert_eq!(segments(&frame), Err(Reason::VnetHeaderInvalid));
    assert_eq!(segments(&unfinished(frame, 0)), Err(Reason::VnetHeaderInvalid));
}

#[test]
fn a_vnet_header_that_speaks_of_another_place_or_protocol_is_refused() {
    let good = unfinished(tcp(Net::V4, &bytes(3000)), 1000);
    assert!(segments(&good).is_ok());
    for (at, value) in [(1, vnet::GSO_TCPV6), (1, vnet::GSO_UDP_L4), (4, 0), (6, 33), (8, 6)] {
        let mut frame = good.clone();
        frame[at..=at + usize::from(at > 1)].fill(0);
        frame[at] = value;
        assert_eq!(segments(&frame), Err(Reason::VnetHeaderInvalid), "{value} at {at}");
    }
    let mut frame = good;
    frame[IP + IPV4_LEN + 12] = 0x40;
    assert_eq!(segments(&frame), Err(Reason::TransportInvalid));
    let mut short = unfinished(tcp(Net::V4, &[]), 1000);
    short[IP + IPV4_LEN + 12] = 0xf0;
    assert_eq!(segments(&short), Err(Reason::TransportInvalid));
}

#[test]
fn a_fragment_has_no_checksum_to_be_completed() {
    let mut frame = unfinished(udp(Net::V4, &bytes(64)), 0);
    frame[IP + 6] = 0x20;
    set_header_checksum(&mut frame);
    assert_eq!(complete_checksum(&mut frame), Err(Reason::FragmentInvalid));
}

#[test]
fn a_super_packet_of_one_byte_segments_is_bounded() {
    let at_bound = tcp(Net::V4, &bytes(SEGMENTS_PER_SUPER_PACKET));
    assert_eq!(segments(&unfinished(at_bound, 1)).unwrap().len(), SEGMENTS_PER_SUPER_PACKET);
    let above = tcp(Net::V4, &bytes(SEGMENTS_PER_SUPER_PACKET + 1));
    assert_eq!(segments(&unfinished(above, 1)), Err(Reason::VnetHeaderInvalid));
}

#[test]
fn the_fragment_header_stands_behind_what_is_looked_at_on_the_way() {
    let chain = |net| {
        let frame = fragments(&udp(net, &bytes(2000)), 1280).unwrap().remove(0);
        let mut header = Header::first(&frame[IP..]);
        let mut numbers = vec![header.number];
        while let Some(next) = header.next(&frame[IP..]) {
            header = next;
            numbers.push(header.number);
        }
        numbers.push(frame[IP + header.start]);
        numbers
    };
    assert_eq!(chain(V6), [44, 17]);
    let hop_by_hop = Net::V6 { hop_by_hop: true, routing: false, destination: true };
    assert_eq!(chain(hop_by_hop), [0, 44, 60], "destination options for the last destination are shared out");
    assert_eq!(chain(V6_FULL), [0, 60, 43, 44, 60]);
}

#[test]
fn a_limit_without_room_for_the_headers_is_refused() {
    assert_eq!(fragments(&udp(Net::V4, &bytes(2000)), 27), Err(Reason::PacketTooBig));
    assert_eq!(fragments(&udp(Net::V4, &bytes(2000)), 28).unwrap().len(), 2008 / 8);
    assert_eq!(
        fragments(&tcp(Net::V4, &bytes(2000)), 43),
        Err(Reason::PacketTooBig),
        "RFC 1858: half a TCP header"
    );
    assert!(fragments(&tcp(Net::V4, &bytes(2000)), 44).is_ok());
    assert_eq!(fragments(&udp(V6, &bytes(2000)), 55), Err(Reason::PacketTooBig));
    assert!(fragments(&udp(V6, &bytes(2000)), 56).is_ok());
    assert_eq!(
        fragments(&tcp(V6, &bytes(2000)), 64),
        Err(Reason::PacketTooBig),
        "half a TCP header (RFC 7112)"
    );
}

#[test]
fn segments_that_are_too_long_become_fragments_that_do_not_mix() {
    for net in [Net::V4, V6] {
        let payload = bytes(5000);
        let whole = udp(net, &payload);
        let mut pieces = Vec::new();
        to_fit(&unfinished(whole.clone(), 2000), 1280, u32::MAX, |piece| pieces.push(piece)).unwrap();
        // Two fragments of each segment but the last, which fits.
        assert_eq!(pieces.len(), 5);
        assert!(pieces.iter().all(|piece| piece.len() - IP <= 1280));
        let mut reassembly = Reassembly::new(&ahash::RandomState::with_seeds(1, 2, 3, 4));
        let mut segments = vec![payload_of(&pieces.pop().unwrap())];
        // All last fragments come before all first ones.
        for piece in [1, 3, 0, 2].map(|index| &pieces[index]) {
            let whole = reassembly.insert(Instant::ZERO, Link::Uplink(UplinkId(1)), piece).unwrap();
            segments.extend(whole.map(|whole| {
                assert_checksums(&whole.frame);
                payload_of(&whole.frame)
            }));
        }
        segments.rotate_left(1);
        assert_eq!(segments.concat(), payload);

        pieces.clear();
        to_fit(&unfinished(whole.clone(), 0), 60_000, 1, |piece| pieces.push(piece)).unwrap();
        assert_eq!(pieces, [whole], "it fits, only its checksum is completed");
    }
}

#[test]
fn a_fragment_is_not_fragmented_again() {
    for net in [Net::V4, V6] {
        let fragment = fragments(&udp(net, &bytes(3000)), 1280).unwrap().remove(1);
        assert_eq!(fragments(&fragment, 576), Err(Reason::FragmentInvalid));
        assert_eq!(fragments(&fragment, 1500), Err(Reason::FragmentInvalid), "even if it fits");
    }
}

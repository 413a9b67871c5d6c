use std::time::Duration;

use proptest::prelude::*;

use super::samples::{ID, Net, V6, V6_FULL, assert_checksums, tcp, udp, udp_from};
use super::*;
use crate::checksum::checksum;
use crate::limits::{
    EXTENSION_HEADERS, FRAGMENTS_PER_DATAGRAM, REASSEMBLIES, REASSEMBLIES_PER_LINK,
    REASSEMBLIES_PER_LINK_CROWDED, REASSEMBLIES_PER_REMOTE, REASSEMBLY_BYTES, REASSEMBLY_BYTES_PER_LINK,
    REASSEMBLY_BYTES_PER_LINK_CROWDED, REASSEMBLY_BYTES_PER_REMOTE,
};
use crate::packet::chain::{Header, packet_of};
use crate::split::fragment;
use crate::wire::{ETHERNET, IP, IPV4_LEN, ether_type, protocol, put_u16, put_u32, u16_at};
use crate::{AttachmentId, UplinkId};

const C: Link = Link::Attachment(AttachmentId(1));
const U: Link = Link::Uplink(UplinkId(1));

/// Whether the frame's IP packet is a fragment, for [`Reassembly::insert`]. Frames that are malformed in other
/// ways are none.
fn is_fragment(frame: &[u8]) -> bool {
    let Some(ip) = frame.get(IP..).filter(|ip| ip.len() >= 8) else { return false };
    if u16_at(frame, ETHERNET + 12) == ether_type::IPV4 {
        return u16_at(ip, 6) & 0x3fff != 0;
    }
    packet_of(frame).is_ok_and(|(_, packet)| Header::first(packet).last(packet).number == protocol::FRAGMENT)
}

fn reassembly() -> Reassembly {
    Reassembly::new(&ahash::RandomState::with_seeds(1, 2, 3, 4))
}

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn fragments(frame: &[u8], limit: usize) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    fragment(frame, limit, ID.into(), |fragment| out.push(fragment)).unwrap();
    assert!(out.len() > 1 && out.iter().all(|fragment| is_fragment(fragment)));
    out
}

/// Sets an IPv4 header's checksum right after a change.
fn fixed(mut frame: Vec<u8>) -> Vec<u8> {
    put_u16(&mut frame, IP + 10, 0);
    let right = checksum(&frame[IP..IP + IPV4_LEN]);
    put_u16(&mut frame, IP + 10, right);
    frame
}

/// An IPv4 fragment out of thin air: 16 bytes of UDP datagram `id` at `offset`, from host `host`.
fn piece(host: u8, id: u16, offset: u16, more: bool) -> Vec<u8> {
    piece_of(host, id, offset, more, &[7; 8])
}

/// As [`piece`], with `data` behind 8 bytes that can be a header.
fn piece_of(host: u8, id: u16, offset: u16, more: bool, data: &[u8]) -> Vec<u8> {
    let mut frame = udp_from(host, Net::V4, data);
    put_u16(&mut frame, IP + 4, id);
    put_u16(&mut frame, IP + 6, (offset / 8) | (u16::from(more) << 13));
    fixed(frame)
}

/// Everything that expires at `now`.
fn expire(reassembly: &mut Reassembly, now: Instant) -> Vec<Expired> {
    std::iter::from_fn(|| reassembly.next_expired(now)).collect()
}

#[track_caller]
fn assert_empty(reassembly: &Reassembly) {
    assert_eq!((reassembly.len(), reassembly.bytes(), reassembly.poll_timeout()), (0, 0, None));
    assert_eq!((reassembly.burdens.total(), reassembly.burdens.entries()), (Burden::default(), (0, 0)));
}

fn nets() -> impl Strategy<Value = Net> {
    let v6 = any::<(bool, bool, bool)>().prop_map(|(hop_by_hop, routing, destination)| Net::V6 {
        hop_by_hop,
        routing,
        destination,
    });
    prop_oneof![Just(Net::V4), v6]
}

/// The order that sorting by `keys` brings `count` things into.
fn order(count: usize, keys: &[u32]) -> Vec<usize> {
    let mut order: Vec<_> = (0..count).collect();
    order.sort_by_key(|index| keys[index % keys.len()].rotate_left(*index as u32));
    order
}

proptest! {
    #[test]
    fn rfc4787_req_14_fragments_in_any_order_become_the_datagram_that_they_were(
        net in nets(), length in 1000..9000_usize, limit in 200..1000_usize, padding in 0..30_usize,
        repeated in any::<prop::sample::Index>(), keys in prop::collection::vec(any::<u32>(), 8..20))
    {
        let whole = udp(net, &bytes(length));
        let fragments = fragments(&whole, limit);
        let mut order = order(fragments.len(), &keys);
        // One fragment comes twice, but not after the datagram is complete.
        let twice = order[repeated.index(order.len() - 1)];
        order.insert(repeated.index(order.len() - 1) + 1, twice);
        let mut r = reassembly();
        let (last, others) = order.split_last().unwrap();
        for &index in others {
            let mut frame = fragments[index].clone();
            frame.extend(vec![0xee; padding]);
            prop_assert_eq!(r.insert(at(0), C, &frame), Ok(None));
        }
        prop_assert!(r.bytes() > others.iter().map(|&i| fragments[i].len()).max().unwrap());
        let largest = fragments.iter().map(|fragment| fragment.len() - IP).max().unwrap() as u16;
        prop_assert_eq!(r.insert(at(0), C, &fragments[*last]), Ok(Some(Whole { frame: whole, largest })));
        assert_empty(&r);
    }

    #[test]
    fn hostile_fragments_never_panic_and_all_is_given_back(seed_frames in prop::collection::vec(
        (nets(), any::<prop::sample::Index>(), any::<(u8, u16, u8, bool)>(), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4)), 0..200))
    {
        let wholes = [udp(Net::V4, &bytes(500)), udp(V6, &bytes(500)), tcp(Net::V4, &bytes(500)), udp(V6_FULL, &bytes(500))];
        let pool: Vec<_> = wholes.iter().flat_map(|whole| fragments(whole, 160)).collect();
        let mut r = reassembly();
        for (second, (net, index, (link, word, host, odd), changes)) in seed_frames.into_iter().enumerate() {
            let mut frame = pool[index.index(pool.len())].clone();
            if odd {
                // Another place for the same bytes: overlaps, contradictions and gaps.
                let field = if net == Net::V4 { IP + 6 } else { IP + 42 };
                put_u16(&mut frame, field, word & 0x207f);
                frame[IP + 15] = host & 3;
            }
            for (index, value) in changes {
                let index = index.index(frame.len());
                frame[index] = value;
            }
            if frame[IP] == 0x45 {
                frame = fixed(frame);
            }
            let from = if link & 1 == 0 { C } else { U };
            let _ = is_fragment(&frame);
            let now = at(second as u64 / 4);
            if let Ok(Some(whole)) = r.insert(now, from, &frame) {
                let (_, packet) = packet_of(&whole.frame).unwrap();
                prop_assert!(!is_fragment(&whole.frame) && IP + packet.len() == whole.frame.len());
                // Whatever was put together can be cut again, as small as it was.
                let cut = fragment(&whole.frame, whole.largest.into(), 1, |piece| assert!(piece.len() - IP <= whole.largest.into()));
                prop_assert_eq!(cut, Ok(()));
            }
            prop_assert_eq!(r.datagrams.values().map(|datagram| datagram.bytes).sum::<usize>(), r.bytes());
            prop_assert_eq!(r.datagrams.len(), r.timers.len());
            prop_assert!(r.poll_timeout().is_none_or(|due| due <= now + REASSEMBLY_TIME));
            expire(&mut r, now);
        }
        expire(&mut r, at(1000));
        assert_empty(&r);
    }

    #[test]
    fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), is_v6: bool, vnet: bool) {
        let mut frame = bytes;
        if !vnet && frame.len() > VNET {
            frame[..VNET].fill(0);
        }
        if frame.len() > IP {
            put_u16(&mut frame, IP - 2, if is_v6 { ether_type::IPV6 } else { ether_type::IPV4 });
            frame[IP] = if is_v6 { 0x60 } else { 0x45 };
        }
        let _ = is_fragment(&frame);
        let mut r = reassembly();
        let _ = r.insert(at(0), C, &frame);
        expire(&mut r, at(30));
        assert_empty(&r);
    }
}

const VNET: usize = crate::VNET_LEN;

#[test]
fn the_largest_datagrams_over_the_smallest_links_are_put_together() {
    // IPv4 counts its header, IPv6 does not.
    for (net, length, limit, count) in [(Net::V4, 65_507, 576, 119), (V6, 65_527, 1280, 54)] {
        let whole = udp(net, &bytes(length));
        let mut fragments = fragments(&whole, limit);
        assert_eq!(fragments.len(), count);
        let mut r = reassembly();
        let last = fragments.pop().unwrap();
        for fragment in fragments.iter().rev() {
            assert_eq!(r.insert(at(0), U, fragment), Ok(None));
        }
        assert!(r.bytes() <= REASSEMBLY_BYTES_PER_LINK_CROWDED, "it fits in the smallest share");
        assert_eq!(r.insert(at(0), U, &last).unwrap().unwrap().frame, whole);
        assert_empty(&r);
    }
}

#[test]
fn what_comes_out_has_right_checksums_and_keeps_dont_fragment() {
    let whole = udp(Net::V4, &bytes(2000));
    let mut r = reassembly();
    let [first, second] = <[_; 2]>::try_from(fragments(&whole, 1500)).unwrap();
    let mut second = second;
    second[IP + 6] |= 0x40;
    assert_eq!(r.insert(at(0), C, &fixed(second)), Ok(None));
    let out = r.insert(at(0), C, &first).unwrap().unwrap().frame;
    assert_checksums(&out);
    assert_eq!(u16_at(&out, IP + 6), 0x4000);
}

#[test]
fn a_datagram_of_the_smallest_fragments_can_be_cut_as_small_again() {
    for (whole, limit) in
        [(udp(Net::V4, &bytes(64)), 28), (tcp(Net::V4, &bytes(64)), 44), (udp(V6, &bytes(64)), 56)]
    {
        let fragments = fragments(&whole, limit);
        let mut r = reassembly();
        let out = fragments.iter().map(|fragment| r.insert(at(0), C, fragment).unwrap()).last();
        let out = out.unwrap().unwrap();
        assert_eq!((usize::from(out.largest), &out.frame), (limit, &whole));
    }
}

#[test]
fn rfc3168_congestion_seen_by_one_fragment_is_the_datagrams() {
    for (net, byte, shift) in [(Net::V4, IP + 1, 0), (V6, IP + 1, 4)] {
        let ecn = |frame: &[u8], bits: u8| {
            let mut frame = frame.to_vec();
            frame[byte] |= bits << shift;
            if net == Net::V4 { fixed(frame) } else { frame }
        };
        let fragments = fragments(&udp(net, &bytes(2000)), 1500);
        for (first, second, whole) in
            [(2, 3, Ok(3)), (3, 2, Ok(3)), (2, 2, Ok(2)), (0, 3, Err(Reason::FragmentInvalid))]
        {
            let mut r = reassembly();
            assert_eq!(r.insert(at(0), C, &ecn(&fragments[0], first)), Ok(None));
            let out = r.insert(at(0), C, &ecn(&fragments[1], second));
            let out = out.map(|out| out.unwrap().frame[byte] >> shift & 3);
            assert_eq!(out, whole);
            // One that is given up is remembered, so that no late fragment begins it anew.
            assert_eq!(
                (r.len(), r.insert(at(0), C, &fragments[0])),
                match whole {
                    Ok(_) => (0, Ok(None)),
                    Err(reason) => (1, Err(reason)),
                }
            );
        }
    }
}

#[test]
fn rfc6946_an_atomic_fragment_is_whole_and_leaves_others_of_its_id_alone() {
    let whole = udp(V6_FULL, &bytes(2000));
    let fragments = fragments(&whole, 1500);
    let mut r = reassembly();
    assert_eq!(r.insert(at(0), C, &fragments[0]), Ok(None));
    let header = Header::first(&fragments[0][IP..]).last(&fragments[0][IP..]);
    let mut atomic = fragments[0].clone();
    atomic[IP + header.start + 3] = 0;
    assert!(is_fragment(&atomic));
    let out = r.insert(at(0), C, &atomic).unwrap().unwrap();
    assert_eq!(usize::from(out.largest), atomic.len() - IP);
    let mut expected = whole[..out.frame.len()].to_vec();
    put_u16(&mut expected, IP + 4, (out.frame.len() - IP - 40) as u16);
    assert_eq!((out.frame.len(), out.frame), (atomic.len() - 8, expected));
    assert_eq!(r.insert(at(0), C, &fragments[1]).unwrap().unwrap().frame, whole);
}

#[test]
fn rfc5722_overlapping_fragments_end_the_whole_datagram_until_its_time_is_over() {
    let table: [&[(u16, bool, usize)]; 8] = [
        &[(0, true, 24), (16, true, 24)],
        &[(16, true, 24), (0, true, 24)],
        &[(0, true, 24), (8, true, 8)],
        &[(16, true, 24), (40, false, 8), (0, true, 64)],
        // Two ends, and something behind the end.
        &[(40, false, 8), (64, false, 8)],
        &[(40, false, 8), (16, false, 8)],
        &[(40, false, 8), (64, true, 8)],
        &[(64, true, 8), (40, false, 8)],
    ];
    for case in table {
        let fragment =
            |&(offset, more, length): &(u16, bool, usize)| piece_of(1, 5, offset, more, &bytes(length - 8));
        let mut r = reassembly();
        let (last, others) = case.split_last().unwrap();
        for other in others {
            assert_eq!(r.insert(at(0), U, &fragment(other)), Ok(None));
        }
        assert_eq!(r.insert(at(1), U, &fragment(last)), Err(Reason::FragmentOverlap), "{case:?}");
        assert_eq!(r.insert(at(29), U, &piece(1, 5, 800, true)), Err(Reason::FragmentOverlap));
        assert_eq!((r.len(), r.bytes()), (1, DATAGRAM), "only that it is lost is kept");
        assert_eq!(
            r.insert(at(29), U, &piece(2, 5, 800, true)),
            Ok(None),
            "another datagram is not affected"
        );
        let fragments = others.len() as u32;
        let expired = Expired { from: U, fragments, reason: Reason::FragmentOverlap, first: None };
        assert_eq!(expire(&mut r, at(30)), [expired]);
        assert_eq!(r.insert(at(30), U, &piece(1, 5, 800, true)), Ok(None));
    }
}

#[test]
fn an_exact_duplicate_is_ignored_and_one_with_other_bytes_overlaps() {
    let mut r = reassembly();
    for frame in [piece(1, 5, 0, true), piece(1, 5, 32, false)] {
        assert_eq!(r.insert(at(0), C, &frame), Ok(None));
        let bytes = r.bytes();
        assert_eq!(r.insert(at(1), C, &frame), Ok(None));
        assert_eq!(r.bytes(), bytes);
    }
    let mut other = piece(1, 5, 32, false);
    *other.last_mut().unwrap() ^= 1;
    assert_eq!(r.insert(at(2), C, &other), Err(Reason::FragmentOverlap));
    assert_eq!(expire(&mut r, at(30))[0].fragments, 4);

    r.insert(at(31), C, &piece(1, 5, 32, false)).unwrap();
    let not_the_last = r.insert(at(31), C, &piece(1, 5, 32, true));
    assert_eq!(not_the_last, Err(Reason::FragmentOverlap), "the same bytes, but more to follow");
}

#[test]
fn malformed_fragments_are_refused_and_nothing_is_kept() {
    let invalid = Err(Reason::FragmentInvalid);
    let mut r = reassembly();
    let mut refused = |what: &str, frame: &[u8], reason| {
        assert_eq!(r.insert(at(0), C, frame), reason, "{what}");
        assert_eq!(r.len(), 0, "{what}");
    };
    let cut = |mut frame: Vec<u8>, ip_len: u16| {
        frame.truncate(IP + usize::from(ip_len));
        put_u16(&mut frame, IP + 2, ip_len);
        fixed(frame)
    };
    refused("no payload, more to follow", &cut(piece(1, 5, 16, true), 20), invalid.clone());
    refused("no payload, the last", &cut(piece(1, 5, 16, false), 20), invalid.clone());
    refused("odd length, more to follow", &cut(piece(1, 5, 16, true), 35), invalid.clone());
    refused("longer than a datagram", &piece(1, 5, 65_528, false), invalid.clone());
    refused("longer than a datagram with its header", &piece_of(1, 5, 65_512, false, &[]), invalid.clone());

    let as_tcp = |mut frame: Vec<u8>| {
        frame[IP + 9] = protocol::TCP;
        fixed(frame)
    };
    refused("RFC 1858: half a TCP header", &as_tcp(piece(1, 5, 0, true)), invalid.clone());
    refused("RFC 3128: replaces the TCP flags", &as_tcp(piece(1, 5, 8, true)), invalid.clone());

    let mut partial = piece(1, 5, 0, true);
    partial[0] = 1;
    refused("a checksum to be completed", &partial, Err(Reason::VnetHeaderInvalid));
    let mut checksum_wrong = piece(1, 5, 0, true);
    checksum_wrong[IP + 8] ^= 1;
    refused("header checksum", &checksum_wrong, Err(Reason::Ipv4ChecksumWrong));
    let mut options = piece_of(1, 5, 0, true, &[7; 16]);
    options[IP] = 0x46;
    options[IP + 20..IP + 24].fill(1);
    put_u16(&mut options, IP + 10, 0);
    let right = checksum(&options[IP..IP + 24]);
    put_u16(&mut options, IP + 10, right);
    refused("options", &options, Err(Reason::Ipv4Options));
    refused("truncated", &piece(1, 5, 0, true)[..50], Err(Reason::IpHeaderInvalid));
    refused("no IP header", &piece(1, 5, 0, true)[..IP], Err(Reason::IpHeaderInvalid));
    refused("no Ethernet header", &piece(1, 5, 0, true)[..IP - 1], Err(Reason::FrameTruncated));
}

#[test]
fn rfc7112_the_first_fragment_of_ipv6_holds_all_headers() {
    let fragments = fragments(&udp(V6_FULL, &bytes(2000)), 1280);
    let start = Header::first(&fragments[0][IP..]).last(&fragments[0][IP..]).start;
    let cut = |payload: usize| {
        let mut frame = fragments[0][..IP + start + 8 + payload].to_vec();
        put_u16(&mut frame, IP + 4, (start + 8 + payload - 40) as u16);
        frame
    };
    // Destination options of 8 bytes and a UDP header of 8.
    assert_eq!(reassembly().insert(at(0), C, &cut(8)), Err(Reason::FragmentInvalid));
    assert_eq!(reassembly().insert(at(0), C, &cut(16)), Ok(None));
    let mut nested = cut(16);
    nested[IP + start] = protocol::FRAGMENT;
    assert_eq!(reassembly().insert(at(0), C, &nested), Err(Reason::FragmentInvalid));
    let mut truncated = cut(0);
    put_u16(&mut truncated, IP + 4, (start + 4 - 40) as u16);
    assert!(is_fragment(&truncated));
    assert_eq!(reassembly().insert(at(0), C, &truncated), Err(Reason::FragmentInvalid));
}

#[test]
fn extension_headers_are_walked_over_up_to_a_bound() {
    let with_options = |count: usize| {
        let mut frame = fragments(&udp(V6, &bytes(2000)), 1280).remove(0);
        for index in 0..count {
            let next = if index == 0 { protocol::FRAGMENT } else { protocol::DESTINATION_OPTIONS };
            frame.splice(IP + 40..IP + 40, [next, 0, 1, 4, 0, 0, 0, 0]);
            frame[IP + 6] = protocol::DESTINATION_OPTIONS;
        }
        let length = frame.len() - IP - 40;
        put_u16(&mut frame, IP + 4, length as u16);
        frame
    };
    let mut misplaced = with_options(2);
    misplaced[IP + 40] = protocol::HOP_BY_HOP;
    assert!(is_fragment(&with_options(2)) && !is_fragment(&misplaced), "RFC 8200 §4.1");
    let (most, more) = (with_options(EXTENSION_HEADERS), with_options(EXTENSION_HEADERS + 1));
    assert!(is_fragment(&most) && !is_fragment(&more));
    assert_eq!(reassembly().insert(at(0), C, &most), Ok(None));
    assert_eq!(reassembly().insert(at(0), C, &more), Err(Reason::FragmentInvalid));
}

#[test]
fn an_ipv6_datagram_that_its_first_fragments_headers_make_too_long_is_given_up() {
    // 65,520 bytes are enough with the 40 bytes of extension headers that only the first fragment has.
    let first = fragments(&udp(V6_FULL, &bytes(2000)), 1280).remove(0);
    let start = Header::first(&first[IP..]).last(&first[IP..]).start;
    let mut others = fragments(&udp(V6, &bytes(65_500)), 1280);
    let step = first.len() - IP - start - 8;
    let rest = {
        // The same payload size for all but the first.
        let mut frame = others.remove(0);
        frame.truncate(IP + 48 + 1232);
        frame
    };
    let mut r = reassembly();
    assert_eq!(r.insert(at(0), U, &first), Ok(None));
    let mut offset = step;
    loop {
        let length = 1232.min(65_520 - offset);
        let more = offset + length < 65_520;
        let mut frame = rest[..IP + 48 + length].to_vec();
        put_u16(&mut frame, IP + 4, (8 + length) as u16);
        put_u16(&mut frame, IP + 42, offset as u16 | u16::from(more));
        let result = r.insert(at(0), U, &frame);
        if !more {
            assert_eq!(result, Err(Reason::FragmentInvalid));
            break;
        }
        assert_eq!(result, Ok(None));
        offset += length;
    }
    let expired = expire(&mut r, at(30)).remove(0);
    assert_eq!((expired.reason, expired.first), (Reason::FragmentInvalid, None));
    assert_empty(&r);
}

#[test]
fn fragments_of_other_links_addresses_ids_and_protocols_do_not_mix() {
    let first = piece(1, 5, 0, true);
    let last = piece(1, 5, 16, false);
    let mut r = reassembly();
    assert_eq!(r.insert(at(0), C, &first), Ok(None));
    assert_eq!(r.insert(at(0), U, &last), Ok(None));
    assert_eq!(r.insert(at(0), Link::Uplink(UplinkId(2)), &last), Ok(None));
    assert_eq!(r.insert(at(0), C, &piece(2, 5, 16, false)), Ok(None));
    assert_eq!(r.insert(at(0), C, &piece(1, 6, 16, false)), Ok(None));
    let mut other = last.clone();
    other[IP + 9] = protocol::ICMP;
    assert_eq!(r.insert(at(0), C, &fixed(other)), Ok(None));
    assert_eq!(r.len(), 6);
    assert!(r.insert(at(0), C, &last).unwrap().is_some());
    assert_eq!(r.len(), 5);
}

#[test]
fn a_datagram_that_does_not_become_whole_expires_with_its_first_fragment() {
    let mut r = reassembly();
    let mut first = piece(1, 5, 0, true);
    assert_eq!(r.insert(at(2), C, &piece(1, 5, 32, true)), Ok(None));
    assert_eq!(r.insert(at(9), U, &piece(1, 6, 16, false)), Ok(None));
    first[0] = 2;
    assert_eq!(r.insert(at(20), C, &first), Ok(None));
    assert_eq!(r.poll_timeout(), Some(at(32)), "the first that came in counts, not the last");
    assert_eq!(r.next_expired(Instant::from_nanos(at(32).as_nanos() - 1)), None);
    first[0] = 0;
    let reason = Reason::FragmentTimeout;
    assert_eq!(r.next_expired(at(32)), Some(Expired { from: C, fragments: 2, reason, first: Some(first) }));
    assert_eq!((r.next_expired(at(32)), r.poll_timeout()), (None, Some(at(39))));
    assert_eq!(r.next_expired(at(39)), Some(Expired { from: U, fragments: 1, reason, first: None }));
    assert_empty(&r);
}

#[test]
fn a_link_that_is_gone_takes_its_fragments_along() {
    let mut r = reassembly();
    for id in 0..10 {
        r.insert(at(0), C, &piece(1, id, 0, true)).unwrap();
        r.insert(at(0), U, &piece(1, id, 0, true)).unwrap();
    }
    r.remove_link(U);
    assert_eq!((r.len(), r.burdens.entries()), (10, (1, 0)));
    r.remove_link(C);
    assert_empty(&r);
}

#[test]
fn a_datagram_of_too_many_fragments_is_not_kept_on() {
    let mut r = reassembly();
    for index in 0..FRAGMENTS_PER_DATAGRAM as u16 {
        assert_eq!(r.insert(at(0), C, &piece(1, 5, index * 16, true)), Ok(None));
    }
    assert_eq!(r.insert(at(0), C, &piece(1, 5, 16 * 200, true)), Err(Reason::FragmentsFull));
    assert_eq!(r.insert(at(0), C, &piece(1, 6, 0, true)), Ok(None), "another datagram is not affected");
}

/// Sends fragments of ever new datagrams, many more than fit; returns how many are kept.
fn flood(r: &mut Reassembly, link: Link, host: u8, data: &[u8]) -> usize {
    let before = r.len();
    for id in 0..1000 {
        let taken = r.insert(at(0), link, &piece_of(host, id, 0, true, data));
        assert!(matches!(taken, Ok(None) | Err(Reason::FragmentsFull)), "{taken:?}");
    }
    let told = std::iter::from_fn(|| r.next_expired(at(0)));
    assert!(told.map(|e| (e.from, e.reason)).all(|told| told == (link, Reason::FragmentsFull)));
    r.len() - before
}

#[test]
fn rfc4787_req_14a_the_oldest_datagrams_give_way_to_those_in_order() {
    let mut r = reassembly();
    for host in 0..=255 {
        flood(&mut r, U, host, &[0; 8]);
        assert_eq!(r.insert(at(0), U, &piece(host, 2000, 0, true)), Ok(None), "{host}");
        assert!(r.insert(at(0), U, &piece(host, 2000, 16, false)).unwrap().is_some(), "{host}");
    }
    assert!(r.len() <= REASSEMBLIES_PER_LINK);
}

#[test]
fn rfc4787_req_14_a_flood_of_one_remote_leaves_room_for_others_of_its_uplink() {
    for (data, bytes) in [(&[0; 8][..], 0), (&[0; 9000][..], REASSEMBLY_BYTES_PER_REMOTE * 9 / 10)] {
        let mut r = reassembly();
        let taken = flood(&mut r, U, 1, data);
        assert!(taken <= REASSEMBLIES_PER_REMOTE);
        assert!((bytes..=REASSEMBLY_BYTES_PER_REMOTE).contains(&r.bytes()));
        assert!(r.insert(at(0), U, &piece(2, 0, 0, true)).is_ok());
        assert!(r.insert(at(0), U, &piece(2, 0, 16, false)).unwrap().is_some());
        assert_eq!(expire(&mut r, at(30)).len(), taken);
        assert_empty(&r);
    }
}

#[test]
fn rfc4787_req_14_a_flood_on_one_link_leaves_room_for_other_links() {
    let mut r = reassembly();
    let by_all: usize = (0..=255).map(|host| flood(&mut r, U, host, &[0; 8])).sum();
    assert_eq!(by_all, REASSEMBLIES_PER_LINK);
    let container = flood(&mut r, C, 1, &[0; 9000]);
    assert!(container < REASSEMBLIES_PER_LINK, "memory is what ends this one");
    assert!(r.bytes() <= 2 * REASSEMBLY_BYTES_PER_LINK);
    let other = Link::Uplink(UplinkId(2));
    assert_eq!(r.insert(at(0), other, &piece(1, 0, 0, true)), Ok(None));
    assert!(r.insert(at(0), other, &piece(1, 0, 16, false)).unwrap().is_some());
    assert_eq!(expire(&mut r, at(30)).len(), by_all + container);
    assert_empty(&r);
    assert_eq!(flood(&mut r, C, 1, &[0; 8]), REASSEMBLIES_PER_LINK, "all is as it was");
}

#[test]
fn floods_on_many_links_are_bounded_together_and_cannot_use_up_the_second_half() {
    for (data, large) in [(&[0; 8][..], false), (&[0; 9000][..], true)] {
        let mut r = reassembly();
        for link in 0..40 {
            flood(&mut r, Link::Attachment(AttachmentId(link)), 1, data);
        }
        assert!(r.len() <= REASSEMBLIES / 2 + REASSEMBLIES_PER_LINK + 40 * REASSEMBLIES_PER_LINK_CROWDED);
        assert!(r.bytes() <= REASSEMBLY_BYTES && (!large || r.bytes() > REASSEMBLY_BYTES / 2));
        let whole = udp(Net::V4, &bytes(60_000));
        let late = Link::Attachment(AttachmentId(1000));
        let out = fragments(&whole, 1500).iter().map(|f| r.insert(at(0), late, f).unwrap()).last();
        assert_eq!(out.unwrap().unwrap().frame, whole, "a link that sends little is served");
        for link in 40..400 {
            flood(&mut r, Link::Attachment(AttachmentId(link)), 1, data);
        }
        assert!(r.len() <= REASSEMBLIES && r.bytes() <= REASSEMBLY_BYTES);
        expire(&mut r, at(30));
        assert_empty(&r);
    }
}

#[test]
fn only_fragments_are_fragments() {
    assert!(!is_fragment(&udp(Net::V4, b"x")));
    assert!(!is_fragment(&udp(V6_FULL, b"x")));
    assert!(is_fragment(&piece(1, 5, 0, true)) && is_fragment(&piece(1, 5, 8, false)));
    assert!(!is_fragment(&piece(1, 5, 0, true)[..IP + 7]));
    let mut arp = piece(1, 5, 0, true);
    put_u16(&mut arp, IP - 2, ether_type::ARP);
    assert!(!is_fragment(&arp));
    let mut other_id = fragments(&udp(V6, &bytes(2000)), 1280).remove(1);
    put_u32(&mut other_id, IP + 44, 9);
    assert!(is_fragment(&other_id));
}

//! The vnet header: hostile until bounded, and what is done with what it says.

use gateway_core::{Link, Reason, Verdict};

use crate::support::checksum::{pseudo_header, wrong as wrong_checksum};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::{MTU, Rig, host_answers};
use crate::support::*;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const TCPV4: u8 = 1;
const UDP_L4: u8 = 5;
const ECN: u8 = 0x80;

/// A vnet header as `struct virtio_net_hdr` has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Vnet {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl Vnet {
    /// Of a packet whose checksum somebody later completes.
    fn partial(carries: Carries) -> Self {
        let csum_offset = if carries == Carries::Udp { 6 } else { 16 };
        Self { flags: NEEDS_CSUM, csum_start: 34, csum_offset, ..Self::default() }
    }

    /// Of a packet that stands for segments of `gso_size` bytes.
    fn segments(carries: Carries, gso_size: u16) -> Self {
        let gso_type = if carries == Carries::Udp { UDP_L4 } else { TCPV4 };
        Self { gso_type, gso_size, ..Self::partial(carries) }
    }

    fn read(frame: &[u8]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([frame[at], frame[at + 1]]);
        let (hdr_len, gso_size, csum_start, csum_offset) = (word(2), word(4), word(6), word(8));
        Self { flags: frame[0], gso_type: frame[1], hdr_len, gso_size, csum_start, csum_offset }
    }

    /// The packet's frame with this header, and with a partial checksum if the header says so.
    fn frame(self, packet: &Packet) -> Vec<u8> {
        let mut frame = packet.frame();
        if self.flags & NEEDS_CSUM != 0 && matches!(packet.carries, Carries::Tcp(_) | Carries::Udp) {
            let at = checksum_field(packet.carries);
            let pseudo = pseudo_header(&frame, frame.len() - TRANSPORT);
            frame[at..at + 2].copy_from_slice(&pseudo.to_be_bytes());
        }
        self.put(&mut frame);
        frame
    }

    fn put(self, frame: &mut [u8]) {
        (frame[0], frame[1]) = (self.flags, self.gso_type);
        let words = [self.hdr_len, self.gso_size, self.csum_start, self.csum_offset];
        frame[2..10].copy_from_slice(words.map(u16::to_ne_bytes).as_flattened());
    }
}

fn checksum_field(carries: Carries) -> usize {
    TRANSPORT + if carries == Carries::Udp { 6 } else { 16 }
}

fn packet(carries: Carries) -> Packet {
    Packet::outbound(C1, carries, 4000, endpoint(SERVER, 53)).with_payload([0xa5; 1000])
}

/// Which values of a field of the header the engine accepts.
fn accepted<T: Copy>(
    carries: Carries,
    values: impl Iterator<Item = T>,
    header: impl Fn(T) -> Vnet,
) -> Vec<T> {
    let mut rig = Rig::new();
    let template = packet(carries).frame();
    values
        .filter(|&value| {
            let mut frame = template.clone();
            header(value).put(&mut frame);
            match rig.engine.handle_packet(rig.now, inside(C1), &mut frame) {
                Verdict::Forward(_) => true,
                verdict => {
                    assert_eq!(verdict, Verdict::Drop(Reason::VnetHeaderInvalid));
                    false
                }
            }
        })
        .collect()
}

const TCP: Carries = Carries::Tcp(SYN);

#[test]
fn unknown_flags_are_refused() {
    for carries in [TCP, Carries::Udp] {
        let header = |flags| Vnet { flags, ..Vnet::partial(carries) };
        assert_eq!(
            accepted(carries, 0..=u8::MAX, header),
            [0, NEEDS_CSUM, DATA_VALID, NEEDS_CSUM | DATA_VALID]
        );
    }
    let header = |flags| Vnet { flags, ..Vnet::default() };
    assert_eq!(accepted(Carries::EchoRequest, 0..=u8::MAX, header), [0, DATA_VALID]);
}

#[test]
fn only_segmentation_of_the_packets_own_protocol_is_accepted() {
    let cases: [(_, u8, &[u8]); 5] = [
        (TCP, NEEDS_CSUM, &[0, TCPV4, TCPV4 | ECN]),
        (Carries::Udp, NEEDS_CSUM, &[0, UDP_L4]),
        (TCP, 0, &[0]),
        (Carries::Udp, 0, &[0]),
        (Carries::EchoRequest, 0, &[0]),
    ];
    for (carries, flags, expected) in cases {
        let header = |gso_type| Vnet { flags, gso_type, ..Vnet::segments(carries, 500) };
        assert_eq!(accepted(carries, 0..=u8::MAX, header), expected, "{carries:?}, flags {flags}");
    }
}

#[test]
fn segments_of_no_payload_or_too_many_are_refused() {
    let sizes = |carries| {
        let accepted = accepted(carries, 0..=u16::MAX, |size| Vnet::segments(carries, size));
        assert!(accepted.is_sorted_by_key(|size| *size) && accepted.last() == Some(&u16::MAX));
        assert_eq!(accepted.len(), 1 + usize::from(u16::MAX - accepted[0]));
        accepted[0]
    };
    assert_eq!(sizes(TCP), 1, "GRO makes super-packets of segments as small as they come");
    assert_eq!(sizes(Carries::Udp), 8, "1000 bytes are 125 segments; Linux UDP_MAX_SEGMENTS is 128");
}

#[test]
fn a_partial_checksum_is_at_the_checksum_field_or_refused() {
    for (carries, offset) in [(TCP, 16), (Carries::Udp, 6)] {
        let header = |csum_start| Vnet { csum_start, ..Vnet::partial(carries) };
        assert_eq!(accepted(carries, 0..=u16::MAX, header), [34]);
        let header = |csum_offset| Vnet { csum_offset, ..Vnet::partial(carries) };
        assert_eq!(accepted(carries, 0..=u16::MAX, header), [offset]);
    }
}

#[test]
fn what_the_header_says_about_nothing_is_not_passed_on() {
    let mut rig = Rig::new();
    let hostile =
        Vnet { flags: DATA_VALID, hdr_len: 1, gso_size: 2, csum_start: 3, csum_offset: 4, gso_type: 0 };
    for carries in [TCP, Carries::Udp, Carries::EchoRequest] {
        let step = rig.deliver(inside(C1), hostile.frame(&packet(carries)));
        assert_eq!(Vnet::read(&step.frame), Vnet::default());
    }
}

#[test]
fn any_header_length_is_replaced_by_the_right_one() {
    let mut rig = Rig::new();
    for hdr_len in [0, 1, 34, 54, 1000, u16::MAX] {
        for (carries, right) in [(TCP, 54), (Carries::Udp, 42)] {
            let sent = Vnet { hdr_len, ..Vnet::segments(carries, 500) };
            let step = rig.deliver(inside(C1), sent.frame(&packet(carries)));
            assert_eq!(Vnet::read(&step.frame), Vnet { hdr_len: right, ..sent });
            let single = Vnet { hdr_len, ..Vnet::partial(carries) };
            let step = rig.deliver(inside(C1), single.frame(&packet(carries)));
            assert_eq!(Vnet::read(&step.frame), Vnet { hdr_len: 0, ..single });
        }
    }
    // Twelve bytes of options.
    let mut frame = Vnet::segments(TCP, 500).frame(&packet(TCP));
    frame[TRANSPORT + 12] = 0x80;
    assert_eq!(Vnet::read(&rig.deliver(inside(C1), frame).frame).hdr_len, 66);
}

#[test]
fn partial_checksums_stay_partial_and_right_both_ways() {
    for (carries, answer) in [(TCP, Carries::Tcp(SYN | ACK)), (Carries::Udp, Carries::Udp)] {
        let mut rig = Rig::new();
        let step = rig.deliver(inside(C1), Vnet::partial(carries).frame(&packet(carries)));
        assert_eq!(Vnet::read(&step.frame), Vnet::partial(carries));
        let external = Packet::read(&step.frame).source;
        let back = Packet::inbound(VPC_A, answer, endpoint(SERVER, 53), external);
        let step = rig.deliver(outside(VPC_A), Vnet::partial(answer).frame(&back));
        assert_eq!((step.verdict, wrong_checksum(&step.frame)), (Verdict::Forward(inside(C1)), None));
        assert_eq!(Vnet::read(&step.frame), Vnet::partial(answer));
    }
}

#[test]
fn a_partial_udp_checksum_of_zero_is_a_sum_like_any_other() {
    // A remote address that makes the pseudo-header's sum 0.
    let base = Packet::outbound(C1, Carries::Udp, 4000, endpoint([10, 1, 0, 0], 53));
    let missing = !pseudo_header(&base.frame(), 8 + base.payload.len());
    let [high, low] = missing.to_be_bytes();
    let remote = endpoint([10, 1, high, low], 53);
    let frame = Vnet::partial(Carries::Udp).frame(&Packet { destination: remote, ..base });
    assert_eq!(frame[TRANSPORT + 6..TRANSPORT + 8], [0xff, 0xff]);
    for zero in [[0, 0], [0xff, 0xff]] {
        let mut frame = frame.clone();
        frame[TRANSPORT + 6..TRANSPORT + 8].copy_from_slice(&zero);
        let mut rig = Rig::new();
        assert_eq!(rig.deliver(inside(C1), frame).verdict, Verdict::Hold);
        let step = rig.deliver(outside(VPC_A), host_answers(VPC_A, remote.ip()));
        let [arrived] = &step.sent[..] else { panic!("one packet was held") };
        assert_eq!(Packet::read(&arrived.frame).destination, remote);
        assert_ne!(arrived.frame[TRANSPORT + 6..TRANSPORT + 8], [0, 0]);
    }
}

/// As large as IPv4 allows.
fn huge(packet: Packet) -> Packet {
    let headers = if packet.carries == Carries::Udp { 28 } else { 40 };
    packet.with_payload((0..=250).cycle().take(65_535 - headers).collect::<Vec<u8>>())
}

#[test]
fn super_packets_of_64_kib_pass_whole_both_ways() {
    for (carries, answer, gso_type) in
        [(TCP, Carries::Tcp(ACK), TCPV4 | ECN), (Carries::Udp, Carries::Udp, UDP_L4)]
    {
        let mut rig = Rig::new();
        let before = rig.counters()[&inside(C1)].sent.bytes;
        let size = MTU - 40;
        let header = |carries| Vnet { gso_type, ..Vnet::segments(carries, size) };
        let sent = huge(packet(carries));
        let step = rig.deliver(inside(C1), header(carries).frame(&sent));
        assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
        let arrived = Packet::read(&step.frame);
        assert!(arrived.payload == sent.payload);
        let hdr_len = if carries == Carries::Udp { 42 } else { 54 };
        assert_eq!(Vnet::read(&step.frame), Vnet { hdr_len, ..header(carries) });

        let back = huge(Packet::inbound(VPC_A, answer, endpoint(SERVER, 53), arrived.source));
        let step = rig.deliver(outside(VPC_A), header(answer).frame(&back));
        assert_eq!(step.verdict, Verdict::Forward(inside(C1)));
        assert!(Packet::read(&step.frame).payload == back.payload);
        let traffic = rig.counters()[&inside(C1)].clone();
        assert_eq!((traffic.received.super_packets, traffic.sent.super_packets), (1, 1));
        assert_eq!(traffic.sent.bytes - before, 65_535 + 14);
    }
}

/// What the sender of a packet that did not fit is told: the MTU, if it asked not to fragment.
fn refused_as_too_big(rig: &mut Rig, from: Link, frame: Vec<u8>) -> Option<Packet> {
    let told = rig.refused(from, frame, Reason::PacketTooBig);
    if let Some(told) = &told {
        assert_eq!(told.carries, Carries::Icmp { kind: 3, code: 4, rest: MTU.into() });
    }
    told
}

#[test]
fn a_packet_that_does_not_fit_is_told_the_mtu_if_it_must_not_be_fragmented() {
    let mut rig = Rig::new();
    let remote = endpoint(SERVER, 53);
    let fits = |packet: Packet| packet.with_payload(vec![1; usize::from(MTU) - 28]);
    let large = |packet: Packet| packet.with_payload(vec![1; usize::from(MTU) - 27]);
    let out = Packet::outbound(C1, Carries::Udp, 4000, remote);
    let external = rig.forward(inside(C1), &fits(out.clone())).1.source;
    let back = Packet::inbound(VPC_A, Carries::Udp, remote, external);
    rig.forward(outside(VPC_A), &fits(back.clone()));
    for (from, packet, by) in [(inside(C1), large(out), GATEWAY), (outside(VPC_A), large(back), EXTERNAL)] {
        let told = refused_as_too_big(&mut rig, from, packet.frame()).expect("told");
        let expected = packet.error_by(by, 3, 4, 548);
        assert_eq!(told, Packet { carries: told.carries, ..expected });
    }
}

#[test]
fn of_a_super_packet_one_segment_has_to_fit() {
    let mut rig = Rig::new();
    for (carries, headers) in [(TCP, 40), (Carries::Udp, 28)] {
        let sent = huge(packet(carries));
        let frame = |size| Vnet::segments(carries, size).frame(&sent);
        assert_eq!(rig.deliver(inside(C1), frame(MTU - headers)).verdict, Verdict::Forward(outside(VPC_A)));
        assert!(refused_as_too_big(&mut rig, inside(C1), frame(MTU - headers + 1)).is_some());
    }
}

#[test]
fn an_error_about_a_partial_checksum_quotes_the_complete_one() {
    let mut rig = Rig::new();
    for carries in [TCP, Carries::Udp] {
        let large = packet(carries).with_payload([7; 2000]);
        let told = refused_as_too_big(&mut rig, inside(C1), Vnet::partial(carries).frame(&large));
        assert!(told.expect("told").payload == large.embedded(548), "{carries:?}");
    }
    // A complete UDP checksum that comes out as 0 is 0xffff.
    let mut large = packet(Carries::Udp).with_payload([0; 2000]);
    let checksum = large.frame()[TRANSPORT + 6..TRANSPORT + 8].to_vec();
    large.payload[..2].copy_from_slice(&checksum);
    let told = refused_as_too_big(&mut rig, inside(C1), Vnet::partial(Carries::Udp).frame(&large));
    assert_eq!(told.expect("told").payload[26..28], [0xff, 0xff]);
}

#[test]
fn bytes_behind_the_packet_count_for_what_fits_the_link() {
    // The device sends, and segments, the whole frame, whatever the IPv4 header says.
    let mut rig = Rig::new();
    for (header, carries) in [(Vnet::default(), Carries::Udp), (Vnet::segments(TCP, 60_000), TCP)] {
        let mut frame = header.frame(&packet(carries).with_payload([]));
        frame.resize(IP + 65_000, 0);
        let told = refused_as_too_big(&mut rig, inside(C1), frame).expect("told");
        let packet_len = if carries == Carries::Udp { 28 } else { 40 };
        assert_eq!(told.payload.len(), packet_len, "what is behind the packet is not quoted");
    }
}

#[test]
fn an_icmp_error_with_a_partial_checksum_is_refused() {
    let mut rig = Rig::new();
    let error = Carries::Icmp { kind: 3, code: 1, rest: 0 };
    let sent = packet(error).with_payload(packet(Carries::Udp).embedded(28));
    let header = Vnet { csum_offset: 2, ..Vnet::partial(error) };
    rig.refused(inside(C1), header.frame(&sent), Reason::VnetHeaderInvalid);
}

#[test]
fn a_udp_super_packet_has_the_length_of_its_packet() {
    let mut rig = Rig::new();
    let mut frame = Vnet::segments(Carries::Udp, 500).frame(&packet(Carries::Udp));
    frame[TRANSPORT + 4..TRANSPORT + 6].copy_from_slice(&100u16.to_be_bytes());
    rig.refused(inside(C1), frame, Reason::TransportInvalid);
}

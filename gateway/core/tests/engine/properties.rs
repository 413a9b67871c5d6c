//! What holds for every frame, whoever made it. proptest prints the input of a failure, and shrinks it.

use etherparse::SlicedPacket;
use gateway_core::{Link, Verdict, limits};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::support::arp::Arp;
use crate::support::checksum::{fix_icmp, fix_ipv4, pseudo_header, word, wrong as wrong_checksum};
use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

/// Enough for these tests, and quicker to set up than all.
const FEW_PORTS: std::ops::RangeInclusive<u16> = 2048..=2303;

/// An engine with a session of each protocol, and good frames of every kind from both sides of it.
fn primed() -> (Rig, Vec<(Link, Vec<u8>)>) {
    let mut rig = Rig::with_ports(FEW_PORTS);
    let mut frames = Vec::new();
    for (carries, answer, port) in [
        (Carries::Tcp(SYN), Carries::Tcp(SYN | ACK), 80),
        (Carries::Udp, Carries::Udp, 53),
        (Carries::EchoRequest, Carries::EchoReply, 0),
    ] {
        let sent = Packet::outbound(C1, carries, 4000, endpoint(SERVER, port)).with_payload([0xa5; 100]);
        let (_, seen) = rig.forward(inside(C1), &sent);
        let answered = Packet::inbound(VPC_A, answer, seen.destination, seen.source);
        let (_, received) = rig.forward(outside(VPC_A), &answered);
        let errors = (seen.error_by(ROUTER, 3, 4, 128), received.error_by(CONTAINER, 3, 3, 128));
        frames.extend([
            (inside(C1), super_packet(sent.frame())),
            (outside(VPC_A), super_packet(answered.frame())),
        ]);
        frames.extend([(inside(C1), sent.frame()), (outside(VPC_A), answered.frame())]);
        frames.extend([(outside(VPC_A), errors.0.frame()), (inside(C1), errors.1.frame())]);
        let another = Packet::outbound(C1, carries, 4001, endpoint(OTHER_SERVER, port));
        frames.push((inside(C1), another.frame()));
        let refused = Packet::outbound(C4, carries, 4001, endpoint(OTHER_SERVER, port));
        frames.push((inside(C4), refused.frame()));
    }
    let ping = Packet::outbound(C1, Carries::EchoRequest, 4001, endpoint(GATEWAY, 0));
    frames.push((inside(C1), ping.frame()));
    frames.push((inside(C1), Arp::request((container_mac(C1), CONTAINER), GATEWAY).frame()));
    frames.push((outside(VPC_A), Arp::host_answers(VPC_A, SERVER).frame()));
    (rig, frames)
}

/// The frame with a vnet header that asks for checksum and segmentation, if it is TCP or UDP.
fn super_packet(mut frame: Vec<u8>) -> Vec<u8> {
    let (gso_type, field) = match frame[IP + 9] {
        6 => (1, 16),
        17 => (5, 6),
        _ => return frame,
    };
    let pseudo = pseudo_header(&frame, frame.len() - TRANSPORT);
    frame[TRANSPORT + field..TRANSPORT + field + 2].copy_from_slice(&pseudo.to_be_bytes());
    (frame[0], frame[1]) = (1, gso_type);
    frame[2..10].copy_from_slice([54u16, 60, 34, field as u16].map(u16::to_ne_bytes).as_flattened());
    frame
}

/// Gives a frame to the engine, whose rig checks lengths, counters and untouched drops, and checks what goes out.
fn check(rig: &mut Rig, from: Link, frame: Vec<u8>) -> Verdict {
    let original = frame.clone();
    let step = rig.deliver(from, frame);
    if let Verdict::Forward(_) = step.verdict {
        SlicedPacket::from_ethernet(&step.frame[ETHERNET..]).expect("what is forwarded parses");
        if wrong_checksum(&original).is_none() {
            assert_eq!(wrong_checksum(&step.frame), None);
        }
        assert_eq!(step.sent, []);
    }
    for sent in &step.sent {
        let is_arp = word(&sent.frame, IP - 2) == 0x0806;
        match step.verdict {
            Verdict::Drop(_) => {
                assert_eq!(sent.to, from, "the sender is told, and nobody else");
                assert!(matches!(Packet::read(&sent.frame).carries, Carries::Icmp { .. }));
                assert!(sent.frame.len() <= (IP + limits::ICMP_ERROR_BYTES).min(original.len() + 28));
            }
            Verdict::Hold => {
                assert!(is_arp && matches!(sent.to, Link::Uplink(_)), "the next hop is asked for");
            }
            _ if is_arp => assert_eq!(Arp::read(&sent.frame).destination_mac, Arp::read(&original).sender.0),
            // The gateway's own echo reply, or a packet that waited until now.
            _ => assert!(SlicedPacket::from_ethernet(&sent.frame[ETHERNET..]).is_ok()),
        }
    }
    step.verdict
}

#[test]
fn good_frames_truncated_at_every_length_are_harmless() {
    let (mut rig, frames) = primed();
    for (from, frame) in frames {
        for length in 0..=frame.len() {
            let mut cut = frame[..length].to_vec();
            check(&mut rig, from, cut.clone());
            if length >= TRANSPORT && word(&frame, IP - 2) == 0x0800 {
                // As if it had been sent so short.
                cut[IP + 2..IP + 4].copy_from_slice(&((length - IP) as u16).to_be_bytes());
                fix_ipv4(&mut cut);
                check(&mut rig, from, cut.clone());
                if cut[IP + 9] == 1 && length >= TRANSPORT + 8 {
                    fix_icmp(&mut cut);
                    check(&mut rig, from, cut);
                }
            }
        }
    }
}

fn links() -> impl Strategy<Value = Link> {
    prop::sample::select(vec![
        inside(C1),
        inside(C3),
        inside(C4),
        inside(gateway_core::AttachmentId(77)),
        outside(VPC_A),
        outside(VPC_B),
    ])
}

/// How a good frame is spoiled: which one, which bytes, where it is cut or continued, and whether checksums are
/// set right afterwards, so that more than the checksum decides.
#[derive(Clone, Debug)]
struct Spoil {
    frame: Index,
    bytes: Vec<(Index, u8)>,
    headers_only: bool,
    length: Option<Index>,
    fixed: bool,
}

fn spoils() -> impl Strategy<Value = Spoil> {
    let bytes = prop::collection::vec(any::<(Index, u8)>(), 0..4);
    let length = prop::option::weighted(0.3, any::<Index>());
    (any::<Index>(), bytes, any::<bool>(), length, prop::bool::weighted(0.8)).prop_map(
        |(frame, bytes, headers_only, length, fixed)| Spoil { frame, bytes, headers_only, length, fixed },
    )
}

impl Spoil {
    fn apply(&self, frames: &[(Link, Vec<u8>)]) -> (Link, Vec<u8>) {
        let (from, mut frame) = self.frame.get(frames).clone();
        for (at, byte) in &self.bytes {
            let spoilable = if self.headers_only { frame.len().min(TRANSPORT + 20) } else { frame.len() };
            frame[at.index(spoilable)] = *byte;
        }
        if let Some(length) = self.length {
            frame.resize(length.index(frame.len() * 2), 0xee);
        }
        if self.fixed && frame.len() >= IP + 60 && frame[IP] >> 4 == 4 {
            fix_ipv4(&mut frame);
            if frame[IP + 9] == 1 {
                fix_icmp(&mut frame);
            }
        }
        (from, frame)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_harmless(frames in prop::collection::vec((links(), prop::collection::vec(any::<u8>(), 0..200)), 1..20)) {
        let (mut rig, _) = primed();
        for (from, frame) in frames {
            let verdict = check(&mut rig, from, frame);
            prop_assert!(matches!(verdict, Verdict::Drop(_)), "{:?}", verdict);
        }
    }

    #[test]
    fn spoiled_frames_are_harmless(spoils in prop::collection::vec(spoils(), 1..40)) {
        let (mut rig, good) = primed();
        let drops = |rig: &Rig| rig.counters().values().map(|c| c.drops.total()).sum::<u64>();
        let received = |rig: &Rig| rig.counters().values().map(|c| c.received.frames).sum::<u64>();
        let before = (drops(&rig), received(&rig));
        let (mut dropped, mut went_on) = (0, 0);
        for spoil in &spoils {
            let (from, frame) = spoil.apply(&good);
            match check(&mut rig, from, frame) {
                Verdict::Drop(_) => dropped += 1,
                _ => went_on += 1,
            }
        }
        prop_assert_eq!(drops(&rig) - before.0, dropped);
        prop_assert_eq!(received(&rig) - before.1, dropped + went_on);
        // Longer than any session is silent, and any port rests.
        let end = rig.now + limits::TCP_ESTABLISHED + limits::PORT_REST;
        while let Some(due) = rig.engine.poll_timeout().filter(|&due| due <= end) {
            rig.wait_until(due);
        }
        prop_assert_eq!((rig.engine.session_count(), rig.ports_used()), (0, 0));
    }

    #[test]
    fn one_worker_of_two_hands_off_what_the_other_owns(spoils in prop::collection::vec(spoils(), 1..20)) {
        let (_, good) = primed();
        for (index, mut rig) in (0..).zip(Rig::workers(FEW_PORTS)) {
            for spoil in &spoils {
                let (from, frame) = spoil.apply(&good);
                if let Verdict::HandOff { to: owner, .. } = check(&mut rig, from, frame.clone()) {
                    prop_assert_ne!(owner, index);
                }
                rig.engine.handle_shared(rig.now, VPC_A, &frame);
                rig.drain();
            }
        }
    }

    #[test]
    fn what_goes_out_and_back_is_what_was_sent(
        tcp: bool, port: u16, remote_port: u16, ttl in 2u8.., payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let mut rig = Rig::with_ports(FEW_PORTS);
        let carries = if tcp { Carries::Tcp(SYN) } else { Carries::Udp };
        let sent = Packet::outbound(C1, carries, port, endpoint(SERVER, remote_port)).with_ttl(ttl).with_payload(payload);
        let (_, seen) = rig.forward(inside(C1), &sent);
        prop_assert_eq!(&seen.payload, &sent.payload);
        let answer = Packet::inbound(VPC_A, carries, seen.destination, seen.source).with_payload(sent.payload.clone());
        let (to, received) = rig.forward(outside(VPC_A), &answer);
        prop_assert_eq!((to, received.source, received.destination), (inside(C1), sent.destination, sent.source));
        prop_assert_eq!(received.payload, sent.payload);
    }
}

//! The MSS that a SYN announces is lowered to what both links carry.

use std::net::{IpAddr, SocketAddr};

use etherparse::{PacketBuilder, PacketHeaders, TcpHeader, TransportHeader};
use gateway_core::{AttachmentConfig, AttachmentId, VNET_LEN, Verdict};

use crate::support::checksum::fix_ipv4;
use crate::support::packet::Packet;
use crate::support::rig::{Rig, attachment_config};
use crate::support::*;

/// A container with a smaller MTU than the VPC.
const SMALL: AttachmentId = AttachmentId(50);
const SMALL_MTU: u16 = 1200;
const LIMIT: u16 = SMALL_MTU - 40;

fn rig() -> Rig {
    let mut rig = Rig::new();
    rig.add_attachment_with(AttachmentConfig { mtu: SMALL_MTU, ..attachment_config(SMALL) });
    rig.attach(SMALL, TO_A, VPC_A);
    rig
}

/// A segment with these raw options, in the frame of `like`.
fn segment(like: &Packet, flags: u8, options: &[u8]) -> Vec<u8> {
    let mut header = TcpHeader::new(like.source.port(), like.destination.port(), 7, 1000);
    (header.syn, header.ack) = (flags & SYN != 0, flags & ACK != 0);
    header.set_options_raw(options).expect("they fit");
    let mut frame = vec![0; VNET_LEN];
    PacketBuilder::ethernet2(like.source_mac.0, like.destination_mac.0)
        .ipv4(octets(like.source), octets(like.destination), 64)
        .tcp_header(header)
        .write(&mut frame, &[])
        .expect("it can be written");
    fix_ipv4(&mut frame);
    frame
}

fn octets(endpoint: SocketAddr) -> [u8; 4] {
    let IpAddr::V4(address) = endpoint.ip() else { panic!("{endpoint} is not IPv4") };
    address.octets()
}

/// The TCP header of a frame, whose checksum must be right.
fn header(frame: &[u8]) -> TcpHeader {
    let packet = PacketHeaders::from_ethernet_slice(&frame[VNET_LEN..]).expect("it parses");
    let Some(TransportHeader::Tcp(tcp)) = packet.transport else { panic!("TCP") };
    let ip = packet.net.as_ref().and_then(|net| net.ipv4_ref()).expect("IPv4").0.clone();
    assert_eq!(tcp.checksum, tcp.calc_checksum_ipv4(&ip, packet.payload.slice()).expect("it can be summed"));
    tcp
}

const fn mss(value: u16) -> [u8; 4] {
    let [high, low] = value.to_be_bytes();
    [2, 4, high, low]
}

/// What becomes of the options of a SYN that a container with the smaller link sends.
fn outbound(options: &[u8]) -> Vec<u8> {
    let like = Packet::outbound(SMALL, support_tcp(SYN), 4000, endpoint(SERVER, 80));
    let step = rig().deliver(inside(SMALL), segment(&like, SYN, options));
    assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
    header(&step.frame).options.as_slice().to_vec()
}

fn support_tcp(flags: u8) -> crate::support::packet::Carries {
    crate::support::packet::Carries::Tcp(flags)
}

#[test]
fn a_larger_mss_is_lowered_and_a_smaller_one_stays() {
    for (announced, passed) in
        [(1460, LIMIT), (u16::MAX, LIMIT), (LIMIT + 1, LIMIT), (LIMIT, LIMIT), (536, 536), (0, 0)]
    {
        assert_eq!(outbound(&mss(announced)), mss(passed));
    }
}

#[test]
fn the_option_is_found_wherever_it_stands_and_the_checksum_stays_right() {
    for before in 0..=7 {
        let options = |value| {
            let mut options = [vec![1; before], mss(value).to_vec()].concat();
            options.resize(options.len().next_multiple_of(4), 0);
            options
        };
        assert_eq!(outbound(&options(1460)), options(LIMIT), "{before} bytes before it");
    }
    // Window scale and timestamps in front of it.
    let front = [3, 3, 7, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];
    let options = |value| [&front[..], &mss(value), &[1, 1, 1]].concat();
    assert_eq!(outbound(&options(1460)), options(LIMIT));
}

#[test]
fn malformed_and_missing_options_pass_as_they_are() {
    for options in [
        &[][..],
        &[0, 2, 4, 5],
        &[2, 3, 5, 180],
        &[8, 0, 2, 4],
        &[8, 1, 2, 4],
        &[1, 1, 1, 2],
        &[1, 1, 2, 4],
        &[254, 200, 0, 0],
    ] {
        assert_eq!(outbound(options), options);
    }
}

#[test]
fn the_answer_is_lowered_too_and_nothing_but_a_syn_is_touched() {
    let mut rig = rig();
    let like = Packet::outbound(SMALL, support_tcp(SYN), 4000, endpoint(SERVER, 80));
    let step = rig.deliver(inside(SMALL), segment(&like, SYN, &mss(536)));
    let external = Packet::read(&step.frame).source;
    let back = Packet::inbound(VPC_A, support_tcp(SYN | ACK), endpoint(SERVER, 80), external);
    for (flags, passed) in [(SYN | ACK, LIMIT), (ACK, 1460)] {
        let step = rig.deliver(outside(VPC_A), segment(&back, flags, &mss(1460)));
        assert_eq!(header(&step.frame).options.as_slice(), mss(passed));
    }
}

#[test]
fn a_partial_checksum_says_nothing_about_options_and_stays() {
    let mut rig = rig();
    let like = Packet::outbound(SMALL, support_tcp(SYN), 4000, endpoint(SERVER, 80));
    let frame = |value| {
        let mut frame = segment(&like, SYN, &mss(value));
        // NEEDS_CSUM, csum_start 34, csum_offset 16; the field holds any sum.
        frame[0] = 1;
        frame[6..8].copy_from_slice(&34_u16.to_ne_bytes());
        frame[8..10].copy_from_slice(&16_u16.to_ne_bytes());
        frame[TRANSPORT + 16..TRANSPORT + 18].copy_from_slice(&[0x12, 0x34]);
        frame
    };
    let [lowered, untouched] = [1460, 536].map(|value| {
        let step = rig.deliver(inside(SMALL), frame(value));
        assert_eq!(step.verdict, Verdict::Forward(outside(VPC_A)));
        step.frame
    });
    assert_eq!(lowered[TRANSPORT + 20..TRANSPORT + 24], mss(LIMIT));
    assert_eq!(lowered[TRANSPORT + 16..TRANSPORT + 18], untouched[TRANSPORT + 16..TRANSPORT + 18]);
}

//! Writes the seed corpus: one good frame of each kind, so that the fuzzer starts behind the checks.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;

use etherparse::PacketBuilder;
use fuzz::{
    CONTAINER, EXTERNAL, EXTERNAL_PORT, GATEWAY, INSIDE, INTERNAL_PORT, OUTSIDE, REMOTE_PORT, SERVER, back,
    container_asks, frame, frame_with, out, out_to, server_answers, verdict,
};
use gateway_core::{Link, VNET_LEN, Verdict};

fn main() -> std::io::Result<()> {
    let tcp = frame(out().tcp(INTERNAL_PORT, REMOTE_PORT, 1, 1000).ack(1));
    let udp = frame(out().udp(INTERNAL_PORT, REMOTE_PORT));
    let answer = frame(back().tcp(REMOTE_PORT, EXTERNAL_PORT, 1, 1000).syn().ack(2));
    let datagram = frame(back().udp(REMOTE_PORT, EXTERNAL_PORT));
    // What an error of each side quotes: the datagram as that side received it.
    let received = quoted((SERVER, REMOTE_PORT), (CONTAINER, INTERNAL_PORT));
    let seen = quoted((EXTERNAL, EXTERNAL_PORT), (SERVER, REMOTE_PORT));
    let outbound = [
        ("tcp", tcp.clone()),
        ("tcp_super", super_packet(tcp, 1, 16)),
        ("tcp_syn", frame(out().tcp(INTERNAL_PORT, REMOTE_PORT + 1, 1, 1000).syn())),
        ("udp", udp.clone()),
        ("udp_super", super_packet(udp, 5, 6)),
        ("echo", frame(out().icmpv4_echo_request(INTERNAL_PORT, 1))),
        ("echo_gateway", frame(out_to(GATEWAY).icmpv4_echo_request(1, 1))),
        ("error", frame_with(out().icmpv4_raw(3, 3, [0; 4]), &received)),
        ("arp", container_asks()),
    ];
    let inbound = [
        ("tcp", answer.clone()),
        ("tcp_super", super_packet(answer, 1, 16)),
        ("udp", datagram.clone()),
        ("udp_super", super_packet(datagram, 5, 6)),
        ("echo_reply", frame(back().icmpv4_echo_reply(EXTERNAL_PORT, 1))),
        ("error", frame_with(back().icmpv4_raw(3, 4, [0, 0, 5, 0]), &seen)),
        ("arp", server_answers()),
    ];
    write("packet_outbound", INSIDE, &outbound)?;
    write("packet_inbound", OUTSIDE, &inbound)
}

/// A datagram from its IPv4 header on.
fn quoted(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Vec<u8> {
    let mut packet = Vec::new();
    PacketBuilder::ipv4(from.0.octets(), to.0.octets(), 63)
        .udp(from.1, to.1)
        .write(&mut packet, b"payload")
        .expect("a vector takes every packet");
    packet
}

/// The same with a vnet header that asks for checksum and segmentation.
fn super_packet(mut frame: Vec<u8>, gso_type: u8, csum_offset: u16) -> Vec<u8> {
    (frame[0], frame[1]) = (1, gso_type);
    frame[2..VNET_LEN].copy_from_slice([54, 100, 34, csum_offset].map(u16::to_ne_bytes).as_flattened());
    frame
}

fn write(target: &str, from: Link, frames: &[(&str, Vec<u8>)]) -> std::io::Result<()> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    fs::create_dir_all(&directory)?;
    frames.iter().try_for_each(|(name, frame)| {
        let verdict = verdict(from, frame);
        assert!(!matches!(verdict, Verdict::Drop(_)), "{target}/{name}: {verdict:?}");
        fs::write(directory.join(name), frame)
    })
}

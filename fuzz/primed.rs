//! An engine with a session of each protocol, and what must hold for any frame that it gets.

use gateway_core::{
    AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Filtering, Engine, Instant, Link,
    UplinkConfig, UplinkId, VNET_LEN, Verdict, WorkerSlot,
};

use crate::frames::{
    CONTAINER, CONTAINER_MAC, EXTERNAL, EXTERNAL_PORT, GATEWAY, GATEWAY_MAC, INTERNAL_PORT, REMOTE_PORT,
    UPLINK_MAC, frame, out, server_answers,
};

/// The container's link.
pub const INSIDE: Link = Link::Attachment(ATTACHMENT);
/// The VPC's link.
pub const OUTSIDE: Link = Link::Uplink(UPLINK);

const ATTACHMENT: AttachmentId = AttachmentId(1);
const UPLINK: UplinkId = UplinkId(1);

const IPV4: usize = VNET_LEN + 14;
const TRANSPORT: usize = IPV4 + 20;

/// Gives `data` to a primed engine as it is, and again with the checksums right that would end most frames early.
pub fn step(from: Link, data: &[u8]) {
    let mut engine = primed();
    check(&mut engine, from, data.to_vec());
    let mut fixed = data.to_vec();
    if fixed.len() > TRANSPORT {
        fix_checksum(&mut fixed[IPV4..TRANSPORT], 10);
        if fixed[IPV4 + 9] == 1 {
            let end =
                fixed.len().min(IPV4 + usize::from(u16::from_be_bytes([fixed[IPV4 + 2], fixed[IPV4 + 3]])));
            if let Some(message) = fixed.get_mut(TRANSPORT..end) {
                fix_checksum(message, 2);
            }
        }
        check(&mut engine, from, fixed);
    }
    while let Some(due) = engine.poll_timeout() {
        engine.handle_timeout(due);
        while engine.poll_transmit().is_some() {}
    }
    assert_eq!(engine.session_count(), 0, "every session ends");
}

/// What a primed engine says to a frame.
pub fn verdict(from: Link, frame: &[u8]) -> Verdict {
    check(&mut primed(), from, frame.to_vec())
}

fn check(engine: &mut Engine, from: Link, mut frame: Vec<u8>) -> Verdict {
    let original = frame.clone();
    let verdict = engine.handle_packet(Instant::ZERO, from, &mut frame);
    assert_eq!(frame.len(), original.len());
    assert!(
        matches!(verdict, Verdict::Forward(_)) || frame == original,
        "{verdict:?} leaves the frame alone"
    );
    while engine.poll_transmit().is_some() {}
    verdict
}

fn fix_checksum(bytes: &mut [u8], at: usize) {
    let Some(field) = bytes.get_mut(at..at + 2) else { return };
    field.fill(0);
    let mut sum: u32 =
        bytes.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}

/// An engine with one session of each protocol between the container and a server.
fn primed() -> Engine {
    let mut engine = Engine::new(WorkerSlot::ONLY, [7; 32]);
    let prefix = "10.1.0.0/16".parse().expect("a prefix");
    let uplink = UplinkConfig {
        id: UPLINK,
        mac: UPLINK_MAC,
        mtu: 1500,
        on_link: prefix,
        next_hop: None,
        external: vec![EXTERNAL],
        ports: EXTERNAL_PORT..=EXTERNAL_PORT,
    };
    let attachment = AttachmentConfig {
        id: ATTACHMENT,
        address: CONTAINER,
        gateway: GATEWAY,
        mac: CONTAINER_MAC,
        gateway_mac: GATEWAY_MAC,
        mtu: 1500,
    };
    let connector = ConnectorConfig { id: ConnectorId(1), uplink: UPLINK, destinations: vec![prefix], filtering: Filtering::default() };
    for command in [
        Command::AddUplink(uplink),
        Command::AddAttachment(attachment),
        Command::Attach { attachment: ATTACHMENT, connector },
    ] {
        engine.apply(Instant::ZERO, command).expect("the configuration is good");
    }
    let opening = [
        frame(out().tcp(INTERNAL_PORT, REMOTE_PORT, 1, 1000).syn()),
        frame(out().udp(INTERNAL_PORT, REMOTE_PORT)),
        frame(out().icmpv4_echo_request(INTERNAL_PORT, 1)),
    ];
    for mut frame in opening {
        assert_eq!(engine.handle_packet(Instant::ZERO, INSIDE, &mut frame), Verdict::Hold);
    }
    assert_eq!(engine.handle_packet(Instant::ZERO, OUTSIDE, &mut server_answers()), Verdict::Respond);
    while engine.poll_transmit().is_some() {}
    assert_eq!(engine.session_count(), 3);
    engine
}

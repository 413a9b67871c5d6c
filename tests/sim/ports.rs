//! Engines of several workers, each on a thread of its own, that lease from one space.

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use etherparse::{ArpHardwareId, ArpOperation, ArpPacket, EtherType, PacketBuilder};
use gateway_core::{
    AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId, Engine,
    Instant, Link, MacAddr, PortSet, Protocol, Unsolicited, UplinkConfig, UplinkId, VNET_LEN, Verdict,
    WorkerSlot,
};

use crate::network::{CONTAINER, EXTERNAL, GATEWAY, SERVER};

const UPLINK: UplinkId = UplinkId(1);
const CONTAINER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 2]);
const UPLINK_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 3]);
const SERVER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 4]);

/// One worker's engine with one container.
struct Worker {
    engine: Engine,
    container: AttachmentId,
}

impl Worker {
    fn new(slot: WorkerSlot, space: AddressSpace) -> Self {
        let container = AttachmentId(slot.index().into());
        let mut worker = Self { engine: Engine::new(slot, [slot.index() as u8; 32]), container };
        worker.apply(Command::AddUplink(UplinkConfig {
            id: UPLINK,
            mac: UPLINK_MAC,
            mtu: 1500,
            on_link: vec!["10.1.0.0/16".parse().unwrap()],
            next_hops: Vec::new(),
            space,
            reserved: Vec::new(),
            port_blocks: false,
            unsolicited: Unsolicited::default(),
        }));
        worker.apply(Command::AddAttachment(AttachmentConfig {
            id: container,
            addresses: vec![Addressing { address: CONTAINER.into(), gateway: GATEWAY.into() }],
            mac: CONTAINER_MAC,
            gateway_mac: GATEWAY_MAC,
            mtu: 1500,
        }));
        worker.attach();
        assert_eq!(worker.send(1), Verdict::Hold.into(), "the server has to be asked for first");
        let mut answer = server_answers();
        worker.engine.handle_packet(Instant::ZERO, Link::Uplink(UPLINK), &mut answer);
        worker.reattach();
        worker
    }

    fn apply(&mut self, command: Command) {
        self.engine.apply(Instant::ZERO, command).unwrap();
        while self.engine.poll_transmit().is_some() {}
    }

    fn attach(&mut self) {
        let connector = ConnectorConfig::new(ConnectorId(1), UPLINK, vec!["10.1.0.0/16".parse().unwrap()]);
        self.apply(Command::Attach { attachment: self.container, connector });
    }

    /// Ends every session, and begins anew.
    fn reattach(&mut self) {
        self.apply(Command::Detach { attachment: self.container, connector: ConnectorId(1) });
        self.attach();
    }

    /// Opens a session from a port of the container; returns its external port.
    fn send(&mut self, port: u16) -> Outcome {
        let mut frame = vec![0; VNET_LEN];
        PacketBuilder::ethernet2(CONTAINER_MAC.0, GATEWAY_MAC.0)
            .ipv4(CONTAINER.octets(), SERVER.octets(), 64)
            .udp(port, 53)
            .write(&mut frame, b"x")
            .unwrap();
        match self.engine.handle_packet(Instant::ZERO, Link::Attachment(self.container), &mut frame) {
            Verdict::Forward(_) => {
                let at = VNET_LEN + 14 + 20;
                Outcome::Port(u16::from_be_bytes([frame[at], frame[at + 1]]))
            }
            other => Outcome::Other(other),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Port(u16),
    Other(Verdict),
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        Self::Other(verdict)
    }
}

fn server_answers() -> Vec<u8> {
    let (sender, target) = (SERVER.octets(), EXTERNAL.octets());
    let arp = ArpPacket::new(
        ArpHardwareId::ETHERNET,
        EtherType::IPV4,
        ArpOperation::REPLY,
        &SERVER_MAC.0,
        &sender,
        &UPLINK_MAC.0,
        &target,
    );
    let mut frame = vec![0; VNET_LEN];
    PacketBuilder::ethernet2(SERVER_MAC.0, UPLINK_MAC.0).arp(arp.unwrap()).write(&mut frame).unwrap();
    frame
}

#[test]
fn workers_on_threads_of_their_own_never_have_the_same_port() {
    const PORTS: std::ops::RangeInclusive<u16> = 2000..=2299;
    const ROUNDS: usize = 300;
    let space = AddressSpace::new(vec![IpAddr::V4(EXTERNAL)], PortSet::new(&[PORTS], &[]), 2);
    let taken: Vec<AtomicBool> = (0..=u16::MAX).map(|_| AtomicBool::new(false)).collect();
    let start = Barrier::new(2);
    let churn = &|index: u16| {
        let mut worker = Worker::new(WorkerSlot::new(index, 2), space.clone());
        start.wait();
        let mut most = 0;
        for _ in 0..ROUNDS {
            let mut mine = Vec::new();
            // More than its half, so that both want the same ones.
            for port in 0..200 {
                let Outcome::Port(external) = worker.send(3000 + port) else { break };
                assert!(PORTS.contains(&external));
                assert!(!taken[usize::from(external)].swap(true, Relaxed), "{external} is leased twice");
                assert_eq!(space.owner_of(EXTERNAL.into(), Protocol::Udp, external), index);
                mine.push(external);
            }
            most = most.max(mine.len());
            for external in mine {
                taken[usize::from(external)].store(false, Relaxed);
            }
            worker.reattach();
        }
        most
    };
    let most = std::thread::scope(|scope| {
        let threads = [0, 1].map(|index| scope.spawn(move || churn(index)));
        threads.map(|thread| thread.join().unwrap())
    });
    assert!(most.iter().all(|&most| most > 100), "{most:?}");
}

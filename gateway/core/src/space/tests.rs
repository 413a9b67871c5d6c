use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::*;

const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const UDP: Protocol = Protocol::Udp;

fn space(ports: &PortSet, workers: u16) -> AddressSpace {
    AddressSpace::new(vec![EXTERNAL], ports.clone(), workers)
}

fn source(space: &AddressSpace, worker: u16) -> PortSource {
    PortSource::new(space, 0, UDP, WorkerSlot::new(worker, space.workers()))
}

/// Steele, Lea and Flood's SplitMix64.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[test]
fn workers_in_turn_get_every_port_once_and_then_none() {
    let ports = PortSet::new(&[1000..=3000, 65_500..=65_535], &[2000..=2100, 65_530..=65_530]);
    for workers in 1..=4 {
        let space = space(&ports, workers);
        let mut sources: Vec<_> = (0..workers).map(|worker| source(&space, worker)).collect();
        let seen: Vec<u16> =
            (0..).map_while(|i| sources[i as usize % usize::from(workers)].take_any(mix(i))).collect();
        assert!(ports.iter().eq(seen.iter().copied().collect::<BTreeSet<_>>()), "{workers} workers");
        assert_eq!(seen.len() as u32, ports.len());
        for (i, source) in sources.iter_mut().enumerate() {
            assert_eq!((source.take_any(mix(i as u64)), source.free()), (None, 0));
        }
        assert_eq!(sources.iter().map(PortSource::taken).sum::<u32>(), ports.len());
    }
}

#[test]
fn one_worker_alone_gets_every_port_its_own_first() {
    let ports = PortSet::new(&[0..=u16::MAX], &[]);
    let space = space(&ports, 3);
    let mut source = source(&space, 1);
    let seen: Vec<u16> = (0..).map_while(|i| source.take_any(mix(i))).collect();
    assert!(ports.iter().eq(seen.iter().copied().collect::<BTreeSet<_>>()));
    let slot = WorkerSlot::new(1, 3);
    assert!(seen.is_sorted_by_key(|&port| slot.home_of(port) != slot.index()));
    assert!(ports.iter().all(|port| space.owner_of(EXTERNAL, UDP, port) == 1));
    for port in seen {
        source.give_back(port);
    }
    assert!(ports.iter().all(|port| space.owner_of(EXTERNAL, UDP, port) == port / PORT_BLOCK % 3));
    assert_eq!((source.free(), source.taken()), (65_536, 0));
}

#[test]
fn the_owner_of_a_stray_is_who_has_it_on_that_address_and_protocol_only() {
    let other = "2001:db8::1".parse().unwrap();
    let space = AddressSpace::new(vec![other, EXTERNAL], PortSet::new(&[1024..=65_535], &[]), 2);
    let [mut zero, mut one] =
        [0, 1].map(|worker| PortSource::new(&space, 1, UDP, WorkerSlot::new(worker, 2)));
    assert!(one.take(1024) && one.take(1088) && one.take(80) && !zero.take(1024));
    assert_eq!([80, 1024, 1088].map(|port| space.owner_of(EXTERNAL, UDP, port)), [1, 1, 1]);
    assert_eq!(space.owner_of(EXTERNAL, Protocol::Tcp, 1024), 0);
    assert_eq!(space.owner_of(other, UDP, 1024), 0);
    assert_eq!(space.owner_of(IpAddr::V4(Ipv4Addr::LOCALHOST), UDP, 1024), 0);
    one.give_back(1024);
    assert_eq!(space.owner_of(EXTERNAL, UDP, 1024), 0);
    assert!(zero.take(1024) && zero.take(1088 + 1));
    assert_eq!([1024, 1089].map(|port| space.owner_of(EXTERNAL, UDP, port)), [0, 0]);
}

#[test]
fn a_port_outside_the_set_is_taken_only_by_its_number() {
    let mut source = source(&space(&PortSet::new(&[1024..=1030], &[]), 1), 0);
    assert!(source.take(80) && !source.take(80) && source.take(1025));
    assert_eq!((source.free(), source.taken()), (6, 2));
    let rest: BTreeSet<u16> = (0..).map_while(|i| source.take_any(mix(i))).collect();
    assert!(rest.into_iter().eq([1024, 1026, 1027, 1028, 1029, 1030]));
    source.give_back(80);
    assert_eq!((source.free(), source.take_any(0)), (0, None));
    assert!(source.take(80));
}

#[test]
fn a_block_is_taken_only_when_all_its_ports_are_leasable_and_free() {
    let ports = PortSet::new(&[1000..=1300], &[1100..=1100]);
    let space = space(&ports, 2);
    let [mut zero, mut one] = [0, 1].map(|worker| source(&space, worker));
    assert!(one.take(1160));
    let blocks: BTreeSet<_> = (0..).map_while(|i| zero.take_block(mix(i))).collect();
    assert!(blocks.iter().map(|block| block.first()).eq([1024, 1216]));
    assert_eq!((zero.taken(), zero.free()), (128, ports.len() - 129));
    assert!(!zero.has_free_block() && !one.take(1279));
    assert_eq!(space.owner_of(EXTERNAL, UDP, 1279), 0);
    one.give_back(1160);
    assert!(zero.has_free_block());
    for block in blocks {
        zero.give_back_block(block);
    }
    assert_eq!((zero.taken(), zero.free()), (0, ports.len()));
    assert_eq!(space.owner_of(EXTERNAL, UDP, 1279), 1);
}

#[test]
fn rfc6056_no_port_is_likely() {
    let space = space(&PortSet::new(&[1024..=65_535], &[]), 2);
    let mut source = source(&space, 1);
    let mut seen = vec![0u32; 65_536];
    for seed in 0..320_000 {
        let port = source.take_any(mix(seed)).unwrap();
        source.give_back(port);
        seen[usize::from(port)] += 1;
    }
    // Ten times each on average. Of a Poisson distribution, 40 is beyond one in a thousand million.
    assert!(seen.iter().all(|&times| times < 40));
    assert!(seen.iter().filter(|&&times| times > 0).count() > 32_000);
}

#[test]
fn an_address_is_found_at_its_place() {
    let external: Vec<IpAddr> =
        ["192.0.2.9", "2001:db8::1", "192.0.2.1", "192.0.2.9"].map(|ip| ip.parse().unwrap()).into();
    let space = AddressSpace::new(external.clone(), PortSet::new(&[], &[]), 1);
    assert_eq!([0, 1, 2, 3].map(|i| space.index_of(external[i])), [Some(0), Some(1), Some(2), Some(0)]);
    assert_eq!(space.index_of(IpAddr::V4(Ipv4Addr::LOCALHOST)), None);
}

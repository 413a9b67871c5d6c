use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::*;
use crate::limits::{PORT_REST, REMOTE_PORTS_LISTED};
use crate::space::PortSet;
use crate::space::tests::mix;

const EXTERNAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const A: AttachmentId = AttachmentId(1);
const B: AttachmentId = AttachmentId(2);
const NOW: Instant = Instant::ZERO;

pub(super) fn pools(set: PortSet, workers: u16) -> (AddressSpace, Vec<PortPool>) {
    let hasher = ahash::RandomState::with_seeds(1, 2, 3, 4);
    let space = AddressSpace::new(vec![EXTERNAL], set, workers);
    let pool = |worker| PortPool::new(&space, 0, Protocol::Udp, WorkerSlot::new(worker, workers), &hasher);
    let pools = (0..workers).map(pool).collect();
    (space, pools)
}

fn pool(ports: std::ops::RangeInclusive<u16>) -> PortPool {
    pools(PortSet::new(&[ports], &[]), 1).1.remove(0)
}

pub(super) fn remote(i: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, (i >> 8) as u8], i))
}

fn block(holder: AttachmentId, max_blocks: u16) -> Want {
    Want::Block { holder, max_blocks }
}

/// Leases until there is no port for it.
fn all(pool: &mut PortPool, want: &Want) -> Vec<PortLease> {
    let leases: Vec<_> = (0..).map_while(|i| pool.lease(NOW, mix(i), want)).collect();
    assert!(!pool.can_lease(NOW, want));
    leases
}

fn release_all(pool: &mut PortPool, leases: Vec<PortLease>) {
    for lease in leases {
        pool.release(lease, None);
    }
}

fn ports(leases: &[PortLease]) -> BTreeSet<u16> {
    leases.iter().map(PortLease::port).collect()
}

#[test]
fn rfc6888_req_8_a_freed_port_rests_two_minutes() {
    let mut pool = pool(2000..=2001);
    let mut leases = all(&mut pool, &Want::Exclusive);
    let rested = leases.remove(0);
    let port = rested.port();
    pool.release(rested, Some(NOW + PORT_REST));
    assert_eq!((pool.used(), pool.free(), pool.next_rest()), (2, 0, Some(NOW + PORT_REST)));
    let before = Instant::from_nanos((NOW + PORT_REST).as_nanos() - 1);
    for want in [Want::Exclusive, Want::Exactly(port), Want::Shared(remote(1))] {
        assert!(!pool.can_lease(before, &want) && pool.lease(before, 0, &want).is_none());
        assert!(pool.can_lease(NOW + PORT_REST, &want), "{want:?}");
    }
    assert_eq!(pool.lease(NOW + PORT_REST, 0, &Want::Exclusive).map(|lease| lease.port()), Some(port));
    assert_eq!(pool.next_rest(), None);
    pool.release(leases.remove(0), None);
    assert!(pool.can_lease(NOW, &Want::Exclusive), "a port without a rest is free at once");
}

#[test]
fn rests_end_in_the_order_in_which_they_began() {
    let mut pool = pool(2000..=2001);
    let mut leases = all(&mut pool, &Want::Exclusive);
    let [long, short] = [9, 5].map(|s| NOW + Duration::from_secs(s));
    pool.release(leases.remove(0), Some(long));
    pool.release(leases.remove(0), Some(short));
    pool.end_rests(short);
    assert_eq!((pool.used(), pool.next_rest()), (2, Some(long)));
    pool.end_rests(long);
    assert_eq!((pool.used(), pool.free(), pool.next_rest()), (0, 2, None));
}

#[test]
fn every_port_serves_every_remote_once() {
    let mut pool = pool(2000..=2299);
    let mut leases = Vec::new();
    for i in 0..7 {
        let with_remote = all(&mut pool, &Want::Shared(remote(i)));
        assert_eq!((with_remote.len(), ports(&with_remote).len()), (300, 300), "remote {i}");
        leases.extend(with_remote);
    }
    assert_eq!((pool.used(), pool.free()), (300, 0));
    assert!(!pool.can_lease(NOW, &Want::Exclusive));
    // One use given back is the only one there is.
    let given = leases.swap_remove(1000);
    let (port, Kind::Shared(with)) = (given.port(), given.kind) else { panic!("{given:?}") };
    pool.release(given, Some(NOW + PORT_REST));
    assert_eq!(pool.next_rest(), None, "shared ports do not rest");
    assert_eq!(all(&mut pool, &Want::Shared(with)).iter().map(PortLease::port).collect::<Vec<_>>(), [port]);
    assert_eq!(pool.lease(NOW, 0, &Want::Exclusive), None);
}

#[test]
fn exclusive_and_shared_ports_are_never_the_same() {
    let mut pool = pool(2000..=2199);
    let exclusive: Vec<_> = (0..50).filter_map(|i| pool.lease(NOW, mix(i), &Want::Exclusive)).collect();
    let shared = all(&mut pool, &Want::Shared(remote(1)));
    assert_eq!((exclusive.len(), shared.len()), (50, 150));
    assert!(ports(&exclusive).is_disjoint(&ports(&shared)));
    assert!(pool.lease(NOW, 0, &Want::Exclusive).is_none());
    let second = pool.lease(NOW, 0, &Want::Shared(remote(2))).unwrap();
    let twice = second.port();
    release_all(&mut pool, shared);
    assert_eq!(pool.free(), 149, "a shared port goes back when its last use ends");
    let freed = all(&mut pool, &Want::Exclusive);
    assert!(freed.len() == 149 && !ports(&freed).contains(&twice));
    assert_eq!(all(&mut pool, &Want::Shared(remote(3))).len(), 1);
}

#[test]
fn a_port_is_shared_again_only_when_there_are_many_to_choose_from() {
    let mut pool = pool(1024..=1423);
    let leases: Vec<_> =
        (0..200).filter_map(|i| pool.lease(NOW, mix(i), &Want::Shared(remote(i as u16)))).collect();
    assert_eq!((leases.len(), ports(&leases).len(), pool.used()), (200, 100, 100));
}

#[test]
fn a_remote_with_many_ports_and_then_few_forgets_none() {
    let mut pool = pool(2000..=2199);
    let want = Want::Shared(remote(1));
    let mut leases = all(&mut pool, &want);
    assert!(leases.len() > REMOTE_PORTS_LISTED);
    while let Some(lease) = leases.pop() {
        pool.release(lease, None);
        assert!(pool.can_lease(NOW, &want));
        assert_eq!(pool.used() as usize, leases.len());
        let refilled = all(&mut pool, &want);
        assert_eq!(refilled.len(), 200 - leases.len());
        assert!(ports(&refilled).is_disjoint(&ports(&leases)));
        release_all(&mut pool, refilled);
    }
    assert_eq!((pool.used(), pool.free()), (0, 200));
}

#[test]
fn a_tenants_ports_come_out_of_its_own_blocks() {
    let mut pool = pool(1024..=1024 + 64 * 3 - 1);
    let first = all(&mut pool, &block(A, 1));
    let changes: Vec<_> = pool.block_changes().collect();
    let [BlockChange::Taken(A, taken)] = changes[..] else { panic!("{changes:?}") };
    assert!(ports(&first).into_iter().eq(taken.ports()));
    let more = all(&mut pool, &block(B, 9));
    assert_eq!((more.len(), pool.used(), pool.free()), (128, 192, 0));
    assert_eq!(pool.block_changes().count(), 2);
    for want in [block(A, 9), block(B, 9), Want::Exclusive, Want::Exactly(1024)] {
        assert!(!pool.can_lease(NOW, &want) && pool.lease(NOW, 0, &want).is_none(), "{want:?}");
    }
}

#[test]
fn a_block_is_given_back_with_its_last_port_and_after_the_last_rest() {
    let mut pool = pool(1024..=1087);
    let mut leases = all(&mut pool, &block(A, 1));
    let taken = Block::of(1024);
    assert!(pool.block_changes().eq([BlockChange::Taken(A, taken)]));
    let until = NOW + PORT_REST;
    pool.release(leases.remove(0), Some(until));
    release_all(&mut pool, leases);
    assert_eq!((pool.block_changes().count(), pool.used()), (0, 64));
    assert!(!pool.can_lease(NOW, &block(B, 1)) && pool.can_lease(NOW, &block(A, 1)));
    for want in [block(A, 1), block(B, 1), Want::Exclusive, Want::Exactly(1050), Want::Shared(remote(1))] {
        assert!(pool.can_lease(until, &want), "{want:?}");
    }
    assert!(pool.lease(until, 0, &block(B, 1)).is_some());
    assert!(pool.block_changes().eq([BlockChange::GivenBack(A, taken), BlockChange::Taken(B, taken)]));
}

#[test]
fn a_tenant_with_its_last_block_rested_may_take_one() {
    let mut pool = pool(1024..=1087);
    let until = NOW + PORT_REST;
    for lease in all(&mut pool, &block(A, 1)) {
        pool.release(lease, Some(until));
    }
    assert!(!pool.can_lease(NOW, &block(A, 1)));
    assert!(pool.can_lease(until, &block(A, 1)) && !pool.can_lease(until, &block(A, 0)));
    assert!(pool.lease(until, 0, &block(A, 1)).is_some());
}

#[test]
fn a_tenant_keeps_its_other_blocks_when_one_goes_back() {
    let mut pool = pool(1024..=1151);
    let leases = all(&mut pool, &block(A, 2));
    let Some(BlockChange::Taken(A, first)) = pool.block_changes().next() else { panic!("nothing taken") };
    let (gone, kept): (Vec<_>, Vec<_>) =
        leases.into_iter().partition(|lease| Block::of(lease.port()) == first);
    release_all(&mut pool, gone);
    assert!(pool.block_changes().eq([BlockChange::GivenBack(A, first)]));
    assert!(!pool.can_lease(NOW, &block(A, 1)) && pool.can_lease(NOW, &block(A, 2)));
    release_all(&mut pool, kept);
    assert_eq!((pool.used(), pool.free(), pool.block_changes().count()), (0, 128, 1));
}

#[test]
fn a_block_is_not_taken_out_of_ports_that_are_leased_one_by_one() {
    let mut pool = pool(1024..=1151);
    assert!(pool.lease(NOW, 0, &Want::Exactly(1024)).is_some());
    assert!(pool.lease(NOW, 0, &Want::Exactly(1151)).is_some());
    assert!(!pool.can_lease(NOW, &block(A, 1)) && pool.lease(NOW, 0, &block(A, 1)).is_none());
}

#[test]
fn a_publication_gets_its_port_or_nothing() {
    let (space, mut pools) = pools(PortSet::new(&[1024..=65_535], &[]), 2);
    let lease = pools[1].lease(NOW, 0, &Want::Exactly(22)).unwrap();
    assert_eq!((lease.port(), space.owner_of(EXTERNAL, Protocol::Udp, 22)), (22, 1));
    assert_eq!((pools[1].used(), pools[1].free()), (1, 64_512));
    for pool in &mut pools {
        assert!(!pool.can_lease(NOW, &Want::Exactly(22)) && pool.lease(NOW, 0, &Want::Exactly(22)).is_none());
    }
    pools[1].release(lease, None);
    assert!(pools[0].lease(NOW, 0, &Want::Exactly(22)).is_some());
    assert_eq!(space.owner_of(EXTERNAL, Protocol::Udp, 22), 0);
}

#[test]
fn many_sessions_share_the_ports_of_one_address() {
    let mut pool = pool(1024..=65_535);
    let want = |i: u64| Want::Shared(remote((i % 10) as u16));
    let leases: Vec<_> = (0..200_000).filter_map(|i| pool.lease(NOW, mix(i), &want(i))).collect();
    assert_eq!(leases.len(), 200_000);
    let distinct: BTreeSet<_> =
        leases.iter().map(|lease| (lease.port(), format!("{:?}", lease.kind))).collect();
    assert_eq!(distinct.len(), 200_000);
    release_all(&mut pool, leases);
    assert_eq!((pool.used(), pool.free()), (0, 64_512));
}

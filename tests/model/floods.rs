//! Floods: bounds and quotas hold, others lose nothing meanwhile, and afterwards everything is as before.
//!
//! `WHARF_MODEL_STEPS` makes them a million packets each.

use std::net::SocketAddr;
use std::time::Duration;

use gateway_core::{
    AttachmentId, Filtering, Link, PortSet, Protocol, Publication, Reason, SessionState, limits,
};

use crate::capacity::{Site, UDP, VPC, host, own, tcp};
use crate::frame::{self, Read, flag};
use crate::modes::environment;
use crate::world::{Outcome, macs};

/// More than the sessions that one container may have.
fn many() -> u32 {
    if environment("WHARF_MODEL_STEPS").is_some() { 1_000_000 } else { 300_000 }
}

/// A container's connection to a server, which goes on all the time.
struct Transfer {
    id: AttachmentId,
    server: SocketAddr,
    external: SocketAddr,
}

const PORT: u16 = 5000;

impl Transfer {
    fn new(site: &mut Site, id: u32) -> Self {
        let id = site.add(id, |_| ());
        let server = SocketAddr::new(host(7), 443);
        let external = site.leaves(id, PORT, server, tcp(flag::SYN, 0, 0, 0)).expect("nobody is in the way");
        let transfer = Self { id, server, external };
        site.comes(server, external, tcp(flag::SYN | flag::ACK, 0, 1, 0)).expect("it is answered");
        transfer.goes_on(site);
        transfer
    }

    /// Data both ways.
    fn goes_on(&self, site: &mut Site) {
        let data = tcp(flag::ACK, 1, 1, 100);
        assert_eq!(site.leaves(self.id, PORT, self.server, data), Ok(self.external));
        assert_eq!(site.comes(self.server, self.external, data), Ok(self.id));
    }

    /// It is the only one, and whatever others can have, it can.
    fn is_alone(&self, site: &mut Site) {
        assert_eq!((site.sessions(), site.ports(Protocol::Tcp).0, site.ports(Protocol::Udp).0), (1, 1, 0));
        let remote = SocketAddr::new(host(8), 53);
        let external = site.leaves(self.id, PORT, remote, UDP).expect("a port is free");
        assert_eq!(site.comes(remote, external, UDP), Ok(self.id));
        assert!(pieces_pass(site, self.id, 0xffff));
        self.goes_on(site);
    }
}

fn site() -> Site {
    Site::new(1, PortSet::default())
}

/// What a container's fragmented datagram comes to.
fn pieces_pass(site: &mut Site, id: AttachmentId, number: u32) -> bool {
    let link = Link::Attachment(id);
    let mut whole = Vec::new();
    frame::write(&mut whole, macs(link), (own(id), PORT).into(), (host(8), 53).into(), UDP);
    let [mut first, mut second] = frame::fragments(&whole, 8, number);
    site.world.deliver(0, link, &mut first);
    matches!(site.world.deliver(0, link, &mut second), Outcome::Sent(Link::Uplink(VPC), Read::Packet { .. }))
}

#[test]
fn a_syn_flood_of_a_container_takes_its_quota_and_no_more() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let id = site.add(1, |c| c.quota_per_attachment = Some(2000));
    let mut refused = 0;
    for n in 0..many() {
        let remote = SocketAddr::new(host(1 + n % 100), 1 + (n / 100 % 1000) as u16);
        // From thousands of endpoints to thousands.
        match site.leaves(id, 1024 + (n / 100) as u16, remote, tcp(flag::SYN, n, 0, 0)) {
            Ok(_) => {}
            Err(reason) => {
                assert_eq!(reason, Reason::QuotaReached);
                refused += 1;
            }
        }
        if n % 100 == 0 {
            transfer.goes_on(&mut site);
            site.pass(Duration::from_millis(1));
        }
    }
    assert_eq!(site.ports(Protocol::Tcp).0, 2001);
    assert_eq!(site.sessions(), 1 + (many() - refused) as usize);
    assert!(site.sessions() as u64 <= 1 + limits::SESSIONS_PER_ATTACHMENT && refused > 0);
    site.pass(limits::TCP_OPENING);
    transfer.is_alone(&mut site);
}

#[test]
fn a_syn_flood_of_a_container_without_quota_ends_at_the_sessions_that_one_may_have() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let id = site.add(1, |_| ());
    let mut refused = 0;
    for n in 0..many() {
        let remote = SocketAddr::new(host(1 + n % 100), 1 + (n / 100) as u16);
        let outcome = site.leaves(id, 1024, remote, tcp(flag::SYN, n, 0, 0));
        refused += u64::from(outcome == Err(Reason::QuotaReached));
        if n % 100 == 0 {
            transfer.goes_on(&mut site);
        }
    }
    assert_eq!(refused, u64::from(many()) - limits::SESSIONS_PER_ATTACHMENT);
    assert_eq!(site.ports(Protocol::Tcp).0, 2);
    site.pass(limits::TCP_OPENING);
    transfer.is_alone(&mut site);
}

#[test]
fn a_syn_flood_of_the_vpc_leaves_nothing_but_a_thousand_errors() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    for n in 0..many() {
        let remote = SocketAddr::new(host(1 + n % 1000), 1024 + (n / 1000) as u16);
        let external = SocketAddr::new(transfer.external.ip(), n as u16);
        let refused = site.comes(remote, external, tcp(flag::SYN, n, 0, 0));
        assert!(matches!(refused, Err(Reason::NoMapping | Reason::Filtered)), "{refused:?}");
        if n % 100 == 0 {
            transfer.goes_on(&mut site);
        }
    }
    assert_eq!((site.sessions(), site.ports(Protocol::Tcp).0), (1, 1));
    site.world.sent.clear();
    site.pass(limits::UNSOLICITED_SYN);
    let told = site.world.sent.len();
    // RFC 1812 §4.3.2.8: not all at once, either.
    assert!(told > 0 && told <= limits::UNSOLICITED_SYNS.min(limits::ICMP_ERROR_BURST as usize), "{told}");
    transfer.is_alone(&mut site);
}

#[test]
fn a_syn_flood_of_a_publication_is_its_containers_matter() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let external = SocketAddr::new(transfer.external.ip(), 80);
    let publication = Publication { protocol: Protocol::Tcp, external, internal_port: 8080 };
    site.add(1, |c| c.publications = vec![publication]);
    let mut refused = 0;
    for n in 0..many() {
        let remote = SocketAddr::new(host(1 + n % 1000), 1024 + (n / 1000) as u16);
        let outcome = site.comes(remote, external, tcp(flag::SYN, n, 0, 0));
        refused += u64::from(outcome == Err(Reason::QuotaReached));
        if n % 100 == 0 {
            transfer.goes_on(&mut site);
        }
    }
    assert_eq!(refused, u64::from(many()) - limits::SESSIONS_PER_ATTACHMENT);
    site.pass(limits::TCP_OPENING);
    assert_eq!((site.sessions(), site.ports(Protocol::Tcp).0), (1, 2), "the publication stays");
    transfer.goes_on(&mut site);
}

fn drops(site: &Site, link: Link, reason: Reason) -> u64 {
    let counters = site.world.engines[0].counters();
    counters.iter().find(|report| report.link == link).map_or(0, |report| report.counters.drops.of(reason))
}

#[test]
fn a_fragment_flood_fills_its_links_share() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let id = site.add(1, |_| ());
    for link in [Link::Attachment(id), Link::Uplink(VPC)] {
        let (from, to) = match link {
            Link::Attachment(_) => ((own(id), PORT), (host(8), 53)),
            Link::Uplink(_) => ((host(9), 53), (transfer.external.ip(), 80)),
        };
        let mut whole = Vec::new();
        frame::write(&mut whole, macs(link), from.into(), to.into(), UDP);
        // An IPv4 packet has 65,536 identifications, but few datagrams wait at a time: the oldest give way.
        for n in 0..many() {
            let [mut piece, _] = frame::fragments(&whole, 8, n);
            assert_eq!(site.world.deliver(0, link, &mut piece), Outcome::Held);
            site.pass(Duration::from_nanos(100));
            if n % 1000 == 0 {
                transfer.goes_on(&mut site);
                assert!(pieces_pass(&mut site, transfer.id, n));
            }
        }
        let share = match link {
            Link::Attachment(_) => limits::REASSEMBLIES_PER_LINK,
            Link::Uplink(_) => limits::REASSEMBLIES_PER_REMOTE,
        };
        site.pass(Duration::from_secs(1));
        assert_eq!(drops(&site, link, Reason::FragmentsFull), u64::from(many()) - share as u64);
        site.pass(limits::REASSEMBLY_TIME);
        assert_eq!(drops(&site, link, Reason::FragmentTimeout), share as u64);
    }
    // The datagrams in pieces have had a session.
    site.pass(limits::UDP_IDLE);
    transfer.is_alone(&mut site);
}

#[test]
fn a_flood_of_icmp_errors_ends_nothing_and_is_not_answered() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let id = site.add(1, |_| ());
    let uplink = Link::Uplink(VPC);
    let (mut about, mut error) = (Vec::new(), Vec::new());
    for n in 0..many() {
        // One in a hundred is about the transfer.
        let port = if n % 100 == 0 { transfer.external.port() } else { n as u16 };
        let external = SocketAddr::new(transfer.external.ip(), port);
        frame::write(&mut about, macs(uplink), external, transfer.server, tcp(flag::ACK, 0, 0, 0));
        frame::write_error(&mut error, macs(uplink), host(9), external.ip(), &about);
        let outcome = site.world.deliver(0, uplink, &mut error);
        match outcome {
            Outcome::Sent(Link::Attachment(to), Read::Error { .. }) => {
                assert_eq!((to, external), (transfer.id, transfer.external));
            }
            outcome => assert_eq!(outcome, Outcome::Dropped(Reason::IcmpErrorUnrelated)),
        }
        let link = Link::Attachment(id);
        frame::write(
            &mut about,
            macs(link),
            transfer.server,
            (own(id), n as u16).into(),
            tcp(flag::ACK, 0, 0, 0),
        );
        frame::write_error(&mut error, macs(link), own(id), transfer.server.ip(), &about);
        assert_eq!(site.world.deliver(0, link, &mut error), Outcome::Dropped(Reason::IcmpErrorUnrelated));
        assert!(site.world.sent.is_empty(), "RFC 1122 §3.2.2: no error about an error");
        if n % 100 == 0 {
            transfer.goes_on(&mut site);
        }
    }
    transfer.is_alone(&mut site);
}

#[test]
fn a_port_scan_of_a_container_takes_one_port() {
    let mut site = site();
    let transfer = Transfer::new(&mut site, 2);
    let id = site.add(1, |_| ());
    for port in 1..=u16::MAX {
        let remote = SocketAddr::new(host(1), port);
        let external =
            site.leaves(id, 1024, remote, tcp(flag::SYN, 0, 0, 0)).expect("one mapping serves all");
        // Nobody listens.
        site.comes(remote, external, tcp(flag::RST | flag::ACK, 0, 1, 0)).expect("it is answered");
        if port % 100 == 0 {
            transfer.goes_on(&mut site);
        }
    }
    assert_eq!(site.ports(Protocol::Tcp).0, 2);
    let states =
        site.world.sessions(0, &gateway_core::SessionQuery { attachment: Some(id), ..Default::default() });
    assert!(states.iter().all(|s| s.state == SessionState::Reset));
    assert_eq!(states.len(), usize::from(u16::MAX));
    site.pass(limits::TCP_CLOSING);
    transfer.is_alone(&mut site);
}

#[test]
fn a_port_scan_of_the_vpc_finds_what_filtering_shows() {
    for (filtering, found) in [(Filtering::EndpointIndependent, 100), (Filtering::AddressDependent, 0)] {
        let mut site = site();
        let transfer = Transfer::new(&mut site, 2);
        let id = site.add(1, |c| (c.filtering, c.udp_filtering) = (filtering, filtering));
        for port in 4000..4100 {
            site.leaves(id, port, (host(1), 53).into(), UDP).expect("a port is free");
        }
        let (mut open, scanner) = (0, SocketAddr::new(host(9), 9));
        for port in 0..=u16::MAX {
            let external = SocketAddr::new(transfer.external.ip(), port);
            open += usize::from(site.comes(scanner, external, UDP).is_ok());
            assert!(site.comes(scanner, external, tcp(flag::SYN, 0, 0, 0)).is_err());
            if port % 100 == 0 {
                transfer.goes_on(&mut site);
            }
        }
        assert_eq!((open, site.sessions()), (found, 1 + 100 + found));
        site.pass(limits::UDP_IDLE);
        let resting = if filtering == Filtering::EndpointIndependent { 100 } else { 0 };
        assert_eq!(site.ports(Protocol::Udp).0, resting);
        site.pass(limits::PORT_REST);
        transfer.is_alone(&mut site);
    }
}

//! What must hold after every step, and at the end.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use gateway_core::{Command, Link, PortUse, Protocol, SessionView, UplinkConfig, UplinkId};

use super::world::World;

impl World {
    pub(super) fn check(&self) {
        let sessions = self.net.sessions();
        assert_eq!(sessions.len(), self.net.session_count(), "all sessions are in the pages");
        self.check_links(&sessions);
        for session in &sessions {
            let attached = self.attached.get(&(session.attachment, session.connector));
            assert!(attached.is_some(), "by a connector that is attached: {session:?}");
            assert!(
                self.uplinks.contains_key(&session.uplink),
                "through an uplink that is there: {session:?}"
            );
            assert!(session.expires_in > Duration::ZERO, "over, and still there: {session:?}");
        }
        check_unique(&sessions);
        for one in self.net.port_use() {
            self.check_ports(&one, &sessions);
        }
        for (quota, limit) in &self.quotas {
            assert!(quota.used() <= *limit, "{} of {limit} ports", quota.used());
        }
    }

    /// The links' own counts of sessions.
    fn check_links(&self, sessions: &[SessionView]) {
        for report in self.net.reports() {
            let of_link = |s: &&SessionView| match report.link {
                Link::Attachment(id) => s.attachment == id,
                // Each worker counts its own.
                Link::Uplink(_) => false,
            };
            let count = sessions.iter().filter(of_link).count() as u64;
            assert!(report.sessions == count || matches!(report.link, Link::Uplink(_)), "{report:?}");
        }
        let uplinks = self.net.reports().into_iter().filter(|r| matches!(r.link, Link::Uplink(_)));
        assert_eq!(uplinks.map(|r| r.sessions).sum::<u64>(), sessions.len() as u64, "sessions of uplinks");
    }

    /// Every port of a session is one that a worker has, and not free.
    fn check_ports(&self, one: &PortUse, sessions: &[SessionView]) {
        let PortUse { uplink, external, protocol, used, free, .. } = *one;
        let space = &self.uplinks[&uplink].space;
        let of_it = |s: &&SessionView| {
            (s.uplink, s.external.ip(), s.protocol) == (uplink, external, protocol)
                && s.external != s.internal
        };
        let ports: BTreeSet<u16> = sessions.iter().filter(of_it).map(|s| s.external.port()).collect();
        let leasable = ports.iter().filter(|&&port| space.ports().contains(port)).count() as u32;
        assert!(ports.len() as u32 <= used, "{one:?} has {ports:?}");
        assert!(free + leasable <= space.ports().len(), "{one:?} has {ports:?}");
        assert!(free + used >= space.ports().len(), "{one:?} loses ports");
    }

    /// Takes everything away in one of the ways that there are.
    pub(super) fn finish(mut self, way: u8) {
        match way % 4 {
            0 => self.detach_all(),
            1 => {
                // Nobody says anything any more.
                self.net.wait(IDLE);
                assert_eq!(self.net.session_count(), 0, "every session ends");
                self.detach_all();
            }
            _ => {}
        }
        self.net.tear_down(way % 4 == 2);
        for (quota, _) in &self.quotas {
            assert_eq!(quota.used(), 0, "ports that nobody has are not counted");
        }
        // Who comes next finds every port free.
        for config in std::mem::take(&mut self.uplinks).into_values() {
            let (id, all) = (UplinkId(self.fresh()), config.space.ports().len());
            self.net.add_uplink(UplinkConfig { id, ..config });
            let taken = |one: &PortUse| one.used > 0 || one.free != all;
            assert_eq!(self.net.port_use().into_iter().find(taken), None, "of {all}");
            self.net.tear_down(false);
        }
    }

    fn detach_all(&mut self) {
        for &(attachment, connector) in self.attached.keys() {
            let answer = self.net.apply(&Command::Detach { attachment, connector });
            assert!(answer.is_ok(), "{answer:?}");
            let left = |s: &SessionView| (s.attachment, s.connector) == (attachment, connector);
            assert!(!self.net.sessions().iter().any(left), "every session of the pair has ended");
        }
        assert_eq!(self.net.session_count(), 0, "no session without a connector");
        for (quota, _) in &self.quotas {
            assert_eq!(quota.used(), 0, "no port without a connector");
        }
        self.net.wait(REST);
        assert_eq!(self.net.block_count(), 0, "every block is given back");
        for one in self.net.port_use() {
            let all = self.uplinks[&one.uplink].space.ports().len();
            assert_eq!((one.used, one.free), (0, all), "every port is free again: {one:?}");
        }
    }
}

/// No two sessions can be meant by one packet.
fn check_unique(sessions: &[SessionView]) {
    let mut seen: HashSet<(Link, Protocol, _, _)> = HashSet::new();
    for s in sessions {
        let inside = (Link::Attachment(s.attachment), s.protocol, s.internal, s.remote);
        let outside = (Link::Uplink(s.uplink), s.protocol, s.external, s.remote);
        assert!(seen.insert(inside) && seen.insert(outside), "two sessions with one tuple: {s:?}");
    }
}

/// Longer than any session lives without traffic.
const IDLE: Duration = Duration::from_secs(8_000);

/// Longer than any port rests.
const REST: Duration = Duration::from_secs(121);

//! Pages of the session table.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use gateway_core::{AttachmentId, Command, Protocol, SessionQuery, SessionView, Verdict, limits};

use crate::support::packet::{Carries, Packet};
use crate::support::rig::Rig;
use crate::support::*;

/// More sessions than one page looks at.
const MANY: u16 = limits::SNAPSHOT_SCAN as u16 + 500;

fn open(rig: &mut Rig, id: AttachmentId, carries: Carries, port: u16) {
    let packet = Packet::outbound(id, carries, 4000, endpoint(SERVER, port)).with_payload([]);
    let verdict = rig.engine.handle_packet(rig.now, inside(id), &mut packet.frame());
    assert!(matches!(verdict, Verdict::Forward(_)));
}

fn filled() -> Rig {
    let mut rig = Rig::new();
    for port in 0..MANY {
        open(&mut rig, C1, Carries::Udp, port);
    }
    for port in 0..100 {
        open(&mut rig, C2, Carries::Tcp(SYN), port);
        open(&mut rig, C3, Carries::Udp, port);
    }
    rig
}

/// All pages in a row; `between` is called after each.
fn pages(rig: &mut Rig, query: &SessionQuery, mut between: impl FnMut(&mut Rig)) -> Vec<SessionView> {
    let mut query = query.clone();
    let mut all = Vec::new();
    for _ in 0..100_000 {
        let page = rig.engine.sessions(rig.now, &query);
        assert!(page.sessions.len() <= query.limit);
        all.extend(page.sessions);
        let Some(next) = page.next else { return all };
        assert!(next > query.cursor, "a page gets on");
        query.cursor = next;
        between(rig);
    }
    panic!("pages without an end");
}

fn counts(sessions: &[SessionView]) -> BTreeMap<(AttachmentId, SocketAddr), usize> {
    let mut counts = BTreeMap::new();
    for session in sessions {
        *counts.entry((session.attachment, session.remote)).or_default() += 1;
    }
    counts
}

#[test]
fn every_session_is_on_exactly_one_page() {
    let mut rig = filled();
    for limit in [1, 7, 1000, 100_000] {
        let all = pages(&mut rig, &SessionQuery { limit, ..SessionQuery::default() }, |_| ());
        assert_eq!(all.len(), rig.engine.session_count(), "limit {limit}");
        assert!(counts(&all).values().all(|&n| n == 1), "limit {limit}");
    }
}

#[test]
fn filters_select_what_they_name() {
    let mut rig = filled();
    let base = SessionQuery { limit: 50, ..SessionQuery::default() };
    let many = usize::from(MANY);
    let cases = [
        (SessionQuery { attachment: Some(C1), ..base.clone() }, many),
        (SessionQuery { connector: Some(TO_B), ..base.clone() }, 100),
        (SessionQuery { uplink: Some(VPC_A), ..base.clone() }, many + 100),
        (SessionQuery { protocol: Some(Protocol::Tcp), ..base.clone() }, 100),
        (SessionQuery { remote: Some(SERVER.into()), ..base.clone() }, many + 200),
        (SessionQuery { remote: Some(OTHER_SERVER.into()), ..base.clone() }, 0),
        (SessionQuery { attachment: Some(C2), protocol: Some(Protocol::Udp), ..base.clone() }, 0),
        (SessionQuery { cursor: u64::MAX, ..base }, 0),
    ];
    for (query, expected) in cases {
        assert_eq!(pages(&mut rig, &query, |_| ()).len(), expected, "{query:?}");
    }
}

#[test]
fn sessions_that_live_through_all_pages_are_on_exactly_one_while_others_come_and_go() {
    let mut rig = filled();
    let before = counts(&rig_sessions(&mut rig));
    let mut turn = 0;
    let all = pages(&mut rig, &SessionQuery { limit: 400, ..SessionQuery::default() }, |rig| {
        if turn == 0 {
            rig.apply(Command::Detach { attachment: C2, connector: TO_A });
        }
        turn += 1;
        for port in 0..20 {
            open(rig, C3, Carries::Udp, 10_000 + 20 * turn + port);
        }
    });
    let seen = counts(&all);
    for session in before.keys().filter(|(id, _)| *id != C2) {
        assert_eq!(seen.get(session), Some(&1), "{session:?}");
    }
}

fn rig_sessions(rig: &mut Rig) -> Vec<SessionView> {
    pages(rig, &SessionQuery { limit: 100_000, ..SessionQuery::default() }, |_| ())
}

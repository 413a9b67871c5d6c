//! The table grows from nothing to its limit, and how long each single call of the engine takes meanwhile.

use std::time::{Duration, Instant as Clock};

use gateway_core::{Instant, Verdict, limits};

use crate::frame::Shape;
use crate::network::{Family, Network, SEED};
use crate::population::{SMALL, container_of, outbound};

/// Opens a session with each packet until the table is full. Nanoseconds of every call of the engine, in order; which one
/// does what is the same in every run.
pub fn calls() -> Vec<u64> {
    let network = Network(Family::V4);
    let mut engine = network.engine(SEED);
    let shape = Shape::udp(Family::V4, SMALL);
    let mut frame = shape.frame();
    let mut now = Instant::ZERO;
    // Written before, so that no page of it comes into being while time is taken.
    let mut calls = vec![1_u64; limits::SESSIONS * 2];
    let mut count = 0;
    let mut note = |start: Clock| {
        calls[count] = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        count += 1;
    };
    for session in 0..limits::SESSIONS as u64 {
        shape.write(outbound(network, session, 1), &mut frame);
        now = now + BETWEEN_PACKETS;
        let from = Network::container(container_of(session));
        let start = Clock::now();
        let verdict = engine.handle_packet(now, from, &mut frame);
        note(start);
        assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?} for session {session}");
        while engine.poll_timeout().is_some_and(|at| at <= now) {
            let start = Clock::now();
            engine.handle_timeout(now);
            note(start);
            network.serve(&mut engine, now);
        }
    }
    assert_eq!(engine.session_count(), limits::SESSIONS, "the table is full");
    calls.truncate(count);
    calls
}

/// The slowest of them.
///
/// # Panics
/// If there is none.
pub fn slowest(calls: &[u64]) -> Duration {
    Duration::from_nanos(*calls.iter().max().expect("there were calls"))
}

/// So slow that timers run, and so fast that no session ends before the table is full.
const BETWEEN_PACKETS: Duration = Duration::from_micros(20);

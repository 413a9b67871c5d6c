//! How much the containers of a connector may send and receive together: token buckets without a lock.
//!
//! Each bucket is one word: the time at which it will be full again (GCRA, ITU-T I.371 §A.1). To take from it is to put that off
//! by what the tokens cost, unless it would then be further away than a whole bucket's worth.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::limits::{BIT_BURST, PACKET_BURST, RATE_BURST, SESSION_BURST};
use crate::packet::Packet;
use crate::session::tcp::Direction;
use crate::{Instant, Reason};

/// So much a second; `None` for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Rates {
    /// IP packets as they are on the wire, of each direction by itself: a super-packet counts its segments.
    pub packets: Option<NonZeroU64>,
    /// Bits of these packets, IP headers included, of each direction by itself.
    pub bits: Option<NonZeroU64>,
    /// New sessions, whoever opens them.
    pub sessions: Option<NonZeroU64>,
}

/// What a connector's containers may send and receive together, and have. Clones count together, over all workers. The
/// default limits nothing.
#[derive(Clone, Debug, Default)]
pub struct RateLimits(Option<Arc<Buckets>>);

#[derive(Debug)]
struct Buckets {
    rates: Rates,
    /// By direction.
    packets: Option<[Bucket; 2]>,
    bits: Option<[Bucket; 2]>,
    sessions: Option<Bucket>,
}

/// What one packet takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) direction: Direction,
    /// On the wire.
    pub(crate) packets: u64,
    /// Of IP, on the wire.
    pub(crate) bytes: u64,
    /// Sessions that begin with it.
    pub(crate) sessions: u64,
}

impl Load {
    /// That of a packet, after segmentation. What came in fragments counts as the one packet that it is.
    pub(crate) fn of(packet: &Packet, direction: Direction, sessions: u64) -> Self {
        Self { direction, packets: packet.segments() as u64, bytes: packet.bytes_on_wire() as u64, sessions }
    }
}

/// Tokens that come evenly.
#[derive(Debug)]
struct Bucket {
    per_second: NonZeroU64,
    /// Time that all tokens of a full bucket take to come.
    depth: u64,
    /// When it is full, if nobody takes from it until then.
    full: AtomicU64,
}

/// Times are in sixteenths of a nanosecond, so that even a short packet of a fast link is many of them; there are 36 years of
/// them.
const TICKS: u64 = 16;

impl RateLimits {
    /// Limits to these rates; what nobody has taken yet can be taken at once, as far as [`crate::limits`] says.
    pub fn new(rates: Rates) -> Self {
        let Rates { packets, bits, sessions } = rates;
        if (packets, bits, sessions) == (None, None, None) {
            return Self::default();
        }
        let pair = |rate: NonZeroU64, least| [(); 2].map(|()| Bucket::new(rate, least));
        Self(Some(Arc::new(Buckets {
            rates,
            packets: packets.map(|rate| pair(rate, PACKET_BURST)),
            bits: bits.map(|rate| pair(rate, BIT_BURST)),
            sessions: sessions.map(|rate| Bucket::new(rate, SESSION_BURST)),
        })))
    }

    /// What was asked for.
    pub fn rates(&self) -> Rates {
        self.0.as_ref().map_or_else(Rates::default, |buckets| buckets.rates)
    }

    /// Whether each packet has to ask, so that none may take the short way.
    #[inline]
    pub(crate) fn is_metered(&self) -> bool {
        self.0.as_ref().is_some_and(|buckets| buckets.packets.is_some() || buckets.bits.is_some())
    }

    /// Whether both count together.
    pub(crate) fn is_shared_with(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(own), Some(other)) if Arc::ptr_eq(own, other))
    }

    /// Takes what a packet needs: all of it, or nothing.
    #[inline]
    pub(crate) fn take(&self, now: Instant, load: &Load) -> Result<(), Reason> {
        match &self.0 {
            None => Ok(()),
            Some(buckets) => buckets.take(now, load),
        }
    }

    /// What [`Self::take`] would say, once `ahead` has taken what it needs.
    pub(crate) fn check(&self, now: Instant, load: &Load, ahead: Option<&Load>) -> Result<(), Reason> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        let taken = |bucket: &Bucket| {
            let needs = ahead.into_iter().flat_map(|ahead| buckets.needs(ahead));
            needs.filter(|(other, ..)| std::ptr::eq(*other, bucket)).map(|(_, tokens, _)| tokens).sum()
        };
        let is_short = |(bucket, tokens, _): &(&Bucket, u64, Reason)| {
            let full = bucket.after(bucket.full.load(Relaxed), now, taken(bucket)).unwrap_or(u64::MAX);
            bucket.after(full, now, *tokens).is_none()
        };
        buckets.needs(load).find(is_short).map_or(Ok(()), |(.., reason)| Err(reason))
    }
}

impl Buckets {
    /// What a packet needs, of which bucket, and what it is refused for if that has not enough.
    fn needs(&self, load: &Load) -> impl Iterator<Item = (&Bucket, u64, Reason)> {
        let Load { direction, packets, bytes, sessions } = *load;
        let packet = self.packets.as_ref().map(|pair| &pair[direction as usize]);
        let bit = self.bits.as_ref().map(|pair| &pair[direction as usize]);
        let session = self.sessions.as_ref().filter(|_| sessions > 0);
        [
            packet.map(|bucket| (bucket, packets, Reason::RateLimited)),
            bit.map(|bucket| (bucket, bytes * 8, Reason::RateLimited)),
            session.map(|bucket| (bucket, sessions, Reason::SessionRate)),
        ]
        .into_iter()
        .flatten()
    }

    fn take(&self, now: Instant, load: &Load) -> Result<(), Reason> {
        for (taken, (bucket, tokens, reason)) in self.needs(load).enumerate() {
            if !bucket.take(now, tokens) {
                self.needs(load).take(taken).for_each(|(bucket, tokens, _)| bucket.give_back(tokens));
                return Err(reason);
            }
        }
        Ok(())
    }
}

impl Bucket {
    /// A full one. It holds what the rate gives in [`RATE_BURST`], and `least` tokens at least.
    fn new(per_second: NonZeroU64, least: u64) -> Self {
        let mut bucket = Self { per_second, depth: 0, full: AtomicU64::new(0) };
        bucket.depth = bucket.cost(least).max(RATE_BURST.as_nanos() as u64 * TICKS);
        bucket
    }

    /// The time that so many tokens take to come. Never too short.
    fn cost(&self, tokens: u64) -> u64 {
        let second = u128::from(1_000_000_000 * TICKS);
        let cost = (u128::from(tokens) * second).div_ceil(self.per_second.get().into());
        u64::try_from(cost).unwrap_or(u64::MAX)
    }

    /// When it will be full if it were at `full`, and so many tokens are taken now; `None` if there are not so many. What is more
    /// than a whole bucket is had from a full one, and has to be waited for afterwards.
    fn after(&self, full: u64, now: Instant, tokens: u64) -> Option<u64> {
        let (now, cost) = (now.as_nanos().saturating_mul(TICKS), self.cost(tokens));
        let from = full.max(now);
        (from - now <= self.depth - cost.min(self.depth)).then(|| from.saturating_add(cost))
    }

    fn take(&self, now: Instant, tokens: u64) -> bool {
        self.full.fetch_update(Relaxed, Relaxed, |full| self.after(full, now, tokens)).is_ok()
    }

    fn give_back(&self, tokens: u64) {
        self.full.fetch_sub(self.cost(tokens), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(packets: u64, bits: u64, sessions: u64) -> RateLimits {
        let [packets, bits, sessions] = [packets, bits, sessions].map(NonZeroU64::new);
        RateLimits::new(Rates { packets, bits, sessions })
    }

    fn load(direction: Direction, packets: u64, bytes: u64) -> Load {
        Load { direction, packets, bytes, sessions: 0 }
    }

    /// How many packets of one kind can be had now.
    fn had(limits: &RateLimits, now: Instant, load: &Load) -> u64 {
        let mut had = 0;
        loop {
            let foreseen = limits.check(now, load, None);
            assert_eq!(limits.take(now, load), foreseen);
            if foreseen.is_err() {
                return had;
            }
            had += 1;
        }
    }

    #[test]
    fn a_burst_passes_at_once_and_then_what_the_rate_gives_for_each_direction_by_itself() {
        let (now, one) = (Instant::from_nanos(5), load(Direction::Outbound, 1, 100));
        let limits = limits(10, 0, 0);
        assert_eq!(had(&limits, now, &one), PACKET_BURST);
        assert_eq!(had(&limits, now, &load(Direction::Inbound, 1, 100)), PACKET_BURST);
        assert_eq!(had(&limits, now + Duration::from_nanos(99_999_999), &one), 0);
        assert_eq!(had(&limits, now + Duration::from_millis(100), &one), 1);
        assert_eq!(had(&limits, now + SECOND, &one), 9);
        assert_eq!(had(&limits, now + 3600 * SECOND, &one), PACKET_BURST, "no more is saved up");
    }

    #[test]
    fn clones_count_together_and_a_fast_rate_saves_up_a_tenth_of_a_second() {
        let (now, one) = (Instant::from_nanos(5), load(Direction::Outbound, 1, 100));
        let limits = limits(100_000, 0, 0);
        limits.clone().take(now, &load(Direction::Outbound, 4_000, 0)).expect("there are so many");
        assert_eq!(had(&limits, now, &one), 6_000);
    }

    #[test]
    fn what_is_larger_than_a_burst_passes_by_a_full_bucket_and_is_waited_for_afterwards() {
        let limits = limits(0, 8_000_000, 0);
        let large = load(Direction::Inbound, 50, 200_000);
        let small = load(Direction::Inbound, 1, 1);
        assert_eq!(had(&limits, Instant::ZERO, &large), 1, "a burst is 100,000 bytes");
        assert_eq!(had(&limits, Instant::ZERO + Duration::from_millis(100), &small), 0);
        assert_eq!(had(&limits, Instant::ZERO + Duration::from_millis(101), &small), 1_000);
        assert_eq!(had(&limits, Instant::ZERO + Duration::from_millis(200), &large), 0, "not full");
        assert_eq!(had(&limits, Instant::ZERO + Duration::from_millis(201), &large), 1);
    }

    #[test]
    fn a_packet_that_one_bucket_refuses_takes_nothing_from_the_others() {
        let limits = limits(64, 0, 1);
        let opening = Load { sessions: 1, ..load(Direction::Outbound, 1, 100) };
        assert_eq!(limits.take(Instant::ZERO, &opening), Ok(()));
        for _ in 0..100 {
            assert_eq!(limits.take(Instant::ZERO, &opening), Err(Reason::SessionRate));
        }
        assert_eq!(had(&limits, Instant::ZERO, &load(Direction::Outbound, 1, 100)), PACKET_BURST - 1);
        assert_eq!(limits.take(Instant::ZERO + SECOND, &opening), Ok(()));
    }

    #[test]
    fn no_rates_are_no_limits() {
        let limits = limits(0, 0, 0);
        assert!(limits.0.is_none() && limits.rates() == Rates::default() && !limits.is_metered());
    }

    proptest! {
        #[test]
        fn nobody_gets_more_than_a_burst_and_the_rate_and_who_waits_gets_that(
            rate in prop_oneof![1..1_000_u64, 1..100_000_000_000_u64],
            steps in prop::collection::vec((0..2_000_000_000_u64, 1..2_000_u64), 1..100),
        ) {
            let limits = limits(0, rate, 0);
            let burst = BIT_BURST.max(rate / 10);
            let (mut now, mut passed, mut asked) = (Instant::ZERO, 0, 0);
            for (wait, bytes) in steps {
                now = now + Duration::from_nanos(wait);
                let load = load(Direction::Outbound, 1, bytes);
                asked += bytes * 8;
                passed += u64::from(limits.take(now, &load).is_ok()) * bytes * 8;
                let given = u128::from(rate) * u128::from(now.as_nanos()) / 1_000_000_000;
                prop_assert!(u128::from(passed) <= u128::from(burst) + given + 1);
            }
            // What does not add up to a burst is never refused.
            prop_assert!(asked > burst || passed == asked);
        }
    }
}

//! What the engines' counters have to say, by the verdicts and frames that came out of them.

use std::collections::BTreeMap;

use gateway_core::{Link, LinkCounters, LinkReport, Reason, UplinkId, Verdict};

/// The links' accounts.
#[derive(Default)]
pub(super) struct Ledger(BTreeMap<Link, Account>);

/// Frames of one link since it came.
#[derive(Clone, Debug, Default)]
struct Account {
    received: u64,
    sent: u64,
    /// Ended by a verdict, by reason.
    dropped: BTreeMap<Reason, u64>,
    /// Kept, or taken in by another worker: these can end later.
    held: u64,
}

impl Ledger {
    /// A verdict on a frame from `from`.
    pub(super) fn frame(&mut self, from: Link, verdict: Verdict) {
        let account = self.0.entry(from).or_default();
        account.received += u64::from(!matches!((verdict, from), (Verdict::HandOff { .. }, Link::Uplink(_))));
        match verdict {
            Verdict::Drop(reason) => *account.dropped.entry(reason).or_default() += 1,
            Verdict::Hold => account.held += 1,
            Verdict::Forward(to) => self.made(to),
            Verdict::Respond | Verdict::Share | Verdict::HandOff { .. } => {}
        }
    }

    /// A datagram of the uplink went from one worker to another.
    pub(super) fn whole(&mut self, from: UplinkId) {
        self.0.entry(Link::Uplink(from)).or_default().held += 1;
    }

    /// A frame for `to`.
    pub(super) fn made(&mut self, to: Link) {
        self.0.entry(to).or_default().sent += 1;
    }

    /// Compares with what the engines say. A link that is gone has no counters any more.
    pub(super) fn check(&self, reports: impl Iterator<Item = LinkReport>) {
        let mut told: BTreeMap<Link, LinkCounters> = BTreeMap::new();
        for report in reports {
            *told.entry(report.link).or_default() += &report.counters;
        }
        for (link, counters) in told {
            let none = Account::default();
            let account = self.0.get(&link).unwrap_or(&none);
            let LinkCounters { received, sent, drops } = counters;
            assert_eq!(
                (received.frames, sent.frames),
                (account.received, account.sent),
                "counters of {link}"
            );
            for (&reason, &count) in &account.dropped {
                assert!(drops.of(reason) >= count, "{link} counts {reason:?}: {drops:?}, {account:?}");
            }
            // What was held, or did not get out, ends without a verdict.
            let to_link = drops.of(Reason::OutboxFull) + drops.of(Reason::PacketTooBig);
            let most = account.dropped.values().sum::<u64>() + account.held + to_link;
            assert!(drops.total() <= most, "{link} counts no more than came: {drops:?}, {account:?}");
        }
    }
}

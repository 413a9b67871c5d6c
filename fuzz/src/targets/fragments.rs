//! A datagram of a session, cut, changed, reordered and overlapping, of either side and IP version.

use std::time::Duration;

use gateway_core::limits::{FRAGMENTS_PER_DATAGRAM as FRAGMENTS_MAX, REASSEMBLY_TIME as REASSEMBLY};
use gateway_core::{Link, Protocol, Reason, Verdict};

use super::{EXTENSIONS, MTUS, mutate, pattern};
use crate::checksum::{Errors, fix, fix_ipv4};
use crate::input::Input;
use crate::lane::{INSIDE, Lane, OUTSIDE, Policy, inbound, server, session};
use crate::layout::{IP, Layout, TCP};
use crate::net::{Net, Outcome};
use crate::packet::{ACK, Carries};
use crate::pieces::{fragmentable, join, part};

/// The datagram, and how it is cut.
struct Case {
    outbound: bool,
    is_v4: bool,
    /// The whole packet.
    frame: Vec<u8>,
    /// What the fragments have of what can be shared out.
    cuts: Vec<std::ops::Range<usize>>,
}

/// Sends a datagram in pieces.
pub fn fragments(data: &[u8]) {
    let mut input = Input::new(data);
    let (case, mut net) = Case::decode(&mut input);
    let (from, to) = if case.outbound { (INSIDE, OUTSIDE) } else { (OUTSIDE, INSIDE) };
    // Which fragments are on their way, as long as nothing but right ones were sent, and soon.
    let mut honest = Some(vec![false; case.cuts.len()]);
    let mut waited = Duration::ZERO;
    for _ in 0..STEPS {
        if input.is_empty() {
            break;
        }
        let (step, choice) = (input.byte(), input.below(case.cuts.len()));
        let cut = case.cuts[choice].clone();
        match step % 10 {
            0 => case.send(&mut net, (from, to), choice, &mut honest),
            1 => {
                (0..case.cuts.len()).for_each(|index| case.send(&mut net, (from, to), index, &mut honest));
            }
            2 => {
                let rest = (0..case.cuts.len()).rev();
                rest.for_each(|index| case.send(&mut net, (from, to), index, &mut honest));
            }
            3 => {
                let wait = Duration::from_secs([1, 5, 20, 31][choice % 4]);
                net.wait(wait);
                waited += wait;
                if waited >= REASSEMBLY {
                    honest = None;
                }
            }
            other => {
                honest = None;
                let frame = case.dishonest(other, cut, &mut input);
                net.send(0, from, &frame);
            }
        }
    }
    net.wait(Duration::from_secs(60));
    net.tear_down(false);
}

impl Case {
    fn decode(input: &mut Input<'_>) -> (Self, Net) {
        let lane = Lane {
            policy: input.one_of(&Policy::ALL),
            inside_mtu: input.one_of(&MTUS),
            outside_mtu: input.one_of(&MTUS),
        };
        let bits = input.byte();
        let is_v4 = bits & 1 != 0 || lane.versions().count() == 1;
        let outbound = bits & 2 != 0;
        let protocol = [Protocol::Udp, Protocol::Tcp, Protocol::Icmp][usize::from(bits >> 2) % 3];
        let net = lane.primed();
        let carries = match protocol {
            Protocol::Tcp => Carries::tcp(ACK, 1000, 5000),
            Protocol::Udp => Carries::Udp,
            Protocol::Icmp if outbound => Carries::EchoRequest,
            Protocol::Icmp => Carries::EchoReply,
        };
        let mut packet = if outbound {
            lane.outbound(carries, server(is_v4))
        } else {
            inbound(carries, &session(&net, protocol, is_v4))
        };
        packet.dont_fragment = bits & 0x10 != 0;
        let extensions = input.one_of(&EXTENSIONS);
        packet.extensions = if is_v4 { Vec::new() } else { extensions.to_vec() };
        let frame = packet.with_payload(pattern(usize::from(input.word()).min(PAYLOAD_MAX))).frame();
        let cuts = cuts(input, frame.len() - fragmentable(&frame).0);
        (Self { outbound, is_v4, frame, cuts }, net)
    }

    /// Sends a right fragment. With the last one missing, the datagram has to go on if it may.
    fn send(&self, net: &mut Net, (from, to): (Link, Link), index: usize, honest: &mut Option<Vec<bool>>) {
        let frame = part(&self.frame, self.cuts[index].clone(), ID);
        let outcome =
            if honest.is_some() { net.send_trusted(0, from, &frame) } else { net.send(0, from, &frame) };
        let Some(sent) = honest else { return };
        let (may, largest) = self.may_go_on();
        if !may {
            return;
        }
        sent[index] = true;
        if sent.contains(&false) {
            let kept = matches!(outcome.verdict, Verdict::Hold) && outcome.out.is_empty();
            assert!(kept, "fragment {index} of {}: {:?}", sent.len(), outcome.verdict);
            return;
        }
        sent.fill(false);
        self.check_whole(net, to, largest, &outcome);
    }

    /// Whether the fragments are such that the datagram is taken, and the length of the largest one's packet.
    fn may_go_on(&self) -> (bool, usize) {
        let (start, _) = fragmentable(&self.frame);
        let layout = Layout::of(&self.frame).expect("a packet");
        let least = layout.start - start + if layout.protocol == TCP { 20 } else { 8 };
        let headers = self.cuts[0].end >= least || self.cuts.len() == 1;
        let overhead = start - IP + if self.is_v4 { 0 } else { 8 };
        let largest = self.cuts.iter().map(|cut| overhead + cut.len()).max().unwrap_or(0);
        (headers && self.cuts.len() <= FRAGMENTS_MAX, largest)
    }

    /// Compares what left with what was cut.
    fn check_whole(&self, net: &Net, to: Link, largest: usize, outcome: &Outcome) {
        let fits = largest <= net.mtu(to);
        let may_be_cut = self.is_v4 && self.frame[IP + 6] & 0x40 == 0;
        if !fits && !may_be_cut {
            assert_eq!(outcome.verdict, Verdict::Drop(Reason::PacketTooBig));
            return;
        }
        assert!(matches!(outcome.verdict, Verdict::Respond | Verdict::Forward(_)), "{:?}", outcome.verdict);
        let left: Vec<&[u8]> = outcome.out.iter().map(|(_, frame)| &frame[..]).collect();
        assert!(outcome.out.iter().all(|(link, _)| *link == to), "{to} only");
        let largest = largest.max(IP);
        assert!(left.iter().all(|frame| frame.len() - IP <= largest), "never larger than what came in");
        let whole = join(&left).unwrap_or_else(|| panic!("all of the datagram leaves: {left:02x?}"));
        assert!(Errors::of(&whole).is_none(), "with right checksums: {whole:02x?}");
        let payload = |frame: &[u8]| {
            let layout = Layout::of(frame).expect("a packet");
            frame[layout.payload(frame)..layout.end].to_vec()
        };
        assert_eq!(payload(&whole), payload(&self.frame), "and with the same payload");
    }

    /// Something that is not a fragment of the datagram, or not all right.
    fn dishonest(&self, kind: u8, cut: std::ops::Range<usize>, input: &mut Input<'_>) -> Vec<u8> {
        let all = self.frame.len() - fragmentable(&self.frame).0;
        let id = if kind == 9 { ID ^ u32::from(input.byte()) << 8 } else { ID };
        let mut frame = match kind {
            // Any other part.
            4 | 5 => {
                let start = (usize::from(input.word()) % all) & !7;
                let end = (start + 1 + usize::from(input.word()) % (all - start)).min(all);
                part(&self.frame, start..end, id)
            }
            8 => self.frame.clone(),
            _ => part(&self.frame, cut, id),
        };
        // Changed in its payload, anywhere, or in its headers.
        let length = frame.len();
        let changed = match kind {
            5 => IP + 20..length,
            6 => 0..length,
            7 => IP..length.min(IP + 64),
            _ => 0..0,
        };
        let count = if changed.is_empty() { 0 } else { 1 + input.below(4) * 2 };
        mutate(&mut Input::new(input.bytes(count * 2)), &mut frame[changed]);
        if frame[IP] >> 4 == 4 && frame[IP] & 0x0f == 5 {
            fix_ipv4(&mut frame[IP..IP + 20]);
        }
        if kind == 8 {
            fix(&mut frame);
        }
        frame
    }
}

/// Even pieces, or what the input says: in units of eight bytes.
fn cuts(input: &mut Input<'_>, all: usize) -> Vec<std::ops::Range<usize>> {
    let count = input.below(8);
    let mut ends = Vec::new();
    if count == 0 {
        let size = (usize::from(input.word()) & !7).max(8).max(all.div_ceil(FRAGMENTS_MAX + 1) & !7);
        ends.extend((1..).map(|i| i * size).take_while(|&end| end < all));
    }
    for _ in 0..count {
        let behind = ends.last().copied().unwrap_or(0);
        ends.push(behind + 8 * (1 + usize::from(input.word()) % 1024));
    }
    ends.retain(|&end| end < all);
    ends.push(all);
    let starts = std::iter::once(0).chain(ends.clone());
    starts.zip(ends).map(|(start, end)| start..end).collect()
}

/// Of the datagram.
const ID: u32 = 0x0001_2345;

/// Steps of one input.
const STEPS: usize = 48;

/// With all headers, one packet.
const PAYLOAD_MAX: usize = 65_000;

//! Every field of the vnet header, over TCP and UDP, between links of different MTU. What leaves has to carry what came in.

use gateway_core::{Link, Protocol, Reason, VNET_LEN, Verdict};

use super::{EXTENSIONS, MTUS, mutate, pattern};
use crate::checksum::{Errors, fix};
use crate::input::Input;
use crate::lane::{INSIDE, Lane, OUTSIDE, Policy, inbound, server, session};
use crate::layout::{IP, Layout, put_u16, u16_at};
use crate::net::{Net, Outcome};
use crate::packet::{Carries, offload};
use crate::pieces::{Segment, join, segments};

/// What an input decides, in the order of its bytes; what follows them changes the vnet header.
struct Case {
    lane: Lane,
    is_v4: bool,
    protocol: Protocol,
    outbound: bool,
    dont_fragment: bool,
    offload: Offload,
    /// A UDP checksum of zero, or a wrong one.
    checksum: Checksum,
    payload: usize,
    gso_size: u16,
    flags: u8,
    option_words: usize,
    extensions: &'static [u8],
    padding: usize,
}

/// What the vnet header asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offload {
    Nothing,
    Checksum,
    Segmentation,
    SegmentationEcn,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Checksum {
    Right,
    None,
    Wrong,
}

/// Sends one TCP or UDP frame of a session.
pub fn vnet(data: &[u8]) {
    let mut input = Input::new(data);
    let case = Case::decode(&mut input);
    let mut net = case.lane.primed();
    let mut frame = case.frame(&net);
    let sane = case.is_sane(&frame) && input.is_empty();
    mutate(&mut input, &mut frame[..VNET_LEN]);
    match case.checksum {
        Checksum::Right => fix(&mut frame),
        Checksum::None if case.protocol == Protocol::Udp => {
            fix(&mut frame);
            let at = Layout::of(&frame).expect("a packet").start + 6;
            put_u16(&mut frame, at, 0);
        }
        Checksum::None | Checksum::Wrong => {}
    }
    let (from, to) = if case.outbound { (INSIDE, OUTSIDE) } else { (OUTSIDE, INSIDE) };
    let outcome = net.send(0, from, &frame);
    if sane {
        case.check_decision(&net, (from, to), &frame, &outcome);
    }
    if matches!(outcome.verdict, Verdict::Forward(_) | Verdict::Respond) {
        let left = carried(&outcome, to, net.is_trusted());
        assert_eq!(left, segments(&frame), "what left is what came: {frame:02x?}");
    }
}

impl Case {
    fn decode(input: &mut Input<'_>) -> Self {
        let lane = Lane {
            policy: input.one_of(&Policy::ALL),
            inside_mtu: input.one_of(&MTUS),
            outside_mtu: input.one_of(&MTUS),
        };
        let (bits, more) = (input.byte(), input.byte());
        Self {
            lane,
            is_v4: bits & 1 != 0 || lane.versions().count() == 1,
            protocol: if bits & 2 != 0 { Protocol::Tcp } else { Protocol::Udp },
            outbound: bits & 4 != 0,
            dont_fragment: bits & 8 != 0,
            offload: match more & 3 {
                0 => Offload::Nothing,
                1 => Offload::Checksum,
                2 => Offload::Segmentation,
                _ => Offload::SegmentationEcn,
            },
            checksum: match more >> 2 & 7 {
                6 => Checksum::None,
                7 => Checksum::Wrong,
                _ => Checksum::Right,
            },
            payload: usize::from(input.word()).min(PAYLOAD_MAX),
            gso_size: input.word(),
            flags: input.byte(),
            option_words: input.below(11),
            extensions: input.one_of(&EXTENSIONS),
            padding: input.below(64),
        }
    }

    /// The frame, but for its checksums.
    fn frame(&self, net: &Net) -> Vec<u8> {
        let session = session(net, self.protocol, self.is_v4);
        let carries = match self.protocol {
            // An MSS that has to be lowered, at an odd place.
            Protocol::Tcp => Carries::Tcp {
                flags: self.flags,
                sequence: 0xffff_ff00,
                acknowledgment: 5000,
                options: [&[1, 2, 4, 0xff, 0xff][..], &[0; 40]].concat()[..self.option_words * 4].to_vec(),
            },
            _ => Carries::Udp,
        };
        let mut packet = if self.outbound {
            self.lane.outbound(carries, server(self.is_v4))
        } else {
            inbound(carries, &session)
        };
        packet.dont_fragment = self.dont_fragment;
        packet.extensions = if self.is_v4 { Vec::new() } else { self.extensions.to_vec() };
        let mut frame = packet.with_payload(pattern(self.payload)).frame();
        match self.offload {
            Offload::Nothing => {}
            Offload::Checksum => offload(&mut frame, 0, 0),
            Offload::Segmentation => offload(&mut frame, 1, self.gso_size),
            Offload::SegmentationEcn => offload(&mut frame, 0x81, self.gso_size),
        }
        // Only short frames have padding.
        if frame.len() < 500 {
            frame.resize(frame.len() + self.padding, 0xa5);
        }
        frame
    }

    /// Whether a kernel could have sent this.
    fn is_sane(&self, frame: &[u8]) -> bool {
        let segments = match self.offload {
            Offload::SegmentationEcn if self.protocol == Protocol::Udp => return false,
            Offload::Segmentation | Offload::SegmentationEcn if self.gso_size == 0 => return false,
            Offload::Segmentation | Offload::SegmentationEcn => self.payload.div_ceil(self.gso_size.into()),
            Offload::Nothing | Offload::Checksum => 1,
        };
        let most = if self.protocol == Protocol::Udp { 128 } else { 1_366 };
        let without = self.checksum == Checksum::None && self.protocol == Protocol::Udp;
        let checksum_fine = match self.checksum {
            Checksum::Right => true,
            Checksum::None => !without || (self.is_v4 && self.offload == Offload::Nothing),
            Checksum::Wrong => false,
        };
        // A wrong checksum does no harm on the way, but it is not what a kernel sends.
        segments <= most && checksum_fine && frame.len() <= IP + 40 + 65_535
    }

    /// A packet that fits, or may be made to, goes on; the sender of another one is told.
    fn check_decision(&self, net: &Net, (from, to): (Link, Link), frame: &[u8], outcome: &Outcome) {
        let mtu = net.mtu(to);
        if Net::largest(frame) <= mtu || (self.is_v4 && !self.dont_fragment) {
            let goes_on = matches!(outcome.verdict, Verdict::Forward(_) | Verdict::Respond);
            assert!(goes_on && !outcome.out.is_empty(), "{:?} of {frame:02x?}", outcome.verdict);
            return;
        }
        assert_eq!(outcome.verdict, Verdict::Drop(Reason::PacketTooBig), "{frame:02x?}");
        let [(told, error)] = &outcome.out[..] else { panic!("the sender is told: {outcome:?}") };
        let start = Layout::of(error).expect("an ICMP error").start;
        let expected = if self.is_v4 { [3, 4] } else { [2, 0] };
        assert_eq!((*told, &error[start..start + 2]), (from, &expected[..]), "{error:02x?}");
        assert_eq!(usize::from(u16_at(error, start + 6)), mtu, "the MTU that counts: {error:02x?}");
    }
}

/// What left out of `to`, nothing else having left, packet by packet; fragments are put together.
fn carried(outcome: &Outcome, to: Link, trusted: bool) -> Vec<Segment> {
    let mut waiting: Vec<&[u8]> = Vec::new();
    let mut carried = Vec::new();
    for (link, frame) in &outcome.out {
        assert_eq!(*link, to, "nothing leaves elsewhere");
        waiting.push(frame);
        let layout = Layout::of(frame).expect("a packet");
        if layout.part.is_some_and(|part| part.more) {
            continue;
        }
        let whole = join(&waiting).unwrap_or_else(|| panic!("fragments in order: {waiting:02x?}"));
        assert!(!trusted || Errors::of(&whole).is_none(), "checksums of {whole:02x?}");
        carried.extend(segments(&whole));
        waiting.clear();
    }
    assert!(waiting.is_empty(), "the last fragment leaves too");
    carried
}

/// With all headers, one packet.
const PAYLOAD_MAX: usize = 65_000;

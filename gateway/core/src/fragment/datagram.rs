//! The fragments of one datagram that have come in, and the whole that they become.

use super::piece::Fragment;
use crate::checksum::checksum;
use crate::limits::FRAGMENTS_PER_DATAGRAM;
use crate::wire::{Family, IP, IPV4_LEN, VNET_LEN, put_u16};
use crate::{Instant, Reason};

/// What an allocation costs at most beyond the bytes asked for: glibc's header, rounding and smallest size. Bytes.
const ALLOCATION: usize = 24;

/// What a kept fragment costs beyond its bytes: its place in a vector that grows by doubling. Bytes.
const PIECE: usize = 2 * size_of::<Piece>() + ALLOCATION;

/// What the vector allocates with the first piece. Bytes.
pub(super) const FIRST_PIECES: usize = 4 * size_of::<Piece>();

/// Codepoints of RFC 3168 §5.
const NOT_ECT: u8 = 0;
const CE: u8 = 3;

/// A whole datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Vnet header (all zero), Ethernet header of the first fragment, and the datagram as if it had never been
    /// fragmented.
    pub(crate) frame: Vec<u8>,
    /// Bytes of IP packet of the largest fragment that came in.
    pub(crate) largest: u16,
}

/// A datagram that is not complete.
#[derive(Clone)]
pub(super) struct Datagram {
    /// When it is given up.
    pub(super) due: Instant,
    /// Fragments that were taken in without completing it, duplicates too.
    pub(super) fragments: u32,
    /// What it costs in all. Bytes.
    pub(super) bytes: usize,
    /// Sorted by offset, none empty, none overlapping another.
    pieces: Vec<Piece>,
    /// Payload of all pieces. Bytes.
    received: usize,
    /// Where the payload ends, once the last fragment has said so. Bytes.
    end: Option<usize>,
    seen: Seen,
    /// It never will be complete, for this reason. The pieces are gone.
    given_up: Option<Reason>,
}

/// What all fragments of a datagram together decide.
#[derive(Clone, Default)]
struct Seen {
    largest: u16,
    dont_fragment: bool,
    /// One bit per ECN codepoint.
    ecn: u8,
}

#[derive(Clone)]
struct Piece {
    offset: u16,
    /// What stands in `bytes` in front of the payload: the whole frame's headers in the first piece, else nothing.
    headers: u16,
    bytes: Box<[u8]>,
}

/// What becomes of a fragment of a known datagram.
pub(super) enum Place {
    /// It is there already.
    Duplicate,
    /// It belongs there in the list of pieces.
    At(usize),
}

impl Datagram {
    /// One without pieces that costs `bytes`.
    pub(super) fn new(due: Instant, bytes: usize) -> Self {
        Self {
            due,
            fragments: 0,
            bytes,
            pieces: Vec::new(),
            received: 0,
            end: None,
            seen: Seen::default(),
            given_up: None,
        }
    }

    /// Finds the fragment's place; changes nothing.
    pub(super) fn place(&self, fragment: &Fragment<'_>) -> Result<Place, Reason> {
        if let Some(reason) = self.given_up {
            return Err(reason);
        }
        let (start, end) = (fragment.offset, fragment.offset + fragment.payload().len());
        let index = self.pieces.partition_point(|piece| piece.start() < start);
        let (before, behind) = self.pieces.split_at(index);
        let same = |piece: &Piece| piece.start() == start && piece.payload() == fragment.payload();
        if behind.first().is_some_and(same) && fragment.more == (self.end != Some(end)) {
            return Ok(Place::Duplicate);
        }
        let overlaps = before.last().is_some_and(|piece| piece.end() > start)
            || behind.first().is_some_and(|piece| piece.start() < end);
        // Where the datagram ends is said once, and nothing is behind it.
        let contradicts = match self.end {
            Some(known) => end > known || !fragment.more,
            None => !fragment.more && !behind.is_empty(),
        };
        if overlaps || contradicts {
            return Err(Reason::FragmentOverlap);
        }
        if self.pieces.len() >= FRAGMENTS_PER_DATAGRAM {
            return Err(Reason::FragmentsFull);
        }
        Ok(Place::At(index))
    }

    /// What it costs to keep the fragment. Bytes.
    pub(super) fn cost(fragment: &Fragment<'_>) -> usize {
        PIECE + Piece::kept(fragment).len()
    }

    /// Keeps the fragment at its place.
    pub(super) fn keep(&mut self, index: usize, fragment: &Fragment<'_>) {
        self.pieces.insert(index, Piece::new(fragment));
        self.bytes += Self::cost(fragment);
        self.received += fragment.payload().len();
        if !fragment.more {
            self.end = Some(fragment.offset + fragment.payload().len());
        }
        self.seen.note(fragment);
    }

    /// Forgets the pieces for good. Returns the bytes that this frees.
    pub(super) fn give_up(&mut self, reason: Reason) -> usize {
        let pieces = std::mem::take(&mut self.pieces);
        let freed = pieces.iter().map(|piece| PIECE + piece.bytes.len()).sum();
        self.given_up = Some(reason);
        self.bytes -= freed;
        freed
    }

    /// Whether nothing is missing.
    pub(super) fn is_complete(&self) -> bool {
        self.given_up.is_none() && self.end == Some(self.received)
    }

    /// The whole of a complete datagram.
    pub(super) fn assemble(&self) -> Result<Whole, Reason> {
        let first = self.pieces.first().ok_or(Reason::FragmentInvalid)?;
        let first = Fragment::parse(&first.bytes)?;
        self.seen.whole(&first, self.received, self.pieces.iter().map(Piece::payload))
    }

    /// Ends it: why, and the frame of its first fragment if that is there.
    pub(super) fn expire(self) -> (Reason, Option<Vec<u8>>) {
        let first = self.pieces.into_iter().next().filter(|piece| piece.offset == 0);
        (self.given_up.unwrap_or(Reason::FragmentTimeout), first.map(|piece| piece.bytes.into_vec()))
    }
}

impl Whole {
    /// The whole of a datagram that came in one piece.
    pub(super) fn of(fragment: &Fragment<'_>) -> Result<Self, Reason> {
        let mut seen = Seen::default();
        seen.note(fragment);
        seen.whole(fragment, fragment.payload().len(), [fragment.payload()].into_iter())
    }
}

impl Seen {
    fn note(&mut self, fragment: &Fragment<'_>) {
        self.largest = self.largest.max(u16::try_from(fragment.ip_len()).unwrap_or(u16::MAX));
        self.dont_fragment |= fragment.df;
        self.ecn |= 1 << fragment.ecn;
    }

    /// Puts the first fragment's headers in front of `payloads`, `length` bytes in all.
    fn whole<'a>(
        &self,
        first: &Fragment<'_>,
        length: usize,
        payloads: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Whole, Reason> {
        let length_field = first.length_field(length)?;
        let ecn = self.ecn(first)?;
        let mut frame = first.unfragmented_headers(length);
        for payload in payloads {
            frame.extend_from_slice(payload);
        }
        let ip = &mut frame[IP..];
        match first.family {
            Family::V4 => {
                ip[1] = ip[1] & !3 | ecn;
                put_u16(ip, 2, length_field);
                put_u16(ip, 6, if self.dont_fragment { 0x4000 } else { 0 });
                put_u16(ip, 10, 0);
                let header_checksum = checksum(&ip[..IPV4_LEN]);
                put_u16(ip, 10, header_checksum);
            }
            Family::V6 => {
                ip[1] = ip[1] & !0x30 | ecn << 4;
                put_u16(ip, 4, length_field);
            }
        }
        Ok(Whole { frame, largest: self.largest })
    }

    /// RFC 3168 §5.3: congestion seen by one fragment is the datagram's, which is dropped if another could not
    /// have told.
    fn ecn(&self, first: &Fragment<'_>) -> Result<u8, Reason> {
        match (self.ecn >> CE & 1, self.ecn >> NOT_ECT & 1) {
            (1, 1) => Err(Reason::FragmentInvalid),
            (1, _) => Ok(CE),
            _ => Ok(first.ecn),
        }
    }
}

impl Piece {
    fn new(fragment: &Fragment<'_>) -> Self {
        let mut bytes: Box<[u8]> = Self::kept(fragment).into();
        let headers = if fragment.offset == 0 { fragment.payload_at() } else { 0 };
        if headers > 0 {
            bytes[..VNET_LEN].fill(0);
        }
        Self { offset: fragment.offset as u16, headers: headers as u16, bytes }
    }

    /// What is kept of a fragment: of the first all, as its headers are the datagram's.
    fn kept<'a>(fragment: &Fragment<'a>) -> &'a [u8] {
        if fragment.offset == 0 { fragment.frame() } else { fragment.payload() }
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[usize::from(self.headers)..]
    }

    fn start(&self) -> usize {
        self.offset.into()
    }

    fn end(&self) -> usize {
        self.start() + self.payload().len()
    }
}

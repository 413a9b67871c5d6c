//! What is sent, so that the receiver can tell whether it got just that.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

/// The endless content of a stream. Its period is a prime number of bytes, which no sum of segments is in practice: whatever
/// is lost, doubled or swapped moves all that follows to where other bytes should be.
#[derive(Debug)]
pub(super) struct StreamPattern {
    bytes: Vec<u8>,
}

/// How closely a part of a stream is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Every byte.
    Whole,
    /// [`SAMPLE`] bytes of every [`STRIDE`], from the first, and the last ones.
    Samples,
}

impl StreamPattern {
    pub(super) fn new() -> Self {
        let mut random = Random::new(nonce());
        let period: Vec<u8> =
            (0..PERIOD.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(PERIOD).collect();
        // Repeated beyond the period, so that any part of the stream up to `LONGEST` is in one piece.
        Self { bytes: period.iter().copied().cycle().take(PERIOD + LONGEST).collect() }
    }

    /// Content from `offset` on, [`LONGEST`] bytes.
    pub(super) fn at(&self, offset: u64) -> &[u8] {
        &self.bytes[(offset % PERIOD as u64) as usize..][..LONGEST]
    }

    /// Whether `part` is the stream's content from `offset` on.
    ///
    /// # Panics
    /// If it is longer than [`LONGEST`].
    pub(super) fn has(&self, offset: u64, part: &[u8], look: Look) -> bool {
        let expected = &self.at(offset)[..part.len()];
        match look {
            Look::Whole => part == expected,
            Look::Samples => {
                let last = part.len().saturating_sub(SAMPLE);
                let same = |from: usize| {
                    let sample = from..part.len().min(from + SAMPLE);
                    part[sample.clone()] == expected[sample]
                };
                (0..part.len()).step_by(STRIDE).all(same) && same(last)
            }
        }
    }
}

/// The packets of one flow: each has its number, a seal over the number, and bytes of its own.
#[derive(Debug)]
pub(super) struct PacketPattern {
    nonce: u64,
    templates: Vec<Vec<u8>>,
}

impl PacketPattern {
    /// Packets with a payload of `length` bytes, at least [`SEALED`].
    pub(super) fn new(length: usize) -> Self {
        let nonce = nonce();
        let mut random = Random::new(nonce);
        let template =
            |_| (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(length).collect();
        Self { nonce, templates: (0..TEMPLATES).map(template).collect() }
    }

    /// A ring of payloads, to be numbered before each use.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        self.templates.clone()
    }

    /// Makes a payload of the ring, the one at `number` modulo its length, the packet with this number.
    pub(super) fn number(&self, payload: &mut [u8], number: u64) {
        payload[..8].copy_from_slice(&number.to_le_bytes());
        payload[8..SEALED].copy_from_slice(&self.seal(number).to_le_bytes());
    }

    /// The packet's number, if every byte is as it was sent.
    pub(super) fn read(&self, payload: &[u8]) -> Option<u64> {
        let (number, rest) = payload.split_first_chunk()?;
        let (seal, rest) = rest.split_first_chunk()?;
        let number = u64::from_le_bytes(*number);
        let expected = &self.templates[(number % TEMPLATES as u64) as usize];
        (u64::from_le_bytes(*seal) == self.seal(number) && *rest == expected[SEALED..]).then_some(number)
    }

    fn seal(&self, number: u64) -> u64 {
        Random::new(self.nonce ^ number).next()
    }
}

/// Which packets came, to notice one that comes twice.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<u64>);

impl Seen {
    /// Whether `number` is new.
    pub(super) fn insert(&mut self, number: u64) -> bool {
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.0.len() {
            self.0.resize((word + 1).next_power_of_two(), 0);
        }
        let new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        new
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): short, and good enough for bytes that are not alike.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Differs in every run, so that what is left of another run is not taken for ours.
pub(super) fn nonce() -> u64 {
    RandomState::new().hash_one(0)
}

/// Bytes of every packet's payload that number it.
pub(super) const SEALED: usize = 16;

/// Different payloads of a flow, apart from their numbers; also the packets of a batch.
pub(super) const TEMPLATES: usize = 64;

/// Longest part of a stream that is written or checked at once. Bytes.
pub(super) const LONGEST: usize = 256 * 1024;

/// 2¹⁷ − 1, a prime number.
const PERIOD: usize = 131_071;

/// Bytes.
const SAMPLE: usize = 32;

/// Bytes.
const STRIDE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_its_own_content_at_every_offset() {
        let pattern = StreamPattern::new();
        for offset in [0, 1, 131_070, 131_071, 5_000_000_017] {
            let part = pattern.at(offset).to_vec();
            assert!(pattern.has(offset, &part, Look::Whole) && pattern.has(offset, &part, Look::Samples));
            assert!(pattern.has(offset + 1000, &part[1000..1010], Look::Samples));
        }
    }

    #[test]
    fn a_stream_notices_what_is_lost_doubled_or_turned() {
        let pattern = StreamPattern::new();
        let sent = pattern.at(77).to_vec();
        for segments in 1..80 {
            let lost = segments * 1448;
            assert!(!pattern.has(77 + lost, &sent[..4096], Look::Samples), "{segments} segments lost");
        }
        for at in [0, 4000, 100_000, LONGEST - 1] {
            let mut turned = sent.clone();
            turned[at] ^= 0x10;
            assert!(!pattern.has(77, &turned, Look::Whole), "byte {at} turned");
        }
        // Samples see the first bytes of a stride, and the last ones.
        for at in [0, 31, 1024, LONGEST - 1] {
            let mut turned = sent.clone();
            turned[at] ^= 0x10;
            assert!(!pattern.has(77, &turned, Look::Samples), "byte {at} turned");
        }
    }

    #[test]
    fn a_packet_has_its_number_and_any_other_byte_is_noticed() {
        let pattern = PacketPattern::new(18);
        let mut ring = pattern.payloads();
        for number in [0, 1, 63, 64, 1_000_000_007] {
            let payload = &mut ring[(number % 64) as usize];
            pattern.number(payload, number);
            assert_eq!(pattern.read(payload), Some(number));
            for byte in 0..18 {
                payload[byte] ^= 1;
                assert_eq!(pattern.read(payload), None, "byte {byte} of packet {number}");
                payload[byte] ^= 1;
            }
            assert_eq!(pattern.read(&payload[..17]), None);
            assert_eq!(PacketPattern::new(18).read(payload), None, "of another run");
        }
    }

    #[test]
    fn a_packet_is_new_once() {
        let mut seen = Seen::default();
        for number in [5, 0, 64, 1_000_000, 63] {
            assert!(seen.insert(number) && !seen.insert(number), "{number}");
        }
    }
}

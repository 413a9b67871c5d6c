//! Where things stand in a frame, read by code of the fuzzer's own.

use gateway_core::VNET_LEN;

/// Where the Ethernet header starts, and the IP header behind it.
pub(crate) const ETHERNET: usize = VNET_LEN;
pub(crate) const IP: usize = ETHERNET + 14;

/// IP protocol numbers.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMPV6: u8 = 58;

/// An IP packet whose lengths fit its frame. Offsets are from the start of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) is_v4: bool,
    /// What stands at `start`.
    pub(crate) protocol: u8,
    /// Where that number stands.
    pub(crate) number_at: usize,
    /// Behind all headers that are IP's.
    pub(crate) start: usize,
    /// Where the packet ends.
    pub(crate) end: usize,
    /// Which part of a datagram it is, if it is not all of one.
    pub(crate) part: Option<Part>,
}

/// A fragment's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) offset: usize,
    pub(crate) more: bool,
    pub(crate) id: u32,
}

impl Layout {
    /// That of a frame; `None` if it holds no IP packet that can be read.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let is_v4 = match frame.get(IP - 2..IP)? {
            [0x08, 0x00] => true,
            [0x86, 0xdd] => false,
            _ => return None,
        };
        let ip = frame.get(IP..)?;
        let mut layout = if is_v4 { Self::of_v4(ip)? } else { Self::of_v6(ip)? };
        for at in [&mut layout.number_at, &mut layout.start, &mut layout.end] {
            *at += IP;
        }
        Some(layout)
    }

    fn of_v4(ip: &[u8]) -> Option<Self> {
        let header_len = usize::from(ip.first()? & 0x0f) * 4;
        if ip.len() < 20 || ip[0] >> 4 != 4 || header_len < 20 {
            return None;
        }
        let (end, word) = (usize::from(u16_at(ip, 2)), u16_at(ip, 6));
        let (offset, more) = (usize::from(word & 0x1fff) * 8, word & 0x2000 != 0);
        let part = Part { offset, more, id: u16_at(ip, 4).into() };
        let part = (offset > 0 || more).then_some(part);
        let sound = header_len <= end && end <= ip.len();
        sound.then_some(Self { is_v4: true, protocol: ip[9], number_at: 9, start: header_len, end, part })
    }

    fn of_v6(ip: &[u8]) -> Option<Self> {
        if ip.len() < 40 || ip[0] >> 4 != 6 {
            return None;
        }
        let end = 40 + usize::from(u16_at(ip, 4));
        if end > ip.len() {
            return None;
        }
        let mut layout = Self { is_v4: false, protocol: ip[6], number_at: 6, start: 40, end, part: None };
        loop {
            let header = ip.get(layout.start..end)?;
            let length = match layout.protocol {
                0 | 43 | 60 => 8 + usize::from(*header.get(1)?) * 8,
                FRAGMENT if layout.part.is_none() => 8,
                _ => return Some(layout),
            };
            let header = header.get(..length)?;
            if layout.protocol == FRAGMENT {
                let word = u16_at(header, 2);
                let (offset, more) = (usize::from(word & 0xfff8), word & 1 != 0);
                layout.part = Some(Part { offset, more, id: u32_at(header, 4) });
            }
            (layout.protocol, layout.number_at) = (header[0], layout.start);
            layout.start += length;
            // What follows is the datagram's, not this packet's.
            if layout.part.is_some() {
                return Some(layout);
            }
        }
    }

    /// Where the payload of a whole TCP or UDP packet starts.
    pub(crate) fn payload(&self, frame: &[u8]) -> usize {
        match self.protocol {
            TCP => self.start + usize::from(frame[self.start + 12] >> 4) * 4,
            _ => self.start + 8,
        }
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) << 16 | u32::from(u16_at(bytes, at + 2))
}

pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

//! What crosses a device, by tcpdump, and whether its checksums are right, by our own arithmetic.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use netlab::{Namespace, Process};
use tempfile::TempDir;
use tests::eventually;

/// A running capture of TCP and UDP on one device, whole super-packets included.
pub(crate) struct Capture {
    _process: Process,
    directory: TempDir,
}

/// A captured IPv4 packet.
pub(crate) struct Packet(Vec<u8>);

/// The checksum of a captured TCP or UDP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// Covers the whole packet, and is right.
    Complete,
    /// Covers the pseudo-header, and is right: whoever needs the rest adds it.
    Partial,
    /// Neither.
    Wrong,
}

impl Capture {
    /// Starts, and returns when nothing is missed any more.
    pub(crate) fn start(namespace: &Namespace, device: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let messages = directory.path().join("messages");
        let mut command = Command::new("tcpdump");
        // Each packet is written at once. The snap length is that of the largest super-packet; the buffer holds many.
        command.args(["-i", device, "-n", "-U", "--immediate-mode", "-Z", "root"]);
        command.args(["-s", "70000", "-B", "65536"]);
        command.arg("-w").arg(directory.path().join("pcap")).arg("tcp or udp");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&messages).unwrap());
        let process = namespace.spawn(command).unwrap();
        let capture = Self { _process: process, directory };
        eventually("tcpdump to listen", || fs::read_to_string(&messages).unwrap().contains("listening on"));
        capture
    }

    /// What was captured so far.
    pub(crate) fn packets(&self) -> Vec<Packet> {
        let file = fs::read(self.file()).unwrap();
        // pcap-savefile(5): 24 bytes of file header; for each packet 16 bytes, of which the third word is its length.
        let mut rest = file.get(24..).unwrap_or_default();
        let mut packets = Vec::new();
        while let Some((header, after)) = rest.split_at_checked(16) {
            let length = u32::from_ne_bytes(header[8..12].try_into().unwrap()) as usize;
            let Some((frame, after)) = after.split_at_checked(length) else { break };
            packets.push(Packet(frame[ETHERNET..].to_vec()));
            rest = after;
        }
        packets
    }

    /// What tcpdump itself says of those packets that match `filter`.
    pub(crate) fn judged_by_tcpdump(&self, filter: &str) -> String {
        let mut command = Command::new("tcpdump");
        let output = command.args(["-n", "-vv", "-r"]).arg(self.file()).arg(filter).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("pcap")
    }
}

impl Packet {
    pub(crate) fn source(&self) -> Ipv4Addr {
        address(&self.0[12..16])
    }

    pub(crate) fn destination(&self) -> Ipv4Addr {
        address(&self.0[16..20])
    }

    /// What TCP or UDP carries in it.
    pub(crate) fn payload(&self) -> &[u8] {
        let segment = self.segment();
        if self.0[9] == TCP { &segment[usize::from(segment[12] >> 4) * 4..] } else { &segment[8..] }
    }

    /// Whether its checksum, and that of the IPv4 header, are right.
    pub(crate) fn checksum(&self) -> Checksum {
        let segment = self.segment();
        let pseudo = [&self.0[12..20], &[0, self.0[9]], &(segment.len() as u16).to_be_bytes()].concat();
        let field = if self.0[9] == TCP { 16 } else { 6 };
        let stored = u16::from_be_bytes([segment[field], segment[field + 1]]);
        if sum(&[&self.0[..self.header()]]) != u16::MAX {
            Checksum::Wrong
        } else if sum(&[&pseudo, segment]) == u16::MAX {
            Checksum::Complete
        } else if stored == sum(&[&pseudo]) {
            Checksum::Partial
        } else {
            Checksum::Wrong
        }
    }

    fn segment(&self) -> &[u8] {
        let length = usize::from(u16::from_be_bytes([self.0[2], self.0[3]]));
        // A frame can be longer than its packet, as Ethernet pads.
        &self.0[self.header()..length]
    }

    fn header(&self) -> usize {
        usize::from(self.0[0] & 0x0f) * 4
    }
}

/// RFC 1071, over parts of which all but the last have an even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or_default());
    let mut sum: u64 = parts.iter().flat_map(|part| part.chunks(2)).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::from(<[u8; 4]>::try_from(bytes).unwrap())
}

const ETHERNET: usize = 14;
const TCP: u8 = 6;

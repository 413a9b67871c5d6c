//! What a device received, by its own account.

use std::fs::File;
use std::os::unix::fs::FileExt;

use netlab::Namespace;

use crate::load::LoadError;

/// The counters of one device.
#[derive(Debug)]
pub(super) struct Device {
    name: String,
    counters: File,
}

/// Counted since the device was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Received {
    pub packets: u64,
    pub bytes: u64,
}

impl Device {
    pub(super) fn open(namespace: &Namespace, name: &str) -> Result<Self, LoadError> {
        // The file shows the namespace of the thread that opened it, whoever reads it.
        let counters =
            namespace.run(|| File::open(COUNTERS)).map_err(LoadError::system("open the counters"))?;
        let device = Self { name: name.to_owned(), counters };
        device.received().map(|_| device)
    }

    pub(super) fn received(&self) -> Result<Received, LoadError> {
        let mut text = vec![0; LONGEST];
        let n = self.counters.read_at(&mut text, 0).map_err(LoadError::system("read the counters"))?;
        let text = String::from_utf8_lossy(&text[..n]);
        let missing = || LoadError::Unreadable { file: COUNTERS.into(), field: self.name.clone() };
        parse(&text, &self.name).ok_or_else(missing)
    }

    /// Whether frames had the length that was sent, but for a few of other protocols: a gateway that joins packets would
    /// deliver more than is counted, one that cuts them less.
    pub(super) fn check_size(&self, packets: u64, bytes: u64, expected: u64) -> Result<(), LoadError> {
        let got = bytes as f64 / packets.max(1) as f64;
        let tolerance = expected as f64 / 100.0;
        if (got - expected as f64).abs() <= tolerance {
            return Ok(());
        }
        Err(LoadError::WrongSize { device: self.name.clone(), expected, got })
    }
}

/// `name: bytes packets …`, received first (net/core/net-procfs.c, `dev_seq_printf_stats`).
fn parse(text: &str, name: &str) -> Option<Received> {
    let device = |line: &str| line.split_once(':').is_some_and(|(device, _)| device.trim() == name);
    let (_, fields) = text.lines().find(|line| device(line))?.split_once(':')?;
    let mut fields = fields.split_ascii_whitespace().map_while(|field| field.parse().ok());
    let bytes = fields.next()?;
    Some(Received { packets: fields.next()?, bytes })
}

const COUNTERS: &str = "/proc/thread-self/net/dev";

/// More than the file has with a hundred devices. Bytes.
const LONGEST: usize = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_by_its_whole_name() {
        let text = "Inter-|   Receive  |  Transmit\n face |bytes packets errs\n    lo:  1 2 0 0 0 0 0 0 3 4\n eth01: 5 6 0\n  eth0:12345678901 7 0\n";
        assert_eq!(parse(text, "eth0"), Some(Received { packets: 7, bytes: 12_345_678_901 }));
        assert_eq!(parse(text, "eth01"), Some(Received { packets: 6, bytes: 5 }));
        assert_eq!(parse(text, "eth"), None);
        assert_eq!(parse("eth0: 1 x", "eth0"), None);
    }
}

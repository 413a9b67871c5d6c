//! A device that belongs to a subject: its offloads, its counters, and the routes beside it.

use std::net::Ipv4Addr;

use netlab::Namespace;
use netlab::Switch::{self, Off, On};
use serde::Serialize;
use serde_json::Value;

use crate::program::{self, ProgramError};
use crate::refusal::Refusal;

/// MTU of every device. Bytes.
pub const MTU: u16 = 1500;

/// A device of a namespace.
#[derive(Clone, Debug)]
pub struct End {
    /// Whose it is, for people: `client`, `server` or `gateway`.
    pub at: &'static str,
    /// Where it is.
    pub namespace: Namespace,
    /// Its name there.
    pub device: String,
    /// What it is able to do.
    pub able: Able,
}

/// What a device is able to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Able {
    /// To take packets without checksum, and super-packets.
    Offload,
    /// Neither: whoever holds the other side of the TAP device did not ask for it.
    Nothing,
}

/// What is set at all devices of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offloads {
    /// Checksums and segmentation are left to the device, where it is able to.
    Used,
    /// The sender's kernel makes checksums and segments.
    Unused,
}

/// What a device is like, for the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Look {
    /// Bytes.
    pub mtu: u64,
    /// Packets that wait to be sent.
    pub txqueuelen: u64,
    /// Its queueing discipline.
    pub qdisc: String,
    /// What made it: `veth`, `tun`.
    pub kind: String,
    /// Queues to send on.
    pub tx_queues: u64,
    /// Bytes that it sent and received since it was made.
    #[serde(skip)]
    pub bytes: u64,
}

/// How ethtool prints an offload, and how it wants to be told.
///
/// Receive offload is off everywhere: a veth has it off unless asked (drivers/net/veth.c, `veth_disable_gro`), and a TAP
/// device has none (drivers/net/tun.c: only with `IFF_NAPI`).
const FEATURES: [(&str, &str); 4] = [
    ("tx-checksumming", "tx"),
    ("tcp-segmentation-offload", "tso"),
    ("generic-segmentation-offload", "gso"),
    ("generic-receive-offload", "gro"),
];

impl End {
    /// Sets the device's offloads.
    pub fn set(&self, offloads: Offloads) -> Result<(), ProgramError> {
        let mut command = self.namespace.command("ethtool");
        command.args(["-K", &self.device]);
        for ((_, word), to) in FEATURES.iter().zip(self.expected(offloads)) {
            command.args([*word, if to == On { "on" } else { "off" }]);
        }
        program::output(&mut command).map(drop)
    }

    /// Compares offloads and MTU with what was set. Returns how many bytes the device has carried so far.
    pub fn check(&self, offloads: Offloads) -> Result<u64, Refusal> {
        let printed = program::output(self.namespace.command("ethtool").args(["-k", &self.device]))?;
        for ((feature, _), expected) in FEATURES.into_iter().zip(self.expected(offloads)) {
            let about = || Refusal::Unreadable { program: "ethtool", about: feature.into() };
            let found = feature_of(&printed, feature).ok_or_else(about)?;
            let expected = if expected == On { "on" } else { "off" };
            if found != expected {
                let (at, device, found) = (self.at, self.device.clone(), found.to_owned());
                return Err(Refusal::Offload { at, device, feature, expected, found });
            }
        }
        let Look { mtu: found, bytes, .. } = self.look()?;
        let differs = || Refusal::Mtu { at: self.at, device: self.device.clone(), found };
        if found == u64::from(MTU) { Ok(bytes) } else { Err(differs()) }
    }

    /// What the device is like now.
    pub fn look(&self) -> Result<Look, Refusal> {
        let printed = program::output(self.namespace.command("ip").args([
            "-json",
            "-statistics",
            "-details",
            "link",
            "show",
            &self.device,
        ]))?;
        let about = || Refusal::Unreadable { program: "ip link", about: self.device.clone() };
        parse_look(&printed).ok_or_else(about)
    }

    /// Whether packets to `to` leave through this device.
    pub fn check_route(&self, to: Ipv4Addr) -> Result<(), Refusal> {
        let table = self.namespace.run(|| std::fs::read_to_string("/proc/thread-self/net/route"));
        let found = table.ok().and_then(|table| device_of_route(&table, to));
        let lost = || Refusal::RouteLost { from: self.at, to, device: self.device.clone() };
        if found.is_some_and(|device| device == self.device) { Ok(()) } else { Err(lost()) }
    }

    /// The offloads in the order of [`FEATURES`].
    fn expected(&self, offloads: Offloads) -> [Switch; 4] {
        match (offloads, self.able) {
            (Offloads::Used, Able::Offload) => [On, On, On, Off],
            // The kernel segments just before it hands over to such a device.
            (Offloads::Used, Able::Nothing) => [Off, Off, On, Off],
            (Offloads::Unused, _) => [Off; 4],
        }
    }

    /// The offloads that are set, for the record.
    pub fn describe(&self, offloads: Offloads) -> Value {
        let words = FEATURES.iter().zip(self.expected(offloads));
        words.map(|((feature, _), to)| ((*feature).to_owned(), Value::Bool(to == On))).collect()
    }
}

/// The value of a line such as `tx-checksumming: on`, without remarks such as `[fixed]`.
fn feature_of<'a>(printed: &'a str, feature: &str) -> Option<&'a str> {
    let line = printed.lines().find_map(|line| line.trim().strip_prefix(feature)?.strip_prefix(": "))?;
    line.split_whitespace().next()
}

fn parse_look(printed: &str) -> Option<Look> {
    let printed: Value = serde_json::from_str(printed).ok()?;
    let link = &printed[0];
    let bytes = |direction| link["stats64"][direction]["bytes"].as_u64();
    Some(Look {
        mtu: link["mtu"].as_u64()?,
        // `ip` leaves it out when it is 0.
        txqueuelen: link["txqlen"].as_u64().unwrap_or_default(),
        qdisc: link["qdisc"].as_str()?.to_owned(),
        kind: link["linkinfo"]["info_kind"].as_str().unwrap_or("unknown").to_owned(),
        tx_queues: link["num_tx_queues"].as_u64().unwrap_or(1),
        bytes: bytes("rx")? + bytes("tx")?,
    })
}

/// The device of the longest prefix with `to` in a table as the kernel prints it (net/ipv4/fib_trie.c,
/// `fib_route_seq_show`): addresses are in hexadecimal, in network order as the machine reads it.
fn device_of_route(table: &str, to: Ipv4Addr) -> Option<String> {
    let hexadecimal = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        Some((*fields.first()?, hexadecimal(fields.get(1)?)?, hexadecimal(fields.get(7)?)?))
    });
    let matching = routes.filter(|(_, destination, mask)| to.to_bits() & mask == *destination);
    matching.max_by_key(|(_, _, mask)| *mask).map(|(device, ..)| device.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t0101FEA9\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        up0\t0000010A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n";

    #[test]
    fn the_longest_prefix_decides_where_packets_leave() {
        for (table, to, expected) in [
            (ROUTES, [10, 1, 0, 1], Some("up0")),
            (ROUTES, [10, 2, 0, 1], Some("eth0")),
            (ROUTES.lines().next().unwrap(), [10, 1, 0, 1], None),
            ("", [10, 1, 0, 1], None),
        ] {
            assert_eq!(device_of_route(table, to.into()).as_deref(), expected, "{to:?}");
        }
    }

    #[test]
    fn an_offload_is_read_without_remarks() {
        let printed = "Features for eth0:\nrx-checksumming: off [fixed]\ntx-checksumming: on\n\ttx-checksum-ipv4: off [fixed]\n";
        for (feature, expected) in
            [("tx-checksumming", Some("on")), ("rx-checksumming", Some("off")), ("tx", None)]
        {
            assert_eq!(feature_of(printed, feature), expected, "{feature}");
        }
    }

    #[test]
    fn a_look_has_what_ip_prints() {
        let printed = r#"[{"mtu":1500,"qdisc":"noqueue","txqlen":1000,"num_tx_queues":2,"linkinfo":{"info_kind":"veth"},
            "stats64":{"rx":{"bytes":3,"packets":1},"tx":{"bytes":4,"packets":1}}}]"#;
        let look = parse_look(printed).expect("all of it");
        assert_eq!((look.mtu, look.txqueuelen, look.tx_queues, look.bytes), (1500, 1000, 2, 7));
        assert_eq!((look.kind.as_str(), look.qdisc.as_str()), ("veth", "noqueue"));
        assert_eq!(parse_look("[]"), None);
    }
}

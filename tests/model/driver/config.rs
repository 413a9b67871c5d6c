//! Containers, VPCs and permissions come, change and go.

use std::net::{IpAddr, SocketAddr};

use gateway_core::{
    Action, AddressSpace, Addressing, AttachmentConfig, AttachmentId, Command, ConnectorConfig, ConnectorId,
    Filtering, Link, MappingMode, OnDetach, PortQuota, PortSet, Protocol, Publication, Rule, SessionState,
    UdpRefresh, Unsolicited, UplinkConfig, UplinkId,
};

use super::{Checked, Driver, Op, Pace};
use crate::frame::{Read, flag};
use crate::model::{Container, Policy};
use crate::world::{container_mac, gateway_mac, uplink_mac};

const MAPPINGS: [MappingMode; 3] =
    [MappingMode::EndpointIndependent, MappingMode::AddressDependent, MappingMode::AddressAndPortDependent];
const FILTERINGS: [Filtering; 3] =
    [Filtering::EndpointIndependent, Filtering::AddressDependent, Filtering::AddressAndPortDependent];

/// What the connectors of a VPC lead to. The fourth is the same as the first, so that no container can have both of
/// two VPCs.
const DESTINATIONS: [&[&str]; 4] = [
    &["10.1.0.0/16", "fd01::/64"],
    &["192.0.2.0/24", "2001:db8::/32", "172.16.0.0/24", "fd99::/64"],
    &["10.1.0.21/32", "fd01::21/128"],
    &["10.1.0.0/17", "fd01::/65", "192.0.2.0/25"],
];

impl Driver {
    pub(super) fn change_configuration(&mut self) -> Checked {
        let few = if self.settings.pace == Pace::Leaps { (6, 2) } else { (24, 2) };
        match self.random.below(100) {
            _ if self.model.uplinks.len() < few.1 => self.add_uplink(),
            _ if self.model.containers.len() < 2 => self.add_container(),
            0..3 => self.uplink().map_or(Ok(()), |id| self.remove_uplink(id)),
            3..9 => self.container().map_or(Ok(()), |id| self.remove_container(id)),
            9..24 if self.model.containers.len() < few.0 => self.add_container(),
            24..36 => self.detach(),
            _ => self.attach(),
        }
    }

    fn add_uplink(&mut self) -> Checked {
        self.uplinks += 1;
        let id = UplinkId(self.uplinks);
        let mut external: Vec<IpAddr> = vec![[10, 1, 0, 10].into()];
        if self.random.percent(50) {
            external.push([10, 1, 0, 11].into());
        }
        if self.random.percent(80) {
            external.push("fd01::10".parse().expect("an address"));
        }
        let ranges = match self.settings.pace {
            // Part of one block, or of three, so that workers have to use each other's.
            Pace::Leaps if self.random.percent(50) => vec![2000..=2009],
            Pace::Leaps => vec![2044..=2049, 2110..=2113, 2180..=2181],
            Pace::AnHour => vec![2000..=6095],
        };
        let exclusions = [2003..=2004, 2112..=2112];
        let ports = PortSet::new(&ranges, &exclusions);
        let model_ports = ranges.into_iter().flatten().filter(|p| !exclusions.iter().any(|e| e.contains(p)));
        let second = external.get(1).copied().filter(|_| self.random.percent(50));
        let reserved: Vec<IpAddr> = second.into_iter().collect();
        let addresses = (external.clone(), model_ports.collect(), reserved.iter().copied().collect());
        self.model.uplinks.insert(id, addresses);
        let space = AddressSpace::new(external, ports, self.settings.workers);
        self.spaces.insert(id, space.clone());
        let prefix = |prefix: &str| prefix.parse().expect("a prefix");
        let address = |address: &str| address.parse().expect("an address");
        let config = UplinkConfig {
            id,
            mac: uplink_mac(id),
            mtu: 1500,
            on_link: vec![prefix("10.1.0.0/16"), prefix("fd01::/64")],
            next_hops: vec![address("10.1.0.1"), address("fd01::1")],
            space,
            reserved,
            port_blocks: false,
            unsolicited: self.random.pick(&[Unsolicited::Icmp, Unsolicited::Silent]),
        };
        self.note(Op::Control(format!("add {id:?}")));
        self.world.apply(&Command::AddUplink(config)).map(drop).map_err(|e| e.to_string())
    }

    pub(super) fn remove_uplink(&mut self, id: UplinkId) -> Checked {
        self.note(Op::Control(format!("remove {id:?}")));
        let before = self.model.sessions.len();
        self.model.remove_uplink(id);
        let ended = self.world.apply(&Command::RemoveUplink(id)).map_err(|e| e.to_string())?;
        self.check_ended(before, ended)
    }

    fn add_container(&mut self) -> Checked {
        self.containers += 1;
        let id = AttachmentId(self.containers);
        // Few addresses, so that containers have the same.
        let last = self.random.below(2);
        let v4 = Addressing { address: [172, 16, 0, 2 + last as u8].into(), gateway: [172, 16, 0, 1].into() };
        let v6 = Addressing {
            address: format!("fd99::{}", 2 + last).parse().expect("an address"),
            gateway: "fe80::1".parse().expect("an address"),
        };
        let addresses = self.random.pick(&[&[0, 1][..], &[0, 1], &[0], &[1]]);
        let addresses: Vec<Addressing> = addresses.iter().map(|&which| [v4, v6][which]).collect();
        let own = addresses.iter().map(|a| a.address).collect();
        self.model.containers.insert(id, Container { addresses: own, ..Container::default() });
        let (mac, gateway_mac) = (container_mac(id), gateway_mac(id));
        self.note(Op::Control(format!("add {id:?} {addresses:?}")));
        let config = AttachmentConfig { id, addresses, mac, gateway_mac, mtu: 1500 };
        self.world.apply(&Command::AddAttachment(config)).map(drop).map_err(|e| e.to_string())
    }

    pub(super) fn remove_container(&mut self, id: AttachmentId) -> Checked {
        self.note(Op::Control(format!("remove {id:?}")));
        let before = self.model.sessions.len();
        self.model.remove_container(id);
        let ended = self.world.apply(&Command::RemoveAttachment(id)).map_err(|e| e.to_string())?;
        self.check_ended(before, ended)
    }

    fn detach(&mut self) -> Checked {
        let Some(id) = self.container() else { return Ok(()) };
        let connectors: Vec<ConnectorId> = self.model.containers[&id].policies.keys().copied().collect();
        if connectors.is_empty() {
            return Ok(());
        }
        let connector = self.random.pick(&connectors);
        self.note(Op::Control(format!("detach {id:?} {connector:?}")));
        let before = self.model.sessions.len();
        self.model.detach(id, connector);
        let command = Command::Detach { attachment: id, connector };
        let ended = self.world.apply(&command).map_err(|e| e.to_string())?;
        self.check_ended(before, ended)
    }

    fn check_ended(&mut self, before: usize, ended: usize) -> Checked {
        let expected = before - self.model.sessions.len();
        self.hear_resets()?;
        if ended == expected { Ok(()) } else { Err(format!("{ended} sessions ended, {expected} were to")) }
    }

    /// Containers that a hairpinned connection has ended for are told by RST, as if the VPC had sent it.
    fn hear_resets(&mut self) -> Checked {
        for (to, read) in std::mem::take(&mut self.world.sent) {
            let (Link::Attachment(id), Read::Packet { source, destination, flags, .. }) = (to, read) else {
                continue;
            };
            let key = (id, (Protocol::Tcp, destination, source));
            if flags & flag::RST == 0 || !self.model.sessions.contains_key(&key) {
                continue;
            }
            let state = self.world.session(key).ok_or_else(|| format!("{key:?} has ended"))?.state;
            // Whether it is believed, is a matter of what the other end has seen of the connection.
            self.model.touch(key, false, Some((flags, state == SessionState::Reset, false, false)));
        }
        Ok(())
    }

    /// A container gets a permission, or another policy for one that it has.
    fn attach(&mut self) -> Checked {
        let (Some(id), Some(uplink)) = (self.container(), self.uplink()) else { return Ok(()) };
        let policy = self.policy(uplink);
        let connector = policy.0.clone();
        self.note(Op::Control(format!("attach {id:?} {connector:?}")));
        let before = self.model.sessions.len();
        let accepted = self.model.attach(id, policy);
        let outcome = self.world.apply(&Command::Attach { attachment: id, connector });
        self.tally.attached += u64::from(accepted);
        self.tally.refused += u64::from(!accepted);
        self.tally.revised += u64::from(self.model.sessions.len() < before);
        match outcome {
            Ok(ended) if accepted => self.check_ended(before, ended),
            Err(_) if !accepted => Ok(()),
            _ => Err(format!("{outcome:?}, accepted: {accepted}")),
        }
    }

    fn policy(&mut self, uplink: UplinkId) -> Policy {
        let which = self.random.pick(&[0, 0, 0, 1, 2, 3]);
        let connector = ConnectorId(uplink.0 * 4 + which as u32);
        let destinations =
            DESTINATIONS[which].iter().map(|prefix| prefix.parse().expect("a prefix")).collect();
        let mut config = ConnectorConfig::new(connector, uplink, destinations);
        config.translation = !self.random.percent(12);
        config.mapping = self.random.mostly(self.settings.mapping, &MAPPINGS);
        if !config.translation {
            // There is nothing to map.
            config.mapping = MappingMode::EndpointIndependent;
        }
        config.filtering = self.random.mostly(self.settings.filtering, &FILTERINGS);
        config.udp_filtering = self.random.mostly(self.settings.filtering, &FILTERINGS);
        config.udp_refresh =
            self.random.pick(&[UdpRefresh::Outbound, UdpRefresh::Outbound, UdpRefresh::Both]);
        config.on_detach = self.random.pick(&[OnDetach::Reset, OnDetach::Silent]);
        if self.random.percent(10) {
            config.quota_per_attachment = Some(1 + self.random.below(5) as u32);
        }
        let reserved = &self.model.uplinks[&uplink].2;
        if !reserved.is_empty() && self.random.percent(25) {
            config.external = Some(reserved.iter().copied().collect());
        }
        if self.random.percent(30) {
            config.rules = self.rules();
        }
        let (number, limit, quota) = self.quota(connector);
        config.quota = quota;
        if self.random.percent(25) {
            config.publications = (0..=self.random.below(2)).map(|_| self.publication(uplink)).collect();
        }
        (config, (number, limit))
    }

    /// A few that say something, and mostly a last one that lets everything else pass.
    fn rules(&mut self) -> Vec<Rule> {
        const ABOUT: [&str; 5] =
            ["10.1.0.20/32", "192.0.2.0/24", "fd01::20/128", "10.1.0.10/31", "2001:db8::/32"];
        let mut rules = Vec::new();
        for _ in 0..=self.random.below(2) {
            let protocols = [None, None, Some(Protocol::Tcp), Some(Protocol::Udp), Some(Protocol::Icmp)];
            rules.push(Rule {
                action: self.random.pick(&[Action::Allow, Action::Deny]),
                destination: self.random.pick(&ABOUT).parse().expect("a prefix"),
                protocol: self.random.pick(&protocols),
                ports: self.random.percent(30).then(|| self.random.pick(&[80, 53])..=443),
            });
        }
        let action = if self.random.percent(80) { Action::Allow } else { Action::Deny };
        for all in ["0.0.0.0/0", "::/0"] {
            let destination = all.parse().expect("a prefix");
            rules.push(Rule { action, destination, protocol: None, ports: None });
        }
        rules
    }

    /// What all containers with this connector share, mostly.
    fn quota(&mut self, connector: ConnectorId) -> (u32, Option<u32>, PortQuota) {
        if let Some(quota) = self.quotas.get(&connector).filter(|_| !self.random.percent(5)) {
            return quota.clone();
        }
        let limit = self.random.percent(25).then(|| 3 + self.random.below(8) as u32);
        self.numbers += 1;
        let quota = (self.numbers as u32, limit, PortQuota::new(limit));
        self.quotas.insert(connector, quota.clone());
        quota
    }

    fn publication(&mut self, uplink: UplinkId) -> Publication {
        let addresses = &self.model.uplinks[&uplink].0;
        let which = self.random.below(addresses.len() as u64) as usize;
        let port = self.random.pick(&[80, 443, 2000, 2001, 2044]);
        let external = SocketAddr::new(addresses[which], port);
        let protocol = self.random.pick(&[Protocol::Tcp, Protocol::Udp]);
        // Sometimes two lead to one port, which may have a mapping of its own.
        let internal_port = if self.random.percent(50) { self.port() } else { 10_000 };
        Publication { protocol, external, internal_port }
    }
}

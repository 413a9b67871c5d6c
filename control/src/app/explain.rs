//! Why packets go where they go, or do not.

use control_core::{
    AttachmentId, Caller, ConnectorId, FullName, Kind, NewProbe, Problem, Refusal, Resources, Sender, State,
    UplinkId,
};
use gateway::{DropView, Explanation, Link, Step, Verdict};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::named;
use super::sessions::SessionItem;
use super::{App, convert, failure};

/// What would happen to a packet, and why.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ExplanationView {
    verdict: VerdictView,
    /// Why it would be dropped, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// Why it would be dropped, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<&'static str>,
    /// What the engine decides, in order, up to what ends the packet.
    steps: Vec<StepView>,
}

/// How a packet would end.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum VerdictView {
    /// It leaves through the VPC's link, or goes to a container.
    Forward,
    /// The gateway answers it; nothing leaves.
    Respond,
    /// It is kept until its next hop has told its MAC address, or its other fragments have come.
    Hold,
    /// It ends here.
    Drop,
}

/// One decision on a packet's way.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepView {
    /// For people.
    detail: String,
    #[serde(flatten)]
    step: StepFields,
}

/// One decision, for programs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub(crate) enum StepFields {
    /// The gateway answers by itself; nothing leaves.
    GatewayAnswers,
    /// The destination is an external address: the packet comes back inside.
    Hairpin,
    /// It was the last fragment that was missing: what follows is about the datagram.
    Reassembled { bytes: usize },
    /// The connector lets a remote open a session.
    LetIn { connector: String },
    /// A session carries it already.
    Session {
        /// Which one; absent if it ended meanwhile, or is another tenant's.
        #[serde(skip_serializing_if = "Option::is_none")]
        session: Option<SessionItem>,
    },
    /// This connector's prefix is the longest that matches.
    Route { connector: String, prefix: String, vpc: String },
    /// The connector has rules, and this is what they say.
    Rule {
        connector: String,
        /// Place of the rule that decided, from 0; absent if none matched.
        #[serde(skip_serializing_if = "Option::is_none")]
        rule: Option<usize>,
        allowed: bool,
    },
    /// There is a mapping for it already, with this external endpoint.
    MappingReused { external: String },
    /// A new external port would be leased.
    MappingNew {
        external: String,
        /// Ports that nobody has now. There can be a mapping without any: on a port that several share, in a block of the container's
        /// own, or where a finished session gives up its port.
        free_ports: u32,
    },
    /// The connector does not translate: the VPC sees the container's own address.
    Routed,
    /// Where the frame goes in the VPC.
    NextHop {
        address: String,
        /// Absent if it would be asked for, by ARP or neighbor discovery.
        #[serde(skip_serializing_if = "Option::is_none")]
        mac: Option<String>,
    },
}

/// A packet of a container that ended.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DropItem {
    /// Seconds since.
    ago_s: f64,
    /// Why, for programs.
    reason: &'static str,
    /// Why, for people.
    explanation: &'static str,
    /// `tcp`, `udp`, `icmp`, or the number of another IP protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination: Option<String>,
    /// Bytes of frame.
    length: usize,
}

impl App {
    /// What would happen to a packet of a container or of a VPC, by the engine's own decisions.
    pub(crate) async fn explain(&self, caller: &Caller, new: NewProbe) -> Result<ExplanationView, Problem> {
        let spec = new.validate()?;
        let from = self.read(|resources| match &spec.sender {
            Sender::Container(name) => attachment(resources, caller, name).map(Link::Attachment),
            Sender::Vpc(name) => uplink(resources, caller, name).map(Link::Uplink),
        })?;
        let question = convert::question(spec.packet);
        let explanation = self.gateway().explain(from, question).await.map_err(failure::of_call)?;
        Ok(self.read(|resources| ExplanationView::new(resources, caller, &explanation)))
    }

    /// A container's last drops, newest first.
    pub(crate) async fn drops(&self, caller: &Caller, container: &str) -> Result<Vec<DropItem>, Problem> {
        let attachment = self.read(|resources| attachment(resources, caller, container))?;
        let drops = self.gateway().recent_drops(attachment).await.map_err(failure::of_call)?;
        Ok(drops.iter().map(DropItem::new).collect())
    }
}

/// The link of a container that is ready.
fn attachment(
    resources: &Resources,
    caller: &Caller,
    container: &str,
) -> Result<gateway::AttachmentId, Problem> {
    let container = resources.container(&named(&caller.tenant, container, Kind::Container)?)?;
    let (name, state): (_, State) = (&container.spec.name, container.life.state());
    let not_ready = || Refusal::NotReady { kind: Kind::Container, name: name.clone(), state };
    Ok(container.life.ready().map(|link| convert::attachment(link.attachment)).ok_or_else(not_ready)?)
}

/// The link of a VPC that is ready.
fn uplink(resources: &Resources, caller: &Caller, vpc: &str) -> Result<gateway::UplinkId, Problem> {
    let vpc = resources.vpc(&named(&caller.tenant, vpc, Kind::Vpc)?)?;
    let (name, state): (_, State) = (&vpc.spec.name, vpc.life.state());
    let not_ready = || Refusal::NotReady { kind: Kind::Vpc, name: name.clone(), state };
    Ok(vpc.life.ready().map(|link| convert::uplink(link.uplink)).ok_or_else(not_ready)?)
}

impl ExplanationView {
    fn new(resources: &Resources, caller: &Caller, explanation: &Explanation) -> Self {
        let verdict = match explanation.verdict {
            Verdict::Drop(_) => VerdictView::Drop,
            Verdict::Respond | Verdict::Share => VerdictView::Respond,
            Verdict::Forward(_) | Verdict::HandOff { .. } => VerdictView::Forward,
            Verdict::Hold => VerdictView::Hold,
        };
        Self {
            verdict,
            reason: explanation.reason().map(gateway::Reason::code),
            explanation: explanation.reason().map(gateway::Reason::explanation),
            steps: explanation.steps.iter().map(|step| StepView::new(resources, caller, step)).collect(),
        }
    }
}

impl StepView {
    fn new(resources: &Resources, caller: &Caller, step: &Step) -> Self {
        match step {
            Step::GatewayAnswers => {
                let detail = "the gateway answers by itself, and nothing leaves".into();
                Self { detail, step: StepFields::GatewayAnswers }
            }
            Step::Hairpin => {
                let detail =
                    "to an external address, so back inside, to the container that has the mapping".into();
                Self { detail, step: StepFields::Hairpin }
            }
            Step::Reassembled { bytes } => {
                let detail = format!("the last missing fragment of a datagram of {bytes} bytes");
                Self { detail, step: StepFields::Reassembled { bytes: *bytes } }
            }
            Step::LetIn { attachment: _, connector } => {
                let connector = seen(caller, resources.connector_of(ConnectorId(connector.0)));
                let detail = format!("connector {connector} lets the remote open a session");
                Self { detail, step: StepFields::LetIn { connector } }
            }
            Step::Session(session) => Self::session(resources, caller, session),
            Step::Route { connector, prefix, uplink } => {
                let connector = seen(caller, resources.connector_of(ConnectorId(connector.0)));
                let vpc = seen(caller, resources.vpc_of(UplinkId(uplink.0)));
                let detail = format!("connector {connector} ({prefix}) to VPC {vpc}");
                Self { detail, step: StepFields::Route { connector, prefix: prefix.to_string(), vpc } }
            }
            Step::Rule { connector, index: rule, action } => {
                let connector = seen(caller, resources.connector_of(ConnectorId(connector.0)));
                let allowed = *action == gateway::Action::Allow;
                let says = if allowed { "allows" } else { "denies" };
                let detail = match rule {
                    Some(index) => format!("rule {index} of connector {connector} {says} it"),
                    None => format!("no rule of connector {connector} is about it, which {says} it"),
                };
                Self { detail, step: StepFields::Rule { connector, rule: *rule, allowed } }
            }
            Step::MappingReused(external) => {
                let external = external.to_string();
                let detail = format!("appears as {external}, by a mapping that there is");
                Self { detail, step: StepFields::MappingReused { external } }
            }
            Step::MappingNew { external, free_ports } => {
                let external = external.to_string();
                let port = match free_ports {
                    0 => "none is free, but one is shared, in its own block, or given up".to_owned(),
                    free => format!("free ports: {free}"),
                };
                let detail = format!("appears as {external}, by a new mapping ({port})");
                Self { detail, step: StepFields::MappingNew { external, free_ports: *free_ports } }
            }
            Step::Routed => {
                let detail =
                    "the connector does not translate, so that the VPC sees the container's own address";
                Self { detail: detail.into(), step: StepFields::Routed }
            }
            Step::NextHop { address, mac } => {
                let question = if address.is_ipv4() { "ARP" } else { "neighbor discovery" };
                let (address, mac) = (address.to_string(), mac.map(|mac| mac.to_string()));
                let detail = match &mac {
                    Some(mac) => format!("to {address} at {mac}"),
                    None => format!("to {address}, whose MAC address is asked for by {question}"),
                };
                Self { detail, step: StepFields::NextHop { address, mac } }
            }
        }
    }

    /// A VPC's owner does not see what another tenant's containers do there.
    fn session(resources: &Resources, caller: &Caller, session: &gateway::SessionView) -> Self {
        let container = resources.container_of(AttachmentId(session.attachment.0));
        if container.is_some_and(|container| container.tenant != caller.tenant) {
            let detail = "a session of another tenant's container carries it".into();
            return Self { detail, step: StepFields::Session { session: None } };
        }
        let detail = format!("a session carries it: {} appears as {}", session.internal, session.external);
        Self { detail, step: StepFields::Session { session: SessionItem::new(resources, caller, session) } }
    }
}

/// Names of what was deleted between the gateway's answer and ours are empty.
fn seen(caller: &Caller, name: Option<&FullName>) -> String {
    name.map(|name| name.seen_by(&caller.tenant)).unwrap_or_default()
}

impl DropItem {
    fn new(drop: &DropView) -> Self {
        let protocol = |number| match number {
            // IP protocols of ICMP and ICMPv6.
            1 | 58 => "icmp".into(),
            6 => "tcp".into(),
            17 => "udp".into(),
            other => format!("{other}"),
        };
        Self {
            ago_s: drop.ago.as_secs_f64(),
            reason: drop.reason.code(),
            explanation: drop.reason.explanation(),
            protocol: drop.packet.protocol.map(protocol),
            source: drop.packet.source.map(|source| source.to_string()),
            destination: drop.packet.destination.map(|destination| destination.to_string()),
            length: drop.packet.length,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use gateway::{PacketSummary, Reason};

    use super::*;

    fn caller() -> Caller {
        let tenant = control_core::Name::parse("tenant", "default".into()).unwrap();
        Caller { principal: control_core::Principal::Local { uid: 0 }, tenant }
    }

    #[test]
    fn the_verdict_is_the_engines() {
        let view = |verdict| {
            let explanation = Explanation { steps: vec![], verdict };
            serde_json::to_value(ExplanationView::new(&Resources::default(), &caller(), &explanation))
                .unwrap()
        };
        let uplink = gateway::Link::Uplink(gateway::UplinkId(1));
        for (verdict, said) in [
            (Verdict::Forward(uplink), "forward"),
            (Verdict::Hold, "hold"),
            (Verdict::Respond, "respond"),
            (Verdict::Drop(Reason::NoConnector), "drop"),
        ] {
            assert_eq!(view(verdict)["verdict"], said);
        }
        assert_eq!(view(Verdict::Drop(Reason::NoConnector))["reason"], "no_connector");
        assert!(view(Verdict::Hold).get("reason").is_none());
    }

    #[test]
    fn steps_say_the_same_to_programs_and_to_people() {
        let view =
            |step| serde_json::to_value(StepView::new(&Resources::default(), &caller(), &step)).unwrap();
        let routed = view(Step::Routed);
        assert_eq!(routed["step"], "routed");
        assert!(routed["detail"].as_str().unwrap().contains("own address"), "{routed}");
        for (address, question) in [("10.1.0.1", "by ARP"), ("fd00::1", "by neighbor discovery")] {
            let next_hop = view(Step::NextHop { address: address.parse().unwrap(), mac: None });
            assert_eq!(next_hop["address"], address);
            assert!(next_hop["detail"].as_str().unwrap().ends_with(question), "{next_hop}");
        }
        let reused = view(Step::MappingReused("[fd00::10]:80".parse().unwrap()));
        assert_eq!(reused["external"], "[fd00::10]:80");
        for (free_ports, said) in [(0, "(none is free, but"), (1, "(free ports: 1)")] {
            let new = view(Step::MappingNew { external: IpAddr::from([10, 1, 0, 10]), free_ports });
            assert_eq!(new["free_ports"], free_ports);
            assert!(new["detail"].as_str().unwrap().contains(said), "{new}");
        }
    }

    #[test]
    fn drops_of_both_families_name_the_same_protocols() {
        let item = |protocol| {
            let source = Some("[fd00::2]:4000".parse().unwrap());
            let packet = PacketSummary { protocol: Some(protocol), source, ..PacketSummary::default() };
            let drop = DropView { ago: std::time::Duration::ZERO, reason: Reason::NoConnector, packet };
            serde_json::to_value(DropItem::new(&drop)).unwrap()
        };
        assert_eq!(item(17)["source"], "[fd00::2]:4000");
        for (number, name) in [(1, "icmp"), (58, "icmp"), (6, "tcp"), (17, "udp"), (132, "132")] {
            assert_eq!(item(number)["protocol"], name);
        }
    }
}

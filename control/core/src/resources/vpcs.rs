//! Transitions of VPCs.

use std::collections::BTreeSet;

use super::{Resources, not_found};
use crate::limits::VPCS;
use crate::{Kind, Life, Name, Refusal, State, UplinkId, Vpc, VpcLink, VpcSpec};

impl Resources {
    pub(crate) fn reserve_vpc(&mut self, spec: VpcSpec) -> Result<(), Refusal> {
        if self.vpcs.contains_key(&spec.name) {
            return Err(Refusal::AlreadyExists { kind: Kind::Vpc, name: spec.name });
        }
        if self.vpcs.len() >= VPCS {
            return Err(Refusal::LimitReached { what: "VPCs", limit: VPCS });
        }
        self.vpc_creations.begin();
        self.vpcs.insert(spec.name.clone(), Vpc { spec, life: Life::Creating, connectors: BTreeSet::new() });
        Ok(())
    }

    pub(crate) fn vpc_ready(&mut self, name: &Name, link: VpcLink) {
        let Some(vpc) = self.vpcs.get_mut(name).filter(|vpc| vpc.life == Life::Creating) else { return };
        self.uplinks.insert(link.uplink, name.clone());
        let gone = self.vpc_creations.end(Some(link.uplink));
        vpc.life = if gone { Life::Gone(link) } else { Life::Ready(link) };
    }

    pub(crate) fn delete_vpc(&mut self, name: &Name) -> Result<(), Refusal> {
        let vpc = self.vpcs.get_mut(name).ok_or_else(|| not_found(Kind::Vpc, name.as_str()))?;
        let Some(link) = vpc.life.link() else {
            return Err(Refusal::NotReady { kind: Kind::Vpc, name: name.clone(), state: State::Creating });
        };
        if !vpc.connectors.is_empty() {
            let names = vpc.connectors.iter().cloned().collect();
            return Err(Refusal::InUse { kind: Kind::Vpc, name: name.clone(), by: Kind::Connector, names });
        }
        vpc.life = Life::Deleting(link.clone());
        Ok(())
    }

    pub(crate) fn forget_vpc(&mut self, name: &Name) {
        match self.vpcs.get(name).map(|vpc| &vpc.life) {
            Some(Life::Creating) => _ = self.vpc_creations.end(None),
            Some(Life::Deleting(link)) => _ = self.uplinks.remove(&link.uplink),
            _ => return,
        }
        self.vpcs.remove(name);
    }

    pub(crate) fn uplink_gone(&mut self, uplink: UplinkId) {
        let Some(name) = self.uplinks.get(&uplink) else { return self.vpc_creations.link_gone(uplink) };
        let vpc = self.vpcs.get_mut(name).expect("an uplink's VPC exists");
        if let Life::Ready(link) = &vpc.life {
            vpc.life = Life::Gone(link.clone());
        }
        for connector in vpc.connectors.clone() {
            self.part_all_of_connector(&connector);
        }
    }
}

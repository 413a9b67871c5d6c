//! Transitions of VPCs.

use std::sync::Arc;

use super::{Resources, not_found};
use crate::limits::VPCS;
use crate::{FullName, Kind, Life, MayJoin, Name, Refusal, State, UplinkId, Vpc, VpcLink, VpcSpec};

impl Resources {
    pub(crate) fn reserve_vpc(&mut self, tenant: &Name, spec: VpcSpec) -> Result<(), Refusal> {
        self.tenant(tenant)?;
        let name = FullName::new(tenant, &spec.name);
        if self.vpcs.find(&name).is_some() {
            return Err(Refusal::AlreadyExists { kind: Kind::Vpc, name: name.name });
        }
        if self.vpcs.len() >= VPCS {
            return Err(Refusal::LimitReached { what: "VPCs", limit: VPCS });
        }
        let vpc = Vpc { name: name.clone(), spec: Arc::new(spec), life: Life::Creating, mac: None };
        self.vpcs.insert(name, vpc);
        Ok(())
    }

    pub(crate) fn vpc_ready(&mut self, name: &FullName, link: VpcLink) {
        // What could not be made after a restart can be made later.
        let waits = |vpc: &Vpc| matches!(vpc.life, Life::Creating | Life::Gone(None));
        if !self.vpcs.find(name).is_some_and(waits) {
            return;
        }
        let gone = self.lost_uplinks.has(&link.uplink);
        let vpc = self.vpcs.edit(name).expect("looked up");
        vpc.mac = Some(link.mac);
        vpc.life = if gone { Life::Gone(Some(link)) } else { Life::Ready(link) };
    }

    pub(crate) fn delete_vpc(&mut self, name: &FullName) -> Result<(), Refusal> {
        let vpc = self.vpc(name)?;
        if vpc.life == Life::Creating {
            let (name, state) = (name.name.clone(), State::Creating);
            return Err(Refusal::NotReady { kind: Kind::Vpc, name, state });
        }
        let joined = |connector: &&FullName| {
            self.connectors.find(connector).is_some_and(|connector| connector.may_join == MayJoin::Approved)
        };
        let names: Vec<_> =
            self.index.joining(name).filter(joined).map(|c| c.seen_by(&name.tenant)).collect();
        if !names.is_empty() {
            let (name, by) = (name.name.clone(), Kind::Connector);
            return Err(Refusal::InUse { kind: Kind::Vpc, name, by, names });
        }
        let vpc = self.vpcs.edit(name).ok_or_else(|| not_found(Kind::Vpc, name))?;
        vpc.life = Life::Deleting(vpc.life.link().cloned());
        Ok(())
    }

    pub(crate) fn forget_vpc(&mut self, name: &FullName) {
        let ended = |vpc: &Vpc| matches!(vpc.life, Life::Creating | Life::Deleting(_));
        if self.vpcs.find(name).is_some_and(ended) {
            self.vpcs.remove(name);
        }
    }

    pub(crate) fn vpc_gone(&mut self, name: &FullName) {
        if let Some(vpc) = self.vpcs.edit(name).filter(|vpc| vpc.life == Life::Creating) {
            vpc.life = Life::Gone(None);
        }
    }

    pub(crate) fn uplink_gone(&mut self, uplink: UplinkId) {
        let Some(name) = self.index.uplinks.get(&uplink).cloned() else {
            return self.lost_uplinks.note(uplink);
        };
        let vpc = self.vpcs.edit(&name).expect("an uplink's VPC exists");
        if let Life::Ready(link) = &vpc.life {
            vpc.life = Life::Gone(Some(link.clone()));
        }
        let connectors: Vec<_> = self.index.joining(&name).cloned().collect();
        for connector in connectors {
            self.part_all_of_connector(&connector);
        }
    }
}

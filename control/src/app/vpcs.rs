//! VPCs.

use control_core::{
    Caller, Change, ConnectorView, FullName, Kind, Life, NewVpc, Problem, Vpc, VpcSpec, VpcView,
};
use gateway::{CallError, CommandError};

use super::call::named;
use super::reservation::Reservation;
use super::turns::Turn;
use super::{App, Call, Page, Slice, convert, failure, random};

impl App {
    /// Reserves the name and makes the link. On failure nothing is left.
    pub(crate) async fn create_vpc(&self, call: Call, new: NewVpc) -> Result<VpcView, Problem> {
        let spec = new.validate()?;
        call.may_name(self, spec.uplink.netns(), "uplink.netns")?;
        if let Some(vpc) = self.repeated(&call, Kind::Vpc)? {
            return self.look_again(|resources| {
                let made = |vpc: &&Vpc| vpc.life != Life::Creating;
                resources.vpc(&vpc).ok().filter(made).map(|vpc| resources.vpc_view(vpc))
            });
        }
        let vpc = FullName::new(call.tenant(), &spec.name);
        if call.dry_run {
            let change = Change::ReserveVpc { tenant: vpc.tenant.clone(), spec };
            let view =
                |resources: &control_core::Resources| resources.vpc(&vpc).map(|v| resources.vpc_view(v));
            return Ok(self.registry().try_out(change, None, view)??);
        }
        self.carry_out(|app| app.make_vpc(call, vpc, spec)).await
    }

    /// A page of a tenant's VPCs, by name.
    pub(crate) fn vpcs(&self, caller: &Caller, page: &Page) -> Slice<VpcView> {
        let revision = self.registry().changes().latest();
        self.read(|resources| {
            let all = resources.vpcs_of(&caller.tenant, page.after.as_ref());
            page.of(revision, all, |view: &VpcView| &view.name, |vpc| resources.vpc_view(vpc))
        })
    }

    /// One VPC.
    pub(crate) fn vpc(&self, caller: &Caller, name: &str) -> Result<VpcView, Problem> {
        let vpc = named(&caller.tenant, name, Kind::Vpc)?;
        self.read(|resources| Ok(resources.vpc_view(resources.vpc(&vpc)?)))
    }

    /// Connectors of whichever tenant that have joined the VPC or would like to.
    pub(crate) fn vpc_connectors(&self, caller: &Caller, name: &str) -> Result<Vec<ConnectorView>, Problem> {
        let vpc = named(&caller.tenant, name, Kind::Vpc)?;
        self.read(|resources| {
            resources.vpc(&vpc)?;
            let view = |connector| self.seen_by(&vpc.tenant, resources, connector);
            Ok(resources.joining(&vpc).map(view).collect())
        })
    }

    /// Removes the link and gives the name back. Refused while connectors may join the VPC.
    pub(crate) async fn delete_vpc(&self, call: Call, name: &str) -> Result<(), Problem> {
        let vpc = call.named(name, Kind::Vpc)?;
        self.read(|resources| resources.vpc(&vpc).map(drop))?;
        if call.dry_run {
            let expected =
                call.request("delete_vpc", Kind::Vpc, &vpc, Change::DeleteVpc(vpc.clone())).expected;
            return Ok(self.registry().try_out(Change::DeleteVpc(vpc), expected.as_ref(), |_| ())?);
        }
        self.carry_out(|app| app.unmake_vpc(call, vpc)).await
    }

    async fn make_vpc(self, call: Call, vpc: FullName, spec: VpcSpec) -> Result<VpcView, Problem> {
        // Nobody else makes a link for that name meanwhile.
        let _turn = self.vpc_turn(&vpc).await;
        let change = Change::ReserveVpc { tenant: vpc.tenant.clone(), spec: spec.clone() };
        self.registry().commit(call.creation("create_vpc", Kind::Vpc, &vpc, change)).await?;
        let reservation = Reservation::new(&self, call.failed_creation(Change::ForgetVpc(vpc.clone())));
        if let Err(problem) = self.link_vpc(&vpc, &spec, None).await {
            reservation.give_back().await;
            return Err(problem);
        }
        reservation.keep();
        let view = self.vpc(&call.caller, vpc.name.as_str())?;
        // The state can be "gone" already.
        tracing::info!(%vpc, state = %view.state, "VPC created");
        Ok(view)
    }

    /// The exclusive right to make or remove a VPC's link.
    pub(crate) async fn vpc_turn(&self, vpc: &FullName) -> Turn<'_> {
        self.0.vpc_turns.take(vpc).await
    }

    /// Makes the link of a VPC whose name is reserved; with the MAC address that it has had before, if any.
    pub(crate) async fn link_vpc(
        &self,
        vpc: &FullName,
        spec: &VpcSpec,
        mac: Option<control_core::MacAddr>,
    ) -> Result<(), Problem> {
        // The same after every restart, so that the VPC's hosts find the gateway where it was.
        let mac = mac.map(|mac| gateway::MacAddr(mac.0)).or_else(random::mac);
        let made = self.gateway().add_uplink(convert::uplink_spec(spec, mac, self.0.lifetime)).await;
        let link = convert::vpc_link(made.map_err(|error| failure::of_vpc_link(error, &spec.uplink))?);
        let uplink = convert::uplink(link.uplink);
        let ready = match spec.refuse_unfit(&link) {
            Ok(()) => self.commit(Change::VpcReady { vpc: vpc.clone(), link }).await.map_err(Problem::from),
            Err(problem) => Err(problem),
        };
        if ready.is_err() {
            // Whatever this answers, the client hears of the first failure.
            _ = self.gateway().remove_uplink(uplink).await;
        }
        ready
    }

    async fn unmake_vpc(self, call: Call, vpc: FullName) -> Result<(), Problem> {
        let _turn = self.0.vpc_turns.take(&vpc).await;
        let mut deletion = call.request("delete_vpc", Kind::Vpc, &vpc, Change::DeleteVpc(vpc.clone()));
        let entry = deletion.audit.take();
        self.registry().commit(deletion).await?;
        let link =
            self.read(|resources| resources.vpc(&vpc).map(|v| v.life.link().map(|link| link.uplink)))?;
        if let Some(uplink) = link {
            match self.gateway().remove_uplink(convert::uplink(uplink)).await {
                // Unknown: it disappeared by itself, which is what we want.
                Ok(_) | Err(CallError::Refused(CommandError::UnknownUplink(_))) => {}
                Err(error) => return Err(failure::of_call(error)),
            }
        }
        let mut end = crate::registry::Request::of(Change::ForgetVpc(vpc.clone()));
        end.audit = entry;
        self.registry().commit(end).await?;
        tracing::info!(%vpc, "VPC deleted");
        Ok(())
    }
}

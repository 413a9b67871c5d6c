//! VPCs.

use control_core::{Change, Name, NewVpc, Problem, Vpc, VpcSpec, VpcView};
use gateway::{CallError, CommandError};

use super::reservation::Reservation;
use super::{App, convert, failure};

impl App {
    /// Reserves the name and makes the link. On failure nothing is left.
    pub(crate) async fn create_vpc(&self, new: NewVpc) -> Result<VpcView, Problem> {
        let spec = new.validate()?;
        self.carry_out(|app| app.make_vpc(spec)).await
    }

    /// All VPCs, by name.
    pub(crate) fn vpcs(&self) -> Vec<VpcView> {
        self.read(|resources| resources.vpcs().map(Vpc::view).collect())
    }

    /// One VPC.
    pub(crate) fn vpc(&self, name: &str) -> Result<VpcView, Problem> {
        self.read(|resources| Ok(resources.vpc(name)?.view()))
    }

    /// Removes the link and gives the name back. Refused while connectors lead to the VPC.
    pub(crate) async fn delete_vpc(&self, name: &str) -> Result<(), Problem> {
        let name = self.read(|resources| resources.vpc(name).map(|vpc| vpc.spec.name.clone()))?;
        self.carry_out(|app| app.unmake_vpc(name)).await
    }

    async fn make_vpc(self, spec: VpcSpec) -> Result<VpcView, Problem> {
        let vpc = spec.name.clone();
        self.commit(Change::ReserveVpc(spec.clone()))?;
        let reservation = Reservation::of_vpc(&self, &vpc);
        let made = self.gateway().add_uplink(convert::uplink_spec(&spec)).await;
        let link = convert::vpc_link(made.map_err(|error| failure::of_vpc_link(error, &spec.uplink))?);
        let uplink = convert::uplink(link.uplink);
        let fits = spec.refuse_unfit(&link);
        let ready = fits.and_then(|()| self.commit(Change::VpcReady { vpc: vpc.clone(), link }));
        if let Err(problem) = ready {
            // Whatever this answers, the name is given back and the client hears of the first failure.
            _ = self.gateway().remove_uplink(uplink).await;
            return Err(problem);
        }
        reservation.keep();
        let view = self.vpc(vpc.as_str())?;
        // The state can be "gone" already.
        tracing::info!(%vpc, %uplink, state = %view.state, "VPC created");
        Ok(view)
    }

    async fn unmake_vpc(self, vpc: Name) -> Result<(), Problem> {
        let _turn = self.0.vpc_turns.take(&vpc).await;
        self.commit(Change::DeleteVpc(vpc.clone()))?;
        let link = self
            .read(|resources| resources.vpc(vpc.as_str()).map(|v| v.life.link().map(|link| link.uplink)))?;
        if let Some(uplink) = link {
            match self.gateway().remove_uplink(convert::uplink(uplink)).await {
                // Unknown: it disappeared by itself, which is what we want.
                Ok(_) | Err(CallError::Refused(CommandError::UnknownUplink(_))) => {}
                Err(error) => return Err(failure::of_call(error)),
            }
        }
        self.commit(Change::ForgetVpc(vpc.clone()))?;
        tracing::info!(%vpc, "VPC deleted");
        Ok(())
    }
}

//! No gateway: what two namespaces can exchange at most.

use super::stand::{EXTERNAL, SERVER, Site, Stand, veth, within_vpc};
use super::{Subject, SubjectError};
use crate::end::Able;

pub(super) fn stand(site: Site) -> Result<Stand, SubjectError> {
    veth(&site.client, "eth0", &site.server, "eth0")?;
    site.client.address("eth0", within_vpc(EXTERNAL))?;
    site.server.address("eth0", within_vpc(SERVER))?;
    site.stands(Subject::Direct, [Able::Offload; 2], &[], EXTERNAL, Vec::new())
}

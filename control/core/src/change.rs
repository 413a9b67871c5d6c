//! One change of the resources, as a plain value that a store can write down.

use crate::{
    AttachmentId, ConnectorSpec, ContainerLink, ContainerSpec, Name, Refusal, Resources, UplinkId, VpcLink,
    VpcSpec,
};

/// One change. It is applied whole or not at all.
///
/// A client may ask for what reserves, deletes, adds or attaches, and is refused if the state does not admit it. The rest reports
/// what became of a device; it is applied to whatever is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Take the name; the device is about to be made.
    ReserveVpc(VpcSpec),
    /// The device is made.
    VpcReady {
        /// Whose.
        vpc: Name,
        /// What was made.
        link: VpcLink,
    },
    /// Nobody may use the VPC any more; the device is about to be removed. Refused while connectors lead to it.
    DeleteVpc(Name),
    /// The device could not be made, or is removed: give the name back.
    ForgetVpc(Name),
    /// The device disappeared.
    UplinkGone(UplinkId),

    /// A connector has no device: it is there at once.
    AddConnector(ConnectorSpec),
    /// Refused while it is attached.
    RemoveConnector(Name),

    /// Take the name; the device is about to be made.
    ReserveContainer(ContainerSpec),
    /// The device is made.
    ContainerReady {
        /// Whose.
        container: Name,
        /// What was made.
        link: ContainerLink,
    },
    /// Nobody may use the container any more; the device is about to be removed. Its connectors are detached.
    DeleteContainer(Name),
    /// The device could not be made, or is removed: give the name back.
    ForgetContainer(Name),
    /// The device disappeared. Its connectors are detached.
    AttachmentGone(AttachmentId),

    /// The container shall have the connector; the gateway is about to be told. Nothing changes if it has it already.
    Attach {
        /// Which container.
        container: Name,
        /// Which connector.
        connector: Name,
    },
    /// The gateway has it. Refused if container or VPC disappeared in between.
    Attached {
        /// Which container.
        container: Name,
        /// Which connector.
        connector: Name,
    },
    /// The gateway does not have it, or no more.
    Detached {
        /// Which container.
        container: Name,
        /// Which connector.
        connector: Name,
    },
}

impl Resources {
    /// Applies one change, whole or not at all.
    pub fn apply(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::ReserveVpc(spec) => self.reserve_vpc(spec)?,
            Change::VpcReady { vpc, link } => self.vpc_ready(&vpc, link),
            Change::DeleteVpc(vpc) => self.delete_vpc(&vpc)?,
            Change::ForgetVpc(vpc) => self.forget_vpc(&vpc),
            Change::UplinkGone(uplink) => self.uplink_gone(uplink),
            Change::AddConnector(spec) => self.add_connector(spec)?,
            Change::RemoveConnector(connector) => self.remove_connector(&connector)?,
            Change::ReserveContainer(spec) => self.reserve_container(spec)?,
            Change::ContainerReady { container, link } => self.container_ready(&container, link),
            Change::DeleteContainer(container) => self.delete_container(&container)?,
            Change::ForgetContainer(container) => self.forget_container(&container),
            Change::AttachmentGone(attachment) => self.attachment_gone(attachment),
            Change::Attach { container, connector } => self.join(&container, &connector)?,
            Change::Attached { container, connector } => self.joined(&container, &connector)?,
            Change::Detached { container, connector } => self.part(&container, &connector),
        }
        Ok(())
    }
}

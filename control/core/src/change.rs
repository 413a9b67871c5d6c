//! One change of the resources, as a plain value.

use crate::{
    AttachmentId, ConnectorSpec, ContainerLink, ContainerSpec, FullName, FunctionSpec, Name, Origin, Pool,
    Refusal, Resources, StoredCode, Tenant, Token, UplinkId, VpcLink, VpcSpec,
};

/// One change. It is applied whole or not at all.
///
/// A client may ask for what adds, reserves, updates, sets, approves, revokes, deletes or attaches, and is refused if the state does not
/// admit it. The rest reports what became of a device; it is applied to whatever is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A tenant has nothing but its name: it is there at once.
    AddTenant(Tenant),
    /// Refused while it has anything.
    RemoveTenant(Name),
    /// A token can be used at once.
    AddToken {
        /// Which one.
        name: FullName,
        /// What it is.
        token: Token,
    },
    /// It cannot be used any more.
    RemoveToken(FullName),

    /// Take the name; the device is about to be made.
    ReserveVpc {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: VpcSpec,
    },
    /// The device is made.
    VpcReady {
        /// Whose.
        vpc: FullName,
        /// What was made.
        link: VpcLink,
    },
    /// Nobody may use the VPC any more; the device is about to be removed. Refused while connectors may join it.
    DeleteVpc(FullName),
    /// The device could not be made, or is removed: give the name back.
    ForgetVpc(FullName),
    /// The device could not be made again after a restart.
    VpcGone(FullName),
    /// The device disappeared.
    UplinkGone(UplinkId),

    /// A connector has no device: it is there at once, and may join at once if the VPC's policy says so.
    AddConnector {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: ConnectorSpec,
    },
    /// Another policy, for all that have the connector; its VPC stays.
    UpdateConnector {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: ConnectorSpec,
    },
    /// The owner of the VPC says that it may join.
    ApproveConnector(FullName),
    /// The owner of the VPC says that it may not join any more. It is detached from all containers.
    RevokeConnector(FullName),
    /// The gateway did not take it.
    ConnectorFailed {
        /// Which one.
        connector: FullName,
        /// Why, for people.
        detail: String,
    },
    /// Its addresses are given back, unless it is attached again.
    ConnectorIdle(FullName),
    /// Refused while it is attached.
    RemoveConnector(FullName),

    /// Take the name; the device is about to be made.
    ReserveContainer {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: ContainerSpec,
    },
    /// The device is made.
    ContainerReady {
        /// Whose.
        container: FullName,
        /// What was made.
        link: ContainerLink,
        /// Where.
        origin: Option<Origin>,
    },
    /// Nobody may use the container any more; the device is about to be removed.
    DeleteContainer(FullName),
    /// The device could not be made, or is removed: give the name back.
    ForgetContainer(FullName),
    /// The device could not be made again after a restart.
    ContainerGone(FullName),
    /// The device disappeared. Its connectors are detached.
    AttachmentGone(AttachmentId),

    /// A function has no device: it is there at once, with its first version. Refused unless all of its connectors let it use them.
    AddFunction {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: FunctionSpec,
        /// Its code.
        code: StoredCode,
        /// When. Unix time, seconds.
        created_s: u64,
    },
    /// Another version of it, if what versions are made of is another; the oldest version gives way. Refused as above.
    UpdateFunction {
        /// Whose.
        tenant: Name,
        /// What was asked for.
        spec: FunctionSpec,
        /// Its code, if that is another.
        code: Option<StoredCode>,
        /// When. Unix time, seconds.
        created_s: u64,
    },
    /// All of its versions go with it. Containers that serve it are the caller's to end.
    RemoveFunction(FullName),
    /// Refused for the latest one.
    RemoveVersion {
        /// Of which function.
        function: FullName,
        /// Which one.
        number: u64,
    },
    /// What the pool of a runtime shall be.
    SetPool(Pool),

    /// A container that was made for functions serves one from now on. It is a resource of the function's tenant that is not kept.
    AdoptEnvironment {
        /// Its name, and the function's tenant.
        container: FullName,
        /// What it is.
        spec: ContainerSpec,
        /// Its link.
        link: ContainerLink,
        /// Which function it serves.
        function: Name,
    },
    /// Such a container is removed.
    ForgetEnvironment(FullName),

    /// The container shall have the connector; the gateway is being told. Nothing changes if it has it already.
    Attach {
        /// Which container.
        container: FullName,
        /// Which connector, of the same tenant.
        connector: Name,
    },
    /// The gateway has what was intended before a restart. Refused if container or VPC disappeared in between.
    Attached {
        /// Which container.
        container: FullName,
        /// Which connector.
        connector: Name,
    },
    /// The gateway does not have it, or no more.
    Detached {
        /// Which container.
        container: FullName,
        /// Which connector.
        connector: Name,
    },
}

impl Resources {
    pub(crate) fn carry_out(&mut self, change: Change) -> Result<(), Refusal> {
        match change {
            Change::AddTenant(tenant) => self.add_tenant(tenant)?,
            Change::RemoveTenant(tenant) => self.remove_tenant(&tenant)?,
            Change::AddToken { name, token } => self.add_token(name, token)?,
            Change::RemoveToken(name) => self.remove_token(&name)?,
            Change::ReserveVpc { tenant, spec } => self.reserve_vpc(&tenant, spec)?,
            Change::VpcReady { vpc, link } => self.vpc_ready(&vpc, link),
            Change::DeleteVpc(vpc) => self.delete_vpc(&vpc)?,
            Change::ForgetVpc(vpc) => self.forget_vpc(&vpc),
            Change::VpcGone(vpc) => self.vpc_gone(&vpc),
            Change::UplinkGone(uplink) => self.uplink_gone(uplink),
            Change::AddConnector { tenant, spec } => self.add_connector(&tenant, spec)?,
            Change::UpdateConnector { tenant, spec } => self.update_connector(&tenant, spec)?,
            Change::ApproveConnector(connector) => self.approve_connector(&connector)?,
            Change::RevokeConnector(connector) => self.revoke_connector(&connector)?,
            Change::ConnectorFailed { connector, detail } => self.connector_failed(&connector, detail),
            Change::ConnectorIdle(connector) => self.connector_idle(&connector),
            Change::RemoveConnector(connector) => self.remove_connector(&connector)?,
            Change::ReserveContainer { tenant, spec } => self.reserve_container(&tenant, spec)?,
            Change::ContainerReady { container, link, origin } => {
                self.container_ready(&container, link, origin);
            }
            Change::DeleteContainer(container) => self.delete_container(&container)?,
            Change::ForgetContainer(container) => self.forget_container(&container),
            Change::ContainerGone(container) => self.container_gone(&container),
            Change::AttachmentGone(attachment) => self.attachment_gone(attachment),
            Change::AddFunction { tenant, spec, code, created_s } => {
                self.add_function(&tenant, spec, code, created_s)?;
            }
            Change::UpdateFunction { tenant, spec, code, created_s } => {
                self.update_function(&tenant, spec, code, created_s)?;
            }
            Change::RemoveFunction(function) => self.remove_function(&function)?,
            Change::RemoveVersion { function, number } => self.remove_version(&function, number)?,
            Change::SetPool(pool) => self.set_pool(pool)?,
            Change::AdoptEnvironment { container, spec, link, function } => {
                self.adopt_environment(&container, spec, link, function)?;
            }
            Change::ForgetEnvironment(container) => self.forget_environment(&container),
            Change::Attach { container, connector } => self.join(&container, &connector)?,
            Change::Attached { container, connector } => self.joined(&container, &connector)?,
            Change::Detached { container, connector } => self.part(&container, &connector),
        }
        Ok(())
    }
}

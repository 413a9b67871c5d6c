//! Identities. Those of links come from the gateway; those of connectors are given out here.

/// A container's link, as the gateway numbers it. Never reused within the life of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AttachmentId(pub u32);

/// A VPC's link, as the gateway numbers it. Never reused within the life of a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UplinkId(pub u32);

/// A connector, as the gateway knows it. Never reused, so that nothing of a deleted connector reaches its successor in name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectorId(pub u32);

/// A function, as its environments know it. Never reused within the life of a daemon, so that nothing of a deleted function serves its
/// successor in name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

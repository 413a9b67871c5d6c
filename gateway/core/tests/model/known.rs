//! Differences that are known and not yet fixed: while one of these is true, the driver keeps away from it.

/// Translation on and off to one VPC share a mapping.
pub(crate) const MIXED_TRANSLATION: bool = true;
/// Sessions by two external endpoints of one internal one.
pub(crate) const INSIDE_TUPLE_TAKEN: bool = true;
/// A mapping outlives the connector that made it.
pub(crate) const MAPPING_OUTLIVES_CONNECTOR: bool = true;
/// UDP that finds no port makes TCP give one up.
pub(crate) const GIVE_UP_FOR_UDP: bool = true;
/// To attach again ends the sessions of publications.
pub(crate) const PUBLICATIONS_FLAP: bool = true;
/// A publication of an internal endpoint that has a mapping already.
pub(crate) const PUBLICATION_AFTER_MAPPING: bool = true;
/// An acknowledgment out of the window is believed.
pub(crate) const FAR_ACKNOWLEDGMENT: bool = true;
/// A VPC sees a container's IPv6 address, and has no external IPv6 address that its neighbors could be asked from.
pub(crate) const NOBODY_ASKS_FOR_NEIGHBORS: bool = true;

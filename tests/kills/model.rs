//! What one client has made, as it was acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use tests::Random;

/// Everything that is one client's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Connectors with a number in their policy.
    pub(crate) connectors: BTreeMap<String, u64>,
    /// Containers with their connectors.
    pub(crate) containers: BTreeMap<String, BTreeSet<String>>,
    /// Tokens.
    pub(crate) tokens: BTreeSet<String>,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A new connector with this number.
    AddConnector(String, u64),
    /// Another number.
    UpdateConnector(String, u64),
    /// The connector goes.
    DeleteConnector(String),
    /// A new container in the namespace of this number.
    AddContainer(String, usize),
    /// The container goes.
    DeleteContainer(String),
    /// The container gets the connector.
    Attach(String, String),
    /// The container loses the connector.
    Detach(String, String),
    /// A new token.
    AddToken(String),
    /// The token goes.
    DeleteToken(String),
}

/// Connectors and containers of one client.
const CONNECTORS: u64 = 3;
const CONTAINERS: u64 = 2;

impl Model {
    /// Any change that is possible now.
    pub(crate) fn choose(&self, client: usize, random: &mut Random) -> Operation {
        loop {
            let connector = format!("k{client}{}", random.below(CONNECTORS));
            let place = random.below(CONTAINERS);
            let container = format!("c{client}{place}");
            let number = random.below(86_400);
            let has_connector = self.connectors.contains_key(&connector);
            let has = self.containers.get(&container);
            let attached = has.is_some_and(|connectors| connectors.contains(&connector));
            let used = self.containers.values().any(|connectors| connectors.contains(&connector));
            let operation = match random.below(10) {
                0 | 1 if !has_connector => Operation::AddConnector(connector, number),
                0 | 1 => Operation::UpdateConnector(connector, number),
                2 if has_connector && !used => Operation::DeleteConnector(connector),
                3 if has.is_none() => Operation::AddContainer(container, place as usize),
                4 if has.is_some() && random.below(4) == 0 => Operation::DeleteContainer(container),
                5 | 6 if has.is_some() && has_connector && !attached => {
                    Operation::Attach(container, connector)
                }
                7 | 8 if attached => Operation::Detach(container, connector),
                9 if !self.tokens.contains(&connector) => Operation::AddToken(connector),
                9 => Operation::DeleteToken(connector),
                _ => continue,
            };
            return operation;
        }
    }

    /// After a change.
    pub(crate) fn after(&self, operation: &Operation) -> Self {
        let mut after = self.clone();
        match operation.clone() {
            Operation::AddConnector(name, number) | Operation::UpdateConnector(name, number) => {
                after.connectors.insert(name, number);
            }
            Operation::DeleteConnector(name) => _ = after.connectors.remove(&name),
            Operation::AddContainer(name, _) => _ = after.containers.insert(name, BTreeSet::new()),
            Operation::DeleteContainer(name) => _ = after.containers.remove(&name),
            Operation::Attach(container, connector) => {
                after.containers.entry(container).or_default().insert(connector);
            }
            Operation::Detach(container, connector) => {
                after.containers.entry(container).or_default().remove(&connector);
            }
            Operation::AddToken(name) => _ = after.tokens.insert(name),
            Operation::DeleteToken(name) => _ = after.tokens.remove(&name),
        }
        after
    }
}

//! What is kept of each resource over the end of the process: what was asked for, in the form in which it is asked for.

use serde::{Deserialize, Serialize};

use crate::{
    FunctionVersion, MayJoin, Name, NewConnector, NewContainer, NewFunction, NewPool, NewTenant, NewVpc,
    Origin, Token,
};

/// What is kept of a resource.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    /// A tenant.
    Tenant {
        /// What was asked for.
        spec: NewTenant,
    },
    /// A token.
    Token {
        /// What it is; only the hash of its secret.
        token: Token,
    },
    /// A VPC.
    Vpc {
        /// What was asked for.
        spec: NewVpc,
        /// The gateway's MAC address on its link.
        #[serde(skip_serializing_if = "Option::is_none")]
        mac: Option<String>,
    },
    /// A connector.
    Connector {
        /// What was asked for.
        spec: NewConnector,
        /// What the owner of the VPC says.
        may_join: MayJoin,
    },
    /// A container.
    Container {
        /// What was asked for.
        spec: NewContainer,
        /// Its connectors.
        connectors: Vec<String>,
        /// Where its link was made.
        #[serde(skip_serializing_if = "Option::is_none")]
        origin: Option<Origin>,
    },
    /// A function.
    Function {
        /// What was asked for, without the code.
        spec: NewFunction,
        /// Its versions.
        versions: Vec<FunctionVersion>,
    },
    /// A pool, by the name of its runtime.
    Pool {
        /// What was asked for.
        spec: NewPool,
    },
}

/// A resource as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Stored {
    /// When it last changed.
    pub revision: u64,
    /// What it is.
    #[serde(flatten)]
    pub record: Record,
}

/// Why what was kept cannot be taken up again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It is not valid, or does not fit the rest.
    #[error("{kind} {name} as it was kept is not valid: {detail}")]
    Invalid {
        /// Of which kind.
        kind: crate::Kind,
        /// Which one.
        name: crate::FullName,
        /// What is wrong.
        detail: String,
    },
}

/// Names in a record, without those that are none.
pub(crate) fn names(texts: &[String]) -> impl Iterator<Item = Name> {
    texts.iter().filter_map(|text| Name::parse("connectors", text.clone()).ok())
}

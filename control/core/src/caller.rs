//! Who asks.

use std::fmt;

use crate::{Code, FullName, Name, Problem, Role};

/// Who asks, and for which tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// Whose resources are meant.
    pub tenant: Name,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// Somebody at this machine, by the unix socket, who may do everything for every tenant.
    Local {
        /// Its user id.
        uid: u32,
    },
    /// The bearer of a token.
    Token {
        /// Which token.
        token: FullName,
        /// What it may do.
        role: Role,
    },
}

impl Caller {
    /// Refuses those who may do less than `role`.
    pub fn need(&self, role: Role) -> Result<(), Problem> {
        match &self.principal {
            Principal::Local { .. } => Ok(()),
            Principal::Token { role: own, .. } if *own >= role => Ok(()),
            Principal::Token { role: own, .. } => {
                let detail = format!("a token of role {own} may not do this; use one of role {role}");
                Err(Problem::new(Code::Forbidden, detail))
            }
        }
    }

    /// Refuses everybody but the local administrator.
    pub fn need_local(&self) -> Result<(), Problem> {
        if self.is_local() {
            return Ok(());
        }
        let detail = "only the local administrator may do this, by the daemon's unix socket";
        Err(Problem::new(Code::Forbidden, detail))
    }

    /// Whether this is the local administrator.
    pub const fn is_local(&self) -> bool {
        matches!(self.principal, Principal::Local { .. })
    }
}

impl Role {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { uid } => write!(f, "uid:{uid}"),
            Self::Token { token, .. } => write!(f, "token:{token}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_what_those_before_it_may() {
        let name = |text: &str| Name::parse("name", text.into()).unwrap();
        let bearer = |role| Caller {
            principal: Principal::Token { token: FullName::new(&name("acme"), &name("t")), role },
            tenant: name("acme"),
        };
        let roles = [Role::Reader, Role::Operator, Role::Admin];
        for (i, own) in roles.into_iter().enumerate() {
            for (j, needed) in roles.into_iter().enumerate() {
                assert_eq!(bearer(own).need(needed).is_ok(), i >= j, "{own} {needed}");
            }
            assert_eq!(bearer(own).need_local().unwrap_err().code(), Code::Forbidden);
        }
        let local = Caller { principal: Principal::Local { uid: 0 }, tenant: name("acme") };
        assert!(local.need(Role::Admin).is_ok() && local.need_local().is_ok());
    }
}

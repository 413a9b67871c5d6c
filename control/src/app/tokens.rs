//! Tokens: given out once, kept as hashes.

use control_core::{
    Caller, Change, Code, FullName, Kind, Name, NewToken, Principal, Problem, Token, TokenView,
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::{App, Call, Page, Slice, now, random};
use crate::registry::hexadecimal;

/// A token that was just created. Its secret is shown this once.
#[derive(Serialize, ToSchema)]
pub(crate) struct CreatedToken {
    #[serde(flatten)]
    pub(crate) token: TokenView,
    /// What to send as `Authorization: Bearer …`; absent if this is the answer to a request that was made before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "wharf_default_ci_b1946ac92492d2347c6235b4d2611184b1946ac92492d2347c6235b4d2611184")]
    secret: Option<String>,
}

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;

/// What all tokens begin with, so that scanners find those that leaked.
const PREFIX: &str = "wharf_";

impl App {
    /// Gives out a token.
    pub(crate) async fn create_token(&self, call: Call, new: NewToken) -> Result<CreatedToken, Problem> {
        let spec = new.validate()?;
        call.caller.need(spec.role)?;
        let name = FullName::new(call.tenant(), &spec.name);
        if self.repeated(&call, Kind::Token)?.is_some() {
            let token = self.look_again(|resources| {
                let token = resources.token(&name).ok()?;
                Some(resources.token_view(&name, token, now().as_secs()))
            })?;
            return Ok(CreatedToken { token, secret: None });
        }
        let (secret, hash) = secret(&name)?;
        let created_at = now().as_secs();
        let expires_at = spec.life_s.map(|life| created_at + life);
        let token = Token { role: spec.role, hash, created_at, expires_at };
        let change = Change::AddToken { name: name.clone(), token };
        let view = |resources: &control_core::Resources| {
            resources.token(&name).map(|token| resources.token_view(&name, token, created_at))
        };
        if call.dry_run {
            let token = self.registry().try_out(change, None, view)??;
            return Ok(CreatedToken { token, secret: None });
        }
        self.registry().commit(call.creation("create_token", Kind::Token, &name, change)).await?;
        tracing::info!(token = %name, role = %spec.role, "token created");
        Ok(CreatedToken { token: self.read(view)?, secret: Some(secret) })
    }

    /// A page of a tenant's tokens, by name.
    pub(crate) fn tokens(&self, caller: &Caller, page: &Page) -> Slice<TokenView> {
        let (revision, now_s) = (self.registry().changes().latest(), now().as_secs());
        self.read(|resources| {
            let all = resources.tokens_of(&caller.tenant, page.after.as_ref());
            let view = |(name, token): (FullName, &Token)| resources.token_view(&name, token, now_s);
            page.of(revision, all, |view: &TokenView| &view.name, view)
        })
    }

    /// One token, without its secret.
    pub(crate) fn token(&self, caller: &Caller, name: &str) -> Result<TokenView, Problem> {
        let name = super::call::named(&caller.tenant, name, Kind::Token)?;
        self.read(|resources| Ok(resources.token_view(&name, resources.token(&name)?, now().as_secs())))
    }

    /// Revokes a token: the next request that bears it is refused.
    pub(crate) async fn delete_token(&self, call: Call, name: &str) -> Result<(), Problem> {
        let name = call.named(name, Kind::Token)?;
        let change = Change::RemoveToken(name.clone());
        let request = call.request("delete_token", Kind::Token, &name, change.clone());
        if call.dry_run {
            return Ok(self.registry().try_out(change, request.expected.as_ref(), |_| ())?);
        }
        self.registry().commit(request).await?;
        tracing::info!(token = %name, "token revoked");
        Ok(())
    }

    /// Whether a caller from before is still one.
    pub(crate) fn knows(&self, caller: &Caller) -> bool {
        self.read(|resources| match &caller.principal {
            Principal::Local { .. } => resources.tenant(&caller.tenant).is_ok(),
            Principal::Token { token, .. } => {
                resources.token(token).is_ok_and(|token| !token.has_expired(now().as_secs()))
            }
        })
    }

    /// Who bears this secret.
    pub(crate) fn bearer(&self, secret: &str) -> Result<Principal, Problem> {
        let unknown = || {
            let detail = "the token is none that the daemon knows, has expired, or was revoked";
            Problem::new(Code::Unauthenticated, detail)
        };
        let name = named_in(secret).ok_or_else(unknown)?;
        let hash = hash(secret);
        self.read(|resources| {
            let token = resources.token(&name).map_err(|_| unknown())?;
            // Hashes of random secrets: how long it takes to compare them tells nothing of use.
            let right = token.hash == hash && !token.has_expired(now().as_secs());
            if right {
                Ok(Principal::Token { role: token.role, token: name.clone() })
            } else {
                Err(unknown())
            }
        })
    }
}

/// A new secret and its hash. The token's name is in it, so that it is found without looking at all of them.
fn secret(name: &FullName) -> Result<(String, String), Problem> {
    let random = random::bytes::<SECRET_BYTES>();
    let random =
        random.map_err(|error| Problem::new(Code::Internal, format!("cannot read randomness: {error}")))?;
    let secret = format!("{PREFIX}{}_{}_{}", name.tenant, name.name, hexadecimal(&random));
    let hash = hash(&secret);
    Ok((secret, hash))
}

fn hash(secret: &str) -> String {
    hexadecimal(&Sha256::digest(secret.as_bytes()))
}

/// Which token a secret would be of. Names have no underscores.
fn named_in(secret: &str) -> Option<FullName> {
    let mut parts = secret.strip_prefix(PREFIX)?.split('_');
    let mut name = || Name::parse("token", parts.next()?.to_owned()).ok();
    Some(FullName { tenant: name()?, name: name()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_names_its_token_and_no_two_are_alike() {
        let name = |text: &str| Name::parse("name", text.into()).unwrap();
        let full = FullName::new(&name("acme"), &name("ci-1"));
        let ((a, hash_a), (b, hash_b)) = (secret(&full).unwrap(), secret(&full).unwrap());
        assert_ne!((&a, &hash_a), (&b, &hash_b));
        assert_eq!(named_in(&a), Some(full));
        assert_eq!(hash(&a), hash_a);
        for wrong in ["", "wharf_", "wharf_acme", "acme_ci_00", "wharf_A_b_00"] {
            assert_eq!(named_in(wrong), None, "{wrong}");
        }
    }
}

//! What is wrong with a request: one error for people (detail) and programs (code, field).

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $status:literal;)+) => {
        /// What went wrong, for programs. Closed list; a code never changes its meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code { $($(#[doc = $doc])+ $variant,)+ }

        impl Code {
            /// Every code, in order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The stable name.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The HTTP status (RFC 9110 §15) that goes with it.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }
        }
    };
}

codes! {
    /// The body is not JSON, or not all of it arrived.
    MalformedJson = "malformed_json", 400;
    /// The body is not declared as `application/json`.
    UnsupportedMediaType = "unsupported_media_type", 415;
    /// The field is not part of the resource.
    UnknownField = "unknown_field", 422;
    /// The field is required.
    MissingField = "missing_field", 422;
    /// The field has the wrong JSON type, or is not one of the listed words.
    InvalidType = "invalid_type", 422;
    /// The body is longer than the server reads.
    BodyTooLarge = "body_too_large", 413;
    /// The name breaks the rules of names.
    InvalidName = "invalid_name", 422;
    /// The text is not a prefix in CIDR notation, or not one that can be used here.
    InvalidCidr = "invalid_cidr", 422;
    /// The text is not an IP address of the family that is asked for, or not one that can be used here.
    InvalidAddress = "invalid_address", 422;
    /// The text is not the MAC address of one station.
    InvalidMac = "invalid_mac", 422;
    /// The MTU is out of range.
    InvalidMtu = "invalid_mtu", 422;
    /// The port or range of ports is empty or out of range.
    InvalidPorts = "invalid_ports", 422;
    /// The device's name breaks Linux' rules.
    InvalidDevice = "invalid_device", 422;
    /// The packet to be explained cannot be one, or is described twice.
    InvalidPacket = "invalid_packet", 422;
    /// The namespace is not named in exactly one valid way.
    InvalidNetns = "invalid_netns", 422;
    /// The address is not inside the VPC's CIDR.
    AddressOutsideVpc = "address_outside_vpc", 422;
    /// The address is listed twice in one request.
    DuplicateAddress = "duplicate_address", 422;
    /// A resource of this kind has the name.
    AlreadyExists = "already_exists", 409;
    /// Others depend on the resource.
    InUse = "in_use", 409;
    /// The resource is in a state in which it cannot serve the request.
    NotReady = "not_ready", 409;
    /// There is no resource of this name.
    NotFound = "not_found", 404;
    /// The namespace does not exist.
    NetnsMissing = "netns_missing", 422;
    /// The file is no network namespace.
    NetnsInvalid = "netns_invalid", 422;
    /// The device's name is taken in the namespace.
    DeviceTaken = "device_taken", 409;
    /// The device does not exist in the namespace.
    DeviceMissing = "device_missing", 422;
    /// The named device is no bridge.
    NotABridge = "not_a_bridge", 422;
    /// The named device carries no Ethernet frames.
    NotEthernet = "not_ethernet", 422;
    /// The kernel of the uplink's namespace has the external address itself.
    AddressInUse = "address_in_use", 409;
    /// A policy is none that there is, or does not go together with another or with the VPC.
    InvalidPolicy = "invalid_policy", 422;
    /// The container's namespace has a default route already.
    RouteTaken = "route_taken", 409;
    /// The daemon lacks a capability.
    NotPermitted = "not_permitted", 500;
    /// Two connectors of one container would claim the same prefix.
    DestinationTie = "destination_tie", 409;
    /// The external endpoint of a publication is that of another publication or of a live mapping.
    PublicationTaken = "publication_taken", 409;
    /// The container has no address of the family of what is published.
    PublicationUnreachable = "publication_unreachable", 409;
    /// The VPC sees another container of this address already, by a connector without translation.
    AddressTaken = "address_taken", 409;
    /// The connector has no translation, and nobody may route the container's address.
    AddressNotRoutable = "address_not_routable", 409;
    /// A bound of the gateway is reached.
    LimitReached = "limit_reached", 409;
    /// The connector is not attached to the container.
    NotAttached = "not_attached", 404;
    /// A parameter of the query is unknown or has no usable value.
    InvalidQuery = "invalid_query", 422;
    /// The request came over TCP and names another host than this one.
    HostNotAllowed = "host_not_allowed", 421;
    /// The path exists, but not with this method.
    MethodNotAllowed = "method_not_allowed", 405;
    /// There is no such path.
    RouteNotFound = "route_not_found", 404;
    /// The gateway's workers do not answer in time.
    Unresponsive = "unresponsive", 503;
    /// The gateway is shutting down.
    ShuttingDown = "shutting_down", 503;
    /// A defect or a failure of the machine; the log says more.
    Internal = "internal", 500;
    /// The caller is nobody that the daemon knows: no token, a wrong one, one that has expired or was revoked.
    Unauthenticated = "unauthenticated", 401;
    /// The caller may not do this.
    Forbidden = "forbidden", 403;
    /// The connector does not say that this container may use it.
    MayNotUse = "may_not_use", 403;
    /// The VPC's owner has not approved the connector.
    NotApproved = "not_approved", 409;
    /// Another connector has the external address.
    ExternalTaken = "external_taken", 409;
    /// The field cannot be changed; create another resource.
    ImmutableField = "immutable_field", 422;
    /// The resource has changed since the client looked.
    Changed = "changed", 412;
    /// A header has no usable value.
    InvalidHeader = "invalid_header", 400;
    /// The key was used for another request.
    KeyReused = "key_reused", 422;
    /// The request with this key is still under way, or what it created was deleted since.
    KeyDone = "key_done", 409;
    /// The revision is older than what is remembered; list again.
    RevisionTooOld = "revision_too_old", 410;
    /// More requests than the caller may make; try again later.
    TooManyRequests = "too_many_requests", 429;
    /// As many watches as there may be.
    TooManyWatches = "too_many_watches", 503;
    /// A number is out of its range, or does not go together with another.
    InvalidNumber = "invalid_number", 422;
    /// No runtime of this daemon has the name.
    UnknownRuntime = "unknown_runtime", 422;
    /// The handler's name cannot be one.
    InvalidHandler = "invalid_handler", 422;
    /// The function's own command cannot be one.
    InvalidCommand = "invalid_command", 422;
    /// An environment variable cannot be one, or is the runtime's own.
    InvalidEnvironment = "invalid_environment", 422;
    /// The code is no archive that can be used.
    InvalidCode = "invalid_code", 422;
    /// The code is longer than code may be, as an archive or unpacked.
    CodeTooLarge = "code_too_large", 413;
    /// The container serves a function, and is nobody's to change but the daemon's.
    Managed = "managed", 409;
    /// The daemon does not serve functions on this machine; its log says why.
    FunctionsUnavailable = "functions_unavailable", 503;
    /// The store cannot be written to: full, read-only or broken. What is running goes on.
    StoreUnavailable = "store_unavailable", 503;
    /// The handler raised, or reported an error; `function_error` is what it said.
    FunctionFailed = "function_failed", 502;
    /// The handler could not be loaded.
    FunctionNotLoaded = "function_not_loaded", 502;
    /// The function did not answer in time.
    FunctionTimedOut = "function_timed_out", 504;
    /// The function used more memory than it may.
    FunctionOutOfMemory = "function_out_of_memory", 502;
    /// The function's process ended before it answered.
    FunctionEnded = "function_ended", 502;
    /// The function's answer is longer than answers may be.
    AnswerTooLarge = "answer_too_large", 502;
    /// As many invocations as may run or wait; try again later.
    TooManyInvocations = "too_many_invocations", 429;
    /// No environment could be had in time.
    NoEnvironment = "no_environment", 503;
    /// The daemon ended while the function was running.
    Interrupted = "interrupted", 503;
}

/// Why a request was refused. Nothing changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Problem {
    code: Code,
    field: Option<String>,
    detail: String,
    more: Vec<Self>,
    dependents: Vec<String>,
}

impl Problem {
    /// A problem of the request as a whole. `detail` says what is wrong and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, field: None, detail: detail.into(), more: Vec::new(), dependents: Vec::new() }
    }

    /// Blames one field, by its dotted path, such as `uplink.mtu`.
    pub fn at(self, field: impl Into<String>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// One problem out of several: the first, which speaks for all of them. `None` if there is none.
    pub(crate) fn all(problems: Vec<Self>) -> Option<Self> {
        let mut flat = problems.into_iter().flat_map(|mut problem| {
            let more = std::mem::take(&mut problem.more);
            std::iter::once(problem).chain(more)
        });
        let mut first = flat.next()?;
        first.more = flat.collect();
        Some(first)
    }

    /// Names what depends on the resource, all of it.
    pub fn because_of(self, dependents: Vec<String>) -> Self {
        Self { dependents, ..self }
    }

    /// Everything that is wrong, this problem first.
    pub fn errors(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self).chain(&self.more)
    }

    /// What depends on the resource, if that is the problem.
    pub fn dependents(&self) -> &[String] {
        &self.dependents
    }

    /// For programs.
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The field to blame, if it is one.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
    }

    /// For people.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_words_with_an_error_status() {
        for &code in Code::ALL {
            assert!((400..600).contains(&code.status()), "{code}");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert_eq!(Code::ALL.iter().filter(|c| c.as_str() == code.as_str()).count(), 1, "{code}");
        }
    }
}

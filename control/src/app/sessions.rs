//! Live sessions, by the names of what they belong to.

use control_core::{Caller, Kind, Problem, Protocol, Resources, SessionFilter, SessionParams};
use gateway::{SessionQuery, SessionView};
use serde::Serialize;
use utoipa::ToSchema;

use super::call::named;
use super::{App, convert, failure};

/// Parts of the session table looked at for one request. A page is answered short rather than late.
const PARTS_PER_REQUEST: usize = 64;

/// A part of the session table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionPageView {
    items: Vec<SessionItem>,
    /// Where to go on; absent at the end. There can be more pages although this one is not full.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// One live session.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct SessionItem {
    container: String,
    connector: String,
    vpc: String,
    protocol: Protocol,
    /// The container's endpoint, such as `169.254.1.2:4000` or `[fd00::2]:4000`; for ICMP the query id stands for the port.
    #[schema(example = "169.254.1.2:4000")]
    internal: String,
    /// What the VPC sees.
    #[schema(example = "10.1.0.10:23144")]
    external: String,
    /// The peer in the VPC.
    #[schema(example = "10.1.0.1:80")]
    remote: String,
    /// Where it is in its life.
    #[schema(example = "established")]
    state: &'static str,
    /// Seconds since its first packet.
    age_s: f64,
    /// Seconds until it ends without further traffic.
    expires_in_s: f64,
}

impl App {
    /// One page of live sessions.
    pub(crate) async fn sessions(
        &self,
        caller: &Caller,
        params: SessionParams,
    ) -> Result<SessionPageView, Problem> {
        let filter = params.validate()?;
        let Some(mut query) = self.read(|resources| query(resources, caller, &filter))? else {
            return Ok(SessionPageView { items: Vec::new(), next_cursor: None });
        };
        let mut items = Vec::new();
        // The gateway answers part by part, to bound the pause of its workers, and a part can be empty.
        for _ in 0..PARTS_PER_REQUEST {
            query.limit = filter.limit - items.len();
            let page = self.gateway().sessions(query.clone()).await.map_err(failure::of_call)?;
            items.extend(self.read(|resources| seen(resources, caller, &page.sessions)));
            let Some(next) = page.next else { return Ok(SessionPageView { items, next_cursor: None }) };
            query.cursor = next;
            if items.len() >= filter.limit {
                break;
            }
        }
        Ok(SessionPageView { items, next_cursor: Some(SessionFilter::cursor_text(query.cursor)) })
    }
}

/// The gateway's query; `None` if what is asked for has no link yet and so no sessions.
fn query(
    resources: &Resources,
    caller: &Caller,
    filter: &SessionFilter,
) -> Result<Option<SessionQuery>, Problem> {
    let mut query = SessionQuery { cursor: filter.cursor, remote: filter.remote, ..SessionQuery::default() };
    query.protocol = filter.protocol.map(convert::protocol);
    if let Some(name) = &filter.container {
        let Some(link) = resources.container(&named(&caller.tenant, name, Kind::Container)?)?.life.link()
        else {
            return Ok(None);
        };
        query.attachment = Some(convert::attachment(link.attachment));
    }
    if let Some(name) = &filter.connector {
        query.connector =
            Some(convert::connector(resources.connector(&named(&caller.tenant, name, Kind::Connector)?)?.id));
    }
    if let Some(name) = &filter.vpc {
        let Some(link) = resources.vpc(&named(&caller.tenant, name, Kind::Vpc)?)?.life.link() else {
            return Ok(None);
        };
        query.uplink = Some(convert::uplink(link.uplink));
    }
    Ok(Some(query))
}

/// Sessions of the caller's containers. Those whose container or connector was deleted since have ended with it, and are left out.
fn seen(resources: &Resources, caller: &Caller, sessions: &[SessionView]) -> Vec<SessionItem> {
    sessions.iter().filter_map(|session| SessionItem::new(resources, caller, session)).collect()
}

impl SessionItem {
    /// `None` if something that the session belongs to was deleted since, or its container is another tenant's.
    pub(super) fn new(resources: &Resources, caller: &Caller, session: &SessionView) -> Option<Self> {
        let container = resources.container_of(control_core::AttachmentId(session.attachment.0))?;
        let connector = resources.connector_of(control_core::ConnectorId(session.connector.0))?;
        let vpc = resources.vpc_of(control_core::UplinkId(session.uplink.0))?;
        (container.tenant == caller.tenant).then(|| Self {
            container: container.name.to_string(),
            connector: connector.name.to_string(),
            vpc: vpc.seen_by(&caller.tenant),
            protocol: convert::protocol_back(session.protocol),
            internal: session.internal.to_string(),
            external: session.external.to_string(),
            remote: session.remote.to_string(),
            state: session.state.name(),
            age_s: session.age.as_secs_f64(),
            expires_in_s: session.expires_in.as_secs_f64(),
        })
    }
}

//! Which role each operation needs.

use crate::netns::Netns;
use crate::operations::all;
use crate::server::Api;

/// Answered to everybody.
const OPEN: [&str; 4] = ["healthz", "readyz", "docs", "openapi"];

fn needs(id: &str, changes_something: bool) -> &'static str {
    match id {
        _ if OPEN.contains(&id) => "nobody",
        "update_pool" => "local",
        _ if id.ends_with("_tenant") || id.ends_with("_tenants") => "local",
        _ if id.ends_with("_token") || id.ends_with("_tokens") || id == "list_audit" => "admin",
        _ if changes_something => "operator",
        _ => "reader",
    }
}

#[tokio::test]
async fn every_operation_asks_for_its_role() {
    let (netns, api) = (Netns::new(), Api::start().await);
    let ranks = ["nobody", "reader", "operator", "admin", "local"];
    let mut callers = vec![("nobody", None), ("local", None)];
    for role in ["reader", "operator", "admin"] {
        callers.push((role, Some(api.token("default", role, role).await)));
    }
    let rank = |role: &str| ranks.iter().position(|known| *known == role).unwrap();
    let operations = all();
    assert!(operations.len() > 30, "{}", operations.len());
    for operation in &operations {
        let needed = needs(&operation.id, operation.changes_something());
        for (role, secret) in &callers {
            let request = operation.request(&netns);
            let answer = match (*role, secret) {
                ("nobody", _) => api.ask_tcp(request).await,
                (_, None) => api.ask(request).await,
                (_, Some(secret)) => api.ask_tcp(request.bearing(secret)).await,
            };
            let told = format!("{} as {role}: {}", operation.id, answer.text);
            if rank(role) >= rank(needed) {
                assert!(![401, 403].contains(&answer.status), "{told}");
            } else if *role == "nobody" {
                assert_eq!(answer.status, 401, "{told}");
            } else {
                assert_eq!(answer.status, 403, "{told}");
            }
        }
    }
}

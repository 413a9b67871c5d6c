//! Operations of the OpenAPI document, with requests for each.

use serde_json::{Value, json};

use crate::netns::Netns;
use crate::server::{Ask, ask};

/// One operation of the document.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) path: String,
}

/// All there are.
pub(crate) fn all() -> Vec<Operation> {
    let document = serde_json::to_value(control::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, methods): (&String, &Value)| {
        let methods = methods.as_object().unwrap();
        let operation = |(method, operation): (&String, &Value)| Operation {
            id: operation["operationId"].as_str().unwrap().to_owned(),
            method: method.to_uppercase(),
            path: path.clone(),
        };
        methods.iter().map(operation).collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

impl Operation {
    pub(crate) fn changes_something(&self) -> bool {
        self.method != "GET" && self.id != "explain"
    }

    /// A request about VPC `v`, connector `k`, container `c`, function `f`, tenant `x` or token `t`; if it would change something, as a dry run.
    pub(crate) fn request(&self, netns: &Netns) -> Ask {
        let name = match self.path.split('/').nth(2) {
            Some("vpcs") => "v",
            Some("connectors") => "k",
            Some("containers") => "c",
            Some("functions") => "f",
            Some("tenants") => "x",
            Some("tokens") => "t",
            _ => "-",
        };
        let path = self.path.replace("{name}", name).replace("{container}", "c").replace("{connector}", "k");
        let path = path.replace("{version}", "1").replace("{runtime}", "python3");
        let query = if self.changes_something() { "?dry_run=true" } else { "" };
        let request = ask(&self.method, &format!("{path}{query}"));
        match &*self.id {
            "create_vpc" => request.json(&crate::netns::vpc("v9", netns)),
            "create_connector" => request.json(&json!({"name": "k9", "vpc": "v"})),
            "create_container" => request.json(&crate::netns::container("c9", netns)),
            "create_tenant" => request.json(&json!({"name": "x9"})),
            "create_token" => request.json(&json!({"name": "t9", "role": "reader"})),
            "create_function" => request.json(&crate::functions::function("f9")),
            "update_function" => request.json(&json!({"timeout_s": 7})),
            "update_pool" => request.json(&json!({"min_warm": 7})),
            "update_connector" => request.json(&json!({"linger_s": 7})),
            "explain" => request
                .json(&json!({"container": "c", "protocol": "tcp", "destination": "10.1.0.1", "port": 80})),
            _ => request,
        }
    }
}

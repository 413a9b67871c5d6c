//! A client that changes what is its own, and knows what was acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};

use hyper::Method;
use hyper::body::Bytes;
use netlab::Namespace;
use serde_json::{Value, json};
use tests::{Answer, Api, Random};

use crate::model::{Model, Operation};

/// One client.
#[derive(Debug)]
pub(crate) struct Client {
    number: usize,
    namespaces: Vec<String>,
    random: Random,
    /// What was acknowledged.
    model: Model,
    /// What was asked for when the daemon was killed: done or not.
    under_way: Option<Operation>,
    count: u32,
}

impl Client {
    /// A client with these namespaces for its containers.
    pub(crate) fn new(number: usize, namespaces: &[Namespace], seed: u64) -> Self {
        let namespaces = namespaces.iter().map(|namespace| namespace.name().to_owned()).collect();
        let (random, model) = (Random::new(seed), Model::default());
        Self { number, namespaces, random, model, under_way: None, count: 0 }
    }

    /// Changes things until the daemon does not answer any more.
    pub(crate) fn run(&mut self, api: &Api, over: &AtomicBool) {
        loop {
            let Ok(mut connection) = api.try_connect() else {
                // It has not begun yet, or was killed.
                if over.load(Ordering::SeqCst) {
                    return;
                }
                std::thread::yield_now();
                continue;
            };
            loop {
                let operation = self.model.choose(self.number, &mut self.random);
                let (method, path, body) = self.request(&operation);
                match connection.send(method, &path, body) {
                    Ok(answer) => self.acknowledged(&operation, &answer),
                    Err(_) => {
                        self.under_way = Some(operation);
                        return;
                    }
                }
            }
        }
    }

    fn acknowledged(&mut self, operation: &Operation, (status, body): &Answer) {
        if (200..300).contains(status) {
            self.model = self.model.after(operation);
            self.count += 1;
            return;
        }
        // Right after a start links are still being made; and what a connector rests from is not over at once.
        let code = body["code"].as_str().unwrap_or_default();
        let expected = ["not_ready", "shutting_down"].contains(&code);
        assert!(expected, "{operation:?} of {:?}: {status} {body}", self.model);
    }

    fn request(&self, operation: &Operation) -> (Method, String, Bytes) {
        let json = |body: Value| Bytes::from(body.to_string());
        let none = Bytes::new();
        match operation {
            Operation::AddConnector(name, number) => {
                let body = json!({"name": name, "vpc": "vpc", "linger_s": number, "destinations": [Self::prefix(name)]});
                (Method::POST, "/v1/connectors".into(), json(body))
            }
            Operation::UpdateConnector(name, number) => {
                (Method::PATCH, format!("/v1/connectors/{name}"), json(json!({"linger_s": number})))
            }
            Operation::DeleteConnector(name) => (Method::DELETE, format!("/v1/connectors/{name}"), none),
            Operation::AddContainer(name, place) => {
                let body = json!({"name": name, "netns": {"name": self.namespaces[*place]}});
                (Method::POST, "/v1/containers".into(), json(body))
            }
            Operation::DeleteContainer(name) => (Method::DELETE, format!("/v1/containers/{name}"), none),
            Operation::Attach(container, connector) => {
                (Method::PUT, format!("/v1/containers/{container}/connectors/{connector}"), none)
            }
            Operation::Detach(container, connector) => {
                (Method::DELETE, format!("/v1/containers/{container}/connectors/{connector}"), none)
            }
            Operation::AddToken(name) => {
                (Method::POST, "/v1/tokens".into(), json(json!({"name": name, "role": "reader"})))
            }
            Operation::DeleteToken(name) => (Method::DELETE, format!("/v1/tokens/{name}"), none),
        }
    }

    /// Each connector has a prefix of its own, so that no two of a container tie.
    fn prefix(connector: &str) -> String {
        let third: u32 = connector[1..].parse().expect("a number");
        format!("10.1.{third}.0/24")
    }

    /// Whether a change was under way at the kill.
    pub(crate) fn is_cut_short(&self) -> bool {
        self.under_way.is_some()
    }

    /// Acknowledged changes since the last call.
    pub(crate) fn take_count(&mut self) -> u32 {
        std::mem::take(&mut self.count)
    }

    /// Names of its containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        self.model.containers.keys().cloned().collect()
    }

    /// Whether the daemon has what was acknowledged, and what was under way whole or not at all. Takes over which.
    pub(crate) fn agrees(&mut self, api: &Api) -> Result<(), String> {
        let found = self.look(api)?;
        let after = self.under_way.as_ref().map(|operation| self.model.after(operation));
        if found != self.model && Some(&found) != after.as_ref() {
            let (model, under_way) = (&self.model, &self.under_way);
            return Err(format!("acknowledged: {model:?}\nunder way: {under_way:?}\nfound: {found:?}"));
        }
        (self.model, self.under_way) = (found, None);
        Ok(())
    }

    /// What the daemon has of this client's.
    fn look(&self, api: &Api) -> Result<Model, String> {
        let mut found = Model::default();
        let ours = |name: &str| name[1..].starts_with(&self.number.to_string());
        let name = |item: &Value| item["name"].as_str().expect("a name").to_owned();
        for item in items(api, "connectors").iter().filter(|item| ours(&name(item))) {
            found.connectors.insert(name(item), item["linger_s"].as_u64().expect("a number"));
        }
        for item in items(api, "containers").iter().filter(|item| ours(&name(item))) {
            if item["state"] != "ready" || item.get("attaching").is_some() {
                return Err(format!("not all taken up: {item}"));
            }
            let connectors = item["connectors"].as_array().expect("a list").iter();
            let connectors = connectors.map(|connector| connector.as_str().expect("a name").to_owned());
            found.containers.insert(name(item), connectors.collect());
        }
        found.tokens = items(api, "tokens").iter().map(name).filter(|name| ours(name)).collect();
        Ok(found)
    }

    /// Asks the gateway's engine which way the packets of each container would go.
    pub(crate) fn gateway_agrees(&self, api: &Api) {
        for (container, connectors) in &self.model.containers {
            for connector in self.model.connectors.keys() {
                let server = Self::prefix(connector).replace(".0/24", ".1");
                let probe =
                    json!({"container": container, "protocol": "tcp", "destination": server, "port": 80});
                let (status, explanation) = api.post("/v1/explain", &probe);
                assert_eq!(status, 200, "{explanation}");
                let routed = explanation["steps"][0]["connector"] == **connector;
                assert_eq!(routed, connectors.contains(connector), "{container} {connector}: {explanation}");
            }
        }
    }
}

fn items(api: &Api, collection: &str) -> Vec<Value> {
    let (status, body) = api.get(&format!("/v1/{collection}"));
    assert_eq!(status, 200, "{body}");
    body["items"].as_array().expect("items").clone()
}

//! `wharf tenant`: those whom resources belong to.

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::mutation::Creation;
use super::resource::{self, Name, Names, Resource, set};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::{Format, Table, cell};

const ADD_EXAMPLES: &str = "\
Examples:
  wharf tenant add acme
  wharf tenant add acme --netns-prefix acme-
  wharf --tenant acme token add boss --role admin > acme.token";

/// Subcommands of `wharf tenant`. For root at the daemon.
#[derive(Debug, Subcommand)]
pub(super) enum Tenant {
    /// Add a tenant
    #[command(after_help = ADD_EXAMPLES)]
    Add(Add),
    /// List tenants
    #[command(after_help = "Example:\n  wharf tenant list")]
    List,
    /// Show one tenant
    #[command(after_help = "Example:\n  wharf tenant show acme")]
    Show(Name),
    /// Delete tenants and their tokens; their other resources have to go first
    #[command(after_help = "Example:\n  wharf tenant delete acme")]
    Delete(Names),
}

/// A tenant to be added.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// Its tokens may name the namespaces of `ip netns` whose names begin so, \"\" for all there are; none unless set
    #[arg(long, value_name = "PREFIX")]
    netns_prefix: Option<String>,
    #[command(flatten)]
    creation: Creation,
}

impl Tenant {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body(), &add.creation).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> Value {
        let mut body = json!({ "name": self.name });
        set(&mut body, "netns_prefix", self.netns_prefix.as_ref());
        body
    }
}

/// A tenant as the API shows it.
#[derive(Deserialize)]
struct Shown {
    name: String,
    netns_prefix: Option<String>,
    revision: u64,
}

impl Shown {
    /// Which namespaces its tokens may name.
    fn namespaces(&self) -> String {
        match self.netns_prefix.as_deref() {
            None => "-".to_owned(),
            Some("") => "all".to_owned(),
            Some(prefix) => format!("{prefix}*"),
        }
    }
}

impl Resource for Shown {
    const KIND: &'static str = "tenant";
    const PATH: &'static str = "/v1/tenants";

    fn table(items: &[Self]) -> Table {
        let mut table = Table::new(["NAME", "NAMESPACES"]);
        for tenant in items {
            table.row([cell(&tenant.name), cell(tenant.namespaces())]);
        }
        table
    }

    fn properties(&self) -> Table {
        let mut table = Table::properties();
        table
            .property("name", &self.name)
            .property("namespaces", self.namespaces())
            .property("revision", self.revision);
        table
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn summary(&self) -> String {
        match &*self.namespaces() {
            "-" => "its tokens may name no namespaces".to_owned(),
            namespaces => format!("its tokens may name these namespaces: {namespaces}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_is_told_from_an_empty_one() {
        for (prefix, said) in [(None, "-"), (Some(""), "all"), (Some("acme-"), "acme-*")] {
            let tenant = Shown { name: "acme".into(), netns_prefix: prefix.map(Into::into), revision: 1 };
            assert_eq!(tenant.namespaces(), said);
        }
    }
}

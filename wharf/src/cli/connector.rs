//! `wharf connector`: the named permissions that join containers to VPCs.

mod policy;
mod publication;
mod rate;
mod rule;
mod shown;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

pub(super) use self::shown::Shown;

use self::policy::{Field, Policy};
use super::mutation::{Creation, Mutation};
use super::resource::{self, Name, Names};
use crate::client::Client;
use crate::failure::Failure;
use crate::output::Format;

const ADD_EXAMPLES: &str = "\
Examples:
  Everything in the VPC's own prefix:
    wharf connector add orders --vpc orders
  One server and one subnet:
    wharf connector add orders-db --vpc orders \\
        --destination 10.1.0.1/32 --destination 10.1.7.0/24
  Everything routable, by the VPC's next hop; with IPv6 add ::/0:
    wharf connector add internet --vpc edge --destination 0.0.0.0/0
  Only the web and pings, and of the web not one server; what no rule matches is denied:
    wharf connector add web --vpc dual --rule deny:10.1.0.5/32 --rule allow:icmp \\
        --rule allow:tcp:10.1.0.0/24:80-90 --rule 'allow:tcp:[fd00::/64]:443'
  At most 100 Mbit and 10,000 packets a second each way, and 50 new sessions:
    wharf connector add slow --vpc edge --bits-per-second 100M --packets-per-second 10k \\
        --sessions-per-second 50
  For some containers alone, which appear as an address of their own and are told of a DNS server:
    wharf connector add jobs --vpc orders --user cron,job-* --external-address 10.1.0.20 \\
        --dns-server 10.1.0.53
  For functions alone, those whose names begin so:
    wharf connector add billing-db --vpc orders --function billing-*
  Another tenant's VPC, whose owner then says `wharf approve shared TENANT/orders`:
    wharf connector add orders --vpc acme/shared
  At most 2000 external ports for all containers, and 100 for each:
    wharf connector add jobs --vpc edge --port-quota 2000 --port-quota-per-container 100
  A server in a container: port 80 of the VPC's address leads to its port 8080, for callers
  inside the destinations:
    wharf connector add web --vpc orders --publish tcp:80:8080
  The same with the address to publish, of either family:
    wharf connector add web --vpc dual --publish tcp:10.1.0.10:80:8080 \\
        --publish 'tcp:[fd00::10]:80:8080'
  Routed: the VPC sees the container's own address, which has to be one of `container add`'s
  --address, and has a route to it by the gateway (`ip route add 10.9.0.5 via 10.1.0.10`):
    wharf connector add plain --vpc orders --no-translation";

const SET_EXAMPLES: &str = "\
Examples:
  From now on only the web; whatever else lives has ended when this returns:
    wharf connector set orders --rule allow:tcp:80 --rule allow:tcp:443
  Without rules again, and slower:
    wharf connector set orders --clear rule --bits-per-second 10M
  With translation again:
    wharf connector set plain --clear no-translation
  Only if nobody has changed it since it was looked at:
    wharf connector set orders --if-match 42 --port-quota 100
A list that is given replaces the one that was there. 42 is `revision` of `wharf connector show`.";

/// Subcommands of `wharf connector`.
#[derive(Debug, Subcommand)]
pub(super) enum Connector {
    /// Add a connector to a VPC
    #[command(after_help = ADD_EXAMPLES)]
    Add(Box<Add>),
    /// Change a connector's policy, for what lives too
    #[command(after_help = SET_EXAMPLES)]
    Set(Box<Set>),
    /// List connectors
    #[command(after_help = "Example:\n  wharf connector list")]
    List,
    /// Show one connector
    #[command(after_help = "Example:\n  wharf connector show orders-db")]
    Show(Name),
    /// Delete connectors; containers have to be detached first
    #[command(after_help = "Example:\n  wharf connector delete orders-db")]
    Delete(Names),
}

/// A connector to be added.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// Its name: letters a-z, digits and dashes
    name: String,
    /// The VPC that it leads to; TENANT/NAME for another tenant's, which has to approve
    #[arg(long, value_name = "[TENANT/]NAME")]
    vpc: String,
    #[command(flatten)]
    policy: Policy,
    #[command(flatten)]
    creation: Creation,
}

/// A connector to be changed.
#[derive(Debug, Args)]
pub(super) struct Set {
    /// Its name
    #[arg(value_parser = clap::builder::NonEmptyStringValueParser::new())]
    name: String,
    #[command(flatten)]
    policy: Policy,
    /// Flag whose effect is taken back, such as rule. Can be given several times
    #[arg(long, value_enum, value_name = "FLAG", value_delimiter = ',')]
    clear: Vec<Field>,
    /// Only if this is its revision; the one that it has now unless set
    #[arg(long, value_name = "REVISION")]
    if_match: Option<u64>,
    #[command(flatten)]
    mutation: Mutation,
}

impl Connector {
    pub(super) async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        match self {
            Self::Add(add) => resource::add::<Shown>(client, format, &add.body(), &add.creation).await,
            Self::Set(set) => set.run(client, format).await,
            Self::List => resource::list::<Shown>(client, format).await,
            Self::Show(name) => resource::show::<Shown>(client, format, &name).await,
            Self::Delete(names) => resource::delete::<Shown>(client, format, &names).await,
        }
    }
}

impl Add {
    fn body(&self) -> Value {
        let mut body = json!({ "name": self.name, "vpc": self.vpc });
        self.policy.write(&mut body);
        body
    }
}

impl Set {
    async fn run(self, client: &mut Client, format: Format) -> Result<(), Failure> {
        let (new, run) = (self.patch()?, self.mutation.run());
        let path = resource::path::<Shown>(&self.name);
        let etag = match self.if_match {
            Some(revision) => Some(format!("\"{revision}\"")),
            None => client.etag(&path).await?,
        };
        let changed = client.change(&path, &new, etag.as_deref(), run).await?;
        resource::tell::<Shown>(changed, format, run, "changed")
    }

    fn patch(&self) -> Result<Value, Failure> {
        let mut patch = json!({});
        self.policy.write(&mut patch);
        for field in &self.clear {
            if !field.clear(&mut patch) {
                return Err(Failure::usage("what is set cannot be cleared as well"));
            }
        }
        if patch == json!({}) {
            return Err(Failure::usage("there is nothing to change")
                .hint("`wharf connector set --help` shows what can be"));
        }
        Ok(patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_is_left_to_the_daemon() {
        assert_eq!(body(""), json!({"name": "k", "vpc": "v"}));
        let all = "--mapping address_dependent --filtering endpoint_independent --udp-filtering address_dependent \
            --udp-refresh both --port-quota 9 --port-quota-per-container 3 --on-detach silent --publish tcp:80,udp:53 \
            --user web-*,cron --rule allow:udp:53,deny --bits-per-second 100M --packets-per-second 10k \
            --sessions-per-second 5 --external-address 10.1.0.20 --dns-server 10.1.0.53 --linger 0";
        let expected = json!({
            "name": "k", "vpc": "v", "mapping": "address_dependent", "filtering": "endpoint_independent",
            "udp_filtering": "address_dependent", "udp_refresh": "both", "port_quota": 9, "port_quota_per_container": 3,
            "on_detach": "silent", "publications": [
                {"protocol": "tcp", "external_port": 80}, {"protocol": "udp", "external_port": 53},
            ],
            "users": ["web-*", "cron"], "rules": [
                {"action": "allow", "protocol": "udp", "ports": {"first": 53, "last": 53}}, {"action": "deny"},
            ],
            "rate_limits": {
                "bits_per_second": 100_000_000, "packets_per_second": 10_000, "sessions_per_second": 5,
            },
            "external_addresses": ["10.1.0.20"], "dns_servers": ["10.1.0.53"], "linger_s": 0,
        });
        assert_eq!(body(all), expected);
        assert_eq!(body("--no-translation")["translation"], false);
    }

    #[test]
    fn a_patch_sets_and_clears() {
        let patch =
            patch("--rule allow:icmp --clear mapping,bits-per-second --packets-per-second 1k").unwrap();
        let expected = json!({
            "rules": [{"action": "allow", "protocol": "icmp"}], "mapping": null,
            "rate_limits": {"packets_per_second": 1_000, "bits_per_second": null},
        });
        assert_eq!(patch, expected);
    }

    #[test]
    fn everything_that_can_be_set_can_be_cleared() {
        use clap::ValueEnum;
        for field in Field::value_variants() {
            let name = field.to_possible_value().unwrap();
            let cleared = patch(&format!("--clear {}", name.get_name())).unwrap();
            assert_eq!(cleared.as_object().unwrap().len(), 1, "{field:?}");
        }
        let flags = [
            "--user a",
            "--function a",
            "--destination a",
            "--rule deny",
            "--packets-per-second 1",
            "--bits-per-second 1",
            "--sessions-per-second 1",
            "--external-address a",
            "--dns-server a",
            "--linger 1",
            "--mapping address_dependent",
            "--filtering address_dependent",
            "--udp-filtering address_dependent",
            "--udp-refresh both",
            "--no-translation",
            "--port-quota 1",
            "--port-quota-per-container 1",
            "--on-detach reset",
            "--publish tcp:1",
        ];
        assert_eq!(flags.len(), Field::value_variants().len());
        for flag in flags {
            let name = flag.split(' ').next().unwrap().trim_start_matches('-');
            let contradiction = patch(&format!("{flag} --clear {name}")).unwrap_err();
            assert_eq!(contradiction.exit(), crate::failure::Exit::Usage, "{flag}");
        }
    }

    #[test]
    fn a_patch_of_nothing_is_a_usage_error() {
        assert_eq!(patch("").unwrap_err().exit(), crate::failure::Exit::Usage);
    }

    /// Of a connector with these flags.
    fn body(flags: &str) -> Value {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            add: Add,
        }
        let line = format!("add k --vpc v {flags}");
        let command: Command = clap::Parser::try_parse_from(line.split_whitespace()).unwrap();
        command.add.body()
    }

    /// Of a change with these flags.
    fn patch(flags: &str) -> Result<Value, Failure> {
        #[derive(clap::Parser)]
        struct Command {
            #[command(flatten)]
            set: Set,
        }
        let line = format!("set k {flags}");
        let command: Command = clap::Parser::try_parse_from(line.split_whitespace()).unwrap();
        command.set.patch()
    }
}

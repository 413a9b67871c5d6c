//! The command line as a whole.

use clap::{CommandFactory, Parser};

use super::*;
use crate::client::{Target, Trust};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("wharf").chain(line.split_whitespace()))
}

#[test]
fn clap_finds_no_contradiction() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_that_takes_something_has_an_example() {
    let mut pending: Vec<_> = Cli::command().get_subcommands().cloned().collect();
    while let Some(command) = pending.pop() {
        if command.has_subcommands() {
            pending.extend(command.get_subcommands().cloned());
            continue;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        assert!(help.contains("wharf "), "wharf {} --help shows no example", command.get_name());
    }
}

#[test]
fn documented_examples_parse() {
    let lines = [
        "serve --workers 64",
        "serve --spin 0",
        "serve --spin 1000",
        "serve --config /etc/wharf.toml --listen 127.0.0.1:8080 --workers 2 --log info,gateway=debug --log-format json --socket-mode 0600",
        "vpc add orders --cidr 10.1.0.0/16 --external 10.1.0.10,10.1.0.11 --uplink tap --netns pid:1 --device wharf0 --address 10.1.0.1/16",
        "vpc add b --cidr 10.0.0.0/8 --on-link 10.2.0.0/16 --next-hop 10.2.0.1 --external 10.2.0.10 --uplink packet --device eth1 --ports 1024-2048",
        "vpc add dual --cidr 10.1.0.0/16 --cidr6 fd00::/64 --external 10.1.0.10,fd00::10 --on-link6 fd00::/64 --next-hop6 fe80::1 --uplink tap --device wharf0 --address 10.1.0.1/16 --address6 fd00::1/64",
        "vpc add v6 --cidr6 fd00::/64 --external fd00::10 --external fd00::11 --uplink packet --device eth1 --exclude-ports 8000-8100 --exclude-ports 9000-9000 --port-blocks --unsolicited-syn silent",
        "vpc delete orders billing",
        "vpc delete orders --dry-run",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet --device w --reserved-address 10.1.0.20,10.1.0.21 --approval manual --dry-run",
        "vpc connectors orders",
        "approve orders acme/web",
        "revoke orders web --dry-run",
        "connector add k --vpc acme/shared --user web-*,cron --external-address 10.1.0.20 --dns-server 10.1.0.53 --linger 0",
        "connector add k --vpc o --rule allow:tcp:10.1.0.0/24:80-90 --rule allow:[fd00::/64]:443,deny --bits-per-second 100M --packets-per-second 10k --sessions-per-second 50",
        "connector add k --vpc o --idempotency-key k-1 --dry-run",
        "connector set k --rule allow:tcp:80 --clear mapping,bits-per-second --if-match 42 --dry-run",
        "tenant add acme --netns-prefix acme-",
        "tenant delete acme",
        "--tenant acme token add boss --role admin",
        "token add ci --role operator --expires-in 90days",
        "token list",
        "audit --limit 1000 --before 4711",
        "watch connectors --since 4711",
        "metrics",
        "connector add k --vpc orders --destination 10.1.0.1/32 --destination 10.1.7.0/24",
        "connector add k --vpc orders --mapping address_dependent --udp-filtering endpoint_independent --udp-refresh both --port-quota 2000 --port-quota-per-container 100 --on-detach silent --publish tcp:80 --publish udp:[fd00::10]:53:5353",
        "connector add k --vpc orders --no-translation --destination 0.0.0.0/0,::/0",
        "container add c1 --netns c1 --address6 fd00::2 --gateway6 fe80::9",
        "container add c1 --netns c1 --device eth0 --address 10.1.0.5 --gateway 10.1.0.254 --mac 02:00:00:00:00:01 --mtu 1400",
        "connector add k --vpc o --function billing-*,users --user c1",
        "connector set k --clear function",
        "function deploy ./users --name users --runtime python3 --handler handler.handler --env A=b=c --env C= --connector k,l --timeout 10 --memory 256 --concurrency 5 --keep-alive 60",
        "function deploy server --command /var/task/server --command --quiet --clear env,handler --dry-run --idempotency-key k-1",
        "function list -o json",
        "function show users",
        "function versions users",
        "function delete-version users 3 --dry-run",
        "function delete users thumbs",
        "pool list",
        "pool show python3",
        "pool set python3 --min 20 --max 100 --refill 10 --memory 2048 --if-match 7 --dry-run",
        "watch functions",
        "attach c1 k",
        "function invoke users",
        "function invoke users --event {} --version 3 --timing",
        "function invoke users --event @event.json --dry-run",
        "function invoke users --event - --async --wait --timing --idempotency-key k-1",
        "function logs users -f --tail 10",
        "function trace users",
        "function trace users 019aa7c2-6f0e-7a52-8c1d-0d5e6f7a8b9c -o json",
        "function invocations users --limit 1000",
        "environment list",
        "environment show 7",
        "environment delete 7 8 --dry-run",
        "detach c1 k -o json",
        "sessions --container c1 --connector k --vpc orders --protocol icmp --remote 10.1.0.1 --limit 5 --watch --interval 0.5",
        "explain c1 10.1.0.1:53 --protocol udp --source-port 4000",
        "explain c1 [fd00::1]:80",
        "sessions --remote fd00::1",
        "explain c1 --drops",
        "--api http://127.0.0.1:8080 stats",
        "--api https://wharf.example:8443/ --ca ca.pem --token-file ci.token stats",
        "--api https://[fd00::1]:8443 --ca ca.pem --cert me.pem --key me.key stats",
        "vpc list --socket /tmp/w.sock --color never",
        "serve --state none",
        "serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem --tls-client-ca clients.pem",
        "serve --state /var/lib/wharf",
        "store export",
        "store export --state /srv/wharf backup.jsonl -o json",
        "store import --replace --state /srv/wharf -",
        "completions zsh",
        "openapi",
    ];
    for line in lines {
        if let Err(e) = parse(line) {
            panic!("{line}: {e}");
        }
    }
}

#[test]
fn nonsense_is_a_usage_error() {
    let lines = [
        "vpc add orders",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink tap --device w --address 10.1.0.1/16 --bridge br0",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink wire --device w",
        "vpc add o --external 10.1.0.10 --uplink packet --device w",
        "vpc add o --cidr6 fd00::/64 --external fd00::10 --uplink tap --device w --address6 fd00::1/64 --bridge br0",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet --device w --exclude-ports 8000-",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet --device w --unsolicited-syn rst",
        "vpc delete",
        "connector add k --vpc o --mapping eim",
        "connector add k --vpc o --udp-refresh inbound",
        "connector add k --vpc o --publish 80",
        "container add c1 --netns c1 --gateway6 fe80::1",
        "function deploy",
        "function deploy . --env A",
        "function deploy . --env =b",
        "function deploy . --timeout soon",
        "function deploy . --clear runtime",
        "function delete-version users latest",
        "function delete",
        "pool set",
        "pool set python3 --min -1",
        "container add c1 --netns pid:0",
        "explain c1",
        "function invoke",
        "function invoke users --wait",
        "function invoke users --idempotency-key k",
        "function invoke users --version 0",
        "function invoke users --async --wait --dry-run",
        "function logs users --tail 0",
        "function invocations users --limit 1001",
        "environment delete",
        "explain c1 10.1.0.1:80 --drops",
        "sessions --interval 2",
        "sessions --limit 0",
        "serve --listen localhost:8080",
        "serve --workers 0",
        "serve --workers 65",
        "serve --workers two",
        "serve --spin 1001",
        "serve --spin -1",
        "serve --spin some",
        "serve --state some",
        "store",
        "store export --state some",
        "store export --replace",
        "store import a b",
        "--api http://10.0.0.1:80 stats",
        "--api https://127.0.0.1 stats",
        "--api https://fd00::1:80 --ca ca.pem stats",
        "--api https://wharf.example:8443 --ca ca.pem --cert me.pem stats",
        "--api ftp://127.0.0.1:80 stats",
        "connector add k --vpc o --rule allow:80:tcp",
        "connector add k --vpc o --bits-per-second 1.5M",
        "connector add k --vpc o --idempotency-key",
        "connector set k --clear vpc",
        "connector list --dry-run",
        "vpc add o --cidr 10.1.0.0/16 --external 10.1.0.10 --uplink packet --device w --approval maybe",
        "approve orders",
        "token add ci",
        "token add ci --role root",
        "token add ci --role reader --secret s",
        "audit --limit 1001",
        "watch tenants",
    ];
    for line in lines {
        assert_eq!(parse(line).expect_err(line).exit_code(), Exit::Usage as i32, "{line}");
    }
}

#[test]
fn namespaces_have_three_forms() {
    use super::netns::Netns;
    let cases = [
        ("vpc-orders", r#"{"name":"vpc-orders"}"#),
        ("/run/netns/x", r#"{"path":"/run/netns/x"}"#),
        ("pid:123", r#"{"pid":123}"#),
    ];
    for (text, body) in cases {
        let netns: Netns = text.parse().expect(text);
        assert_eq!(serde_json::to_string(&netns).unwrap(), body);
        assert_eq!(netns.to_string(), text);
    }
    for wrong in ["", ".", "..", "run/netns/x", "pid:", "pid:0", "pid:-1", "pid:x"] {
        assert!(wrong.parse::<Netns>().is_err(), "{wrong}");
    }
}

#[test]
fn the_daemon_is_found_by_flag_or_default() {
    let target = |line: &str| parse(line).unwrap().global.target();
    assert_eq!(target("stats --socket /tmp/w.sock").unwrap(), Target::Unix("/tmp/w.sock".into()));
    let tcp = Target::Tcp("127.0.0.1:80".parse().unwrap());
    assert_eq!(target("stats --api http://127.0.0.1:80").unwrap(), tcp);
    assert_eq!(target("stats --api http://localhost:80/ --socket /tmp/w.sock").unwrap(), tcp);
    let tls = target("stats --api https://wharf.example:8443 --ca ca.pem").unwrap();
    let trust = Trust { ca: "ca.pem".into(), own: None };
    assert_eq!(tls, Target::Tls("wharf.example:8443".parse().unwrap(), trust.into()));
    for wrong in [
        "stats --api https://wharf.example:8443",
        "stats --ca ca.pem",
        "stats --ca ca.pem --api http://127.0.0.1:80",
    ] {
        assert_eq!(target(wrong).unwrap_err().exit(), Exit::Usage, "{wrong}");
    }
}

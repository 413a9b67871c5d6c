//! Changes in memory and on a medium that fails when it is told to.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use control_core::{Change, FullName, Name, NewTenant, Token};

use super::*;
use crate::medium::{Medium, Table, Write};

/// A medium whose content outlives the registry, and which can be full.
#[derive(Clone, Default)]
struct Disk(Arc<(Mutex<Content>, AtomicBool)>);

/// Values of entries.
type Content = BTreeMap<(Table, String), Vec<u8>>;

impl Disk {
    fn set_full(&self, full: bool) {
        self.0.1.store(full, Ordering::SeqCst);
    }

    fn keys(&self, table: Table) -> Vec<String> {
        self.load(table).unwrap().into_iter().map(|(key, _)| key).collect()
    }
}

impl Medium for Disk {
    fn load(&self, table: Table) -> Result<Vec<(String, Vec<u8>)>, MediumError> {
        let all = self.0.0.lock().unwrap();
        let of_table = all.iter().filter(|((of, _), _)| *of == table);
        Ok(of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect())
    }

    fn write(&self, writes: &[Write]) -> Result<(), MediumError> {
        if self.0.1.load(Ordering::SeqCst) {
            return Err(MediumError::Full { path: PathBuf::from("/disk") });
        }
        let mut all = self.0.0.lock().unwrap();
        for Write { table, key, value } in writes {
            match value {
                Some(value) => _ = all.insert((*table, key.clone()), value.clone()),
                None => _ = all.remove(&(*table, key.clone())),
            }
        }
        Ok(())
    }
}

fn name(text: &str) -> Name {
    Name::parse("name", text.into()).unwrap()
}

fn open(disk: &Disk) -> Registry {
    Registry::open(Box::new(disk.clone())).unwrap()
}

fn add_tenant(tenant: &str) -> Request {
    let new = NewTenant { name: tenant.into(), netns_prefix: None };
    Request::of(Change::AddTenant(new.validate().unwrap()))
}

fn audited(tenant: &str) -> Request {
    let entry = Entry {
        at_ms: 1,
        principal: "uid:0".into(),
        tenant: "default".into(),
        action: "create_tenant".into(),
        target: tenant.into(),
        request: "1".into(),
    };
    Request { audit: Some(entry), ..add_tenant(tenant) }
}

fn add_vpc(vpc: &str) -> Request {
    let uplink = serde_json::json!({ "kind": "packet", "device": "eth1" });
    let new = serde_json::json!({
        "name": vpc, "cidr": "10.1.0.0/16", "external_addresses": ["10.1.0.10"], "uplink": uplink,
    });
    let new: control_core::NewVpc = serde_json::from_value(new).unwrap();
    Request::of(Change::ReserveVpc { tenant: name("default"), spec: new.validate().unwrap() })
}

#[tokio::test]
async fn what_is_acknowledged_is_there_after_a_restart() {
    let disk = Disk::default();
    let registry = open(&disk);
    let first = registry.commit(audited("acme")).await.unwrap();
    let token =
        Token { role: control_core::Role::Reader, hash: "00".into(), created_at: 1, expires_at: None };
    let token_name = FullName::new(&name("acme"), &name("t"));
    registry.commit(Request::of(Change::AddToken { name: token_name.clone(), token })).await.unwrap();
    registry.commit(add_vpc("v")).await.unwrap();
    drop(registry);

    let registry = open(&disk);
    let stamp = registry.read().stamp(Kind::Tenant, &FullName::new(&name("acme"), &name("acme")));
    assert_eq!(stamp.asked, first, "its ETag is the same");
    assert!(registry.read().token(&token_name).is_ok());
    assert!(registry.read().vpc(&FullName::new(&name("default"), &name("v"))).is_ok());
    assert_eq!(registry.audit(&name("default"), None, 9).len(), 1);
    let next = registry.commit(add_tenant("later")).await.unwrap();
    assert!(next > first + 2, "no revision is given out twice");
}

#[tokio::test]
async fn what_cannot_be_written_is_taken_back_and_refused_and_later_writes_work() {
    let disk = Disk::default();
    let registry = open(&disk);
    registry.commit(add_tenant("before")).await.unwrap();
    let seen = registry.changes().latest();
    disk.set_full(true);
    for _ in 0..2 {
        let error = registry.commit(audited("lost")).await.unwrap_err();
        assert!(matches!(error, CommitError::Medium(_)), "{error}");
        assert_eq!(Problem::from(error).code(), Code::StoreUnavailable);
    }
    let error = registry.commit(add_vpc("lost")).await.unwrap_err();
    assert!(matches!(error, CommitError::Medium(_)), "{error}");
    assert!(registry.is_failing());
    assert!(registry.read().tenant(&name("lost")).is_err() && registry.read().vpcs().next().is_none());
    assert_eq!(registry.changes().latest(), seen, "nobody heard of it");
    assert!(registry.audit(&name("default"), None, 9).is_empty());

    // What only a running daemon knows needs no disk.
    let gone = Request::of(Change::UplinkGone(control_core::UplinkId(1)));
    registry.commit(gone).await.unwrap();
    // Not even right after a start.
    drop(registry);
    let registry = open(&disk);
    registry.commit(Request::of(Change::UplinkGone(control_core::UplinkId(1)))).await.unwrap();
    disk.set_full(false);
    registry.commit(add_vpc("found")).await.unwrap();
    assert!(!registry.is_failing());
    drop(registry);
    let kept = disk.keys(Table::Records);
    assert_eq!(kept, ["tenant/before/before", "vpc/default/found"]);
}

#[tokio::test]
async fn many_changes_at_once_are_each_whole_and_in_order() {
    let disk = Disk::default();
    let registry = Arc::new(open(&disk));
    let mut commits = tokio::task::JoinSet::new();
    for i in 0..500 {
        let registry = Arc::clone(&registry);
        // Half of them twice: one of each two is refused.
        commits.spawn(async move { registry.commit(add_tenant(&format!("t{}", i % 250))).await.is_ok() });
    }
    let done = commits.join_all().await.into_iter().filter(|&ok| ok).count();
    assert_eq!(done, 250);
    assert_eq!(disk.keys(Table::Records).len(), 250);
}

#[tokio::test]
async fn a_look_ahead_leaves_nothing() {
    let registry = open(&Disk::default());
    let tenants = |resources: &Resources| resources.tenants_after(None).count();
    let Change::AddTenant(tenant) = add_tenant("acme").change else { unreachable!() };
    assert_eq!(registry.try_out(Change::AddTenant(tenant), None, tenants).unwrap(), 2);
    assert_eq!(tenants(&registry.read()), 1);
    let refused = registry.try_out(Change::RemoveTenant(name("none")), None, tenants);
    assert!(matches!(refused, Err(CommitError::Refused(_))));
}

#[tokio::test]
async fn one_of_two_writers_is_told_that_it_is_late() {
    let registry = open(&Disk::default());
    let (tenant, kind) = (FullName::new(&name("acme"), &name("acme")), Kind::Tenant);
    let revision = registry.commit(add_tenant("acme")).await.unwrap();
    let remove = |revision| Request {
        expected: Some(Expected { kind, name: tenant.clone(), revision }),
        ..Request::of(Change::RemoveTenant(name("acme")))
    };
    let late = registry.commit(remove(revision - 1)).await.unwrap_err();
    assert!(matches!(late, CommitError::Changed { found, .. } if found == revision));
    registry.commit(remove(revision)).await.unwrap();
}

#[tokio::test]
async fn a_key_is_good_for_one_request_until_that_fails() {
    let (disk, key) = (Disk::default(), ReplayKey::new(&name("default"), "k"));
    let registry = open(&disk);
    let replay = || Replay {
        at_s: 10,
        fingerprint: "f".into(),
        kind: "tenant".into(),
        tenant: "default".into(),
        name: "acme".into(),
    };
    let keep = |tenant| Request { replay: Some(Memory::Keep(key.clone(), replay())), ..add_tenant(tenant) };
    registry.commit(keep("acme")).await.unwrap();
    assert_eq!(registry.replay(&key, 11), Some(replay()));
    assert!(matches!(registry.commit(keep("other")).await, Err(CommitError::Repeated)));
    drop(registry);
    let registry = open(&disk);
    assert_eq!(registry.replay(&key, 11), Some(replay()), "it is kept over a restart");
    let forget = Request { replay: Some(Memory::Forget(key.clone())), ..add_tenant("next") };
    registry.commit(forget).await.unwrap();
    registry.commit(keep("third")).await.unwrap();
}

#[tokio::test]
async fn watchers_go_on_over_a_restart() {
    let disk = Disk::default();
    let registry = open(&disk);
    let start = registry.changes().latest();
    let first = registry.commit(add_vpc("a")).await.unwrap();
    registry.commit(add_vpc("b")).await.unwrap();
    drop(registry);
    let registry = open(&disk);
    let (events, _) = registry.changes().after(first, 9).unwrap();
    assert_eq!(events.iter().map(|event| event.name.name.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(registry.changes().after(start.wrapping_sub(1), 9), Err(TooOld));
}

#[tokio::test]
async fn a_change_that_touches_very_many_is_kept_whole() {
    const CONTAINERS: u32 = 5_000;
    let disk = Disk::default();
    let registry = open(&disk);
    let tenant = name("default");
    let mac = control_core::MacAddr([2; 6]);
    registry.commit(add_vpc("v")).await.unwrap();
    let link = control_core::VpcLink { uplink: control_core::UplinkId(1), mac, mtu: 1_500, offloads: vec![] };
    let vpc = FullName::new(&tenant, &name("v"));
    registry.commit(Request::of(Change::VpcReady { vpc, link })).await.unwrap();
    let new: control_core::NewConnector =
        serde_json::from_value(serde_json::json!({"name": "k", "vpc": "v"})).unwrap();
    let spec = new.validate().unwrap();
    registry.commit(Request::of(Change::AddConnector { tenant: tenant.clone(), spec })).await.unwrap();
    for i in 0..CONTAINERS {
        let new = serde_json::json!({"name": format!("c{i}"), "netns": {"name": "n"}});
        let new: control_core::NewContainer = serde_json::from_value(new).unwrap();
        let spec = new.validate().unwrap();
        let container = FullName::new(&tenant, &spec.name);
        let attachment = control_core::AttachmentId(i);
        let link = control_core::ContainerLink { attachment, mac, worker: 0, offloads: vec![] };
        let changes = [
            Change::ReserveContainer { tenant: tenant.clone(), spec },
            Change::ContainerReady { container: container.clone(), link, origin: None },
            Change::Attach { container, connector: name("k") },
        ];
        for change in changes {
            registry.commit(Request::of(change)).await.unwrap();
        }
    }
    let before = registry.changes().latest();
    let revoke = Change::RevokeConnector(FullName::new(&tenant, &name("k")));
    let revision = registry.commit(Request::of(revoke)).await.unwrap();
    let longest = disk.load(Table::Changes).unwrap().into_iter().map(|(_, value)| value.len()).max();
    assert!(longest.is_some_and(|longest| longest < crate::medium::VALUE_BYTES), "{longest:?}");
    drop(registry);
    let registry = open(&disk);
    let (events, _) = registry.changes().after(before, usize::MAX).unwrap();
    let touched = events.iter().filter(|event| event.revision == revision).count();
    assert_eq!(touched, CONTAINERS as usize + 1);
}

/// Values of a medium and lines of an export have a bound, whatever escapes a text needs.
#[test]
fn the_largest_function_fits_a_value_of_the_medium() {
    use control_core::{CodeHash, NewFunction, Resources, StoredCode, Variables};
    let (name, mut resources) = (FullName::new(&name("default"), &name(&"f".repeat(63))), Resources::new());
    let text = "\u{1}".repeat(4_096);
    let new = NewFunction {
        name: name.name.to_string(),
        runtime: "r".repeat(63),
        handler: Some("\"".repeat(128)),
        command: Some(vec![text.clone()]),
        environment: Some(Variables(BTreeMap::from([("A".into(), text[1..].into())]))),
        ..NewFunction::default()
    };
    let spec = new.validate().unwrap();
    let code = |i: usize| StoredCode { hash: CodeHash::parse(&format!("{i:064x}")).unwrap(), bytes: 1 };
    let (tenant, created_s) = (name.tenant.clone(), u64::MAX);
    let add = Change::AddFunction { tenant: tenant.clone(), spec: spec.clone(), code: code(0), created_s };
    resources.apply(add, 1).unwrap();
    for i in 1..=control_core::limits::VERSIONS {
        let (tenant, spec, code) = (tenant.clone(), spec.clone(), Some(code(i)));
        resources.apply(Change::UpdateFunction { tenant, spec, code, created_s }, 2).unwrap();
    }
    let stored = resources.record(control_core::Kind::Function, &name).unwrap();
    let length = serde_json::to_vec(&stored).unwrap().len();
    assert!((800_000..crate::medium::VALUE_BYTES).contains(&length), "{length}");
}

//! Who asks for what: callers, parameters and headers.

use axum::extract::FromRequest;
use control_core::{Caller, DEFAULT_TENANT, FullName, Name, NewTenant, Principal, Role};

use super::super::call::{Ask, Do, DoWith, Known, Look, Paged, Wish};
use super::*;
use crate::app::{Call, Page};

/// One route for each way to ask.
pub(super) fn routes() -> Router<()> {
    Router::new()
        .route("/look", get(async |Look(caller): Look| caller.tenant.to_string()))
        .route("/known", get(async |Known(caller): Known| caller.principal.to_string()))
        .route("/paged", get(async |Paged(_, page): Paged| told_page(&page)))
        .route("/list", get(list))
        .route("/do", post(async |Do(call): Do| told(&call)).delete(async |Do(call): Do| told(&call)))
        .route("/with", post(with).patch(with))
}

async fn with(DoWith(call, new): DoWith<NewTenant>) -> String {
    format!("{} {}", new.name, told(&call))
}

async fn list(Ask { wish, .. }: Ask) -> String {
    match wish {
        Wish::Page(page) => told_page(&page),
        Wish::Watch { since } => format!("watch {since:?}"),
    }
}

fn told_page(page: &Page) -> String {
    format!("{} {}", page.limit, page.after.as_ref().map_or("-", Name::as_str))
}

fn told(call: &Call) -> String {
    assert!(!call.request.is_empty(), "the request's id goes with it");
    let key = call.key.as_ref().map_or("-", |key| &key.key);
    format!("{} {key} {:?}", call.dry_run, call.expected)
}

fn caller(principal: Principal) -> Caller {
    Caller { principal, tenant: Name::parse("tenant", DEFAULT_TENANT.into()).unwrap() }
}

fn bearer(role: Role) -> Caller {
    let name = Name::parse("name", "t".into()).unwrap();
    caller(Principal::Token { token: FullName::new(&name, &name), role })
}

/// What the door has found out.
struct Who(Result<Caller, Problem>);

impl From<Caller> for Who {
    fn from(caller: Caller) -> Self {
        Self(Ok(caller))
    }
}

type Headers<'a> = &'a [(&'a str, &'a [u8])];

/// Status, code (or the whole body of a success) and field, of somebody's request.
async fn ask(
    who: impl Into<Who>,
    (method, target): (&str, &str),
    headers: Headers<'_>,
) -> (u16, String, Option<String>) {
    let mut request = Request::builder().method(method).uri(target).extension(who.into().0);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = if target.starts_with("/with") { "{\"name\": \"acme\"}" } else { "" };
    blamed(call(request.header(CONTENT_TYPE, "application/json").body(body.into()).unwrap()).await)
}

async fn local(method: &str, target: &str, headers: Headers<'_>) -> (u16, String, Option<String>) {
    ask(caller(Principal::Local { uid: 7 }), (method, target), headers).await
}

const ALL: [(&str, &str); 8] = [
    ("GET", "/look"),
    ("GET", "/known"),
    ("GET", "/paged"),
    ("GET", "/list"),
    ("POST", "/do"),
    ("DELETE", "/do"),
    ("POST", "/with"),
    ("PATCH", "/with"),
];

#[tokio::test]
async fn nobody_in_particular_may_do_nothing() {
    let unknown = || Err::<Caller, _>(Problem::new(Code::Unauthenticated, "who are you?"));
    for what in ALL {
        assert_eq!(ask(Who(unknown()), what, &[]).await, expect(401, "unauthenticated", ""), "{what:?}");
        // Not even what is wrong with the request.
        let (method, path) = what;
        let wrong = (method, &*format!("{path}?foo=1"));
        assert_eq!(ask(Who(unknown()), wrong, &[]).await, expect(401, "unauthenticated", ""), "{what:?}");
    }
    let request = Request::get("/look").body(HttpBody::empty()).unwrap();
    assert_eq!(blamed(call(request).await), expect(401, "unauthenticated", ""), "the door was left out");
}

#[tokio::test]
async fn readers_look_and_operators_do() {
    for (role, does) in [(Role::Reader, false), (Role::Operator, true), (Role::Admin, true)] {
        for what in ALL {
            let (status, code, _) = ask(bearer(role), what, &[]).await;
            if what.0 == "GET" || does {
                assert_eq!(status, 200, "{role} {what:?}: {code}");
            } else {
                assert_eq!((status, &*code), (403, "forbidden"), "{role} {what:?}");
            }
        }
    }
}

#[tokio::test]
async fn unknown_parameters_are_refused_of_every_method() {
    for (method, path) in ALL.into_iter().filter(|(_, path)| *path != "/known") {
        for query in ["foo=1", "foo", "%66oo=1"] {
            let answer = local(method, &format!("{path}?{query}"), &[]).await;
            assert_eq!(answer, expect(422, "invalid_query", "foo"), "{method} {path}?{query}");
        }
        assert_eq!(local(method, &format!("{path}?"), &[]).await.0, 200, "{method} {path}");
    }
    // Those of one kind of request are none of another.
    for (method, target, field) in [
        ("GET", "/look?limit=1", "limit"),
        ("GET", "/paged?watch=true", "watch"),
        ("GET", "/list?dry_run=true", "dry_run"),
        ("POST", "/do?limit=1", "limit"),
    ] {
        assert_eq!(local(method, target, &[]).await, expect(422, "invalid_query", field), "{target}");
    }
}

#[tokio::test]
async fn pages_are_bounded_and_cursors_are_names() {
    for path in ["/paged", "/list"] {
        assert_eq!(local("GET", path, &[]).await, expect(200, "100 -", ""));
        for (query, answer) in [("limit=1", "1 -"), ("limit=1000&cursor=a-b", "1000 a-b")] {
            assert_eq!(local("GET", &format!("{path}?{query}"), &[]).await, expect(200, answer, ""));
        }
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("limit=-1", "limit"),
            ("limit=", "limit"),
            ("limit=1&limit=1", "limit"),
            ("cursor=", "cursor"),
            ("cursor=A", "cursor"),
            ("cursor=a/b", "cursor"),
        ] {
            let answer = local("GET", &format!("{path}?{query}"), &[]).await;
            assert_eq!(answer, expect(422, "invalid_query", field), "{query}");
        }
    }
}

#[tokio::test]
async fn a_watch_begins_where_the_client_says() {
    for (query, id, answer) in [
        ("watch=true", None, "watch None"),
        ("watch=true&since=7", None, "watch Some(7)"),
        ("watch=true&since=7", Some("9"), "watch Some(9)"),
        ("watch=true", Some("9223372036854775807"), "watch Some(9223372036854775807)"),
        ("watch=false", None, "100 -"),
        // A client that does not watch was nowhere.
        ("limit=7", Some("9"), "7 -"),
    ] {
        let id = id.map(|id| ("last-event-id", id.as_bytes()));
        let headers: Vec<_> = id.into_iter().collect();
        let answered = local("GET", &format!("/list?{query}"), &headers).await;
        assert_eq!(answered, expect(200, answer, ""), "{query} {id:?}");
    }
    for (query, field) in [
        ("watch=yes", "watch"),
        ("watch", "watch"),
        ("since=7", "since"),
        ("watch=false&since=7", "since"),
        ("watch=true&since=x", "since"),
        ("watch=true&since=-1", "since"),
        ("watch=true&since=18446744073709551616", "since"),
        ("watch=true&limit=1", "limit"),
        ("watch=true&cursor=a", "cursor"),
    ] {
        let answer = local("GET", &format!("/list?{query}"), &[]).await;
        assert_eq!(answer, expect(422, "invalid_query", field), "{query}");
    }
    let wrong = local("GET", "/list?watch=true", &[("last-event-id", b"x")]).await;
    assert_eq!(wrong, expect(422, "invalid_query", "since"));
}

#[tokio::test]
async fn a_dry_run_is_asked_for_in_so_many_words() {
    for (method, path) in [("POST", "/do"), ("DELETE", "/do"), ("POST", "/with"), ("PATCH", "/with")] {
        for (query, dry) in [("", "false"), ("dry_run=false", "false"), ("dry_run=true", "true")] {
            let (status, answer, _) = local(method, &format!("{path}?{query}"), &[]).await;
            assert_eq!(status, 200);
            assert!(answer.trim_start_matches("acme ").starts_with(dry), "{query}: {answer}");
        }
        for query in ["dry_run", "dry_run=", "dry_run=1", "dry_run=TRUE", "dry_run=true&dry_run=true"] {
            let answer = local(method, &format!("{path}?{query}"), &[]).await;
            assert_eq!(answer, expect(422, "invalid_query", "dry_run"), "{query}");
        }
    }
}

#[tokio::test]
async fn an_etag_is_a_revision_in_quotes() {
    for (tag, expected) in [
        (&b"\"42\""[..], "Some(42)"),
        (b"\"0\"", "Some(0)"),
        (b" \"42\" ", "Some(42)"),
        (b"42", "Some(42)"),
        (b"\"18446744073709551615\"", "Some(18446744073709551615)"),
        (b"*", "None"),
    ] {
        let answer = local("DELETE", "/do", &[("if-match", tag)]).await;
        assert_eq!(answer, expect(200, &format!("false - {expected}"), ""), "{tag:?}");
    }
    for tag in [
        &b""[..],
        b"\"\"",
        b"\"",
        b"W/\"42\"",
        b"\"x\"",
        b"\"-1\"",
        b"\"18446744073709551616\"",
        b"\"1\", \"2\"",
        b"\xff",
    ] {
        let answer = local("DELETE", "/do", &[("if-match", tag)]).await;
        assert_eq!(answer, expect(400, "invalid_header", ""), "{tag:?}");
    }
}

#[tokio::test]
async fn idempotency_keys_are_bounded_text() {
    let (longest, too_long) = ("k".repeat(255), "k".repeat(256));
    for key in ["k", "0", "a b", "~!\"", &longest] {
        let answer = local("POST", "/do", &[("idempotency-key", key.as_bytes())]).await;
        assert_eq!(answer, expect(200, &format!("false {key} None"), ""), "{key}");
    }
    for key in [&b""[..], too_long.as_bytes(), b"\xc3\xa4"] {
        let answer = local("POST", "/do", &[("idempotency-key", key)]).await;
        assert_eq!(answer, expect(400, "invalid_header", ""), "{key:?}");
    }
}

#[tokio::test]
async fn requests_are_told_from_each_other_by_method_path_query_and_body() {
    let fingerprint = async |method: &str, path: &str, body: &str| {
        let request = Request::builder().method(method).uri(path).header("idempotency-key", "k");
        let request = request.header(CONTENT_TYPE, "application/json");
        let request = request.extension(Ok::<_, Problem>(caller(Principal::Local { uid: 7 })));
        let request = request.body(HttpBody::from(body.to_owned())).unwrap();
        let DoWith(call, _) = DoWith::<NewTenant>::from_request(request, &()).await.unwrap();
        call.key.unwrap().fingerprint
    };
    let (a, b) = ("{\"name\": \"a\"}", "{\"name\": \"b\"}");
    let one = fingerprint("POST", "/with", a).await;
    assert_eq!(one, fingerprint("POST", "/with", a).await);
    for other in [
        fingerprint("POST", "/with", b).await,
        fingerprint("PATCH", "/with", a).await,
        fingerprint("POST", "/wit", a).await,
        fingerprint("POST", "/with?dry_run=false", a).await,
    ] {
        assert_ne!(one, other);
    }
}

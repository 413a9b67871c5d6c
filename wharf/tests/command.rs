//! The program as a script meets it: exit codes, streams, closed pipes.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn wharf(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
    command.args(arguments).env_remove("WHARF_SOCKET").env_remove("WHARF_STATE");
    command.env_remove("WHARF_TENANT").env_remove("WHARF_TOKEN").stdin(Stdio::null());
    command
}

fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("wharf runs");
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

/// Runs with a stdout that nobody reads.
fn into_closed_pipe(mut command: Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let (code, _, stderr) = output(command.stdout(writer));
    (code, stderr)
}

/// A daemon that takes one connection and answers each request with the next of `bodies`.
fn daemon<const N: usize>(socket: &Path, status: u16, bodies: [&'static str; N]) {
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        for body in bodies {
            let _ = stream.read(&mut [0; 4096]).unwrap();
            let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            // A client that has seen enough may be gone already.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

#[test]
fn no_daemon_is_exit_code_3_with_a_hint() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("none.sock");
    let socket = socket.to_str().unwrap();
    let (code, stdout, stderr) = output(&mut wharf(&["vpc", "list", "--socket", socket]));
    assert_eq!((code, stdout.as_str()), (Some(3), ""));
    assert!(
        stderr.contains(&format!("hint: start the daemon with `sudo wharf serve --socket {socket}`")),
        "{stderr}"
    );
}

#[test]
fn the_environment_names_the_socket_and_flags_go_over_it() {
    let (_, _, stderr) = output(wharf(&["stats"]).env("WHARF_SOCKET", "/nonexistent/env.sock"));
    assert!(stderr.contains("/nonexistent/env.sock"), "{stderr}");
    let flagged =
        wharf(&["stats", "--socket", "/nonexistent/flag.sock"]).env("WHARF_SOCKET", "/x").output().unwrap();
    assert!(String::from_utf8_lossy(&flagged.stderr).contains("/nonexistent/flag.sock"));
    let (_, _, stderr) = output(wharf(&["stats"]).env("WHARF_SOCKET", ""));
    assert!(!stderr.contains("answers at :"), "an empty variable is as good as none: {stderr}");
}

#[test]
fn usage_errors_are_exit_code_2() {
    let wrong_key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(wrong_key.path(), "workers = 1\nwokers = 2\n").unwrap();
    let config = wrong_key.path().to_str().unwrap();
    let (code, _, stderr) = output(&mut wharf(&["serve", "--config", config]));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("line 2") && stderr.contains("wokers"), "{stderr}");
    std::fs::write(wrong_key.path(), "workers = 65\n").unwrap();
    let (code, _, stderr) = output(&mut wharf(&["serve", "--config", config]));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("from 1 to 64"), "{stderr}");
    let (code, _, stderr) = output(&mut wharf(&["serve", "--listen", "0.0.0.0:8080"]));
    assert_eq!(code, Some(2));
    assert!(stderr.contains("loopback only"), "{stderr}");
    assert_eq!(output(&mut wharf(&[])).0, Some(2));
}

#[cfg(feature = "demo")]
#[test]
fn a_demo_without_its_database_says_so_before_it_makes_anything() {
    let (code, stdout, stderr) = output(wharf(&["demo"]).env("PATH", "/nonexistent"));
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("redis-server") && stderr.contains("apt-get install redis-tools"), "{stderr}");
    assert!(stderr.contains("wharf demo --network"), "{stderr}");
}

#[test]
fn help_is_plain_without_a_terminal_and_documents_the_exit_codes() {
    let (code, stdout, _) = output(&mut wharf(&["--help"]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("Exit codes:") && stdout.contains("4  the resource does not exist"), "{stdout}");
    assert!(!stdout.contains('\x1b'));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    assert_eq!(into_closed_pipe(wharf(&["completions", "bash"])), (Some(0), String::new()));
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wharf.sock");
    daemon(&socket, 200, [r#"{"items":[]}"#]);
    let sessions = wharf(&["sessions", "--socket", socket.to_str().unwrap()]);
    assert_eq!(into_closed_pipe(sessions), (Some(0), String::new()));
}

#[test]
fn an_answer_of_the_gateway_is_not_told_to_leave() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wharf.sock");
    let explained = r#"{"verdict":"respond","steps":[{"step":"gateway_answers","detail":"by itself"}]}"#;
    daemon(&socket, 200, [explained, r#"{"items":[]}"#]);
    let (code, stdout, _) =
        output(&mut wharf(&["explain", "c1", "169.254.1.1", "--socket", socket.to_str().unwrap()]));
    assert_eq!(code, Some(0));
    assert!(stdout.contains("respond: the gateway answers the packet\n"), "{stdout}");
    assert!(!stdout.contains("leaves"), "{stdout}");
}

#[test]
fn refusals_name_code_and_field_on_stderr() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wharf.sock");
    let body = r#"{"type":"about:blank","title":"Unprocessable","status":422,"code":"invalid_mtu","detail":"use 576 to 65521","field":"mtu"}"#;
    daemon(&socket, 422, [body]);
    let arguments =
        ["container", "add", "c1", "--netns", "c1", "--mtu", "1", "--socket", socket.to_str().unwrap()];
    let (code, stdout, stderr) = output(&mut wharf(&arguments));
    assert_eq!(
        (code, stdout.as_str(), stderr.as_str()),
        (Some(1), "", "error: use 576 to 65521 [invalid_mtu, field mtu]\n")
    );
}

/// An export of a store with one record.
const EXPORT: &str = concat!(
    "{\"wharf\":\"store\",\"schema\":2}\n",
    "{\"table\":\"records\",\"key\":\"vpcs/default/orders\",\"value\":{\"n\":1}}\n",
    "{\"end\":1}\n"
);

#[test]
fn a_store_goes_into_a_file_and_comes_back() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let (file, again) = (dir.path().join("in.jsonl"), dir.path().join("out.jsonl"));
    std::fs::write(&file, EXPORT).unwrap();
    let store = |arguments: &[&str]| {
        let mut command = wharf(&["store"]);
        output(command.args(arguments).env("WHARF_STATE", &state))
    };
    let (code, stdout, stderr) = store(&["import", file.to_str().unwrap()]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert!(stdout.starts_with("1 entries are in the store in "), "{stdout}");
    assert_eq!(store(&["export"]), (Some(0), EXPORT.to_owned(), String::new()));
    let (code, stdout, _) = store(&["export", again.to_str().unwrap(), "-o", "json"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "{\n  \"exported\": 1\n}\n"));
    assert_eq!(std::fs::read_to_string(&again).unwrap(), EXPORT);
    assert_eq!(again.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let (code, _, stderr) = store(&["import", file.to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("is not empty") && stderr.contains("--replace"), "{stderr}");
    assert_eq!(store(&["import", "--replace", file.to_str().unwrap()]).0, Some(0));
    // A failed export leaves neither a file nor a part of one.
    let none = dir.path().join("none");
    let (code, _, stderr) =
        store(&["export", "--state", none.to_str().unwrap(), dir.path().join("x.jsonl").to_str().unwrap()]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("there is no store"), "{stderr}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
}

#[test]
fn what_is_wrong_with_an_import_is_said_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let mut import = wharf(&["store", "import", "--state", dir.path().to_str().unwrap(), "-"]);
    let mut child =
        import.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(&EXPORT.as_bytes()[..EXPORT.len() - 10]).unwrap();
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    assert_eq!((status.code(), stdout.as_slice()), (Some(1), &b""[..]));
    let stderr = String::from_utf8(stderr).unwrap();
    assert!(stderr.contains("line 3: the export ends without its last line"), "{stderr}");
    assert!(stderr.contains("nothing was changed"), "{stderr}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_store_that_somebody_has_open_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let lock = std::fs::File::open(dir.path()).unwrap();
    lock.lock().unwrap();
    for arguments in [&["store", "export", "--state", state][..], &["store", "import", "--state", state]] {
        let (code, _, stderr) = output(&mut wharf(arguments));
        assert_eq!(code, Some(1));
        assert!(
            stderr.contains("another process has the store") && stderr.contains("stop the daemon"),
            "{stderr}"
        );
    }
}

#[test]
fn a_state_that_is_no_directory_is_a_usage_error() {
    for (value, says) in [("none", "there is no store"), ("some", "absolute path")] {
        let (code, _, stderr) = output(wharf(&["store", "export"]).env("WHARF_STATE", value));
        assert_eq!(code, Some(2), "{stderr}");
        assert!(stderr.contains(says), "{stderr}");
    }
}

#[test]
fn whoever_stops_reading_an_export_ends_it_without_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().to_str().unwrap();
    let mut import = wharf(&["store", "import", "--state", state]);
    let mut child = import.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(EXPORT.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(into_closed_pipe(wharf(&["store", "export", "--state", state])), (Some(0), String::new()));
}

#[test]
fn the_document_in_the_repository_is_that_of_the_code() {
    let (code, stdout, _) = output(&mut wharf(&["openapi"]));
    assert_eq!(code, Some(0));
    let checked_in = include_str!("../../docs/openapi.json");
    assert!(stdout == checked_in, "it is old: `cargo run -p wharf -- openapi > docs/openapi.json`");
}

#[test]
fn a_watch_goes_on_where_it_was_and_ends_when_that_is_too_long_ago() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("wharf.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let stream = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n\
            :\n\nevent: created\ndata: {\"name\":\"db\",\"state\":\"approved\"}\nid: 8\n\n";
        let gone = r#"{"status":410,"code":"revision_too_old","detail":"too old"}"#;
        let gone =
            format!("HTTP/1.1 410 Gone\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{gone}", gone.len());
        // The client's first connection is for what is no watch.
        let (_idle, _) = listener.accept().unwrap();
        [stream, &gone].map(|answer| {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = client.read(&mut request).unwrap();
            client.write_all(answer.as_bytes()).unwrap();
            String::from_utf8_lossy(&request[..read]).into_owned()
        })
    });
    let (code, stdout, stderr) = output(&mut wharf(&[
        "watch",
        "connectors",
        "--since",
        "7",
        "-o",
        "json",
        "--socket",
        socket.to_str().unwrap(),
    ]));
    let [first, second] = daemon.join().unwrap();
    assert!(first.starts_with("GET /v1/connectors?watch=true ") && first.contains("last-event-id: 7\r\n"));
    assert!(second.contains("last-event-id: 8\r\n"), "{second}");
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stdout.starts_with("{\"event\":\"created\"") && stdout.contains("\"revision\":8"), "{stdout}");
    assert!(stderr.contains("going on after revision 8") && stderr.contains("hint: list again"), "{stderr}");
}

#[test]
fn a_token_is_its_secret_and_nothing_else_and_is_borne_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, file) = (dir.path().join("wharf.sock"), dir.path().join("token"));
    let created = r#"{"name":"ci","tenant":"default","role":"operator","created_at":0,"expired":false,"revision":3,"secret":"wharf_default_ci_00"}"#;
    daemon(&socket, 201, [created]);
    let add = ["token", "add", "ci", "--role", "operator", "--socket", socket.to_str().unwrap()];
    let (code, stdout, stderr) = output(&mut wharf(&add));
    assert_eq!((code, stdout.as_str()), (Some(0), "wharf_default_ci_00\n"));
    assert!(stderr.contains("token ci added: operator of tenant default"), "{stderr}");
    assert!(!stderr.contains("ci_00"), "{stderr}");
    std::fs::write(&file, &stdout).unwrap();

    std::fs::remove_file(&socket).unwrap();
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let read = client.read(&mut request).unwrap();
        let problem = r#"{"status":401,"code":"unauthenticated","detail":"no"}"#;
        let answer = format!("HTTP/1.1 401 X\r\ncontent-length: {}\r\n\r\n{problem}", problem.len());
        client.write_all(answer.as_bytes()).unwrap();
        String::from_utf8_lossy(&request[..read]).into_owned()
    });
    let list = ["vpc", "list", "--tenant", "acme", "--token-file", file.to_str().unwrap(), "--socket"];
    let (code, _, stderr) = output(wharf(&list).arg(&socket));
    let request = daemon.join().unwrap();
    assert!(request.contains("authorization: Bearer wharf_default_ci_00\r\n"), "{request}");
    assert!(request.contains("wharf-tenant: acme\r\n"), "{request}");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("--token-file") && !stderr.contains("ci_00"), "{stderr}");
}

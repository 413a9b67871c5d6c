//! The waiter, and what it becomes.

use super::process::Waiting;
use super::*;
use crate::Language;

/// As AWS's tutorial on custom runtimes has it, and with an error for the event `fail`.
const SHELL: &str = r#"#!/bin/sh
set -eu
while true; do
  HEADERS=$(mktemp)
  EVENT=$(curl -sS -LD "$HEADERS" "http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/next")
  ID=$(grep -Fi Lambda-Runtime-Aws-Request-Id "$HEADERS" | tr -d '[:space:]' | cut -d: -f2)
  URL="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation/$ID"
  if [ "$EVENT" = '"fail"' ]; then
    curl -sS "$URL/error" -d '{"errorType":"Shell","errorMessage":"failed"}' -H 'Lambda-Runtime-Function-Error-Type: Shell'
  else
    curl -sS "$URL/response" -d "{\"got\":$EVENT,\"in\":\"$PWD\",\"handler\":\"$_HANDLER\"}"
  fi
done
"#;

#[tokio::test]
async fn a_bootstrap_in_shell_is_executed_and_serves() {
    let shell = Waiting::assigned(Language::Provided, &[("bootstrap", SHELL)], &function("a.b")).await;
    assert_eq!(shell.initialised().await, Ok(()));
    for event in ["1", r#"{"a":"b"}"#] {
        let answer = shell.invoke(event).await.expect("it answers");
        assert_eq!(answer.content_type, "application/json");
        assert_eq!(text(answer), format!(r#"{{"got":{event},"in":"/var/task","handler":"a.b"}}"#));
        assert_eq!(reported(shell.invoke("\"fail\"").await).error_type, "Shell");
    }
}

#[tokio::test]
async fn the_waiter_passes_on_arguments_and_the_functions_variables_and_nothing_else() {
    let command = Some(
        [
            "sh",
            "-c",
            "echo $# \"$1\" \"$2\"; env; ls -l /proc/self/fd | grep -c socket",
            "sh",
            "",
            "two words",
        ]
        .map(String::from)
        .into(),
    );
    let assignment = Assignment { command, ..function("") };
    let waiter = Waiting::assigned(Language::Provided, &[("a", "")], &assignment).await;
    let output = waiter.output().await;
    let output = String::from_utf8(output.stdout).expect("text");
    let lines: Vec<_> = output.lines().collect();
    assert_eq!(lines[0], "2  two words");
    assert!(lines.contains(&"COLOUR=green"), "{output}");
    assert!(!lines.iter().any(|line| line.starts_with("CARGO")), "{output}");
    assert_eq!(lines.last().copied(), Some("0"), "its connection is closed: {output}");
}

#[tokio::test]
async fn what_cannot_be_executed_is_an_init_error() {
    for (code, command) in [
        ([("a", "")], None),
        ([("a", "")], Some(vec!["no-such-program".to_owned()])),
        ([("a", "")], Some(vec![])),
    ] {
        let assignment = Assignment { command, ..function("") };
        let waiter = Waiting::assigned(Language::Provided, &code, &assignment).await;
        let Err(Fault::Init(error)) = waiter.initialised().await else { panic!("{code:?} was executed") };
        assert_eq!(error.error_type, "Runtime.InvalidEntrypoint");
        let output = waiter.output().await;
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("[ERROR] Runtime.InvalidEntrypoint: "));
    }
}

//! The Python bootstrap.

use super::process::Waiting;
use super::*;
use crate::Language;

async fn python(app: &str, handler: &str) -> Waiting {
    Waiting::assigned(Language::Python3, &[("app.py", app), ("pack/inner.py", app)], &function(handler)).await
}

/// What a handler answers to an event.
async fn answer(app: &str, event: &str) -> String {
    let python = python(app, "app.handler").await;
    text(python.invoke(event).await.expect("it answers"))
}

#[tokio::test]
async fn python_handlers_get_events_and_answer_them() {
    let echo = "def handler(event, context):\n    return {'got': event}\n";
    for handler in ["app.handler", "pack.inner.handler", "pack/inner.handler"] {
        let python = python(echo, handler).await;
        assert_eq!(python.initialised().await, Ok(()), "{handler}");
        for event in ["{\"a\": [1, null, \"\u{fc}\"]}", "null", "3"] {
            let answer = python.invoke(event).await.expect("it answers");
            assert_eq!(answer.content_type, "application/json");
            assert_eq!(text(answer), format!("{{\"got\": {event}}}"));
        }
    }
}

#[tokio::test]
async fn python_handlers_know_their_function() {
    let app = r#"
import os, sys
assert os.getcwd() == "/var/task" == sys.path[0]
def handler(event, c):
    left = c.get_remaining_time_in_millis()
    assert 0 < left <= 30000, left
    return [c.aws_request_id, c.function_name, c.function_version, c.memory_limit_in_mb, c.invoked_function_arn,
            c.log_group_name, c.log_stream_name, os.environ["COLOUR"], os.environ["_X_AMZN_TRACE_ID"], c.client_context]
"#;
    let expected =
        r#"["request-1", "probe", "7", "128", "arn:aws:lambda:local:000000000000:function:probe:7", "#;
    let expected = expected.to_owned() + r#""/wharf/functions/probe", "7", "green", "Root=1-2-3", null]"#;
    assert_eq!(answer(app, "{}").await, expected);
}

#[tokio::test]
async fn python_answers_are_json_as_aws_writes_it() {
    for (value, expected) in [
        ("None", "null"),
        ("'\u{fc}'", "\"\u{fc}\""),
        ("'\\ud800'", r#""\ud800""#),
        ("__import__('decimal').Decimal('1.5')", "1.5"),
        ("(1, 2)", "[1, 2]"),
    ] {
        assert_eq!(answer(&format!("def handler(e, c): return {value}"), "{}").await, expected, "{value}");
    }
}

#[tokio::test]
async fn python_handlers_may_have_the_name_of_a_module_that_is_there_already() {
    let code = [("logging.py", "def handler(e, c): return 'mine'")];
    let python = Waiting::assigned(Language::Python3, &code, &function("logging.handler")).await;
    assert_eq!(text(python.invoke("{}").await.expect("it answers")), "\"mine\"");
}

#[tokio::test]
async fn python_exceptions_are_reported_and_the_next_event_is_served() {
    let app = "def handler(e, c):\n    if e: return e\n    raise KeyError('x')\n";
    let python = python(app, "app.handler").await;
    let error = reported(python.invoke("0").await);
    assert_eq!((error.error_type.as_str(), error.message.as_str()), ("KeyError", "'x'"));
    let report: serde_json::Value = serde_json::from_slice(&error.report).expect("JSON");
    let trace = report["stackTrace"].as_array().expect("frames");
    assert_eq!(trace.len(), 1, "only the handler's own: {trace:?}");
    assert_eq!(trace[0], "  File \"/var/task/app.py\", line 3, in handler\n    raise KeyError('x')\n");
    assert_eq!(text(python.invoke("1").await.expect("it goes on")), "1");
    let log = python.log().await;
    assert!(log.contains("[ERROR] request-1 KeyError: 'x'\nTraceback"), "{log}");
}

#[tokio::test]
async fn python_faults_have_the_names_that_aws_gives_them() {
    for (app, handler, error_type, message) in [
        (
            "",
            "missing.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'missing': No module named 'missing'",
        ),
        (
            "import nowhere",
            "app.handler",
            "Runtime.ImportModuleError",
            "Unable to import module 'app': No module named 'nowhere'",
        ),
        ("", "app.handler", "Runtime.HandlerNotFound", "Handler 'handler' missing on module 'app'"),
        (
            "def handler(:",
            "app.handler",
            "Runtime.UserCodeSyntaxError",
            "Syntax error in module 'app': invalid syntax",
        ),
        ("", "app", "Runtime.MalformedHandlerName", "Bad handler 'app': not enough values to unpack"),
        ("", "sys.exit", "Runtime.BuiltInModuleConflict", "Cannot use built-in module sys"),
        ("1 / 0", "app.handler", "ZeroDivisionError", "division by zero"),
    ] {
        python(app, handler).await.cannot_load(error_type, message).await;
    }
}

#[tokio::test]
async fn python_says_what_cannot_be_json() {
    let python = python("def handler(e, c): return {1, 2}", "app.handler").await;
    let error = reported(python.invoke("{}").await);
    assert_eq!(error.error_type, "Runtime.MarshalError");
    assert_eq!(error.message, "Unable to marshal response: Object of type set is not JSON serializable");
    assert_eq!(reported(python.invoke("{").await).error_type, "Runtime.UnmarshalError");
}

#[tokio::test]
async fn a_python_handler_that_exits_takes_its_process_along() {
    let python =
        python("import sys\ndef handler(e, c):\n    print('so long')\n    sys.exit(3)", "app.handler").await;
    tokio::select! {
        outcome = python.invoke("{}") => panic!("{outcome:?}"),
        () = tokio::time::sleep(Duration::from_millis(1)) => {}
    }
    python.initialised().await.expect("it is loaded");
    _ = tokio::time::timeout(Duration::from_millis(200), python.invoke("{}")).await;
    let output = python.output().await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(3), b"so long\n".as_slice()));
}

#[tokio::test]
async fn python_output_is_there_before_the_answer() {
    let app = "import sys\ndef handler(e, c):\n    print('out', end='')\n    sys.stderr.write('err')\n";
    let python = python(app, "app.handler").await;
    python.invoke("{}").await.expect("it answers");
    assert_eq!(python.log().await, "outerr");
}

#[tokio::test]
async fn a_python_answer_that_is_too_long_is_one_fault_and_no_more() {
    let python = python("def handler(e, c): return 'x' * e", "app.handler").await;
    assert!(matches!(python.invoke("7000000").await, Err(Fault::ResponseTooLarge { .. })));
    assert_eq!(text(python.invoke("2").await.expect("it goes on")), "\"xx\"");
    assert_eq!(text(python.invoke("6000000").await.expect("it is short enough")).len(), 6_000_002);
}

#[tokio::test]
async fn a_command_takes_the_place_of_the_python_bootstrap() {
    let command =
        Some(vec!["sh".to_owned(), "-c".to_owned(), "pwd; echo $COLOUR $_HANDLER; exit 4".to_owned()]);
    let python =
        Waiting::assigned(Language::Python3, &[("a", "")], &Assignment { command, ..function("") }).await;
    let output = python.output().await;
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(4), b"/var/task\ngreen\n".as_slice()));

    let command = Some(vec!["no-such-program".to_owned()]);
    let python =
        Waiting::assigned(Language::Python3, &[("a", "")], &Assignment { command, ..function("") }).await;
    let Err(Fault::Init(error)) = python.initialised().await else { panic!("it was started") };
    assert_eq!(error.error_type, "Runtime.InvalidEntrypoint");
    assert_eq!(error.message, "no-such-program: No such file or directory");
}

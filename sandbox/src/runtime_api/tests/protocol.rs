//! Every request and every status.

use super::client::{Client, INIT_ERROR, NEXT};
use super::*;

#[tokio::test]
async fn an_event_goes_out_with_what_clients_need_and_its_answer_comes_back() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    client.ask("/wharf/assignment").await;
    api.warm().await;
    assert!(api.assign(&function("app.handler")));
    assert_eq!(client.reply().await.status, 200);

    let (outcome, ()) =
        tokio::join!(api.invoke(event("id-1", r#"{"a":1}"#)), async {
            let next = client.next().await;
            assert_eq!((next.status, next.body.as_str()), (200, r#"{"a":1}"#));
            assert!(next.says("lambda-runtime-aws-request-id: id-1"), "{next:?}");
            assert!(next.says("lambda-runtime-trace-id: Root=1-2-3"), "{next:?}");
            assert!(next.says(
                "lambda-runtime-invoked-function-arn: arn:aws:lambda:local:000000000000:function:probe:7"
            ));
            assert!(next.head.contains("lambda-runtime-deadline-ms: 1"), "{next:?}");
            assert!(!next.head.contains("date:"), "{next:?}");
            let answered = client.post("id-1/response", "content-type: text/plain\r\n", "done").await;
            assert_eq!((answered.status, answered.body.as_str()), (202, r#"{"status":"OK"}"#));
        });
    let answer = outcome.expect("it was answered");
    assert_eq!(answer.content_type, "text/plain");
    assert_eq!(text(answer), "done");
}

#[tokio::test]
async fn answers_are_json_unless_the_runtime_says_otherwise() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    for (header, expected) in [
        ("", "application/json"),
        ("content-type: application/x-www-form-urlencoded\r\n", "application/json"),
        ("content-type: image/png\r\n", "image/png"),
    ] {
        let (outcome, ()) = tokio::join!(api.invoke(event("id", "")), async {
            assert_eq!(client.next().await.body, "");
            assert_eq!(client.post("id/response", header, "{}").await.status, 202);
        });
        assert_eq!(outcome.expect("it was answered").content_type, expected, "{header}");
    }
}

#[tokio::test]
async fn an_error_is_what_its_report_and_header_say() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let header = "lambda-runtime-function-error-type: Header.Type\r\n";
    for (header, report, error_type, message) in [
        (header, r#"{"errorType":"KeyError","errorMessage":"'x'","stackTrace":[]}"#, "KeyError", "'x'"),
        (header, r#"{"errorMessage":"no type"}"#, "Header.Type", "no type"),
        (header, "no JSON", "Header.Type", "no JSON"),
        ("", "", "Runtime.Unknown", ""),
    ] {
        let (outcome, ()) = tokio::join!(api.invoke(event("id", "{}")), async {
            client.next().await;
            assert_eq!(client.post("id/error", header, report).await.status, 202);
        });
        let error = reported(outcome);
        assert_eq!((error.error_type.as_str(), error.message.as_str()), (error_type, message));
        assert_eq!(error.report == report.as_bytes(), report.starts_with('{'), "{:?}", error.report);
        serde_json::from_slice::<serde_json::Value>(&error.report).expect("what is passed on is JSON");
    }
}

#[tokio::test]
async fn answers_to_other_ids_are_refused_and_second_answers_too() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    assert_eq!(client.post("id-1/response", "", "1").await.status, 400, "before any event");
    let (outcome, ()) = tokio::join!(api.invoke(event("id-1", "{}")), async {
        client.next().await;
        let wrong = client.post("id-2/response", "", "1").await;
        assert_eq!(
            (wrong.status, wrong.body.as_str()),
            (400, r#"{"errorType":"InvalidRequestID","errorMessage":"Invalid request ID"}"#)
        );
        assert_eq!(client.post("id-2/error", "", "{}").await.status, 400);
        assert_eq!(client.post("id-1/response", "", "2").await.status, 202);
        let second = client.post("id-1/response", "", "3").await;
        assert_eq!(second.status, 403);
        assert!(second.body.contains("InvalidStateTransition"), "{second:?}");
        assert_eq!(client.post("id-1/error", "", "{}").await.status, 403);
    });
    assert_eq!(text(outcome.expect("it was answered")), "2");
    assert_eq!(client.post("id-1/response", "", "4").await.status, 403, "after its taker is gone");
}

#[tokio::test]
async fn a_late_answer_is_refused_and_the_next_event_is_served() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    assert!(matches!(api.invoke(late_event("id-0")).await, Err(Fault::TimedOut { .. })), "nobody asks");
    let short = Invocation { deadline: SystemTime::now() + Duration::from_millis(50), ..event("id-1", "{}") };
    let (outcome, next) = tokio::join!(api.invoke(short), client.next());
    assert!(next.says("lambda-runtime-aws-request-id: id-1"), "the event of before is forgotten");
    assert!(
        matches!(outcome, Err(Fault::TimedOut { after }) if after <= Duration::from_millis(50)),
        "{outcome:?}"
    );
    assert_eq!(client.post("id-1/response", "", "late").await.status, 400);
    let (outcome, ()) = tokio::join!(api.invoke(event("id-2", "{}")), async {
        client.next().await;
        assert_eq!(client.post("id-1/response", "", "later").await.status, 400);
        assert_eq!(client.post("id-2/response", "", "2").await.status, 202);
    });
    assert_eq!(text(outcome.expect("it was answered")), "2");
}

#[tokio::test]
async fn asking_for_another_event_gives_the_first_one_up() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let (outcome, ()) = tokio::join!(api.invoke(event("id-1", "{}")), async {
        client.next().await;
        client.ask(NEXT).await;
    });
    assert_eq!(reported(outcome).error_type, "Runtime.NoResponse");
    let (outcome, ()) = tokio::join!(api.invoke(event("id-2", "{}")), async {
        assert!(client.reply().await.says("lambda-runtime-aws-request-id: id-2"));
        assert_eq!(client.post("id-1/response", "", "1").await.status, 400);
        assert_eq!(client.post("id-2/response", "", "2").await.status, 202);
    });
    assert_eq!(text(outcome.expect("it was answered")), "2");
}

#[tokio::test]
async fn an_answer_may_have_exactly_the_limit() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let limit = super::super::limits::ANSWER_BYTES;
    for (length, status) in [(limit, 202), (limit + 1, 413), (limit * 2, 413)] {
        let (outcome, ()) = tokio::join!(api.invoke(event("id", "{}")), async {
            client.next().await;
            let answered = client.post("id/response", "", &"x".repeat(length)).await;
            assert_eq!(answered.status, status, "{length}");
            assert_eq!(answered.body.contains("RequestEntityTooLarge"), status == 413);
            assert_eq!(client.post("id/response", "", "1").await.status, 403, "it counts as answered");
        });
        match outcome {
            Ok(answer) => assert_eq!(text(answer).len(), length),
            Err(fault) => assert_eq!((fault, status), (Fault::ResponseTooLarge { limit }, 413)),
        }
    }
}

#[tokio::test]
async fn what_cannot_be_loaded_is_said_to_whoever_waits_then_and_later() {
    let (api, port) = served();
    let mut client = Client::connect(port).await;
    let report = r#"{"errorType":"Runtime.ImportModuleError","errorMessage":"no module"}"#;
    let (initialised, invoked, ()) = tokio::join!(api.initialised(), api.invoke(event("id", "{}")), async {
        assert_eq!(client.post(INIT_ERROR, "", report).await.status, 202);
        assert_eq!(client.post(INIT_ERROR, "", report).await.status, 403);
        assert_eq!(client.next().await.status, 403);
    });
    let expected = Fault::Init(FunctionError::read(report.into(), None));
    assert_eq!(initialised, Err(expected.clone()));
    assert_eq!(invoked.expect_err("there is no handler"), expected);
    api.end(Fault::Removed);
    assert_eq!(api.initialised().await, Err(expected), "it ends because of that");
}

#[tokio::test]
async fn an_init_error_after_the_first_event_was_asked_for_is_refused() {
    let (api, port) = served();
    let (mut client, mut other) = (Client::connect(port).await, Client::connect(port).await);
    client.ask(NEXT).await;
    assert_eq!(api.initialised().await, Ok(()));
    assert_eq!(other.post(INIT_ERROR, "", "{}").await.status, 403);
}

#[tokio::test]
async fn the_end_is_heard_by_whoever_waits() {
    let (api, port) = served();
    let (mut asking, mut other) = (Client::connect(port).await, Client::connect(port).await);
    asking.ask(NEXT).await;
    api.initialised().await.expect("it asks");
    let (outcome, ()) = tokio::join!(api.invoke(event("id", "{}")), async {
        asking.reply().await;
        api.end(Fault::OutOfMemory { limit_mb: 128 });
        api.end(Fault::Removed);
    });
    assert_eq!(
        outcome.expect_err("it ended"),
        Fault::OutOfMemory { limit_mb: 128 },
        "the first reason stays"
    );
    assert_eq!(
        api.invoke(event("id", "{}")).await.expect_err("it ended"),
        Fault::OutOfMemory { limit_mb: 128 }
    );
    assert_eq!(other.next().await.status, 500);
    assert_eq!(other.get("/wharf/assignment").await.status, 500);
    assert!(!api.assign(&function("app.handler")));
}

#[tokio::test]
async fn a_bootstrap_is_told_once_what_it_becomes() {
    let (api, port) = served();
    assert!(!api.assign(&function("app.handler")), "nobody has asked");
    let mut client = Client::connect(port).await;
    client.ask("/wharf/assignment").await;
    api.warm().await;
    assert!(api.assign(&function("app.handler")));
    assert!(!api.assign(&function("app.handler")), "it was answered");
    let told: serde_json::Value = serde_json::from_str(&client.reply().await.body).expect("JSON");
    assert_eq!(told["handler"], "app.handler");
    assert_eq!(told["task_root"], "/var/task");
    assert_eq!(told["command"], serde_json::Value::Null);
    assert_eq!(told["environment"]["COLOUR"], "green");
    assert_eq!(told["environment"]["AWS_LAMBDA_RUNTIME_API"], format!("127.0.0.1:{port}"));
}

#[tokio::test]
async fn a_waiter_is_told_what_to_execute() {
    for (command, expected) in [
        (None, "1\0/var/task/bootstrap\0"),
        (Some(vec!["ruby".to_owned(), String::new(), "app.rb".to_owned()]), "3\0ruby\0\0app.rb\0"),
    ] {
        let (api, port) = served();
        let mut client = Client::connect(port).await;
        client.ask("/wharf/exec").await;
        api.warm().await;
        assert!(api.assign(&Assignment { command, ..function("app.handler") }));
        let told = client.reply().await;
        assert!(told.says("content-type: application/octet-stream"));
        let variables = told.body.strip_prefix(expected).expect("arguments first");
        assert!(variables.ends_with('\0'));
        assert!(variables.split('\0').any(|variable| variable == "COLOUR=green"), "{variables:?}");
        assert!(variables.split('\0').any(|variable| variable == "_HANDLER=app.handler"), "{variables:?}");
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let (_api, port) = served();
    let mut client = Client::connect(port).await;
    let unknown = client.get("/2018-06-01/extension/register").await;
    assert_eq!(unknown.status, 404);
    serde_json::from_str::<serde_json::Value>(&unknown.body).expect("JSON");
    let wrong = client.post(NEXT, "", "").await;
    assert_eq!((wrong.status, wrong.says("allow: GET")), (405, true), "{wrong:?}");
    let wrong = client.get(INIT_ERROR).await;
    assert_eq!((wrong.status, wrong.says("allow: POST")), (405, true), "{wrong:?}");
    client.send("nonsense\r\n\r\n").await;
    assert_eq!(client.reply().await.status, 400);
}

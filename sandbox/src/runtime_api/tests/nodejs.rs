//! The Node bootstrap.

use super::process::Waiting;
use super::*;
use crate::Language;

async fn nodejs(code: &[(&str, &str)], handler: &str) -> Waiting {
    Waiting::assigned(Language::Nodejs, code, &function(handler)).await
}

async fn common(index: &str) -> Waiting {
    nodejs(&[("index.js", index)], "index.handler").await
}

#[tokio::test]
async fn node_handlers_of_every_kind_get_events_and_answer_them() {
    let common = "exports.handler = async (event) => ({ got: event });";
    let module = "export const handler = async (event) => ({ got: event });";
    let waits =
        "const wait = await Promise.resolve(1); export const handler = async (event) => ({ got: event });";
    let calls = "exports.handler = (event, context, callback) => { setTimeout(() => callback(null, { got: event }), 1); };";
    let package = ("package.json", r#"{"type":"module"}"#);
    let cases: &[(&[(&str, &str)], &str)] = &[
        (&[("index.js", common)], "index.handler"),
        (&[("index.cjs", common), package], "index.handler"),
        (&[("index.mjs", module)], "index.handler"),
        (&[("index.js", module), package], "index.handler"),
        (&[("index.mjs", waits)], "index.handler"),
        (&[("src/deep/index.js", calls)], "src/deep/index.handler"),
        (&[("index.js", "exports.a = { b: async (event) => ({ got: event }) };")], "index.a.b"),
    ];
    for (code, handler) in cases {
        let node = nodejs(code, handler).await;
        assert_eq!(node.initialised().await, Ok(()), "{code:?}");
        for event in [r#"{"a":[1,null,"ü"]}"#, "null", "3"] {
            let answer = node.invoke(event).await.expect("it answers");
            assert_eq!(answer.content_type, "application/json");
            assert_eq!(text(answer), format!(r#"{{"got":{event}}}"#), "{code:?}");
        }
    }
}

#[tokio::test]
async fn node_handlers_know_their_function() {
    let index = "exports.handler = async (event, c) => [c.awsRequestId, c.functionName, c.functionVersion, c.memoryLimitInMB, \
        c.invokedFunctionArn, c.logGroupName, c.logStreamName, process.env.COLOUR, process.cwd(), \
        c.getRemainingTimeInMillis() > 0];";
    let node = common(index).await;
    let expected = r#"["request-1","probe","7","128","arn:aws:lambda:local:000000000000:function:probe:7","#;
    let expected = expected.to_owned() + r#""/wharf/functions/probe","7","green","/var/task",true]"#;
    assert_eq!(text(node.invoke("{}").await.expect("it answers")), expected);
}

#[tokio::test]
async fn node_waits_for_what_a_callback_has_left_to_do() {
    let index = "const list = [];
        exports.handler = (event, context, callback) => {
            context.callbackWaitsForEmptyEventLoop = event;
            setTimeout(() => list.push('late'), 20);
            callback(null, list);
        };";
    let node = common(index).await;
    assert_eq!(text(node.invoke("true").await.expect("it answers")), r#"["late"]"#);
    assert_eq!(text(node.invoke("false").await.expect("it answers")), r#"["late"]"#, "it does not wait");
    let silent = common("exports.handler = () => {};").await;
    assert_eq!(text(silent.invoke("1").await.expect("it answers")), "null");
}

#[tokio::test]
async fn node_errors_are_reported_and_the_next_event_is_served() {
    for index in [
        "exports.handler = async (e) => { if (e) return e; throw new TypeError('x'); };",
        "exports.handler = (e, c, callback) => { callback(e ? null : new TypeError('x'), e); };",
        "exports.handler = (e, c, callback) => { if (!e) throw new TypeError('x'); callback(null, e); };",
    ] {
        let node = common(index).await;
        let error = reported(node.invoke("0").await);
        assert_eq!((error.error_type.as_str(), error.message.as_str()), ("TypeError", "x"), "{index}");
        let report: serde_json::Value = serde_json::from_slice(&error.report).expect("JSON");
        let trace = report["trace"].as_array().expect("frames");
        assert!(trace[1].as_str().is_some_and(|frame| frame.contains("/var/task/index.js")), "{trace:?}");
        assert!(!error.report.windows(9).any(|part| part == b"bootstrap"), "{trace:?}");
        assert_eq!(text(node.invoke("1").await.expect("it goes on")), "1");
        assert!(node.log().await.contains("[ERROR] request-1 TypeError: x\n"));
    }
}

#[tokio::test]
async fn node_faults_have_the_names_that_aws_gives_them() {
    for (index, handler, error_type, message) in [
        ("", "missing.handler", "Runtime.ImportModuleError", "Error: Cannot find module 'missing'"),
        (
            "require('nowhere')",
            "index.handler",
            "Runtime.ImportModuleError",
            "Error: Cannot find module 'nowhere'",
        ),
        ("", "index.handler", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
        (
            "exports.handler = 1",
            "index.handler",
            "Runtime.HandlerNotFound",
            "index.handler is undefined or not exported",
        ),
        ("exports.handler = (", "index.handler", "Runtime.UserCodeSyntaxError", "SyntaxError: "),
        ("", "index", "Runtime.MalformedHandlerName", "Bad handler 'index'"),
        ("", "../index.handler", "Runtime.MalformedHandlerName", "Bad handler"),
        ("throw new RangeError('x')", "index.handler", "RangeError", "x"),
    ] {
        nodejs(&[("index.js", index)], handler).await.cannot_load(error_type, message).await;
    }
}

#[tokio::test]
async fn what_nobody_catches_in_node_is_reported_before_the_process_ends() {
    for (index, error_type, status) in [
        (
            "exports.handler = () => new Promise(() => setTimeout(() => { throw new RangeError('x'); }, 1));",
            "RangeError",
            129,
        ),
        (
            "exports.handler = () => new Promise(() => { Promise.reject(new RangeError('x')); setTimeout(() => {}, 9999); });",
            "Runtime.UnhandledPromiseRejection",
            128,
        ),
    ] {
        let node = common(index).await;
        assert_eq!(reported(node.invoke("{}").await).error_type, error_type);
        assert_eq!(node.output().await.status.code(), Some(status));
    }
}

#[tokio::test]
async fn node_says_what_cannot_be_json() {
    let node = common("exports.handler = async () => 1n;").await;
    let error = reported(node.invoke("{}").await);
    assert_eq!(error.error_type, "Runtime.MarshalError");
    let node = common("exports.handler = async (e) => 'x'.repeat(e);").await;
    assert!(matches!(node.invoke("7000000").await, Err(Fault::ResponseTooLarge { .. })));
    assert_eq!(text(node.invoke("2").await.expect("it goes on")), "\"xx\"");
}

/// All pieces of a streamed answer, and how it ended.
async fn streamed(node: &Waiting) -> (String, Vec<u8>, Option<Fault>) {
    let answer = node.invoke("{}").await.expect("it begins");
    let Body::Stream(mut pieces) = answer.body else { panic!("a whole answer") };
    let mut all = Vec::new();
    loop {
        match pieces.recv().await {
            Some(Ok(piece)) => all.extend_from_slice(&piece),
            Some(Err(fault)) => return (answer.content_type, all, Some(fault)),
            None => return (answer.content_type, all, None),
        }
    }
}

#[tokio::test]
async fn node_streams_answers() {
    let index = "exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {
        stream.setContentType('text/plain');
        stream.write('one ');
        await new Promise((resolve) => setTimeout(resolve, 5));
        stream.write(Buffer.from('two'));
        stream.end();
    });";
    let node = common(index).await;
    for _ in 0..2 {
        assert_eq!(streamed(&node).await, ("text/plain".to_owned(), b"one two".to_vec(), None));
    }
}

#[tokio::test]
async fn node_streams_have_status_and_headers_in_front() {
    let index = "exports.handler = awslambda.streamifyResponse(async (event, stream) => {
        const http = awslambda.HttpResponseStream.from(stream, { statusCode: 201 });
        http.end('body');
    });";
    let (content_type, body, fault) = streamed(&common(index).await).await;
    assert_eq!(content_type, "application/vnd.awslambda.http-integration-response");
    assert_eq!((body.as_slice(), fault), (b"{\"statusCode\":201}\0\0\0\0\0\0\0\0body".as_slice(), None));
}

#[tokio::test]
async fn an_error_in_a_node_stream_comes_after_what_was_written() {
    let index = "exports.handler = awslambda.streamifyResponse(async (event, stream) => {
        await new Promise((resolve) => stream.write('one', resolve));
        throw new TypeError('broke');
    });";
    let node = common(index).await;
    for _ in 0..2 {
        let (_, body, fault) = streamed(&node).await;
        assert_eq!(body, b"one");
        let Some(Fault::Reported(error)) = fault else { panic!("{fault:?}") };
        assert_eq!((error.error_type.as_str(), error.message.as_str()), ("TypeError", "broke"));
    }
    let early = common(
        "exports.handler = awslambda.streamifyResponse(async () => { throw new TypeError('early'); });",
    )
    .await;
    assert_eq!(reported(early.invoke("{}").await).message, "early");
}

#[tokio::test]
async fn node_streams_more_than_a_whole_answer_may_have() {
    let index = "const { Readable, pipeline } = require('node:stream');
        exports.handler = awslambda.streamifyResponse(async (event, stream) => {
            const source = Readable.from((function* () { for (let i = 0; i < 160; i++) yield Buffer.alloc(65536); })());
            await new Promise((resolve, reject) => pipeline(source, stream, (error) => error ? reject(error) : resolve()));
        });";
    let (_, body, fault) = streamed(&common(index).await).await;
    assert_eq!((body.len(), fault), (160 * 65536, None));
}

#[tokio::test]
async fn a_command_takes_the_place_of_the_node_bootstrap() {
    for (command, expected) in
        [("pwd; echo $COLOUR; exit 4", Some(4)), ("pwd; echo $COLOUR; kill -9 $$", None)]
    {
        let command = Some(vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]);
        let node =
            Waiting::assigned(Language::Nodejs, &[("a", "")], &Assignment { command, ..function("") }).await;
        let output = node.output().await;
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (expected, b"/var/task\ngreen\n".as_slice())
        );
    }
}

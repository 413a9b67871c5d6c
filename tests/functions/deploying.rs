//! What is refused when it is deployed.

use serde_json::json;

use crate::fixture::{ECHO, Scene, zip};

#[test]
fn what_cannot_be_a_function_is_refused_and_leaves_nothing() {
    let scene = Scene::start("fn-deploy");
    let cases = [
        (json!({"runtime": "ruby"}), 422, "unknown_runtime"),
        (json!({"code": {"zip": "bm8gYXJjaGl2ZQ=="}}), 422, "invalid_code"),
        (json!({"code": {"zip": "***"}}), 422, "invalid_code"),
        (json!({"timeout_s": 0}), 422, "invalid_number"),
        (json!({"memory_mb": 1}), 422, "invalid_number"),
        (json!({"handler": null}), 422, "missing_field"),
        (json!({"name": "Upper"}), 422, "invalid_name"),
        (json!({"environment": {"AWS_LAMBDA_RUNTIME_API": "1.2.3.4:1"}}), 422, ""),
        (json!({"surprise": 1}), 422, "unknown_field"),
    ];
    for (more, status, code) in cases {
        let (got, body) = scene.deploy("f", ECHO, &more);
        assert_eq!(got, status, "{more}: {body}");
        assert!(code.is_empty() || body["code"] == code, "{more}: {body}");
        assert_eq!(scene.api.get("/v1/functions/f").0, 404);
    }
    let (status, body) = scene.api.post("/v1/functions?dry_run=true", &json!({"name": "f", "runtime": "python3", "handler": "handler.handler", "code": {"zip": zip(&[("handler.py", ECHO)])}}));
    assert!(status < 300, "{body}");
    assert_eq!(scene.api.get("/v1/functions/f").0, 404);
    let (status, body) = scene.invoke("f", &json!({}));
    assert_eq!((status, body["code"].as_str()), (404, Some("not_found")), "{body}");
}

#[test]
fn code_is_deployed_from_a_directory_by_the_command_line_and_invoked_by_it() {
    let scene = Scene::start("fn-cli");
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("handler.py"),
        "def handler(event, context):\n    print('hello')\n    return {'got': event}\n",
    )
    .unwrap();
    let path = directory.path().to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = scene.daemon.wharf(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run(&[
        "function",
        "deploy",
        path,
        "--name",
        "greets",
        "--runtime",
        "python3",
        "--handler",
        "handler.handler",
    ]);
    assert!(run(&["function", "list"]).contains("greets"));
    let answer = run(&["function", "invoke", "greets", "--event", "{\"a\": 1}"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&answer).unwrap(), json!({"got": {"a": 1}}));
    assert!(run(&["function", "logs", "greets"]).contains("hello"));
    assert!(run(&["function", "trace", "greets"]).contains("mount"));
    assert!(run(&["pool", "list"]).contains("python3"));
    assert!(run(&["environment", "list"]).contains("greets"));
    run(&["function", "delete", "greets"]);
    assert!(!run(&["function", "list"]).contains("greets"));
}

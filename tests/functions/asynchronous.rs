//! Invocations that nobody waits for.

use serde_json::{Value, json};

use crate::fixture::{ECHO, Scene, patiently};

#[test]
fn an_accepted_invocation_is_run_and_its_result_can_be_fetched() {
    let scene = Scene::start("fn-async");
    scene.deployed("echo", ECHO, &json!({}));
    let (status, accepted) = scene.api.post("/v1/functions/echo/invocations?mode=async", &json!({"a": 1}));
    assert_eq!(status, 202, "{accepted}");
    let result = ended(&scene, "echo", &accepted);
    assert_eq!(
        (&result["state"], &result["answer"], &result["attempts"]),
        (&json!("succeeded"), &json!({"a": 1}), &json!(1)),
        "{result}"
    );
}

#[test]
fn one_that_is_accepted_survives_the_daemon_and_one_that_fails_ends_in_a_recorded_failure() {
    let mut scene = Scene::start("fn-async-kill");
    scene.deployed(
        "slow",
        "import time\ndef handler(e, c):\n    time.sleep(0.5)\n    return e\n",
        &json!({}),
    );
    scene.deployed("fails", "def handler(e, c):\n    raise ValueError('always')\n", &json!({}));
    let post = |scene: &Scene, name: &str, n: usize| {
        let (status, accepted) =
            scene.api.post(&format!("/v1/functions/{name}/invocations?mode=async"), &json!(n));
        assert_eq!(status, 202, "{accepted}");
        accepted
    };
    let slow: Vec<_> = (0..5).map(|n| post(&scene, "slow", n)).collect();
    let fails = post(&scene, "fails", 0);
    scene.daemon.restart();
    for (n, accepted) in slow.iter().enumerate() {
        let result = ended(&scene, "slow", accepted);
        assert_eq!((&result["state"], &result["answer"]), (&json!("succeeded"), &json!(n)), "{result}");
    }
    let scheduled =
        scene.api.get(&format!("/v1/functions/fails/invocations/{}", fails["id"].as_str().unwrap())).1;
    patiently("an attempt", || {
        let now =
            scene.api.get(&format!("/v1/functions/fails/invocations/{}", fails["id"].as_str().unwrap())).1;
        now["fault"]["function_error"]["errorType"] == "ValueError"
    });
    assert_ne!(scheduled["state"], "succeeded");
}

fn ended(scene: &Scene, function: &str, accepted: &Value) -> Value {
    let path = format!("/v1/functions/{function}/invocations/{}", accepted["id"].as_str().unwrap());
    let mut result = Value::Null;
    patiently("the invocation to end", || {
        result = scene.api.get(&path).1;
        result["state"] == "succeeded" || result["state"] == "failed"
    });
    result
}

//! Handlers that go wrong: each has a clear error, and costs no other function anything.

use serde_json::{Value, json};

use crate::fixture::{ECHO, Scene};

/// A handler, and what its invocation is answered with: status, code, error type.
type Case = (&'static str, &'static str, u16, &'static str, &'static str);

const CASES: [Case; 13] = [
    ("no-module", "", 502, "function_not_loaded", "Runtime.ImportModuleError"),
    ("no-handler", "x = 1\n", 502, "function_not_loaded", "Runtime.HandlerNotFound"),
    ("syntax", "def handler(:\n", 502, "function_not_loaded", "Runtime.UserCodeSyntaxError"),
    ("raises-at-import", "raise ValueError('at import')\n", 502, "function_not_loaded", "ValueError"),
    ("exits-at-import", "import os\nos._exit(3)\n", 502, "function_not_loaded", "Runtime.ExitError"),
    ("raises", "def handler(e, c):\n    raise KeyError('id')\n", 502, "function_failed", "KeyError"),
    ("not-json", "def handler(e, c):\n    return object()\n", 502, "function_failed", "Runtime.MarshalError"),
    ("exits", "import os\ndef handler(e, c):\n    os._exit(7)\n", 502, "function_ended", "Runtime.ExitError"),
    (
        "never-returns",
        "def handler(e, c):\n    while True: pass\n",
        504,
        "function_timed_out",
        "Sandbox.Timedout",
    ),
    (
        "fills-memory",
        "def handler(e, c):\n    a = []\n    while True: a.append(bytearray(1 << 20))\n",
        502,
        "function_out_of_memory",
        "Runtime.OutOfMemory",
    ),
    (
        "too-large",
        "def handler(e, c):\n    return 'x' * (7 << 20)\n",
        502,
        "answer_too_large",
        "Function.ResponseSizeTooLarge",
    ),
    (
        "closes-the-api",
        "import os\ndef handler(e, c):\n    os.closerange(3, 1024)\n    return 1\n",
        502,
        "function_ended",
        "Runtime.ExitError",
    ),
    ("deep", "def handler(e, c):\n    return handler(e, c)\n", 502, "function_failed", "RecursionError"),
];

#[test]
fn whatever_a_handler_does_wrong_has_its_own_error_and_others_do_not_notice() {
    let scene = Scene::start("fn-faults");
    scene.deployed("echo", ECHO, &json!({}));
    scene.answer("echo", &json!("before"));
    for (name, code, status, problem, error_type) in CASES {
        let file = if name == "no-module" { "other.py" } else { "handler.py" };
        let (accepted, body) = scene.deploy_files(name, &[(file, code)], &json!({"timeout_s": 3}));
        assert_eq!(accepted, 201, "{name}: {body}");
        let (got, answer) = scene.invoke(name, &json!({"n": 1}));
        assert_eq!((got, answer["code"].as_str()), (status, Some(problem)), "{name}: {answer}");
        assert_eq!(answer["function_error"]["errorType"], error_type, "{name}: {answer}");
        assert_eq!(scene.answer("echo", &json!(name)), name);
    }
    let echoes = environments_of(&scene, "echo");
    assert_eq!(echoes.len(), 1, "one environment has served all of it: {echoes:?}");
}

#[test]
fn what_uses_up_everything_uses_up_only_its_own() {
    let scene = Scene::start("fn-greedy");
    scene.deployed("echo", ECHO, &json!({}));
    scene.answer("echo", &json!(0));
    let forks = "import os, time\ndef handler(e, c):\n    count = 0\n    try:\n        while True:\n            if os.fork() == 0:\n                time.sleep(60)\n            count += 1\n    except OSError as error:\n        return [count, error.strerror]\n";
    scene.deployed("forks", forks, &json!({"memory_mb": 512}));
    let answer = scene.answer("forks", &json!({}));
    assert!(answer[0].as_u64().unwrap() < 256, "{answer}");
    assert_eq!(answer[1], "Resource temporarily unavailable");
    assert_eq!(scene.answer("echo", &json!(1)), 1);
    let fills = "def handler(e, c):\n    written = 0\n    try:\n        with open('/tmp/big', 'wb') as file:\n            while True: written += file.write(bytes(1 << 20))\n    except OSError as error:\n        return [written >> 20, error.strerror]\n";
    scene.deployed("fills", fills, &json!({"memory_mb": 256}));
    let answer = scene.answer("fills", &json!({}));
    assert!((100..=128).contains(&answer[0].as_u64().unwrap()), "{answer}");
    assert_eq!(answer[1], "No space left on device");
    assert_eq!(scene.answer("echo", &json!(2)), 2);
    // Files and processes of one invocation are there for the next of the same function, and nobody else.
    let listing = "import os\ndef handler(e, c):\n    return os.listdir('/tmp')\n";
    scene.deployed("lists", listing, &json!({}));
    assert_eq!(scene.answer("lists", &json!({})), json!([]));
}

#[test]
fn nobody_answers_for_somebody_elses_invocation() {
    let scene = Scene::start("fn-forge");
    let forge = "import urllib.request, urllib.error\ndef handler(event, context):\n    outcomes = []\n    for id in event['ids'] + ['x', '../../next', context.aws_request_id + '0']:\n        for end in ('response', 'error'):\n            request = urllib.request.Request(f'http://127.0.0.1:9001/2018-06-01/runtime/invocation/{id}/{end}', b'{}', method='POST')\n            try: outcomes.append(urllib.request.urlopen(request, timeout=2).status)\n            except urllib.error.HTTPError as error: outcomes.append(error.code)\n    return outcomes\n";
    scene.deployed("forges", forge, &json!({}));
    scene.deployed("echo", ECHO, &json!({}));
    scene.answer("echo", &json!(1));
    let invocations = scene.api.get("/v1/functions/echo/invocations").1;
    let id = invocations["items"][0]["id"].clone();
    let outcomes = scene.answer("forges", &json!({"ids": [id]}));
    let refused =
        outcomes.as_array().unwrap().iter().all(|status| (400..500).contains(&status.as_u64().unwrap()));
    assert!(refused, "{outcomes}");
    assert_eq!(scene.answer("echo", &json!(2)), 2);
}

pub(crate) fn environments_of(scene: &Scene, function: &str) -> Vec<Value> {
    scene.environments().into_iter().filter(|environment| environment["function"] == function).collect()
}

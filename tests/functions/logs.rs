//! What a function writes.

use serde_json::json;

use crate::fixture::{Scene, patiently};

#[test]
fn lines_stand_between_start_and_report() {
    let scene = Scene::start("fn-logs");
    scene.deployed("speaks", "import sys\ndef handler(event, context):\n    print('one')\n    print('two', file=sys.stderr)\n    return 1\n", &json!({}));
    scene.answer("speaks", &json!({}));
    let mut texts = Vec::new();
    patiently("all lines", || {
        let (status, body) = scene.api.get("/v1/functions/speaks/logs");
        assert_eq!(status, 200, "{body}");
        let lines = body["items"].as_array().unwrap();
        texts = lines
            .iter()
            .map(|line| {
                (line["stream"].as_str().unwrap().to_owned(), line["text"].as_str().unwrap().to_owned())
            })
            .collect();
        texts.len() >= 5
    });
    assert!(texts[0].0 == "platform" && texts[0].1.starts_with("START RequestId: "), "{texts:?}");
    assert!(
        texts.contains(&("stdout".into(), "one".into())) && texts.contains(&("stderr".into(), "two".into())),
        "{texts:?}"
    );
    let report = &texts.iter().find(|(_, text)| text.starts_with("REPORT")).unwrap().1;
    for part in ["Duration:", "Billed Duration:", "Memory Size: 128 MB", "Max Memory Used:", "Init Duration:"]
    {
        assert!(report.contains(part), "{report}");
    }
}

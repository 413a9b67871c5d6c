//! Clients of the ecosystem, unmodified. AWS's own for Node builds a copy of curl from C++ and is left out.

use std::path::PathBuf;
use std::process::Command;

use super::process::Waiting;
use super::*;
use crate::Language;

#[tokio::test]
async fn aws_own_client_for_python_serves_as_a_command() {
    let client = awslambdaric();
    let app = "def handler(event, context):\n    if event: return [event, context.function_name, context.aws_request_id]\n    raise KeyError('x')\n";
    let command = ["/usr/bin/python3", "-m", "awslambdaric", "app.handler"].map(String::from).into();
    let mut assignment = Assignment { command: Some(command), ..function("app.handler") };
    assignment.environment.push(("PYTHONPATH".into(), client.to_str().expect("text").into()));
    for language in [Language::Python3, Language::Provided] {
        let python = Waiting::assigned(language, &[("app.py", app)], &assignment).await;
        assert_eq!(python.initialised().await, Ok(()));
        for _ in 0..2 {
            let answer = python.invoke("{\"a\": 1}").await.expect("it answers");
            assert_eq!(text(answer), r#"[{"a": 1}, "probe", "request-1"]"#);
            assert_eq!(reported(python.invoke("0").await).error_type, "KeyError");
        }
    }
    assignment.command.as_mut().expect("it is set")[3] = "missing.handler".into();
    let python = Waiting::assigned(Language::Provided, &[("app.py", app)], &assignment).await;
    let Err(Fault::Init(error)) = python.initialised().await else { panic!("there is no handler") };
    assert_eq!(error.error_type, "Runtime.ImportModuleError");
}

#[tokio::test]
async fn aws_own_client_for_rust_serves() {
    // Cargo builds examples with the tests.
    let client = target().join("debug/examples/lambda");
    let command = Some(vec![client.to_str().expect("text").to_owned()]);
    let assignment = Assignment { command, ..function("") };
    let rust = Waiting::assigned(Language::Provided, &[("a", "")], &assignment).await;
    assert_eq!(rust.initialised().await, Ok(()));
    for _ in 0..2 {
        let answer = rust.invoke("{\"a\":1}").await.expect("it answers");
        assert_eq!(text(answer), r#"[{"a":1},"request-1","probe"]"#);
        assert_eq!(reported(rust.invoke("null").await).message, "nothing to do");
    }
}

/// Where it is; installed once for all runs of the tests.
fn awslambdaric() -> PathBuf {
    let target = target();
    let (installed, fresh) =
        (target.join(AWSLAMBDARIC), target.join(format!("{AWSLAMBDARIC}.{}", std::process::id())));
    if !installed.exists() {
        let mut pip = Command::new("/usr/bin/python3");
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&fresh).arg(AWSLAMBDARIC);
        let output = pip.output().expect("python3 is installed");
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "pip (Debian: python3-pip) cannot install {AWSLAMBDARIC}: {complaint}"
        );
        // Another run may have been quicker.
        _ = std::fs::rename(&fresh, &installed);
    }
    installed
}

/// The target directory, where this program is `debug/deps/sandbox-…`.
fn target() -> PathBuf {
    let program = std::env::current_exe().expect("it runs");
    program.ancestors().nth(3).expect("it is in the target directory").to_owned()
}

const AWSLAMBDARIC: &str = "awslambdaric==4.2.2";

//! The environment variables of a function's processes.

use std::net::SocketAddr;

use crate::Assignment;

/// Where the code is.
pub(crate) const TASK_ROOT: &str = "/var/task";

/// All variables of a function: AWS's, and its own over those that are not reserved. Each name once, in order.
pub(crate) fn of(assignment: &Assignment, api: SocketAddr) -> Vec<(String, String)> {
    let own =
        assignment.environment.iter().filter(|(name, value)| is_possible(name, value) && !is_reserved(name));
    let mut variables: std::collections::BTreeMap<_, _> =
        DEFAULTS.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    variables.extend(own.cloned());
    variables.extend(given(assignment, api).map(|(name, value)| (name.to_owned(), value)));
    variables.into_iter().collect()
}

/// The name that a function has towards its clients, in the form that they take apart.
pub(crate) fn arn(assignment: &Assignment) -> String {
    format!("arn:aws:lambda:{REGION}:000000000000:function:{}:{}", assignment.function, assignment.version)
}

/// What only we say.
fn given(assignment: &Assignment, api: SocketAddr) -> impl Iterator<Item = (&'static str, String)> {
    let function = &assignment.function;
    [
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", assignment.memory_mb.to_string()),
        ("AWS_LAMBDA_FUNCTION_NAME", function.clone()),
        ("AWS_LAMBDA_FUNCTION_VERSION", assignment.version.to_string()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/wharf/functions/{function}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", assignment.version.to_string()),
        ("AWS_LAMBDA_RUNTIME_API", api.to_string()),
        ("LAMBDA_RUNTIME_DIR", "/opt/wharf".to_owned()),
        ("LAMBDA_TASK_ROOT", TASK_ROOT.to_owned()),
        ("_HANDLER", assignment.handler.clone()),
    ]
    .into_iter()
}

/// Whether a function may not say it itself.
fn is_reserved(name: &str) -> bool {
    name.starts_with("AWS_LAMBDA_") || RESERVED.contains(&name)
}

/// Whether execve(2) can pass it on.
fn is_possible(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Functions run here, and not in a region of AWS; clients that need a name get this one.
const REGION: &str = "local";

/// What a function may say otherwise.
const DEFAULTS: &[(&str, &str)] = &[
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_REGION", REGION),
    ("HOME", "/tmp"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/local/bin:/usr/bin:/bin:/opt/bin"),
    ("TZ", ":UTC"),
];

const RESERVED: &[&str] = &["LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "_HANDLER", "_X_AMZN_TRACE_ID"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CodeId;

    fn variables(own: &[(&str, &str)]) -> Vec<(String, String)> {
        let assignment = Assignment {
            function: "shop-search".into(),
            version: 7,
            handler: "app.find".into(),
            command: None,
            environment: own.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            code: CodeId::NONE,
            memory_mb: 256,
            timeout: std::time::Duration::from_secs(3),
            dns_servers: Vec::new(),
        };
        of(&assignment, ([127, 0, 0, 1], 9001).into())
    }

    fn value<'a>(variables: &'a [(String, String)], name: &str) -> Option<&'a str> {
        let mut found = variables.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let value = found.next();
        assert_eq!(found.next(), None, "{name} is there twice");
        value
    }

    #[test]
    fn clients_find_what_aws_would_tell_them() {
        let variables = variables(&[]);
        for (name, expected) in [
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
            ("AWS_LAMBDA_FUNCTION_NAME", "shop-search"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "7"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
            ("_HANDLER", "app.find"),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("TZ", ":UTC"),
        ] {
            assert_eq!(value(&variables, name), Some(expected), "{name}");
        }
    }

    #[test]
    fn a_function_has_its_own_variables_except_those_that_are_reserved() {
        let own = [
            ("TABLE", "users"),
            ("TZ", "Europe/Berlin"),
            ("AWS_LAMBDA_FUNCTION_NAME", "other"),
            ("AWS_LAMBDA_ANYTHING", "x"),
            ("_HANDLER", "x.y"),
            ("", "x"),
            ("A=B", "x"),
            ("C", "x\0y"),
        ];
        let variables = variables(&own);
        for (name, expected) in [
            ("TABLE", Some("users")),
            ("TZ", Some("Europe/Berlin")),
            ("AWS_LAMBDA_FUNCTION_NAME", Some("shop-search")),
            ("AWS_LAMBDA_ANYTHING", None),
            ("_HANDLER", Some("app.find")),
            ("", None),
            ("A=B", None),
            ("C", None),
        ] {
            assert_eq!(value(&variables, name), expected, "{name}");
        }
    }
}

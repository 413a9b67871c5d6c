use std::collections::BTreeMap;

use super::*;

fn function() -> NewFunction {
    NewFunction {
        name: "users".into(),
        runtime: "python3".into(),
        handler: Some("handler.handler".into()),
        ..NewFunction::default()
    }
}

fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()));
    Variables(pairs.collect::<BTreeMap<_, _>>())
}

#[test]
fn what_was_left_out_is_filled_in() {
    let spec = function().validate().unwrap();
    assert_eq!((spec.version.timeout_s, spec.version.memory_mb), (3, 128));
    assert_eq!((spec.concurrency, spec.keep_alive_s, spec.connectors.len()), (None, 300, 0));
    assert_eq!(spec.asked, function());
}

#[test]
fn only_code_that_brings_its_own_start_needs_no_handler() {
    let without = |runtime: &str, command: Option<&[&str]>| NewFunction {
        runtime: runtime.into(),
        handler: None,
        command: command.map(|all| all.iter().map(ToString::to_string).collect()),
        ..function()
    };
    assert!(without("provided", None).validate().is_ok());
    assert!(without("python3", Some(&["/var/task/run"])).validate().is_ok());
    let problem = without("python3", None).validate().unwrap_err();
    assert_eq!((problem.code(), problem.field()), (Code::MissingField, Some("handler")));
}

#[test]
fn wrong_fields_are_named_with_their_code() {
    let long = |n: usize| "x".repeat(n);
    let command = |all: &[&str]| Some(all.iter().map(ToString::to_string).collect::<Vec<_>>());
    let names = |n: usize| Some((0..n).map(|i| format!("k{i}")).collect::<Vec<_>>());
    for (new, code, field) in [
        (NewFunction { name: "a_b".into(), ..function() }, Code::InvalidName, "name"),
        (NewFunction { runtime: "Python".into(), ..function() }, Code::InvalidName, "runtime"),
        (NewFunction { handler: Some(String::new()), ..function() }, Code::InvalidHandler, "handler"),
        (NewFunction { handler: Some("a b".into()), ..function() }, Code::InvalidHandler, "handler"),
        (NewFunction { handler: Some(long(129)), ..function() }, Code::InvalidHandler, "handler"),
        (NewFunction { command: command(&[]), ..function() }, Code::InvalidCommand, "command"),
        (NewFunction { command: command(&["", "a"]), ..function() }, Code::InvalidCommand, "command"),
        (NewFunction { command: command(&["a", "b\0"]), ..function() }, Code::InvalidCommand, "command"),
        (NewFunction { command: command(&[&long(4_097)]), ..function() }, Code::InvalidCommand, "command"),
        (NewFunction { command: command(&["a"; 65]), ..function() }, Code::InvalidCommand, "command"),
        (NewFunction { connectors: names(17), ..function() }, Code::LimitReached, "connectors"),
        (NewFunction { connectors: command(&["k", "k"]), ..function() }, Code::InvalidName, "connectors[1]"),
        (NewFunction { connectors: command(&["K"]), ..function() }, Code::InvalidName, "connectors[0]"),
    ] {
        let problem = new.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (code, Some(field)), "{problem}");
    }
}

#[test]
fn numbers_are_checked_below_and_above_every_limit() {
    type Set = fn(&mut NewFunction, i64);
    let fields: [(&str, i64, i64, Set); 4] = [
        ("timeout_s", 1, 900, |new, n| new.timeout_s = Some(n)),
        ("memory_mb", 64, 3_008, |new, n| new.memory_mb = Some(n)),
        ("concurrency", 1, 1_000, |new, n| new.concurrency = Some(n)),
        ("keep_alive_s", 0, 86_400, |new, n| new.keep_alive_s = Some(n)),
    ];
    for (field, least, most, set) in fields {
        for (number, right) in
            [(i64::MIN, false), (least - 1, false), (least, true), (most, true), (most + 1, false)]
        {
            let mut new = function();
            set(&mut new, number);
            match new.validate() {
                Ok(_) => assert!(right, "{field} {number}"),
                Err(problem) => {
                    assert!(!right, "{problem}");
                    assert_eq!((problem.code(), problem.field()), (Code::InvalidNumber, Some(field)));
                }
            }
        }
    }
}

#[test]
fn variables_have_names_that_are_free_and_bounds() {
    let fits = "x".repeat(4_093);
    for right in [
        &[("A", ""), ("_b9", "two\nlines"), ("AWS_REGION", "eu-1"), ("PATH", "/bin")][..],
        &[("ABC", fits.as_str())],
    ] {
        let spec = NewFunction { environment: Some(variables(right)), ..function() }.validate().unwrap();
        assert_eq!(spec.version.environment, variables(right));
    }
    for (wrong, field) in [
        (("", "x"), "environment"),
        (("9A", "x"), "environment"),
        (("A-B", "x"), "environment"),
        (("A=B", "x"), "environment"),
        (("ABCD", fits.as_str()), "environment"),
        (("A", "\0"), "environment.A"),
        (("_HANDLER", "x"), "environment._HANDLER"),
        (("LAMBDA_TASK_ROOT", "/"), "environment.LAMBDA_TASK_ROOT"),
        (("AWS_LAMBDA_RUNTIME_API", "x"), "environment.AWS_LAMBDA_RUNTIME_API"),
        (("WHARF_X", "x"), "environment.WHARF_X"),
    ] {
        let problem =
            NewFunction { environment: Some(variables(&[wrong])), ..function() }.validate().unwrap_err();
        assert_eq!((problem.code(), problem.field()), (Code::InvalidEnvironment, Some(field)), "{wrong:?}");
    }
}

#[test]
fn neither_values_of_variables_nor_code_are_written_for_debugging() {
    let code = Some(NewCode { zip: "c2VjcmV0".into() });
    let new = NewFunction { environment: Some(variables(&[("TOKEN", "hunter2")])), code, ..function() };
    let written = format!("{new:?}");
    assert!(written.contains("TOKEN") && !written.contains("hunter2"), "{written}");
    assert!(!written.contains("c2VjcmV0"), "{written}");
    let spec = new.validate().unwrap();
    assert_eq!(spec.asked.code, None, "nothing keeps the archive");
    assert!(!format!("{spec:?}").contains("hunter2"));
}

#[test]
fn a_hash_of_code_is_64_small_hexadecimal_digits() {
    let hash = "0123456789abcdef".repeat(4);
    assert_eq!(CodeHash::parse(&hash).unwrap().as_str(), hash);
    for wrong in ["", &hash[1..], &format!("{hash}0"), &hash.to_uppercase(), &hash.replace('a', "g")] {
        assert_eq!(CodeHash::parse(wrong), None, "{wrong:?}");
    }
    assert!(serde_json::from_str::<StoredCode>(r#"{"code":"x","code_bytes":1}"#).is_err());
}

//! Changes of what was asked for: JSON merge patches (RFC 7396).

use std::future::Future;

use control_core::{Code, Problem};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::extract::from_json;
use crate::app::Call;

/// How often a patch is put on top of what others have changed in the meantime.
const TRIES: u32 = 16;

/// Puts a patch on what was asked for, and carries it out. Whoever does not say what it looked at means the patch on top of whatever
/// there is.
pub(super) async fn apply<T, V, F>(
    mut call: Call,
    patch: Map<String, Value>,
    asked: impl Fn(&Call) -> Result<(T, u64), Problem>,
    update: impl Fn(Call, T) -> F,
) -> Result<V, Problem>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<V, Problem>>,
{
    if call.expected.is_some() {
        let (asked, _) = asked(&call)?;
        return update(call, merge(&asked, patch)?).await;
    }
    for _ in 1..TRIES {
        let (asked, revision) = asked(&call)?;
        call.expected = Some(revision);
        let patched = merge(&asked, patch.clone())?;
        match update(call.clone(), patched).await {
            Err(problem) if problem.code() == Code::Changed => {}
            outcome => return outcome,
        }
    }
    let detail = "others change it again and again; try again later";
    Err(Problem::new(Code::Changed, detail))
}

/// What is asked for, with a patch.
fn merge<T: Serialize + DeserializeOwned>(asked: &T, patch: Map<String, Value>) -> Result<T, Problem> {
    let mut whole = serde_json::to_value(asked).expect("what was asked for is plain data");
    for (field, value) in patch {
        merge_field(&mut whole, field, value);
    }
    from_json(whole.to_string().as_bytes())
}

fn merge_field(into: &mut Value, field: String, value: Value) {
    let Some(object) = into.as_object_mut() else { return };
    match value {
        Value::Null => _ = object.remove(&field),
        Value::Object(fields) => {
            let inner = object.entry(field).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            for (field, value) in fields {
                merge_field(inner, field, value);
            }
        }
        other => _ = object.insert(field, other),
    }
}

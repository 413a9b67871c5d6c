//! Environment variables of a function.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::limits::VARIABLES_BYTES;
use crate::{Code, Faults, Problem};

/// Environment variables by their names. Values are shown to their tenant alone: what is written for debugging has only the names.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(transparent)]
pub struct Variables(pub BTreeMap<String, String>);

/// Names that the runtime API gives a value, or that decide how the bootstrap is found.
const RESERVED: [&str; 5] =
    ["_HANDLER", "_X_AMZN_TRACE_ID", "AWS_EXECUTION_ENV", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT"];

/// Beginnings of such names.
const RESERVED_BEGINNINGS: [&str; 2] = ["AWS_LAMBDA_", "WHARF_"];

impl Variables {
    /// Checks names, values and how much it is together, blaming `field`.
    pub(crate) fn validate(self, field: &str) -> Result<Self, Problem> {
        let mut faults = Faults::default();
        let invalid = |detail: String| Problem::new(Code::InvalidEnvironment, detail);
        for (name, value) in &self.0 {
            if !is_name(name) {
                let detail = "a variable's name is letters, digits and underscores, and begins with no digit";
                faults.note(invalid(detail.to_owned()).at(field));
            } else if is_reserved(name) {
                let detail = format!("{name} is one of the runtime's own variables; choose another name");
                faults.note(invalid(detail).at(format!("{field}.{name}")));
            } else if value.contains('\0') {
                let detail = format!("the value of {name} has a NUL, which no variable can have");
                faults.note(invalid(detail).at(format!("{field}.{name}")));
            }
        }
        let bytes = self.bytes();
        if bytes > VARIABLES_BYTES {
            let detail =
                format!("names and values have at most {VARIABLES_BYTES} bytes together, not {bytes}");
            faults.note(invalid(detail).at(field));
        }
        faults.end(Some(self))
    }

    /// Names and values together.
    fn bytes(&self) -> usize {
        self.0.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name) || RESERVED_BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

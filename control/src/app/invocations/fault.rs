//! Why a function has not answered, as callers and deliveries are told. Here and nowhere else.

use control_core::{Code, DeliveryFault, Problem, Retry, TraceSpan};
use sandbox::Fault;
use serde_json::Value;

use super::FaultView;

/// Why a function has not answered, or not to the end.
#[derive(Clone, Debug)]
pub(crate) struct InvocationFault {
    pub(crate) problem: Problem,
    /// What the function itself says of it.
    pub(crate) report: Option<Value>,
    /// Whether another attempt makes sense.
    pub(crate) retry: Retry,
    /// What took how long until then.
    pub(crate) spans: Vec<TraceSpan>,
}

/// Longest report that is kept with a delivery, and longest detail. Bytes.
const REPORT_BYTES: usize = 32 * 1024;
const DETAIL_BYTES: usize = 4 * 1024;

impl InvocationFault {
    /// A function's fault.
    pub(crate) fn of_sandbox(fault: &Fault) -> Self {
        let (code, retry) = match fault {
            Fault::Reported(_) => (Code::FunctionFailed, Retry::Function),
            Fault::Init(_) => (Code::FunctionNotLoaded, Retry::Function),
            Fault::TimedOut { .. } => (Code::FunctionTimedOut, Retry::Function),
            Fault::ResponseTooLarge { .. } => (Code::AnswerTooLarge, Retry::Never),
            Fault::OutOfMemory { .. } => (Code::FunctionOutOfMemory, Retry::Function),
            Fault::Exited(_) => (Code::FunctionEnded, Retry::Function),
            Fault::Removed => (Code::NoEnvironment, Retry::Platform),
        };
        let detail = bounded(fault.to_string(), DETAIL_BYTES);
        Self { problem: Problem::new(code, detail), report: Some(report(fault)), retry, spans: Vec::new() }
    }

    /// The same with what took how long until then.
    pub(crate) fn after(self, spans: Vec<TraceSpan>) -> Self {
        Self { spans, ..self }
    }

    /// As it is kept with a delivery.
    pub(super) fn kept(self) -> DeliveryFault {
        let report = self.report.map(|report| report.to_string()).filter(|text| text.len() <= REPORT_BYTES);
        let detail = bounded(self.problem.detail().to_owned(), DETAIL_BYTES);
        DeliveryFault { code: self.problem.code(), detail, report, retry: self.retry }
    }

    pub(super) fn view(&self) -> FaultView {
        FaultView {
            code: self.problem.code().as_str(),
            detail: self.problem.detail().to_owned(),
            function_error: self.report.clone().filter(|report| report.to_string().len() <= REPORT_BYTES),
        }
    }
}

/// What was refused before it came to a function. Whether time will change that, its code says.
impl From<Problem> for InvocationFault {
    fn from(problem: Problem) -> Self {
        let retry = match problem.code() {
            Code::FunctionNotLoaded => Retry::Function,
            // After a start, VPCs come one by one; addresses and endpoints are another's as long as that lasts.
            Code::TooManyInvocations
            | Code::LimitReached
            | Code::Internal
            | Code::NotReady
            | Code::PublicationTaken
            | Code::AddressTaken
            | Code::AddressInUse
            | Code::ExternalTaken => Retry::Platform,
            code if code.status() == 503 => Retry::Platform,
            _ => Retry::Never,
        };
        Self { problem, report: None, retry, spans: Vec::new() }
    }
}

impl From<Problem> for Box<InvocationFault> {
    fn from(problem: Problem) -> Self {
        Self::new(problem.into())
    }
}

/// What the function has reported, if it did, in the form in which all functions do.
fn report(fault: &Fault) -> Value {
    if let Fault::Reported(error) | Fault::Init(error) = fault
        && let Ok(report @ Value::Object(_)) = serde_json::from_slice(&error.report)
    {
        return report;
    }
    let message = match fault {
        Fault::Reported(error) | Fault::Init(error) => error.message.clone(),
        other => other.to_string(),
    };
    serde_json::json!({ "errorType": fault.error_type(), "errorMessage": bounded(message, DETAIL_BYTES) })
}

fn bounded(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        text.truncate(text.floor_char_boundary(bytes));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sandbox::{Exit, FunctionError};

    use super::*;

    fn error(report: &'static str) -> FunctionError {
        let (error_type, message) = ("KeyError".into(), "'id'".into());
        FunctionError { error_type, message, report: report.into() }
    }

    #[test]
    fn each_fault_has_a_code_and_a_way_to_go_on() {
        let ended = Fault::Exited(Exit::Signal(9));
        let cases = [
            (Fault::Reported(error("{}")), "function_failed", 502, Retry::Function),
            (Fault::Init(error("{}")), "function_not_loaded", 502, Retry::Function),
            (Fault::TimedOut { after: Duration::from_secs(3) }, "function_timed_out", 504, Retry::Function),
            (Fault::ResponseTooLarge { limit: 9 }, "answer_too_large", 502, Retry::Never),
            (Fault::OutOfMemory { limit_mb: 128 }, "function_out_of_memory", 502, Retry::Function),
            (ended, "function_ended", 502, Retry::Function),
            (Fault::Removed, "no_environment", 503, Retry::Platform),
        ];
        for (fault, code, status, retry) in cases {
            let told = InvocationFault::of_sandbox(&fault);
            assert_eq!((told.problem.code().as_str(), told.problem.code().status()), (code, status));
            assert_eq!(told.retry, retry, "{code}");
            assert_eq!(told.kept().code.as_str(), code);
        }
    }

    #[test]
    fn what_is_refused_before_the_function_is_tried_again_if_time_may_change_it() {
        for (code, retry) in [
            (Code::TooManyInvocations, Retry::Platform),
            (Code::NoEnvironment, Retry::Platform),
            (Code::ShuttingDown, Retry::Platform),
            (Code::FunctionNotLoaded, Retry::Function),
            (Code::NotFound, Retry::Never),
            (Code::NotApproved, Retry::Never),
            (Code::MayNotUse, Retry::Never),
        ] {
            assert_eq!(InvocationFault::from(Problem::new(code, "no")).retry, retry, "{code}");
        }
    }

    #[test]
    fn a_report_is_the_functions_own_or_made_in_its_form() {
        let of = |fault: &Fault| InvocationFault::of_sandbox(fault).report.unwrap().to_string();
        let own = r#"{"errorMessage":"'id'","errorType":"KeyError","stackTrace":["a"]}"#;
        assert_eq!(of(&Fault::Reported(error(own))), own);
        let made = r#"{"errorMessage":"'id'","errorType":"KeyError"}"#;
        for none in ["", "[]", "KeyError"] {
            assert_eq!(of(&Fault::Reported(error(none))), made);
        }
        let out_of_memory = of(&Fault::OutOfMemory { limit_mb: 64 });
        assert!(out_of_memory.contains("Runtime.OutOfMemory") && out_of_memory.contains("64 MB"));
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let long = |bytes| "ä".repeat(bytes / 2);
        let report = format!(r#"{{"errorMessage":"{}"}}"#, long(2 * REPORT_BYTES));
        let fault = FunctionError { error_type: "E".into(), message: long(10_000), report: report.into() };
        let kept = InvocationFault::of_sandbox(&Fault::Reported(fault)).kept();
        assert!(kept.detail.len() <= DETAIL_BYTES + '…'.len_utf8() && kept.detail.ends_with('…'));
        assert_eq!(kept.report, None);
    }
}

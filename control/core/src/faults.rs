//! Everything that is wrong with a request, found in one go.

use crate::Problem;

/// Collects what is wrong, so that a client hears of all of it at once.
#[derive(Debug, Default)]
pub struct Faults(Vec<Problem>);

impl Faults {
    /// The value of what is right; what is wrong is noted.
    pub fn take<T>(&mut self, outcome: Result<T, Problem>) -> Option<T> {
        outcome.map_err(|problem| self.0.push(problem)).ok()
    }

    /// Notes what is wrong beyond a single value.
    pub fn note(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// The value if nothing was wrong. Values are all there exactly then: what is `None` has been noted.
    pub fn end<T>(self, value: Option<T>) -> Result<T, Problem> {
        match (Problem::all(self.0), value) {
            (Some(problem), _) => Err(problem),
            (None, Some(value)) => Ok(value),
            (None, None) => unreachable!("what is missing has been noted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Code;

    #[test]
    fn all_that_is_wrong_is_told_and_the_first_names_the_problem() {
        let wrong = |field: &str| Err::<(), _>(Problem::new(Code::InvalidName, "no").at(field));
        let mut faults = Faults::default();
        assert_eq!(faults.take(Ok(7)), Some(7));
        assert_eq!((faults.take(wrong("a")), faults.take(wrong("b"))), (None, None));
        let problem = faults.end::<()>(None).unwrap_err();
        assert_eq!((problem.field(), problem.code()), (Some("a"), Code::InvalidName));
        let fields: Vec<_> = problem.errors().map(|error| error.field().unwrap()).collect();
        assert_eq!(fields, ["a", "b"]);
        assert_eq!(Faults::default().end(Some(1)), Ok(1));
    }
}

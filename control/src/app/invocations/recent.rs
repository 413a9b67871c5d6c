//! Invocations whose callers waited: remembered for a while, in memory, for those who look at traces.

use std::collections::{BTreeMap, HashMap, VecDeque};

use control_core::{FullName, InvocationId, TraceSpan};

use super::views::{FaultView, InvocationView};
use crate::app::now;

/// Invocations of one function that are remembered.
const PER_FUNCTION: usize = 128;

/// Invocations of all functions that are remembered.
const ALL: usize = 16_384;

/// The latest invocations.
#[derive(Default)]
pub(super) struct Recent {
    all: BTreeMap<InvocationId, (FullName, InvocationView)>,
    /// The oldest first.
    of: HashMap<FullName, VecDeque<InvocationId>>,
}

impl Recent {
    /// One begins. The oldest give way.
    pub(super) fn begin(&mut self, id: InvocationId, function: FullName, version: u64) {
        let view = InvocationView::begun(id, &function, version);
        let own = self.of.entry(function.clone()).or_default();
        own.push_back(id);
        let oldest = if own.len() > PER_FUNCTION { own.pop_front() } else { None };
        self.all.insert(id, (function, view));
        if let Some(oldest) = oldest {
            self.all.remove(&oldest);
        }
        while self.all.len() > ALL {
            self.forget_oldest();
        }
    }

    /// What took how long in it.
    pub(super) fn trace(&mut self, id: InvocationId, spans: Vec<TraceSpan>) {
        if let Some((_, view)) = self.all.get_mut(&id) {
            view.spans = spans;
        }
    }

    /// It has ended, with this fault if it failed.
    pub(super) fn end(&mut self, id: InvocationId, fault: Option<FaultView>) {
        if let Some((_, view)) = self.all.get_mut(&id) {
            view.state = if fault.is_some() { "failed" } else { "succeeded" };
            view.fault = fault;
            view.ended_at_ms = Some(now().as_millis() as u64);
        }
    }

    /// It has ended, unless it is known how.
    pub(super) fn end_if_running(&mut self, id: InvocationId) {
        if self.all.get(&id).is_some_and(|(_, view)| view.ended_at_ms.is_none()) {
            self.end(id, None);
        }
    }

    /// One of a function.
    pub(super) fn find(&self, function: &FullName, id: InvocationId) -> Option<InvocationView> {
        self.all.get(&id).filter(|(of, _)| of == function).map(|(_, view)| view.clone())
    }

    /// The latest of a function, the newest first.
    pub(super) fn of(&self, function: &FullName, limit: usize) -> Vec<InvocationView> {
        let ids = self.of.get(function).into_iter().flat_map(|ids| ids.iter().rev());
        ids.take(limit).filter_map(|id| self.all.get(id)).map(|(_, view)| view.clone()).collect()
    }

    /// Nothing is known of it any more.
    pub(super) fn forget(&mut self, id: InvocationId) {
        let Some((function, _)) = self.all.remove(&id) else { return };
        self.forget_id(&function, id);
    }

    /// Nothing is known of a function any more.
    pub(super) fn forget_all(&mut self, function: &FullName) {
        for id in self.of.remove(function).unwrap_or_default() {
            self.all.remove(&id);
        }
    }

    fn forget_oldest(&mut self) {
        let Some((id, (function, _))) = self.all.pop_first() else { return };
        self.forget_id(&function, id);
    }

    fn forget_id(&mut self, function: &FullName, id: InvocationId) {
        let Some(own) = self.of.get_mut(function) else { return };
        own.retain(|other| *other != id);
        if own.is_empty() {
            self.of.remove(function);
        }
    }
}

#[cfg(test)]
mod tests {
    use control_core::Name;

    use super::*;

    fn function(number: usize) -> FullName {
        let name = |text: String| Name::parse("name", text).unwrap();
        FullName::new(&name("acme".into()), &name(format!("f{number}")))
    }

    fn id(number: usize) -> InvocationId {
        InvocationId::new(number as u64, [0; 10])
    }

    #[test]
    fn the_oldest_are_forgotten_of_each_function_and_of_all() {
        let mut recent = Recent::default();
        for number in 0..=PER_FUNCTION {
            recent.begin(id(number), function(0), 1);
        }
        assert!(recent.find(&function(0), id(0)).is_none());
        let newest = recent.of(&function(0), 2);
        assert_eq!(
            newest.iter().map(|view| view.id.clone()).collect::<Vec<_>>(),
            [id(PER_FUNCTION).to_string(), id(PER_FUNCTION - 1).to_string()]
        );
        for number in 1..=ALL {
            recent.begin(id(1_000 + number), function(number), 1);
        }
        assert_eq!(recent.all.len(), ALL);
        assert!(recent.of(&function(0), 9).is_empty() && !recent.of.contains_key(&function(0)));
        assert!(recent.find(&function(1), id(1_001)).is_some());
        assert!(recent.find(&function(2), id(1_001)).is_none(), "it is another function's");
    }
}

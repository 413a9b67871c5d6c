//! Pages of lists.

use control_core::limits::{PAGE_DEFAULT, PAGE_MAX};
use control_core::{Code, Name, Problem};

/// Which part of a list is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// At most this many.
    pub(crate) limit: usize,
    /// After this name.
    pub(crate) after: Option<Name>,
}

/// A part of a list, as it was at a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slice<T> {
    pub(crate) items: Vec<T>,
    /// Where to go on; `None` at the end.
    pub(crate) next: Option<String>,
    pub(crate) revision: u64,
}

impl Page {
    /// Checks what a query says.
    pub(crate) fn parse(limit: Option<&str>, cursor: Option<&str>) -> Result<Self, Problem> {
        let limit = limit.map_or(Ok(PAGE_DEFAULT), |text| {
            let number = text.parse().ok().filter(|limit| (1..=PAGE_MAX).contains(limit));
            let detail = || format!("{text:?} is not a number from 1 to {PAGE_MAX}");
            number.ok_or_else(|| Problem::new(Code::InvalidQuery, detail()).at("limit"))
        });
        let after = cursor.map(|text| {
            let unknown = |_| {
                let detail = "give the next_cursor of the page before, unchanged";
                Problem::new(Code::InvalidQuery, detail).at("cursor")
            };
            Name::parse("cursor", text.to_owned()).map_err(unknown)
        });
        Ok(Self { limit: limit?, after: after.transpose()? })
    }

    /// The page of what comes in order after its cursor.
    pub(crate) fn of<T, V>(
        &self,
        revision: u64,
        all: impl Iterator<Item = T>,
        name: impl Fn(&V) -> &str,
        view: impl Fn(T) -> V,
    ) -> Slice<V> {
        let mut all = all;
        let items: Vec<V> = all.by_ref().take(self.limit).map(view).collect();
        let next = all.next().and_then(|_| items.last()).map(|last| name(last).to_owned());
        Slice { items, next, revision }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_cursors_are_checked() {
        assert_eq!(Page::parse(None, None), Ok(Page { limit: 100, after: None }));
        for (limit, right) in [("0", false), ("1", true), ("1000", true), ("1001", false), ("x", false)] {
            assert_eq!(Page::parse(Some(limit), None).is_ok(), right, "{limit}");
        }
        assert_eq!(Page::parse(None, Some("A B")).unwrap_err().field(), Some("cursor"));
    }

    #[test]
    fn only_a_page_with_something_behind_it_has_a_next_one() {
        let page = Page { limit: 2, after: None };
        let names = ["a", "b", "c"];
        let slice = |n: usize| page.of(7, names[..n].iter(), |name: &String| name, ToString::to_string);
        assert_eq!(slice(3).next.as_deref(), Some("b"));
        assert_eq!((slice(2).next, slice(0).next), (None, None));
    }
}

//! The names of states. The reading of a state is the index of its name.

use super::path::ValuePath;
use super::point::{MAX_NAME, Omission};
use super::query::SeriesQuery;
use crate::sync::lock;
use crate::sync::memory_budget::{Reservation, Share};
use std::sync::{Arc, Mutex};

/// Maximum number of states of a field. A field with more states is rather a text than a state.
pub const MAX_STATES: usize = 32;
/// Approximate size of a name without its text, in bytes.
const NAME_BYTES: usize = 64;

/// The names of the states of each field. All folds whose tables are merged share them, so that an index refers to the
/// same name in all tables, and stays valid: names are added, but never removed.
///
/// If a field exceeds the limit, the points that were folded before lack the readings that were omitted, so their last
/// states would be wrong. All tables must then be discarded, and the records folded again with the names that
/// [`after_excess`](Self::after_excess) returns. They omit every reading of the field.
pub struct StateNames(Mutex<SharedNames>);

struct SharedNames {
    /// The fields in the order of [`SeriesQuery::states`].
    fields: Vec<(ValuePath, StateList)>,
    /// Whether a field has exceeded the limit since these names were created.
    has_new_excess: bool,
    memory: Reservation,
    share: Arc<Share>,
}

/// The states of one field.
#[derive(Debug, Clone, Default)]
struct StateList {
    names: Vec<Arc<str>>,
    /// Whether the field has exceeded the limit.
    is_exceeded: bool,
}

impl StateList {
    /// Returns the index of a name, or `None` if the name is new.
    fn index(&self, name: &str) -> Option<Result<usize, Omission>> {
        match self.is_exceeded {
            true => Some(Err(Omission::TooManyStates)),
            false => self.names.iter().position(|known| **known == *name).map(Ok),
        }
    }
}

impl StateNames {
    /// Creates empty lists, which reserve their memory from `share`.
    pub fn new(query: &SeriesQuery, share: &Arc<Share>) -> Arc<Self> {
        Self::of(query.states.iter().map(|path| (path.clone(), StateList::default())).collect(), share)
    }

    fn of(fields: Vec<(ValuePath, StateList)>, share: &Arc<Share>) -> Arc<Self> {
        let memory = share.empty_reservation();
        Arc::new(Self(Mutex::new(SharedNames { fields, has_new_excess: false, memory, share: share.clone() })))
    }

    /// Returns the names of each field in the order of their indexes.
    pub fn all(&self) -> Vec<(ValuePath, Vec<Arc<str>>)> {
        lock(&self.0).fields.iter().map(|(path, list)| (path.clone(), list.names.clone())).collect()
    }

    /// Returns the names with which to start over, if a field has exceeded the limit since these names were created.
    pub fn after_excess(&self) -> Option<Arc<Self>> {
        let shared = lock(&self.0);
        let without_names = |(path, list): &(ValuePath, StateList)| {
            (path.clone(), StateList { names: Vec::new(), is_exceeded: list.is_exceeded })
        };
        shared.has_new_excess.then(|| Self::of(shared.fields.iter().map(without_names).collect(), &shared.share))
    }

    /// Adds a name, unless another thread has added it. Returns the states of the field.
    fn add(&self, field: usize, name: &str) -> Result<StateList, Omission> {
        let mut shared = lock(&self.0);
        let SharedNames { fields, has_new_excess, memory, .. } = &mut *shared;
        let list = &mut fields[field].1;
        if list.index(name).is_none() {
            if list.names.len() < MAX_STATES {
                memory.grow(NAME_BYTES + name.len()).map_err(|_| Omission::TooManySeries)?;
                list.names.push(name.into());
            } else {
                list.is_exceeded = true;
                *has_new_excess = true;
            }
        }
        Ok(list.clone())
    }
}

/// Finds the indexes of states for one fold. Keeps a copy of the names, so that the lock is needed only for new ones.
pub struct StateReader {
    names: Arc<StateNames>,
    known: Vec<StateList>,
}

impl StateReader {
    /// Creates a reader that adds new names to `names`.
    pub fn new(names: &Arc<StateNames>) -> Self {
        let known = lock(&names.0).fields.iter().map(|(_, list)| list.clone()).collect();
        Self { names: names.clone(), known }
    }

    /// Returns the index of a name. `field` is the index of the field in [`SeriesQuery::states`].
    pub fn index(&mut self, field: usize, name: &str) -> Result<usize, Omission> {
        if name.len() > MAX_NAME {
            return Err(Omission::LongName);
        }
        let known = &mut self.known[field];
        if let Some(index) = known.index(name) {
            return index;
        }
        *known = self.names.add(field, name)?;
        known.index(name).unwrap_or(Err(Omission::TooManyStates))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::query::{FieldChoice, TimeSource, parse_states};
    use super::*;

    fn names(share: &Arc<Share>) -> Arc<StateNames> {
        let states = parse_states(&["value.a", "value.b"]).unwrap();
        let fields = FieldChoice::parse(&[], &states).unwrap();
        let query = SeriesQuery { fields, states, by: None, each: None, time: TimeSource::Record, step: 1000 };
        StateNames::new(&query, share)
    }

    #[test]
    fn all_readers_give_a_name_the_same_index() {
        let names = names(&Share::new("series", 1 << 20, 1 << 20));
        let (mut one, mut other) = (StateReader::new(&names), StateReader::new(&names));
        assert_eq!((one.index(0, "on"), other.index(0, "off"), other.index(0, "on")), (Ok(0), Ok(1), Ok(0)));
        assert_eq!((one.index(0, "off"), one.index(0, "broken"), one.index(1, "off")), (Ok(1), Ok(2), Ok(0)));
        let long = "x".repeat(MAX_NAME + 1);
        assert_eq!(one.index(0, &long), Err(Omission::LongName));
        let [(_, a), (_, b)] = names.all().try_into().unwrap();
        assert_eq!((a.join(" "), b.join(" ")), ("on off broken".to_owned(), "off".to_owned()));
        assert!(names.after_excess().is_none());
    }

    #[test]
    fn a_field_with_too_many_states_has_none_after_a_new_start() {
        let share = Share::new("series", 1 << 20, 1 << 20);
        let names = names(&share);
        let mut reader = StateReader::new(&names);
        (0..MAX_STATES).for_each(|index| assert_eq!(reader.index(0, &index.to_string()), Ok(index)));
        assert!(names.after_excess().is_none());
        assert_eq!(reader.index(0, "one more"), Err(Omission::TooManyStates));
        assert_eq!(names.all()[0].1.len(), MAX_STATES, "the points before the excess still have names");
        let restarted = names.after_excess().unwrap();
        assert!(restarted.after_excess().is_none(), "nothing has exceeded the limit since");
        drop((reader, names));
        assert_eq!(share.used(), 0);
        let mut reader = StateReader::new(&restarted);
        assert_eq!((reader.index(0, "0"), reader.index(1, "on")), (Err(Omission::TooManyStates), Ok(0)));
    }

    #[test]
    fn names_that_do_not_fit_in_memory_are_omitted() {
        let mut reader = StateReader::new(&names(&Share::new("series", 100, 100)));
        assert_eq!((reader.index(0, "on"), reader.index(0, "off")), (Ok(0), Err(Omission::TooManySeries)));
        assert_eq!(reader.index(0, "on"), Ok(0));
    }
}

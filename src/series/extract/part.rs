//! The data extracted from a record or from one of its elements.

use super::FieldIndex;
use crate::record::Timestamp;

/// The readings, name and time found so far.
#[derive(Default)]
pub struct ValuePart {
    numbers: Vec<Option<f64>>,
    found: Vec<FieldIndex>,
    pub name: Option<String>,
    pub time: Option<Timestamp>,
}

impl ValuePart {
    pub fn clear(&mut self) {
        for field in self.found.drain(..) {
            self.numbers[usize::from(field)] = None;
        }
        self.name = None;
        self.time = None;
    }

    pub fn set(&mut self, field: FieldIndex, number: f64) {
        let at = usize::from(field);
        if self.numbers.len() <= at {
            self.numbers.resize(at + 1, None);
        }
        if self.numbers[at].replace(number).is_none() {
            self.found.push(field);
        }
    }

    pub fn unset(&mut self, field: FieldIndex) {
        if self.numbers.get_mut(usize::from(field)).and_then(Option::take).is_some() {
            self.found.retain(|found| *found != field);
        }
    }

    pub fn readings(&self) -> impl Iterator<Item = (FieldIndex, f64)> {
        let number = |field: &FieldIndex| Some((*field, self.numbers.get(usize::from(*field)).copied().flatten()?));
        self.found.iter().filter_map(number)
    }
}

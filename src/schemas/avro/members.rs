//! The items of a JSON array and the members of an object, one at a time, each as its text.

use serde::Deserializer;
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// Calls `each` with the number and text of every item, until it fails. `Ok(None)` if the JSON is not an array.
pub fn for_each_item<'j, E>(
    json: &'j str,
    each: impl FnMut(usize, &'j str) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    run(json, Items(each), |reader, visitor| reader.deserialize_seq(visitor))
}

/// Calls `each` with the name and text of every member, until it fails. `Ok(None)` if the JSON is not an object.
pub fn for_each_member<'j, E>(
    json: &'j str,
    each: impl FnMut(Cow<'j, str>, &'j str) -> Result<(), E>,
) -> Result<Option<usize>, E> {
    run(json, Members(each), |reader, visitor| reader.deserialize_map(visitor))
}

/// Returns the member of an object that has no other.
pub fn only_member(json: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut first = None;
    let members = for_each_member(json, |name, value| match first.replace((name, value)) {
        None => Ok(()),
        Some(_) => Err(()),
    });
    first.filter(|_| members == Ok(Some(1)))
}

struct Items<F>(F);

struct Members<F>(F);

/// What a visitor found: the number of items, or the failure of a call.
type Visited<E> = Result<usize, E>;

fn run<'j, V, E>(
    json: &'j str,
    visitor: V,
    visit: impl FnOnce(&mut serde_json::Deserializer<serde_json::de::StrRead<'j>>, V) -> serde_json::Result<Visited<E>>,
) -> Result<Option<usize>, E> {
    match visit(&mut serde_json::Deserializer::from_str(json), visitor) {
        Ok(visited) => visited.map(Some),
        Err(_) => Ok(None),
    }
}

impl<'j, E, F: FnMut(usize, &'j str) -> Result<(), E>> Visitor<'j> for Items<F> {
    type Value = Visited<E>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'j>>(mut self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        let mut visited = Ok(());
        // All items are read, because an array that is left before its end is an error.
        while let Some(item) = items.next_element::<&'j RawValue>()? {
            if visited.is_ok() {
                visited = (self.0)(count, item.get());
            }
            count += 1;
        }
        Ok(visited.map(|()| count))
    }
}

impl<'j, E, F: FnMut(Cow<'j, str>, &'j str) -> Result<(), E>> Visitor<'j> for Members<F> {
    type Value = Visited<E>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'j>>(mut self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut count = 0;
        let mut visited = Ok(());
        while let Some((MemberName(name), value)) = members.next_entry::<MemberName<'j>, &'j RawValue>()? {
            if visited.is_ok() {
                visited = (self.0)(name, value.get());
            }
            count += 1;
        }
        Ok(visited.map(|()| count))
    }
}

struct MemberName<'j>(Cow<'j, str>);

impl<'j> de::Deserialize<'j> for MemberName<'j> {
    fn deserialize<D: Deserializer<'j>>(reader: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'j> Visitor<'j> for NameVisitor {
            type Value = MemberName<'j>;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_borrowed_str<E>(self, name: &'j str) -> Result<Self::Value, E> {
                Ok(MemberName(Cow::Borrowed(name)))
            }

            fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
                Ok(MemberName(Cow::Owned(name.to_owned())))
            }
        }

        reader.deserialize_str(NameVisitor)
    }
}

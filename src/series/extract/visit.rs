//! Walks through JSON with serde, and skips the parts that the query does not need.

use super::leaf::Leaf;
use super::{Extractor, Scope};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// Reads the part of the value that belongs to a node.
pub struct NodeSeed<'e> {
    pub of: &'e mut Extractor,
    pub node: usize,
    pub scope: Scope,
}

impl NodeSeed<'_> {
    /// Whether the value is at the path of `each`. If it is not an array, it counts as the only element.
    fn begins_elements(&self) -> bool {
        self.scope == Scope::Record && self.of.nodes[self.node].use_as.each
    }

    fn leaf<E>(self, leaf: Leaf<'_>) -> Result<(), E> {
        if self.begins_elements() {
            self.of.leaf(self.node, Scope::Element, leaf);
            self.of.end_element();
        } else {
            self.of.leaf(self.node, self.scope, leaf);
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for NodeSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for NodeSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, bool: bool) -> Result<(), E> {
        self.leaf(Leaf::Bool(bool))
    }

    fn visit_i64<E>(self, number: i64) -> Result<(), E> {
        self.leaf(Leaf::Signed(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<(), E> {
        self.leaf(Leaf::Unsigned(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<(), E> {
        self.leaf(Leaf::Double(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.leaf(Leaf::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        if !self.begins_elements() {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        }
        let Self { of, node, .. } = self;
        while items.next_element_seed(NodeSeed { of: &mut *of, node, scope: Scope::Element })?.is_some() {
            of.end_element();
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let begins = self.begins_elements();
        let Self { of, node, scope } = self;
        let scope = if begins { Scope::Element } else { scope };
        let object = of.begin_object();
        let mut hint = 0;
        while let Some(child) = entries.next_key_seed(NameSeed { of: &mut *of, node, hint })? {
            match child {
                Some(child) => {
                    hint += 1;
                    of.begin_member(child, scope, object);
                    entries.next_value_seed(NodeSeed { of: &mut *of, node: child, scope })?;
                }
                None => drop(entries.next_value::<IgnoredAny>()?),
            }
        }
        if begins {
            of.end_element();
        }
        Ok(())
    }
}

/// Finds the node for the name of a member.
struct NameSeed<'e> {
    of: &'e mut Extractor,
    node: usize,
    hint: usize,
}

impl<'de> DeserializeSeed<'de> for NameSeed<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<usize>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for NameSeed<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.of.descend(self.node, name, self.hint))
    }
}

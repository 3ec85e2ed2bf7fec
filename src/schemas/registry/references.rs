//! Schemas that refer to others: collects all that are needed, each after those that it refers to.

use super::RegistryError;
use crate::schemas::source::{InvalidSchema, SchemaReference};
use std::collections::HashMap;

/// The most schemas that one refers to, directly and indirectly.
const MAX_REFERENCES: usize = 200;
/// The longest chain of references.
const MAX_DEPTH: usize = 32;
/// The largest sum of their texts and of the names in their references.
const MAX_BYTES: usize = 4 << 20;

/// The place of a schema in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SchemaPlace {
    /// Confluent's API.
    Version { subject: String, version: i64 },
    /// Apicurio's native API. Without a group, the artifact is in the group `default`.
    Artifact { group: Option<String>, artifact: String, version: String },
}

/// A reference in a schema: the name by which it refers to the schema at a place.
#[derive(Debug, Clone)]
pub struct NamedPlace {
    pub name: String,
    pub place: SchemaPlace,
}

impl NamedPlace {
    /// The total length of the names.
    fn len(&self) -> usize {
        let place = match &self.place {
            SchemaPlace::Version { subject, .. } => subject.len(),
            SchemaPlace::Artifact { group, artifact, version } => {
                group.as_ref().map_or(0, String::len) + artifact.len() + version.len()
            }
        };
        self.name.len() + place
    }
}

/// The text of a schema, and its references.
#[derive(Debug)]
pub struct StoredSchema {
    pub text: String,
    pub references: Vec<NamedPlace>,
}

/// Fetches everything that `references` need, by `fetch`.
pub fn resolve(
    references: &[NamedPlace],
    fetch: &mut dyn FnMut(&SchemaPlace) -> Result<StoredSchema, RegistryError>,
) -> Result<Vec<SchemaReference>, RegistryError> {
    let mut resolver =
        ReferenceResolver { fetch, done: HashMap::new(), path: Vec::new(), bytes: 0, resolved: Vec::new() };
    resolver.check_size("", references)?;
    resolver.visit_all(references)?;
    Ok(resolver.resolved)
}

struct ReferenceResolver<'a> {
    fetch: &'a mut dyn FnMut(&SchemaPlace) -> Result<StoredSchema, RegistryError>,
    /// The places of the resolved names.
    done: HashMap<String, SchemaPlace>,
    /// From the first reference to the one that is being resolved.
    path: Vec<SchemaPlace>,
    bytes: usize,
    resolved: Vec<SchemaReference>,
}

impl ReferenceResolver<'_> {
    fn visit_all(&mut self, references: &[NamedPlace]) -> Result<(), RegistryError> {
        references.iter().try_for_each(|reference| self.visit(reference))
    }

    /// Bounds the memory: the references of all schemas on the path are kept until they are resolved.
    fn check_size(&mut self, text: &str, references: &[NamedPlace]) -> Result<(), RegistryError> {
        if references.len() > MAX_REFERENCES {
            return Err(invalid(format!("it needs more than {MAX_REFERENCES} other schemas")));
        }
        self.bytes += text.len() + references.iter().map(NamedPlace::len).sum::<usize>();
        match self.bytes {
            0..=MAX_BYTES => Ok(()),
            _ => Err(invalid(format!("the schemas that it refers to are larger than {} MiB", MAX_BYTES >> 20))),
        }
    }

    fn visit(&mut self, NamedPlace { name, place }: &NamedPlace) -> Result<(), RegistryError> {
        if let Some(other) = self.done.get(name) {
            let why = || format!("it refers to two schemas by the name {name:?}");
            return if other == place { Ok(()) } else { Err(invalid(why())) };
        }
        if self.path.contains(place) {
            return Err(invalid("its references form a cycle".to_owned()));
        }
        if self.path.len() >= MAX_DEPTH {
            return Err(invalid(format!("its references are nested more than {MAX_DEPTH} deep")));
        }
        if self.resolved.len() + self.path.len() >= MAX_REFERENCES {
            return Err(invalid(format!("it needs more than {MAX_REFERENCES} other schemas")));
        }
        let StoredSchema { text, references } = (self.fetch)(place).map_err(|error| match error {
            RegistryError::NotFound(what) => invalid(format!("it refers to {what}, which is missing")),
            error => error,
        })?;
        self.check_size(&text, &references)?;
        self.path.push(place.clone());
        self.visit_all(&references)?;
        self.path.pop();
        self.done.insert(name.clone(), place.clone());
        self.resolved.push(SchemaReference { name: name.clone(), text });
        Ok(())
    }
}

fn invalid(why: String) -> RegistryError {
    InvalidSchema(why).into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(subject: &str) -> SchemaPlace {
        SchemaPlace::Version { subject: subject.to_owned(), version: 1 }
    }

    /// Resolves the references of `root` in a registry of subjects with the subjects to which they refer.
    fn resolved(root: &[&str], subjects: &[(&str, &[&str])]) -> Result<Vec<String>, String> {
        let named = |names: &[&str]| -> Vec<NamedPlace> {
            names.iter().map(|name| NamedPlace { name: (*name).to_owned(), place: place(name) }).collect()
        };
        let mut fetch = |wanted: &SchemaPlace| {
            let found = subjects.iter().find(|(subject, _)| place(subject) == *wanted);
            let (subject, references) = found.ok_or_else(|| RegistryError::NotFound(format!("{wanted:?}")))?;
            Ok(StoredSchema { text: (*subject).to_owned(), references: named(references) })
        };
        let all = resolve(&named(root), &mut fetch).map_err(|error| error.to_string())?;
        Ok(all.into_iter().map(|reference| reference.name).collect())
    }

    #[test]
    fn a_schema_comes_after_those_it_refers_to_and_only_once() {
        let diamond: &[(&str, &[&str])] = &[("a", &["c", "b"]), ("b", &["d"]), ("c", &["d"]), ("d", &[])];
        assert_eq!(resolved(&["a", "d"], diamond).unwrap(), ["d", "c", "b", "a"]);
    }

    #[test]
    fn hostile_references_are_rejected() {
        /// A subject, and the subjects that it refers to.
        type Subject<'a> = (&'a str, &'a [&'a str]);
        let long: Vec<String> = (0..100).map(|i| i.to_string()).collect();
        let next: Vec<[&str; 1]> = long.iter().skip(1).map(|name| [name.as_str()]).collect();
        let chain: Vec<(&str, &[&str])> =
            long.iter().zip(&next).map(|(name, next)| (name.as_str(), &next[..])).collect();
        let many: Vec<String> = (0..300).map(|i| i.to_string()).collect();
        let wide: Vec<&str> = many.iter().map(String::as_str).collect();
        let leaves: Vec<(&str, &[&str])> = wide.iter().map(|name| (*name, &[][..])).collect();
        let rows: [(&[&str], &[Subject], &str); 4] = [
            (&["a"], &[("a", &["b"]), ("b", &["a"])], "cycle"),
            (&["a"], &[("a", &["b"])], "which is missing"),
            (&["0"], &chain, "nested more than 32 deep"),
            (&wide, &leaves, "more than 200"),
        ];
        for (root, subjects, words) in rows {
            let error = resolved(root, subjects).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn large_and_ambiguous_references_are_rejected() {
        let mut large = |_: &SchemaPlace| Ok(StoredSchema { text: "x".repeat(3 << 20), references: Vec::new() });
        let of = |name: &str, subject: &str| NamedPlace { name: name.to_owned(), place: place(subject) };
        let error = resolve(&[of("a", "a"), of("b", "b")], &mut large).unwrap_err().to_string();
        assert!(error.contains("larger than 4 MiB"), "{error}");
        let long = "x".repeat(3 << 20);
        let mut listed = |_: &SchemaPlace| Ok(StoredSchema { text: String::new(), references: vec![of(&long, "c")] });
        let error = resolve(&[of("a", "a"), of("b", "b")], &mut listed).unwrap_err().to_string();
        assert!(error.contains("larger than 4 MiB"), "names count too: {error}");
        let mut repeated =
            |_: &SchemaPlace| Ok(StoredSchema { text: String::new(), references: vec![of("b", "b"); 300] });
        let error = resolve(&[of("a", "a")], &mut repeated).unwrap_err().to_string();
        assert!(error.contains("more than 200"), "{error}");
        let error = resolve(&[of("a", "a"), of("a", "b")], &mut large).unwrap_err().to_string();
        assert!(error.contains("two schemas by the name"), "{error}");
    }
}

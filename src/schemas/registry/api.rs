//! The requests to a registry, and the schemas in its answers.

use super::RegistryError;
use super::client::{RegistryAnswer, RegistryApi, RegistryClient, RegistryRequest};
use super::references::{NamedPlace, SchemaPlace, StoredSchema, resolve};
use crate::schemas::framing::SchemaId;
use crate::schemas::source::{InvalidSchema, SchemaKind, SchemaSource};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::time::Instant;

/// What a path segment may contain (RFC 3986, unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Confluent's description of a schema.
#[derive(Deserialize)]
struct SchemaAnswer {
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    references: Option<Vec<VersionReference>>,
}

#[derive(Deserialize)]
struct VersionReference {
    name: String,
    subject: String,
    version: i64,
}

#[derive(Deserialize)]
struct IdAnswer {
    id: u32,
}

/// A reference in Apicurio's native API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactReference {
    group_id: Option<String>,
    artifact_id: String,
    version: Option<String>,
    name: String,
}

#[derive(Deserialize)]
struct VersionsFound {
    versions: Vec<VersionFound>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionFound {
    global_id: u64,
}

impl RegistryClient {
    /// Whether a replica has the API that looks up ids of this kind.
    pub fn can_look_up(&self, id: SchemaId) -> bool {
        match id {
            SchemaId::Id(_) | SchemaId::Guid(_) => true,
            SchemaId::GlobalId(_) | SchemaId::ContentId(_) => self.urls().iter().any(|url| url.apicurio().is_some()),
        }
    }

    /// Fetches the schema of an id, with everything that it refers to.
    pub fn schema(&self, id: SchemaId, deadline: Instant) -> Result<SchemaSource, RegistryError> {
        let what = describe(id);
        let (kind, stored) = match id {
            SchemaId::Id(id) => self.described(format!("/schemas/ids/{id}"), what, deadline)?,
            SchemaId::Guid(guid) => self.described(format!("/schemas/guids/{guid}"), what, deadline)?,
            SchemaId::GlobalId(id) => self.artifact(id, what, deadline)?,
            // The content alone does not tell its format, which belongs to a version with this content.
            SchemaId::ContentId(id) => {
                let path = format!("/search/versions?limit=1&contentId={id}");
                let found: VersionsFound = parse(&self.get(RegistryApi::Apicurio, path, what.clone(), deadline)?)?;
                let version = found.versions.first().ok_or_else(|| RegistryError::NotFound(what.clone()))?;
                self.artifact(version.global_id, what, deadline)?
            }
        };
        let references = resolve(&stored.references, &mut |place| self.stored(place, deadline))?;
        Ok(SchemaSource { kind, text: stored.text, references })
    }

    /// Fetches the id of the latest schema of a subject.
    pub fn latest_id(&self, subject: &str, deadline: Instant) -> Result<SchemaId, RegistryError> {
        let path = format!("/subjects/{}/versions/latest", segment(subject));
        let what = format!("subject {subject:?}");
        let answer: IdAnswer = parse(&self.get(RegistryApi::Confluent, path, what, deadline)?)?;
        Ok(SchemaId::Id(answer.id))
    }

    /// Registers a schema without references under a subject, unless it is registered already. Returns its id.
    pub fn register(&self, subject: &str, source: &SchemaSource, deadline: Instant) -> Result<SchemaId, RegistryError> {
        let body = match source.kind {
            // Registries before 5.5 know only Avro, and reject the type.
            SchemaKind::Avro => json!({"schema": source.text}),
            SchemaKind::Protobuf => json!({"schema": source.text, "schemaType": "PROTOBUF"}),
            SchemaKind::Json => json!({"schema": source.text, "schemaType": "JSON"}),
        };
        let request = RegistryRequest {
            api: RegistryApi::Confluent,
            path: format!("/subjects/{}/versions", segment(subject)),
            body: Some(&body.to_string()),
            what: format!("subject {subject:?}"),
        };
        let answer: IdAnswer = parse(&self.call(&request, deadline)?)?;
        Ok(SchemaId::Id(answer.id))
    }

    fn get(
        &self,
        api: RegistryApi,
        path: String,
        what: String,
        deadline: Instant,
    ) -> Result<RegistryAnswer, RegistryError> {
        self.call(&RegistryRequest { api, path, body: None, what }, deadline)
    }

    /// Fetches a schema that Confluent's API describes.
    fn described(
        &self,
        path: String,
        what: String,
        deadline: Instant,
    ) -> Result<(SchemaKind, StoredSchema), RegistryError> {
        let answer: SchemaAnswer = parse(&self.get(RegistryApi::Confluent, path, what, deadline)?)?;
        Ok((kind(answer.kind.as_deref())?, stored(answer)))
    }

    /// Fetches a schema by Apicurio's global id.
    fn artifact(&self, id: u64, what: String, deadline: Instant) -> Result<(SchemaKind, StoredSchema), RegistryError> {
        let path = format!("/ids/globalIds/{id}?returnArtifactType=true");
        let answer = self.get(RegistryApi::Apicurio, path, what.clone(), deadline)?;
        let kind = kind(answer.artifact_type.as_deref())?;
        let references = self.artifact_references(format!("/ids/globalIds/{id}/references"), what, deadline)?;
        Ok((kind, StoredSchema { text: answer.body, references }))
    }

    fn artifact_references(
        &self,
        path: String,
        what: String,
        deadline: Instant,
    ) -> Result<Vec<NamedPlace>, RegistryError> {
        let references: Vec<ArtifactReference> = parse(&self.get(RegistryApi::Apicurio, path, what, deadline)?)?;
        let place = |reference: ArtifactReference| NamedPlace {
            name: reference.name,
            place: SchemaPlace::Artifact {
                group: reference.group_id,
                artifact: reference.artifact_id,
                version: reference.version.unwrap_or_else(|| "branch=latest".to_owned()),
            },
        };
        Ok(references.into_iter().map(place).collect())
    }

    /// Fetches a schema to which another one refers.
    fn stored(&self, place: &SchemaPlace, deadline: Instant) -> Result<StoredSchema, RegistryError> {
        match place {
            SchemaPlace::Version { subject, version } => {
                let path = format!("/subjects/{}/versions/{version}", segment(subject));
                let what = format!("version {version} of subject {subject:?}");
                Ok(stored(parse(&self.get(RegistryApi::Confluent, path, what, deadline)?)?))
            }
            SchemaPlace::Artifact { group, artifact, version } => {
                let what = format!("version {version} of artifact {artifact:?}");
                let group = segment(group.as_deref().unwrap_or("default"));
                let path = format!("/groups/{group}/artifacts/{}/versions/{}", segment(artifact), segment(version));
                let text = self.get(RegistryApi::Apicurio, format!("{path}/content"), what.clone(), deadline)?.body;
                let references = self.artifact_references(format!("{path}/references"), what, deadline)?;
                Ok(StoredSchema { text, references })
            }
        }
    }
}

/// Names an id in errors.
pub fn describe(id: SchemaId) -> String {
    match id {
        SchemaId::Id(id) => format!("schema with id {id}"),
        SchemaId::GlobalId(id) => format!("schema with global id {id}"),
        SchemaId::ContentId(id) => format!("schema with content id {id}"),
        SchemaId::Guid(guid) => format!("schema with GUID {guid}"),
    }
}

fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// Parses an answer. Its size is bounded, and serde_json bounds its depth.
fn parse<T: DeserializeOwned>(answer: &RegistryAnswer) -> Result<T, RegistryError> {
    serde_json::from_str(&answer.body)
        .map_err(|error| InvalidSchema(format!("the schema registry's answer is malformed: {error}")).into())
}

fn stored(answer: SchemaAnswer) -> StoredSchema {
    let place = |VersionReference { name, subject, version }| NamedPlace {
        name,
        place: SchemaPlace::Version { subject, version },
    };
    let references = answer.references.into_iter().flatten().map(place).collect();
    StoredSchema { text: answer.schema, references }
}

/// The format by a registry's name for it. Confluent's API names every format except Avro.
fn kind(name: Option<&str>) -> Result<SchemaKind, InvalidSchema> {
    match name {
        None | Some("AVRO") => Ok(SchemaKind::Avro),
        Some("PROTOBUF") => Ok(SchemaKind::Protobuf),
        Some("JSON") => Ok(SchemaKind::Json),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(InvalidSchema(format!("schemas of type {other:?} are not supported")))
        }
    }
}

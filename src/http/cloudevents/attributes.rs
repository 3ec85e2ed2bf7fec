//! The attributes of an event, with the checks of the CloudEvents specification.

use thiserror::Error;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Attributes that every event has, not empty.
pub const REQUIRED: [&str; 4] = ["id", "source", "specversion", "type"];
/// Attributes that are not empty where an event has them.
const NEVER_EMPTY: [&str; 4] = ["datacontenttype", "dataschema", "subject", "time"];
/// The only supported version.
pub const VERSION: &str = "1.0";
/// Maximum number of attributes, so that looking for duplicates stays cheap.
pub const MAX_ATTRIBUTES: usize = 256;
/// Maximum number of characters of a value that an error quotes.
const MAX_SHOWN: usize = 60;
/// Maximum number of characters of a parser's error, which may quote a whole event.
const MAX_REASON: usize = 160;

/// Why a message is not a valid event.
#[derive(Debug, Error)]
pub enum InvalidEvent {
    #[error("{0} missing or empty; every event has id, source, specversion and type")]
    Missing(String),
    #[error("specversion is {0:?}; the only allowed version is \"1.0\"")]
    Version(String),
    #[error(
        "the attribute name {0:?} is not allowed; names have only lower-case letters and digits, and \"data\" is reserved"
    )]
    Name(String),
    #[error("the attribute {0:?} occurs twice; an event has each attribute at most once")]
    Twice(String),
    #[error("{0} is empty; leave the attribute out, or give it a value")]
    Empty(&'static str),
    #[error("time is {0:?}; it must be an RFC 3339 time like \"2026-01-31T08:00:00Z\"")]
    Time(String),
    #[error("the attribute {name} contains U+{code:04X}; control characters and noncharacters are not allowed")]
    Character { name: String, code: u32 },
    #[error("the event has more than {MAX_ATTRIBUTES} attributes; at most {MAX_ATTRIBUTES} are allowed")]
    TooMany,
    #[error(
        "the attribute {name} is {given}; allowed are strings, true, false, and integers from -2147483648 to 2147483647"
    )]
    Type { name: String, given: String },
    #[error("the event is not a JSON object with unique members: {0}")]
    NotObject(String),
    #[error("the event has both data and data_base64; only one of them is allowed")]
    TwoPayloads,
    #[error("data_base64 is not a base64 string")]
    NotBase64,
    #[error("datacontenttype is {0:?}, so data must be a string; send bytes as data_base64")]
    NotText(String),
    #[error("datacontenttype is {0:?}, but JSON has only UTF-8; send data in this charset as data_base64")]
    Charset(String),
}

impl From<serde_json::Error> for InvalidEvent {
    fn from(error: serde_json::Error) -> Self {
        Self::NotObject(beginning(&error.to_string(), MAX_REASON))
    }
}

/// Returns the beginning of a value, for an error.
pub fn shown(text: &str) -> String {
    beginning(text, MAX_SHOWN)
}

fn beginning(text: &str, most: usize) -> String {
    let mut beginning: String = text.chars().take(most).collect();
    if beginning.len() < text.len() {
        beginning.push('…');
    }
    beginning
}

/// The attributes of one event, as texts and in the order in which the publisher wrote them.
#[derive(Debug, Default)]
pub struct Attributes(Vec<(String, String)>);

impl Attributes {
    /// Adds an attribute. Missing and empty required attributes are reported by [`check`](Self::check), all at once.
    pub fn add(&mut self, name: &str, value: String) -> Result<(), InvalidEvent> {
        check_name(name)?;
        if self.get(name).is_some() {
            return Err(InvalidEvent::Twice(shown(name)));
        }
        if self.0.len() >= MAX_ATTRIBUTES {
            return Err(InvalidEvent::TooMany);
        }
        check_value(name, &value)?;
        self.0.push((name.to_owned(), value));
        Ok(())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// Removes and returns an attribute.
    pub fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(at).1)
    }

    /// Checks that the required attributes exist and that the version is supported.
    pub fn check(&self) -> Result<(), InvalidEvent> {
        check_required(|name| self.get(name))
    }
}

impl IntoIterator for Attributes {
    type Item = (String, String);
    type IntoIter = std::vec::IntoIter<(String, String)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Checks the required attributes, and names all that are missing.
pub fn check_required<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Result<(), InvalidEvent> {
    let missing: Vec<_> = REQUIRED.into_iter().filter(|name| get(name).is_none_or(str::is_empty)).collect();
    if let [one] = missing.as_slice() {
        return Err(InvalidEvent::Missing(format!("the attribute {one} is")));
    }
    if !missing.is_empty() {
        return Err(InvalidEvent::Missing(format!("the attributes {} are", missing.join(", "))));
    }
    match get("specversion") {
        Some(VERSION) => Ok(()),
        other => Err(InvalidEvent::Version(shown(other.unwrap_or_default()))),
    }
}

fn check_name(name: &str) -> Result<(), InvalidEvent> {
    let is_allowed = !name.is_empty() && name != "data" && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9'));
    if is_allowed { Ok(()) } else { Err(InvalidEvent::Name(shown(name))) }
}

fn check_value(name: &str, value: &str) -> Result<(), InvalidEvent> {
    if let Some(code) = value.chars().map(u32::from).find(|code| is_disallowed(*code)) {
        return Err(InvalidEvent::Character { name: shown(name), code });
    }
    if value.is_empty()
        && let Some(name) = NEVER_EMPTY.into_iter().find(|own| *own == name)
    {
        return Err(InvalidEvent::Empty(name));
    }
    if name == "time" && OffsetDateTime::parse(value, &Rfc3339).is_err() {
        return Err(InvalidEvent::Time(shown(value)));
    }
    Ok(())
}

/// Whether a string attribute must not contain this character: a control character or a noncharacter.
pub fn is_disallowed(code: u32) -> bool {
    matches!(code, 0..=0x1f | 0x7f..=0x9f | 0xfdd0..=0xfdef) || code & 0xfffe == 0xfffe
}

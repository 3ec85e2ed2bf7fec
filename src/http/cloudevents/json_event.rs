//! One event in the JSON event format.

use super::attributes::{Attributes, InvalidEvent, MAX_ATTRIBUTES, REQUIRED, check_required, shown};
use super::media_type::{DataForm, is_same_in_utf8};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::RangeInclusive;

/// The range of integer attributes.
const INTEGERS: RangeInclusive<f64> = i32::MIN as f64..=i32::MAX as f64;

/// The event of a JSON object.
#[derive(Debug)]
pub struct JsonEvent {
    /// Includes `datacontenttype`.
    pub attributes: Attributes,
    /// `None` if the event has no data.
    pub data: Option<Bytes>,
}

/// The members of an object, in order. Values are not parsed.
pub struct EventMembers<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for EventMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct EventVisitor;

        impl<'de> Visitor<'de> for EventVisitor {
            type Value = EventMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
                let mut all: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = members.next_entry::<String, _>()? {
                    if all.iter().any(|(own, _)| *own == name) {
                        return Err(A::Error::custom(format_args!("the member {:?} occurs twice", shown(&name))));
                    }
                    // Data and the attributes.
                    if all.len() > MAX_ATTRIBUTES {
                        return Err(A::Error::custom(InvalidEvent::TooMany));
                    }
                    all.push((name, value));
                }
                Ok(EventMembers(all))
            }
        }

        deserializer.deserialize_map(EventVisitor)
    }
}

impl EventMembers<'_> {
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn contains_value(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.get() != "null")
    }

    fn get(&self, name: &str) -> Option<&RawValue> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| *value)
    }
}

/// Parses an event and checks it. JSON data keeps the bytes that the publisher wrote.
pub fn parse(text: &str) -> Result<JsonEvent, InvalidEvent> {
    let EventMembers(members) = serde_json::from_str(text)?;
    let (mut attributes, mut data, mut base64) = (Attributes::default(), None, None);
    for (name, value) in &members {
        match (name.as_str(), value.get()) {
            ("data", _) => data = Some(*value),
            // An unset attribute may be null (JSON event format, section 2.2).
            (_, "null") => {}
            ("data_base64", _) => base64 = Some(*value),
            (name, text) => attributes.add(name, attribute(name, text)?)?,
        }
    }
    attributes.check()?;
    let data = match (data, base64) {
        (Some(_), Some(_)) => return Err(InvalidEvent::TwoPayloads),
        (None, None) => None,
        (None, Some(text)) => {
            let text: String = serde_json::from_str(text.get()).map_err(|_| InvalidEvent::NotBase64)?;
            Some(STANDARD.decode(text).map_err(|_| InvalidEvent::NotBase64)?.into())
        }
        (Some(value), None) => payload(&mut attributes, value)?,
    };
    Ok(JsonEvent { attributes, data })
}

/// Returns the members of `text`, which is valid JSON, if it is an event that can be passed on as it is.
pub fn members(text: &str) -> Option<EventMembers<'_>> {
    let members: EventMembers = serde_json::from_str(text).ok()?;
    let text = |name| serde_json::from_str::<String>(members.get(name)?.get()).ok();
    let required = REQUIRED.map(|name| (name, text(name)));
    let get = |name: &str| required.iter().find(|(own, _)| *own == name).and_then(|(_, value)| value.as_deref());
    let is_event = check_required(get).is_ok() && !(members.contains("data") && members.contains_value("data_base64"));
    is_event.then_some(members)
}

/// Returns the text of an attribute, as the specification's type system converts it.
fn attribute(name: &str, json: &str) -> Result<String, InvalidEvent> {
    let invalid = || InvalidEvent::Type { name: shown(name), given: shown(json) };
    match json.as_bytes().first() {
        Some(b'"') => serde_json::from_str(json).map_err(|_| invalid()),
        Some(b't' | b'f') => Ok(json.to_owned()),
        // JSON may write an integer as 5.0 too; a double represents every allowed one.
        _ => match serde_json::from_str::<f64>(json) {
            Ok(number) if number.fract() == 0.0 && INTEGERS.contains(&number) => Ok((number as i32).to_string()),
            _ => Err(invalid()),
        },
    }
}

/// Returns the bytes of the member `data`, and adds the type that a missing one means.
fn payload(attributes: &mut Attributes, value: &RawValue) -> Result<Option<Bytes>, InvalidEvent> {
    let json = value.get();
    let Some(given) = attributes.get("datacontenttype") else {
        attributes.add("datacontenttype", "application/json".to_owned())?;
        return Ok(Some(Bytes::copy_from_slice(json.as_bytes())));
    };
    match DataForm::of(Some(given)) {
        DataForm::Json => Ok(Some(Bytes::copy_from_slice(json.as_bytes()))),
        DataForm::Text | DataForm::Binary if json == "null" => Ok(None),
        DataForm::Text | DataForm::Binary => {
            let text: String = serde_json::from_str(json).map_err(|_| InvalidEvent::NotText(shown(given)))?;
            match is_same_in_utf8(given, &text) {
                true => Ok(Some(text.into())),
                false => Err(InvalidEvent::Charset(shown(given))),
            }
        }
    }
}

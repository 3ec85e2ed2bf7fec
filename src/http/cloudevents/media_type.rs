//! What `datacontenttype` says about data (JSON event format, section 3.1).

use crate::http::accept::essence;

/// How the JSON format contains data of a media type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataForm {
    /// A JSON value.
    Json,
    /// A string.
    Text,
    /// A string of base64.
    Binary,
}

/// Subtypes of `application` that are text.
const TEXT: [&str; 8] = ["xml", "yaml", "x-yaml", "javascript", "x-www-form-urlencoded", "x-ndjson", "ndjson", "jsonl"];

impl DataForm {
    /// A missing type means JSON.
    pub fn of(datacontenttype: Option<&str>) -> Self {
        let Some(given) = datacontenttype else { return Self::Json };
        let essence = essence(given);
        let (main, subtype) = essence.split_once('/').unwrap_or_default();
        match subtype {
            "json" => Self::Json,
            _ if subtype.ends_with("+json") => Self::Json,
            _ if !is_utf8(given) => Self::Binary,
            _ if main == "text" || TEXT.contains(&subtype) => Self::Text,
            _ if subtype.ends_with("+xml") || subtype.ends_with("+yaml") => Self::Text,
            _ => Self::Binary,
        }
    }
}

/// Whether a string in JSON has the same bytes in the charset of this type.
pub fn is_same_in_utf8(datacontenttype: &str, text: &str) -> bool {
    let is_wide =
        || charset(datacontenttype).is_some_and(|name| name.starts_with("utf-16") || name.starts_with("utf-32"));
    is_utf8(datacontenttype) || text.is_ascii() && !is_wide()
}

fn is_utf8(datacontenttype: &str) -> bool {
    charset(datacontenttype).is_none_or(|name| matches!(name.as_str(), "utf-8" | "utf8" | "us-ascii"))
}

fn charset(datacontenttype: &str) -> Option<String> {
    let mut parameters = datacontenttype.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let (_, value) = parameters.find(|(name, _)| name.trim().eq_ignore_ascii_case("charset"))?;
    Some(value.trim().trim_matches('"').to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_a_value_text_a_string_and_everything_else_base64() {
        for (given, form) in [
            (None, DataForm::Json),
            (Some("application/json"), DataForm::Json),
            (Some("Application/JSON; charset=utf-8"), DataForm::Json),
            (Some("text/json"), DataForm::Json),
            (Some("application/vnd.example+json;v=1"), DataForm::Json),
            (Some("text/xml"), DataForm::Text),
            (Some("text/plain; charset=\"UTF-8\""), DataForm::Text),
            (Some("text/plain; charset=iso-8859-1"), DataForm::Binary),
            (Some("application/xml"), DataForm::Text),
            (Some("image/svg+xml"), DataForm::Text),
            (Some("application/octet-stream"), DataForm::Binary),
            (Some("application/jsonx"), DataForm::Binary),
            (Some("json"), DataForm::Binary),
            (Some(""), DataForm::Binary),
        ] {
            assert_eq!(DataForm::of(given), form, "{given:?}");
        }
    }

    #[test]
    fn a_string_is_the_same_in_utf8_and_in_charsets_that_extend_ascii() {
        assert!(is_same_in_utf8("text/plain", "ü"));
        assert!(is_same_in_utf8("text/plain;charset=ISO-8859-1", "u"));
        assert!(!is_same_in_utf8("text/plain;charset=ISO-8859-1", "ü"));
        assert!(!is_same_in_utf8("text/plain;charset=utf-16", "u"));
    }
}

//! A parser for `sasl.jaas.config`, which holds one login module with options. Compatible with Kafka's `JaasConfig`.
//!
//! Errors contain the names of options, but not their values, which may be passwords.

use std::collections::BTreeMap;
use thiserror::Error;

/// An entry such as `org.apache.kafka.….PlainLoginModule required username="alice" password="…";`.
pub struct JaasEntry {
    /// The class name without its package.
    pub module: String,
    pub options: BTreeMap<String, String>,
}

#[derive(PartialEq, Eq)]
enum JaasToken {
    Word(String),
    Quoted(String),
    Equals,
    Semicolon,
}

/// A syntax error in an entry.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JaasError {
    #[error("there is no login module; {EXAMPLE}")]
    MissingModule,
    #[error("after the login module there must be the word required; {EXAMPLE}")]
    MissingFlag,
    #[error("there is a value or a = where an option's name should be; {EXAMPLE}")]
    MissingOptionName,
    #[error("option {0:?} has no value; write {0}=\"…\", and quotes around the value")]
    MissingValue(String),
    #[error("a quote is not closed")]
    UnclosedQuote,
    #[error("it must end with a semicolon")]
    MissingSemicolon,
    #[error("there is something after the semicolon; one login module is allowed")]
    TextAfterSemicolon,
}

pub fn parse(text: &str) -> Result<JaasEntry, JaasError> {
    let mut tokens = tokens(text)?.into_iter();
    let Some(JaasToken::Word(class)) = tokens.next() else { return Err(JaasError::MissingModule) };
    match tokens.next() {
        Some(JaasToken::Word(flag)) if FLAGS.contains(&flag.to_lowercase().as_str()) => {}
        _ => return Err(JaasError::MissingFlag),
    }
    let mut options = BTreeMap::new();
    loop {
        let name = match tokens.next() {
            Some(JaasToken::Semicolon) => break,
            Some(JaasToken::Word(name)) => name,
            Some(_) => return Err(JaasError::MissingOptionName),
            None => return Err(JaasError::MissingSemicolon),
        };
        let value = match (tokens.next(), tokens.next()) {
            (Some(JaasToken::Equals), Some(JaasToken::Word(value) | JaasToken::Quoted(value))) => value,
            _ => return Err(JaasError::MissingValue(name)),
        };
        options.insert(name, value);
    }
    if tokens.next().is_some() {
        return Err(JaasError::TextAfterSemicolon);
    }
    let module = class.rsplit('.').next().unwrap_or_default().to_owned();
    Ok(JaasEntry { module, options })
}

const FLAGS: [&str; 4] = ["required", "requisite", "sufficient", "optional"];
const EXAMPLE: &str = "write it like org.apache.kafka.common.security.plain.PlainLoginModule required \
                       username=\"…\" password=\"…\";";

fn tokens(text: &str) -> Result<Vec<JaasToken>, JaasError> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, after) = match first {
            '=' => (Some(JaasToken::Equals), rest.strip_prefix('=')),
            ';' => (Some(JaasToken::Semicolon), rest.strip_prefix(';')),
            '"' | '\'' => {
                let (value, after) = quoted(rest, first).ok_or(JaasError::UnclosedQuote)?;
                (Some(JaasToken::Quoted(value)), Some(after))
            }
            '/' if rest.starts_with("//") => (None, rest.split_once('\n').map(|(_, after)| after)),
            '/' if rest.starts_with("/*") => (None, rest.split_once("*/").map(|(_, after)| after)),
            _ => {
                let end = rest.find(|c: char| c.is_whitespace() || "=;\"'".contains(c)).unwrap_or(rest.len());
                let (word, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (Some(JaasToken::Word(word.to_owned())), Some(after))
            }
        };
        found.extend(token);
        rest = after.unwrap_or_default().trim_start();
    }
    Ok(found)
}

/// Returns the quoted value at the start of `text`, and the rest.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.chars();
    chars.next();
    loop {
        match chars.next()? {
            c if c == quote => return Some((value, chars.as_str())),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            c => value.push(c),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn common_notations_are_parsed() {
        let cases = [
            "org.apache.kafka.common.security.scram.ScramLoginModule required username=\"alice\" password=\"s3;cr'et\";",
            "org.apache.kafka.common.security.scram.ScramLoginModule   required\n username='alice'\n password='s3;cr\\'et' ;",
            "ScramLoginModule REQUIRED username=alice /* who */ password = \"s3;cr'et\"; // the end",
        ];
        for text in cases {
            let login = parse(text).unwrap();
            assert_eq!(login.module, "ScramLoginModule");
            let options: Vec<_> = login.options.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            assert_eq!(options, [("password", "s3;cr'et"), ("username", "alice")], "{text}");
        }
    }

    #[test]
    fn errors_do_not_contain_the_password() {
        let cases = [
            ("", "no login module"),
            ("PlainLoginModule", "required"),
            ("PlainLoginModule username=\"hunter2\";", "required"),
            ("PlainLoginModule required username=\"a\" password=\"hunter2\"", "semicolon"),
            ("PlainLoginModule required username=\"a\" password=\"hunter2;", "quote"),
            ("PlainLoginModule required password \"hunter2\";", "no value"),
            ("PlainLoginModule required \"hunter2\";", "name"),
            ("PlainLoginModule required password=\"hunter2\"; x", "after the semicolon"),
        ];
        for (text, words) in cases {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.contains(words) && !error.contains("hunter2"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_password_can_be_quoted(password in any::<String>()) {
            let escaped = password.replace('\\', "\\\\").replace('"', "\\\"");
            let login = parse(&format!("PlainLoginModule required password=\"{escaped}\";")).unwrap();
            prop_assert_eq!(login.options.get("password"), Some(&password));
        }

        #[test]
        fn parsing_never_panics(text in "([a-z=;\"'/* \\\\]|.){0,60}") {
            let _ = parse(&text);
        }
    }
}

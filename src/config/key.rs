//! The settings of `curlew key`.

use super::invalid_value::InvalidValue;
use super::values;
use crate::auth::{TopicPattern, check_name};
use crate::record::now;
use clap::{ArgAction, Args, Subcommand};
use time::OffsetDateTime;

/// Creates an entry for an auth file.
#[derive(Debug, Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Print a new key, once, and its entry for the file of --auth-file.
    New(NewKey),
    /// Read a password from standard input, and print its entry for the file of --auth-file.
    ///
    /// For passwords that people choose. The entry holds an argon2 hash. Clients send name and password: curl -u
    /// NAME:PASSWORD, or the sign-in of the dashboard.
    Password(NewKey),
}

/// The name, the rights and the lifetime of an entry.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Name of the entry, unique in the file.
    #[arg(long, value_name = "NAME", default_value = "key", value_parser = |text: &str| check_name(text).map(|()| text.to_owned()))]
    pub name: String,

    /// Topics it may write: a name, a prefix followed by *, or * for all. Repeatable.
    #[arg(long = "produce", value_name = "PATTERN", action = ArgAction::Append, value_parser = |text: &str| TopicPattern::try_from(text.to_owned()))]
    pub produce: Vec<TopicPattern>,

    /// Topics it may read, as with --produce. Repeatable.
    ///
    /// Without any pattern it may read and write all topics.
    #[arg(long = "consume", value_name = "PATTERN", action = ArgAction::Append, value_parser = |text: &str| TopicPattern::try_from(text.to_owned()))]
    pub consume: Vec<TopicPattern>,

    /// Topics it may create and delete, as with --produce. Repeatable.
    #[arg(long = "manage", value_name = "PATTERN", action = ArgAction::Append, value_parser = |text: &str| TopicPattern::try_from(text.to_owned()))]
    pub manage: Vec<TopicPattern>,

    /// Allow it to read /metrics.
    #[arg(long)]
    pub metrics: bool,

    /// Lifetime from now, such as 12h or 90d. Unlimited if not given.
    #[arg(long = "expires-in", value_name = "TIME", value_parser = expiry)]
    pub expires: Option<OffsetDateTime>,
}

/// Parses a lifetime, and returns the time at which it ends.
fn expiry(text: &str) -> Result<OffsetDateTime, InvalidValue> {
    let lifetime = values::lifetime(text)?;
    let seconds = i64::try_from(lifetime.as_secs()).ok().and_then(|s| s.checked_add(now().div_euclid(1000)));
    let expiry = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    expiry.ok_or(InvalidValue::BeyondCalendar)
}

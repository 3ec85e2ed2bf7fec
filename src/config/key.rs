//! The settings of `curlew key`.

use super::values;
use crate::auth::{TopicPattern, check_name};
use crate::record::now;
use clap::{ArgAction, Args, Subcommand};
use time::OffsetDateTime;

/// What is made for an auth file.
#[derive(Debug, Args)]
pub struct KeyCommand {
    #[command(subcommand)]
    pub action: KeyAction,
}

#[derive(Debug, Subcommand)]
pub enum KeyAction {
    /// Print a new key, once, and the lines for the file of --auth-file that let it in.
    New(NewKey),
    /// Read a password from standard input, and print the lines for the file of --auth-file that let it in.
    ///
    /// For what people remember. It is hashed with argon2, and used with its name: curl -u NAME:PASSWORD, or in the page's
    /// sign-in.
    Password(NewKey),
}

/// Who it is for, and what they may do.
#[derive(Debug, Args)]
pub struct NewKey {
    /// Who holds it; each in the file has a name of its own.
    #[arg(long, value_name = "NAME", default_value = "key", value_parser = name)]
    pub name: String,

    /// Topics that it may write: a name, the beginning of names with * at its end, or * for all. Repeatable.
    #[arg(long = "produce", value_name = "PATTERN", action = ArgAction::Append, value_parser = pattern)]
    pub produce: Vec<TopicPattern>,

    /// Topics that it may read, likewise. Repeatable.
    ///
    /// Without any pattern it may read and write all topics.
    #[arg(long = "consume", value_name = "PATTERN", action = ArgAction::Append, value_parser = pattern)]
    pub consume: Vec<TopicPattern>,

    /// Topics that it may delete, likewise. Repeatable.
    #[arg(long = "manage", value_name = "PATTERN", action = ArgAction::Append, value_parser = pattern)]
    pub manage: Vec<TopicPattern>,

    /// Let it read /metrics.
    #[arg(long)]
    pub metrics: bool,

    /// When it ends, counted from now: such as 12h or 90d. Without it: never.
    #[arg(long = "expires-in", value_name = "TIME", value_parser = end)]
    pub expires: Option<OffsetDateTime>,
}

fn name(text: &str) -> Result<String, String> {
    check_name(text).map(|()| text.to_owned())
}

fn pattern(text: &str) -> Result<TopicPattern, String> {
    TopicPattern::try_from(text.to_owned())
}

fn end(text: &str) -> Result<OffsetDateTime, String> {
    let age = values::retention_time(text).map_err(|e| e.replace(", or forever", ""))?;
    let seconds = i64::try_from(age.as_secs()).ok().and_then(|age| age.checked_add(now().div_euclid(1000)));
    let end = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    end.ok_or_else(|| "that is further than the calendar goes".to_owned())
}

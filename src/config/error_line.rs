//! clap's errors, each on one line and without secrets.

use super::user_info;

/// Returns clap's message as one line, without the usage.
pub fn one_line(error: &clap::Error) -> String {
    let text = user_info::mask_in_text(&error.render().to_string());
    let mut line = String::new();
    let lines = text.lines().map(str::trim).take_while(|l| !l.starts_with("Usage:") && !l.starts_with("For more"));
    for part in lines.filter(|l| !l.is_empty()) {
        let part = part.strip_prefix("error: ").unwrap_or(part);
        let joint = match part {
            _ if line.is_empty() => "",
            _ if part.starts_with("tip: ") => "; ",
            _ => " ",
        };
        line.push_str(joint);
        line.push_str(part.strip_prefix("tip: ").unwrap_or(part));
    }
    line
}

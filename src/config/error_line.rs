//! clap's errors, each on one line and without secrets.

/// Returns clap's message as one line, without the usage.
pub fn one_line(error: &clap::Error) -> String {
    let text = mask_user_info(&error.render().to_string());
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

/// Masks the user information of URLs, since errors repeat the given values.
fn mask_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let authority = after.find(|c: char| matches!(c, '/' | '\'' | '"') || c.is_whitespace()).unwrap_or(after.len());
        rest = match after[..authority].rfind('@') {
            Some(at) => {
                out.push_str("***");
                &after[at..]
            }
            None => after,
        };
    }
    out + rest
}

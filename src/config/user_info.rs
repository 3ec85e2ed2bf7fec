//! Masks the user information of URLs: a user, a password or a token before the host.

/// Masks the user information of the URLs in a text. URLs end at a quote or at white space.
pub fn mask_in_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(|c: char| matches!(c, '\'' | '"') || c.is_whitespace()) {
        match word.contains("://") {
            true => out.push_str(&mask_in_url(word)),
            false => out.push_str(word),
        }
    }
    out
}

/// Masks everything between the scheme of a URL and its last `@`. A password may contain `/` by mistake.
pub fn mask_in_url(url: &str) -> String {
    let (scheme, rest) = url.split_at(url.find("://").map_or(0, |at| at + "://".len()));
    match rest.rfind('@').and_then(|at| rest.get(at..)) {
        Some(host) => format!("{scheme}***{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_is_masked_in_every_url() {
        for (url, masked) in [
            ("http://r:8081/x", "http://r:8081/x"),
            ("http://TOKEN@r", "http://***@r"),
            ("https://me:hush@r:8081/x", "https://***@r:8081/x"),
            ("https://me:hu/sh@r", "https://***@r"),
            ("https://me:h@sh@r", "https://***@r"),
            ("http://TOK EN@r", "http://***@r"),
            ("TOKEN@r", "***@r"),
            ("a:1", "a:1"),
        ] {
            assert_eq!(mask_in_url(url), masked);
        }
        let text = "invalid value 'http://me:hu/sh@a' for \"https://TOKEN@b/x\" x@y http://c";
        assert_eq!(mask_in_text(text), "invalid value 'http://***@a' for \"https://***@b/x\" x@y http://c");
    }
}

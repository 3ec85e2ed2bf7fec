//! The parameters of a query string, checked against the parameters of the route.

use super::problem::Problem;

/// Names and decoded values, in order. Values are bytes, because keys and headers of records may be any bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<(String, Vec<u8>)>);

impl Query {
    /// Parses a query string. Rejects a parameter that is not in `allowed`, because ignoring it would hide a mistake.
    pub fn parse(raw: &str, allowed: &[&str]) -> Result<Self, Problem> {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = String::from_utf8_lossy(&form_decode(name)).into_owned();
            match allowed.contains(&name.as_str()) {
                true => Ok((name, form_decode(value))),
                false if allowed.is_empty() => {
                    Err(Problem::bad_request(format!("unknown parameter {name:?}; none is allowed here")))
                }
                false => {
                    let allowed = allowed.join(", ");
                    Err(Problem::bad_request(format!("unknown parameter {name:?}; allowed are {allowed}")))
                }
            }
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the text of a parameter. Fails if it is given more than once or is not UTF-8.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        self.bytes(name)?.map(|value| text(name, value)).transpose()
    }

    /// Returns the bytes of a parameter. Fails if it is given more than once.
    pub fn bytes(&self, name: &str) -> Result<Option<&[u8]>, Problem> {
        let mut values = self.all_bytes(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::bad_request(format!("parameter {name:?} is given more than once; once is allowed")));
        }
        Ok(first)
    }

    /// Returns the texts of a parameter that may be repeated. Fails if one is not UTF-8.
    pub fn all(&self, name: &str) -> Result<Vec<&str>, Problem> {
        self.all_bytes(name).map(|value| text(name, value)).collect()
    }

    /// Returns the bytes of a parameter that may be repeated.
    pub fn all_bytes<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_slice())
    }
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Problem> {
    std::str::from_utf8(value)
        .map_err(|_| Problem::bad_request(format!("parameter {name:?} is not UTF-8, percent-encoded")))
}

/// Decodes a form value, in which a plus is a space.
fn form_decode(text: &str) -> Vec<u8> {
    percent_decode(&text.replace('+', " "))
}

/// Decodes `%XX`. A `%` without two hex digits stands for itself (WHATWG URL, section 1.3).
pub fn percent_decode(text: &str) -> Vec<u8> {
    percent_encoding::percent_decode_str(text).collect()
}

/// The parameter for the ticket of a stream.
pub const TICKET: &str = "ticket";

/// Returns the first non-empty value of a parameter. Ignores all other parameters.
pub fn first(raw: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(raw.as_bytes());
    pairs.find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_unknown_or_repeated_ones_rejected() {
        let query = Query::parse("key=a%20b&partition=1&partition=2&from=x+y", &["key", "partition", "from"]).unwrap();
        assert_eq!(query.one("key").unwrap(), Some("a b"));
        assert_eq!(query.one("from").unwrap(), Some("x y"));
        assert_eq!(query.one("limit").unwrap(), None);
        assert_eq!(query.all("partition").unwrap(), ["1", "2"]);
        assert!(query.one("partition").is_err_and(|problem| problem.detail().contains("more than once")));
        let unknown = Query::parse("kye=a", &["key", "from"]).unwrap_err();
        assert!(unknown.detail().contains("\"kye\"") && unknown.detail().contains("key, from"));
    }

    #[test]
    fn a_value_may_be_any_bytes_unless_text_is_required() {
        let query = Query::parse("key=%FF%00+%ef%bf%bd&%66rom=%FF", &["key", "from"]).unwrap();
        assert_eq!(query.bytes("key").unwrap(), Some(&b"\xFF\0 \xEF\xBF\xBD"[..]));
        for name in ["key", "from"] {
            let problem = query.one(name).unwrap_err();
            assert!(problem.error_code() == 400 && problem.detail().contains(name), "{}", problem.detail());
        }
        assert_eq!(Query::parse("a&b=&&c=d=e%", &["a", "b", "c"]).unwrap().one("c").unwrap(), Some("d=e%"));
    }
}

//! A query string's parameters, checked against what a route understands.

use super::problem::Problem;

/// Decoded, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// A parameter that is not among `allowed` is a mistake worth telling: it would be ignored silently.
    pub fn parse(raw: &str, allowed: &[&str]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
        if replaced(&pairs) > meant(raw) {
            return Err(Problem::bad_request("the URL's parameters are not UTF-8, percent-encoded"));
        }
        match pairs.iter().find(|(name, _)| !allowed.contains(&name.as_str())) {
            Some((unknown, _)) => {
                let known = if allowed.is_empty() {
                    "none is allowed here".to_owned()
                } else {
                    format!("allowed are {}", allowed.join(", "))
                };
                Err(Problem::bad_request(format!("unknown parameter {unknown:?}; {known}")))
            }
            None => Ok(Self(pairs)),
        }
    }

    /// The value of a parameter that may be given once.
    pub fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        if values.next().is_some() {
            return Err(Problem::bad_request(format!("parameter {name:?} is given more than once; once is allowed")));
        }
        Ok(first)
    }

    /// The values of a parameter that may be repeated.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// The parameter that carries a stream's ticket.
pub const TICKET: &str = "ticket";

/// The first value of a parameter that is not empty, whatever else there is.
pub fn first(raw: &str, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(raw.as_bytes());
    pairs.find(|(n, value)| n == name && !value.is_empty()).map(|(_, value)| value.into_owned())
}

/// What decoding silently puts in for bytes that are not UTF-8.
const REPLACEMENT: char = '\u{FFFD}';

fn replaced(pairs: &[(String, String)]) -> usize {
    pairs.iter().map(|(name, value)| name.matches(REPLACEMENT).count() + value.matches(REPLACEMENT).count()).sum()
}

/// How often the URL itself asks for it.
fn meant(raw: &str) -> usize {
    if !raw.contains(['%', REPLACEMENT]) {
        return 0;
    }
    raw.matches(REPLACEMENT).count() + raw.to_ascii_uppercase().matches("%EF%BF%BD").count()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_what_is_unknown_or_repeated_is_said() {
        let query = Query::parse("key=a%20b&partition=1&partition=2&from=x+y", &["key", "partition", "from"]).unwrap();
        assert_eq!(query.one("key").unwrap(), Some("a b"));
        assert_eq!(query.one("from").unwrap(), Some("x y"));
        assert_eq!(query.one("limit").unwrap(), None);
        assert_eq!(query.all("partition").collect::<Vec<_>>(), ["1", "2"]);
        assert!(query.one("partition").is_err_and(|problem| problem.detail().contains("more than once")));
        let unknown = Query::parse("kye=a", &["key", "from"]).unwrap_err();
        assert!(unknown.detail().contains("\"kye\"") && unknown.detail().contains("key, from"));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused_rather_than_replaced() {
        assert_eq!(Query::parse("key=%FF", &["key"]).unwrap_err().error_code(), 400);
        assert_eq!(Query::parse("key=%ef%bf%bd%FF", &["key"]).unwrap_err().error_code(), 400);
        assert_eq!(Query::parse("key=%ef%bf%bd", &["key"]).unwrap().one("key").unwrap(), Some("\u{FFFD}"));
    }
}

//! Properties that nothing here reads.

/// Of security, and without a meaning here: either they change nothing, or there is nothing to change.
const MEANINGLESS: [&str; 21] = [
    "security.providers",
    "ssl.cipher.suites",
    "ssl.curves.list",
    "ssl.engine.factory.class",
    "ssl.keymanager.algorithm",
    "ssl.protocol",
    "ssl.provider",
    "ssl.secure.random.implementation",
    "ssl.sigalgs.list",
    "ssl.trustmanager.algorithm",
    "sasl.client.callback.handler.class",
    "sasl.login.callback.handler.class",
    "sasl.login.class",
    "sasl.login.connect.timeout.ms",
    "sasl.login.read.timeout.ms",
    "sasl.login.refresh.buffer.seconds",
    "sasl.login.refresh.min.period.seconds",
    "sasl.login.refresh.window.factor",
    "sasl.login.refresh.window.jitter",
    "sasl.login.retry.backoff.ms",
    "sasl.login.retry.backoff.max.ms",
];
const MEANINGLESS_KINDS: [&str; 2] = ["sasl.kerberos.", "sasl.oauthbearer."];

/// What is read, to find what a misspelt name should have been.
const READ: [&str; 14] = [
    "security.protocol",
    "ssl.truststore.location",
    "ssl.truststore.certificates",
    "ssl.truststore.type",
    "ssl.truststore.password",
    "ssl.keystore.location",
    "ssl.keystore.key",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.type",
    "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
    "ssl.enabled.protocols",
    "sasl.mechanism",
    "sasl.jaas.config",
];

/// A line for the log about what is left aside. A name of security that Kafka does not know is an error:
/// misspelt, it would leave something open.
pub fn judge(names: impl Iterator<Item = String>) -> Result<Option<String>, String> {
    let mut aside = Vec::new();
    for name in names {
        let of_security = ["ssl.", "sasl.", "security."].iter().any(|kind| name.starts_with(kind));
        let known = MEANINGLESS.contains(&name.as_str()) || MEANINGLESS_KINDS.iter().any(|k| name.starts_with(k));
        if of_security && !known {
            let near = READ.iter().min_by_key(|read| distance(&name, read)).filter(|read| distance(&name, read) < 4);
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            return Err(format!("there is no property {name}{hint}"));
        }
        aside.push(name);
    }
    let line = "left aside, since they mean nothing to the bridge";
    Ok((!aside.is_empty()).then(|| format!("{line}: {}", aside.join(", "))))
}

/// How many letters must be typed otherwise (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (b, above) in other.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(a != *b)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn judged(names: &[&str]) -> Result<Option<String>, String> {
        judge(names.iter().map(|&name| name.to_owned()))
    }

    #[test]
    fn what_means_nothing_is_named_in_one_line() {
        assert_eq!(judged(&[]), Ok(None));
        let line = judged(&["acks", "group.id", "ssl.cipher.suites", "sasl.kerberos.service.name"]).unwrap().unwrap();
        assert!(line.ends_with(": acks, group.id, ssl.cipher.suites, sasl.kerberos.service.name"), "{line}");
    }

    #[test]
    fn a_misspelt_name_of_security_is_refused_with_the_right_one() {
        for (wrong, right) in [
            ("sasl.mechansim", "sasl.mechanism"),
            ("ssl.truststore.locaton", "ssl.truststore.location"),
            ("security.protocl", "security.protocol"),
        ] {
            assert_eq!(judged(&[wrong]), Err(format!("there is no property {wrong}; did you mean {right}?")));
        }
        assert_eq!(
            judged(&["ssl.verify.nothing.at.all"]),
            Err("there is no property ssl.verify.nothing.at.all".into())
        );
    }

    #[test]
    fn letters_typed_otherwise_are_counted() {
        for (one, other, count) in [("", "", 0), ("a", "", 1), ("", "ab", 2), ("kitten", "sitting", 3), ("ab", "ba", 2)]
        {
            assert_eq!(distance(one, other), count, "{one} {other}");
        }
    }
}

#![allow(clippy::unwrap_used)]

use super::*;
use crate::auth::permit::{Grant, GrantSource};
use crate::auth::rights::{Right, Rights};
use crate::record::{TopicName, now};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, encode};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "a secret of 32 characters or more";

/// Keys that only tests use.
macro_rules! pem {
    ($name:literal) => {
        include_str!(concat!("testing/", $name, ".pem"))
    };
}

fn settings() -> IssuerSettings {
    IssuerSettings {
        name: "idp".into(),
        issuers: vec!["https://idp.example".into()],
        audiences: vec!["curlew".into()],
        leeway: Duration::from_secs(30),
        identity: "sub".into(),
        claim: "curlew".into(),
        rights: Rights::default(),
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://idp.example", "aud": "curlew", "sub": "alice", "exp": now() / 1000 + 600,
        "curlew": {"consume": ["a.*"]},
    })
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        match value.is_null() {
            true => drop(claims.as_object_mut().unwrap().remove(name)),
            false => claims[name] = value.clone(),
        }
    }
    claims
}

fn sign(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey, claims: &Value) -> String {
    let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
    encode(&header, claims, key).unwrap()
}

fn hs256(claims: &Value) -> String {
    sign(Algorithm::HS256, None, &EncodingKey::from_secret(SECRET.as_bytes()), claims)
}

fn of_secret(settings: IssuerSettings) -> Issuer {
    Issuer::new(settings, IssuerKeys::Known(Arc::new(KeySet::from_secret(&Secret::new(SECRET)).unwrap())))
}

fn from_pem(text: &str) -> Issuer {
    Issuer::new(settings(), IssuerKeys::Known(Arc::new(KeySet::from_pem(text).unwrap())))
}

fn from_jwks(set: &Value, from: KeySetSource) -> Issuer {
    Issuer::new(settings(), IssuerKeys::Known(Arc::new(KeySet::from_jwks(&set.to_string(), from).unwrap())))
}

fn verify(issuer: &Issuer, token: &str) -> Result<Grant, String> {
    match header(token).map(|header| issuer.verify(token, &header)) {
        Some(TokenVerdict::Valid(grant)) => Ok(*grant),
        Some(TokenVerdict::Invalid(TokenFlaw::Expired)) => Err("expired".into()),
        Some(TokenVerdict::Invalid(TokenFlaw::Other(why))) => Err(why),
        Some(TokenVerdict::OtherSigner) => Err("foreign".into()),
        Some(TokenVerdict::UnknownKey(_)) => Err("unknown key".into()),
        None => Err("no token".into()),
    }
}

fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

#[test]
fn a_token_of_each_algorithm_is_accepted() {
    let rsa = (Algorithm::RS256, EncodingKey::from_rsa_pem(pem!("rsa").as_bytes()).unwrap(), pem!("rsa.pub"));
    let ec = (Algorithm::ES256, EncodingKey::from_ec_pem(pem!("ec").as_bytes()).unwrap(), pem!("ec.pub"));
    let ed = (Algorithm::EdDSA, EncodingKey::from_ed_pem(pem!("ed").as_bytes()).unwrap(), pem!("ed.pub"));
    let together = format!("{}\n{}{}", pem!("rsa.pub"), pem!("ec.pub"), pem!("ed.pub"));
    for (algorithm, key, public) in [rsa, ec, ed] {
        let token = sign(algorithm, Some("any"), &key, &claims());
        for issuer in [from_pem(public), from_pem(&together)] {
            let grant = verify(&issuer, &token).unwrap();
            assert_eq!(grant.identity.name(), "idp/alice");
            assert!(
                grant.may(Right::Consume, &topic("a.b")).is_ok() && grant.may(Right::Consume, &topic("b")).is_err()
            );
            let GrantSource::Token { fingerprint, .. } = &grant.origin.source else { panic!("{grant:?}") };
            assert!(issuer.has_key(fingerprint));
        }
        assert_eq!(verify(&from_pem(pem!("other-rsa.pub")), &token), Err("foreign".into()));
    }
    assert!(verify(&of_secret(settings()), &hs256(&claims())).is_ok());
}

#[test]
fn a_token_cannot_choose_the_algorithm() {
    // Algorithm confusion: the public key, which everyone knows, used as a shared secret.
    for public in [pem!("rsa.pub"), pem!("ec.pub"), pem!("ed.pub")] {
        let forged = sign(Algorithm::HS256, None, &EncodingKey::from_secret(public.as_bytes()), &claims());
        assert_eq!(verify(&from_pem(public), &forged), Err("foreign".into()));
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let good = hs256(&claims());
    let (_, signature) = good.rsplit_once('.').unwrap();
    for alg in ["none", "None", "HS384", "RS256", "ES256", ""] {
        for signature in ["", signature] {
            let forged = format!("{}.{}.{signature}", part(&json!({"alg": alg, "typ": "JWT"})), part(&claims()));
            assert!(verify(&of_secret(settings()), &forged).is_err(), "{alg}");
        }
    }
    let rs512 = sign(Algorithm::RS512, None, &EncodingKey::from_rsa_pem(pem!("rsa").as_bytes()).unwrap(), &claims());
    assert_eq!(verify(&from_pem(pem!("rsa.pub")), &rs512), Err("foreign".into()));
    // A critical header parameter.
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    let signed = format!("{}.{}", part(&header), part(&claims()));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
    assert_eq!(verify(&of_secret(settings()), &format!("{signed}.{signature}")), Err("no token".into()));
}

#[test]
fn a_signed_token_that_is_rejected_gets_a_reason() {
    let time = |seconds: i64| now() / 1000 + seconds;
    let cases = [
        (json!({}), Ok(())),
        (json!({"aud": ["x", "curlew"]}), Ok(())),
        (json!({"exp": time(-20)}), Ok(())),
        (json!({"nbf": time(20)}), Ok(())),
        (json!({"exp": time(-40)}), Err("expired")),
        (json!({"exp": null}), Err("lacks the claim exp")),
        (json!({"exp": "tomorrow"}), Err("exp")),
        (json!({"nbf": time(60)}), Err("not valid yet")),
        (json!({"aud": "other"}), Err("another audience")),
        (json!({"aud": []}), Err("another audience")),
        (json!({"aud": null}), Err("lacks the claim aud")),
        (json!({"iss": "https://evil.example"}), Err("another issuer")),
        (json!({"iss": null}), Err("lacks the claim iss")),
        (json!({"curlew": "all"}), Err("is not such as")),
        (json!({"curlew": {"consume": "*"}}), Err("is not such as")),
        (json!({"curlew": {"consume": ["a*b"]}}), Err("is not such as")),
        (json!({"curlew": {"conusme": ["*"]}}), Err("is not such as")),
    ];
    for (changes, expected) in cases {
        match (verify(&of_secret(settings()), &hs256(&with(&changes))), expected) {
            (Ok(_), Ok(())) => {}
            (Err(message), Err(expected)) => assert!(message.contains(expected), "{changes}: {message}"),
            (message, expected) => panic!("{changes}: {message:?}, not {expected:?}"),
        }
    }
    // Without configured audiences, a token with an audience is meant for another service.
    let open = of_secret(IssuerSettings { audiences: Vec::new(), ..settings() });
    assert_eq!(verify(&open, &hs256(&claims())), Err("the token is for another audience".into()));
    assert!(verify(&open, &hs256(&with(&json!({"aud": null})))).is_ok());
}

#[test]
fn the_fingerprint_of_an_issuer_depends_on_every_value_and_on_nothing_else() {
    let of = |settings: IssuerSettings| of_secret(settings).fingerprint;
    let rights = |text: &str| serde_json::from_str::<Rights>(text).unwrap();
    let settings = || IssuerSettings { rights: rights(r#"{"produce":["in"],"consume":["a.*"]}"#), ..settings() };
    // Sessions and tickets of earlier versions contain it.
    assert_eq!(of(settings()), "4cV3aAIgsC8t");
    let changed = [
        IssuerSettings { name: "other".into(), ..settings() },
        IssuerSettings { issuers: Vec::new(), ..settings() },
        IssuerSettings {
            issuers: vec!["https://idp.example".into(), "curlew".into()],
            audiences: Vec::new(),
            ..settings()
        },
        IssuerSettings { audiences: vec!["other".into()], ..settings() },
        IssuerSettings { leeway: Duration::from_millis(30_001), ..settings() },
        IssuerSettings { identity: "email".into(), ..settings() },
        IssuerSettings { claim: "/curlew".into(), ..settings() },
        IssuerSettings { identity: "curlew".into(), claim: "sub".into(), ..settings() },
        IssuerSettings { rights: rights(r#"{"produce":["in","a.*"]}"#), ..settings() },
        IssuerSettings { rights: rights(r#"{"produce":["in"],"manage":["a.*"]}"#), ..settings() },
        IssuerSettings { rights: rights(r#"{"produce":["in"],"consume":["a."]}"#), ..settings() },
        IssuerSettings { rights: rights(r#"{"produce":["in"],"consume":["a.*"],"metrics":true}"#), ..settings() },
    ];
    let count = changed.len();
    let fingerprints: HashSet<_> = changed.into_iter().map(of).chain([of(settings())]).collect();
    assert_eq!(fingerprints.len(), count + 1);
}

#[test]
fn a_token_has_the_rights_of_its_claim_and_of_its_issuer() {
    let rights = Rights { produce: vec!["in".to_owned().try_into().unwrap()], ..Rights::default() };
    let allows = |settings: IssuerSettings, claims: &Value| {
        let grant = verify(&of_secret(settings), &hs256(claims)).unwrap();
        [(Right::Consume, "a.b"), (Right::Produce, "in")].map(|(right, name)| grant.rights.allow(right, &topic(name)))
    };
    assert_eq!(allows(settings(), &claims()), [true, false]);
    assert_eq!(allows(IssuerSettings { rights, ..settings() }, &claims()), [true, true]);
    assert_eq!(allows(settings(), &with(&json!({"curlew": null}))), [false, false]);
    let nested = json!({"curlew": null, "resource_access": {"curlew": {"consume": ["a.b"]}}});
    let pointer = IssuerSettings { claim: "/resource_access/curlew".into(), ..settings() };
    assert_eq!(allows(pointer, &with(&nested)), [true, false]);
    let named = IssuerSettings { claim: "https://example.org/curlew".into(), ..settings() };
    assert_eq!(allows(named, &with(&json!({"https://example.org/curlew": {"produce": ["*"]}}))), [false, true]);
}

fn jwk(kid: &str, public: Value) -> Value {
    let mut jwk = public;
    jwk["kid"] = json!(kid);
    jwk
}

fn jwk_of(private: &EncodingKey, algorithm: Algorithm) -> Value {
    let mut jwk = serde_json::to_value(jsonwebtoken::jwk::Jwk::from_encoding_key(private, algorithm).unwrap()).unwrap();
    jwk.as_object_mut().unwrap().remove("alg");
    jwk
}

#[test]
fn a_key_of_a_set_is_found_by_its_id_and_type() {
    let rsa = EncodingKey::from_rsa_pem(pem!("rsa").as_bytes()).unwrap();
    let other = EncodingKey::from_rsa_pem(pem!("other-rsa").as_bytes()).unwrap();
    let ec = EncodingKey::from_ec_pem(pem!("ec").as_bytes()).unwrap();
    let ed = EncodingKey::from_ed_pem(pem!("ed").as_bytes()).unwrap();
    let set = json!({"keys": [
        jwk("r", jwk_of(&rsa, Algorithm::RS256)),
        jwk("e", jwk_of(&ec, Algorithm::ES256)),
        jwk("d", jwk_of(&ed, Algorithm::EdDSA)),
        {"kty": "XYZ", "kid": "x"}, "nonsense", {"kty": "oct", "kid": "s", "k": URL_SAFE_NO_PAD.encode(SECRET)},
    ]});
    let issuer = from_jwks(&set, KeySetSource::Url);
    for (algorithm, kid, key, good) in [
        (Algorithm::RS256, Some("r"), &rsa, true),
        (Algorithm::ES256, Some("e"), &ec, true),
        (Algorithm::EdDSA, Some("d"), &ed, true),
        (Algorithm::RS256, None, &rsa, true),
        (Algorithm::RS256, Some("e"), &rsa, false),
        (Algorithm::RS256, Some("r"), &other, false),
        (Algorithm::RS256, Some("new"), &rsa, false),
    ] {
        assert_eq!(verify(&issuer, &sign(algorithm, kid, key, &claims())).is_ok(), good, "{algorithm:?} {kid:?}");
    }
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let token = sign(Algorithm::HS256, Some("s"), &secret, &claims());
    assert!(verify(&issuer, &token).is_err(), "secrets from the network are ignored");
    assert!(verify(&from_jwks(&set, KeySetSource::File), &token).is_ok());
}

#[test]
fn invalid_keys_are_rejected_with_advice() {
    let pem = |text: &str| KeySet::from_pem(text).unwrap_err().to_string();
    assert!(pem("").contains("no public key in PEM"));
    assert!(pem(pem!("rsa")).contains("private key; give the public one"));
    assert!(pem(pem!("short-rsa.pub")).contains("shorter than 2048 bits"));
    assert!(pem(pem!("p384.pub")).contains("not on P-256"));
    assert!(pem("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n").contains("damaged"));
    assert!(pem("-----BEGIN PUBLIC KEY-----\nAAAA").contains("damaged"));
    assert!(pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").contains("give its public key"));
    assert!(KeySet::from_secret(&Secret::new("short")).unwrap_err().to_string().contains("shorter than 32"));
    for bad in ["", "[]", "{}", r#"{"keys":[]}"#, r#"{"keys":{}}"#, r#"{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"}]}"#]
    {
        assert!(KeySet::from_jwks(bad, KeySetSource::File).is_err(), "{bad}");
    }
    let encryption = jwk("r", json!({"use": "enc", "kty": "oct", "k": URL_SAFE_NO_PAD.encode(SECRET)}));
    assert!(KeySet::from_jwks(&json!({"keys": [encryption]}).to_string(), KeySetSource::File).is_err());
}

#[test]
fn debug_output_contains_no_key() {
    let shown = format!("{:?}", of_secret(settings()));
    assert!(!shown.contains(SECRET) && shown.contains("HS256"), "{shown}");
}

proptest! {
    #[test]
    fn other_texts_are_not_tokens(text in ".*", dotted in "[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}\\.[A-Za-z0-9_-]{0,60}") {
        prop_assert!(verify(&of_secret(settings()), &text).is_err());
        prop_assert!(verify(&of_secret(settings()), &dotted).is_err());
    }

    #[test]
    fn a_damaged_token_is_rejected(at in any::<prop::sample::Index>(), with in "[A-Za-z0-9_.-]", cut in 1usize..400) {
        let token = hs256(&claims());
        let at = at.index(token.len());
        let damaged = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        prop_assume!(damaged != token);
        prop_assert!(verify(&of_secret(settings()), &damaged).is_err());
        prop_assert!(verify(&of_secret(settings()), &token[..token.len().saturating_sub(cut)]).is_err());
    }

    #[test]
    fn no_key_set_causes_a_panic(text in ".*", member in "[a-zA-Z0-9_-]{0,12}", curve in "(P-256|Ed25519|P-384|x)?") {
        let _ = KeySet::from_jwks(&text, KeySetSource::Url);
        let _ = KeySet::from_pem(&text);
        let _ = KeySet::from_pem(&format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----"));
        for kty in ["RSA", "EC", "OKP", "oct"] {
            let key = json!({"kty": kty, "n": member, "e": member, "x": member, "y": member, "k": member, "crv": curve});
            let _ = KeySet::from_jwks(&json!({"keys": [key]}).to_string(), KeySetSource::File);
        }
    }
}

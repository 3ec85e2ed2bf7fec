//! A broker with a listener per security protocol, and with the users, ACLs and certificates for them.

use crate::free_port;
use crate::kafka::{Kafka, Options};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use std::ops::{Deref, DerefMut};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// A super user: name and password.
pub const ALICE: (&str, &str) = ("alice", "alice-secret");
/// A user with only the permissions in ACLs.
pub const BOB: (&str, &str) = ("bob", "bob-secret");

/// The session lifetime after which the broker requires SCRAM-SHA-256 clients to authenticate again.
pub const REAUTHENTICATE: Duration = Duration::from_secs(3);

/// The listeners besides the plaintext one, which tests use for administration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listener {
    Tls,
    /// Requires a client certificate.
    Mutual,
    /// Its certificate is for another host name.
    Elsewhere,
    SaslPlain,
    SaslTls,
}

const LISTENERS: [(Listener, &str, &str); 5] = [
    (Listener::Tls, "TLS", "SSL"),
    (Listener::Mutual, "MUTUAL", "SSL"),
    (Listener::Elsewhere, "ELSEWHERE", "SSL"),
    (Listener::SaslPlain, "SASLPLAIN", "SASL_PLAINTEXT"),
    (Listener::SaslTls, "SASLTLS", "SASL_SSL"),
];

pub struct Secured {
    kafka: Kafka,
    ports: [u16; 5],
    directory: TempDir,
}

impl Deref for Secured {
    type Target = Kafka;

    fn deref(&self) -> &Kafka {
        &self.kafka
    }
}

impl DerefMut for Secured {
    fn deref_mut(&mut self) -> &mut Kafka {
        &mut self.kafka
    }
}

impl Secured {
    pub fn start() -> Self {
        let directory = crate::shared_directory("secured");
        make_certificates(directory.path());
        let ports: [u16; 5] = std::array::from_fn(|_| free_port());
        let properties = properties(directory.path());
        let listeners =
            LISTENERS.iter().zip(ports).map(|((_, name, protocol), port)| (*name, *protocol, port)).collect();
        let scram = [ALICE, BOB].map(|(user, password)| (user.to_owned(), password.to_owned())).to_vec();
        let kafka = Kafka::start(Options { properties, listeners, scram, ..Options::default() });
        Self { kafka, ports, directory }
    }

    pub fn address(&self, listener: Listener) -> String {
        let at = LISTENERS.iter().position(|(of, ..)| *of == listener).expect("a listener");
        format!("127.0.0.1:{}", self.ports[at])
    }

    /// Returns the path of a file created for the test: `ca.pem`, `other-ca.pem`, `client.pem` (key and certificate).
    pub fn file(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    /// Writes a `client.properties` for `listener` with `lines`; returns its path.
    pub fn client(&self, listener: Listener, lines: &[&str]) -> String {
        let (.., protocol) = LISTENERS.iter().find(|(of, ..)| *of == listener).expect("a listener");
        let mut text = format!("bootstrap.servers={}\nsecurity.protocol={protocol}\n", self.address(listener));
        if protocol.ends_with("SSL") && !lines.iter().any(|line| line.starts_with("ssl.truststore")) {
            text += &format!("ssl.truststore.type=PEM\nssl.truststore.location={}\n", self.file("ca.pem"));
        }
        text += &lines.join("\n");
        self.write(&format!("client-{:08x}.properties", fastrand::u32(..)), &text)
    }

    /// Like [`client`](Self::client), with a user and a password.
    pub fn client_of(&self, listener: Listener, mechanism: &str, (user, password): (&str, &str)) -> String {
        let module = if mechanism == "PLAIN" { "plain.PlainLoginModule" } else { "scram.ScramLoginModule" };
        let jaas = format!(
            "sasl.jaas.config=org.apache.kafka.common.security.{module} required \\\n  username=\"{user}\" \
             password=\"{password}\";"
        );
        self.client(listener, &[&format!("sasl.mechanism={mechanism}"), &jaas])
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.file(name);
        std::fs::write(&path, text).expect("file");
        path
    }
}

/// Returns an unsigned JWT, which a broker accepts only if configured for tests. It expires in `seconds`.
pub fn token(user: &str, seconds: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
    let part = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let claims = json!({"sub": user, "iat": now - 60, "exp": now + seconds});
    format!("{}.{}.", part(json!({"alg": "none"})), part(claims))
}

fn openssl(directory: &Path, arguments: &str) {
    let output = Command::new("openssl").current_dir(directory).args(arguments.split(' ')).output();
    let output = output.expect("openssl: run integration/setup first");
    assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates `ca.pem` and `other-ca.pem`, and of the former `broker.pem`, `elsewhere.pem` (for another host) and `client.pem`, each
/// with its key.
pub fn make_certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for ca in ["ca", "other-ca"] {
        openssl(directory, &format!("req -x509 {key} -keyout {ca}.key -out {ca}.pem -days 2 -subj /CN={ca}"));
    }
    for (name, subject, names) in [
        ("broker", "broker", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ("elsewhere", "elsewhere", "subjectAltName=DNS:kafka.elsewhere.example"),
        ("client", "bridge", "extendedKeyUsage=clientAuth"),
    ] {
        std::fs::write(directory.join(format!("{name}.ext")), names).expect("file");
        openssl(directory, &format!("req {key} -keyout {name}.key -out {name}.csr -subj /O=Curlew/CN={subject}"));
        let signed = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
        openssl(directory, &format!("x509 -req -in {name}.csr -out {name}.crt -extfile {name}.ext {signed}"));
        let read = |end: &str| std::fs::read_to_string(directory.join(format!("{name}.{end}"))).expect("made above");
        std::fs::write(directory.join(format!("{name}.pem")), read("key") + &read("crt")).expect("file");
    }
}

fn properties(directory: &Path) -> Vec<String> {
    let path = |name: &str| directory.join(name).display().to_string();
    let mut lines = vec![
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned(),
        format!("super.users=User:ANONYMOUS;User:{};User:CN=bridge,O=Curlew", ALICE.0),
        "ssl.keystore.type=PEM".to_owned(),
        format!("ssl.keystore.location={}", path("broker.pem")),
        format!("listener.name.elsewhere.ssl.keystore.location={}", path("elsewhere.pem")),
        "listener.name.elsewhere.ssl.keystore.type=PEM".to_owned(),
        "ssl.truststore.type=PEM".to_owned(),
        format!("ssl.truststore.location={}", path("ca.pem")),
        "listener.name.mutual.ssl.client.auth=required".to_owned(),
        "sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER".to_owned(),
        "auto.create.topics.enable=true".to_owned(),
    ];
    let users = [ALICE, BOB].map(|(user, password)| format!("user_{user}=\"{password}\"")).join(" ");
    let module = "org.apache.kafka.common.security";
    for listener in ["saslplain", "sasltls"] {
        let of = |mechanism: &str| format!("listener.name.{listener}.{mechanism}");
        let config = |mechanism: &str, class: &str| format!("{}.sasl.jaas.config={module}.{class}", of(mechanism));
        lines.extend([
            config("plain", &format!("plain.PlainLoginModule required {users};")),
            config("scram-sha-256", "scram.ScramLoginModule required;"),
            config("scram-sha-512", "scram.ScramLoginModule required;"),
            config(
                "oauthbearer",
                "oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub=\"broker\";",
            ),
            format!("{}.connections.max.reauth.ms={}", of("scram-sha-256"), REAUTHENTICATE.as_millis()),
        ]);
    }
    lines
}

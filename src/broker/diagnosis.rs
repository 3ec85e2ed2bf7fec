//! The results of `curlew doctor`: one line each for people, or one JSON object each for programs.

use serde::Serialize;
use std::fmt;

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The check.
    pub step: DiagnosisStep,
    /// How the check ended.
    pub outcome: StepOutcome,
    /// The subject of the check, and its result.
    pub what: String,
    /// How to fix a failed check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// The checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosisStep {
    /// Resolves the host name of a broker.
    Name,
    /// Connects to a broker.
    Tcp,
    /// Completes the TLS handshake with a broker.
    Tls,
    /// Requests the versions that a broker supports.
    ApiVersions,
    /// Authenticates to a broker.
    Sasl,
    /// Requests the cluster's metadata.
    Metadata,
    /// Connects to the address that each broker advertises.
    AdvertisedListeners,
    /// Compares the permissions on topics with the bridge's needs.
    Topics,
    /// Requests a producer id.
    Producing,
    /// Finds out whether brokers create missing topics.
    AutoCreation,
    /// Compares how long brokers remember an idle producer with the bridge's retries.
    ProducerExpiry,
    /// Compares the clocks of the controller and of this machine.
    Clock,
    /// Checks that the data directory exists and is writable.
    DataFolder,
    /// Checks the format of the data directory.
    DataFormat,
    /// Checks whether another process has locked the data directory.
    DataLock,
    /// Checks the free space on the disk of the data directory.
    DataSpace,
    /// Sends a request to the schema registry.
    SchemaRegistry,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// The check passed.
    Ok,
    /// The check failed.
    Failed,
    /// Not run: not requested, or an earlier check failed.
    Skipped,
}

impl Diagnosis {
    /// A check that passed.
    pub fn ok(step: DiagnosisStep, what: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Ok, what: what.into(), remedy: None }
    }

    /// A check that failed, with the remedy.
    pub fn failed(step: DiagnosisStep, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Failed, what: what.into(), remedy: Some(remedy.into()) }
    }

    /// A check that was not run, with the reason.
    pub fn skipped(step: DiagnosisStep, reason: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Skipped, what: reason.into(), remedy: None }
    }
}

impl DiagnosisStep {
    fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::ApiVersions => "api-versions",
            Self::Sasl => "sasl",
            Self::Metadata => "metadata",
            Self::AdvertisedListeners => "advertised-listeners",
            Self::Topics => "topics",
            Self::Producing => "producing",
            Self::AutoCreation => "auto-creation",
            Self::ProducerExpiry => "producer-expiry",
            Self::Clock => "clock",
            Self::DataFolder => "data-folder",
            Self::DataFormat => "data-format",
            Self::DataLock => "data-lock",
            Self::DataSpace => "data-space",
            Self::SchemaRegistry => "schema-registry",
        }
    }
}

impl StepOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// `failed   tcp                   what was checked; how to fix it`
impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<8} {:<21} {}", self.outcome.name(), self.step.name(), self.what)?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, "; {remedy}"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn a_diagnosis_is_one_line_or_one_object() {
        let failed = Diagnosis::failed(DiagnosisStep::Tcp, "127.0.0.1:1 refuses", "start it");
        expect!["failed   tcp                   127.0.0.1:1 refuses; start it"].assert_eq(&failed.to_string());
        let skipped = Diagnosis::skipped(DiagnosisStep::AdvertisedListeners, "no broker answers");
        expect!["skipped  advertised-listeners  no broker answers"].assert_eq(&skipped.to_string());
        expect![[r#"{"step":"advertised-listeners","outcome":"skipped","what":"no broker answers"}"#]]
            .assert_eq(&serde_json::to_string(&skipped).unwrap());
    }
}

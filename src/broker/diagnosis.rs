//! What a look at the surroundings found: one line each for a person, one object each for a program.

use serde::Serialize;
use std::fmt;

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub step: DiagnosisStep,
    pub outcome: StepOutcome,
    /// What was tried, and what came of it.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What is tried, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiagnosisStep {
    Name,
    Tcp,
    Tls,
    ApiVersions,
    Sasl,
    Metadata,
    AdvertisedListeners,
    Topics,
    Producing,
    AutoCreation,
    ProducerExpiry,
    Clock,
    DataFolder,
    DataFormat,
    DataLock,
    DataSpace,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    Ok,
    Failed,
    /// Not tried: not asked for, or something before it failed.
    Skipped,
}

impl Diagnosis {
    pub fn ok(step: DiagnosisStep, what: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Ok, what: what.into(), remedy: None }
    }

    pub fn failed(step: DiagnosisStep, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Failed, what: what.into(), remedy: Some(remedy.into()) }
    }

    pub fn skipped(step: DiagnosisStep, why: impl Into<String>) -> Self {
        Self { step, outcome: StepOutcome::Skipped, what: why.into(), remedy: None }
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

/// `failed   tcp                   what was tried; what to do`
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
    fn a_finding_is_one_line_or_one_object() {
        let failed = Diagnosis::failed(DiagnosisStep::Tcp, "127.0.0.1:1 refuses", "start it");
        expect!["failed   tcp                   127.0.0.1:1 refuses; start it"].assert_eq(&failed.to_string());
        let skipped = Diagnosis::skipped(DiagnosisStep::AdvertisedListeners, "no broker answers");
        expect!["skipped  advertised-listeners  no broker answers"].assert_eq(&skipped.to_string());
        expect![[r#"{"step":"advertised-listeners","outcome":"skipped","what":"no broker answers"}"#]]
            .assert_eq(&serde_json::to_string(&skipped).unwrap());
    }
}

//! `curlew doctor`: checks the connection to Kafka, or the data directory, step by step, and the schema registry.

use super::{PrintOutcome, print_outcome, report};
use crate::broker::diagnosis::{Diagnosis, StepOutcome};
use crate::config::{Doctor, DoctorTarget};
use crate::embedded;
use crate::kafka;
use crate::os::terminal_escapes::Destination;
use crate::schemas;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Serialize)]
struct DoctorReport<'a> {
    ok: bool,
    findings: &'a [Diagnosis],
}

/// Returns exit code 0 if no check failed, and 1 otherwise.
pub fn doctor(settings: &Doctor) -> ExitCode {
    let mut findings = Vec::new();
    let mut out = io::stdout();
    let to = Destination::of(&out);
    let mut printed = Ok(PrintOutcome::Printed);
    let mut note = |finding: Diagnosis| {
        // Printed without delay, since some checks take seconds.
        if !settings.json && matches!(printed, Ok(PrintOutcome::Printed)) {
            let lines = finding.to_string();
            let lines: Vec<_> = lines.lines().map(|line| to.text(line)).collect();
            printed = print_outcome(writeln!(out, "{}", lines.join("\n")));
        }
        findings.push(finding);
    };
    match settings.target() {
        DoctorTarget::Kafka(kafka) => {
            let (timeout, produce_timeout) = (settings.timeout, settings.produce_timeout);
            kafka::doctor::examine(kafka, timeout, &settings.topics, produce_timeout, &mut note)
        }
        DoctorTarget::DataDir(dir) => embedded::inspect(dir, &mut note),
    }
    if let Some(registry) = settings.schema_registry() {
        schemas::registry::inspect(&registry, &mut note);
    }
    let ok = findings.iter().all(|finding| finding.outcome != StepOutcome::Failed);
    if settings.json {
        let json = serde_json::to_string_pretty(&DoctorReport { ok, findings: &findings }).map_err(io::Error::other);
        printed = print_outcome(json.and_then(|json| writeln!(out, "{json}")));
    }
    if let Err(error) = printed {
        report(error);
        return ExitCode::FAILURE;
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

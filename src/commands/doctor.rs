//! `curlew doctor`: what works and what does not, in order, between here and Kafka or the data folder.

use super::{PrintOutcome, say, written};
use crate::broker::diagnosis::{Diagnosis, StepOutcome};
use crate::config::{Doctor, Patient};
use crate::embedded;
use crate::kafka;
use crate::os::terminal::Destination;
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

#[derive(Serialize)]
struct DoctorReport<'a> {
    ok: bool,
    findings: &'a [Diagnosis],
}

/// Exit code 0 where nothing failed, else 1.
pub fn doctor(settings: &Doctor) -> ExitCode {
    let mut findings = Vec::new();
    let mut out = io::stdout();
    let to = Destination::of(&out);
    let mut read = Ok(PrintOutcome::Yes);
    let mut note = |finding: Diagnosis| {
        // As soon as it is known: some tries take their time.
        if !settings.json && matches!(read, Ok(PrintOutcome::Yes)) {
            let lines = finding.to_string();
            let lines: Vec<_> = lines.lines().map(|line| to.text(line)).collect();
            read = written(writeln!(out, "{}", lines.join("\n")));
        }
        findings.push(finding);
    };
    match settings.patient() {
        Patient::Kafka(kafka) => {
            let (timeout, produce_timeout) = (settings.timeout, settings.produce_timeout);
            kafka::doctor::examine(kafka, timeout, &settings.topics, produce_timeout, &mut note)
        }
        Patient::Folder(folder) => embedded::inspect(folder, &mut note),
    }
    let ok = findings.iter().all(|finding| finding.outcome != StepOutcome::Failed);
    if settings.json {
        let report = serde_json::to_string_pretty(&DoctorReport { ok, findings: &findings }).map_err(io::Error::other);
        read = written(report.and_then(|report| writeln!(out, "{report}")));
    }
    if let Err(line) = read {
        say(line);
        return ExitCode::FAILURE;
    }
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

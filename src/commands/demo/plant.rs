//! A simulated plant: two boilers, three pumps, and a fan that overheats every four minutes.

use crate::record::Timestamp;
use std::f64::consts::TAU;

/// Period of the fan's overheating in seconds.
pub const PERIOD: f64 = 240.0;
/// The normal temperature of the fan and its temperature when overheated, in °C.
const COOL: f64 = 46.0;
const HOT: f64 = 96.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    Boiler(u32),
    Pump(u32),
    Fan(u32),
}

pub const MACHINES: [Machine; 6] =
    [Machine::Boiler(1), Machine::Boiler(2), Machine::Pump(1), Machine::Pump(2), Machine::Pump(3), Machine::Fan(1)];

/// The state of the fan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    Running,
    HeatingUp,
    Overheated,
    CoolingDown,
}

impl Fan {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::HeatingUp => "heating up",
            Self::Overheated => "overheated",
            Self::CoolingDown => "cooling down",
        }
    }
}

impl Machine {
    pub fn name(self) -> String {
        match self {
            Self::Boiler(number) => format!("boiler-{number}"),
            Self::Pump(number) => format!("pump-{number}"),
            Self::Fan(number) => format!("fan-{number}"),
        }
    }

    /// Returns the report for the time `at` as JSON. The caller seeds the noise, which makes reports reproducible.
    pub fn report(self, at: Timestamp, noise: &mut fastrand::Rng) -> String {
        let seconds = at as f64 / 1000.0;
        let mut jitter = |width: f64| (noise.f64() + noise.f64() - 1.0) * width;
        let angle = |period: f64, phase: u32| TAU * seconds / period + f64::from(phase) * 1.9;
        let wave = |period: f64, phase: u32| angle(period, phase).sin();
        match self {
            Self::Boiler(number) => {
                let temperature = 84.0 - 5.0 * f64::from(number) + 3.5 * wave(190.0, number) + jitter(0.4);
                let pressure = 2.1 + 0.03 * (temperature - 80.0) + jitter(0.01);
                // The burner is lit while the temperature rises.
                let state = if angle(190.0, number).cos() > 0.0 { "heating" } else { "standby" };
                format!("{{\"temperature\":{temperature:.1},\"pressure\":{pressure:.2},\"state\":\"{state}\"}}")
            }
            Self::Pump(number) => {
                let temperature = 50.0 + 4.0 * f64::from(number) + 1.5 * wave(110.0, number) + jitter(0.3);
                let rpm = 1480.0 + 12.0 * wave(60.0, number) + jitter(4.0);
                let vibration = 1.1 + 0.2 * f64::from(number) + jitter(0.12);
                let state = if wave(60.0, number) > 0.5 { "full load" } else { "running" };
                rotation_report(temperature, rpm, vibration, state)
            }
            Self::Fan(_) => {
                let temperature = fan_temperature(at) + jitter(0.5);
                let strain = (temperature - COOL) / (HOT - COOL);
                let rpm = 2900.0 - 900.0 * strain + jitter(15.0);
                let vibration = 0.9 + 3.0 * strain.max(0.0) + jitter(0.15);
                rotation_report(temperature, rpm, vibration, fan(at).as_str())
            }
        }
    }
}

fn rotation_report(temperature: f64, rpm: f64, vibration: f64, state: &str) -> String {
    format!("{{\"temperature\":{temperature:.1},\"rpm\":{rpm:.0},\"vibration\":{vibration:.2},\"state\":\"{state}\"}}")
}

/// Returns the phase of the fan's cycle, in 0..1.
fn phase(at: Timestamp) -> f64 {
    (at as f64 / 1000.0).rem_euclid(PERIOD) / PERIOD
}

/// Returns the fan's state at a time.
pub fn fan(at: Timestamp) -> Fan {
    match phase(at) {
        p if p < 0.5 => Fan::Running,
        p if p < 0.7 => Fan::HeatingUp,
        p if p < 0.76 => Fan::Overheated,
        _ => Fan::CoolingDown,
    }
}

/// Returns the fan's temperature in °C, without noise. The curve is continuous, as for real machines.
pub fn fan_temperature(at: Timestamp) -> f64 {
    let p = phase(at);
    match fan(at) {
        Fan::Running => COOL,
        Fan::HeatingUp => COOL + (HOT - COOL) * ((p - 0.5) / 0.2).powi(2),
        Fan::Overheated => HOT,
        // Newton's law of cooling. At the end of the cycle the difference to [`COOL`] is smaller than the noise.
        Fan::CoolingDown => COOL + (HOT - COOL) * (-5.5 * (p - 0.76) / 0.24).exp(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    const START: Timestamp = 1_790_000_000_000;

    #[test]
    fn the_fan_overheats_once_a_period_and_cools_down_again() {
        let states: Vec<Fan> = (0..2 * PERIOD as i64).map(|second| fan(START + 1000 * second)).collect();
        let changes = states.windows(2).filter(|pair| pair[0] != pair[1]);
        assert_eq!(changes.filter(|pair| pair[1] == Fan::Overheated).count(), 2);
        let temperatures: Vec<f64> = (0..PERIOD as i64).map(|second| fan_temperature(START + 1000 * second)).collect();
        assert!(temperatures.iter().any(|t| *t >= HOT) && temperatures.contains(&COOL));
        let steps = temperatures.windows(2).map(|pair| (pair[1] - pair[0]).abs());
        assert!(steps.fold(0.0, f64::max) < 8.0, "the curve jumps");
    }

    #[test]
    fn reports_are_plausible_and_reproducible() {
        for machine in MACHINES {
            for second in 0..1000 {
                let report = || machine.report(START + 1000 * second, &mut fastrand::Rng::with_seed(7));
                let read: serde_json::Value = serde_json::from_str(&report()).unwrap();
                let temperature = read["temperature"].as_f64().unwrap();
                assert!((40.0..100.0).contains(&temperature), "{machine:?}: {read}");
                assert!(read["rpm"].is_null() || read["rpm"].as_f64().unwrap() > 1000.0, "{machine:?}: {read}");
                assert_eq!(report(), report());
            }
        }
    }

    #[test]
    fn every_report_has_one_of_the_states_of_its_machine() {
        for machine in MACHINES {
            let states: BTreeSet<String> = (0..PERIOD as i64)
                .map(|second| {
                    let report = machine.report(START + 1000 * second, &mut fastrand::Rng::with_seed(7));
                    let read: serde_json::Value = serde_json::from_str(&report).unwrap();
                    read["state"].as_str().unwrap().to_owned()
                })
                .collect();
            let expected: &[&str] = match machine {
                Machine::Boiler(_) => &["heating", "standby"],
                Machine::Pump(_) => &["full load", "running"],
                Machine::Fan(_) => &["cooling down", "heating up", "overheated", "running"],
            };
            assert!(states.iter().eq(expected), "{machine:?}: {states:?}");
        }
    }
}

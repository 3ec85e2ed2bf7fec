//! The bound on the work of one evaluation.

use std::cell::Cell;

/// Bytes of text that count as one step (see [`CelLimits`](super::CelLimits)).
const BYTES_PER_STEP: usize = 16;

/// The result cannot be computed from the record: a missing field, another type, an overflow, or too many steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unknown;

/// The result of evaluating a part of an expression.
pub type Evaluated<T> = Result<T, Unknown>;

/// The steps left for one evaluation.
pub struct StepBudget(Cell<u32>);

impl StepBudget {
    /// Creates a budget of `steps` steps.
    pub fn new(steps: u32) -> Self {
        Self(Cell::new(steps))
    }

    /// Uses up one step for each 16 bytes.
    pub fn charge_bytes(&self, bytes: usize) -> Evaluated<()> {
        self.charge(bytes / BYTES_PER_STEP)
    }

    /// Uses up `steps` steps, or fails if fewer are left.
    pub fn charge(&self, steps: usize) -> Evaluated<()> {
        let steps = u32::try_from(steps).map_err(|_| Unknown)?;
        self.0.set(self.0.get().checked_sub(steps).ok_or(Unknown)?);
        Ok(())
    }
}

//! The topic and the partition in the path of a request.

use crate::http::problem::Problem;
use crate::record::{NewRecord, Partition};

/// Where the path of a request sends its records.
#[derive(Debug, Clone, Copy)]
pub struct PathTarget<'a> {
    pub topic: &'a str,
    /// `None` if the path has no partition.
    pub partition: Option<Partition>,
}

impl PathTarget<'_> {
    /// Sets the partition of a record. Fails if the record is for another one.
    pub fn place(self, record: &mut NewRecord) -> Result<(), Problem> {
        match (self.partition, record.partition) {
            (Some(of_path), Some(given)) if given != of_path => Err(Problem::unprocessable(format!(
                "partition is {given}, and the path is for partition {of_path}; leave one of them out"
            ))),
            (of_path, given) => {
                record.partition = given.or(of_path);
                Ok(())
            }
        }
    }

    /// Sets the partition of the valid entries of a request. Those for another one become invalid.
    pub fn place_all(self, entries: &mut [Result<NewRecord, Problem>]) {
        for (index, entry) in entries.iter_mut().enumerate() {
            if let Ok(record) = entry
                && let Err(problem) = self.place(record)
            {
                *entry = Err(problem.with_detail(format!("records[{index}]: {}", problem.detail())));
            }
        }
    }
}

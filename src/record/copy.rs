//! Copies of single records, for what outlives the batch of a record.

use super::{RecordRef, Records};

impl RecordRef<'_> {
    /// A copy of this record alone.
    pub fn to_records(&self) -> Records {
        let mut data = Vec::with_capacity(self.bytes());
        let mut copy = |part: &[u8]| {
            data.extend_from_slice(part);
            data.len() - part.len()..data.len()
        };
        let (key, value) = (self.key.map(&mut copy), self.value.map(&mut copy));
        let headers: Vec<_> = self.headers().map(|(name, value)| (copy(name), value.map(&mut copy))).collect();
        let mut records = Records::over(data.into());
        records.push(self.offset, self.timestamp, key, value);
        headers.into_iter().for_each(|(name, value)| records.push_header(name, value));
        records
    }
}

//! The `Date` header (RFC 9110, 5.6.7).

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const IMF_FIXDATE: &[BorrowedFormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

pub fn now() -> String {
    OffsetDateTime::now_utc().format(IMF_FIXDATE).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_as_http_has_it() {
        let time = OffsetDateTime::from_unix_timestamp(784_111_777).unwrap();
        assert_eq!(time.format(IMF_FIXDATE).unwrap(), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}

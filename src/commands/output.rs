//! Prints records in the format of `consume --output`.

use crate::config::{FormatToken, OutputFormat};
use crate::http::event::{csv, envelope};
use crate::os::terminal_escapes::{Destination, Escapes};
use crate::record::{Partition, RecordRef, TopicName};

/// Appends a record in `format`. A null key or value prints nothing.
pub fn write_record(
    format: &OutputFormat,
    out: &mut Vec<u8>,
    to: Destination,
    (topic, partition): (&TopicName, Partition),
    record: &RecordRef<'_>,
) {
    let mut envelope = Vec::new();
    let tokens = match format {
        OutputFormat::Json => {
            envelope::write(&mut envelope, topic, partition, record);
            return write_envelope(out, to, &envelope);
        }
        OutputFormat::Exact => {
            envelope::write_exact(&mut envelope, topic, partition, record);
            return write_envelope(out, to, &envelope);
        }
        OutputFormat::Fields(fields) => {
            fields.write(&mut envelope, topic, partition, record);
            return write_envelope(out, to, &envelope);
        }
        OutputFormat::Csv(fields) => {
            csv::write_line(fields, &mut envelope, topic, partition, record);
            to.write(out, envelope.strip_suffix(b"\r\n").unwrap_or(&envelope), Escapes::Plain);
            return out.extend_from_slice(b"\r\n");
        }
        OutputFormat::Format(tokens) => tokens,
    };
    let mut number = itoa::Buffer::new();
    let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |b| i32::try_from(b.len()).unwrap_or(i32::MAX));
    for token in tokens {
        // The producer's bytes are escaped; the format's own text, which the user typed, is not.
        let bytes = match token {
            FormatToken::Text(text) => {
                out.extend_from_slice(text);
                continue;
            }
            FormatToken::Topic => topic.as_str().as_bytes(),
            FormatToken::Partition => number.format(partition).as_bytes(),
            FormatToken::Offset => number.format(record.offset).as_bytes(),
            FormatToken::Key => record.key.unwrap_or_default(),
            FormatToken::KeyLength => number.format(length(record.key)).as_bytes(),
            FormatToken::Value => record.value.unwrap_or_default(),
            FormatToken::ValueLength => number.format(length(record.value)).as_bytes(),
            FormatToken::ValueLengthBinary => {
                to.write(out, &length(record.value).to_be_bytes(), Escapes::Plain);
                continue;
            }
            FormatToken::Timestamp => number.format(record.timestamp).as_bytes(),
            FormatToken::Headers => {
                let mut headers = Vec::new();
                write_headers(&mut headers, record);
                to.write(out, &headers, Escapes::Plain);
                continue;
            }
        };
        to.write(out, bytes, Escapes::Plain);
    }
}

/// Appends a JSON envelope as one line.
pub fn write_envelope(out: &mut Vec<u8>, to: Destination, envelope: &[u8]) {
    to.write(out, envelope, Escapes::Json);
    out.push(b'\n');
}

fn write_headers(out: &mut Vec<u8>, record: &RecordRef<'_>) {
    for (index, (name, value)) in record.headers().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(name);
        out.push(b'=');
        out.extend_from_slice(value.unwrap_or(b"NULL"));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::record::Records;

    fn printed(format: &str) -> Vec<u8> {
        printed_to(Destination::Pipe, format)
    }

    fn printed_to(to: Destination, format: &str) -> Vec<u8> {
        let mut records = Records::over((&b"keyvaluenote"[..]).into());
        records.push(42, 1_000, Some(0..3), Some(3..8));
        records.push_header(8..9, Some(9..12));
        records.push_header(9..10, None);
        records.push(43, -1, None, None);
        let output = OutputFormat::parse(format).unwrap();
        let topic = TopicName::new("t").unwrap();
        let mut out = Vec::new();
        records.iter().for_each(|record| write_record(&output, &mut out, to, (&topic, 7), &record));
        out
    }

    #[test]
    fn every_token_prints_its_field() {
        let cases: [(&str, &[u8]); 8] = [
            (r"Message: %v\n", b"Message: value\nMessage: \n"),
            ("value", b"value\n\n"),
            (r"%t/%p/%o\t%k=%s %T %h\n", b"t/7/42\tkey=value 1000 n=ote,o=NULL\nt/7/43\t= -1 \n"),
            ("%K,%S;", b"3,5;-1,-1;"),
            ("%R", &[0, 0, 0, 5, 255, 255, 255, 255]),
            ("100%%", b"100%100%"),
            (r"\x41\\\r\0", b"A\\\r\0A\\\r\0"),
            (r"é%o", "é42é43".as_bytes()),
        ];
        for (format, expected) in cases {
            assert_eq!(printed(format), expected, "{format}");
        }
        assert!(printed("json").starts_with(br#"{"topic":"t","partition":7,"offset":42,"#));
    }

    #[test]
    fn on_a_terminal_record_bytes_are_escaped_and_format_text_is_not() {
        let mut records = Records::over((&b"x\nMessage: forged\x1b[2J"[..]).into());
        records.push(0, 0, Some(0..2), Some(0..21));
        let topic = TopicName::new("t").unwrap();
        let shown = |format: &str, to| {
            let mut out = Vec::new();
            let output = OutputFormat::parse(format).unwrap();
            records.iter().for_each(|record| write_record(&output, &mut out, to, (&topic, 0), &record));
            String::from_utf8(out).unwrap()
        };
        let format = r"\x1b[1m%k\x1b[0m %v\n";
        let (terminal, pipe) = (shown(format, Destination::Terminal), shown(format, Destination::Pipe));
        assert_eq!(terminal, "\x1b[1mx\\n\x1b[0m x\\nMessage: forged\\x1b[2J\n");
        assert_eq!(pipe, "\x1b[1mx\n\x1b[0m x\nMessage: forged\x1b[2J\n");
        assert_eq!(
            shown("json", Destination::Terminal),
            shown("json", Destination::Pipe),
            "JSON escapes control characters already"
        );
        assert_eq!(printed_to(Destination::Terminal, "%R"), br"\x00\x00\x00\x05\xff\xff\xff\xff");
    }
}

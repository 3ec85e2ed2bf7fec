// Describes values that cannot be drawn: "Avro, schema id 7", "binary, 120 bytes", "text".

import { decodedLength, notDecoded } from "./record.js";

const MAGIC_NUMBERS = [
  ["Avro file", [0x4f, 0x62, 0x6a, 0x01]],
  ["Avro, one object", [0xc3, 0x01]],
  ["gzip", [0x1f, 0x8b]],
  ["Zstandard", [0x28, 0xb5, 0x2f, 0xfd]],
  ["PNG image", [0x89, 0x50, 0x4e, 0x47]],
  ["JPEG image", [0xff, 0xd8, 0xff]],
];
/** The bytes before the data in the wire format of Confluent's Schema Registry: a zero and the schema id. */
const REGISTRY_HEADER = 5;

/** Describes a value that has no drawable fields. `record` is in the format `record`. */
export function describeValue({ value, encoding, schema_error: error }) {
  if (error) return notDecoded(error);
  if (encoding === "base64") return describeBytes(bytesOf(value), decodedLength(value));
  if (typeof value !== "string") return value === null ? "null" : Array.isArray(value) ? "a JSON array" : "JSON without numbers or states";
  // An Avro value can be valid UTF-8.
  if (value.startsWith("\0")) return describeBytes(new TextEncoder().encode(value), null);
  return value === "" ? "empty" : "text";
}

function describeBytes(bytes, length) {
  if (bytes[0] === 0 && bytes.length >= REGISTRY_HEADER) {
    const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
    return `${registryFormat(bytes.subarray(REGISTRY_HEADER))}, schema id ${id}`;
  }
  const known = MAGIC_NUMBERS.find(([, magic]) => magic.every((byte, i) => bytes[i] === byte));
  return `${known?.[0] ?? "binary"}, ${length ?? bytes.length} bytes`;
}

/** The header does not say which of the registry's three formats follows. Avro is the usual one. */
function registryFormat(data) {
  if (data[0] === 0x7b) return "JSON Schema";
  // Protobuf data follows a list of message indexes, and [0] is encoded as one zero byte.
  return data.length > 1 && data[0] === 0 && isProtobuf(data.subarray(1)) ? "Protobuf" : "Avro";
}

/** Whether the bytes are a sequence of Protobuf fields up to their end. */
function isProtobuf(bytes) {
  let at = 0;
  const varint = () => {
    let number = 0;
    for (let shift = 0; shift < 10; shift += 1) {
      const byte = bytes[at++];
      if (byte === undefined) return NaN;
      number += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return number;
    }
    return NaN;
  };
  while (at < bytes.length) {
    const tag = varint();
    if (!(tag >= 8)) return false;
    const type = tag % 8;
    if (type === 0) {
      if (Number.isNaN(varint())) return false;
    } else if (type === 2) {
      const length = varint();
      at += length;
    } else if (type === 1 || type === 5) at += type === 1 ? 8 : 4;
    else return false;
  }
  return at === bytes.length;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

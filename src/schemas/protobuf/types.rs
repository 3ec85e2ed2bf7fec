//! The messages and enums of a schema, in the form that decoding and encoding need.

use super::wire::WireType;
use prost_reflect::{Cardinality, DescriptorPool, EnumDescriptor, Kind, MessageDescriptor};
use std::collections::HashMap;

/// All types of a schema and of its imports.
#[derive(Debug)]
pub struct MessageTypes {
    messages: Vec<MessageType>,
    enums: Vec<EnumType>,
    by_name: HashMap<Box<str>, MessageId>,
    /// The messages of the file itself, in its order.
    pub top_level: Vec<MessageId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageId(usize);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnumId(usize);

#[derive(Debug)]
pub struct MessageType {
    pub full_name: Box<str>,
    pub known: Option<WellKnown>,
    /// In the order of their numbers.
    pub fields: Vec<MessageField>,
    /// The fields that are printed even if they are absent, as indexes of `fields`.
    pub always_printed: Vec<u32>,
    /// The fields that must be given, as indexes of `fields`.
    pub required: Vec<u32>,
    pub role: MessageRole,
    /// In the order of the file, with the entries of maps.
    pub nested: Vec<MessageId>,
    by_name: HashMap<Box<str>, u32>,
}

/// Whether a message is declared, or generated for the entries of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageRole {
    Declared,
    MapEntry,
}

/// A message of Google's library with a JSON form different from that of its fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WellKnown {
    Any,
    Timestamp,
    Duration,
    FieldMask,
    Struct,
    Value,
    ListValue,
    /// Its JSON is that of its only field.
    Wrapper,
    /// Its JSON is `{}`, but inside an `Any` it is a `value`.
    Empty,
}

#[derive(Debug)]
pub struct MessageField {
    pub number: u32,
    pub json_name: Box<str>,
    pub shape: FieldShape,
    /// The type of the value; of a map, that of its values.
    pub kind: ProtoKind,
    pub presence: Presence,
    pub oneof: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldShape {
    Single,
    Repeated,
    Packed,
    /// With the type of the keys.
    Map(ProtoKind),
}

/// Whether an absent field differs from one with the default value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Explicit,
    Implicit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProtoKind {
    Double,
    Float,
    Int32,
    Int64,
    Uint32,
    Uint64,
    Sint32,
    Sint64,
    Fixed32,
    Fixed64,
    Sfixed32,
    Sfixed64,
    Bool,
    String,
    Bytes,
    Enum(EnumId),
    Message(MessageId),
    Group(MessageId),
}

#[derive(Debug)]
pub struct EnumType {
    pub full_name: Box<str>,
    /// In the order of the numbers; of several names, the first.
    names: Vec<(i32, Box<str>)>,
    numbers: HashMap<Box<str>, i32>,
    /// The number of the first value.
    pub default: i32,
}

impl MessageTypes {
    /// Reads the types of a pool. `file` is the name of the schema itself.
    pub fn of(pool: &DescriptorPool, file: &str) -> Self {
        let by_name = pool.all_messages().enumerate().map(|(id, m)| (m.full_name().into(), MessageId(id))).collect();
        let enum_ids = pool.all_enums().enumerate().map(|(id, e)| (e.full_name().into(), EnumId(id))).collect();
        let ids = TypeIds { messages: by_name, enums: enum_ids };
        let messages = pool.all_messages().map(|message| ids.message_type(&message)).collect();
        let top_level = match pool.get_file_by_name(file) {
            Some(file) => file.messages().filter_map(|m| ids.messages.get(m.full_name()).copied()).collect(),
            None => Vec::new(),
        };
        Self { messages, enums: pool.all_enums().map(|e| enum_type(&e)).collect(), by_name: ids.messages, top_level }
    }

    pub fn message(&self, id: MessageId) -> &MessageType {
        &self.messages[id.0]
    }

    pub fn enumeration(&self, id: EnumId) -> &EnumType {
        &self.enums[id.0]
    }

    pub fn by_full_name(&self, name: &str) -> Option<MessageId> {
        self.by_name.get(name).copied()
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        let messages: usize = self.messages.iter().map(MessageType::memory).sum();
        let enums: usize = self.enums.iter().map(EnumType::memory).sum();
        messages + enums
    }
}

struct TypeIds {
    messages: HashMap<Box<str>, MessageId>,
    enums: HashMap<Box<str>, EnumId>,
}

impl TypeIds {
    fn message_type(&self, message: &MessageDescriptor) -> MessageType {
        let mut fields: Vec<(MessageField, Box<str>, Cardinality)> = Vec::new();
        let oneofs: HashMap<Box<str>, u32> = message.oneofs().map(|oneof| oneof.full_name().into()).zip(0..).collect();
        for field in message.fields() {
            let (is_map, is_list, is_packed) = (field.is_map(), field.is_list(), field.is_packed());
            let parts = FieldParts { kind: field.kind(), is_map, is_list, is_packed, is_group: field.is_group() };
            let Some((shape, kind)) = self.shape(&parts) else { continue };
            let single = shape == FieldShape::Single;
            let presence = if single && field.supports_presence() { Presence::Explicit } else { Presence::Implicit };
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            let oneof = oneof.and_then(|oneof| oneofs.get(oneof.full_name()).copied());
            let json_name = field.json_name().into();
            let field_type = MessageField { number: field.number(), json_name, shape, kind, presence, oneof };
            fields.push((field_type, field.name().into(), field.cardinality()));
        }
        for field in message.extensions() {
            let (is_map, is_list, is_packed) = (field.is_map(), field.is_list(), field.is_packed());
            let parts = FieldParts { kind: field.kind(), is_map, is_list, is_packed, is_group: field.is_group() };
            let Some((shape, kind)) = self.shape(&parts) else { continue };
            let json_name: Box<str> = field.json_name().into();
            let (number, name) = (field.number(), json_name.clone());
            let presence = Presence::Explicit;
            let field_type = MessageField { number, json_name, shape, kind, presence, oneof: None };
            fields.push((field_type, name, Cardinality::Optional));
        }
        fields.sort_by_key(|(field, _, _)| field.number);
        let mut by_name = HashMap::new();
        for (index, (_, name, _)) in fields.iter().enumerate() {
            by_name.insert(name.clone(), index as u32);
        }
        for (index, (field, _, _)) in fields.iter().enumerate() {
            by_name.insert(field.json_name.clone(), index as u32);
        }
        let with = |wanted: fn(&MessageField, Cardinality) -> bool| -> Vec<u32> {
            let indexes = (0..).zip(&fields).filter(|(_, (field, _, cardinality))| wanted(field, *cardinality));
            indexes.map(|(index, _)| index).collect()
        };
        let always_printed = with(|field, _| field.presence == Presence::Implicit);
        let required = with(|_, cardinality| cardinality == Cardinality::Required);
        MessageType {
            full_name: message.full_name().into(),
            known: WellKnown::named(message.full_name()),
            always_printed,
            required,
            fields: fields.into_iter().map(|(field, _, _)| field).collect(),
            role: if message.is_map_entry() { MessageRole::MapEntry } else { MessageRole::Declared },
            nested: message.child_messages().filter_map(|m| self.messages.get(m.full_name()).copied()).collect(),
            by_name,
        }
    }

    fn shape(&self, field: &FieldParts) -> Option<(FieldShape, ProtoKind)> {
        if field.is_map {
            let entry = field.kind.as_message()?;
            // A serialized descriptor may say that any message is an entry.
            let key = self.kind(&entry.get_field(1)?.kind())?;
            return Some((FieldShape::Map(key), self.kind(&entry.get_field(2)?.kind())?));
        }
        let kind = match self.kind(&field.kind)? {
            ProtoKind::Message(id) if field.is_group => ProtoKind::Group(id),
            kind => kind,
        };
        let shape = match (field.is_list, field.is_packed) {
            (false, _) => FieldShape::Single,
            (true, false) => FieldShape::Repeated,
            (true, true) => FieldShape::Packed,
        };
        Some((shape, kind))
    }

    fn kind(&self, kind: &Kind) -> Option<ProtoKind> {
        Some(match kind {
            Kind::Double => ProtoKind::Double,
            Kind::Float => ProtoKind::Float,
            Kind::Int32 => ProtoKind::Int32,
            Kind::Int64 => ProtoKind::Int64,
            Kind::Uint32 => ProtoKind::Uint32,
            Kind::Uint64 => ProtoKind::Uint64,
            Kind::Sint32 => ProtoKind::Sint32,
            Kind::Sint64 => ProtoKind::Sint64,
            Kind::Fixed32 => ProtoKind::Fixed32,
            Kind::Fixed64 => ProtoKind::Fixed64,
            Kind::Sfixed32 => ProtoKind::Sfixed32,
            Kind::Sfixed64 => ProtoKind::Sfixed64,
            Kind::Bool => ProtoKind::Bool,
            Kind::String => ProtoKind::String,
            Kind::Bytes => ProtoKind::Bytes,
            Kind::Message(message) => ProtoKind::Message(*self.messages.get(message.full_name())?),
            Kind::Enum(enumeration) => ProtoKind::Enum(*self.enums.get(enumeration.full_name())?),
        })
    }
}

/// What fields and extensions have in common.
struct FieldParts {
    kind: Kind,
    is_map: bool,
    is_list: bool,
    is_packed: bool,
    is_group: bool,
}

impl MessageType {
    /// Returns the index of a field in `fields`.
    pub fn by_number(&self, number: u32) -> Option<u32> {
        // Most messages number their fields from 1 without gaps.
        let dense = number.wrapping_sub(1);
        if self.fields.get(dense as usize).is_some_and(|field| field.number == number) {
            return Some(dense);
        }
        let found = self.fields.binary_search_by_key(&number, |field| field.number);
        found.ok().map(|index| index as u32)
    }

    /// Returns the index of a field in `fields`, by its JSON name or by its name in the schema.
    pub fn by_name(&self, name: &str) -> Option<u32> {
        self.by_name.get(name).copied()
    }

    fn memory(&self) -> usize {
        let names: usize = self.by_name.keys().map(|name| name.len() + 64).sum();
        let fields: usize = self.fields.iter().map(|field| size_of_val(field) + field.json_name.len() + 16).sum();
        size_of_val(self) + 3 * self.full_name.len() + names + fields
    }
}

impl WellKnown {
    fn named(full_name: &str) -> Option<Self> {
        Some(match full_name.strip_prefix("google.protobuf.")? {
            "Any" => Self::Any,
            "Timestamp" => Self::Timestamp,
            "Duration" => Self::Duration,
            "FieldMask" => Self::FieldMask,
            "Struct" => Self::Struct,
            "Value" => Self::Value,
            "ListValue" => Self::ListValue,
            "Empty" => Self::Empty,
            "DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value"
            | "BoolValue" | "StringValue" | "BytesValue" => Self::Wrapper,
            _ => return None,
        })
    }
}

impl ProtoKind {
    /// How a single value is written.
    pub fn wire_type(self) -> WireType {
        match self {
            Self::Double | Self::Fixed64 | Self::Sfixed64 => WireType::Fixed64,
            Self::Float | Self::Fixed32 | Self::Sfixed32 => WireType::Fixed32,
            Self::String | Self::Bytes | Self::Message(_) => WireType::Delimited,
            Self::Group(_) => WireType::Group,
            Self::Int32 | Self::Int64 | Self::Uint32 | Self::Uint64 | Self::Sint32 | Self::Sint64 => WireType::Varint,
            Self::Bool | Self::Enum(_) => WireType::Varint,
        }
    }

    /// Whether many values may be written as one field.
    pub fn is_packable(self) -> bool {
        !matches!(self.wire_type(), WireType::Delimited | WireType::Group)
    }
}

fn enum_type(enumeration: &EnumDescriptor) -> EnumType {
    let declared = &enumeration.enum_descriptor_proto().value;
    let mut names: Vec<(i32, Box<str>)> = declared.iter().map(|value| (value.number(), value.name().into())).collect();
    let default = names.first().map_or(0, |(number, _)| *number);
    let numbers = names.iter().map(|(number, name)| (name.clone(), *number)).collect();
    names.sort_by_key(|(number, _)| *number);
    names.dedup_by_key(|(number, _)| *number);
    EnumType { full_name: enumeration.full_name().into(), names, numbers, default }
}

impl EnumType {
    pub fn name(&self, number: i32) -> Option<&str> {
        let found = self.names.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        self.names.get(found).map(|(_, name)| &**name)
    }

    /// Whether its only value is JSON's `null`.
    pub fn is_null(&self) -> bool {
        &*self.full_name == "google.protobuf.NullValue"
    }

    pub fn number(&self, name: &str) -> Option<i32> {
        self.numbers.get(name).copied()
    }

    fn memory(&self) -> usize {
        let names: usize = self.numbers.keys().map(|name| 2 * name.len() + 80).sum();
        size_of_val(self) + self.full_name.len() + names
    }
}

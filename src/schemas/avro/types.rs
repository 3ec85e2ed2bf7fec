//! The compiled form of an Avro schema: a list of types that name each other by their place in it.

use super::json_kind::JsonKind;
use std::collections::HashMap;

/// The place of a type in [`AvroTypes`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TypeId(u32);

/// All types of a schema. Recursive types need no cycle of pointers.
#[derive(Debug, Default)]
pub struct AvroTypes(Vec<AvroType>);

/// A type, or a logical type with the type that it annotates.
#[derive(Debug)]
pub enum AvroType {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Fixed(usize),
    Enum(Symbols),
    /// The type of the items.
    Array(TypeId),
    /// The type of the values.
    Map(TypeId),
    Record(RecordType),
    Union(UnionType),
    Decimal(DecimalType),
    /// Days since the Unix epoch, an int.
    Date,
    /// Since midnight: an int for milliseconds, otherwise a long.
    TimeOfDay(TimeUnit),
    /// Since the Unix epoch, a long.
    Timestamp(TimeUnit),
    /// Like a timestamp, in an unknown time zone.
    LocalTimestamp(TimeUnit),
    /// 16 bytes.
    Uuid,
    /// 12 bytes: months, days and milliseconds.
    Duration,
    /// A named type that was not yet defined where it was named. Only its definition refers to other types.
    Reference(TypeId),
}

/// The symbols of an enum.
#[derive(Debug)]
pub struct Symbols {
    list: Vec<Box<str>>,
    index: HashMap<Box<str>, usize>,
}

/// The fields of a record.
#[derive(Debug)]
pub struct RecordType {
    fields: Vec<AvroField>,
    index: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
pub struct AvroField {
    pub name: Box<str>,
    /// The name as JSON, with the colon.
    pub label: Box<[u8]>,
    pub of: TypeId,
    pub default: FieldDefault,
}

/// What is written for a field that is missing.
#[derive(Debug)]
pub enum FieldDefault {
    Absent,
    Encoded(Box<[u8]>),
    /// The default does not fit the type, which older registries accept.
    Invalid,
}

#[derive(Debug)]
pub struct UnionType {
    pub branches: Vec<UnionBranch>,
    /// For each [`JsonKind`] the branch whose values are written without its name.
    pub plain: [Option<u32>; JsonKind::COUNT],
    index: HashMap<Box<str>, usize>,
}

#[derive(Debug)]
pub struct UnionBranch {
    pub of: TypeId,
    /// The full name of a named type, or the name of the type.
    pub name: Box<str>,
    /// The start of the JSON of a value with its branch: `{"name":`.
    pub wrapper: Box<[u8]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecimalType {
    /// The number of digits.
    pub precision: u32,
    /// How many of the digits are behind the point.
    pub scale: u32,
    /// The size of a fixed; `None` for bytes.
    pub size: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeUnit {
    Millis,
    Micros,
    Nanos,
}

impl Symbols {
    /// Returns the name that occurs twice as an error.
    pub fn new(list: Vec<Box<str>>) -> Result<Self, Box<str>> {
        let index = indexed(list.iter())?;
        Ok(Self { list, index })
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        self.list.get(index).map(|symbol| &**symbol)
    }

    pub fn index(&self, symbol: &str) -> Option<usize> {
        self.index.get(symbol).copied()
    }
}

impl RecordType {
    /// Returns the name that occurs twice as an error.
    pub fn new(fields: Vec<AvroField>) -> Result<Self, Box<str>> {
        let index = indexed(fields.iter().map(|field| &field.name))?;
        Ok(Self { fields, index })
    }

    pub fn fields(&self) -> &[AvroField] {
        &self.fields
    }

    pub fn index(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    pub fn set_default(&mut self, index: usize, default: FieldDefault) {
        if let Some(field) = self.fields.get_mut(index) {
            field.default = default;
        }
    }
}

fn indexed<'n>(names: impl Iterator<Item = &'n Box<str>>) -> Result<HashMap<Box<str>, usize>, Box<str>> {
    let mut index = HashMap::new();
    for (place, name) in names.enumerate() {
        if index.insert(name.clone(), place).is_some() {
            return Err(name.clone());
        }
    }
    Ok(index)
}

impl UnionType {
    /// A union whose branches have no names yet.
    pub fn unnamed(branches: Vec<UnionBranch>) -> Self {
        Self { branches, plain: [None; JsonKind::COUNT], index: HashMap::new() }
    }

    /// Returns the name that occurs twice as an error.
    pub fn new(branches: Vec<UnionBranch>, plain: [Option<u32>; JsonKind::COUNT]) -> Result<Self, Box<str>> {
        let index = indexed(branches.iter().map(|branch| &branch.name))?;
        Ok(Self { branches, plain, index })
    }

    /// Returns the branch of a name.
    pub fn named(&self, name: &str) -> Option<(usize, &UnionBranch)> {
        let index = *self.index.get(name)?;
        Some((index, self.branches.get(index)?))
    }

    /// Returns the branch whose values of a kind are written without its name.
    pub fn plain_branch(&self, kind: JsonKind) -> Option<(usize, &UnionBranch)> {
        let index = usize::try_from((*self.plain.get(kind as usize)?)?).ok()?;
        Some((index, self.branches.get(index)?))
    }
}

impl TimeUnit {
    pub fn per_second(self) -> i64 {
        match self {
            Self::Millis => 1_000,
            Self::Micros => 1_000_000,
            Self::Nanos => 1_000_000_000,
        }
    }

    /// The digits behind the point of a second.
    pub fn digits(self) -> usize {
        match self {
            Self::Millis => 3,
            Self::Micros => 6,
            Self::Nanos => 9,
        }
    }
}

impl AvroTypes {
    pub fn push(&mut self, of: AvroType) -> TypeId {
        let id = TypeId(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
        self.0.push(of);
        id
    }

    pub fn set(&mut self, id: TypeId, of: AvroType) {
        if let Some(place) = self.0.get_mut(id.0 as usize) {
            *place = of;
        }
    }

    /// Returns the place of the definition.
    pub fn resolve(&self, id: TypeId) -> TypeId {
        match self.0.get(id.0 as usize) {
            Some(AvroType::Reference(definition)) => *definition,
            _ => id,
        }
    }

    /// Returns a type, or the definition of a named type. Ids are from [`push`](Self::push), so each has a type.
    pub fn at(&self, id: TypeId) -> &AvroType {
        match self.0.get(id.0 as usize) {
            Some(AvroType::Reference(definition)) => self.0.get(definition.0 as usize).unwrap_or(&AvroType::Null),
            Some(of) => of,
            None => &AvroType::Null,
        }
    }

    pub fn ids(&self) -> impl Iterator<Item = TypeId> + use<> {
        (0..u32::try_from(self.0.len()).unwrap_or(u32::MAX)).map(TypeId)
    }

    pub fn get_mut(&mut self, id: TypeId) -> Option<&mut AvroType> {
        self.0.get_mut(id.0 as usize)
    }

    /// The approximate memory in use, in bytes.
    pub fn memory(&self) -> usize {
        self.0.iter().map(AvroType::memory).sum()
    }
}

impl AvroType {
    /// The name of an unnamed type in a union.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int | Self::Date | Self::TimeOfDay(TimeUnit::Millis) => "int",
            Self::Long | Self::TimeOfDay(_) | Self::Timestamp(_) | Self::LocalTimestamp(_) => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes | Self::Decimal(DecimalType { size: None, .. }) => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Enum(_) => "enum",
            Self::Record(_) => "record",
            Self::Fixed(_) | Self::Decimal(_) | Self::Uuid | Self::Duration => "fixed",
            Self::Reference(_) => "named type",
        }
    }

    /// The number of bytes of a fixed, whatever its logical type.
    pub fn fixed_size(&self) -> Option<usize> {
        match self {
            Self::Fixed(size) | Self::Decimal(DecimalType { size: Some(size), .. }) => Some(*size),
            Self::Uuid => Some(16),
            Self::Duration => Some(12),
            _ => None,
        }
    }

    fn memory(&self) -> usize {
        // Names are in a list and in an index, which is about half full.
        let held: usize = match self {
            Self::Enum(symbols) => symbols.list.iter().map(|symbol| 2 * symbol.len() + 5 * size_of::<Box<str>>()).sum(),
            Self::Record(record) => record.fields.iter().map(AvroField::memory).sum(),
            Self::Union(union) => union
                .branches
                .iter()
                .map(|branch| {
                    2 * branch.name.len() + branch.wrapper.len() + 4 * size_of::<Box<str>>() + size_of::<UnionBranch>()
                })
                .sum(),
            _ => 0,
        };
        held + size_of::<Self>()
    }
}

impl AvroField {
    fn memory(&self) -> usize {
        let default = match &self.default {
            FieldDefault::Encoded(bytes) => bytes.len(),
            FieldDefault::Absent | FieldDefault::Invalid => 0,
        };
        2 * self.name.len() + self.label.len() + default + 4 * size_of::<Box<str>>() + size_of::<Self>()
    }
}

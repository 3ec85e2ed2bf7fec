//! From the text of a `.proto` file and of its imports to the types in them.

use super::types::MessageTypes;
use crate::schemas::error_text::shortened;
use crate::schemas::source::{InvalidSchema, SchemaSource};
use crate::sync::watchdog;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::DescriptorPool;
use prost_reflect::prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, UninterpretedOption,
};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};
use std::collections::HashMap;

/// The most bytes of a schema and of its imports together. Parsing takes up to 350 times as much memory, for a moment.
const MAX_TEXT: usize = 512 << 10;
/// The most imports. Each one that imports the next takes some stack.
const MAX_IMPORTS: usize = 128;
/// The longest message of an error.
const MAX_ERROR: usize = 300;

/// The name of the schema itself among its imports.
pub const ROOT: &str = "curlew/schema.proto";

/// Files that Confluent's serializers take as known and do not register.
const CONFLUENT: [(&str, &str); 4] = [
    ("confluent/meta.proto", include_str!("confluent/meta.proto")),
    ("confluent/type/decimal.proto", include_str!("confluent/decimal.proto")),
    ("confluent/type/variant.proto", include_str!("confluent/variant.proto")),
    // The former name of its directory.
    ("confluent/types/decimal.proto", include_str!("confluent/types_decimal.proto")),
];

/// Compiles a schema. The parser rejects messages that are nested deeper than 31, and so bounds the stack.
pub fn compile(source: &SchemaSource) -> Result<MessageTypes, InvalidSchema> {
    Ok(MessageTypes::of(&descriptors(source)?, ROOT))
}

pub fn descriptors(source: &SchemaSource) -> Result<DescriptorPool, InvalidSchema> {
    let total = source.references.iter().map(|reference| reference.text.len()).sum::<usize>() + source.text.len();
    if total > MAX_TEXT {
        return Err(InvalidSchema(format!("the schema has {total} bytes with its imports, of at most {MAX_TEXT}")));
    }
    if source.references.len() > MAX_IMPORTS {
        let count = source.references.len();
        return Err(InvalidSchema(format!("the schema has {count} imports, of at most {MAX_IMPORTS}")));
    }
    let mut texts: HashMap<String, String> =
        source.references.iter().map(|reference| (reference.name.clone(), reference.text.clone())).collect();
    texts.insert(ROOT.to_owned(), source.text.clone());
    let mut compiler = Compiler::with_file_resolver(SchemaFiles { texts, google: GoogleFileResolver::new() });
    // prost-reflect 0.16 panics while it describes some errors of descriptors, which only registered bytes can have.
    let opened = watchdog::caught_in_poll(|| compiler.open_file(ROOT).map(drop));
    let opened = opened.ok_or_else(|| invalid("its descriptors contradict each other"))?;
    opened.map_err(|error| invalid(&error.to_string()))?;
    Ok(compiler.descriptor_pool())
}

/// Finds the files that a schema imports.
struct SchemaFiles {
    texts: HashMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for SchemaFiles {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        // The decoder knows the fields of Google's messages, so their files cannot be replaced.
        match self.google.open_file(name) {
            Err(error) if error.is_file_not_found() => {}
            known => return known,
        }
        let confluent = CONFLUENT.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        let text = self.texts.get(name).map(String::as_str).or(confluent);
        let text = text.ok_or_else(|| protox::Error::file_not_found(name))?;
        let mut file = match serialized(text) {
            Some(file) => file,
            None => FileDescriptorProto::from(File::from_source(name, text)?),
        };
        file.name = Some(name.to_owned());
        file.source_code_info = None;
        drop_custom_options(&mut file);
        Ok(File::from_file_descriptor_proto(file))
    }
}

/// Reads the form that Confluent's Python and Go serializers register: a `FileDescriptorProto` in base64.
fn serialized(text: &str) -> Option<FileDescriptorProto> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    FileDescriptorProto::decode(&*bytes).ok()
}

/// Drops the options that are extensions: they do not change the encoding, and their files may be missing.
fn drop_custom_options(file: &mut FileDescriptorProto) {
    if let Some(options) = &mut file.options {
        drop_custom(&mut options.uninterpreted_option);
    }
    file.service.clear();
    file.message_type.iter_mut().for_each(drop_in_message);
    file.enum_type.iter_mut().for_each(drop_in_enum);
    file.extension.iter_mut().for_each(drop_in_field);
}

/// As deep as messages are nested, which the parsers bound.
fn drop_in_message(message: &mut DescriptorProto) {
    if let Some(options) = &mut message.options {
        drop_custom(&mut options.uninterpreted_option);
    }
    for oneof in message.oneof_decl.iter_mut().filter_map(|oneof| oneof.options.as_mut()) {
        drop_custom(&mut oneof.uninterpreted_option);
    }
    for range in message.extension_range.iter_mut().filter_map(|range| range.options.as_mut()) {
        drop_custom(&mut range.uninterpreted_option);
    }
    message.field.iter_mut().chain(&mut message.extension).for_each(drop_in_field);
    message.enum_type.iter_mut().for_each(drop_in_enum);
    message.nested_type.iter_mut().for_each(drop_in_message);
}

fn drop_in_field(field: &mut FieldDescriptorProto) {
    if let Some(options) = &mut field.options {
        drop_custom(&mut options.uninterpreted_option);
    }
}

fn drop_in_enum(enumeration: &mut EnumDescriptorProto) {
    if let Some(options) = &mut enumeration.options {
        drop_custom(&mut options.uninterpreted_option);
    }
    for value in enumeration.value.iter_mut().filter_map(|value| value.options.as_mut()) {
        drop_custom(&mut value.uninterpreted_option);
    }
}

fn drop_custom(options: &mut Vec<UninterpretedOption>) {
    options.retain(|option| option.aggregate_value.is_none() && option.name.iter().all(|part| !part.is_extension));
}

/// One line, of bounded length.
fn invalid(message: &str) -> InvalidSchema {
    InvalidSchema(shortened(message, MAX_ERROR).replace(ROOT, "the schema"))
}

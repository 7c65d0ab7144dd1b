//! JSON read so that nothing in it goes by unseen: a field that there is none of is found, with its path, and reading goes
//! on, so that all of them are told at once.
//!
//! Where that is asked for, a misspelt field is read as the one that it is near to, if that one is not there: what is missed
//! only because of it is no second finding.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use haven_base::nearest;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer,
    MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A field that there is none of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Surplus {
    /// What it stands in, as `jq` names it.
    pub(super) inside: String,
    /// Its name.
    pub(super) field: String,
    /// The innermost object around it that has an id, by that id.
    pub(super) object: Option<String>,
    /// The fields that there are.
    pub(super) allowed: &'static [&'static str],
    /// The nearest of those, where one is near.
    pub(super) nearest: Option<&'static str>,
    /// Line of the field, from 1.
    pub(super) line: Option<u32>,
}

/// Why a text cannot be read.
#[derive(Debug)]
pub(super) enum BadJson {
    /// It is not JSON.
    Syntax(Error),
    /// Something in it is not what it should be.
    Shape {
        /// Where, as `jq` names it.
        path: String,
        line: Option<u32>,
        error: Error,
        /// What else was found until then.
        surplus: Vec<Surplus>,
    },
}

/// Reads a text; with the fields in it that there are none of, which have no effect unless they are to be `corrected`.
pub(super) fn read<T: DeserializeOwned>(
    text: &str,
    corrected: bool,
) -> Result<(T, Vec<Surplus>), BadJson> {
    let value: Value = serde_json::from_str(text).map_err(BadJson::Syntax)?;
    let seen = RefCell::new(Seen { corrected, ..Seen::default() });
    let read = T::deserialize(Part { value: &value, seen: &seen });
    let Seen { mut surplus, failed, .. } = seen.into_inner();
    let paths = surplus.iter().map(|one| below(&one.inside, &one.field));
    let lines = lines_of(text, paths.chain(failed.clone()).collect());
    for one in &mut surplus {
        one.line = lines.get(&below(&one.inside, &one.field)).copied();
    }
    surplus.sort_by_key(|one| one.line);
    match read {
        Ok(read) => Ok((read, surplus)),
        Err(error) => {
            let path = failed.unwrap_or_else(|| ".".to_owned());
            let line = lines.get(&path).copied();
            Err(BadJson::Shape { path, line, error, surplus })
        }
    }
}

/// What was met on the way.
#[derive(Default)]
struct Seen {
    corrected: bool,
    path: String,
    objects: Vec<String>,
    surplus: Vec<Surplus>,
    /// Path of the first thing that could not be read.
    failed: Option<String>,
}

/// Parts of objects, whose ids name no object.
const PARTS: &[&str] =
    &["NvPair", "NvSet", "Rule", "AttributeTest", "DateTest", "Operation", "ResourceSet", "Step"];

fn below(path: &str, field: &str) -> String {
    let plain = field.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !field.starts_with(|c: char| c.is_ascii_digit());
    match (path, plain && !field.is_empty()) {
        (".", true) => format!(".{field}"),
        (_, true) => format!("{path}.{field}"),
        (".", false) => format!(".[{field:?}]"),
        (_, false) => format!("{path}[{field:?}]"),
    }
}

/// One value of the document.
#[derive(Clone, Copy)]
struct Part<'a> {
    value: &'a Value,
    seen: &'a RefCell<Seen>,
}

impl<'a> Part<'a> {
    /// Does something with a value inside this one.
    fn enter<T>(
        self,
        value: &'a Value,
        step: impl FnOnce(&str) -> String,
        read: impl FnOnce(Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let outer = self.seen.borrow().path.clone();
        let here = step(if outer.is_empty() { "." } else { &outer });
        self.seen.borrow_mut().path.clone_from(&here);
        let read = read(Self { value, seen: self.seen });
        let mut seen = self.seen.borrow_mut();
        if read.is_err() {
            seen.failed.get_or_insert(here);
        }
        seen.path = outer;
        read
    }

    /// The fields of a struct: the unknown ones found and left out.
    fn fields(self, fields: &'static [&'static str]) -> Vec<(&'a str, &'static str, &'a Value)> {
        let Value::Object(map) = self.value else { return Vec::new() };
        let mut kept = Vec::new();
        let mut taken: BTreeSet<&str> = map.keys().map(String::as_str).collect();
        for (key, value) in map {
            if let Some(known) = fields.iter().find(|field| **field == key) {
                kept.push((key.as_str(), *known, value));
                continue;
            }
            let near = nearest(key, fields.iter().copied());
            let corrected = self.seen.borrow().corrected;
            if let Some(near) = near.filter(|near| corrected && taken.insert(*near)) {
                kept.push((key.as_str(), near, value));
            }
            let mut seen = self.seen.borrow_mut();
            let inside = if seen.path.is_empty() { ".".to_owned() } else { seen.path.clone() };
            let object = seen.objects.last().cloned();
            let (field, line) = (key.clone(), None);
            let allowed = fields;
            seen.surplus.push(Surplus { inside, field, object, allowed, nearest: near, line });
        }
        kept
    }

    fn object_id(self, name: &str) -> Option<String> {
        let text = |field: &str| self.value.get(field).and_then(Value::as_str);
        if PARTS.contains(&name) {
            return None;
        }
        text("uname").or_else(|| text("id")).map(str::to_owned)
    }
}

impl<'de> Deserializer<'de> for Part<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Array(items) => {
                visitor.visit_seq(Items { part: self, items: items.iter().enumerate() })
            }
            Value::Object(map) => {
                let fields = map.iter().map(|(key, value)| (key.as_str(), key.as_str(), value));
                visitor.visit_map(Fields::of(self, fields.collect()))
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.value.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if !self.value.is_object() {
            return self.deserialize_any(visitor);
        }
        let object = self.object_id(name);
        let named = object.is_some();
        self.seen.borrow_mut().objects.extend(object);
        let read = visitor.visit_map(Fields::of(self, self.fields(fields)));
        if named {
            self.seen.borrow_mut().objects.pop();
        }
        read
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let single = self.value.as_object().filter(|map| map.len() == 1);
        match single.and_then(|map| map.iter().next()) {
            Some((variant, value)) => visitor.visit_enum(Variant { part: self, variant, value }),
            None => self.value.deserialize_enum(name, variants, visitor),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

struct Items<'a> {
    part: Part<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Value>>,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Error> {
        let Some((place, value)) = self.items.next() else { return Ok(None) };
        let step = |path: &str| format!("{path}[{place}]");
        self.part.enter(value, step, |part| seed.deserialize(part)).map(Some)
    }
}

/// Fields as written, as they are called, and their values.
struct Fields<'a> {
    part: Part<'a>,
    fields: std::vec::IntoIter<(&'a str, &'a str, &'a Value)>,
    next: Option<(&'a str, &'a Value)>,
}

impl<'a> Fields<'a> {
    fn of(part: Part<'a>, fields: Vec<(&'a str, &'a str, &'a Value)>) -> Self {
        Self { part, fields: fields.into_iter(), next: None }
    }
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Error> {
        let Some((written, called, value)) = self.fields.next() else { return Ok(None) };
        self.next = Some((written, value));
        seed.deserialize(called.into_deserializer()).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        let Some((written, value)) = self.next.take() else {
            return Err(Error::custom("a value was asked for before its name"));
        };
        let step = |path: &str| below(path, written);
        self.part.enter(value, step, |part| seed.deserialize(part))
    }
}

struct Variant<'a> {
    part: Part<'a>,
    variant: &'a str,
    value: &'a Value,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let variant = seed.deserialize(self.variant.into_deserializer())?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        serde::Deserialize::deserialize(self.value)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        let step = |path: &str| below(path, self.variant);
        self.part.enter(self.value, step, |part| seed.deserialize(part))
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value, Error> {
        let step = |path: &str| below(path, self.variant);
        self.part.enter(self.value, step, |part| part.deserialize_tuple(length, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let step = |path: &str| below(path, self.variant);
        // Its name is that of a part: the ids in it name no object.
        self.part.enter(self.value, step, |part| part.deserialize_struct(PARTS[0], fields, visitor))
    }
}

/// Lines, from 1, on which values begin that have these paths, in a text that is JSON.
fn lines_of(text: &str, wanted: BTreeSet<String>) -> BTreeMap<String, u32> {
    let mut found = BTreeMap::new();
    if wanted.is_empty() {
        return found;
    }
    let bytes = text.as_bytes();
    let mut open: Vec<Open> = Vec::new();
    let (mut line, mut at) = (1, 0);
    while let Some(byte) = bytes.get(at) {
        let end = end_of_token(bytes, at);
        match byte {
            b'\n' => line += 1,
            b' ' | b'\t' | b'\r' | b':' => {}
            b',' => {
                if let Some(outer) = open.last_mut() {
                    outer.go_on();
                }
            }
            b']' | b'}' => drop(open.pop()),
            b'"' if open.last().is_some_and(|outer| outer.names_next) => {
                let name = text.get(at..end).and_then(|token| serde_json::from_str(token).ok());
                if let Some(outer) = open.last_mut() {
                    (outer.field, outer.names_next) = (name.unwrap_or_default(), false);
                }
            }
            _ => {
                let path = open.last().map_or_else(|| ".".to_owned(), Open::path_of_next);
                if wanted.contains(&path) {
                    found.entry(path.clone()).or_insert(line);
                }
                if matches!(byte, b'[' | b'{') {
                    open.push(Open::new(path, *byte == b'['));
                }
            }
        }
        at = end;
    }
    found
}

/// A list or object that has begun and not ended.
struct Open {
    path: String,
    /// Number of the next item; none in an object.
    item: Option<usize>,
    field: String,
    /// What comes next is the name of a field.
    names_next: bool,
}

impl Open {
    const fn new(path: String, is_list: bool) -> Self {
        let item = if is_list { Some(0) } else { None };
        Self { path, item, field: String::new(), names_next: !is_list }
    }

    fn go_on(&mut self) {
        match &mut self.item {
            Some(item) => *item += 1,
            None => self.names_next = true,
        }
    }

    fn path_of_next(&self) -> String {
        match self.item {
            Some(item) => format!("{}[{item}]", self.path),
            None => below(&self.path, &self.field),
        }
    }
}

/// Where the token ends that begins here.
fn end_of_token(bytes: &[u8], begin: usize) -> usize {
    let mut at = begin + 1;
    match bytes[begin] {
        b'"' => {
            while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                at += if bytes[at] == b'\\' { 2 } else { 1 };
            }
            at + 1
        }
        b'a'..=b'z' | b'0'..=b'9' | b'-' => {
            let goes_on = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
            while bytes.get(at).is_some_and(goes_on) {
                at += 1;
            }
            at
        }
        _ => at,
    }
}

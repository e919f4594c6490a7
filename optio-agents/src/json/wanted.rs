//! Which parts of a line somebody will look at. All others are read over: what a tool gave back may stand in a line
//! several times, and whatever becomes no event need not be taken apart.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::value::{Json, unescaped};

/// What of a value is wanted. Of a list it is that of each item, and what is no object is always wanted.
#[derive(Debug, Clone)]
pub(crate) enum Wanted {
    /// All of it.
    Whole,
    /// These fields.
    Fields(Vec<(String, Self)>),
}

impl Wanted {
    /// What these JSON pointers lead to. None of them counts the items of a list.
    pub(crate) fn of<const N: usize>(pointers: [&str; N]) -> Self {
        let mut wanted = Self::Fields(Vec::new());
        for pointer in pointers {
            wanted.add(pointer);
        }
        wanted
    }

    /// What a JSON pointer leads to is wanted as well.
    pub(crate) fn add(&mut self, pointer: &str) {
        *self.at(pointer) = Self::Whole;
    }

    /// What is wanted of that to which a JSON pointer leads: no field yet, if nobody has said anything else.
    pub(crate) fn at(&mut self, pointer: &str) -> &mut Self {
        let Some(path) = pointer.strip_prefix('/') else {
            return self;
        };
        let (step, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        if step.bytes().all(|byte| byte.is_ascii_digit()) {
            // an item of a list or a field, as it turns out
            *self = Self::Whole;
        }
        match self {
            Self::Whole => self,
            Self::Fields(fields) => {
                let name = unescaped(step);
                let known = fields.iter().position(|(field, _)| *field == name);
                let at = known.unwrap_or_else(|| {
                    fields.push((name.into_owned(), Self::Fields(Vec::new())));
                    fields.len() - 1
                });
                fields[at].1.at(rest)
            }
        }
    }

    /// What of a line is wanted, if the line is JSON.
    pub(crate) fn read<'a>(&'a self, line: &'a str) -> Option<Json<'a>> {
        let mut reader = serde_json::Deserializer::from_str(line);
        let value = self.deserialize(&mut reader).ok()?;
        reader.end().ok()?;
        Some(value)
    }
}

impl<'de> DeserializeSeed<'de> for &'de Wanted {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &'de Wanted {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any value")
    }

    fn visit_unit<E: Error>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json<'de>, A::Error> {
        let mut object = Vec::new();
        match self {
            Wanted::Whole => {
                while let Some(name) = entries.next_key_seed(Name)? {
                    object.push((name, entries.next_value_seed(self)?));
                }
            }
            Wanted::Fields(fields) => {
                while let Some(field) = entries.next_key_seed(OneOf(fields))? {
                    match field {
                        Some((name, wanted)) => {
                            let value = entries.next_value_seed(wanted)?;
                            object.push((Cow::Borrowed(name.as_str()), value));
                        }
                        None => {
                            entries.next_value::<IgnoredAny>()?;
                        }
                    }
                }
            }
        }
        Ok(Json::Object(object))
    }
}

/// The name of a field, whichever it is.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The name of one of these fields, or of another.
struct OneOf<'de>(&'de [(String, Wanted)]);

impl<'de> DeserializeSeed<'de> for OneOf<'de> {
    type Value = Option<&'de (String, Wanted)>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for OneOf<'de> {
    type Value = Option<&'de (String, Wanted)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(field, _)| field == name))
    }
}

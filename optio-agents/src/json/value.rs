//! A value of JSON that borrows from its line what it can: a line is read once, and most of it is never copied.

use std::{borrow::Cow, collections::BTreeMap, ops::Index};

use serde_json::{Number, Value};

/// What stands in a line. Of a key that stands there twice the last value counts.
#[derive(Debug, Clone, Default)]
pub(crate) enum Json<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    Object(Vec<(Cow<'a, str>, Self)>),
}

/// What is not there.
static NOTHING: Json<'static> = Json::Null;

impl<'a> Json<'a> {
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        self.number()?.as_u64()
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        self.number()?.as_i64()
    }

    pub(crate) fn as_f64(&self) -> Option<f64> {
        self.number()?.as_f64()
    }

    fn number(&self) -> Option<&Number> {
        match self {
            Self::Number(number) => Some(number),
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// All fields of an object, by name.
    pub(crate) fn fields(&self) -> Option<BTreeMap<&str, &Self>> {
        match self {
            Self::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_ref(), value));
                Some(fields.collect())
            }
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(fields) => {
                let found = fields.iter().rev().find(|(key, _)| key == name);
                found.map(|(_, value)| value)
            }
            _ => None,
        }
    }

    /// Moves a field out of its object, where it is null from then on; null if there is none.
    pub(crate) fn take(&mut self, name: &str) -> Self {
        match self {
            Self::Object(fields) => {
                let found = fields.iter_mut().rev().find(|(key, _)| key == name);
                found.map_or(Self::Null, |(_, value)| std::mem::take(value))
            }
            _ => Self::Null,
        }
    }

    /// Moves a text that is not empty out of its object.
    pub(crate) fn take_text(&mut self, name: &str) -> Option<String> {
        match self.take(name) {
            Self::Text(text) if !text.is_empty() => Some(text.into_owned()),
            _ => None,
        }
    }

    /// What a JSON pointer leads to.
    pub(crate) fn pointer(&self, pointer: &str) -> Option<&Self> {
        if pointer.is_empty() {
            return Some(self);
        }
        let mut steps = pointer.strip_prefix('/')?.split('/');
        steps.try_fold(self, |value, step| match value {
            Self::Object(_) => value.get(&unescaped(step)),
            // a number is spelled in one way only
            Self::List(items) if step == "0" || !step.starts_with(['0', '+']) => {
                items.get(step.parse::<usize>().ok()?)
            }
            _ => None,
        })
    }
}

/// A step of a JSON pointer as the name that it means.
pub(super) fn unescaped(step: &str) -> Cow<'_, str> {
    if step.contains('~') {
        Cow::Owned(step.replace("~1", "/").replace("~0", "~"))
    } else {
        Cow::Borrowed(step)
    }
}

/// A field of an object, null if there is none.
impl<'a> Index<&str> for Json<'a> {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        self.get(name).unwrap_or(&NOTHING)
    }
}

/// An item of a list, null if there is none.
impl<'a> Index<usize> for Json<'a> {
    type Output = Self;

    fn index(&self, at: usize) -> &Self {
        let item = self.as_list().and_then(|items| items.get(at));
        item.unwrap_or(&NOTHING)
    }
}

/// Whether it is this one, where only single values are compared.
impl PartialEq<Value> for Json<'_> {
    fn eq(&self, other: &Value) -> bool {
        match (self, other) {
            (Self::Null, Value::Null) => true,
            (Self::Bool(value), Value::Bool(other)) => value == other,
            (Self::Number(number), Value::Number(other)) => number == other,
            (Self::Text(text), Value::String(other)) => text == other,
            _ => false,
        }
    }
}

impl From<Json<'_>> for Value {
    fn from(value: Json<'_>) -> Self {
        match value {
            Json::Null => Self::Null,
            Json::Bool(value) => Self::Bool(value),
            Json::Number(number) => Self::Number(number),
            Json::Text(text) => Self::String(text.into_owned()),
            Json::List(items) => items.into_iter().map(Self::from).collect(),
            Json::Object(fields) => {
                let fields = fields.into_iter();
                let owned = fields.map(|(name, value)| (name.into_owned(), Self::from(value)));
                Self::Object(owned.collect())
            }
        }
    }
}

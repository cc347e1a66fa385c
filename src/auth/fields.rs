//! Reading an operator's JSON field by field, so that each error says where and what, and never shows a value: it may
//! be a secret in the wrong place.

use serde_json::{Map, Value};

use crate::error::{Code, ErrorInfo};

/// An object, and the path that leads to it.
pub(super) struct Fields<'a> {
    object: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    /// Fails with 40000 when the value is no object, or has a field that is not in `known`.
    pub fn of(value: &'a Value, path: &str, known: &[&str]) -> Result<Fields<'a>, ErrorInfo> {
        let object = value.as_object().ok_or_else(|| wrong(path, "must be an object"))?;
        match object.keys().find(|field| !known.contains(&field.as_str())) {
            Some(field) => {
                Err(wrong(path, &format!("has an unknown field {}; known are {}", quoted(field), known.join(", "))))
            }
            None => Ok(Fields { object, path: path.to_owned() }),
        }
    }

    /// A field that is there and not null.
    pub fn optional(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name).filter(|value| !value.is_null())
    }

    pub fn text(&self, name: &str) -> Result<&'a str, ErrorInfo> {
        let value = self.optional(name).ok_or_else(|| self.wrong(name, "is missing"))?;
        value.as_str().ok_or_else(|| self.wrong(name, "must be a string"))
    }

    /// A text that must be more than a text: its own error, with the path.
    pub fn parsed<T>(&self, name: &str, parse: impl FnOnce(&str) -> Result<T, ErrorInfo>) -> Result<T, ErrorInfo> {
        parse(self.text(name)?).map_err(|error| self.wrong(name, &format!("is wrong: {}", error.message)))
    }

    pub fn optional_text(&self, name: &str) -> Result<Option<&'a str>, ErrorInfo> {
        self.optional(name).map(|_| self.text(name)).transpose()
    }

    /// False when absent.
    pub fn flag(&self, name: &str) -> Result<bool, ErrorInfo> {
        match self.optional(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| self.wrong(name, "must be true or false")),
        }
    }

    /// `what` is said of it when it is anything else.
    pub fn whole(&self, name: &str, what: &str) -> Result<Option<u64>, ErrorInfo> {
        let read = |value: &Value| value.as_u64().ok_or_else(|| self.wrong(name, what));
        self.optional(name).map(read).transpose()
    }

    /// Each element of a list by its path; none when the field is absent.
    pub fn list<T>(
        &self,
        name: &str,
        max: usize,
        read: impl Fn(&'a Value, &str) -> Result<T, ErrorInfo>,
    ) -> Result<Vec<T>, ErrorInfo> {
        let Some(value) = self.optional(name) else { return Ok(Vec::new()) };
        let elements = value.as_array().ok_or_else(|| self.wrong(name, "must be a list"))?;
        if elements.len() > max {
            return Err(self.wrong(name, &format!("has more than {max} elements")));
        }
        let path = self.path_to(name);
        elements.iter().enumerate().map(|(index, element)| read(element, &format!("{path}[{index}]"))).collect()
    }

    /// The error of a field, for rules beyond its type.
    pub fn wrong(&self, name: &str, what: &str) -> ErrorInfo {
        wrong(&self.path_to(name), what)
    }

    pub fn path_to(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }
}

pub(super) fn wrong(path: &str, what: &str) -> ErrorInfo {
    let place = if path.is_empty() { "the text" } else { path };
    Code::BadRequest.because(format!("apps: {place} {what}"))
}

/// Short and in ASCII, because errors travel in headers too.
pub(super) fn quoted(name: &str) -> String {
    let start: String = name.chars().take(40).collect();
    format!("\"{}\"", start.escape_default())
}

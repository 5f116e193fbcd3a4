//! One name with its value, and what is said when that is wrong.

use std::fmt;
use std::num::NonZeroU32;

use toml_edit::{Item, TomlError};

use crate::ANNOTATION_PREFIX;

/// The most characters of a wrong value that are repeated.
const SHOWN: usize = 60;

/// Why options are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// The handler's options are no TOML.
    #[error("options of the handler in containerd's configuration: line {line}: {reason}")]
    NotToml {
        /// Counted from 1; 0 when it is not known.
        line: usize,
        /// What the parser says.
        reason: String,
    },
    /// A value that an annotation cannot have.
    #[error("annotation {name}: expected {expected}, found {found}")]
    Annotation {
        /// The annotation.
        name: String,
        /// What would be right.
        expected: String,
        /// What was found, shortened.
        found: String,
    },
    /// A value that an option of the handler cannot have.
    #[error(
        "option {name} of the handler in containerd's configuration: expected {expected}, found {found}"
    )]
    Option {
        /// The option.
        name: String,
        /// What would be right.
        expected: String,
        /// What was found, shortened.
        found: String,
    },
}

impl OptionsError {
    pub(crate) fn not_toml(error: &TomlError) -> Self {
        // The parser's own text shows the line with a caret below, which a log does not want.
        let shown = error.to_string();
        let line = shown
            .split_once("line ")
            .and_then(|(_, rest)| rest.split(',').next()?.parse().ok())
            .unwrap_or(0);
        let reason: Vec<&str> = error.message().split_whitespace().collect();
        Self::NotToml {
            line,
            reason: reason.join(" "),
        }
    }
}

/// Where a setting was found.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    /// Among the pod's annotations.
    Annotation,
    /// In the handler's options, under this name.
    Option(&'a str),
}

/// A name and its value.
pub(crate) struct Setting<'a> {
    /// As an annotation has it, without the prefix.
    pub(crate) key: &'a str,
    pub(crate) origin: Origin<'a>,
    /// The text, or what stands there instead.
    value: Result<String, &'static str>,
}

impl<'a> Setting<'a> {
    pub(crate) fn annotation(key: &'a str, text: &str) -> Self {
        Self {
            key,
            origin: Origin::Annotation,
            value: Ok(text.to_owned()),
        }
    }

    pub(crate) fn option(key: &'a str, name: &'a str, item: &Item) -> Self {
        // Numbers may be written as such or, as in annotations, as text.
        let text = item.as_str().map(str::to_owned);
        let text = text.or_else(|| item.as_integer().map(|number| number.to_string()));
        Self {
            key,
            origin: Origin::Option(name),
            value: text.ok_or_else(|| type_of(item)),
        }
    }

    /// Reads the value, or says what is expected.
    pub(crate) fn read<T>(
        &self,
        read: impl Fn(&str) -> Option<T>,
        expected: &str,
    ) -> Result<T, OptionsError> {
        let found = match &self.value {
            Ok(text) => match read(text) {
                Some(value) => return Ok(value),
                None => format!("{:?}", text.chars().take(SHOWN).collect::<String>()),
            },
            Err(other) => (*other).to_owned(),
        };
        let expected = expected.to_owned();
        Err(match self.origin {
            Origin::Annotation => OptionsError::Annotation {
                name: format!("{ANNOTATION_PREFIX}{}", self.key),
                expected,
                found,
            },
            Origin::Option(name) => OptionsError::Option {
                name: name.to_owned(),
                expected,
                found,
            },
        })
    }

    /// One of a few words.
    pub(crate) fn one_of<T: Copy>(&self, words: &[(&str, T)]) -> Result<T, OptionsError> {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let find = |text: &str| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value)
        };
        self.read(find, &names.join(" or "))
    }

    /// A number from 1 to `most`.
    pub(crate) fn number(&self, most: u32) -> Result<NonZeroU32, OptionsError> {
        let read = |text: &str| {
            let number: NonZeroU32 = text.parse().ok()?;
            (number.get() <= most).then_some(number)
        };
        self.read(read, &format!("a number from 1 to {most}"))
    }
}

impl fmt::Display for Setting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = |name: &str| name.chars().take(SHOWN).collect::<String>();
        match self.origin {
            Origin::Annotation => write!(f, "annotation {ANNOTATION_PREFIX}{}", short(self.key)),
            Origin::Option(name) => write!(f, "option {}", short(name)),
        }
    }
}

fn type_of(item: &Item) -> &'static str {
    if item.is_bool() {
        "a boolean"
    } else if item.is_array() {
        "an array"
    } else if item.is_float() {
        "a fraction"
    } else if item.is_table_like() || item.is_array_of_tables() {
        "a table"
    } else {
        "a date"
    }
}

//! The language, as a tree. Pure: nothing here touches the system.
//!
//! What a POSIX shell has and this one has not is refused while reading, before anything runs.

mod parser;
mod word;

pub(crate) use parser::parse;

/// Most bytes of a script.
pub(crate) const SCRIPT_LIMIT: usize = 256 << 10;

/// Commands one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct List(pub(crate) Vec<AndOr>);

/// Pipelines joined by `&&` and `||`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AndOr {
    pub(crate) first: Pipeline,
    pub(crate) rest: Vec<(Join, Pipeline)>,
}

/// Between two pipelines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Join {
    And,
    Or,
}

/// Commands of which each reads what the one before said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pipeline {
    pub(crate) negated: bool,
    pub(crate) commands: Vec<Command>,
}

/// One command with its redirections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) kind: Kind,
    pub(crate) redirects: Vec<Redirect>,
}

/// What a command is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `NAME=value name argument…`
    Simple {
        assignments: Vec<(String, Word)>,
        words: Vec<Word>,
    },
    /// `if …; then …; elif …; then …; else …; fi`
    If {
        arms: Vec<(List, List)>,
        otherwise: Option<List>,
    },
    /// `while …; do …; done`, and `until`.
    While {
        until: bool,
        condition: List,
        body: List,
    },
    /// `for name in …; do …; done`
    For {
        name: String,
        words: Vec<Word>,
        body: List,
    },
    /// `{ …; }`
    Group(List),
    /// `( … )`
    Subshell(List),
}

/// `<file`, `2>file`, `>>file`, `2>&1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    /// 0, 1 or 2.
    pub(crate) stream: u8,
    pub(crate) target: Target,
}

/// Where a stream goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Read(Word),
    Write(Word),
    Append(Word),
    Duplicate(u8),
}

/// A word, before expansion.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Word(pub(crate) Vec<Part>);

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Part {
    Text {
        text: String,
        quoted: bool,
    },
    Variable {
        name: String,
        default: Option<Default>,
        quoted: bool,
    },
    Output {
        list: List,
        quoted: bool,
    },
}

/// `${name:-word}`, `${name-word}`, `${name:+word}`, `${name+word}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Default {
    /// With `:`, an empty value counts as none.
    pub(crate) empty_too: bool,
    /// `+`: the word is for a value that is there.
    pub(crate) if_set: bool,
    pub(crate) word: Word,
}

/// Text that is no script of this shell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SyntaxError {
    /// The text ends too early; more may follow on a terminal.
    #[error("the script ends where {0} is expected")]
    Incomplete(&'static str),
    /// Something in the wrong place.
    #[error("unexpected {0}")]
    Unexpected(String),
    /// What other shells have.
    #[error("{0} is not in this small shell")]
    Unsupported(&'static str),
    /// More nesting than anybody writes.
    #[error("nested more than {0} deep")]
    Deep(usize),
    /// More text than anybody writes.
    #[error("a script of {0} bytes, the limit is {SCRIPT_LIMIT}")]
    Long(usize),
}

/// Whether `script` is one that this shell runs.
///
/// # Errors
/// [`SyntaxError`] says what is not.
pub fn check(script: &str) -> Result<(), SyntaxError> {
    parse(script).map(drop)
}

//! What a guest is: told by its exports.

use wasmtime::component::types::ComponentItem;
use wasmtime::{Engine, ExternType};

use crate::Code;

/// How a guest is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A core module with `_start` (WASI 0.1), or with the function that was asked for.
    Module {
        /// The exported function to call.
        function: String,
        /// Whether the module wants `_initialize` called before it: a reactor.
        initialize: bool,
    },
    /// A component that exports `wasi:cli/run`.
    Command,
    /// A component that exports `wasi:http/incoming-handler`.
    Server,
    /// A component of which one function was asked for by name.
    Function(String),
}

/// A guest that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// A library, or a module without WASI.
    #[error("the module exports no `_start`, so it is no WASI command{}", offered(.0))]
    NoStart(Vec<String>),
    /// `path#function` names none.
    #[error("there is no exported function `{name}`{}", offered(exports))]
    NoFunction {
        /// The function asked for.
        name: String,
        /// What there is.
        exports: Vec<String>,
    },
    /// The function asked for wants arguments that nobody gives.
    #[error("the function `{0}` takes parameters; only functions without any can be run")]
    Parameters(String),
    /// A component for a later WASI.
    #[error(
        "the component is made for `{0}`, which this version does not run; build it for WASI 0.2"
    )]
    Later(String),
    /// A component that exports neither.
    #[error(
        "the component exports neither `wasi:cli/run@0.2` nor `wasi:http/incoming-handler@0.2`{}",
        offered(.0)
    )]
    NoWorld(Vec<String>),
}

fn offered(names: &[String]) -> String {
    match names {
        [] => String::new(),
        names => format!("; it exports {}", names.join(", ")),
    }
}

impl Kind {
    /// Looks at the exports of `code`; `function` is what followed `#` in the container's command.
    ///
    /// # Errors
    /// [`KindError`] says what is missing.
    pub fn of(engine: &Engine, code: &Code, function: Option<&str>) -> Result<Self, KindError> {
        match code {
            Code::Module(module) => {
                let functions: Vec<_> = module
                    .exports()
                    .filter_map(|export| match export.ty() {
                        ExternType::Func(ty) => Some((export.name(), ty.params().len())),
                        _ => None,
                    })
                    .collect();
                module_kind(&functions, function)
            }
            Code::Component(component) => {
                let ty = component.component_type();
                let exports: Vec<_> = ty
                    .exports(engine)
                    .map(|(name, item)| {
                        let parameters = match item.ty {
                            ComponentItem::ComponentFunc(ty) => Some(ty.params().len()),
                            _ => None,
                        };
                        (name, parameters)
                    })
                    .collect();
                component_kind(&exports, function)
            }
        }
    }
}

/// `functions` are the exported ones with the number of their parameters.
fn module_kind(functions: &[(&str, usize)], function: Option<&str>) -> Result<Kind, KindError> {
    let wanted = function.unwrap_or("_start");
    match functions.iter().find(|(name, _)| *name == wanted) {
        Some((_, 0)) => Ok(Kind::Module {
            function: wanted.to_owned(),
            initialize: functions.contains(&("_initialize", 0)) && wanted != "_initialize",
        }),
        Some(_) => Err(KindError::Parameters(wanted.to_owned())),
        None => {
            let names = few(functions.iter().map(|(name, _)| *name));
            Err(match function {
                Some(function) => KindError::NoFunction {
                    name: function.to_owned(),
                    exports: names,
                },
                None => KindError::NoStart(names),
            })
        }
    }
}

/// `exports` are all of them, functions with the number of their parameters.
fn component_kind(
    exports: &[(&str, Option<usize>)],
    function: Option<&str>,
) -> Result<Kind, KindError> {
    let names = || exports.iter().map(|(name, _)| *name);
    if let Some(function) = function {
        return match exports.iter().find(|(name, _)| *name == function) {
            Some((_, Some(0))) => Ok(Kind::Function(function.to_owned())),
            Some((_, Some(_))) => Err(KindError::Parameters(function.to_owned())),
            _ => Err(KindError::NoFunction {
                name: function.to_owned(),
                exports: few(names()),
            }),
        };
    }
    // The order of runwasi's shim: a component that can do both is a server.
    if names().any(|name| name.starts_with("wasi:http/incoming-handler@0.2.")) {
        return Ok(Kind::Server);
    }
    if names().any(|name| name.starts_with("wasi:cli/run@0.2.")) {
        return Ok(Kind::Command);
    }
    let later = names().find(|name| {
        [
            "wasi:http/handler@",
            "wasi:http/incoming-handler@",
            "wasi:cli/run@",
        ]
        .iter()
        .any(|known| name.starts_with(known))
    });
    Err(match later {
        Some(name) => KindError::Later(name.to_owned()),
        None => KindError::NoWorld(few(names())),
    })
}

/// The first names, quoted: a sentence, not a listing.
pub(crate) fn few<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    const MOST: usize = 8;
    let mut names = names.map(printable);
    let mut few: Vec<_> = names.by_ref().take(MOST).collect();
    match names.count() {
        0 => {}
        more => few.push(format!("{more} more")),
    }
    few
}

/// A name that somebody else chose, fit for a log line.
pub fn printable(name: &str) -> String {
    const LONGEST: usize = 120;
    let mut shown: String = name.escape_debug().take(LONGEST).collect();
    if name.len() > LONGEST {
        shown.push('…');
    }
    format!("`{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_start() {
        let kind = module_kind(&[("memory_grow", 1), ("_start", 0)], None);
        let expected = Kind::Module {
            function: "_start".into(),
            initialize: false,
        };
        assert_eq!(kind, Ok(expected));
    }

    #[test]
    fn a_reactor_is_run_by_the_function_named() {
        let exports = [("_initialize", 0), ("work", 0), ("add", 2)];
        let expected = Kind::Module {
            function: "work".into(),
            initialize: true,
        };
        assert_eq!(module_kind(&exports, Some("work")), Ok(expected));
        let errors = [Some("add"), Some("absent"), None]
            .map(|function| module_kind(&exports, function).unwrap_err().to_string());
        assert_eq!(
            errors,
            [
                "the function `add` takes parameters; only functions without any can be run",
                "there is no exported function `absent`; it exports `_initialize`, `work`, `add`",
                "the module exports no `_start`, so it is no WASI command; it exports `_initialize`, `work`, `add`",
            ]
        );
    }

    #[test]
    fn components_are_told_by_their_world() {
        let kind = |name| component_kind(&[(name, None)], None);
        assert_eq!(kind("wasi:cli/run@0.2.0"), Ok(Kind::Command));
        assert_eq!(kind("wasi:cli/run@0.2.12"), Ok(Kind::Command));
        assert_eq!(kind("wasi:http/incoming-handler@0.2.3"), Ok(Kind::Server));
        assert!(matches!(
            kind("wasi:http/handler@0.3.0"),
            Err(KindError::Later(_))
        ));
        assert!(matches!(
            kind("wasi:cli/run@0.3.0"),
            Err(KindError::Later(_))
        ));
        assert!(matches!(kind("my:own/thing"), Err(KindError::NoWorld(_))));
        let both = [
            ("wasi:cli/run@0.2.0", None),
            ("wasi:http/incoming-handler@0.2.0", None),
        ];
        assert_eq!(component_kind(&both, None), Ok(Kind::Server));
    }

    #[test]
    fn names_are_cut_and_quoted() {
        let long = "x".repeat(500);
        let names = ["one\n", &long, "c", "d", "e", "f", "g", "h", "i", "j"];
        let shown = few(names.into_iter());
        assert_eq!(shown[0], "`one\\n`");
        assert!(shown[1].chars().count() < 130);
        assert_eq!(shown.last().map(String::as_str), Some("2 more"));
    }
}

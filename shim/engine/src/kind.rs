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
    Command(Wasi),
    /// A component that answers HTTP requests: it exports `wasi:http/incoming-handler@0.2` or
    /// `wasi:http/handler@0.3`.
    Server(Wasi),
    /// A component of which one function was asked for by name.
    Function(String),
}

/// The version of WASI that a component's entry is of; it may import others beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wasi {
    /// 0.2.x
    P2,
    /// 0.3.x
    P3,
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
    /// `_start` is none of WASI.
    #[error("the function `_start` takes parameters, so the module is no WASI command")]
    Parameters,
    /// A component for another WASI: a draft, or a later one.
    #[error(
        "the component is made for `{0}`, which this version does not run; build it for WASI 0.2 or 0.3.0"
    )]
    Other(String),
    /// A component that exports neither.
    #[error(
        "the component exports neither `wasi:cli/run`, `wasi:http/incoming-handler@0.2` nor `wasi:http/handler@0.3`{}",
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
                    .map(|(name, item)| (name, matches!(item.ty, ComponentItem::ComponentFunc(_))))
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
        Some((_, parameters)) if *parameters == 0 || function.is_some() => Ok(Kind::Module {
            function: wanted.to_owned(),
            initialize: functions.contains(&("_initialize", 0)) && wanted != "_initialize",
        }),
        Some(_) => Err(KindError::Parameters),
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

/// `exports` are all of them, and whether they are functions.
fn component_kind(exports: &[(&str, bool)], function: Option<&str>) -> Result<Kind, KindError> {
    let names = || exports.iter().map(|(name, _)| *name);
    if let Some(function) = function {
        return match exports.iter().find(|(name, _)| *name == function) {
            Some((_, true)) => Ok(Kind::Function(function.to_owned())),
            _ => Err(KindError::NoFunction {
                name: function.to_owned(),
                exports: few(names()),
            }),
        };
    }
    // The order of runwasi's shim: a component that can do both is a server. Of two versions the later one.
    let of = |entry: fn(&str) -> Option<Wasi>| {
        let found: Vec<_> = names().filter_map(entry).collect();
        found
            .contains(&Wasi::P3)
            .then_some(Wasi::P3)
            .or(found.first().copied())
    };
    if let Some(wasi) = of(server) {
        return Ok(Kind::Server(wasi));
    }
    if let Some(wasi) = of(command) {
        return Ok(Kind::Command(wasi));
    }
    let other = names().find(|name| {
        [
            "wasi:http/handler",
            "wasi:http/incoming-handler",
            "wasi:cli/run",
        ]
        .into_iter()
        .any(|known| name.split('@').next() == Some(known))
    });
    Err(match other {
        Some(name) => KindError::Other(name.to_owned()),
        None => KindError::NoWorld(few(names())),
    })
}

fn server(name: &str) -> Option<Wasi> {
    if released(name, "wasi:http/handler", "0.3.") {
        Some(Wasi::P3)
    } else {
        released(name, "wasi:http/incoming-handler", "0.2.").then_some(Wasi::P2)
    }
}

fn command(name: &str) -> Option<Wasi> {
    if released(name, "wasi:cli/run", "0.3.") {
        Some(Wasi::P3)
    } else {
        released(name, "wasi:cli/run", "0.2.").then_some(Wasi::P2)
    }
}

/// Whether the export of this name makes a component a server.
#[cfg(feature = "compiler")]
pub(crate) fn is_server(name: &str) -> bool {
    server(name).is_some()
}

/// Whether `name` is `interface` in a release that begins with `version`. Drafts (`0.3.0-rc-…`) match nothing
/// but themselves.
pub(crate) fn released(name: &str, interface: &str, version: &str) -> bool {
    let of = name
        .strip_prefix(interface)
        .and_then(|rest| rest.strip_prefix('@'));
    of.is_some_and(|of| of.starts_with(version) && !of.contains('-'))
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
        let kind = module_kind(&exports, Some("add"));
        assert!(matches!(kind, Ok(Kind::Module { function, .. }) if function == "add"));
        let errors = [Some("absent"), None]
            .map(|function| module_kind(&exports, function).unwrap_err().to_string());
        assert_eq!(
            errors,
            [
                "there is no exported function `absent`; it exports `_initialize`, `work`, `add`",
                "the module exports no `_start`, so it is no WASI command; it exports `_initialize`, `work`, `add`",
            ]
        );
        let error = module_kind(&[("_start", 2)], None).unwrap_err();
        assert_eq!(error, KindError::Parameters);
    }

    #[test]
    fn components_are_told_by_their_world() {
        let kind = |name| component_kind(&[(name, false)], None);
        assert_eq!(kind("wasi:cli/run@0.2.0"), Ok(Kind::Command(Wasi::P2)));
        assert_eq!(kind("wasi:cli/run@0.2.12"), Ok(Kind::Command(Wasi::P2)));
        assert_eq!(kind("wasi:cli/run@0.3.0"), Ok(Kind::Command(Wasi::P3)));
        assert_eq!(
            kind("wasi:http/incoming-handler@0.2.3"),
            Ok(Kind::Server(Wasi::P2))
        );
        assert_eq!(kind("wasi:http/handler@0.3.0"), Ok(Kind::Server(Wasi::P3)));
        for other in [
            "wasi:http/handler@0.3.0-rc-2026-03-15",
            "wasi:http/incoming-handler",
            "wasi:cli/run@0.4.0",
        ] {
            assert_eq!(kind(other), Err(KindError::Other(other.to_owned())));
        }
        assert!(matches!(kind("my:own/thing"), Err(KindError::NoWorld(_))));
        let both = [
            ("wasi:cli/run@0.2.0", false),
            ("wasi:http/incoming-handler@0.2.0", false),
        ];
        assert_eq!(component_kind(&both, None), Ok(Kind::Server(Wasi::P2)));
        let both = [
            ("wasi:http/incoming-handler@0.2.0", false),
            ("wasi:http/handler@0.3.0", false),
        ];
        assert_eq!(component_kind(&both, None), Ok(Kind::Server(Wasi::P3)));
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

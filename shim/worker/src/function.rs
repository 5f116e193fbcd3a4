//! `path.wasm#function`: a function called with the container's arguments. What it returns is printed.

use std::io::Write;

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::wasm_wave::wasm::{DisplayType, DisplayValue};
use wasmtime::component::{Component, Instance, Type, Val as Value};
use wasmtime::{Engine, FuncType, Store, Val, ValType};

/// Arguments for a component's function.
pub(crate) type Arguments = Vec<Value>;

/// Reads the arguments of a component's function: text as it is, everything else as WAVE has it (`42`, `true`,
/// `[1, 2]`, `{name: "x"}`). A function without parameters is given none.
///
/// # Errors
/// What the user is told when they do not fit.
pub(crate) fn component_arguments(
    engine: &Engine,
    component: &Component,
    name: &str,
    given: &[String],
) -> Result<Arguments, String> {
    let ty = component.component_type();
    let Some(ComponentItem::ComponentFunc(ty)) = ty.get_export(engine, name).map(|item| item.ty)
    else {
        return Err(format!("there is no exported function `{name}`"));
    };
    let parameters: Vec<_> = ty.params().collect();
    let names = || describe(&ty);
    count(name, parameters.len(), given.len(), names)?;
    if !ty.results().all(|ty| plain(&ty)) {
        return Err(format!(
            "the function `{name}` returns what cannot be printed: a resource, a stream, a future or a map"
        ));
    }
    let arguments = parameters.iter().zip(given);
    arguments
        .map(|((parameter, ty), text)| {
            value(ty, text).ok_or_else(|| unfit(name, parameter, text, &names()))
        })
        .collect()
}

fn value(ty: &Type, text: &str) -> Option<Value> {
    match ty {
        Type::String => Some(Value::String(text.to_owned())),
        Type::Char => {
            let mut characters = text.chars();
            let one = characters.next().filter(|_| characters.next().is_none());
            one.map(Value::Char)
        }
        ty if plain(ty) => Value::from_wave(ty, text).ok(),
        _ => None,
    }
}

/// Whether values of this type can be written down; the others make WAVE's writer panic.
fn plain(ty: &Type) -> bool {
    let all = |mut types: Box<dyn Iterator<Item = Type> + '_>| types.all(|ty| plain(&ty));
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::String
        | Type::Enum(_)
        | Type::Flags(_) => true,
        Type::List(list) => plain(&list.ty()),
        Type::Option(option) => plain(&option.ty()),
        Type::Record(record) => all(Box::new(record.fields().map(|field| field.ty))),
        Type::Tuple(tuple) => all(Box::new(tuple.types())),
        Type::Variant(variant) => all(Box::new(variant.cases().filter_map(|case| case.ty))),
        Type::Result(result) => all(Box::new(result.ok().into_iter().chain(result.err()))),
        _ => false,
    }
}

/// The function's parameters, for messages.
fn describe(ty: &ComponentFunc) -> String {
    let parameters: Vec<_> = ty
        .params()
        .map(|(name, ty)| format!("{name}: {}", DisplayType(&ty)))
        .collect();
    parameters.join(", ")
}

/// Reads the arguments of a module's function.
///
/// # Errors
/// What the user is told when they do not fit.
pub(crate) fn module_arguments(
    name: &str,
    ty: &FuncType,
    given: &[String],
) -> Result<Vec<Val>, String> {
    let names = || {
        let types: Vec<_> = ty.params().map(|ty| ty.to_string()).collect();
        types.join(", ")
    };
    count(name, ty.params().len(), given.len(), names)?;
    ty.params()
        .zip(given)
        .enumerate()
        .map(|(index, (ty, text))| {
            number(&ty, text).ok_or_else(|| unfit(name, &format!("{}", index + 1), text, &names()))
        })
        .collect()
}

/// WebAssembly's integers have no sign: both readings are taken.
fn number(ty: &ValType, text: &str) -> Option<Val> {
    match ty {
        ValType::I32 => {
            let unsigned = || text.parse().map(u32::cast_signed);
            text.parse().or_else(|_| unsigned()).ok().map(Val::I32)
        }
        ValType::I64 => {
            let unsigned = || text.parse().map(u64::cast_signed);
            text.parse().or_else(|_| unsigned()).ok().map(Val::I64)
        }
        ValType::F32 => text
            .parse()
            .ok()
            .map(|value: f32| Val::F32(value.to_bits())),
        ValType::F64 => text
            .parse()
            .ok()
            .map(|value: f64| Val::F64(value.to_bits())),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

/// A function without parameters may find the container's arguments elsewhere, in WASI.
fn count(
    name: &str,
    wanted: usize,
    given: usize,
    names: impl Fn() -> String,
) -> Result<(), String> {
    if wanted == 0 || wanted == given {
        return Ok(());
    }
    Err(format!(
        "the function `{name}` takes {wanted} argument{} ({}), found {given}; set them as the container's args",
        if wanted == 1 { "" } else { "s" },
        names()
    ))
}

fn unfit(name: &str, parameter: &str, text: &str, names: &str) -> String {
    let text = slipway_shim_engine::imports::printable(text);
    format!("the function `{name}` ({names}): {text} is no value for parameter {parameter}")
}

/// Calls a component's function and prints what it returns. `false` is a returned error, printed on stderr.
pub(crate) async fn call_component<T: Send + 'static>(
    store: &mut Store<T>,
    instance: &Instance,
    name: &str,
    arguments: Arguments,
) -> wasmtime::Result<bool> {
    let function = instance
        .get_func(&mut *store, name)
        .ok_or_else(|| wasmtime::format_err!("there is no function `{name}`"))?;
    let mut results = vec![Value::Bool(false); function.ty(&*store).results().len()];
    function
        .call_async(&mut *store, &arguments, &mut results)
        .await?;
    for result in &results {
        match result {
            Value::Result(Ok(None)) => {}
            Value::Result(Ok(Some(value))) => println(&shown(value)),
            Value::Result(Err(error)) => {
                if let Some(error) = error {
                    let _ = writeln!(std::io::stderr(), "{}", shown(error));
                }
                return Ok(false);
            }
            value => println(&shown(value)),
        }
    }
    Ok(true)
}

/// Text as it is, everything else as WAVE has it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => DisplayValue(value).to_string(),
    }
}

/// Prints what a module's function returned.
pub(crate) fn print_module(results: &[Val]) {
    for result in results {
        match result {
            Val::I32(value) => println(&value.to_string()),
            Val::I64(value) => println(&value.to_string()),
            Val::F32(bits) => println(&f32::from_bits(*bits).to_string()),
            Val::F64(bits) => println(&f64::from_bits(*bits).to_string()),
            Val::V128(value) => println(&value.as_u128().to_string()),
            _ => println("a reference"),
        }
    }
}

fn println(line: &str) {
    // Nobody is left to be told if the container's output is gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_by_type() {
        let read = |ty, text| number(&ty, text).map(|value| format!("{value:?}"));
        assert_eq!(read(ValType::I32, "-1").as_deref(), Some("I32(-1)"));
        assert_eq!(read(ValType::I32, "4294967295").as_deref(), Some("I32(-1)"));
        assert_eq!(read(ValType::I32, "4294967296"), None);
        assert_eq!(read(ValType::I64, "7").as_deref(), Some("I64(7)"));
        assert!(read(ValType::F64, "1.5").is_some());
        assert_eq!(read(ValType::F32, "one"), None);
        assert_eq!(read(ValType::V128, "1"), None);
    }

    #[test]
    fn values_of_components_are_read_by_type() {
        assert_eq!(
            value(&Type::String, "\"as it is\""),
            Some(Value::String("\"as it is\"".into()))
        );
        assert_eq!(value(&Type::U8, "255"), Some(Value::U8(255)));
        assert_eq!(value(&Type::U8, "256"), None);
        assert_eq!(value(&Type::Bool, "true"), Some(Value::Bool(true)));
        assert_eq!(value(&Type::Char, "x"), Some(Value::Char('x')));
        assert_eq!(value(&Type::Char, "xy"), None);
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let counted = count("add", 2, 1, || "i32, i32".to_owned());
        assert_eq!(
            counted.unwrap_err(),
            "the function `add` takes 2 arguments (i32, i32), found 1; set them as the container's args"
        );
        assert_eq!(count("run", 0, 3, String::new), Ok(()));
    }
}

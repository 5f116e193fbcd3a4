//! As much of admission as our definitions use: the structural schema and its CEL rules, without an API server, in its
//! words. `e2e/tests/cluster/admission.rs` asks a real one the same.

use kube::core::cel::Validator;
use regex_lite::Regex;
use serde_json::Value;

/// Why the API server would refuse `object`, one line each; nothing where it would not.
pub(crate) fn refusals(schema: &Value, object: &Value) -> Vec<String> {
    let mut object = object.clone();
    default(schema, &mut object);
    let mut refusals = Vec::new();
    check(schema, &object, "", &mut refusals);
    if refusals.is_empty()
        && let Err(errors) = Validator::new().validate(schema, &object, None)
    {
        refusals.extend(errors.into_iter().map(|error| error.to_string()));
    }
    refusals
}

/// Fills defaults in, as the API server does before it validates.
fn default(schema: &Value, object: &mut Value) {
    match object {
        Value::Array(items) => {
            for item in items {
                default(&schema["items"], item);
            }
        }
        Value::Object(fields) => {
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                if !child["default"].is_null() && !fields.contains_key(name) {
                    fields.insert(name.clone(), child["default"].clone());
                }
                if let Some(value) = fields.get_mut(name) {
                    default(child, value);
                }
            }
        }
        _ => {}
    }
}

fn check(schema: &Value, value: &Value, path: &str, refusals: &mut Vec<String>) {
    let mut refuse = |why: String| refusals.push(format!("{path}: {why}"));
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    let type_ = schema["type"].as_str().unwrap_or_default();
    let fits = match type_ {
        "string" => value.is_string(),
        "integer" => value.is_i64(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{path}: a schema of type {other:?}"),
    };
    if !fits {
        return refuse(format!("must be of type {type_}"));
    }
    if let Some(among) = schema["enum"].as_array()
        && !among.contains(value)
    {
        refuse("Unsupported value".to_owned());
    }
    let size = match value {
        Value::String(text) => Some((text.chars().count(), "Length", "be", "chars long")),
        Value::Array(items) => Some((items.len(), "Items", "have", "items")),
        Value::Object(fields) => Some((fields.len(), "Properties", "have", "properties")),
        _ => None,
    };
    if let Some((size, what, verb, unit)) = size {
        let bound = |side: &str| {
            let bound = schema[format!("{side}{what}")].as_u64();
            bound.map(|bound| bound as usize)
        };
        if let Some(least) = bound("min").filter(|least| size < *least) {
            return refuse(format!("should {verb} at least {least} {unit}"));
        }
        if let Some(most) = bound("max").filter(|most| size > *most) {
            return refuse(format!("Too many: {size}: must have at most {most} {unit}"));
        }
    }
    if let (Some(pattern), Some(text)) = (schema["pattern"].as_str(), value.as_str())
        && !Regex::new(pattern).expect("a pattern").is_match(text)
    {
        refuse(format!("should match '{pattern}'"));
    }
    if let Some(number) = value.as_f64() {
        if let Some(least) = schema["minimum"].as_f64().filter(|least| number < *least) {
            refuse(format!("should be greater than or equal to {least}"));
        }
        if let Some(most) = schema["maximum"].as_f64().filter(|most| number > *most) {
            refuse(format!("should be less than or equal to {most}"));
        }
    }
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    if let (Some(keys), Some(items)) = (keys, value.as_array()) {
        let key = |item: &Value| {
            keys.iter()
                .map(|key| item[key.as_str().expect("a name")].clone())
                .collect()
        };
        let named: Vec<Vec<Value>> = items.iter().map(key).collect();
        if (1..named.len()).any(|index| named[..index].contains(&named[index])) {
            refuse("Duplicate value".to_owned());
        }
    }
    for field in schema["required"].as_array().into_iter().flatten() {
        if value[field.as_str().expect("a name")].is_null() {
            refuse(format!(
                "{}: Required value",
                field.as_str().expect("a name")
            ));
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(
            &schema["items"],
            item,
            &format!("{path}[{index}]"),
            refusals,
        );
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == true || path == ".metadata" {
        return;
    }
    for (name, item) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        let declared = &schema["properties"][name];
        let any = &schema["additionalProperties"];
        match (declared.is_null(), any.is_null()) {
            (false, _) => check(declared, item, &path, refusals),
            (true, false) => check(any, item, &path, refusals),
            // Pruned by the API server; kubectl's strict validation refuses it.
            (true, true) if name != "metadata" => refusals.push(format!("{path}: unknown field")),
            (true, true) => {}
        }
    }
}

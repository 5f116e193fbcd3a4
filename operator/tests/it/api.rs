//! As much of an API server as the operator uses: objects by path, resource versions, finalizers,
//! the UID check of patches, and a fault to order.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// When an ordered fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The request never arrives.
    Before,
    /// The request takes effect, its answer is lost.
    After,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    version: u64,
    writes: u64,
    fault: Option<(u64, Fault)>,
}

/// An API server in memory.
#[derive(Clone, Default)]
pub(crate) struct Api {
    state: Arc<Mutex<State>>,
}

type Answer = Result<Value, (u16, &'static str)>;

impl Api {
    pub(crate) fn client(&self) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.expect("a body in memory").to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                Ok::<_, Infallible>(respond(&api.handle(&parts.method, parts.uri.path(), body)))
            }
        });
        Client::new(service, "kwasm")
    }

    /// Lets the `nth` write from now on meet a fault.
    pub(crate) fn fail(&self, nth: u64, fault: Fault) {
        let mut state = self.lock();
        state.fault = Some((state.writes + nth, fault));
    }

    /// Whether an ordered fault has not struck yet.
    pub(crate) fn fault_is_due(&self) -> bool {
        self.lock().fault.is_some()
    }

    /// Grows with every change.
    pub(crate) fn version(&self) -> u64 {
        self.lock().version
    }

    pub(crate) fn put(&self, path: &str, object: Value) {
        self.lock().store(path, object);
    }

    pub(crate) fn remove(&self, path: &str) {
        self.lock().objects.remove(path);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.lock().objects.get(path).cloned()
    }

    /// Changes an object as someone else would.
    pub(crate) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        let mut object = self.get(path).expect("the object is there");
        change(&mut object);
        self.put(path, object);
    }

    /// All objects of a collection, across namespaces.
    pub(crate) fn all(&self, collection: &str) -> Vec<(String, Value)> {
        let state = self.lock();
        let of_it = |path: &&String| path.rsplit('/').nth(1) == Some(collection);
        let paths = state.objects.keys().filter(of_it);
        paths
            .map(|path| (path.clone(), state.objects[path].clone()))
            .collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no test has panicked while holding it")
    }

    fn handle(&self, method: &Method, path: &str, body: Value) -> Answer {
        if *method == Method::GET {
            return self.read(path);
        }
        let mut state = self.lock();
        state.writes += 1;
        let due = state
            .fault
            .filter(|(at, _)| *at == state.writes)
            .map(|(_, fault)| fault);
        if due.is_some() {
            state.fault = None;
        }
        if due == Some(Fault::Before) {
            return Err((500, "ordered fault"));
        }
        let answer = match method.as_str() {
            "POST" => state.create(path, body),
            "PUT" => state.replace(path, &body),
            "PATCH" => state.patch(path, body),
            "DELETE" => state.delete(path),
            other => panic!("{other} {path} is not served here"),
        };
        if due == Some(Fault::After) {
            Err((500, "ordered fault"))
        } else {
            answer
        }
    }

    fn read(&self, path: &str) -> Answer {
        if let Some(object) = self.get(path) {
            return Ok(object);
        }
        let collection = path.rsplit('/').next().unwrap_or_default();
        // Names of objects here never are names of collections.
        if !matches!(collection, "pods" | "jobs" | "nodes") {
            return Err((404, "not found"));
        }
        let items: Vec<_> = self
            .all(collection)
            .into_iter()
            .map(|(_, object)| object)
            .collect();
        Ok(json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }))
    }
}

impl State {
    fn store(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.objects.insert(path.to_owned(), object);
    }

    fn create(&mut self, collection: &str, object: Value) -> Answer {
        let name = object["metadata"]["name"]
            .as_str()
            .expect("a name")
            .to_owned();
        let path = format!("{collection}/{name}");
        if self.objects.contains_key(&path) {
            return Err((409, "already exists"));
        }
        self.store(&path, object);
        Ok(self.objects[&path].clone())
    }

    fn replace(&mut self, path: &str, object: &Value) -> Answer {
        let path = path
            .strip_suffix("/status")
            .expect("only a status is replaced");
        let found = self.objects.get(path).ok_or((404, "not found"))?;
        if found["metadata"]["resourceVersion"] != object["metadata"]["resourceVersion"] {
            return Err((409, "the object has been modified"));
        }
        let mut next = found.clone();
        next["status"] = object["status"].clone();
        self.store(path, next);
        Ok(self.objects[path].clone())
    }

    fn patch(&mut self, path: &str, patch: Value) -> Answer {
        let mut object = match self.objects.get(path) {
            Some(object) => object.clone(),
            None => return Err((404, "not found")),
        };
        let uid = &patch["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return Err((422, "metadata.uid: field is immutable"));
        }
        let version = &patch["metadata"]["resourceVersion"];
        if !version.is_null() && *version != object["metadata"]["resourceVersion"] {
            return Err((409, "the object has been modified"));
        }
        let before = object["spec"].clone();
        merge(&mut object, patch);
        // A node's generation does not count here.
        if object["spec"] != before && path.contains("/slipway.dev/") {
            let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
            object["metadata"]["generation"] = json!(generation + 1);
        }
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        if !held && !object["metadata"]["deletionTimestamp"].is_null() {
            self.objects.remove(path);
        } else {
            self.store(path, object.clone());
        }
        Ok(object)
    }

    fn delete(&mut self, path: &str) -> Answer {
        let mut object = self.objects.get(path).cloned().ok_or((404, "not found"))?;
        let held = object["metadata"]["finalizers"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        if held {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            self.store(path, object.clone());
        } else {
            self.objects.remove(path);
        }
        Ok(object)
    }
}

/// RFC 7386.
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in patch {
        if value.is_null() {
            target.as_object_mut().expect("made one above").remove(&key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

fn respond(answer: &Answer) -> Response<Body> {
    let (code, body) = match answer {
        Ok(object) => (200, object.clone()),
        Err((code, message)) => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason(*code), "code": code,
            });
            (*code, status)
        }
    };
    let bytes = serde_json::to_vec(&body).expect("JSON");
    Response::builder()
        .status(code)
        .body(Body::from(bytes))
        .expect("a response")
}

/// kube tells a missing object by the reason, not by the code.
const fn reason(code: u16) -> &'static str {
    match code {
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        _ => "InternalError",
    }
}

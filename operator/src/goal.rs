//! What a `Shim` asks of one node: the installer's words for it, and a hash by which a change is seen. Pure.

use serde_json::{Map, Value, json};
use slipway_crds::node_shim::{Operation, Proof, Transaction};
use slipway_crds::shim::{Canary, CanarySuccess, Leftovers, PlatformUrl, Source, StartupTaint};
use slipway_crds::{BUNDLED_SHIM, NodeShim, Shim, ShimSpec, names};

use crate::settings::InstallerSettings;

/// The architectures a goal may be asked for.
const ARCHITECTURES: [&str; 2] = ["amd64", "arm64"];

/// Bytes of what an installer is told at most: it is a variable of its pod, and the kernel refuses programs one of 128 KiB
/// (`MAX_ARG_STRLEN`, execve(2)).
pub const MOST_TOLD: usize = 64 << 10;

/// What is to stand on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// Hash of everything whose change means that the node must be installed again.
    pub hash: String,
    /// Hash of where the shim's files are fetched from, which decides about nothing that stands on a node.
    pub address: Option<String>,
    /// Bytes of what the installer is told.
    pub told: usize,
    /// The shim's name.
    pub shim: String,
    /// The installer image.
    pub image: String,
    /// What is installed, for people.
    pub what: String,
    /// Architecture of the node.
    pub architecture: String,
    /// The runtime handlers.
    pub handlers: Vec<String>,
    /// When a canary has succeeded.
    pub canary: CanarySuccess,
    /// Hash of the canary whose change means that the node must be proven again; none: the installer's own.
    pub canary_hash: Option<String>,
    /// Taints that go once the node is proven.
    pub startup_taints: Vec<StartupTaint>,
    /// All of it, for building pods.
    pub spec: ShimSpec,
}

impl Goal {
    /// What `shim` asks of a node of this architecture.
    #[must_use]
    pub fn of(shim: &Shim, installer: &InstallerSettings, architecture: &str) -> Self {
        let name = shim.metadata.name.clone().unwrap_or_default();
        Self::of_spec(name, shim.spec.clone(), installer, architecture)
    }

    /// For an object whose `Shim` is gone: nothing is installed any more, only taken off.
    #[must_use]
    pub fn of_gone(object: &NodeShim, installer: &InstallerSettings) -> Self {
        let status = object.status.as_ref();
        let installed = status.and_then(|status| status.installed.as_ref());
        let handler = |name: &String| slipway_crds::shim::Handler {
            name: name.clone(),
            ..slipway_crds::shim::Handler::default()
        };
        let spec = ShimSpec {
            source: Source::default(),
            node_selector: None,
            handlers: installed
                .map(|installed| installed.handlers.iter().map(handler).collect())
                .unwrap_or_default(),
            rollout: slipway_crds::shim::Rollout::default(),
            startup_taints: Vec::new(),
            local_image_pull: false,
            leftovers: Leftovers::Keep,
            canary: None,
        };
        Self::of_spec(object.spec.shim.clone(), spec, installer, "")
    }

    /// Whether this transaction is for just this.
    #[must_use]
    pub fn is_asked_by(&self, transaction: &Transaction) -> bool {
        transaction.goal == self.hash && transaction.canary == self.canary_hash
    }

    /// Whether this proof shows that just this works.
    #[must_use]
    pub fn is_shown_by(&self, proof: &Proof) -> bool {
        proof.goal == self.hash && proof.canary == self.canary_hash
    }

    fn of_spec(
        name: String,
        spec: ShimSpec,
        installer: &InstallerSettings,
        architecture: &str,
    ) -> Self {
        let source = source(&spec, installer, architecture);
        let asked = installer_spec(&spec).to_string();
        let hash = names::hash(
            &[&name, &source.to_string(), &asked, &installer.install_root],
            16,
        );
        Self {
            hash,
            told: asked.len(),
            address: address(&spec, architecture).map(|url| names::hash(&[url], 16)),
            what: what(&spec, installer, architecture),
            image: installer.image.clone(),
            architecture: architecture.to_owned(),
            handlers: spec.handlers.iter().map(|h| h.name.clone()).collect(),
            canary: spec
                .canary
                .as_ref()
                .map_or(CanarySuccess::Completed, |canary| canary.success),
            canary_hash: canary_hash(&spec),
            startup_taints: spec.startup_taints.clone(),
            shim: name,
            spec,
        }
    }
}

/// What a `Shim` asks for now, on whatever node, by its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Of what is to stand on the node, one an architecture.
    pub goals: [String; 2],
    /// Of the canary; none: the installer's own.
    pub canary: Option<String>,
}

impl Asked {
    /// By this `Shim`.
    #[must_use]
    pub fn by(shim: &Shim, installer: &InstallerSettings) -> Self {
        let hash = |architecture| Goal::of(shim, installer, architecture).hash;
        Self {
            goals: ARCHITECTURES.map(hash),
            canary: canary_hash(&shim.spec),
        }
    }

    /// Whether this transaction brings it to a node.
    #[must_use]
    pub fn is_of(&self, transaction: &Transaction) -> bool {
        transaction.operation == Operation::Install
            && self.goals.contains(&transaction.goal)
            && self.canary == transaction.canary
    }

    /// Whether this proof shows that it works.
    #[must_use]
    pub fn is_shown_by(&self, proof: &Proof) -> bool {
        self.goals.contains(&proof.goal) && self.canary == proof.canary
    }
}

/// None for the installer's own, so that a status from before there was this field says the same. The installer
/// image is not in it: for the bundled shim another one is another goal, and others are left as they are.
fn canary_hash(spec: &ShimSpec) -> Option<String> {
    let asked = spec.canary.as_ref()?;
    let said = json!([asked.image, asked.command, asked.success]).to_string();
    (*asked != Canary::default()).then(|| names::hash(&[&said], 16))
}

/// Where the shim's bytes come from. Only what decides about them is in it: another installer image means
/// another bundled shim, but leaves the others as they are.
fn source(spec: &ShimSpec, installer: &InstallerSettings, architecture: &str) -> Value {
    if spec.source.url.is_some() {
        // Not the address: a mirror serves the same bytes.
        return json!({"url": download(spec, architecture).map(|entry| &entry.sha256)});
    }
    if let Some(image) = &spec.source.image {
        return json!({"image": image.reference, "path": image.path});
    }
    if spec.source.adopt.is_some() {
        return json!("adopt");
    }
    json!({"bundled": installer.image})
}

/// What is fetched for this architecture.
fn download<'a>(spec: &'a ShimSpec, architecture: &str) -> Option<&'a PlatformUrl> {
    let mut platforms = spec.source.url.as_ref()?.platforms.iter();
    platforms.find(|entry| entry.platform.architecture() == architecture)
}

/// And from where.
fn address<'a>(spec: &'a ShimSpec, architecture: &str) -> Option<&'a str> {
    download(spec, architecture).map(|entry| &*entry.url)
}

fn what(spec: &ShimSpec, installer: &InstallerSettings, architecture: &str) -> String {
    if let Some(url) = &spec.source.url {
        let here = address(spec, architecture);
        return here.unwrap_or(&url.binary).to_owned();
    }
    match (&spec.source.image, &spec.source.adopt) {
        (Some(image), _) => image.reference.clone(),
        (_, Some(adopt)) => adopt.path.clone(),
        _ => installer.image.clone(),
    }
}

/// What the installer is told (`SLIPWAY_SPEC`).
#[must_use]
pub fn installer_spec(spec: &ShimSpec) -> Value {
    let mut told = Map::new();
    let handlers = spec.handlers.iter().map(|handler| {
        let mut told = Map::new();
        told.insert("name".to_owned(), json!(handler.name));
        let options = handler.options.as_ref();
        if let Some(options) = options.filter(|options| !options.is_empty()) {
            told.insert("options".to_owned(), json!(options));
        }
        if let Some(annotations) = &handler.pod_annotations {
            told.insert("podAnnotations".to_owned(), json!(annotations));
        }
        if let Some(sandboxer) = handler.sandboxer {
            told.insert("sandboxer".to_owned(), json!(sandboxer));
        }
        Value::Object(told)
    });
    told.insert("handlers".to_owned(), handlers.collect());
    let url = spec.source.url.as_ref().map(|url| &url.binary);
    let image = spec.source.image.as_ref().map(|image| &image.binary);
    if let Some(binary) = url.or(image) {
        told.insert("binary".to_owned(), json!(binary));
    }
    if let Some(adopt) = &spec.source.adopt {
        told.insert("adopt".to_owned(), json!(adopt.path));
    }
    if spec.local_image_pull {
        told.insert("localImagePull".to_owned(), json!(true));
    }
    if spec.leftovers == Leftovers::Remove {
        told.insert("leftovers".to_owned(), json!("remove"));
    }
    Value::Object(told)
}

/// The handlers, where nothing but their names is to be said: then flags say it, as people would.
#[must_use]
pub fn short_form<'a>(shim: &str, spec: &'a ShimSpec) -> Option<Vec<&'a str>> {
    let names: Vec<&str> = spec.handlers.iter().map(|h| h.name.as_str()).collect();
    let plain =
        json!({"handlers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    (shim == BUNDLED_SHIM && installer_spec(spec) == plain).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::test_settings;

    fn shim(spec: Value) -> Shim {
        Shim::new("s", serde_json::from_value(spec).unwrap())
    }

    fn bundled() -> Value {
        json!({"source": {"bundled": {}}, "handlers": [{"name": "wasmtime"}]})
    }

    fn url(at: &str, digit: &str) -> Value {
        json!({
            "source": {"url": {"binary": "containerd-shim-spin-v2", "platforms": [
                {"platform": "linux/amd64", "url": at, "sha256": digit.repeat(64)},
            ]}},
            "handlers": [{"name": "spin"}],
        })
    }

    fn hash(spec: Value) -> String {
        Goal::of(&shim(spec), &test_settings().installer, "amd64").hash
    }

    fn with(field: &str, value: Value) -> Value {
        let mut spec = bundled();
        spec[field] = value;
        spec
    }

    #[test]
    fn the_hash_follows_what_is_on_the_node_only() {
        let base = hash(bundled());
        for (field, value) in [
            ("nodeSelector", json!({})),
            ("rollout", json!({"maxUnavailable": 3})),
            ("startupTaints", json!([{"key": "a"}])),
            (
                "handlers",
                json!([{"name": "wasmtime", "runtimeClass": {"name": "other"}}]),
            ),
        ] {
            assert_eq!(hash(with(field, value)), base, "{field}");
        }
        for (field, value) in [
            ("localImagePull", json!(true)),
            ("leftovers", json!("Remove")),
            ("handlers", json!([{"name": "wasmtime"}, {"name": "spin"}])),
            (
                "handlers",
                json!([{"name": "wasmtime", "options": {"mode": "spin"}}]),
            ),
            ("source", json!({"adopt": {"path": "/bin/x"}})),
        ] {
            assert_ne!(hash(with(field, value)), base, "{field}");
        }
    }

    #[test]
    fn another_canary_is_no_other_goal() {
        let of = |canary: Value| {
            let shim = shim(with("canary", canary));
            Goal::of(&shim, &test_settings().installer, "amd64")
        };
        let own = of(Value::Null);
        assert_eq!(of(json!({"success": "Completed"})).canary_hash, None);
        let mut seen = vec![own.canary_hash];
        for canary in [
            json!({"image": "a"}),
            json!({"image": "b"}),
            json!({"image": "a", "command": ["/"]}),
            json!({"image": "a", "success": "Running"}),
        ] {
            let goal = of(canary.clone());
            assert_eq!(goal.hash, own.hash, "{canary}");
            assert!(!seen.contains(&goal.canary_hash), "{canary}");
            seen.push(goal.canary_hash);
        }
    }

    #[test]
    fn bytes_decide_not_their_address() {
        let one = hash(url("https://a.test/x", "1"));
        assert_eq!(hash(url("https://b.test/x", "1")), one);
        assert_ne!(hash(url("https://a.test/x", "2")), one);
        let address = |spec| Goal::of(&shim(spec), &test_settings().installer, "amd64").address;
        assert_ne!(
            address(url("https://a.test/x", "1")),
            address(url("https://b.test/x", "1"))
        );
        assert_eq!(address(bundled()), None);
    }

    #[test]
    fn another_installer_changes_the_bundled_shim_only() {
        let mut newer = test_settings().installer;
        newer.image = "slipway/node-installer:newer".into();
        let hash_by = |spec: Value| Goal::of(&shim(spec), &newer, "amd64").hash;
        assert_ne!(hash_by(bundled()), hash(bundled()));
        assert_eq!(
            hash_by(url("https://a.test/x", "1")),
            hash(url("https://a.test/x", "1"))
        );
    }

    #[test]
    fn the_installer_is_told_what_is_not_the_default() {
        assert_eq!(
            installer_spec(&shim(bundled()).spec),
            json!({"handlers": [{"name": "wasmtime"}]})
        );
        let all = shim(json!({
            "source": {"adopt": {"path": "/usr/local/bin/containerd-shim-spin-v2"}},
            "handlers": [{"name": "spin", "options": {"mode": "auto"}, "podAnnotations": ["a/*"], "sandboxer": "podsandbox"}],
            "localImagePull": true, "leftovers": "Remove",
        }));
        assert_eq!(
            installer_spec(&all.spec),
            json!({
                "handlers": [{"name": "spin", "options": {"mode": "auto"}, "podAnnotations": ["a/*"], "sandboxer": "podsandbox"}],
                "adopt": "/usr/local/bin/containerd-shim-spin-v2", "localImagePull": true, "leftovers": "remove",
            })
        );
        assert_eq!(
            installer_spec(&shim(url("https://a.test/x", "1")).spec)["binary"],
            "containerd-shim-spin-v2"
        );
    }

    #[test]
    fn names_alone_are_flags() {
        assert_eq!(
            short_form("slipway", &shim(bundled()).spec),
            Some(vec!["wasmtime"])
        );
        assert_eq!(short_form("other", &shim(bundled()).spec), None);
        let more = with("localImagePull", json!(true));
        assert_eq!(short_form("slipway", &shim(more).spec), None);
    }
}

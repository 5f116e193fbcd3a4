//! The forms that an image of a wasm guest can have, pulled through CRI. `docs/images.md` has the table.

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::passed;
use crate::cri::{Empty, ImageSpec, PullImageRequest, PullImageResponse, RemoveImageRequest};
use crate::node::Node;
use crate::pod::Pod;
use crate::registry::{Content, Registry, digest};
use crate::report::Outcome;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const ARTIFACT_CONFIG: &str = "application/vnd.wasm.config.v0+json";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const WASM: &str = "application/wasm";
const COMPONENT: &str = "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm";
const CONTENT: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// Says who it is and ends with 7.
const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\14\00\00\00")
  (data (i32.const 16) "it came in this form")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
    (call $exit (i32.const 7))))"#;

/// What it says.
const WORDS: &str = "it came in this form";

/// A command for it, the code it ends with, and what its log has.
type Run<'a> = (&'a str, i32, &'a str);

/// The name of the file in its image.
const APP: Run<'_> = ("/app.wasm", 7, WORDS);

/// This machine's architecture as images call it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// A tar of one file.
fn tar(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut header = [0u8; 512];
    let mut put =
        |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{:011o}\0", bytes.len()));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut tar = header.to_vec();
    tar.extend_from_slice(bytes);
    tar.resize(tar.len().next_multiple_of(512) + 1024, 0);
    tar
}

/// An image under construction: its blobs, and the name it gets.
struct Maker<'a> {
    content: &'a mut Content,
    image: &'a str,
}

impl Maker<'_> {
    /// A manifest of one layer. Its config is an image's, for this platform and with these root file system layers.
    fn manifest(
        &mut self,
        platform: (&str, &str),
        rootfs: &[String],
        layer: (&str, &[u8]),
    ) -> Value {
        let config = json!({
            "os": platform.0, "architecture": platform.1,
            "config": {"Entrypoint": ["/app.wasm"]},
            "rootfs": {"type": "layers", "diff_ids": rootfs},
        });
        self.of(IMAGE_CONFIG, &config, layer)
    }

    /// A manifest of one layer with some config.
    fn of(&mut self, config_type: &str, config: &Value, layer: (&str, &[u8])) -> Value {
        let config = self.config(config_type, config);
        let layer = self.content.blob(self.image, layer.0, layer.1);
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]})
    }

    fn config(&mut self, config_type: &str, config: &Value) -> Value {
        let config = config.to_string();
        self.content
            .blob(self.image, config_type, config.as_bytes())
    }

    /// An artifact of several layers with titles.
    fn several(&mut self, guests: &[(&str, &[u8])]) -> Value {
        let digests: Vec<String> = guests.iter().map(|(_, guest)| digest(guest)).collect();
        let config = json!({
            "created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1",
            "layerDigests": digests,
        });
        let config = self.config(ARTIFACT_CONFIG, &config);
        let layers = guests.iter().map(|(title, guest)| {
            let mut layer = self.content.blob(self.image, WASM, guest);
            layer["annotations"] = json!({"org.opencontainers.image.title": title});
            layer
        });
        let layers: Vec<Value> = layers.collect();
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers})
    }

    /// A manifest of one tar.
    fn tar(&mut self, platform: (&str, &str), guest: &[u8]) -> Value {
        let tar = tar("app.wasm", guest);
        self.manifest(platform, &[digest(&tar)], (TAR, &tar))
    }

    /// A CNCF Wasm artifact.
    fn artifact(&mut self, guest: &[u8]) -> Value {
        let config = json!({
            "created": "2026-01-01T00:00:00Z", "architecture": "wasm", "os": "wasip1",
            "layerDigests": [digest(guest)],
        });
        self.of(ARTIFACT_CONFIG, &config, (WASM, guest))
    }

    /// An index with one manifest for one platform.
    fn index(&mut self, platform: (&str, &str), manifest: &Value) -> Value {
        let mut entry = self.content.manifest(self.image, manifest);
        entry["platform"] = json!({"os": platform.0, "architecture": platform.1});
        json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})
    }
}

/// Makes the index or manifest of an image with this guest.
type Form = fn(&mut Maker<'_>, &[u8]) -> Value;

/// A tar, as every other image has.
const TARS: &[(&str, Form)] = &[("tar-linux", |maker, guest| {
    maker.tar(("linux", architecture()), guest)
})];

/// A tar, for a platform that is not the node's.
const TARS_FOR_WASI: &[(&str, Form)] = &[("tar-wasi", |maker, guest| {
    maker.tar(("wasi", "wasm"), guest)
})];

/// Layers of wasm, and no root file system.
const WASM_LAYERS: &[(&str, Form)] = &[
    ("wasm-layer-linux", |maker, guest| {
        maker.manifest(("linux", architecture()), &[], (WASM, guest))
    }),
    ("wasm-layer-wasi", |maker, guest| {
        maker.manifest(("wasip1", "wasm"), &[], (WASM, guest))
    }),
    ("component-layer", |maker, guest| {
        maker.manifest(("wasip1", "wasm"), &[], (COMPONENT, guest))
    }),
    ("content-layer", |maker, guest| {
        maker.manifest(("wasip1", "wasm"), &[], (CONTENT, guest))
    }),
    ("artifact", |maker, guest| maker.artifact(guest)),
];

/// What no containerd takes.
const REFUSED: &[(&str, Form)] = &[
    ("tar-wasi-index", |maker, guest| {
        let manifest = maker.tar(("wasi", "wasm"), guest);
        maker.index(("wasi", "wasm"), &manifest)
    }),
    ("artifact-index", |maker, guest| {
        let manifest = maker.artifact(guest);
        maker.index(("wasip1", "wasm"), &manifest)
    }),
    ("wasm-layer-in-the-root", |maker, guest| {
        let rootfs = [digest(guest)];
        maker.manifest(("linux", architecture()), &rootfs, (WASM, guest))
    }),
];

/// A registry with these images, where containerd has been told how to speak to it.
fn registry(node: &Node, forms: &[(&str, Form)]) -> Result<Option<Registry>> {
    let Some(hosts) = &node.args.registry_hosts else {
        return Ok(None);
    };
    let guest = wat::parse_str(GUEST)?;
    let mut content = Content::default();
    for (image, form) in forms {
        let mut maker = Maker {
            content: &mut content,
            image,
        };
        let document = form(&mut maker, &guest);
        content.tag(image, &document);
    }
    Registry::serve(content, hosts).map(Some)
}

fn no_registry() -> Result<Outcome> {
    Ok(Outcome::DoesNotApply("no --registry-hosts".to_owned()))
}

/// Pulls an image, runs it by each command, and removes it. An error is containerd's.
fn runs(node: &Node, pod: &Pod<'_>, image: &str, commands: &[Run<'_>]) -> Result<()> {
    let spec = ImageSpec {
        image: image.to_owned(),
    };
    let request = PullImageRequest {
        image: Some(spec.clone()),
    };
    let ran = node
        .runtime
        .images::<PullImageResponse>("PullImage", &request)
        .context("PullImage")
        .and_then(|_| {
            for (command, code, words) in commands {
                let container = pod.run_with("app.wasm", &[], |config| {
                    config.image = Some(spec.clone());
                    config.command = vec![(*command).to_owned()];
                })?;
                container.ends_with(*code)?;
                container.says(words)?;
                container.remove()?;
            }
            Ok(())
        });
    let request = RemoveImageRequest { image: Some(spec) };
    node.runtime
        .images::<Empty>("RemoveImage", &request)
        .context("RemoveImage")?;
    ran.with_context(|| image.to_owned())
}

/// Demands that containerd refuses an image, and says so in these words.
fn refused(node: &Node, pod: &Pod<'_>, image: &str, words: &[&str]) -> Result<()> {
    let Err(error) = runs(node, pod, image, &[APP]) else {
        bail!("{image}: containerd takes it");
    };
    let said = format!("{error:#}");
    ensure!(
        words.iter().any(|word| said.contains(word)),
        "it says {said}"
    );
    Ok(())
}

pub(super) fn wasm_in_a_tar_runs(node: &Node) -> Result<Outcome> {
    let Some(registry) = registry(node, TARS)? else {
        return no_registry();
    };
    let pod = node.pod()?;
    for (image, _) in TARS {
        runs(node, &pod, &registry.name(image), &[APP])?;
    }
    pod.remove()?;
    passed()
}

pub(super) fn wasm_layers_and_artifacts_run(node: &Node) -> Result<Outcome> {
    let Some(registry) = registry(node, WASM_LAYERS)? else {
        return no_registry();
    };
    let pod = node.pod()?;
    for (image, _) in WASM_LAYERS {
        let image = registry.name(image);
        if node.minor <= (1, 6) {
            // Layers that are no tars are left alone from 1.6.25 on; Debian has 1.6.20.
            refused(node, &pod, &image, &["mismatched image rootfs"])?;
        } else {
            runs(node, &pod, &image, &[APP, ("/", 7, WORDS)])?;
        }
    }
    pod.remove()?;
    passed()
}

pub(super) fn of_several_layers_the_command_names_one(node: &Node) -> Result<Outcome> {
    if node.minor <= (1, 6) {
        return Ok(Outcome::DoesNotApply("it takes no wasm layers".to_owned()));
    }
    let Some(hosts) = &node.args.registry_hosts else {
        return no_registry();
    };
    let [first, second] = ["i32.const 7", "i32.const 8"]
        .map(|code| wat::parse_str(GUEST.replace("i32.const 7", code)));
    let mut content = Content::default();
    let image = "several-layers";
    let mut maker = Maker {
        content: &mut content,
        image,
    };
    let document = maker.several(&[("first.wasm", &first?), ("bin/second.wasm", &second?)]);
    content.tag(image, &document);
    let registry = Registry::serve(content, hosts)?;
    let pod = node.pod()?;
    let commands = [
        ("/first.wasm", 7, WORDS),
        ("/bin/second.wasm", 8, WORDS),
        // By its file name, wherever the pod thinks it is.
        ("/app/second.wasm", 8, WORDS),
        ("/", 126, "first.wasm, bin/second.wasm"),
    ];
    runs(node, &pod, &registry.name(image), &commands)?;
    pod.remove()?;
    passed()
}

pub(super) fn a_tar_for_wasi_depends_on_containerd(node: &Node) -> Result<Outcome> {
    let Some(registry) = registry(node, TARS_FOR_WASI)? else {
        return no_registry();
    };
    let pod = node.pod()?;
    for (image, _) in TARS_FOR_WASI {
        let image = registry.name(image);
        if node.minor < (2, 2) {
            runs(node, &pod, &image, &[APP])?;
        } else {
            refused(node, &pod, &image, &["parent snapshot"])?;
        }
    }
    pod.remove()?;
    passed()
}

pub(super) fn a_tar_for_wasi_runs_with_local_pull(node: &Node) -> Result<Outcome> {
    if node.minor < (2, 1) {
        return Ok(Outcome::DoesNotApply("it pulls no other way".to_owned()));
    }
    let Some(start_command) = &node.args.local_pull_start_command else {
        return Ok(Outcome::DoesNotApply(
            "no --local-pull-start-command".to_owned(),
        ));
    };
    let Some(registry) = registry(node, TARS_FOR_WASI)? else {
        return no_registry();
    };
    node.runtime.end(Signal::TERM)?;
    let ran = node.runtime.start_by(start_command).and_then(|()| {
        let pod = node.pod()?;
        for (image, _) in TARS_FOR_WASI {
            runs(node, &pod, &registry.name(image), &[APP])?;
        }
        pod.remove()
    });
    node.runtime.restart(Signal::TERM)?;
    ran?;
    passed()
}

pub(super) fn refusals_are_containerds_own(node: &Node) -> Result<Outcome> {
    let Some(registry) = registry(node, REFUSED)? else {
        return no_registry();
    };
    let pod = node.pod()?;
    for (image, _) in REFUSED {
        let words: &[&str] = if image.ends_with("-index") {
            &["no match for platform"]
        } else {
            &[
                "mismatched image rootfs",
                "stream processor",
                "parent snapshot",
            ]
        };
        refused(node, &pod, &registry.name(image), words)?;
    }
    pod.remove()?;
    passed()
}

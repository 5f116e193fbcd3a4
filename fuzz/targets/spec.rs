//! `config.json` of a bundle, and the `process` of an exec: any bytes become a plan within its bounds or a sentence.
#![no_main]

use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use slipway_shim_spec::{RootfsMount, Spec, SpecError};
use slipway_shim_wire::{MAX_ANNOTATION_VALUE, MAX_ANNOTATIONS, MAX_FRAME, Plan};

/// A container for the processes that are its execs.
static CONTAINER: LazyLock<Option<Spec>> = LazyLock::new(|| {
    let json = include_bytes!("../corpus/spec/container.json");
    Spec::parse(Path::new("/bundle"), json).ok()
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(spec) = Spec::parse(Path::new("/bundle"), bytes) {
        let overlay = RootfsMount {
            fstype: "overlay".to_owned(),
            source: "overlay".to_owned(),
            target: String::new(),
            options: vec!["lowerdir=/l".to_owned(), "ro".to_owned()],
        };
        check(spec.plan("id", Path::new("/bundle/rootfs"), &[overlay]));
        check(spec.sandbox_plan("id"));
        let _ = (spec.pid_namespace(), spec.container_type());
        let _ = (spec.sandbox_id(), spec.cgroups_path(), spec.resources());
        let _ = (spec.terminal(), spec.oom_score_adj());
    }
    if let Some(container) = &*CONTAINER {
        check(container.exec_plan("id", bytes));
    }
});

fn check(plan: Result<Plan, SpecError>) {
    let plan = match plan {
        Ok(plan) => plan,
        Err(error) => {
            let sentence = error.to_string();
            assert!(
                !sentence.is_empty() && !sentence.contains('\n'),
                "{sentence:?}"
            );
            return;
        }
    };
    assert!(plan.annotations.len() <= MAX_ANNOTATIONS);
    for (_, value) in &plan.annotations {
        assert!(value.len() <= MAX_ANNOTATION_VALUE);
    }
    for (name, _) in &plan.sysctls {
        // No part of it leads upwards, whichever separator it is written with.
        assert!(
            name.split(['.', '/']).all(|part| !part.is_empty()),
            "{name:?}"
        );
    }
    for path in plan.masked_paths.iter().chain(&plan.readonly_paths) {
        assert!(path.is_absolute() && !path.as_os_str().as_encoded_bytes().contains(&0));
    }
    assert!(plan.process.cwd.is_absolute());
    let bytes = postcard::to_allocvec(&plan).expect("a plan has a form on the wire");
    assert!(bytes.len() <= MAX_FRAME);
    let again: Plan = postcard::from_bytes(&bytes).expect("what was written is read");
    assert_eq!(again, plan);
}

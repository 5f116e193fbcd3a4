//! Plans for the configurations that people have.

use super::*;

const CONFIG: &str = "/etc/containerd/config.toml";

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.into(),
        text: text.to_owned(),
    }
}

fn run(minor: (u32, u32), sources: &[Source]) -> Result<Plan, PlanError> {
    let shim = Path::new("/opt/slipway/abc/containerd-shim-slipway-v1");
    run_with(minor, sources, &Handler::plain("wasmtime", shim), false)
}

fn run_with(
    (major, minor): (u32, u32),
    sources: &[Source],
    handler: &Handler,
    local_image_pull: bool,
) -> Result<Plan, PlanError> {
    plan(&Observed {
        version: Version {
            major,
            minor,
            patch: 0,
        },
        config: Path::new(CONFIG),
        sources,
        layout: &Layout::Own,
        own: None,
        handlers: std::slice::from_ref(handler),
        install_root: Path::new("/opt/slipway"),
        local_image_pull,
    })
}

fn paths(plan: &Plan) -> Vec<&str> {
    plan.files
        .iter()
        .map(|file| file.path.to_str().unwrap())
        .collect()
}

#[test]
fn a_folder_that_is_imported_already_is_used() {
    for (pattern, folder) in [
        ("/etc/containerd/conf.d/*.toml", "/etc/containerd/conf.d"),
        (
            "/etc/containerd/config.d/*.toml",
            "/etc/containerd/config.d",
        ),
        ("config.d/*", "/etc/containerd/config.d"),
    ] {
        let plan = run(
            (2, 2),
            &[source(
                CONFIG,
                &format!("version = 3\nimports = [\"{pattern}\"]\n"),
            )],
        )
        .unwrap();
        assert_eq!(
            paths(&plan),
            [format!("{folder}/99-slipway.toml")],
            "{pattern}"
        );
        assert_eq!(plan.additions.import, None);
    }
}

#[test]
fn without_an_import_the_root_gets_a_glob() {
    for text in [
        "version = 3\n",
        "version = 3\nimports = [\"/etc/containerd/one.toml\", \"/etc/*/x.toml\"]\n",
    ] {
        let plan = run((2, 0), &[source(CONFIG, text)]).unwrap();
        assert_eq!(
            paths(&plan),
            ["/etc/containerd/conf.d/99-slipway.toml", CONFIG]
        );
        assert!(
            plan.files[1]
                .after
                .contains("\"/etc/containerd/conf.d/*.toml\"")
        );
    }
}

#[test]
fn the_drop_in_has_the_roots_version_and_its_table() {
    for (version, table) in [
        (2, "io.containerd.grpc.v1.cri"),
        (3, "io.containerd.cri.v1.runtime"),
    ] {
        let plan = run((2, 3), &[source(CONFIG, &format!("version = {version}\n"))]).unwrap();
        let drop_in = &plan.files[0].after;
        assert!(
            drop_in.contains(&format!("version = {version}\n")),
            "{drop_in}"
        );
        assert!(
            drop_in.contains(&format!(
                "[plugins.\"{table}\".containerd.runtimes.wasmtime]"
            )),
            "{drop_in}"
        );
    }
}

#[test]
fn the_shim_is_told_of_version_3_where_containerd_does_not_say_it() {
    let told = |minor| {
        let plan = run(minor, &[source(CONFIG, "version = 2\n")]).unwrap();
        plan.files[0].after.contains("task_api = 3")
    };
    assert!(!told((1, 7)));
    assert!(!told((2, 0)), "2.0.0 starts a shim for each container");
    assert!(told((2, 1)));
    assert!(told((2, 2)));
    assert!(!told((2, 3)));
}

#[test]
fn a_missing_root_is_made() {
    let plan = run((2, 0), &[]).unwrap();
    assert_eq!(plan.files[1].base, None);
    assert_eq!(
        plan.files[1].after,
        "version = 3\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n"
    );
    let plan = run((1, 7), &[]).unwrap();
    assert_eq!((plan.method, paths(&plan)), (Method::InPlace, vec![CONFIG]));
    assert!(plan.files[0].after.starts_with("version = 2\n"));
}

#[test]
fn a_root_of_version_1_is_refused_where_containerd_would_not_see_it() {
    let old = source(CONFIG, "[plugins.cri]\n");
    assert_eq!(
        run((2, 1), std::slice::from_ref(&old))
            .unwrap_err()
            .to_string(),
        "/etc/containerd/config.toml is of version 1, from which containerd 2.1.0 takes no runtimes: write it in \
         version 2 or 3"
    );
    assert!(run((2, 3), std::slice::from_ref(&old)).is_ok());
    assert!(run((1, 7), &[old]).is_ok());
    let empty = run((2, 1), &[source(CONFIG, "# nothing\n")]).unwrap();
    assert!(empty.files[0].after.contains("version = 3\n"));
}

#[test]
fn on_1_x_the_last_file_with_the_section_is_edited() {
    let section = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.runc]\nruntime_type = \"x\"\n";
    let sources = [
        source(CONFIG, &format!("imports = [\"x.toml\"]\n{section}")),
        source("/etc/containerd/x.toml", section),
        source("/etc/containerd/y.toml", "version = 2\n"),
    ];
    let plan = run((1, 7), &sources).unwrap();
    assert_eq!(paths(&plan), ["/etc/containerd/x.toml"]);
    assert!(!plan.additions.built_in_runc);
}

#[test]
fn on_1_x_the_first_named_runtime_brings_the_built_in_one_along() {
    let plan = run(
        (1, 6),
        &[source(
            CONFIG,
            "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".cni]\n",
        )],
    )
    .unwrap();
    assert!(plan.additions.built_in_runc);
    assert!(
        plan.files[0]
            .after
            .contains("runtimes.runc]\nruntime_type = \"io.containerd.runc.v2\"\n")
    );
}

#[test]
fn a_handler_of_somebody_else_is_named_wherever_it_is() {
    let foreign = "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.wasmtime]\nruntime_type = 'io.containerd.wasmtime.v1'\n";
    let sources = [
        source(CONFIG, "version = 3\n"),
        source("/etc/containerd/conf.d/kwasm.toml", foreign),
    ];
    let error = run((2, 1), &sources).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the handler wasmtime is already defined in /etc/containerd/conf.d/kwasm.toml (runtime_type \"io.containerd.wasmtime.v1\"): remove that table or choose another handler"
    );
}

#[test]
fn a_table_that_is_runc_in_disguise_is_named_and_not_doubled() {
    let stanza = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wasmtime]\n\
        runtime_engine = \"/usr/local/bin/containerd-shim-spin-v1\"\nruntime_root = \"\"\n\
        runtime_type = \"io.containerd.runc.v2\"\n";
    for minor in [(1, 7), (2, 4)] {
        let error = run(minor, &[source(CONFIG, stanza)]).unwrap_err();
        assert_eq!(error.reason(), "HandlerBroken");
        assert_eq!(
            error.to_string(),
            "the handler wasmtime in /etc/containerd/config.toml is runc: containerd ignores its runtime_engine \"/usr/local/bin/containerd-shim-spin-v1\", so its pods run as native containers; take that table out"
        );
    }
    let doubled =
        format!("{stanza}[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wasmtime]\n");
    let error = run((1, 7), &[source(CONFIG, &doubled)]).unwrap_err();
    assert_eq!(error.reason(), "ConfigUnparsable");
    assert!(error.to_string().contains("duplicate key"), "{error}");
}

#[test]
fn a_handler_left_by_another_installer_is_named_with_the_way_out() {
    let text = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.wasmtime]\nruntime_type = \"/opt/kwasm/bin/x\"\n";
    let error = run((1, 7), &[source(CONFIG, text)]).unwrap_err();
    assert_eq!(error.reason(), "HandlerLeft");
    assert!(
        error
            .to_string()
            .contains("by KWasm (/opt/kwasm/bin/x): install with leftovers \"remove\""),
        "{error}"
    );
}

#[test]
fn local_image_pull_goes_beside_the_handlers_unless_it_is_on_already() {
    let spin = Handler::plain("spin", Path::new("/usr/local/bin/containerd-shim-spin-v2"));
    let plan_with = |sources: &[Source]| run_with((2, 4), sources, &spin, true);
    let images = "[plugins.\"io.containerd.cri.v1.images\"]\nuse_local_image_pull = true\n";
    for version in [2, 3] {
        let plan = plan_with(&[source(CONFIG, &format!("version = {version}\n"))]).unwrap();
        assert!(
            plan.files[0].after.contains(images),
            "{}",
            plan.files[0].after
        );
        assert_eq!(plan.additions.local_image_pull.as_deref(), Some(DROP_IN));
        assert_eq!(plan.additions.adopted.len(), 1);
    }
    let plan = plan_with(&[source(CONFIG, &format!("version = 3\n{images}"))]).unwrap();
    assert!(!plan.files[0].after.contains("images"));
    assert_eq!(plan.additions.local_image_pull, None);
    assert!(matches!(
        plan_with(&[source(CONFIG, "")]),
        Err(PlanError::TooOldForLocalPull(_))
    ));
}

#[test]
fn a_foreign_file_of_our_name_is_not_replaced() {
    let sources = [
        source(CONFIG, "version = 3\nimports = [\"conf.d/*.toml\"]\n"),
        source("/etc/containerd/conf.d/99-slipway.toml", "version = 3\n"),
    ];
    assert!(matches!(
        run((2, 1), &sources),
        Err(PlanError::DropInTaken(_))
    ));
}

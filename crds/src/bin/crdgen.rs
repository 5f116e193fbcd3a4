//! Writes the definitions' YAML (`--write`), or says which file is out of date (`--check`).

use std::path::Path;

use anyhow::{Context as _, bail};
use slipway_crds::generate;

fn main() -> anyhow::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("the crate has a parent folder")?;
    let mode = std::env::args().nth(1);
    match mode.as_deref() {
        Some("--write") => {
            generate::write(root)?;
            Ok(())
        }
        Some("--check") => match generate::stale(root)?.as_slice() {
            [] => Ok(()),
            stale => {
                let names: Vec<_> = stale
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                bail!(
                    "out of date: {}\nhint: cargo run -p slipway-crds --bin crdgen -- --write",
                    names.join(", ")
                )
            }
        },
        _ => bail!("usage: crdgen --check|--write"),
    }
}

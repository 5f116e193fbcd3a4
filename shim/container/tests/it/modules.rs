//! Finding the wasm file from inside.

use slipway_shim_container::{drop_privileges, open_module};

use crate::child::enter;
use crate::child::{self, text};
use crate::config::Bundle;

#[test]
fn files_of_the_image_are_told_from_files_of_a_volume() {
    let mut bundle = Bundle::new();
    bundle.file("rootfs/a.wasm", "image");
    let volume = bundle.directory("volume");
    bundle.file("volume/b.wasm", "volume");
    bundle.mount("/volume", &volume, &["rbind", "ro"]);
    let mut plan = bundle.plan();
    let opened = child::succeed(|| {
        enter(&plan).map_err(text)?;
        drop_privileges(&plan).map_err(text)?;
        let image = open_module(&plan).map_err(text)?;
        plan.process.args[0] = "/volume/b.wasm#start".into();
        let volume = open_module(&plan).map_err(text)?;
        plan.process.args[0] = "/proc".into();
        let refused = open_module(&plan).unwrap_err();
        Ok(format!(
            "{} {} {:?}; {}",
            image.on_rootfs, volume.on_rootfs, volume.function, refused
        ))
    });
    assert_eq!(
        opened,
        "true false Some(\"start\"); /proc: is a directory, not a file; \
         set the container's command to the path of a .wasm file in the image"
    );
}

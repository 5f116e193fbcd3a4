//! `process.capabilities`: names to bits.

use slipway_shim_oci::{Capabilities as Names, Capability};
use slipway_shim_wire::Capabilities;

fn bits(names: Option<&[Capability]>) -> u64 {
    names
        .into_iter()
        .flatten()
        .fold(0, |bits, capability| bits | 1 << capability.0)
}

/// All five sets; none where the spec has no `capabilities`.
pub(crate) fn translate(capabilities: Option<&Names>) -> Capabilities {
    let Some(capabilities) = capabilities else {
        return Capabilities::default();
    };
    Capabilities {
        bounding: bits(capabilities.bounding.as_deref()),
        effective: bits(capabilities.effective.as_deref()),
        permitted: bits(capabilities.permitted.as_deref()),
        inheritable: bits(capabilities.inheritable.as_deref()),
        ambient: bits(capabilities.ambient.as_deref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_kernels_bits() {
        let capabilities: Names = serde_json::from_str(
            r#"{"bounding":["CAP_CHOWN","CAP_CHECKPOINT_RESTORE"],"permitted":["CAP_NET_BIND_SERVICE"]}"#,
        )
        .unwrap();
        let sets = translate(Some(&capabilities));
        assert_eq!(sets.bounding, 1 | 1 << 40);
        assert_eq!(sets.permitted, 1 << 10);
        assert_eq!((sets.effective, sets.inheritable, sets.ambient), (0, 0, 0));
    }
}

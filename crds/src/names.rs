//! Object names made from other names: short enough for a label value, and never two alike.

use sha2::{Digest, Sha256};

/// Names double as label values, which end at 63 characters (node names may have 253).
pub const MAX_NAME: usize = 63;

/// The `NodeShim` of a shim on a node: `<node>.<shim>`, its node part shortened by a hash when too long.
#[must_use]
pub fn node_shim(node: &str, shim: &str) -> String {
    let plain = format!("{node}.{shim}");
    if plain.len() <= MAX_NAME {
        return plain;
    }
    let tail = format!("-{}.{shim}", hash(&[node, shim], 10));
    let room = MAX_NAME.saturating_sub(tail.len());
    let head: String = node.chars().take(room).collect();
    format!("{}{tail}", head.trim_end_matches(['.', '-']))
}

/// Whether a `Shim` may have this name: it stands in node labels and in names of `NodeShims`.
#[must_use]
pub fn is_shim_name(name: &str) -> bool {
    let inner = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = name.as_bytes();
    (1..=40).contains(&bytes.len())
        && bytes.iter().all(|byte| inner(byte) || *byte == b'-')
        && bytes.first().is_some_and(inner)
        && bytes.last().is_some_and(inner)
}

/// A node's name as a label value: itself, or its head and a hash where it is too long for one.
#[must_use]
pub fn label_value(node: &str) -> String {
    if node.len() <= MAX_NAME {
        return node.to_owned();
    }
    let tail = hash(&[node], 10);
    let head: String = node.chars().take(MAX_NAME - tail.len() - 1).collect();
    format!("{}-{tail}", head.trim_end_matches(['.', '-']))
}

/// The first `digits` hex digits of a SHA-256 over `parts`, each ended by a zero byte so that
/// `["ab", "c"]` and `["a", "bc"]` differ.
#[must_use]
pub fn hash(parts: &[&str], digits: usize) -> String {
    let mut sha = Sha256::new();
    for part in parts {
        sha.update(part.as_bytes());
        sha.update([0]);
    }
    let mut text: String = sha
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    text.truncate(digits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_stay_readable() {
        assert_eq!(node_shim("worker-1", "slipway"), "worker-1.slipway");
    }

    #[test]
    fn long_names_fit_a_label_and_stay_apart() {
        let domain = "x".repeat(60);
        let one = node_shim(&format!("{domain}.a.example"), "slipway");
        let two = node_shim(&format!("{domain}.b.example"), "slipway");
        assert!(
            one.len() <= MAX_NAME && two.len() <= MAX_NAME,
            "{one} {two}"
        );
        assert_ne!(one, two);
        assert!(one.ends_with(".slipway"));
    }

    #[test]
    fn a_cut_never_ends_in_punctuation() {
        // The 44th character, where the cut falls, is a dot.
        let name = node_shim(&format!("{}.{}", "n".repeat(43), "m".repeat(40)), "slipway");
        assert!(name.len() <= MAX_NAME);
        assert!(!name.contains(".-") && !name.contains("--"), "{name}");
    }

    #[test]
    fn label_values_are_node_names_where_they_fit() {
        assert_eq!(label_value("worker-1"), "worker-1");
        assert!(label_value(&"n.".repeat(100)).len() <= MAX_NAME);
    }

    #[test]
    fn shim_names_are_label_parts() {
        for (name, fits) in [
            ("slipway", true),
            ("spin-v2", true),
            ("", false),
            ("-a", false),
            ("a.b", false),
            ("A", false),
        ] {
            assert_eq!(is_shim_name(name), fits, "{name}");
        }
        assert!(!is_shim_name(&"x".repeat(41)));
    }

    #[test]
    fn hash_separates_its_parts() {
        assert_ne!(hash(&["ab", "c"], 10), hash(&["a", "bc"], 10));
        assert_eq!(hash(&["a"], 10).len(), 10);
    }
}

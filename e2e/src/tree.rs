//! Every byte below some directories of a node, to be compared with the same some time later.

use std::collections::BTreeMap;
use std::fmt;

/// What stands at one path: kind, mode, owner, link target and digest.
type Entries = BTreeMap<String, String>;

/// A snapshot of directory trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree(Entries);

/// The shell that prints a tree: one line an entry, `<path>\t<kind, mode, owner, link>` and, for files,
/// `<path>\t<sha256>`. A directory that is not there prints nothing, so its making shows as a difference.
#[must_use]
pub fn listing(directories: &[&str]) -> String {
    let all = directories.join(" ");
    format!(
        "find {all} -xdev -printf '%p\\t%y %m %U:%G %l\\n' 2>/dev/null || true\n\
         find {all} -xdev -type f -exec sha256sum {{}} + 2>/dev/null \
         | sed -E 's/^([0-9a-f]+) [ *](.*)$/\\2\\tsha256 \\1/' || true\n"
    )
}

impl Tree {
    /// Reads what [`listing`] printed.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut entries = Entries::new();
        for (path, fact) in text.lines().filter_map(|line| line.split_once('\t')) {
            let known = entries.entry(path.to_owned()).or_default();
            if !known.is_empty() {
                known.push(' ');
            }
            known.push_str(fact.trim_end());
        }
        Self(entries)
    }

    /// True when nothing stands in it: then it cannot prove anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// True when something stands at or below `path`.
    #[must_use]
    pub fn holds(&self, path: &str) -> bool {
        self.0.keys().any(|known| {
            known
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// What became different on the way to `later`.
    #[must_use]
    pub fn changes(&self, later: &Self) -> Changes {
        let mut changes = Vec::new();
        for (path, before) in &self.0 {
            match later.0.get(path) {
                None => changes.push(format!("- {path}: {before}")),
                Some(after) if after != before => {
                    changes.push(format!("~ {path}: {before} -> {after}"));
                }
                Some(_) => {}
            }
        }
        for (path, after) in &later.0 {
            if !self.0.contains_key(path) {
                changes.push(format!("+ {path}: {after}"));
            }
        }
        Changes(changes)
    }
}

/// The differences between two trees, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes(Vec<String>);

impl Changes {
    /// True when the trees are the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEFORE: &str =
        "/etc/a\td 755 0:0 \n/etc/a/f\tf 644 0:0 \n/etc/a/l\tl 777 0:0 f\n/etc/a/f\tsha256 00\n";

    #[test]
    fn the_same_tree_has_no_changes() {
        assert!(Tree::parse(BEFORE).changes(&Tree::parse(BEFORE)).is_empty());
    }

    #[test]
    fn content_mode_and_new_files_are_seen() {
        let after =
            "/etc/a\td 700 0:0 \n/etc/a/f\tf 644 0:0 \n/etc/a/f\tsha256 01\n/etc/a/n\tf 644 0:0 \n";
        let changes = Tree::parse(BEFORE).changes(&Tree::parse(after)).to_string();
        assert_eq!(
            changes,
            "~ /etc/a: d 755 0:0 -> d 700 0:0\n\
             ~ /etc/a/f: f 644 0:0 sha256 00 -> f 644 0:0 sha256 01\n\
             - /etc/a/l: l 777 0:0 f\n\
             + /etc/a/n: f 644 0:0"
        );
    }

    #[test]
    fn holds_is_about_whole_path_elements() {
        let tree = Tree::parse("/var/lib/slipway/x\tf 644 0:0 \n");
        assert!(tree.holds("/var/lib/slipway"));
        assert!(!tree.holds("/var/lib/slip"));
    }
}

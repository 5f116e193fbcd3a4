//! The conformance table in `docs/reference/shim.md` says nothing that no test shows, and leaves no case out; nor does
//! `docs/security.md` name a test that is not there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use slipway_e2e_cri::cases::CASES;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The rows of all tables: what is said, and what shows it.
fn rows() -> Vec<(String, Vec<String>)> {
    let page = std::fs::read_to_string(root().join("docs/reference/shim.md")).unwrap();
    let cells = |line: &str| -> Option<(String, String)> {
        let line = line.strip_prefix('|')?.strip_suffix('|')?;
        let (contract, tests) = line.rsplit_once('|')?;
        Some((contract.trim().to_owned(), tests.trim().to_owned()))
    };
    page.lines()
        .filter_map(cells)
        .filter(|(contract, tests)| !contract.starts_with("---") && tests != "shown by")
        .map(|(contract, tests)| {
            let names = tests.split('`').skip(1).step_by(2).map(str::to_owned);
            (contract, names.collect())
        })
        .collect()
}

/// Whether a Rust file below a folder has a function of this name.
fn is_tested(folder: &Path, name: &str) -> bool {
    std::fs::read_dir(folder).unwrap().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return path.file_name().is_some_and(|name| name != "target") && is_tested(&path, name);
        }
        path.extension().is_some_and(|extension| extension == "rs")
            && std::fs::read_to_string(&path)
                .unwrap()
                .contains(&format!("fn {name}("))
    })
}

#[test]
fn every_row_names_tests_that_are_there() {
    let rows = rows();
    assert!(rows.len() > 20, "the page has lost its tables");
    for (contract, tests) in rows {
        assert!(!tests.is_empty(), "no test shows {contract:?}");
        for test in tests {
            assert!(is_there(&test), "{contract:?}: there is no test {test:?}");
        }
    }
}

/// Whether there is such a test: `cri: CASE`, `fuzz: TARGET` or `FOLDER: FUNCTION`.
fn is_there(test: &str) -> bool {
    let (place, name) = test.split_once(": ").unwrap_or_else(|| panic!("{test:?}"));
    match place {
        "cri" => CASES.iter().any(|case| case.name == name),
        "fuzz" => root().join(format!("fuzz/targets/{name}.rs")).is_file(),
        folder => is_tested(&root().join(folder), name),
    }
}

#[test]
fn the_security_page_names_tests_that_are_there() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let code = page.split('`').skip(1).step_by(2);
    let tests: Vec<&str> = code
        .filter(|word| {
            ["cri: ", "fuzz: ", "operator: ", "node-installer: ", "shim/"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .filter(|word| word.contains(": ") && !word.ends_with(": NAME"))
        .collect();
    assert!(tests.len() > 40, "the page has lost its tables");
    for test in tests {
        assert!(is_there(test), "there is no test {test:?}");
    }
}

#[test]
fn every_case_stands_in_a_row() {
    let shown: BTreeSet<String> = rows().into_iter().flat_map(|(_, tests)| tests).collect();
    for case in CASES {
        assert!(
            shown.contains(&format!("cri: {}", case.name)),
            "{} stands in no row",
            case.name
        );
    }
}

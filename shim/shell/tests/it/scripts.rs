//! `sh`.

use super::{exec, says, sh, within};

#[test]
fn probes_as_people_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let probe = "test -f ok && cat ok";
    assert_eq!(within(folder.path(), probe).status, 1);
    std::fs::write(folder.path().join("ok"), "ready\n").unwrap();
    let outcome = within(folder.path(), probe);
    assert_eq!((outcome.status, outcome.stdout.as_str()), (0, "ready\n"));
    let bracket = "if [ \"$(cat ok)\" = ready ]; then exit 0; else exit 1; fi";
    assert_eq!(within(folder.path(), bracket).status, 0);
}

#[test]
fn words_quotes_and_variables() {
    for (script, said) in [
        ("echo a  b", "a b\n"),
        ("echo 'a  b' \"c  $NAME\" \\$NAME", "a  b c  value $NAME\n"),
        ("echo $SPACED; echo \"$SPACED\"", "a b\na b\n"),
        ("set -e; X='a  b'; echo $X \"$X\"", "a b a  b\n"),
        (
            "echo [$NONE] [${NONE:-d e}] [${NAME:-x}] [${NAME:+set}] [${NONE:+x}]",
            "[] [d e] [value] [set] []\n",
        ),
        ("for x in $NONE; do echo $x; done", ""),
        (
            "for x in \"$NONE\" \"\"; do echo \"<$x>\"; done",
            "<>\n<>\n",
        ),
        ("X=1; Y=$X$X; echo $Y", "11\n"),
        (
            "NAME=other env | grep ^NAME; echo $NAME",
            "NAME=other\nvalue\n",
        ),
        ("true; echo $?; false || echo $?", "0\n1\n"),
        ("echo $(echo a; echo b) \"$(echo a; echo b)\"", "a b a\nb\n"),
        ("echo a#b # comment", "a#b\n"),
    ] {
        assert_eq!(says(script), said, "{script}");
    }
}

#[test]
fn parameters_follow_the_script() {
    let outcome = exec(
        &[
            "sh",
            "-c",
            "echo $0 $1 $# ; for x in \"$@\"; do echo $x; done",
            "me",
            "a b",
            "c",
        ],
        "",
    );
    assert_eq!(outcome.stdout, "me a b 2\na b\nc\n");
    assert_eq!(
        exec(&["sh", "-c", "shift; echo $1", "me", "a", "b"], "").stdout,
        "b\n"
    );
}

#[test]
fn lists_and_conditions() {
    for (script, status) in [
        ("true && false", 1),
        ("false || true", 0),
        ("! true", 1),
        ("exit 7", 7),
        ("false; true", 0),
        ("(exit 3); test $? -eq 3", 0),
        ("exit 300", 44),
        (
            "if false; then exit 1; elif true; then exit 2; else exit 3; fi",
            2,
        ),
        ("set -e; false; exit 9", 1),
        (
            "set -e; if false; then :; fi; false || true; ! true; exit 9",
            9,
        ),
    ] {
        assert_eq!(sh(script).status, status, "{script}");
    }
}

#[test]
fn loops() {
    assert_eq!(
        says("for x in a b c; do if [ $x = b ]; then continue; fi; echo $x; done"),
        "a\nc\n"
    );
    assert_eq!(says("while true; do echo once; break; done"), "once\n");
    assert_eq!(
        says("printf 'a\\nb c\\n' | while read -r x y; do echo \"$x:$y\"; done"),
        "a:\nb:c\n"
    );
    assert_eq!(
        says("X=; until [ \"$X\" = aaa ]; do X=a$X; done; echo $X"),
        "aaa\n"
    );
}

#[test]
fn pipes_and_redirections() {
    let folder = tempfile::tempdir().unwrap();
    let said = |script: &str| within(folder.path(), script).stdout;
    assert_eq!(said("echo a >f; echo b >>f; cat <f; wc -l <f"), "a\nb\n2\n");
    assert_eq!(said("{ echo out; cat none; } 2>&1 | wc -l"), "2\n");
    assert_eq!(
        said("cat none 2>err; cat err"),
        "cat: none: No such file or directory\n"
    );
    assert_eq!(said("cat none 2>/dev/null || echo gone"), "gone\n");
    assert_eq!(said("printf 'b\\na\\n' | grep a | head -1"), "a\n");
    assert_eq!(said("echo x | { read X; echo <f; echo $X; }"), "\nx\n");
    let outcome = within(folder.path(), "cat <none; echo after");
    assert_eq!(outcome.stdout, "after\n");
    assert!(
        outcome.stderr.starts_with("sh: none: "),
        "{}",
        outcome.stderr
    );
}

#[test]
fn a_stage_of_a_pipe_cannot_change_the_shell() {
    assert_eq!(says("X=1; X=2 | true; (X=3); echo $X"), "1\n");
    assert_eq!(sh("exit 4 | true").status, 0);
    assert_eq!(sh("true | exit 4").status, 4);
}

#[test]
fn patterns_stand_for_names() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a.txt", "b.txt", "c.log"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    let said = |script: &str| within(folder.path(), script).stdout;
    assert_eq!(
        said("echo *.txt '*.txt' *.none"),
        "a.txt b.txt *.txt *.none\n"
    );
    assert_eq!(said("X='*.log'; echo $X \"$X\""), "c.log *.log\n");
}

#[test]
fn more_than_a_pipe_holds_is_said() {
    let outcome = sh("head -c 17000000 /dev/zero | wc -c");
    assert!(outcome.stderr.contains("16 MiB"), "{}", outcome.stderr);
}

#[test]
fn what_is_no_command_is_told() {
    let outcome = sh("apt-get update");
    assert_eq!(outcome.status, 127);
    assert!(
        outcome.stderr.contains("apt-get: not found") && outcome.stderr.contains(" ls "),
        "{outcome:?}"
    );
    let outcome = exec(&["/etc/passwd"], "");
    assert_eq!(outcome.status, 126);
    assert!(outcome.stderr.contains("native programs"), "{outcome:?}");
    assert_eq!(exec(&["/none/at/all"], "").status, 127);
    assert!(exec(&["/app/x.wasm#f"], "").stderr.contains("kubectl exec"));
}

#[test]
fn what_cannot_be_read_is_refused_before_anything_runs() {
    let outcome = sh("echo first; case x in esac");
    assert_eq!((outcome.status, outcome.stdout.as_str()), (2, ""));
    assert_eq!(outcome.stderr, "sh: case is not in this small shell\n");
    assert_eq!(
        sh("if true").stderr,
        "sh: the script ends where then is expected\n"
    );
}

#[test]
fn commands_come_from_the_input() {
    let outcome = exec(
        &["sh"],
        "X=1\nif true\nthen echo $X\nfi\nread Y\nthe line\necho $Y\nexit 5\necho no\n",
    );
    assert_eq!(
        (outcome.status, outcome.stdout.as_str()),
        (5, "1\nthe line\n")
    );
    assert_eq!(exec(&["sh"], "false").status, 1);
    assert_eq!(exec(&["sh"], "(\n").status, 2);
}

#[test]
fn scripts_in_scripts_end() {
    let outcome = exec(
        &[
            "sh",
            "-c",
            "f=\". /dev/stdin\"; sh -c \"$0\" \"$0\"",
            "sh -c \"$0\" \"$0\"",
        ],
        "",
    );
    assert_eq!(outcome.status, 2);
    assert!(outcome.stderr.contains("nested"), "{outcome:?}");
}

#[test]
fn a_file_is_a_script() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("s"), "#!/bin/sh\necho $0 $1\nX=5\n").unwrap();
    assert_eq!(within(folder.path(), "sh s a").stdout, "s a\n");
    assert_eq!(within(folder.path(), ". ./s; echo $X").stdout, "sh\n5\n");
}

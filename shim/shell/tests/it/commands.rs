//! Each command by itself.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::{exec, says, sh, within};

#[test]
fn programs_are_known_by_their_paths() {
    assert_eq!(exec(&["/bin/echo", "a"], "").stdout, "a\n");
    assert_eq!(
        exec(&["/usr/bin/env", "echo", "$NAME"], "").stdout,
        "$NAME\n"
    );
    assert_eq!(exec(&["cat"], "in\n").stdout, "in\n");
}

#[test]
fn echo_and_printf() {
    assert_eq!(says("echo -n a; echo -e 'b\\tc'; echo -x"), "ab\tc\n-x\n");
    assert_eq!(says("printf '%s=%d%%\\n' a 1 b 2"), "a=1%\nb=2%\n");
    assert_eq!(sh("printf '%q' a").status, 2);
}

#[test]
fn files_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/inner"), "12345").unwrap();
    fs::write(at("f\u{1b}[31m"), "").unwrap();
    fs::write(at(".h"), "").unwrap();
    fs::set_permissions(at("d/inner"), fs::Permissions::from_mode(0o4755)).unwrap();
    symlink("d", at("l")).unwrap();
    let said = |script: &str| within(folder.path(), script).stdout;
    assert_eq!(said("ls"), "d\nf?[31m\nl\n");
    assert_eq!(said("ls -A d ."), "d:\ninner\n\n.:\n.h\nd\nf?[31m\nl\n");
    assert_eq!(said("ls -R d"), "d:\ninner\n");
    let long = said("ls -l d l");
    assert!(
        long.contains("-rwsr-xr-x 1 ") && long.contains(" 5 "),
        "{long}"
    );
    assert!(long.contains("l -> d"), "{long}");
    assert_eq!(said("ls -d d"), "d\n");
    assert_eq!(
        within(folder.path(), "ls none").stderr,
        "ls: none: No such file or directory\n"
    );
    assert_eq!(within(folder.path(), "ls --color").status, 2);
}

#[test]
fn files_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let said = |script: &str| within(folder.path(), script).stdout;
    said("mkdir -p a/b; touch a/x.txt a/b/Y.txt");
    assert_eq!(said("find"), ".\n./a\n./a/b\n./a/b/Y.txt\n./a/x.txt\n");
    assert_eq!(said("find a -name '*.txt' -maxdepth 1"), "a/x.txt\n");
    assert_eq!(said("find a -iname 'y*' -type f"), "a/b/Y.txt\n");
    assert_eq!(said("find a -type d"), "a\na/b\n");
    assert_eq!(within(folder.path(), "find a -exec rm").status, 2);
}

#[test]
fn files_are_made_copied_moved_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let said = |script: &str| within(folder.path(), script);
    assert_eq!(
        said("mkdir -p a/b; echo x >a/b/f; cp -r a c; cat c/b/f").stdout,
        "x\n"
    );
    assert_eq!(said("cp a/b/f g; mv g h; cat h; test -e g").status, 1);
    assert_eq!(said("mkdir d; mv h d; cp a/b/f d/i; ls d").stdout, "h\ni\n");
    assert_eq!(said("cp d/h d/h").stderr, "cp: d/h: is the same file\n");
    assert_eq!(said("cat d/h").stdout, "x\n");
    assert_eq!(
        said("cp -r a a/b/again").stderr,
        "cp: a: cannot be put into itself\n"
    );
    assert!(said("rm a").stderr.contains("-r removes it"));
    assert_eq!(said("rm -rf a c d none; ls").stdout, "");
    assert_eq!(
        said("mkdir e; rmdir e; mkdir e && touch e/f; rmdir e").status,
        1
    );
    assert_eq!(said("touch -c none; test -e none").status, 1);
}

#[test]
fn texts_are_cut_and_counted() {
    let lines = "printf '1\\n2\\n3\\n4\\n5\\n' | ";
    for (command, said) in [
        ("head -n 2", "1\n2\n"),
        ("head -2", "1\n2\n"),
        ("head -c 3", "1\n2"),
        ("tail -n 2", "4\n5\n"),
        ("tail -1", "5\n"),
        ("tail -n +4", "4\n5\n"),
        ("tail -c 2", "5\n"),
        ("wc -l", "5\n"),
        ("wc", "5 5 10\n"),
    ] {
        assert_eq!(says(&format!("{lines}{command}")), said, "{command}");
    }
    assert_eq!(sh("tail -f /dev/null | cat").status, 0);
    assert!(
        sh("tail -f /dev/null | cat")
            .stderr
            .contains("would never end")
    );
}

#[test]
fn lines_are_searched() {
    let lines = "printf 'one\\nTwo\\na+b\\nfour\\n' | ";
    for (command, said, status) in [
        ("grep o", "one\nTwo\nfour\n", 0),
        ("grep -i two", "Two\n", 0),
        ("grep -v o", "a+b\n", 0),
        ("grep -n 'a+b'", "3:a+b\n", 0),
        ("grep -F 'a+b'", "a+b\n", 0),
        ("grep -E '^(one|four)$'", "one\nfour\n", 0),
        ("grep '^\\(one\\|four\\)$'", "one\nfour\n", 0),
        ("grep -c o", "3\n", 0),
        ("grep -q zero", "", 1),
        ("grep -x on", "", 1),
        ("grep -o 'o[nu]'", "on\nou\n", 0),
    ] {
        let outcome = sh(&format!("{lines}{command}"));
        assert_eq!(
            (outcome.stdout.as_str(), outcome.status),
            (said, status),
            "{command}"
        );
    }
    assert_eq!(sh("grep -E '('").status, 2);
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("d")).unwrap();
    fs::write(folder.path().join("d/f"), "x\n").unwrap();
    assert_eq!(within(folder.path(), "grep -r x d").stdout, "d/f:x\n");
    assert_eq!(within(folder.path(), "grep -l x d/f none").status, 2);
}

#[test]
fn expressions() {
    for (expression, status) in [
        ("-d /", 0),
        ("-f /", 1),
        ("-e /none", 1),
        ("-r /etc/passwd", 0),
        ("-s /dev/null", 1),
        ("-z ''", 0),
        ("-n ''", 1),
        ("a = a", 0),
        ("a != a", 1),
        ("2 -lt 10", 0),
        ("2 -gt 10", 1),
        ("! a = b", 0),
        ("a = a -a b = c", 1),
        ("a = b -o b = b", 0),
        ("'(' a = b ')' -o x", 0),
        ("'!' = '!'", 0),
        ("x -eq 1", 2),
        ("-f", 0),
        ("''", 1),
        ("a b", 2),
        ("-L /proc/self", 0),
        ("-c /dev/null", 0),
    ] {
        let outcome = sh(&format!("test {expression}"));
        assert_eq!(outcome.status, status, "{expression}: {}", outcome.stderr);
        assert_eq!(
            sh(&format!("[ {expression} ]")).status,
            status,
            "{expression}"
        );
    }
    assert_eq!(sh("[ a = a").stderr, "[: the closing ] is missing\n");
}

#[test]
fn the_environment() {
    assert_eq!(says("printenv NAME; env -i A=1 env"), "value\nA=1\n");
    assert_eq!(says("export B=2; C=3; env | grep -c '^[BC]='"), "1\n");
    assert_eq!(says("unset NAME; echo [$NAME]"), "[]\n");
    assert_eq!(sh("printenv NONE").status, 1);
}

#[test]
fn the_system() {
    let me = std::process::id().to_string();
    assert!(
        says("ps aux")
            .lines()
            .any(|line| line.trim_start().starts_with(&me))
    );
    assert!(says("df -h /").contains(" /\n"));
    assert!(says("id").starts_with("uid="));
    assert!(says("uname -sm").starts_with("Linux "));
    assert_eq!(says("hostname"), says("uname -n"));
    assert!(says("date +%Y").trim().parse::<u32>().unwrap() >= 2024);
    assert_eq!(
        says("stat -c '%s %F' /dev/null"),
        "0 character special file\n"
    );
    assert_eq!(says(&format!("kill -0 {me}")), "");
    assert_eq!(sh("kill -9 none").status, 2);
    assert_eq!(sh("kill -9 -1").status, 2, "never everything at once");
    assert_eq!(sh("sleep x").status, 2);
    assert_eq!(says("sleep 0.01"), "");
    assert!(says("help").contains("  ls "));
}

#[test]
fn disk_use_counts_a_file_once() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), vec![1; 8192]).unwrap();
    fs::hard_link(folder.path().join("a"), folder.path().join("b")).unwrap();
    let one = within(folder.path(), "du -s a").stdout;
    let both = within(folder.path(), "du -a").stdout;
    let kib = |text: &str| text.split('\t').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(both.lines().count(), 2, "{both}");
    assert!(kib(&one) >= 8, "{one}");
}

#[test]
fn a_port_is_looked_at() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(sh(&format!("nc -z 127.0.0.1 {port}")).status, 0);
    drop(listener);
    assert_eq!(sh(&format!("nc -z -w 1 127.0.0.1 {port}")).status, 1);
    assert_eq!(sh("nc 127.0.0.1 1").status, 2);
}

use proptest::prelude::*;

use super::super::{Part, SyntaxError};
use super::*;

fn error(script: &str) -> SyntaxError {
    parse(script).expect_err(script)
}

#[test]
fn what_people_write_is_understood() {
    for script in [
        "",
        "# nothing",
        "test -f /tmp/ok && cat /x",
        "! false || { echo a; echo b; } >/tmp/x 2>&1",
        "if [ -f a ]; then echo yes; elif true; then :; else echo no; fi | wc -l",
        "while read -r line; do echo \"$line\"; done < /etc/hosts",
        "for f in a *.b \"c d\"; do\n  cat $f\ndone",
        "X=1 Y='two words' env | grep -c '^[XY]='",
        "[ \"$(cat /tmp/ready)\" = ok ]",
        "echo ${HOME:-/root} ${A-b} ${A:+${B:-c d}} $? $$ $1",
        "(cd /tmp; ls) # a comment",
        "echo a#b \\\n c",
        "a ||\n b",
        "echo if then fi",
    ] {
        assert_eq!(parse(script).map(drop), Ok(()), "{script}");
    }
}

#[test]
fn quotes_make_one_word_of_many() {
    let list = parse(r#"echo 'a b'"c $X"\ "#).unwrap();
    let Kind::Simple { words, .. } = &list.0[0].first.commands[0].kind else {
        panic!("{list:?}")
    };
    let [_, word] = words.as_slice() else {
        panic!("{words:?}")
    };
    let variables = word
        .0
        .iter()
        .filter(|part| matches!(part, Part::Variable { quoted: true, .. }));
    assert_eq!(variables.count(), 1);
    assert!(
        word.0
            .iter()
            .all(|part| !matches!(part, Part::Text { quoted: false, .. }))
    );
}

#[test]
fn what_ends_too_early_asks_for_more() {
    for script in [
        "if true",
        "if true; then",
        "while true; do echo",
        "echo 'a",
        "echo \"a",
        "echo $(ls",
        "a &&",
        "a |",
        "( a",
        "{ a",
        "echo ${a",
        "for x in a b",
        "cat <",
        "echo \\",
    ] {
        assert!(
            matches!(error(script), SyntaxError::Incomplete(_)),
            "{script}: {}",
            error(script)
        );
    }
}

#[test]
fn what_is_missing_is_refused_by_name() {
    let refused = |script: &str| error(script).to_string();
    assert_eq!(
        refused("sleep 9 &"),
        "& (a job in the background) is not in this small shell"
    );
    assert_eq!(
        refused("case x in x) ;; esac"),
        "case is not in this small shell"
    );
    assert_eq!(
        refused("echo $((1+1))"),
        "arithmetic is not in this small shell"
    );
    assert_eq!(
        refused("f() { ls; }"),
        "a function is not in this small shell"
    );
    assert_eq!(
        refused("cat <<E"),
        "<< (a here-document) is not in this small shell"
    );
    assert_eq!(
        refused("echo `ls`"),
        "` (write $(…)) is not in this small shell"
    );
}

#[test]
fn what_is_out_of_place_is_named() {
    assert_eq!(error("fi").to_string(), "unexpected fi");
    assert_eq!(error("a ; ; b").to_string(), "unexpected ;");
    assert_eq!(error("a )").to_string(), "unexpected )");
    assert_eq!(error("if ; then a; fi").to_string(), "unexpected ;");
    assert_eq!(error("| a").to_string(), "unexpected |");
}

#[test]
fn depth_and_length_are_bounded() {
    assert!(matches!(error(&"(".repeat(10_000)), SyntaxError::Deep(_)));
    assert!(matches!(
        error(&"${a:-".repeat(10_000)),
        SyntaxError::Deep(_)
    ));
    assert!(matches!(
        error(&"x".repeat(SCRIPT_LIMIT + 1)),
        SyntaxError::Long(_)
    ));
}

proptest! {
    #[test]
    fn any_text_is_a_script_or_an_error(script in any::<String>()) {
        let _ = parse(&script);
    }

    #[test]
    fn so_is_anything_made_of_what_means_something(
        pieces in prop::collection::vec(
            prop::sample::select(vec![
                "if", "then", "else", "fi", "while", "do", "done", "for", "in", "x", " ", "\n", ";", "&", "|", "(",
                ")", "{", "}", "$", "\"", "'", "\\", "<", ">", "2", "=", "!", "#", "*", "-", ":", "é",
            ]),
            0..60,
        )
    ) {
        let _ = parse(&pieces.concat());
    }
}

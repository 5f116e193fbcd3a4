//! What a guest gets of the memory that it asks for.

use crate::{GROW, Guests, lossy};

#[test]
fn memory_grows_below_the_limit_only() {
    let output = Guests::new().run(GROW, &["--memory", "67108864"], &[]);
    // 64 MiB less 4 for the worker.
    assert_eq!(output.status.code(), Some(59));
    // A memory that begins with nothing, and asks for 1 GiB at once.
    let greedy = GROW
        .replace("\"memory\") 1)", "\"memory\") 0)")
        .replace("(i32.const 16)", "(i32.const 16384)");
    let output = Guests::new().run(&greedy, &["--memory", "67108864"], &[]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_table_that_cannot_grow_gives_no_memory_back() {
    // Between any two growths of its memory it asks for a table of 2^64 elements.
    let tries = "(drop (table.grow $table (ref.null func) (i64.const -1)))
                    (local.set $got";
    let guest = GROW.replace("(local.set $got", tries).replace(
        "(memory (export",
        "(table $table i64 1 funcref) (memory (export",
    );
    let output = Guests::new().run(&guest, &["--memory", "67108864"], &[]);
    assert_eq!(output.status.code(), Some(59), "{}", lossy(&output.stderr));
}

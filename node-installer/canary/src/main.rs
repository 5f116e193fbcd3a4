//! What the operator runs on a node before it calls the node ready: one line, then a clean end.

fn main() {
    println!("slipway canary ok");
}

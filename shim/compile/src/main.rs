//! slipway-compile
fn main() {}

//! slipway-operator
fn main() {}

//! slipway-worker
fn main() {}

//! slipway-node-installer
fn main() {}

//! slipway-node-installer

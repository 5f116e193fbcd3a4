//! slipway-shim-wire

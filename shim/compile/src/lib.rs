//! slipway-shim-compile

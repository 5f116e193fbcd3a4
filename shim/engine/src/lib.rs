//! slipway-shim-engine

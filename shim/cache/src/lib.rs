//! slipway-shim-cache

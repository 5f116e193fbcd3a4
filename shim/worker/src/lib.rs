//! slipway-shim-worker

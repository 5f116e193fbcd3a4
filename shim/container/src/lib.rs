//! slipway-shim-container

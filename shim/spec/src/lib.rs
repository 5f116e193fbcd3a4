//! slipway-shim-spec

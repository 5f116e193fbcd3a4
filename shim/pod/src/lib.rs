//! slipway-shim-pod

//! slipway-crds

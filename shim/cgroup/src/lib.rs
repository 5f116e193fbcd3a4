//! slipway-shim-cgroup

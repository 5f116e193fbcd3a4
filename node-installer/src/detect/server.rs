//! Which program serves the kubelet.

use std::fmt;
use std::path::Path;

/// A server of CRI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// containerd.
    Containerd,
    /// CRI-O.
    CriO,
}

impl Server {
    /// Told apart by CRI-O's folder of drop-ins, which containerd has not.
    pub fn of(drop_ins: Option<&Path>) -> Self {
        match drop_ins {
            None => Self::Containerd,
            Some(_) => Self::CriO,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Containerd => "containerd",
            Self::CriO => "CRI-O",
        })
    }
}

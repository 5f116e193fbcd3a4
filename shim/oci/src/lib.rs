//! The fields of an OCI runtime spec's `config.json` that the shim reads or has to refuse.
//!
//! Only those: a field that is not here is ignored, as the specification has it ("Extensibility", `config.md`).
//! What is refused whatever it holds is kept as [`IgnoredAny`](serde::de::IgnoredAny). A crate with all of the
//! specification is several times the code in a process of which every pod has one (docs/adr/0002).
//!
//! Go writes an empty list as `null` or leaves it out, so lists and maps are options here.

mod capability;
mod linux;
mod process;
mod resources;
mod seccomp;
mod spec;

pub use capability::Capability;
pub use linux::{Device, DeviceType, IdMapping, Linux, Namespace, NamespaceType};
pub use process::{Capabilities, Process, Rlimit, RlimitType, User};
pub use resources::{
    LinuxCpu, LinuxDeviceCgroup, LinuxHugepageLimit, LinuxMemory, LinuxPids, LinuxResources,
};
pub use seccomp::{
    Seccomp, SeccompAction, SeccompArg, SeccompFlag, SeccompOperator, SeccompSyscall,
};
pub use spec::{Hooks, Mount, Root, Spec};

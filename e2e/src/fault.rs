//! Breaking a node's containerd configuration, and mending it even when the test that broke it panics or was
//! killed.

use anyhow::Result;

use crate::node::Inside;

/// The file both the Debian package and kind configure containerd by.
pub const CONFIG: &str = "/etc/containerd/config.toml";

/// Puts back whatever a fault changed. Kept on the node's disk, so that the next run can mend what a killed
/// one broke; does nothing on a sound node.
const MEND: &str = r"
if grep -q ' /etc/containerd ' /proc/self/mounts; then umount /etc/containerd; fi
kept=/var/lib/slipway-e2e/config.toml
if [ -e $kept ]; then
  cp --preserve=all $kept /etc/containerd/config.toml.e2e
  mv /etc/containerd/config.toml.e2e /etc/containerd/config.toml
  rm -r /var/lib/slipway-e2e
fi
";

/// A fault that lasts until this is dropped.
#[derive(Debug)]
pub struct Fault {
    inside: Inside,
}

impl Fault {
    /// The configuration is no TOML any more. The running containerd read it before and goes on.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn unparsable(inside: &Inside) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        let script = format!(
            "install -d /var/lib/slipway-e2e\n\
             cp --preserve=all {CONFIG} /var/lib/slipway-e2e/config.toml\n\
             printf '\\n[plugins.\"broken\\n' >> {CONFIG}\n"
        );
        inside.bash(&script).await?;
        Ok(fault)
    }

    /// The configuration and its directory are on a read-only file system.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn read_only(inside: &Inside) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        let script = "mount --bind /etc/containerd /etc/containerd\n\
                      mount -o remount,bind,ro /etc/containerd\n";
        inside.bash(script).await?;
        Ok(fault)
    }
}

// === impl Fault ===

impl Drop for Fault {
    fn drop(&mut self) {
        if let Err(error) = self.inside.bash_now(MEND) {
            // A test that ended already cannot fail any more; the next one mends first and says why it cannot.
            #[allow(clippy::print_stderr, reason = "the only way left to say it")]
            {
                eprintln!("the fault stays: {error:#}");
            }
        }
    }
}

/// Puts back what the fault of a killed run changed.
///
/// # Errors
/// When the node cannot be entered.
pub async fn mend(inside: &Inside) -> Result<()> {
    inside.bash(MEND).await.map(|_| ())
}

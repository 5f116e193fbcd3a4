//! Changing a node's containerd behind the product's back, and mending it even when the test that did so panics or was
//! killed.

use anyhow::Result;

use crate::node::Inside;

/// The file both the Debian package and kind configure containerd by.
pub const CONFIG: &str = "/etc/containerd/config.toml";

/// What containerd says when [`Fault::no_start`] keeps it from starting.
pub const NO_START: &str = "the cluster tests let it not start";

/// Where [`Fault::lost`] keeps it.
pub const COPY: &str = "/run/slipway-e2e-config.toml";

/// Puts back whatever a fault changed. Kept on the node's disk, so that the next run can mend what a killed
/// one broke; does nothing on a sound node.
const MEND: &str = r#"
boot=/proc/sys/kernel/random/boot_id
if grep -q " $boot " /proc/self/mounts; then
  while grep -q " $boot " /proc/self/mounts; do umount $boot; done
  rm -f /run/slipway-e2e-boot-id
  systemctl restart kubelet
fi
copy=/run/slipway-e2e-config.toml
if [ -e $copy ]; then
  [ -e /etc/containerd/config.toml ] || cp --preserve=all $copy /etc/containerd/config.toml
  rm $copy
fi
if grep -q ' /etc/containerd ' /proc/self/mounts; then umount /etc/containerd; fi
restart=
kept=/var/lib/slipway-e2e/config.toml
if [ -e $kept ]; then
  cp --preserve=all $kept /etc/containerd/config.toml.e2e
  mv /etc/containerd/config.toml.e2e /etc/containerd/config.toml
  if [ -e /var/lib/slipway-e2e/restart ]; then restart=yes; fi
  rm -r /var/lib/slipway-e2e
fi
drop_in=/run/systemd/system/containerd.service.d/99-e2e.conf
if [ -e $drop_in ]; then
  rm $drop_in
  rmdir --ignore-fail-on-non-empty ${drop_in%/*}
  systemctl daemon-reload
  systemctl is-active -q containerd || restart=yes
fi
if [ -n "$restart" ]; then systemctl reset-failed containerd; systemctl restart containerd; fi
"#;

/// When containerd does not start: by whether a word stands in its configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoStart<'w> {
    /// With the word.
    With(&'w str),
    /// Without it.
    Without(&'w str),
}

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

    /// The configuration is going to be lost, by whatever the test does next. If nobody has put it back at the end, this
    /// does.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn lost(inside: &Inside) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        inside
            .bash(&format!("cp --preserve=all {CONFIG} {COPY}"))
            .await?;
        Ok(fault)
    }

    /// The kernel tells of another boot, and the kubelet has been started since: what is left of a reboot, on a node that
    /// is a container and would not survive one.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn another_boot(inside: &Inside) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        let script = "boot=/run/slipway-e2e-boot-id\n\
                      cat /proc/sys/kernel/random/uuid >$boot\n\
                      mount --bind $boot /proc/sys/kernel/random/boot_id\n\
                      systemctl restart kubelet\n";
        inside.bash(script).await?;
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

    /// containerd does not start while its configuration is so. The running one goes on, and judges every
    /// configuration as before.
    ///
    /// # Errors
    /// When the node cannot be entered.
    pub async fn no_start(inside: &Inside, when: NoStart<'_>) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        let (not, word) = match when {
            NoStart::With(word) => ("", word),
            NoStart::Without(word) => ("! ", word),
        };
        // As containerd's own main function ends: its name, a colon, the reason.
        let script = format!(
            "install -d /run/systemd/system/containerd.service.d\n\
             cat >/run/systemd/system/containerd.service.d/99-e2e.conf <<'END'\n\
             [Service]\n\
             ExecStartPre=/bin/bash -c 'if {not}grep -rqs \"{word}\" /etc/containerd; then echo \"containerd: {NO_START}\" >&2; exit 1; fi'\n\
             END\n\
             systemctl daemon-reload\n"
        );
        inside.bash(&script).await?;
        Ok(fault)
    }

    /// A handler of the administrator's own, served by the node's `containerd-shim-runc-v2`. containerd is restarted,
    /// here and when it is mended.
    ///
    /// # Errors
    /// When the node cannot be entered, or containerd does not start again.
    pub async fn handler(inside: &Inside, name: &str) -> Result<Self> {
        let fault = Self {
            inside: inside.clone(),
        };
        let script = format!(
            "install -d /var/lib/slipway-e2e\n\
             touch /var/lib/slipway-e2e/restart\n\
             cp --preserve=all {CONFIG} /var/lib/slipway-e2e/config.toml\n\
             cri=io.containerd.grpc.v1.cri\n\
             if grep -q '^version = 3' {CONFIG}; then cri=io.containerd.cri.v1.runtime; fi\n\
             cat >>{CONFIG} <<END\n\
             [plugins.\"$cri\".containerd.runtimes.{name}]\n\
             runtime_type = \"io.containerd.runc.v2\"\n\
             [plugins.\"$cri\".containerd.runtimes.{name}.options]\n\
             SystemdCgroup = true\n\
             END\n\
             systemctl restart containerd\n"
        );
        inside.bash(&script).await?;
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

//! Pods that run through a handler: without it containerd could not restart their containers.

use super::settle::Found;
use crate::cri::messages::PodSandbox;
use crate::cri::{Cri, CriError};
use crate::detect::server::Server;
use crate::failure::Failure;

/// Pods named in a sentence; more would not be read.
const NAMED_PODS: usize = 3;

/// Their namespaces and names.
///
/// # Errors
/// A refusal when CRI cannot be asked.
pub(super) fn pods(found: &Found<'_>, handlers: &[String]) -> Result<Vec<String>, Failure> {
    let session = found.session;
    let cri = Cri::new(&session.runtime, &session.root, &found.daemon.socket);
    let sandboxes = cri.sandboxes().map_err(|error| Failure::refused(&error))?;
    let is_crio = found.daemon.server() == Server::CriO;
    let runs = |sandbox: &PodSandbox| {
        if sandbox.state != 0 {
            return Ok(false);
        }
        // Gone since it was listed, it is no pod that runs.
        let own = is_crio.then(|| cri.sandbox_handler(&sandbox.id));
        Ok(match own {
            None => handlers.contains(&sandbox.runtime_handler),
            Some(Ok(handler)) => handler.is_some_and(|handler| handlers.contains(&handler)),
            Some(Err(CriError::Status { code: 5, .. })) => false,
            Some(Err(error)) => return Err(Failure::refused(&error)),
        })
    };
    let mut pods = Vec::new();
    for sandbox in sandboxes {
        if runs(&sandbox)? {
            pods.push(match sandbox.metadata {
                Some(pod) => format!("{}/{}", pod.namespace, pod.name),
                None => sandbox.id,
            });
        }
    }
    Ok(pods)
}

/// The first of them, for people.
pub(super) fn named(pods: &[String]) -> String {
    let named: Vec<_> = pods.iter().take(NAMED_PODS).cloned().collect();
    let rest = match pods.len().saturating_sub(NAMED_PODS) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{rest}", named.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_few_are_named() {
        let pods: Vec<_> = (1..=5).map(|n| format!("shop/web-{n}")).collect();
        assert_eq!(named(&pods[..1]), "shop/web-1");
        assert_eq!(
            named(&pods),
            "shop/web-1, shop/web-2, shop/web-3 and 2 more"
        );
    }
}

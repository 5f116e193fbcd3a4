//! Values that are refused, each with the path of the value and what is wrong with it.

use slipway_e2e::helm;

async fn refused(set: &str, path: &str, why: &str) {
    match helm::template(&["--set", set]).await {
        Ok(_) => panic!("{set} was accepted"),
        Err(error) => {
            let text = error.to_string();
            assert!(text.contains(path) && text.contains(why), "{set}: {text}");
        }
    }
}

#[tokio::test]
async fn misspelt_names() {
    refused(
        "kwasmOperator.autoprovision=true",
        "/kwasmOperator",
        "'autoprovision' not allowed",
    )
    .await;
    refused("replicas=2", "at ''", "'replicas' not allowed").await;
    refused(
        "installer.image.name=x",
        "/installer/image",
        "'name' not allowed",
    )
    .await;
}

#[tokio::test]
async fn wrong_types_and_ranges() {
    refused("replicaCount=two", "/replicaCount", "want integer").await;
    refused(
        "installer.maxConcurrent=0",
        "/installer/maxConcurrent",
        "minimum",
    )
    .await;
    refused(
        "kwasmOperator.autoProvision=yes",
        "/kwasmOperator/autoProvision",
        "one of",
    )
    .await;
    refused("image.pullPolicy=Sometimes", "/image/pullPolicy", "one of").await;
    refused("logFormat=xml", "/logFormat", "one of").await;
}

#[tokio::test]
async fn values_kubernetes_or_containerd_would_refuse_later() {
    refused("handlers={Wasm_Time}", "/handlers/0", "does not match").await;
    refused("handlers={a,a}", "/handlers", "equal").await;
    refused(
        "handlers[0]=a,handlers[1].name=a",
        "handlers",
        "named twice",
    )
    .await;
    refused("handlers[0].names=a", "/handlers/0", "oneOf").await;
    refused("shim.rollout.type=Canary", "/shim/rollout/type", "one of").await;
    refused("shim.leftovers=Burn", "/shim/leftovers", "one of").await;
    refused("image.digest=sha256:12", "/image/digest", "does not match").await;
    refused(
        "installer.root=opt/slipway",
        "/installer/root",
        "does not match",
    )
    .await;
    refused(
        "image.registry=https://mirror.test",
        "/image/registry",
        "does not match",
    )
    .await;
}

#[tokio::test]
async fn a_namespace_that_helm_makes_itself() {
    let set = "installer.createNamespace=true";
    refused(set, "installer.createNamespace", "name another").await;
    refused(
        "installer.createNamespace=true,installer.namespace=kwasm",
        "installer.createNamespace",
        "name another",
    )
    .await;
    refused(
        "installer.namespace=A_B",
        "/installer/namespace",
        "does not match",
    )
    .await;
}

#[tokio::test]
async fn what_installer_pods_could_not_have() {
    refused(
        "priorityClass.value=2000000000",
        "/priorityClass/value",
        "maximum",
    )
    .await;
    refused(
        "priorityClass.createe=true",
        "/priorityClass",
        "'createe' not allowed",
    )
    .await;
    refused(
        "installer.tolerations[0].keys=a",
        "/installer/tolerations/0",
        "'keys' not allowed",
    )
    .await;
    refused(
        "installer.tolerations[0].operator=Is",
        "/installer/tolerations/0/operator",
        "one of",
    )
    .await;
    refused(
        "installer.resources.limit.cpu=1",
        "/installer/resources",
        "'limit' not allowed",
    )
    .await;
    refused(
        "installer.imagePullSecrets={a}",
        "/installer/imagePullSecrets/0",
        "want object",
    )
    .await;
}

#[tokio::test]
async fn a_service_account_of_nobody() {
    refused(
        "serviceAccount.create=false",
        "serviceAccount.name",
        "name an existing",
    )
    .await;
}

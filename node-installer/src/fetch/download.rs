//! A download into a file: redirects, tries and bounds.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, HOST, HeaderValue, LOCATION, PROXY_AUTHORIZATION, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use sha2::{Digest as _, Sha256};

use super::connection::{ConnectError, Connection, Dialer};
use super::{FetchError, Order, io_error};
use crate::digest;
use crate::failure::{Reason, chain};

/// As many as curl follows by default is 50; a release of a forge takes two.
const MAX_REDIRECTS: usize = 5;

/// How long a server may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// The longest wait before another try.
const MAX_DELAY: Duration = Duration::from_secs(30);

/// Why nothing was downloaded.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The server says no.
    #[error("{url} answers {status}")]
    Status {
        /// The address, after redirects.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// It sends us round in circles, or nowhere.
    #[error("{url} redirects {why}")]
    Redirect {
        /// The address.
        url: String,
        /// In words.
        why: String,
    },
    /// More than is wanted.
    #[error("{url} has more than {limit} bytes")]
    TooLarge {
        /// The address.
        url: String,
        /// The bound.
        limit: u64,
    },
    /// It stopped.
    #[error("{url} was silent for {} seconds", SILENCE.as_secs())]
    Silent {
        /// The address.
        url: String,
    },
    /// It broke off.
    #[error("the download of {url} broke off")]
    Broken {
        /// The address.
        url: String,
        /// The cause.
        #[source]
        source: hyper::Error,
    },
}

impl DownloadError {
    /// Whether another try may end otherwise.
    fn is_passing(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_passing(),
            Self::Status { status, .. } => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Redirect { .. } | Self::TooLarge { .. } => false,
        }
    }
}

impl Reason for DownloadError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Connect(error) => error.reason(),
            Self::Status { status, .. } if *status == StatusCode::NOT_FOUND => "DownloadNotFound",
            Self::TooLarge { .. } => "DownloadTooLarge",
            _ => "DownloadFailed",
        }
    }
}

/// Downloads into a file and returns the digest of what came. What may pass is tried again.
pub(super) async fn to_file(
    dialer: &Dialer,
    order: &Order,
    file: &Path,
) -> Result<String, FetchError> {
    let mut delay = order.delay;
    let mut left = order.retries;
    loop {
        match once(dialer, order, file).await {
            Err(FetchError::Download(error)) if left > 0 && error.is_passing() => {
                left -= 1;
                let why = chain(&error);
                tracing::warn!("{why}: trying again in {} s", delay.as_secs_f32());
                tokio::time::sleep(delay).await;
                delay = (delay * 2).min(MAX_DELAY);
            }
            result => return result,
        }
    }
}

async fn once(dialer: &Dialer, order: &Order, path: &Path) -> Result<String, FetchError> {
    let (url, mut answer) = follow(dialer, &order.url).await?;
    let too_large = || DownloadError::TooLarge {
        url: url.clone(),
        limit: order.max_bytes,
    };
    let announced = hyper::body::Body::size_hint(answer.body()).exact();
    if announced.is_some_and(|bytes| bytes > order.max_bytes) {
        return Err(too_large().into());
    }
    let mut file = File::create(path).map_err(io_error("create", path))?;
    let mut hasher = Sha256::new();
    let mut taken = 0_u64;
    loop {
        let frame = tokio::time::timeout(SILENCE, answer.body_mut().frame()).await;
        let frame = frame.map_err(|_| DownloadError::Silent { url: url.clone() })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|source| DownloadError::Broken {
            url: url.clone(),
            source,
        })?;
        let Some(bytes) = frame.data_ref() else {
            continue;
        };
        taken += bytes.len() as u64;
        if taken > order.max_bytes {
            return Err(too_large().into());
        }
        hasher.update(bytes);
        file.write_all(bytes).map_err(io_error("write", path))?;
    }
    file.sync_all().map_err(io_error("write", path))?;
    Ok(digest::hex(&hasher.finalize()))
}

/// The answer at the end of all redirects, and the address it comes from.
async fn follow(dialer: &Dialer, url: &str) -> Result<(String, Response<Incoming>), DownloadError> {
    let mut uri = dialer.check(url)?;
    for _ in 0..=MAX_REDIRECTS {
        let answer = ask(dialer, &uri).await?;
        let status = answer.status();
        if status == StatusCode::OK {
            return Ok((uri.to_string(), answer));
        }
        if !status.is_redirection() {
            let url = uri.to_string();
            return Err(DownloadError::Status { url, status });
        }
        let next = answer
            .headers()
            .get(LOCATION)
            .and_then(|to| to.to_str().ok());
        let next = next.and_then(|to| resolve(&uri, to));
        let next = next.ok_or_else(|| DownloadError::Redirect {
            url: uri.to_string(),
            why: "to nowhere".to_owned(),
        })?;
        let secure = uri.scheme_str() == Some("https");
        uri = dialer.check(&next)?;
        if secure && uri.scheme_str() != Some("https") {
            return Err(DownloadError::Redirect {
                url: url.to_owned(),
                why: format!("to plain HTTP ({next})"),
            });
        }
    }
    Err(DownloadError::Redirect {
        url: url.to_owned(),
        why: format!("more than {MAX_REDIRECTS} times"),
    })
}

async fn ask(dialer: &Dialer, uri: &Uri) -> Result<Response<Incoming>, DownloadError> {
    let Connection {
        mut sender,
        target,
        proxy_authorization,
    } = dialer.connect(uri).await?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = target;
    let headers = request.headers_mut();
    let host = uri
        .authority()
        .and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    headers.extend(host.map(|host| (HOST, host)));
    headers.extend(proxy_authorization.map(|value| (PROXY_AUTHORIZATION, value)));
    headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
    let agent = concat!("slipway-node-installer/", env!("CARGO_PKG_VERSION"));
    headers.insert(USER_AGENT, HeaderValue::from_static(agent));
    match tokio::time::timeout(SILENCE, sender.send_request(request)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(DownloadError::Broken {
            url: uri.to_string(),
            source,
        }),
        Err(_) => Err(DownloadError::Silent {
            url: uri.to_string(),
        }),
    }
}

/// A redirect's target: an address, or a path on the same host. Paths relative to the last are not: no server of
/// releases sends them.
fn resolve(from: &Uri, to: &str) -> Option<String> {
    if to.starts_with("//") {
        return Some(format!("{}:{to}", from.scheme_str()?));
    }
    if to.starts_with('/') {
        return Some(format!(
            "{}://{}{to}",
            from.scheme_str()?,
            from.authority()?
        ));
    }
    to.contains("://").then(|| to.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_is_an_address_or_a_path() {
        let from: Uri = "https://example.org:8443/a/b?c".parse().unwrap();
        let to = |to: &str| resolve(&from, to);
        assert_eq!(to("/x?y").as_deref(), Some("https://example.org:8443/x?y"));
        assert_eq!(to("//other.org/x").as_deref(), Some("https://other.org/x"));
        assert_eq!(
            to("http://other.org/x").as_deref(),
            Some("http://other.org/x")
        );
        assert_eq!(to("x"), None);
    }
}

//! Whose certificates are believed: those of the container, or those of web browsers where it has none.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use wasmtime_wasi_http::Error;

use crate::ending::say;

/// HTTP/2's name in the handshake (RFC 9113, section 3.2).
pub(super) const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// Where images have the certificates of authorities: Debian's and Alpine's place, then Red Hat's.
const FILES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The longest file that is read; distributions' have a quarter of a megabyte.
const MAX_BYTES: u64 = 4 << 20;

/// What TLS is configured with, once it is needed.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// The file that the container names.
    named: Option<PathBuf>,
    config: OnceLock<Arc<ClientConfig>>,
}

impl Authorities {
    /// With the value of `SSL_CERT_FILE`.
    pub(super) fn new(named: Option<&str>) -> Self {
        Self {
            named: named.filter(|path| !path.is_empty()).map(PathBuf::from),
            config: OnceLock::new(),
        }
    }

    pub(super) fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let roots = self.roots().map_err(|sentence| {
            say(&sentence);
            Error::ConfigurationError
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::InternalError(Some(error.to_string())))?;
        let mut config = config.with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![HTTP2.to_vec(), HTTP1.to_vec()];
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }

    fn roots(&self) -> Result<RootCertStore, String> {
        if let Some(path) = &self.named {
            return match read(path) {
                Ok(roots) if !roots.is_empty() => Ok(roots),
                Ok(_) => Err(format!(
                    "SSL_CERT_FILE: {}: holds no certificate",
                    path.display()
                )),
                Err(error) => Err(format!("SSL_CERT_FILE: {}: {error}", path.display())),
            };
        }
        let of_image = FILES.iter().find_map(|path| read(Path::new(path)).ok());
        let of_image = of_image.filter(|roots| !roots.is_empty());
        Ok(of_image.unwrap_or_else(|| RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        }))
    }
}

fn read(path: &Path) -> io::Result<RootCertStore> {
    let mut pem = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut pem)?;
    let mut roots = RootCertStore::empty();
    // A bundle may hold one that is too old or too odd; the others count.
    let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
    roots.add_parsable_certificates(certificates);
    Ok(roots)
}

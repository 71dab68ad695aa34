//! TLS to systems that are not reached by HTTP.

use std::path::Path;
use std::sync::Arc;

use remit_file::Kind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::BackendError;

/// TLS with the CA of this file, or with the public ones.
pub(crate) fn client(ca_file: Option<&Path>) -> Result<ClientConfig, BackendError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(file) => {
            let pem = remit_file::plain(file, Kind::Certificates)
                .map_err(|source| BackendError::File { what: "the file of the CA", source })?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.bytes()).collect();
            let certificates = certificates.unwrap_or_default();
            let (added, _) = roots.add_parsable_certificates(certificates);
            if added == 0 {
                return Err(BackendError::setting("ca_file", "it holds no certificate of a CA, in PEM"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|why| BackendError::setting("tls", why.to_string()))?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

//! Whom an HTTP output believes, and who it says it is: certificates and keys, read once at the start.

use crate::error::Error;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

/// Where a system keeps its authorities together in one file; the first that is there counts.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The configuration's keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// `insecure`: whoever answers is believed.
    pub anybody: bool,
    /// `ca_cert` or `ca_bundle`: a file of authorities.
    pub file: Option<PathBuf>,
    /// `ca_path`: a directory of such files.
    pub directory: Option<PathBuf>,
    /// `client_cert` and `client_key`.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// The files, read.
pub(super) fn config(trust: &Trust) -> Result<TlsConfig, Error> {
    let builder = TlsConfig::builder().provider(TlsProvider::Rustls).disable_verification(trust.anybody);
    let builder = match trust.anybody {
        true => builder.root_certs(RootCerts::from(vec![])),
        false => builder.root_certs(RootCerts::from(authorities(trust)?)),
    };
    Ok(builder.client_cert(trust.client.as_ref().map(client).transpose()?).build())
}

fn authorities(trust: &Trust) -> Result<Vec<Certificate<'static>>, Error> {
    let given = match (&trust.file, &trust.directory) {
        (Some(file), _) => return certificates(file),
        (None, Some(directory)) => in_directory(directory)?,
        (None, None) => vec![],
    };
    if !given.is_empty() {
        return Ok(given);
    }
    match BUNDLES.iter().map(Path::new).find(|path| path.is_file()) {
        Some(bundle) => certificates(bundle),
        None => Err(Error::new(
            "http_output: no certificates of authorities were found on this machine: install ca-certificates, or name a \
             file with ca_cert",
        )),
    }
}

/// Every certificate of a file.
fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let bytes = fs::read(path).map_err(|e| Error::io("read the certificates", path, e))?;
    let all: Vec<_> = from_pem(&bytes);
    if all.is_empty() {
        return Err(Error::new(format!("http_output: {} holds no certificate (PEM)", path.display())));
    }
    Ok(all)
}

fn from_pem(bytes: &[u8]) -> Vec<Certificate<'static>> {
    let read = CertificateDer::pem_slice_iter(bytes).flatten();
    read.map(|der| Certificate::from_der(&der).to_owned()).collect()
}

/// The certificates of all files in a directory; what is none is passed over.
fn in_directory(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let entries = fs::read_dir(path).map_err(|e| Error::io("read the directory of certificates", path, e))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_file()).collect();
    files.sort();
    // the system's directory holds each twice and all of them once more: under their names, their hashes, in a bundle
    let mut all: Vec<Certificate<'static>> =
        files.iter().filter_map(|file| fs::read(file).ok()).flat_map(|bytes| from_pem(&bytes)).collect();
    all.sort_by(|a, b| a.der().cmp(b.der()));
    all.dedup_by(|a, b| a.der() == b.der());
    Ok(all)
}

/// Our own certificate and its key. That they belong together is found out here, and not by the first connection.
fn client((cert, key): &(PathBuf, PathBuf)) -> Result<ClientCert, Error> {
    let bytes = fs::read(cert).map_err(|e| Error::io("read the client's certificate", cert, e))?;
    let chain = from_pem(&bytes);
    let bytes = fs::read(key).map_err(|e| Error::io("read the client's key", key, e))?;
    let no_key = |e: String| Error::new(format!("http_output: {} holds no usable key (PEM): {e}", key.display()));
    let der = PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| no_key(e.to_string()))?;
    let own = chain.iter().map(|c| CertificateDer::from(c.der().to_vec())).collect();
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map(|builder| builder.with_root_certificates(RootCertStore::empty()))
        .and_then(|builder| builder.with_client_auth_cert(own, der))
        .map_err(|e| Error::new(format!("http_output: {} and {}: {e}", cert.display(), key.display())))?;
    let key = PrivateKey::from_pem(&bytes).map_err(|e| no_key(e.to_string()))?;
    Ok(ClientCert::new_with_certs(&chain, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_an_error_at_the_start() {
        let dir = std::env::temp_dir().join(format!("porthole-tls-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let empty = dir.join("empty.pem");
        fs::write(&empty, "nothing").unwrap();
        let with = |trust: Trust| config(&trust).err().map(|e| e.to_string()).unwrap_or_default();
        let missing = with(Trust { file: Some(dir.join("missing")), ..Trust::default() });
        assert!(missing.contains("missing: No such file"), "{missing}");
        assert!(with(Trust { file: Some(empty.clone()), ..Trust::default() }).contains("no certificate"));
        let client = Some((empty.clone(), empty));
        assert!(with(Trust { anybody: true, client, ..Trust::default() }).contains("no usable key"));
        assert_eq!(with(Trust { anybody: true, ..Trust::default() }), "");
        fs::remove_dir_all(dir).unwrap();
    }
}

//! TLS 1.3 between the members of a cluster, and towards one by a node that only knows the fingerprint of
//! its certificate authority.
//!
//! Both sides of a member connection show a certificate of the cluster's authority; the name in it is
//! the node's. Nothing is resumed, so a connection always proves the present certificates.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    AlertDescription, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore,
    ServerConfig, SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Application protocol of connections between members (RFC 7301).
pub const MEMBER_PROTOCOL: &[u8] = b"haven-member/1";
/// Application protocol of a node that wants to become a member.
pub const JOIN_PROTOCOL: &[u8] = b"haven-join/1";

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A certificate or key is malformed, or they do not belong together.
    #[error("cannot use this node's certificate and key")]
    Identity(#[source] rustls::Error),
    /// The certificate authority is malformed.
    #[error("cannot use the certificate of the cluster's authority")]
    Authority(#[source] rustls::Error),
    /// A verifier could not be built.
    #[error("cannot verify other members by the cluster's authority")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    /// A certificate could not be read.
    #[error("cannot read a certificate")]
    Certificate(#[source] webpki::Error),
}

/// A node's certificate, its key, and the authority both sides trust; all in DER, the key in PKCS #8.
pub struct TlsIdentity {
    /// This node's certificate.
    pub certificate: Vec<u8>,
    /// Its private key.
    pub key: Vec<u8>,
    /// The certificate of the cluster's authority.
    pub authority: Vec<u8>,
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsIdentity { .. }")
    }
}

impl TlsIdentity {
    /// The accepting side. A client without a certificate gets through the handshake: the caller must
    /// let it speak [`JOIN_PROTOCOL`] only.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()?), provider())
                .allow_unauthenticated()
                .build()
                .map_err(TlsError::Verifier)?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Identity)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain(), self.private_key())
            .map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![MEMBER_PROTOCOL.to_vec(), JOIN_PROTOCOL.to_vec()];
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The connecting side of a member.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn connector(&self) -> Result<TlsConnector, TlsError> {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(TlsError::Identity)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain(), self.private_key())
            .map_err(TlsError::Identity)?;
        config.alpn_protocols = vec![MEMBER_PROTOCOL.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.authority.clone())).map_err(TlsError::Authority)?;
        Ok(roots)
    }

    /// The authority goes along so that a joining node can compare it with its fingerprint.
    fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![self.certificate.clone().into(), self.authority.clone().into()]
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }
}

/// The connecting side of a node that is no member yet: it accepts any node certificate of the authority
/// with this SHA-256 fingerprint, and shows none itself.
///
/// # Errors
/// [`TlsError`].
pub fn pinned_connector(authority: [u8; 32]) -> Result<TlsConnector, TlsError> {
    let verifier = PinnedAuthority { fingerprint: authority, provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Identity)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![JOIN_PROTOCOL.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// SHA-256 of a certificate in DER.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    digest(certificate)
}

/// SHA-256 of the subject's public key (its SubjectPublicKeyInfo) of a certificate in DER: stays the same
/// when the certificate is renewed for the same key.
///
/// # Errors
/// [`TlsError::Certificate`].
pub fn key_fingerprint(certificate: &[u8]) -> Result<[u8; 32], TlsError> {
    let der = CertificateDer::from(certificate);
    let parsed = webpki::EndEntityCert::try_from(&der).map_err(TlsError::Certificate)?;
    Ok(digest(parsed.subject_public_key_info().as_ref()))
}

/// The DNS names a certificate in DER was issued for.
///
/// # Errors
/// [`TlsError::Certificate`].
pub fn names(certificate: &[u8]) -> Result<Vec<String>, TlsError> {
    let der = CertificateDer::from(certificate);
    let parsed = webpki::EndEntityCert::try_from(&der).map_err(TlsError::Certificate)?;
    Ok(parsed.valid_dns_names().map(str::to_owned).collect())
}

/// What a failed handshake means for people; `None` when the error has nothing to do with certificates.
#[must_use]
#[allow(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
pub fn explain(error: &io::Error) -> Option<&'static str> {
    match error.get_ref()?.downcast_ref::<rustls::Error>()? {
        rustls::Error::InvalidCertificate(problem) => explain_certificate(problem),
        rustls::Error::AlertReceived(AlertDescription::UnknownCA) => {
            Some("the other side belongs to another cluster")
        }
        rustls::Error::AlertReceived(AlertDescription::CertificateExpired) => {
            Some("the other side says that our certificate expired: compare both clocks")
        }
        _ => None,
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "the others speak for themselves")]
fn explain_certificate(problem: &CertificateError) -> Option<&'static str> {
    match problem {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(
            "the other side belongs to another cluster: its certificate is of another authority",
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("its certificate expired, or this host's clock is wrong")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("its certificate is not valid yet: this host's clock is late")
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some("another member than expected answers at this address")
        }
        _ => None,
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let mut out = [0; 32];
    out.copy_from_slice(digest.as_ref());
    out
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Trusts the authority with one fingerprint, which the server must send along.
#[derive(Debug)]
struct PinnedAuthority {
    fingerprint: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = intermediates.iter().find(|sent| digest(sent) == self.fingerprint);
        let Some(authority) = pinned else {
            return Err(CertificateError::UnknownIssuer.into());
        };
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let parsed = rustls::server::ParsedCertificate::try_from(end_entity)?;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots,
            &[],
            now,
            self.provider.signature_verification_algorithms.all,
        )?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

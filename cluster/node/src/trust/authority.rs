//! The cluster's certificate authority.

use std::time::Duration;

use haven_base::WallTime;
use haven_types::NodeId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm,
    date_time_ymd,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::identity::Cluster;

/// Certificates are valid for ten years, and from a month ago for hosts whose clock is late.
const VALID_FOR: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
const VALID_BEFORE: Duration = Duration::from_secs(30 * 24 * 3600);
/// An uncompressed point on P-256 (SEC 1 §2.3.3).
const POINT: usize = 65;

/// Certificates or keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The library refused.
    #[error("cannot {action}")]
    Make {
        /// What was attempted.
        action: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// A public key that is none.
    #[error("cannot issue a certificate: the public key offered is no point on P-256")]
    PublicKey,
}

/// Certificate and key of the authority; DER, the key in PKCS #8.
pub(super) struct Authority {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// A public key that came over the wire.
struct Point<'k>(&'k [u8]);

impl PublicKeyData for Point<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn cannot(action: &'static str) -> impl FnOnce(rcgen::Error) -> AuthorityError {
    move |source| AuthorityError::Make { action, source }
}

impl Authority {
    /// A new authority, signed by itself.
    pub(super) fn create(cluster: &Cluster, now: WallTime) -> Result<Self, AuthorityError> {
        let key = new_key()?;
        let mut params = authority_params(cluster);
        set_validity(&mut params, now);
        let certificate =
            params.self_signed(&key).map_err(cannot("make a certificate authority"))?;
        Ok(Self { certificate: certificate.der().to_vec(), key: key.serialize_der() })
    }

    /// A certificate for a node: as a server and as a client, under its name.
    pub(super) fn issue(
        &self,
        cluster: &Cluster,
        name: &str,
        node: NodeId,
        public_key: &[u8],
        now: WallTime,
    ) -> Result<Vec<u8>, AuthorityError> {
        if !is_point(public_key) {
            return Err(AuthorityError::PublicKey);
        }
        let key = KeyPair::try_from(self.key.as_slice())
            .map_err(cannot("read the key of the certificate authority"))?;
        let issuer = Issuer::new(authority_params(cluster), key);
        let mut params = CertificateParams::new(vec![name.to_owned()])
            .map_err(cannot("name a node in a certificate"))?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationalUnitName, format!("node {node}"));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now);
        let certificate =
            params.signed_by(&Point(public_key), &issuer).map_err(cannot("issue a certificate"))?;
        Ok(certificate.der().to_vec())
    }
}

/// What certificates name as their issuer; the same for every certificate of the cluster.
fn authority_params(cluster: &Cluster) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "haven");
    params.distinguished_name.push(DnType::CommonName, format!("{} {}", cluster.name, cluster.id));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn set_validity(params: &mut CertificateParams, now: WallTime) {
    let now = Duration::from_secs(u64::try_from(now.seconds).unwrap_or(0));
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(VALID_BEFORE);
    params.not_after = epoch + now + VALID_FOR;
}

/// A new private key on P-256.
pub(super) fn new_key() -> Result<KeyPair, AuthorityError> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(cannot("make a private key"))
}

/// Reads a private key in PKCS #8.
pub(super) fn read_key(der: &[u8]) -> Result<KeyPair, AuthorityError> {
    KeyPair::try_from(der).map_err(cannot("read a private key"))
}

/// Signs with a node's private key.
pub(super) fn sign(key: &KeyPair, message: &[u8]) -> Result<Vec<u8>, AuthorityError> {
    rcgen::SigningKey::sign(key, message).map_err(cannot("sign with this node's key"))
}

/// Whether the owner of `public_key` signed the message.
pub(super) fn verify(public_key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    is_point(public_key)
        && UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, public_key)
            .verify(message, signature)
            .is_ok()
}

fn is_point(public_key: &[u8]) -> bool {
    public_key.len() == POINT && public_key[0] == 4
}

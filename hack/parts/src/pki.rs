//! Throw-away certificates: an authority, and what it signs for servers and clients.

use std::{io, path::PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};

use crate::Scratch;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not make a certificate")]
    Make(#[from] rcgen::Error),

    #[error("could not write a certificate")]
    Write(#[from] io::Error),
}

/// A certificate authority that only the parts of one test trust.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Its certificate, for those who check others.
    pub(crate) certificate: PathBuf,
}

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub(crate) fn new(scratch: &Scratch) -> Result<Self, Error> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "trellis test authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let certificate = scratch.write("ca.crt", issuer.pem())?;
        Ok(Self { issuer, certificate })
    }

    /// For a server on the loopback interface, under its address and its name, and under `others`.
    pub(crate) fn server(
        &self,
        scratch: &Scratch,
        name: &str,
        others: &[&str],
    ) -> Result<Identity, Error> {
        let names = ["localhost", "127.0.0.1"].iter().chain(others).map(ToString::to_string);
        let params = CertificateParams::new(names.collect::<Vec<_>>())?;
        self.sign(scratch, name, params, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// For a client that is `name`, a member of `group`.
    pub(crate) fn client(
        &self,
        scratch: &Scratch,
        name: &str,
        group: &str,
    ) -> Result<Identity, Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        self.sign(scratch, name, params, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        scratch: &Scratch,
        name: &str,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> Result<Identity, Error> {
        params.extended_key_usages = vec![usage];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate: scratch.write(&format!("{name}.crt"), certificate.pem())?,
            key: scratch.write(&format!("{name}.key"), key.serialize_pem())?,
        })
    }
}

/// A key pair with no certificate, as PEM files: the private key and the public one.
pub(crate) fn key_pair(scratch: &Scratch, name: &str) -> Result<(PathBuf, PathBuf), Error> {
    let pair = KeyPair::generate()?;
    Ok((
        scratch.write(&format!("{name}.key"), pair.serialize_pem())?,
        scratch.write(&format!("{name}.pub"), pair.public_key_pem())?,
    ))
}

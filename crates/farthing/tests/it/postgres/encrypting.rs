//! Connections to other machines are encrypted, and to nobody but the server that was named.

use super::{charged, is_new, open, open_within, purchase};
use farthing::payee::store::PayeeStore;
use farthing::payee::{PostgresUrl, postgres::PostgresUrlError};
use farthing_testkit::postgres::PostgresServer;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(3);

/// An authority in a file, and a server that it certified as `localhost`.
async fn certified() -> (TempDir, PostgresServer) {
    let mut authority = CertificateParams::new([]).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("authority.pem"), authority.pem()).unwrap();
    let server = PostgresServer::start_on_tcp(Some((&certificate.pem(), &key.serialize_pem())));
    server.create_database("ledger").await;
    (folder, server)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_checked_whenever_there_is_one() {
    let (folder, server) = certified().await;
    let authority = format!("sslrootcert={}/authority.pem", folder.path().display());
    let url = server.url_on_tcp("localhost", "ledger");
    let store = open(&format!("{url}?sslmode=require&{authority}")).await;
    assert!(is_new(&store.accept_batch(&[purchase(0, 0, 10, 10)]).await.unwrap()[0]));
    assert_eq!(charged(&store).await, Some(10));

    for mode in ["require", "verify-full", "prefer"] {
        // Of an authority that this machine does not know; and of one it is told to trust, for another name.
        let unknown = open_within(&format!("{url}?sslmode={mode}"), SOON).await.unwrap_err();
        let other_name = server.url_on_tcp("127.0.0.1", "ledger");
        let other_name = open_within(&format!("{other_name}?sslmode={mode}&{authority}"), SOON).await.unwrap_err();
        for refused in [unknown, other_name] {
            assert!(refused.to_string().contains("certificate"), "{mode}: {refused}");
        }
    }
    // The control: nothing is wrong with that server but its certificate.
    open_within(&format!("{}?sslmode=disable", server.url_on_tcp("127.0.0.1", "ledger")), SOON).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_where_it_is_required() {
    let server = PostgresServer::start_on_tcp(None);
    server.create_database("ledger").await;
    let url = server.url_on_tcp("localhost", "ledger");
    let refused = open_within(&format!("{url}?sslmode=require"), SOON).await.unwrap_err();
    assert!(refused.to_string().contains("TLS"), "{refused}");
    open_within(&format!("{url}?sslmode=prefer"), SOON).await.unwrap();
}

#[test]
fn a_url_says_what_is_wrong_with_it_without_repeating_it() {
    let malformed =
        ["", "https://host/ledger", "host=localhost", "postgres://host:port/ledger", "postgres://h/l?novalue"];
    for url in malformed {
        assert_eq!(url.parse::<PostgresUrl>().unwrap_err(), PostgresUrlError::Malformed, "{url}");
    }
    for (url, said) in [
        ("postgres://user:secret@host", "names no database"),
        ("postgres:///ledger", "names no host"),
        ("postgres://user:secret@host/ledger?sslmode=verify-ca", "sslmode is"),
        ("postgres://user:secret@host/ledger?sslmode=allow", "sslmode is"),
        ("postgres://user:secret@host/ledger?hostaddr=127.0.0.1", "hostaddr is not supported"),
    ] {
        let error = url.parse::<PostgresUrl>().unwrap_err().to_string();
        assert!(error.contains(said) && !error.contains("secret"), "{url}: {error}");
    }
    let url: PostgresUrl = "postgresql://user:secret@one,two:6000/ledger?connect_timeout=2".parse().unwrap();
    assert_eq!(url.to_string(), "postgres://one:5432,two:6000/ledger");
}
